"""Options by their former names: the same parse, a note on stderr, and a help that lists the new names alone."""

import pytest
import typer

from mnas.cli.options import RENAMED
from tests.commands import all_commands

VALUES = {"--max-train-images": ["300"], "--retrain-seeds": ["5"]}
USES = [
    (words, former, present)
    for words, command in all_commands().items()
    for former, present in RENAMED.items()
    if any(present in (*option.opts, *option.secondary_opts) for option in command.params)
]


def _parsed(words, option):
    """What a command takes from an option, and from arguments that it needs besides."""
    command = all_commands()[words]
    context = typer.Context(command, resilient_parsing=True)
    command.parse_args(context, option)
    return context.params


def test_every_former_name_is_taken_somewhere():
    assert {former for _, former, _ in USES} == set(RENAMED)
    assert {words for words, former, _ in USES if former == "--limit"} == {
        ("search",),
        ("compare",),
        ("scale",),
        ("train",),
        ("design",),
        ("space", "survey"),
    }


@pytest.mark.parametrize(("words", "former", "present"), USES)
def test_a_former_name_parses_as_the_present_one_with_a_note(words, former, present, capsys):
    value = VALUES.get(present, [])
    expected = _parsed(words, [present, *value])
    assert capsys.readouterr().err == ""
    assert expected != _parsed(words, ["--no-reject-infeasible"] if present == "--reject-infeasible" else [])
    assert _parsed(words, [former, *value]) == expected
    assert capsys.readouterr().err == f"mnas: {former} is called {present} now; the former name will be removed\n"
    if value:
        assert _parsed(words, [f"{former}={value[0]}"]) == expected


@pytest.mark.parametrize(("words", "former", "present"), USES)
def test_the_help_lists_the_present_name_alone(words, former, present):
    command = all_commands()[words]
    text = command.get_help(typer.Context(command)).split()
    assert present in text
    assert former not in text


def test_a_former_name_is_refused_where_no_option_has_the_present_one():
    with pytest.raises(Exception, match="--limit") as refused:
        all_commands()["zoo",].make_context("zoo", ["--limit", "3"])
    assert "No such option" in refused.value.message
