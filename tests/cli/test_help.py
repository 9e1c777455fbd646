"""Every command's help has an example, and the example is one that the command takes."""

import os
import re
import subprocess
import sys

import pytest
import typer

from mnas.cli.main import COMMANDS as LINES
from mnas.cli.main import app
from mnas.cli.options import load_command
from tests.commands import all_commands, parse

COMMANDS = all_commands()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_has_an_example_that_parses(words):
    text = " ".join((COMMANDS[words].help or "").split())
    example = re.search(r"Example: (mnas .*?)(?:\.?$|\. |\.? (?=MEASURED))", text)
    assert example, f"no example in: {text}"
    assert example[1].startswith("mnas " + " ".join(words))
    parse(example[1])


def test_the_program_s_own_help_says_how_to_begin():
    text = typer.main.get_command(app).help
    assert text.startswith("Designs a neural network for your phone: profile, search")
    examples = [line.strip().removeprefix("Examples: ") for line in text.splitlines() if " mnas " in line]
    assert [line.split()[1] for line in examples] == ["quickstart", "design", "search"]
    for line in examples:
        parse(line)


@pytest.mark.parametrize("name", LINES)
def test_the_program_s_help_has_the_first_sentence_of_each_command_s(name):
    text = " ".join(load_command(name).help.split())
    assert text.startswith(LINES[name])


def test_shells_complete_commands_and_options():
    def completed(*words):
        variables = {
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_MNAS_COMPLETE": "complete_bash",
        }
        line = "import sys; sys.argv = ['mnas']; from mnas.cli.main import run; run()"
        done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, env=os.environ | variables)
        return done.stdout.split()

    assert completed("mnas", "s") == ["space", "sample", "search", "scale"]
    assert completed("mnas", "space", "s") == ["show", "survey"]
    assert completed("mnas", "search", "--max") == ["--max-size-mb", "--max-memory-mb", "--max-train-images"]


def test_an_example_that_does_not_parse_is_found():
    with pytest.raises(AssertionError, match="refused"):
        parse("mnas zoo --colour")
    with pytest.raises(AssertionError, match="names no command"):
        parse("mnas fly")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell):
    # Without detection the shell is named: tests may run under none.
    variables = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    line = [sys.executable, "-m", "mnas", "--show-completion", shell]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0
    assert "_MNAS_COMPLETE" in done.stdout or "complete" in done.stdout
