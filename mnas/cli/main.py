"""The `mnas` program. A command's module is imported when the command is used, so that `mnas --help` is quick."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from mnas import __version__
from mnas.errors import MnasError
from mnas.system.logs import set_up_logging

# First everything at once, then its parts in the order of the work. Each is the function, or the group of commands, of
# that name in the module of that name.
COMMANDS = {
    "design": "Design a network for your device from your photographs: measure, search, train, export, report.",
    "zoo": "List the published networks, or show one as blocks.",
    "cost": "Show what a network costs, block by block.",
    "data": "Show what a folder of images holds, before anything runs: classes, sizes, duplicates, unreadable files.",
    "space": "Look at search spaces, and make one around a teacher.",
    "sample": "Print random architectures, one JSON a line.",
    "doctor": "Examine a device before it is measured: what runs on it, how noisy it is, what to fix first.",
    "profile": "Measure a device and write its latency table.",
    "table": "List, show, check, extend, merge, compare, import and calibrate latency tables.",
    "library": "Make and look at block libraries.",
    "search": "Search for the best network within a latency budget.",
    "menu": "List the published networks within a latency budget, and fine-tune the most promising ones.",
    "fleet": "Find the best networks of a block library for several devices and budgets, without training.",
    "report": "Show a study: front, winner, verdict against random, what to do next; and write it all as one web page.",
    "reproduce": "Run a study again and compare every trial with its log.",
    "compare": "Compare strategies at equal cost, over several seeds.",
    "scale": "Grow a network into a larger one.",
    "train": "Train a network.",
    "export": "Export to TFLite, checked.",
    "predict": "Predict the classes of images with a .tflite file.",
    "bench": "Measure a .tflite file.",
    "quickstart": "Design a network for this machine in a few minutes, on data that is already here.",
}


class _InterruptedError(MnasError):
    """Ctrl-C."""

    exit_code = 130


_NOT_OURS = {  # errors of the system that a user can act on, and what to do
    **dict.fromkeys((errno.EACCES, errno.EPERM), "Check the permissions of this file or folder and of those above it."),
    errno.EROFS: "Choose a folder that can be written to.",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Make room on the disk; what was finished is kept."),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "The disk or its network failed; what was finished is kept."),
    errno.ENAMETOOLONG: "Use a shorter name.",
}


class _LazyGroup(TyperGroup):
    """Holds names and help lines; the command itself is imported when it is run or its options are completed."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # typer would end without a word
            raise _InterruptedError("interrupted; what was finished is kept") from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            from mnas.cli.options import load_command

            command = load_command(name)
        return name, command, rest


app = typer.Typer(
    name="mnas",
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help would cost 100 ms of imports at every --help and usage error
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _not_imported() -> None:
    """Stands for each command in the help."""


for _name, _line in COMMANDS.items():
    app.command(_name, help=_line)(_not_imported)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mnas {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks and what libraries print. Works anywhere."),
) -> None:
    """Designs a neural network for your phone: profile, search, scale, train, export, measure.

    \b
    Examples: mnas quickstart
              mnas design photos/ --budget-ms 5 --out runs/design
              mnas search --data photos --table phone.json --budget-ms 20 --study runs/first
    """  # noqa: D301  that character keeps click from filling the lines


def _drop_output() -> None:
    """Drop what could not be printed, so that the interpreter does not try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run() -> None:
    """Entry point: every error a user can act on is one message and exit code 1 or 2."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    if debug:
        os.environ["MNAS_DEBUG"] = "1"
    set_up_logging(debug=debug)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text; stderr escapes them anyway
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here an error can be said, at the interpreter's end not
    except MnasError as error:
        if debug:
            traceback.print_exc()
        print(f"mnas: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("mnas: interrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in _NOT_OURS:
            _drop_output()
            where = f" {error.filename}" if error.filename else ""
            print(f"mnas: cannot read or write{where}: {error.strerror}. {_NOT_OURS[error.errno]}", file=sys.stderr)
            sys.exit(1)
        print(
            f"mnas: this is a defect of mnas, not yours: {type(error).__name__}: {error}\n"
            "  Run the same command with --debug and report what it prints.",
            file=sys.stderr,
        )
        sys.exit(1)
