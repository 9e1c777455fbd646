"""A connection to a board through the system's `ssh`, with the agent at the other end; one request at a time."""

from __future__ import annotations

import json
import os
import queue
import re
import shlex
import subprocess
import threading
from contextlib import suppress
from importlib import resources
from typing import Any

from mnas.devices.benchmark_log import last_lines
from mnas.errors import MnasError
from mnas.system.files import parse_json

# No questions at the terminal; a lost connection is noticed within 15 s.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=3", "ForwardX11=no")
_HANG_UP_S = 10.0
_LONGEST_LINE = 1 << 24  # bytes
MOST_WORDS = 1 << 16  # the last bytes that ssh and the board print besides answers
MOST_ANSWERS = 16  # unread ones; there is one per request
_LISTEN_S = 1.0  # an ssh that shares connections leaves a process that keeps stderr open
_HINTS = (
    # what ssh or the board prints, what to do
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its key has changed. If it was installed again: ssh-keygen -R {host}, then connect once by hand: ssh {host}",
    ),
    (r"Host key verification failed", "its key is not known yet: connect once by hand and compare it: ssh {host}"),
    (
        r"Permission denied",
        "it does not accept this computer's keys, and mnas cannot enter passwords: ssh-copy-id {host}",
    ),
    (r"Could not resolve hostname", "there is no host of that name: is it in ~/.ssh/config, and switched on?"),
    (r"Connection refused", "nothing answers ssh there: is sshd running, on the port in ~/.ssh/config?"),
    (
        r"timed out|No route to host|Network is unreachable",
        "it does not answer: is it switched on, and on this network?",
    ),
    (
        r"not found|No such file or directory",
        "it has no such Python: choose one with --device ssh:HOST:/PATH/TO/PYTHON",
    ),
    (r"No space left|Read-only file system", "its folder for temporary files cannot be written"),
)


class SshLink:
    """The running agent on a board. Once it is gone, every request raises the reason at once.

    Args:
        host: as `ssh` takes it, with the user's ssh configuration.
        python: the program to run the agent with there.

    Attributes:
        process: ssh, on this machine.
        answers: unread ones, `MOST_ANSWERS` at most.
        complaints: the last `MOST_WORDS` bytes that ssh and the board printed besides answers.

    Raises:
        MnasError: if ssh is not installed.
    """

    _down: MnasError | None = None

    def __init__(self, host: str, python: str) -> None:
        self.host = host
        agent = resources.files("mnas.devices").joinpath("board_agent.py").read_bytes()
        options = [part for option in _OPTIONS for part in ("-o", option)]
        try:
            self.process = subprocess.Popen(
                ["ssh", "-T", *options, "--", host, _remote_command(len(agent), python)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise MnasError("ssh is not installed: apt-get install openssh-client") from None
        self.answers: queue.Queue[bytes] = queue.Queue()
        self.complaints = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._read, daemon=True).start()
        self._send(agent)

    def ask(self, request: dict[str, Any], data: bytes = b"", *, limit_s: float) -> Any:
        """Send a request, and wait for its answer.

        Raises:
            MnasError: if the request fails on the board, or the board does not answer in time or is gone.
        """
        if self._down is not None:
            raise self._down
        self._send(json.dumps(request).encode() + b"\n" + data)
        try:
            line = self.answers.get(timeout=limit_s)
        except queue.Empty:
            self.close()
            self._down = MnasError(f"{self.host} did not answer for {limit_s:g} s: is it overloaded?")
            raise self._down from None
        if not line:
            self._down = self._gone()
            raise self._down
        try:
            answer = parse_json(line)
            if not isinstance(answer, dict) or not answer.keys() & {"ok", "error"}:
                raise ValueError
        except (ValueError, RecursionError):
            raise MnasError(
                f"{self.host} sent an invalid answer: {last_lines(line.decode('utf-8', 'replace'))}"
            ) from None
        if "error" in answer:
            raise MnasError(f"on {self.host}: {last_lines(str(answer['error']))}")
        return answer["ok"]

    def close(self) -> None:
        """End the agent; it removes itself."""
        if self.process.stdin and not self.process.stdin.closed:
            with suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(_HANG_UP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listener.join(_LISTEN_S)

    def _send(self, data: bytes) -> None:
        # If the other end is gone or this one closed, waiting for the answer raises the reason.
        with suppress(OSError, ValueError):
            assert self.process.stdin is not None
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            # The length limit keeps an endless line from filling the memory; half a line is not an answer.
            while (line := stream.readline(_LONGEST_LINE)).endswith(b"\n"):
                if self.answers.qsize() >= MOST_ANSWERS:  # without a request
                    break
                if line.startswith(b"mnas "):  # login scripts print other lines
                    self.answers.put(line[5:])
        self.answers.put(b"")

    def _listen(self) -> None:
        stream = self.process.stderr
        assert stream is not None
        with stream:
            while said := os.read(stream.fileno(), MOST_WORDS):
                self.complaints = (self.complaints + said)[-MOST_WORDS:]

    def _gone(self) -> MnasError:
        self.close()
        said = self.complaints.decode("utf-8", "replace")
        hint = next(
            (hint for pattern, hint in _HINTS if re.search(pattern, said)), "the connection broke: run it again"
        )
        return MnasError(f"cannot measure on {self.host}: {hint.format(host=self.host)}\n  {last_lines(said)}")


def _remote_command(size: int, python: str) -> str:
    """The shell command on the board: run the agent from a temporary file."""
    script = (
        'folder=$(mktemp -d) || exit 1; trap \'rm -rf "$folder"\' EXIT; trap "exit 1" HUP TERM; '
        f'head -c {size} >"$folder/board_agent.py" && {shlex.quote(python)} -u "$folder/board_agent.py"'
    )
    return shlex.join(["sh", "-c", script])  # for any login shell
