"""The `mnas` program. Commands load when they are called, so that `mnas --help` is quick."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from mnas import __version__
from mnas.cli import (
    bench,
    compare,
    cost,
    export,
    profile,
    quickstart,
    report,
    reproduce,
    sample,
    scale,
    search,
    space,
    table,
    train,
    zoo,
)
from mnas.errors import MnasError
from mnas.system.logs import set_up_logging

app = typer.Typer(
    name="mnas",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help would cost 100 ms of imports at every --help and usage error
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
# In the order of the work, which is the order of the help.
for module in (
    zoo,
    cost,
    space,
    sample,
    profile,
    table,
    search,
    report,
    reproduce,
    compare,
    scale,
    train,
    export,
    bench,
    quickstart,
):
    module.register(app)


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
              mnas search --data photos --table phone.json --budget-ms 20 --study runs/first
    """  # noqa: D301  that character keeps click from filling the lines


def run() -> None:
    """Entry point: every error a user can act on is one message and exit code 1 or 2."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    if debug:
        os.environ["MNAS_DEBUG"] = "1"
    set_up_logging(debug=debug)
    try:
        app()
    except MnasError as error:
        if debug:
            traceback.print_exc()
        print(f"mnas: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("mnas: interrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        print(
            f"mnas: this is a defect of mnas, not yours: {type(error).__name__}: {error}\n"
            "  Run the same command with --debug and report what it prints.",
            file=sys.stderr,
        )
        sys.exit(1)
