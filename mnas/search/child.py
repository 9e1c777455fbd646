"""Another process of this machine that runs one of mnas's modules; JSON goes both ways on pipes, a document a line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from typing import Any

from mnas.interpreter import module_command, python_path

_GRACE_S = 20.0  # for a process that was asked to end to tidy up


class DiedError(Exception):
    """The process ended by itself, or was ended."""


class Child:
    """The process.

    Args:
        module: whose `main` it runs.
        alone: whether Ctrl-C at the terminal does not reach it: then it hears of it by `interrupt`, once.
    """

    def __init__(self, module: str, *, alone: bool = False) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            module_command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("MNAS_DEBUG") else self._said,
            env={**os.environ, "PYTHONPATH": python_path()},
            encoding="utf-8",
            start_new_session=alone,
        )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a document, and wait for one.

        Raises:
            DiedError: if the process ends instead.
        """
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError):  # ValueError: the pipe was closed from here
            self.end()
            raise DiedError(self._last_words()) from None
        return self.read()

    def read(self) -> dict[str, Any]:
        """Wait for its next document.

        Raises:
            DiedError: if the process ends instead.
        """
        try:
            line = "" if self._process.stdout is None else self._process.stdout.readline()
        except (OSError, ValueError):
            line = ""
        if not line.endswith("\n"):
            self.end()
            raise DiedError(self._last_words())
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_words(self) -> str:
        code = self._process.returncode
        text = ""
        if not self._said.closed:
            self._said.seek(0)
            text = self._said.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
        how = f"was ended by signal {-code}" if code and code < 0 else f"ended by itself with code {code}"
        hint = " (out of memory?)" if code == -9 else ""
        return f"a worker {how}{hint}{': ' if text else ''}{text}"

    def interrupt(self) -> None:
        """Ask the process to tidy up and end, as Ctrl-C would: it leaves nothing on a device. End it if it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End the process, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
