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

from mnas.devices.base import LostDeviceError
from mnas.devices.benchmark_log import last_lines
from mnas.errors import MnasError
from mnas.system.files import parse_json

# No questions at the terminal; a lost connection is noticed within 15 s.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=3", "ForwardX11=no")
_HANG_UP_S = 10.0
_LOGIN_S = 45.0  # for logging in and starting Python; only then are answers waited for as long as they may take
_LONGEST_LINE = 1 << 24  # bytes
_PART = 1 << 16
MOST_WORDS = 1 << 16  # the last bytes that ssh and the board print besides answers
MOST_ANSWERS = 16  # unread ones; there is one per request
_LISTEN_S = 1.0  # an ssh that shares connections leaves a process that keeps stderr open
_SSH_FAILED = 255  # exit code of ssh itself, not of what runs there
# What the board's shell says before the agent runs. Each follows a line end: a login script may print a prompt.
_SHELL, _SENT, _PYTHON, _OLD, _NO_PYTHON = "shell", "sent", "python", "old", "no-python"
_HINTS = (
    # what ssh prints, what to do
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its key has changed. If it was installed again: ssh-keygen -R {entry}, then connect once by hand: ssh {host}",
    ),
    (r"Host key verification failed", "its key is not known yet: connect once by hand and compare it: ssh {host}"),
    (
        r"Permission denied",
        "it does not accept this computer's keys, and mnas cannot enter passwords: ssh-copy-id {host}",
    ),
    (r"Could not resolve hostname", "there is no host of that name: is it in ~/.ssh/config, and switched on?"),
    (r"Connection refused", "nothing answers ssh there: is sshd running, on {port}?"),
    (
        r"timed out|No route to host|Network is unreachable",
        "it does not answer: is it switched on, and on this network?",
    ),
)
_REFUSALS = r"HOST IDENTIFICATION HAS CHANGED|Host key verification failed|Permission denied"
_NOT_STARTED = {
    "": "its login has not reached a shell that runs commands: does this print hello at once? ssh {host} echo hello",
    _SHELL: "its folder for temporary files cannot be written, or is full",
    _SENT: "its Python {python} has not started",
}
_CHOOSE = "choose one with --device ssh:HOST:/PATH/TO/PYTHON"


