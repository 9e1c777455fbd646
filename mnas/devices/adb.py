"""The `adb` program: listing phones, running commands on one, copying files.

adb's exit code is unreliable: when the phone goes away during `adb shell`, adb 29 exits with 0 (adb 36 with 255). So
every command prints a random word at its end; without that word it has not finished. The exit code of the phone's
`timeout` is unreliable too.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from mnas.devices.base import LostDeviceError
from mnas.devices.benchmark_log import last_lines, printable
from mnas.devices.waiting import wait_until_back
from mnas.errors import InputError, MnasError

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

ANSWER_S = 15.0  # beyond a command's own limit
_GRACE_S = 2  # between asking a command to stop and killing it
_TRANSFER_S = 300.0
_MOST_BYTES = 1 << 24
_BECOMING_READY_S = 5.0
_MDNS = "._adb-tls-"  # in serials of wireless debugging, such as adb-9B101FFAZ001XY-a1B2c3._adb-tls-connect._tcp
_MOST_RETURNS = 3  # of a phone that then goes away again before it has answered
PAUSES_S = (2.0, 10.0, 60.0)  # before another try
_LONGEST_COMMAND = 80  # characters of it in a message
# What adb says of copying when the connection breaks; a moment later the phone may be there again.
_BROKEN = re.compile(
    r"device offline|device '[^']*' not found|no devices|error: closed|protocol fault|feature set", re.I
)
_STATES = {
    "unauthorized": "it has not allowed this computer yet: unlock its screen and accept 'Allow USB debugging?'",
    "authorizing": "it is asking whether to allow this computer: unlock its screen and accept",
    "offline": "adb sees it but it does not answer: unplug it and plug it in again (or: adb reconnect offline)",
    "connecting": "adb is still connecting to it: try again in a few seconds",
    "no permissions": "this user may not open its USB port: on Debian, apt-get install "
    "android-sdk-platform-tools-common (udev rules), then plug it in again",
    "recovery": "it is in recovery mode: restart it into Android",
    "rescue": "it is in rescue mode: restart it into Android",
    "sideload": "it is in sideload mode: restart it into Android",
    "bootloader": "it is in the boot loader: restart it into Android",
}


class SlowAnswerError(MnasError):
    """A command did not finish in time; the phone may answer others."""


class LostPhoneError(LostDeviceError):
    """The connection to a phone broke, or there is none."""


class Adb:
    """One phone behind the `adb` program.

    Args:
        serial: as `adb devices` prints it (for wireless debugging `adb-XXXX._adb-tls-connect._tcp`), or HOST:PORT of a
            phone on the network; empty for the only phone.
        wait_s: how long to wait for a phone that is gone, or not there yet.

    Raises:
        InputError: if there are several phones and no serial.
        MnasError: if adb is not installed, or the phone is not ready.

    Attributes:
        serial: of the phone.
        patience: whether what a broken connection has ended is done again, after pauses; a run of hours needs it.
        waited_s: how long it has waited for the phone, in all.
    """

    sleep = staticmethod(time.sleep)

    def __init__(self, serial: str = "", *, wait_s: float = 0.0) -> None:
        self.patience = False
        self.wait_s, self.waited_s = wait_s, 0.0
        chosen = serial or os.environ.get("ANDROID_SERIAL", "")
        try:
            self.serial = self._choose(chosen)
        except LostPhoneError as error:
            if chosen and not serial:
                error = LostPhoneError(f"{error}\n  The environment variable ANDROID_SERIAL names it.")
            self.serial = self._wait(chosen, error)
        self._limits_commands = False
        self._limits_commands = "yes" in self.shell("command -v timeout >/dev/null && echo yes")

    def _choose(self, serial: str) -> str:
        states = self._states()
        if ":" in serial and states.get(serial) != "device":
            if serial in states:
                _run(["disconnect", serial], ANSWER_S)  # else, after a drop, it is "already connected" for 10 s
            _run(["connect", serial], ANSWER_S)  # always exits with 0: check the state
        elif not serial:
            if not states:
                raise LostPhoneError(
                    "adb sees no phone. Plug it in, switch on USB debugging in its developer options, and run: "
                    "adb devices"
                )
            ready = [name for name, state in states.items() if state == "device"]
            if len(states) > 1 and len(ready) != 1:
                known = ", ".join(f"{printable(name)} ({state})" for name, state in states.items())
                raise InputError(f"adb sees {len(states)} phones: {known}. Choose one with --device adb:SERIAL")
            serial = ready[0] if ready else next(iter(states))
        self._wait_until_ready(serial)
        return serial

    def _wait_until_ready(self, serial: str) -> None:
        give_up = time.monotonic() + _BECOMING_READY_S
        while (state := self._states().get(serial, "")) != "device":
            # A phone that was just plugged in, that lost its network, or that mDNS has to find, takes a while.
            is_lost = not state and _MDNS not in serial
            if is_lost or state in ("unauthorized", "no permissions") or time.monotonic() > give_up:
                raise LostPhoneError(_why_not(serial, state, [name for name in self._states() if name != serial]))
            time.sleep(0.25)

    @staticmethod
    def _states() -> dict[str, str]:
        """States of all devices, by serial."""
        done = _run(["devices"], 2 * ANSWER_S)
        if done.returncode != 0:
            raise MnasError(f"adb cannot start its server:\n  {last_lines(done.stderr)}")
        return parse_states(done.stdout)

    def shell(self, command: str, *, limit_s: float = 10.0, check: bool = True, what: str = "") -> str:
        """Run a shell command and return what it prints, stdout and stderr together.

        Args:
            command: in the phone's shell language; quote everything that is not fixed text.
            limit_s: after which the phone ends it.
            check: whether an exit code other than 0 is an error.
            what: the command's name in messages; by default its beginning.

        Raises:
            SlowAnswerError: if it takes too long.
            MnasError: if it fails, or the phone goes away.
        """
        return self._patiently(lambda: self._shell(command, limit_s, check, _short(what or command)))

    def _shell(self, command: str, limit_s: float, check: bool, what: str) -> str:
        word = f"mnas-{secrets.token_hex(8)}"
        # Read the exit code inside: toybox's timeout sometimes reports 127 for a command that succeeded.
        script = f"( {command}\n) </dev/null 2>&1; mnas_code=$?; echo; echo {word}-code $mnas_code"
        if self._limits_commands:  # ending adb here would leave the command running there
            script = f"timeout -k {_GRACE_S} {limit_s:g} sh -c {shlex.quote(script)}"
        late = f"the phone {self._name} did not answer for {limit_s + ANSWER_S:g} s ({what}): is it frozen?"
        command = f"{script}; echo; echo {word}-end"
        done = self._phone(["shell", command], limit_s + _GRACE_S + ANSWER_S, late)
        said, ended, _ = done.stdout.replace("\r\n", "\n").rpartition(f"\n{word}-end")
        if not ended:
            raise self._gone(done)
        output, finished, code = said.rpartition(f"\n{word}-code ")
        if not finished:
            raise SlowAnswerError(f"a command on the phone took longer than {limit_s:g} s and was ended there: {what}")
        if check and code.strip() != "0":
            raise MnasError(
                f"a command failed on the phone (exit code {code.strip()[:3]}): {what}\n  {last_lines(output)}"
            )
        return output

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """Do it; with patience again after each pause, while the connection breaks, and when the phone is back."""
        for pause_s in PAUSES_S if self.patience else ():
            try:
                return work()
            except LostPhoneError as error:
                _log.warning("%s\n  Trying again in %g s.", error, pause_s)
            self.sleep(pause_s)
            with suppress(MnasError):
                self._choose(self.serial)
        for _ in range(_MOST_RETURNS if self.patience else 0):
            try:
                return work()
            except LostPhoneError as error:
                self._wait(self.serial, error)
        return work()

    def _wait(self, serial: str, lost: LostPhoneError) -> str:
        def connect() -> str:
            if self._states().get(serial) == "offline":
                _run(["-s", serial, "reconnect"], ANSWER_S)
            return self._choose(serial)

        name = f"the phone {printable(serial)}" if serial else "a phone"
        began = time.monotonic()
        try:
            return wait_until_back(name, connect, lost, wait_s=self.wait_s, sleep=self.sleep)
        finally:
            self.waited_s += time.monotonic() - began

    def push(self, files: Sequence[Path], folder: str) -> None:
        """Copy files into a folder of the phone.

        Raises:
            MnasError: if the phone is full, refuses them, or goes away.
        """
        self._patiently(lambda: self._push(files, folder))

    def _push(self, files: Sequence[Path], folder: str) -> None:
        late = f"copying to the phone {self._name} took longer than {_TRANSFER_S:g} s"
        done = self._phone(["push", *map(str, files), folder], _TRANSFER_S, late)
        if done.returncode == 0:
            return
        said = done.stdout + done.stderr
        if "No space left" in said or "ENOSPC" in said:
            raise MnasError(f"the phone {self._name} has no space left: free some of it (mnas uses {folder})")
        if not _BROKEN.search(said) and self._states().get(self.serial) == "device":
            raise MnasError(f"the phone {self._name} does not accept files in {folder}:\n  {last_lines(said)}")
        raise self._gone(done)

    def pull(self, file: str, folder: Path) -> bytes:
        """Return the content of a file on the phone.

        Args:
            file: on the phone.
            folder: on this machine, for a temporary copy.

        Raises:
            MnasError: if there is no such file, or the phone goes away.
        """
        return self._patiently(lambda: self._pull(file, folder))

    def _pull(self, file: str, folder: Path) -> bytes:
        target = folder / "pulled"
        target.unlink(missing_ok=True)
        late = f"copying from the phone {self._name} took longer than {_TRANSFER_S:g} s"
        done = self._phone(["pull", file, str(target)], _TRANSFER_S, late)
        if done.returncode == 0 and target.is_file():
            return target.read_bytes()
        said = done.stdout + done.stderr
        if not _BROKEN.search(said) and self._states().get(self.serial) == "device":
            raise MnasError(f"cannot read the file {file} of the phone {self._name}:\n  {last_lines(said)}")
        raise self._gone(done)

    def _phone(self, arguments: list[str], limit_s: float, late: str) -> subprocess.CompletedProcess[str]:
        try:
            return _run(["-s", self.serial, *arguments], limit_s)
        except TimeoutError:
            raise SlowAnswerError(late) from None

    def _gone(self, done: subprocess.CompletedProcess[str]) -> MnasError:
        state = self._states().get(self.serial, "")
        if state == "device":
            return LostPhoneError(
                f"the connection to the phone {self._name} broke: run the same command again\n  "
                + last_lines(done.stderr)
            )
        return LostPhoneError(
            f"lost the phone during the work: {_why_not(self.serial, state)}\n  Then run the same command again."
        )

    @property
    def _name(self) -> str:
        return printable(self.serial)


def _short(command: str) -> str:
    """The beginning of a command, for a message."""
    line = " ".join(printable(command, keep_lines=True).split())
    return line if len(line) <= _LONGEST_COMMAND else line[:_LONGEST_COMMAND] + " ..."


def parse_states(text: str) -> dict[str, str]:
    """Parse the output of `adb devices` into states by serial."""
    pairs = [line.partition("\t") for line in text.splitlines() if "\t" in line]
    return {name: printable(state.partition(" (")[0].partition(";")[0]).strip() for name, _, state in pairs}


def _why_not(serial: str, state: str, others: Sequence[str] = ()) -> str:
    name = printable(serial)
    if not state:
        network = ":" in serial or _MDNS in serial
        hint = "check adb devices" + ("; is wireless debugging on?" if network else ", and its cable")
        there = f"; adb sees {', '.join(map(printable, others))}" if others else ""
        return f"the phone {name} is not connected: {hint}{there}"
    return f"the phone {name} is not ready ({state}): {_STATES.get(state, 'see adb devices')}"


def _run(arguments: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run adb. Output goes to files, so that endless output of a phone does not fill the memory."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                ["adb", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                timeout=limit_s,
                check=False,
            )
        except FileNotFoundError:
            raise MnasError(
                "adb is not installed: apt-get install adb, or Android's platform-tools; then run: adb devices"
            ) from None
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        said = [_text(file) for file in (out, errors)]
    return subprocess.CompletedProcess(done.args, done.returncode, *said)


def _text(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    if size > _MOST_BYTES:
        raise MnasError(f"the phone printed {size >> 20} MiB where a few lines were expected")
    file.seek(0)
    return file.read().decode("utf-8", "replace").replace("\r\n", "\n")
