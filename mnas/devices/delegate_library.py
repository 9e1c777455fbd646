"""The library of an external delegate: a file on this computer, which is copied to the phone, or one that is there."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import replace
from pathlib import Path

from mnas.devices.adb import Adb
from mnas.devices.delegate import Delegate
from mnas.devices.phone_folder import PhoneFolder
from mnas.errors import InputError


class DelegateLibrary:
    """What an external delegate needs on a phone; nothing for others.

    Args:
        adb: connection to the phone.
        delegate: a text as `Delegate.parse` reads it.

    Raises:
        InputError: if the library is neither here nor there, or another one than the table's.
        MnasError: if the phone goes away.

    Attributes:
        delegate: the same text with the library's SHA-256, which makes it part of a table's identity.
    """

    def __init__(self, adb: Adb, delegate: str) -> None:
        self._wanted = Delegate.parse(delegate)
        self._local: Path | None = None
        self.delegate = delegate
        if not self._wanted.library:
            return
        path = Path(self._wanted.library)
        if path.is_file():
            self._local = path
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found = _sha256(adb, str(path))
        if self._wanted.sha256 and found != self._wanted.sha256:
            raise InputError(f"--external-delegate {path} is not the library that the table was measured with")
        self._wanted = replace(self._wanted, sha256=found)
        self.delegate = str(self._wanted)

    def copy(self, folder: PhoneFolder) -> None:
        """Copy it into a run's folder, if it is on this computer.

        Raises:
            MnasError: if it cannot be copied.
        """
        if self._local is not None:
            folder.push([self._local])

    def there(self, folder: PhoneFolder) -> str:
        """The delegate with the library's path on the phone."""
        if self._local is None:
            return self.delegate
        return str(replace(self._wanted, library=f"{folder.path}/{self._local.name}"))


def _sha256(adb: Adb, path: str) -> str:
    """The hash of a file on the phone; empty if the phone cannot compute it.

    Raises:
        InputError: if there is no such file.
    """
    quoted = shlex.quote(path)
    said = adb.shell(f"[ -f {quoted} ] && echo there; sha256sum {quoted} 2>/dev/null", check=False, limit_s=60.0)
    if not path.startswith("/") or "there" not in said.split():
        raise InputError(
            f"--external-delegate is {path}: there is no such file, neither on this computer nor on the phone"
        )
    found = re.search(r"\b[0-9a-f]{64}\b", said)
    return found[0] if found else ""
