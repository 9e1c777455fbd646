"""Folders at any address that fsspec knows, such as `s3://bucket/images` (the extra `mnas[remote]`).

Data is copied here once. What is written is written here, whole or not at all, and mirrored there now and then.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mnas.errors import InputError, MnasError
from mnas.system.files import is_leftover
from mnas.system.lock import hold

_LOGGER = logging.getLogger(__name__)
BATCH = 256  # files asked for at a time


def is_remote(text: str) -> bool:
    """Whether this is an address and no path."""
    return "://" in text


def local_copy(url: str, wanted: Callable[[str], bool]) -> Path:
    """A folder's copy on this machine, made at the first use; what an interrupted copy has got is not fetched again.

    Copies are kept in `$MNAS_CACHE`, else `~/.cache/mnas`. A folder that has changed since is copied anew once its
    copy is deleted.

    Args:
        url: of the folder.
        wanted: which files to copy, by name.

    Raises:
        InputError: if there is no such folder, or nothing in it is wanted.
        MnasError: if it cannot be copied, or fsspec or what it needs for this address is not installed.
    """
    cache = Path(os.environ.get("MNAS_CACHE") or Path.home() / ".cache" / "mnas") / "data"
    folder = cache / hashlib.sha256(url.encode()).hexdigest()[:32]
    if folder.is_dir():
        return folder
    with hold(cache / f"{folder.name}.lock", f"the copy of {url}", wait=True):
        if not folder.is_dir():  # else another process has made it while this one waited
            part = cache / f"{folder.name}.part"
            if not fetch(url, part, wanted):
                raise InputError(f"{url} holds nothing that can be used: is the address right?")
            part.replace(folder)
            _LOGGER.info("%s was copied to %s", url, folder)
    return folder


def fetch(url: str, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
    """Copy the wanted files of a remote folder, those that are not here in the same size; gives all their names.

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
    """A folder of this machine and its copy elsewhere.

    Args:
        folder: here.
        url: there.
        seconds: how long to wait from one copy to the next.
    """

    def __init__(self, folder: Path, url: str, *, seconds: float = 60.0) -> None:
        self.folder, self.url, self._seconds = folder, url.rstrip("/"), seconds
        self._sent: dict[str, tuple[int, int]] = {}
        self._last = time.monotonic()

    def fetch(self) -> bool:
        """Copy everything here, all of it or nothing, unless something is here; whether it was there.

        Raises:
            InputError: if what is here is no continuation of what is there.
            MnasError: if it cannot be copied, or another process is doing so.
        """
        if self.folder.is_dir() and any(self.folder.iterdir()):
            self._check_at_first()
            return False
        here = self.folder.resolve()
        part = here.with_name(f".{here.name}.mnas-part")
        with hold(here.with_name(f"{part.name}.lock"), f"the copy of {self.url}", remove=True):
            shutil.rmtree(part, ignore_errors=True)  # an interrupted copy may be older than what is there now
            names = fetch(self.url, part)
            if names:
                part.replace(here)
        self._sent = {name: state for name, state in self._here().items() if name in names}
        return bool(names)

    def push_now_and_then(self) -> None:
        """Copy what has changed, if the last time is long ago; where that fails, say so and go on."""
        if time.monotonic() - self._last < self._seconds:
            return
        try:
            self.push()
        except MnasError as error:
            _LOGGER.warning("%s; the work goes on, and what is here is whole", error)
        self._last = time.monotonic()

    def push(self) -> None:
        """Copy what has changed, and remove there what was removed here.

        Raises:
            InputError: if a log there is not the beginning of the one here; nothing is written over then.
            MnasError: if that fails; what is here is whole.
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
        """Refuse before the work what `push` would refuse after it; where it cannot be seen now, the work goes on."""
        try:
            with _failures(f"cannot look at {self.url}"):
                self._check_continues(*_opened(self.url))
        except InputError:
            raise
        except MnasError as error:
            _LOGGER.warning("%s; the work goes on", error)

    def _check_continues(self, files: Any, root: str) -> None:
        """Refuse to write over a log there that is longer than the one here, or another: its trials would be gone."""
        files.invalidate_cache()  # another machine may have written since
        for path, info in (files.find(root, detail=True) if files.exists(root) else {}).items():
            if not _is_log(path) or info.get("size") == self._sent.get(_inside(path, root), (-1, 0))[0]:
                continue
            there, here = files.cat_file(path), self.folder / _inside(path, root)
            whole = there[: there.rfind(b"\n") + 1]  # a torn last line counts nowhere
            if not (here.read_bytes() if here.is_file() else b"").startswith(whole):
                raise InputError(
                    f"{self.url} holds a {here.name} that {here} does not go on from: "
                    "to go on with what is there, name a folder that does not exist yet; to keep both, another address"
                )

    def _here(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file that is worth a copy."""
        states = {}
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a temporary file that has just been put in place
                if path.is_file() and not is_leftover(path) and path.name != "lock":
                    states[path.relative_to(self.folder).as_posix()] = (path.stat().st_size, path.stat().st_mtime_ns)
        return states


def _is_log(path: str) -> bool:
    """Whether a file's lines are work; what a strategy says of itself is for plots, and may be short after a crash."""
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
    except ImportError as error:  # s3fs, gcsfs and so on are packages of their own
        raise MnasError(f"{what}: {error}") from None
    except Exception as error:  # what a file system raises depends on which it is
        raise MnasError(f"{what}: {type(error).__name__}: {error}") from None


def _inside(path: str, root: str) -> str:
    """A file's name below the root, which must stay below it here too."""
    name = str(path)[len(root) :].lstrip("/") if str(path).startswith(f"{root}/") else ""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or any(c in name for c in "\\:\0"):
        raise InputError(f"{root} holds {str(path)[:200]!r}: a name that may lead out of the folder")
    return name


def _is_here(path: Path, size: int | None) -> bool:
    return size is not None and path.is_file() and path.stat().st_size == size
