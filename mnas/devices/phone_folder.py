"""The folder of a run on a phone, and the phone's lock: two computers may have the same phone, over USB and network.

Each run has a folder of its own. The lock is a folder too, because making one either succeeds or fails; it holds its
owner and the phone's time, which every measurement renews. If an owner was not heard of for `STALE_S`, the next run
takes the lock over; should the former one wake up, its next command finds another owner and ends.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import secrets
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mnas.devices.adb import Adb
from mnas.devices.benchmark_log import printable
from mnas.errors import MnasError
from mnas.system.files import write_atomically
from mnas.system.lock import owner

FOLDER = "/data/local/tmp/mnas"  # adb's user may write and run programs there
STALE_S = 900.0  # the longest wait between two renewals is that for a phone to cool down, which renews too
_LOCK, _OWNER, _TIME = f"{FOLDER}/lock", f"{FOLDER}/lock/owner", f"{FOLDER}/lock/time"
_TRIES, _PAUSE_S = 3, 1.0
_CHECK_LIMIT_S = 120.0  # a slow phone reads a few hundred megabytes

_log = logging.getLogger(__name__)


class PhoneFolder:
    """A run's folder on a phone.

    Args:
        adb: connection to the phone.
        cache: this user's folder on this computer, for this computer's number.

    Attributes:
        path: of the folder, on the phone.
    """

    def __init__(self, adb: Adb, cache: Path) -> None:
        self.adb = adb
        self._name = f"run-{secrets.token_hex(8)}"
        self.path = f"{FOLDER}/{self._name}"
        self._computer = hashlib.sha256(f"{_computer(cache)} {adb.serial}".encode()).hexdigest()[:16]
        self._owner = printable(f"{self._name} {self._computer} {_user()}, {owner()}")

    def open(self) -> None:
        """Take the phone's lock, remove what former runs left, and make the folder.

        Raises:
            MnasError: if another run holds the lock, or the phone goes away.
        """
        for _ in range(_TRIES):
            if self._take():
                break
        else:
            raise self._held("another run", "nothing says since when")
        # Only the holder of the lock works here: everything else is left over.
        self.shell(f'for each in {FOLDER}/*; do [ "$each" = {_LOCK} ] || rm -rf "$each"; done; mkdir -p {self.path}')

    def _take(self) -> bool:
        """Take the lock, if it is free; if its owner is gone, only free it. Returns whether it was taken.

        Raises:
            MnasError: if another run holds it.
        """
        said = self.adb.shell(
            f"mkdir -p {FOLDER}; if mkdir {_LOCK} 2>/dev/null; "
            f"then {{ echo {shlex.quote(self._owner)} >{_OWNER} && date +%s >{_TIME} && echo taken; }} || "
            f"{{ rm -rf {_LOCK}; exit 1; }}; elif [ -d {_LOCK} ]; then "
            f'echo "now $(date +%s)"; echo "time $(cat {_TIME} 2>/dev/null)"; '
            f'echo "owner $(cat {_OWNER} 2>/dev/null)"; else mkdir {_LOCK}; fi',
            what=f"mkdir {_LOCK}",
        )
        if said.strip() == "taken":
            return True
        found = dict(line.partition(" ")[::2] for line in said.splitlines())
        holder = found.get("owner", "")
        _, _, rest = holder.partition(" ")
        computer, _, who = rest.partition(" ")
        # This process holds this computer's own lock of the phone: its former run has ended.
        if computer != self._computer:
            age_s = _age_s(found.get("now", ""), found.get("time", ""))
            if not holder or age_s is None:
                time.sleep(_PAUSE_S)  # it may have been made this moment
                return False
            if age_s < STALE_S:
                raise self._held(who, f"last heard of {age_s:.0f} s ago")
            minutes = age_s / 60
            _log.warning("taking the phone over from %s, not heard of for %.0f minutes", printable(who), minutes)
        aside = f"{FOLDER}/{self._name}.old"
        self.adb.shell(f'[ "$(cat {_OWNER})" = {shlex.quote(holder)} ] && mv {_LOCK} {aside}; rm -rf {aside}')
        return False

    def _held(self, who: str, heard: str) -> MnasError:
        serial = printable(self.adb.serial)
        return MnasError(
            f"the phone {serial} is being used by {printable(who)[:200]} ({heard}): wait for it, or use another phone. "
            f"If that run is gone: adb -s {serial} shell rm -r {_LOCK}"
        )

    def shell(self, command: str, *, limit_s: float = 10.0) -> str:
        """Run a command while this run holds the lock, and renew it. See `Adb.shell`.

        Raises:
            MnasError: as there, or if another run has taken the phone over.
        """
        guard = (
            f'[ "$(cat {_OWNER} 2>/dev/null)" = {shlex.quote(self._owner)} ] || '
            f'{{ echo "{self._name} lost $(cat {_OWNER} 2>/dev/null)"; exit 0; }}; date +%s >{_TIME}'
        )
        said = self.adb.shell(f"{guard}\n{command}", limit_s=limit_s, what=command)
        if said.startswith(f"{self._name} lost"):
            who = printable(said.splitlines()[0].partition(" lost ")[2].partition(" ")[2].partition(" ")[2])[:200]
            raise MnasError(
                f"the phone {printable(self.adb.serial)} was taken over by {who or 'another program, or restarted'} "
                "while this run was not heard of: run the same command again; finished measurements are kept"
            )
        return said

    def push(self, files: Sequence[Path]) -> None:
        """Copy files into the folder, and compare their checksums there (sizes, if the phone cannot).

        Raises:
            MnasError: if they cannot be copied, or are others there.
        """
        self.adb.push(files, f"{self.path}/")
        names = " ".join(shlex.quote(file.name) for file in files)
        said = self.shell(
            f"cd {self.path} && for each in {names}; do "
            'sha256sum "$each" 2>/dev/null || md5sum "$each" 2>/dev/null || wc -c "$each"; done',
            limit_s=_CHECK_LIMIT_S,
        )
        lines = [line.split() for line in said.splitlines() if line.strip()]
        there = {words[-1].lstrip("*"): words[0] for words in lines}
        for file in files:
            value = there.get(file.name, "")
            if value != _checksum(file.read_bytes(), len(value)):
                raise MnasError(
                    f"{file.name} on the phone {printable(self.adb.serial)} is not the file that was copied there: the "
                    f"copy is damaged, or another program writes into {self.path}. Run the same command again"
                )

    def close(self) -> None:
        """Remove the folder, and release the lock if this run still holds it; if the phone is gone, only warn."""
        try:
            self.adb.shell(
                f'rm -rf {self.path}; [ "$(cat {_OWNER} 2>/dev/null)" = {shlex.quote(self._owner)} ] && '
                f"rm -rf {_LOCK}; rmdir {FOLDER} 2>/dev/null; true"
            )
        except MnasError:
            _log.warning("could not remove %s from the phone: the next measurement does", FOLDER)


def _age_s(now: str, then: str) -> float | None:
    """Seconds between two times of the phone; None if it does not know them. Its clock may have been set back."""
    return abs(int(now) - int(then)) if now.isdigit() and then.isdigit() else None


def _checksum(data: bytes, length: int) -> str:
    """What the phone's program prints, told by the length of what it printed."""
    by_length = {64: hashlib.sha256, 32: hashlib.md5}
    return by_length[length](data).hexdigest() if length in by_length else str(len(data))


def _computer(cache: Path) -> str:
    """A random number of this computer and user; two computers may have the same name."""
    path = cache / "computer"
    with suppress(OSError):
        return path.read_text(encoding="utf-8")
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(path, secrets.token_hex(16))
    return path.read_text(encoding="utf-8")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a user without a name, as in some containers
        return str(os.getuid()) if hasattr(os, "getuid") else "user"
