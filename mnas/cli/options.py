"""Options shared by commands, and commands from functions whose types declare help texts and ranges."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from inspect import Parameter, Signature, signature
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from msgspec import Meta
from typer.core import TyperCommand

from mnas.errors import InputError

Command = Callable[..., Any]

JSON = typer.Option(False, "--json", help="Print one JSON document on stdout; everything else goes to stderr.")
ARCH = typer.Argument(
    ..., metavar="ARCH", help="A zoo name, a JSON file, STUDY_DIR (its winner) or STUDY_DIR#12 (trial 12)."
)
DEVICE = typer.Option("local", help="Where to measure: local, adb[:SERIAL] (a phone), ssh:HOST (a Linux board).")
RUNTIME = typer.Option("litert", help="litert or tflite-runtime; a phone runs --benchmark-binary.")
THREADS = typer.Option(1, min=1, help="Threads of the runtime.")
CORES = typer.Option(
    "",
    metavar="big|little|N|LIST",
    help="Cores to pin to: big, little, the N fastest, or a list such as 4-6,7. By default the fastest, one a thread.",
)
DELEGATE = typer.Option("xnnpack", help="xnnpack or none; on a phone also gpu, nnapi, hexagon or external.")
_DELEGATE_OPTIONS = {  # by the names that `delegate_text` takes
    "nnapi_accelerator": typer.Option("", metavar="NAME", help="With --delegate nnapi: the accelerator, e.g. qti-dsp."),
    "gpu_precision_loss_allowed": typer.Option(
        "", metavar="yes|no", help="With --delegate gpu: compute in 16 bits; by default yes."
    ),
    "external_delegate": typer.Option(
        "", metavar="PATH", help="With --delegate external: its library, here or on the phone."
    ),
    "external_delegate_options": typer.Option(
        "", metavar="KEY:VALUE;...", help="With --delegate external: options for its library."
    ),
}
BENCHMARK_BINARY = typer.Option(
    None, help="For phones: the benchmark_model to measure with (without it, the message says where to get it)."
)
WAIT = typer.Option(
    0.0, "--wait", metavar="MINUTES", help="Wait so long for a phone or board that is gone, instead of ending at once."
)
FORCE = typer.Option(False, "--force", help="Overwrite a table that is there already.")
MIRROR = typer.Option(
    None,
    metavar="URL",
    help="Also copy everything there every minute (s3://..., mnas[remote]), and start from that copy.",
)


_SQUARE = (
    "Expected the side of a square in pixels, such as 224: networks take square RGB images. Photographs of another "
    "shape are cropped to their centre square, grey ones become RGB"
)


def read_pixels(text: str) -> int:
    """Read the side of a network's input.

    Raises:
        typer.BadParameter: for a text such as 96x128 or 96,128, with the reason.
    """
    if text.isdecimal() and int(text):
        return int(text)
    raise typer.BadParameter(f"{text!r} is not one whole number. {_SQUARE}")


def with_delegate_options(command: Command) -> Command:
    """Give a command, after its `delegate`, the options of delegates; it gets all of them as one text."""

    @wraps(command)
    def run(*args: Any, delegate: str, **rest: Any) -> Any:
        from mnas.devices.delegate import delegate_text

        own = {name: rest.pop(name) for name in _DELEGATE_OPTIONS}
        return command(*args, delegate=delegate_text(delegate, **own), **rest)

    hints = {name: _option(hint) for name, hint in get_type_hints(command, include_extras=True).items()}
    run.__annotations__ = {**hints, **dict.fromkeys(_DELEGATE_OPTIONS, str)}
    parameters = [each.replace(annotation=hints[each.name]) for each in signature(command).parameters.values()]
    after = 1 + [parameter.name for parameter in parameters].index("delegate")
    parameters[after:after] = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=option, annotation=str)
        for name, option in _DELEGATE_OPTIONS.items()
    ]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return run


# Former names of options, which commands still take.
RENAMED = {
    "--limit": "--max-train-images",
    "--refuse": "--reject-infeasible",
    "--no-refuse": "--no-reject-infeasible",
    "--verdict-seeds": "--retrain-seeds",
}


def read_integers(option: str, text: str) -> list[int]:
    """Read `96,128,160`.

    Raises:
        InputError: for anything else, with the option's name.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} is {text!r}: expected whole numbers with commas between, such as 3,5,7") from None


def read_resolutions(text: str) -> list[int]:
    """Read the sides of networks' inputs, such as `96,128,160`.

    Raises:
        InputError: for anything else, such as 96x128, with the reason.
    """
    try:
        return read_integers("--resolutions", text)
    except InputError as error:
        raise InputError(f"{error}. {_SQUARE}") from None


def read_numbers(option: str, text: str) -> list[float]:
    """Read `0.33,0.5,1`.

    Raises:
        InputError: for anything else, with the option's name.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} is {text!r}: expected numbers with commas between, such as 0.33,0.5,1") from None


def load_command(name: str) -> Any:
    """Import the module `mnas.cli.NAME` and return its function or group of that name as a command."""
    group = typer.Typer(rich_markup_mode=None)
    found = getattr(import_module(f"mnas.cli.{name}"), name)
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        add_command(group, name, found)
    return typer.main.get_group(group).commands[name]


def add_command(group: typer.Typer, name: str, command: Command) -> None:
    """Add a function to a group. The `msgspec.Meta` in the types of its parameters become typer's options.

    `trials: Annotated[int, Meta(ge=1, description="...")] = 100` becomes the option `--trials` with that help text,
    that range and that default.
    """
    hints = get_type_hints(command, include_extras=True)
    command.__annotations__ = {name: _option(hint) for name, hint in hints.items()}
    group.command(name, cls=_Command)(command)


def _option(hint: Any) -> Any:
    """An annotation as typer reads it; unchanged where nothing is declared."""
    optional = get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)
    declaration = next(arg for arg in get_args(hint) if arg is not NoneType) if optional else hint
    if get_origin(declaration) is not Annotated:
        return hint
    meta = next((each for each in declaration.__metadata__ if isinstance(each, Meta)), None)
    if meta is None:
        return hint
    kind = declaration.__origin__
    if get_origin(kind) is Sequence:
        (item,) = get_args(kind)
        kind = list[item.__origin__ if get_origin(item) is Annotated else item]  # type: ignore[misc]
    ranges: dict[str, Any] = {"min": meta.ge, "max": meta.le} if kind is int else {}
    return Annotated[kind | None if optional else kind, typer.Option(help=meta.description, **ranges)]


class _Command(TyperCommand):
    """Takes options by their former names too, with a note, and says what to use instead of removed ones."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = {name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in args:
            _refuse_removed(word.partition("=")[0], options)
        return super().parse_args(ctx, [_present_name(word, options) for word in args])


def _refuse_removed(option: str, options: set[str]) -> None:
    if not option.startswith("--") or option in options:
        return
    from mnas.evaluators.registry import INSTEAD_OF_SUPERNET
    from mnas.search.options import REMOVED_OPTIONS

    if option.removeprefix("--").removeprefix("no-").replace("-", "_") in REMOVED_OPTIONS:
        raise InputError(f"{option} was removed together with the evaluator supernet: {INSTEAD_OF_SUPERNET}")


def _present_name(word: str, options: set[str]) -> str:
    option, equals, value = word.partition("=")
    present = RENAMED.get(option)
    if present not in options:
        return word
    print(f"mnas: {option} is called {present} now; the former name will be removed", file=sys.stderr)
    return f"{present}{equals}{value}"


def given_options(context: typer.Context) -> set[str]:
    """The names of the parameters that the command line gives."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
