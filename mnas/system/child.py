"""Child processes that run one of mnas's modules; both sides send JSON over pipes, one document per line."""

from __future__ import annotations

import json
import os
import platform
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mnas
from mnas.errors import MnasError

MOST_TRIES = 3  # of one piece of work that ends its process
_GRACE_S = 15.0  # for an interrupted process to clean up, twice: an interrupt in a destructor is lost
_PART_BYTES = 1 << 16
# `python -m` and `python -c` look for modules in the current folder first: a foreign json.py there would run.
# `-P` and PYTHONSAFEPATH need Python 3.11, and the latter would also affect processes of a user's own evaluator.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from importlib import import_module; import_module(sys.argv.pop(1)).main()"
)
# A job in the background of a script ignores interrupts, and so would its children, which their parent interrupts.
_INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


class DiedError(Exception):
    """The process ended, or was ended by a signal."""


class OvertimeError(Exception):
    """The process did not answer in time and was ended."""


class Child:
    """A child process.

    Args:
        module: full name of the module whose `main` it runs, such as `mnas.search.executors.worker`.
        alone: whether Ctrl-C at the terminal does not reach it; use `interrupt` then.

    Raises:
        MnasError: on a system that cannot wait for several processes (Windows).
    """

    def __init__(self, module: str, *, alone: bool = False) -> None:
        if not hasattr(selectors, "PollSelector"):
            raise MnasError(
                f"{platform.system()} cannot run mnas's worker processes, which block libraries, several workers and "
                "profiling several devices need: expected Linux or macOS (on Windows, WSL)"
            )
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", _INTERRUPTIBLE * alone + _START, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("MNAS_DEBUG") else self._said,
            env=_environment(),
            start_new_session=alone,
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018  both are pipes
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._heard = bytearray()
        self._selector = selectors.PollSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, request: dict[str, Any], *, seconds: float | None = None) -> dict[str, Any]:
        """Send a document and wait for the answer.

        Args:
            request: the document.
            seconds: maximum time for the answer; None for no limit.

        Raises:
            DiedError: if the process ends instead.
            OvertimeError: if there is no answer in time; the process is ended.
        """
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except (OSError, ValueError):  # ValueError: the pipe was closed from here
            self.end()
            raise DiedError(self._last_words()) from None
        return self.read(seconds=seconds)

    def read(self, *, seconds: float | None = None) -> dict[str, Any]:
        """Wait for the next document.

        Raises:
            DiedError, OvertimeError: as `ask`.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._heard:
            # Do not wait until the pipe closes: a process that the child started may hold it open.
            if not self._selector.select(None if deadline is None else max(0.0, deadline - time.monotonic())):
                self.end()
                raise OvertimeError(f"a worker did not answer within {seconds:g} s and was ended")
            part = os.read(self._answers.fileno(), _PART_BYTES)
            if not part:
                self.end()
                raise DiedError(self._last_words())
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_words(self) -> str:
        code = self._process.returncode
        self._said.seek(0)
        text = self._said.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
        how = f"was ended by signal {-code}" if code and code < 0 else f"ended by itself with code {code}"
        hint = " (out of memory?)" if code == -9 else ""
        return f"a worker {how}{hint}{': ' if text else ''}{text}"

    def interrupt(self) -> None:
        """Interrupt the process as Ctrl-C would, so that it cleans up; end it if it does not end in time."""
        for _ in range(2):
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_GRACE_S)
        self.end()

    def end(self) -> None:
        """End the process, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def run_module(module: str, *arguments: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a module's `main` in a separate process until it ends.

    Args:
        module: full name of the module.
        arguments: its `sys.argv[1:]`.
        content: its stdin.

    Returns:
        The exit code and the content of stdout and stderr.
    """
    command = [sys.executable, "-c", _START, module, *arguments]
    return subprocess.run(command, input=content, capture_output=True, env=_environment(), check=False)


def open_answers() -> Callable[[dict[str, Any]], None]:
    """In the child: return a function that sends a document to the parent; other output to stdout goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(document: dict[str, Any]) -> None:
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    return answer


def python_path() -> str:
    """Return the PYTHONPATH with which another Python finds this package and the modules of the current PYTHONPATH."""
    package = str(Path(mnas.__file__).parent.parent)
    return os.pathsep.join([package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": python_path()}