class SshLink:
    """The running agent on a board. Once it is gone, every request raises the reason at once.

    Args:
        host: as `ssh` takes it, with the user's ssh configuration.
        python: the program to run the agent with there.
        port: of its sshd; None for that of the configuration.

    Attributes:
        process: ssh, on this machine.
        answers: unread ones, `MOST_ANSWERS` at most.
        complaints: the last `MOST_WORDS` bytes that ssh and the board printed on stderr.
        chatter: the last ones that the board printed on stdout besides answers.
        stage: how far the board has come, as its shell says it.

    Raises:
        MnasError: if ssh is not installed.
    """

    _down: MnasError | None = None
    _answered = False
    _rest = b""  # of stdout, after its last line: maybe a prompt that waits for somebody

    def __init__(self, host: str, python: str, *, port: int | None = None) -> None:
        self.host, self._python, self._port = host, python, port
        agent = resources.files("mnas.devices").joinpath("board_agent.py").read_bytes()
        options = [part for option in _OPTIONS for part in ("-o", option)]
        options += [] if port is None else ["-p", str(port)]
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
        self.complaints = self.chatter = b""
        self.stage = ""
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
            line = self._next(limit_s)
        except TimeoutError as error:
            self.close()
            kind = LostDeviceError if self._answered else MnasError
            self._down = kind(f"{self.host} did not answer for {error.args[0]:g} s: {self._why_late()}")
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

    def _next(self, limit_s: float) -> bytes:
        """The next answer; TimeoutError with the seconds that were waited."""
        first_s = limit_s if self._answered else min(limit_s, _LOGIN_S)
        try:
            line = self.answers.get(timeout=first_s)
        except queue.Empty:
            if self.stage != _PYTHON:
                raise TimeoutError(first_s) from None
            try:
                line = self.answers.get(timeout=limit_s - first_s)
            except (queue.Empty, ValueError):
                raise TimeoutError(limit_s) from None
        self._answered = self._answered or bool(line)
        return line

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
        rest = b""
        with self.process.stdout as stream:
            # The length limit keeps an endless line from filling the memory; half a line is not an answer.
            while len(rest) < _LONGEST_LINE and (part := stream.read1(_PART)):  # type: ignore[attr-defined]
                *lines, rest = (rest + part).split(b"\n")
                self._rest = rest[-_PART:]
                if not all(map(self._hear, lines)):
                    break
        self.answers.put(b"")

    def _hear(self, line: bytes) -> bool:
        """Sort a line of the board's stdout; returns whether to listen on."""
        if line.startswith(b"mnas "):
            if self.answers.qsize() >= MOST_ANSWERS:  # without a request
                return False
            self.answers.put(line[5:])
        elif line.startswith(b"mnas-stage "):
            self.stage = line[11:].decode("utf-8", "replace").strip()
        else:  # login scripts print
            self.chatter = (self.chatter + line + b"\n")[-MOST_WORDS:]
        return True

    def _listen(self) -> None:
        stream = self.process.stderr
        assert stream is not None
        with stream:
            while said := os.read(stream.fileno(), MOST_WORDS):
                self.complaints = (self.complaints + said)[-MOST_WORDS:]

    def _gone(self) -> MnasError:
        self.close()
        said = self.complaints.decode("utf-8", "replace")
        kind = LostDeviceError if self._may_come_back(said) else MnasError
        return kind(f"cannot measure on {self.host}: {self._why_gone(said)}\n  {self._heard()}")

    def _may_come_back(self, said: str) -> bool:
        """Whether the connection is at fault, not what the board has or whom it lets in."""
        if self.stage == _PYTHON or self._answered:
            return True
        return not self.stage and self.process.wait() == _SSH_FAILED and not re.search(_REFUSALS, said)

    def _why_gone(self, said: str) -> str:
        word, _, rest = self.stage.partition(" ")
        if word == _PYTHON or self._answered:
            return "the connection broke: run it again"
        if word == _OLD:
            return f"mnas needs Python 3.8 there, and {self._python} is {rest[:40]}: {_CHOOSE}"
        if word == _NO_PYTHON:
            what = {"126": "cannot be executed", "127": "is no program there"}.get(
                rest, f"fails (exit code {rest[:3]})"
            )
            return f"it has no such Python: {self._python} {what}; {_CHOOSE}"
        if not word and self.process.wait() == _SSH_FAILED:
            port = "the port in ~/.ssh/config" if self._port is None else f"port {self._port}"
            names = {
                "host": self._name,
                "port": port,
                "entry": self.host if self._port is None else f"'[{self.host}]:{self._port}'",
            }
            hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), "the connection broke")
            return hint.format(**names)
        return self._not_started(word)

    def _why_late(self) -> str:
        if self._answered or self.stage == _PYTHON:
            return "is it overloaded?"
        return f"{self._not_started(self.stage)}\n  {self._heard()}"

    def _not_started(self, stage: str) -> str:
        return _NOT_STARTED.get(stage, _NOT_STARTED[""]).format(host=self._name, python=self._python)

    @property
    def _name(self) -> str:
        """The host, as a command line of ssh has it."""
        return self.host if self._port is None else f"-p {self._port} {self.host}"

    def _heard(self) -> str:
        return last_lines(
            "\n".join(part.decode("utf-8", "replace") for part in (self.chatter + self._rest, self.complaints))
        )


def _remote_command(size: int, python: str) -> str:
    """The shell command on the board: run the agent from a temporary file, and say how far that has come."""
    python = shlex.quote(python)
    is_new = shlex.quote("import sys; sys.exit(3 if sys.version_info < (3, 8) else 0)")
    script = f"""say() {{ printf '\\nmnas-stage %s\\n' "$*"; }}
say {_SHELL}
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT; trap "exit 1" HUP TERM
agent="$folder/board_agent.py"
head -c {size} >"$agent" && [ $(wc -c <"$agent") = {size} ] || exit 1
say {_SENT}
{python} -c {is_new} </dev/null >/dev/null; code=$?
[ $code = 0 ] || {{ [ $code = 3 ] && say {_OLD} $({python} -V 2>&1) || say {_NO_PYTHON} $code; exit 1; }}
say {_PYTHON}
{python} -u "$agent"
"""
    return shlex.join(["sh", "-c", script])  # for any login shell
