"""The errors that a user is meant to read. Everything else that escapes is a defect of mnas."""

from __future__ import annotations


class MnasError(Exception):
    """The work failed for a reason the user can act on. The command line prints it and exits with 1."""

    exit_code = 1


class InputError(MnasError, ValueError):
    """What was passed is wrong: the message says what was passed, what was expected, how to fix it. Exit 2."""

    exit_code = 2
