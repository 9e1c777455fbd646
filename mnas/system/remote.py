"""Folders at any address that fsspec knows, such as `s3://bucket/images` (the extra `mnas[remote]`).

Data is copied to this machine once. Results are written on this machine, and mirrored to the address from time to time.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mnas.errors import InputError, MnasError
from mnas.system.cache import cache_folder
from mnas.system.files import is_leftover
from mnas.system.lock import hold

_LOGGER = logging.getLogger(__name__)
BATCH = 256  # files per request


def is_remote(text: str) -> bool:
    """Whether this is an address, not a path."""
    return "://" in text


def local_copy(url: str, wanted: Callable[[str], bool]) -> Path:
    """Return a folder's copy on this machine, made at the first use; an interrupted copy is resumed.

    Copies are kept in `mnas.system.cache.cache_folder`. To copy a folder that has changed, delete its copy.

    Args:
        url: of the folder.
        wanted: whether to copy a file, by name.

    Raises:
        InputError: if there is no such folder, or no wanted file in it.
        MnasError: if it cannot be copied, or fsspec or its package for this address is not installed.
    """
    cache = cache_folder("data")
    folder = cache / hashlib.sha256(url.encode()).hexdigest()[:32]
    if folder.is_dir():
        return folder
    with hold(cache / f"{folder.name}.lock", f"the copy of {url}", wait=True):
        if not folder.is_dir():  # another process may have made it meanwhile
            part = cache / f"{folder.name}.part"
            if not fetch(url, part, wanted):
                raise InputError(f"{url} holds no usable file: check the address")
            part.replace(folder)
            _LOGGER.info("%s was copied to %s", url, folder)
    return folder


def fetch(url: str, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
    """Copy the wanted files of a remote folder, skipping local files of the same size; return all their names.

    Raises:
        InputError: if a name leads out of the folder.
        MnasError: if something cannot be copied.
    """
    with _failures(f"cannot copy {url}"):
        files, root = _opened(url)
        found = files.find(root, detail=True) if files.exists(root) else {}
        sizes = {_inside(path, root): info.get("size") for path, info in found.items()}
        names = sorted(name for name in sizes if wanted(name))
        lacking = [name for name in names if not _is_here(folder / name, sizes[name])]
        for start in range(0, len(lacking), BATCH):
            batch = lacking[start : start + BATCH]
            for name in batch:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
            files.get([f"{root}/{name}" for name in batch], [str(folder / name) for name in batch])
    return names


class Mirror:
    """A local folder and its remote copy.

    Args:
        folder: the local folder.
        url: its remote address.
        seconds: minimum time between two copies.
    """

    def __init__(self, folder: Path, url: str, *, seconds: float = 60.0) -> None:
        self.folder, self.url, self._seconds = folder, url.rstrip("/"), seconds
        self._sent: dict[str, tuple[int, int]] = {}
        self._last = time.monotonic()

    def fetch(self) -> bool:
        """Copy the remote folder completely, unless the local one has files; return whether it was copied.

        Raises:
            InputError: if the local folder does not continue the remote one.
            MnasError: if it cannot be copied, or another process is copying it.
        """
        if self.folder.is_dir() and any(self.folder.iterdir()):
            self._check_at_first()
            return False
        here = self.folder.resolve()
        part = here.with_name(f".{here.name}.mnas-part")
        with hold(here.with_name(f"{part.name}.lock"), f"the copy of {self.url}", remove=True):
            shutil.rmtree(part, ignore_errors=True)  # an interrupted copy may be outdated
            names = fetch(self.url, part)
            if names:
                part.replace(here)
        self._sent = {name: state for name, state in self._here().items() if name in names}
        return bool(names)

    def push_now_and_then(self) -> None:
        """Copy changes if the last copy is old enough; a failure is only a warning."""
        if time.monotonic() - self._last < self._seconds:
            return
        try:
            self.push()
        except MnasError as error:
            _LOGGER.warning("%s; the work continues, and the local folder is complete", error)
        self._last = time.monotonic()

    def push(self) -> None:
        """Copy changed files, and remove remote copies of removed files.

        Raises:
            InputError: if a remote log is not the beginning of the local one; nothing is overwritten then.
            MnasError: if copying fails; the local folder is complete.
        """
        with _failures(f"cannot copy {self.folder} to {self.url}"):
            files, root = _opened(self.url)
            self._check_continues(files, root)
            here = self._here()
            for name in sorted(name for name, state in here.items() if self._sent.get(name) != state):
                files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
                files.put_file(str(self.folder / name), f"{root}/{name}")
                self._sent[name] = here[name]
            for name in self._sent.keys() - here.keys():
                files.rm_file(f"{root}/{name}")
                del self._sent[name]

    def _check_at_first(self) -> None:
        """Raise before the work what `push` would raise after it; if the address cannot be read, only warn."""
        try:
            with _failures(f"cannot read {self.url}"):
                self._check_continues(*_opened(self.url))
        except InputError:
            raise
        except MnasError as error:
            _LOGGER.warning("%s; the work continues", error)

    def _check_continues(self, files: Any, root: str) -> None:
        """Refuse to overwrite a remote log that the local one does not continue: its trials would be lost."""
        files.invalidate_cache()  # another machine may have written since
        for path, info in (files.find(root, detail=True) if files.exists(root) else {}).items():
            if not _is_log(path) or info.get("size") == self._sent.get(_inside(path, root), (-1, 0))[0]:
                continue
            there, here = files.cat_file(path), self.folder / _inside(path, root)
            whole = there[: there.rfind(b"\n") + 1]  # without a torn last line
            if not (here.read_bytes() if here.is_file() else b"").startswith(whole):
                raise InputError(
                    f"{self.url} holds a {here.name} that {here} does not continue: "
                    "to continue the remote one, pass a folder that does not exist yet; to keep both, another address"
                )

    def _here(self) -> dict[str, tuple[int, int]]:
        """Return size and time of every file to copy."""
        states = {}
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a temporary file that has just been put in place
                if path.is_file() and not is_leftover(path) and path.name != "lock":
                    states[path.relative_to(self.folder).as_posix()] = (path.stat().st_size, path.stat().st_mtime_ns)
        return states


def _is_log(path: str) -> bool:
    """Whether a file's lines are results; a strategy's diagnostics may be shorter after a crash."""
    return path.endswith(".jsonl") and not path.endswith("/updates.jsonl")


def _opened(url: str) -> tuple[Any, str]:
    if "::" in url:
        raise InputError(f"{url}: expected one address, such as s3://bucket/folder, and not a chain of them")
    try:
        import fsspec
    except ImportError:
        raise MnasError(f"{url} needs fsspec: pip install 'mnas[remote]'") from None
    files, root = fsspec.core.url_to_fs(url)
    return files, str(root).rstrip("/")


@contextlib.contextmanager
def _failures(what: str) -> Iterator[None]:
    try:
        yield
    except MnasError:
        raise
    except ImportError as error:  # s3fs, gcsfs and so on are separate packages
        raise MnasError(f"{what}: {error}") from None
    except Exception as error:  # each file system raises its own errors
        raise MnasError(f"{what}: {type(error).__name__}: {error}") from None


def _inside(path: str, root: str) -> str:
    """Return a file's path relative to the root; it must not lead out of it."""
    name = str(path)[len(root) :].lstrip("/") if str(path).startswith(f"{root}/") else ""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or any(c in name for c in "\\:\0"):
        raise InputError(f"{root} holds {str(path)[:200]!r}: a name that may lead out of the folder")
    return name


def _is_here(path: Path, size: int | None) -> bool:
    return size is not None and path.is_file() and path.stat().st_size == size
