"""The program's commands, and whether a line of shell is one that it would take."""

import functools
import shlex

import typer
from typer.testing import CliRunner

from mnas.cli.main import app


@functools.cache
def all_commands():
    """Every command as its words and click's object."""
    found = {}
    program = typer.main.get_command(app)
    for name in program.commands:
        command = program.resolve_command(typer.Context(program), [name])[1]
        children = getattr(command, "commands", None)
        found |= {(name,): command} if children is None else {(name, word): child for word, child in children.items()}
    return found


def run(*arguments: object) -> str:
    """Run a command in this process; gives what it prints on stdout.

    Raises:
        Exception: what the command raises, such as MnasError, before it becomes a message.
    """
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def parse(line):
    """Parse a line such as `mnas zoo mnasnet-a1` without running it.

    Raises:
        AssertionError: if the program would refuse its words, with what it would say.
    """
    words = shlex.split(line, comments=True)
    assert words[0] == "mnas", f"{line!r} is no line of mnas"
    words = [word for word in words[1:] if word != "--debug"]
    for parts in (2, 1):
        command = all_commands().get(tuple(words[:parts]))
        if command is None:
            continue
        try:
            command.make_context(" ".join(words[:parts]), words[parts:])
        except Exception as error:
            raise AssertionError(f"{line!r} is refused: {getattr(error, 'message', error)}") from None
        return
    raise AssertionError(f"{line!r} names no command of mnas")
