"""What commands show is what is there: text from files and phones is no markup."""

import io
import sys

import pytest

from mnas.cli import output

ODD = ["[functional_1/conv/Relu]:0", "[/model.0/conv]:0", "[bold]x[/bold]"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("text", ODD)
def test_a_table_shows_brackets_as_they_are(text, capsys):
    output.table(f"About {text}", [f"in {text}", "ms"], [[text, "1.5"]])
    shown = capsys.readouterr().out
    assert f"About {text}" in shown
    assert f"in {text}" in shown
    assert f" {text} " in shown


def test_a_first_cell_that_is_too_wide_is_folded(capsys, monkeypatch):
    """The end of a name is what tells networks apart."""
    monkeypatch.setenv("COLUMNS", "30")
    names = ["mobilenet-v3-large-0.75", "mobilenet-v3-large-1.0"]
    output.table("Networks", ["network", "ms", "ms"], [[name, "12345.1", "23456.2"] for name in names])
    shown = capsys.readouterr().out
    cells = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")]
    assert "".join(cells) == "".join(names)
    assert "12345.1" in shown


@pytest.mark.parametrize("text", ODD)
def test_so_does_a_progress_bar(text, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with output.progress(f"Running {text} again") as report:
        report(0.5, f"on {text}")
    assert f"Running {text} again: on {text}" in terminal.getvalue()


@pytest.mark.parametrize("text", ODD)
def test_so_does_a_plain_line(text, capsys):
    output.console().print(f"Written to {text}")
    assert f"Written to {text}" in capsys.readouterr().out
