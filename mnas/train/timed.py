"""Evaluations with a time limit: they run in a process of their own, which is ended when it takes too long.

A thread cannot be stopped, and an alarm is not heard inside a native call; a process can always be ended. It is
started once and serves one candidate after the other; only after a hang or a crash is there a new one. It is this
program's own child on an anonymous pipe that nobody else can write to: what goes through it is pickled.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from mnas.arch.spec import Architecture, check_number
from mnas.errors import MnasError
from mnas.train.base import Evaluator

_SAFE_PATH = "PYTHONSAFEPATH"  # Python 3.10 does not know it
_GRACE_SECONDS = 10.0  # for a process that was told to stop to say that it has


class TimedEvaluator(Evaluator):
    """Another evaluator, in its own process, each evaluation within a time limit.

    Args:
        inner: the evaluator as it is here: says what it is, and how long it takes.
        make: makes the same evaluator in the other process; a function of a module, or a partial of one.
        minutes: the most that one evaluation may take; starting the process does not count.
    """

    def __init__(self, inner: Evaluator, make: Callable[[], Evaluator], minutes: float) -> None:
        check_number("minutes of an evaluation", minutes, 1e-3, 1e6)
        self._inner, self._make, self._minutes = inner, make, minutes
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def num_rungs(self) -> int:
        """As the inner evaluator's."""
        return self._inner.num_rungs

    def describe(self) -> dict[str, Any]:
        """As the inner evaluator: a time limit changes no accuracy."""
        return self._inner.describe()

    def estimate_seconds(self, architecture: Architecture) -> float:
        """As the inner evaluator."""
        return self._inner.estimate_seconds(architecture)

    def accuracy(self, architecture: Architecture) -> float:
        """The last rung's.

        Raises:
            MnasError: if the evaluation fails, takes too long, or ends its process.
        """
        return list(self.rungs(architecture))[-1]

    def rungs(self, architecture: Architecture) -> Generator[float, None, None]:
        """As the inner evaluator's; the time limit is for all of them together."""
        connection = self._connected()
        deadline = time.monotonic() + 60 * self._minutes
        connection.send(architecture)
        reading = True
        try:
            while True:
                kind, value = self._receive(deadline)
                if kind == "done":
                    reading = False
                    return
                if kind == "failed":
                    reading = False
                    raise MnasError(value)
                yield value
                connection.send(True)
        finally:
            if reading and self._connection is not None:
                connection.send(False)
                self._receive(time.monotonic() + _GRACE_SECONDS)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _receive(self, deadline: float | None) -> tuple[str, Any]:
        if self._connection is None or self._process is None:
            raise MnasError("the evaluation's process is gone")
        try:
            if self._connection.poll(None if deadline is None else max(0.0, deadline - time.monotonic())):
                kind, value = self._connection.recv()
                return kind, value
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            raise MnasError(f"the evaluation's process ended by itself with code {code} (-9: out of memory?)") from None
        self.close()
        raise MnasError(f"the evaluation took longer than {self._minutes:g} minutes and was ended")

    def _connected(self) -> Connection:
        """The connection to a process that is ready."""
        if self._connection is None:
            context = multiprocessing.get_context("spawn")  # a fork of a process with TensorFlow in it can hang
            self._connection, theirs = context.Pipe()
            before = os.environ.get(_SAFE_PATH)
            self._process = context.Process(target=_serve, args=(self._make, theirs, before), daemon=True)
            os.environ[_SAFE_PATH] = "1"  # else it would look for Python's own modules in the current folder first
            try:
                self._process.start()
            finally:
                _restore_path(before)
            theirs.close()
            kind, value = self._receive(None)
            if kind != "ready":
                self.close()
                raise MnasError(f"the evaluator cannot be made in a process of its own: {value}")
        return self._connection


def _restore_path(before: str | None) -> None:
    """What the user's own evaluator starts is no business of ours."""
    os.environ.pop(_SAFE_PATH, None)
    if before is not None:
        os.environ[_SAFE_PATH] = before


def _serve(make: Callable[[], Evaluator], connection: Connection, before: str | None) -> None:
    """The other process: takes architectures, gives accuracies, until nobody listens."""
    _restore_path(before)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    try:
        evaluator = make()
    except Exception as error:  # a user's evaluator may raise anything
        connection.send(("failed", _text(error)))
        return
    connection.send(("ready", None))
    while True:
        try:
            connection.send(_answer(evaluator, connection.recv(), connection))
        except (EOFError, ConnectionError):
            return


def _answer(evaluator: Evaluator, architecture: Architecture, connection: Connection) -> tuple[str, str | None]:
    accuracies = evaluator.rungs(architecture)
    try:
        for accuracy in accuracies:
            connection.send(("accuracy", accuracy))
            if not connection.recv():
                break
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # a user's evaluator may raise anything
        return "failed", _text(error)
    finally:
        accuracies.close()
    return "done", None


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, MnasError) else f"{type(error).__name__}: {error}"
