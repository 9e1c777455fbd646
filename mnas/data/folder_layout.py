"""Which folders of a data set are splits and which are classes, and the files in them."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mnas.errors import InputError
from mnas.system.remote import is_remote, local_copy

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
_KINDS = {
    "train": ("train", "training", "trainset"),
    "test": ("test", "testing", "testset"),
    "validation": ("val", "valid", "validation", "valset"),
}
_USUAL = frozenset(("set", "data", "dataset", "split", "folder", "img", "imgs", "image", "images", "seg"))
# Folders that systems, network disks and archives add; names that begin with a full stop are left out too.
_FOREIGN = {"__MACOSX", "@eaDir", "#recycle", "@Recycle", "@Recently-Snapshot", "$RECYCLE.BIN", "lost+found"}
_FOREIGN |= {"System Volume Information", "__pycache__"}
_LAYOUTS = "expected train/CLASS with test/CLASS or val/CLASS beside it, or one folder of images a class"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a data set.

    Attributes:
        images: paths by split and class, sorted.
        loose: number of images that are in no class's folder.
        other_files: number of files that are no images by their names, by suffix.
        skipped: number of what else is not read, by kind: hidden images, links that lead nowhere.
    """

    images: dict[str, dict[str, list[Path]]]
    loose: int
    other_files: dict[str, int]
    skipped: dict[str, int]


def open_folder(name: str) -> Path:
    """Return a folder of images; one at an address is copied first.

    Raises:
        InputError: for a missing folder.
        MnasError: for an address that cannot be copied.
    """
    root = local_copy(name, is_image) if is_remote(name) else Path(name)
    if root.is_file():
        raise InputError(f"{name} is a file: expected a folder with one folder of images a class; unpack an archive")
    if not root.is_dir():
        raise InputError(
            f"no data set is called {name!r} and no such folder exists: expected digits, fashion_mnist, cifar10, "
            "cifar100, a folder with one folder of images a class, or its address (s3://...). If the folder has moved, "
            "pass its new path (--data)"
        )
    return root


def absolute_path(name: str | None) -> str | None:
    """Return the path of a folder of images; None for a data set with a name, or an address."""
    return os.path.abspath(name) if name and not is_remote(name) and os.path.isdir(name) else None


def find_again(name: str, path: Any) -> str:
    """Return a folder's name as it was passed once; its path, if there is no such folder from here."""
    return path if isinstance(path, str) and not os.path.isdir(name) and os.path.isdir(path) else name


def is_image(name: str) -> bool:
    """Whether a file's name ends as those of images do."""
    return name.lower().endswith(SUFFIXES)


def is_foreign(name: str) -> bool:
    """Whether a file or folder is hidden, or made by a system and not by a user."""
    return name.startswith(".") or name in _FOREIGN


def find_splits(root: Path) -> dict[str, Path]:
    """Return the folders that hold the classes: `train` and `test`, or only `train` (perhaps the root itself).

    Folders are splits by their names: `train` and `test`, `Training` and `Testing`, `images_train` and `images_val`.

    Raises:
        InputError: for folders that have the names of splits, but in no known layout, or that all hold the same
            folders: they would be taken for classes, and the accuracy would be meaningless.
    """
    found = folder_names(root)
    train = _named(found, "train")
    if len(train) == 1 and (splits := _beside(root, train[0], found)):
        return splits
    plain = [name for name in found if _is_plain(name)]
    if plain and (len(plain) == len(found) or len({_kind(name) for name in plain} & {"train", "test"}) > 1):
        raise InputError(f"{root} has the folders {listed(found)}, which are not classes: {_LAYOUTS}")
    _refuse_equal(root, found)
    return {"train": root}


def _beside(root: Path, train: str, found: list[str]) -> dict[str, Path] | None:
    """Return the splits if a folder of test or validation images stands beside that of training images."""
    classes = set(folder_names(root / train))
    labelled = {kind: [name for name in _named(found, kind) if _fits(root, name, train, classes)] for kind in _KINDS}
    for kind in ("test", "validation"):
        if len(labelled[kind]) == 1:
            test = labelled[kind][0]
            _say_unread(root, test, found)
            return {"train": root / train, "test": root / test}
        if labelled[kind]:
            return None
    flat = [name for kind in ("test", "validation") for name in _named(found, kind) if _is_plain(name)]
    if not classes or not flat or not _is_plain(train):
        return None
    say_once(f"{root / flat[0]} has no folders of the classes and is not read: test images are taken from {train}")
    return {"train": root / train}


def _say_unread(root: Path, test: str, found: list[str]) -> None:
    for name in [name for kind in ("test", "validation") for name in _named(found, kind) if name != test]:
        if _kind(name) == "validation" and _kind(test) == "test":
            say_once(f"{root / name} is not read: validation images are taken from train")
        else:
            say_once(
                f"{root / name} has no folders of the classes and is not read: the test images are those of {test}"
            )


def _fits(root: Path, name: str, train: str, classes: set[str]) -> bool:
    """Whether a folder holds classes; one whose name is less usual must share two with the training folder."""
    own = set(folder_names(root / name))
    if _is_plain(name) and _is_plain(train):
        return bool(own & classes) or len(own) > 1
    return len(own & classes) > 1


def _named(found: list[str], kind: str) -> list[str]:
    """Return the folders of a kind by their names: the usual names, else those with further words."""
    named = [name for name in found if _kind(name) == kind]
    usual = [name for name in named if name in _KINDS[kind]] or [name for name in named if _is_plain(name)]
    return usual or named


def _kind(name: str) -> str | None:
    words = _words(name)
    kinds = [kind for kind, names in _KINDS.items() if words & set(names)]
    return kinds[0] if len(kinds) == 1 else None


def _is_plain(name: str) -> bool:
    """Whether a name says nothing but that it is a split."""
    return _kind(name) is not None and not _words(name) - _USUAL - {word for names in _KINDS.values() for word in names}


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", name.lower()))


def _refuse_equal(root: Path, found: list[str]) -> None:
    """Refuse folders without images that all hold the same folders: these are the classes, or parts of something."""
    if len(found) < 2 or any(_holds_images(root / name) for name in found):
        return
    shared = sorted(set.intersection(*(set(folder_names(root / name)) for name in found)))
    if len(shared) > 1:
        raise InputError(
            f"{root} has the folders {listed(found)}, which all have the folders {listed(shared)} and no images: if "
            f"these are the classes, {_LAYOUTS}; else put the images of {listed(found[:2])} directly into them"
        )


def _holds_images(folder: Path) -> bool:
    return any(is_image(entry.name) and not is_foreign(entry.name) for entry in entries(folder))


def class_names(root: Path) -> list[str]:
    """Return the names of a split's classes, in the order of their labels.

    Raises:
        InputError: for fewer than two, or a name that cannot be written into a file of labels.
    """
    classes = folder_names(root)
    for name in classes:
        if not _is_text(name):
            raise InputError(f"{root} has the folder {name!a}, whose name is not UTF-8 text: rename it")
        if name.splitlines() != [name]:
            raise InputError(f"{root} has the folder {name!a}, whose name has a line break: rename it")
    if len(classes) < 2:
        found = f"one class ({classes[0]})" if classes else "no class"
        inside = len(classes) == 1 and len(folder_names(root / classes[0])) > 1
        hint = f"; or pass {root / classes[0]}" if inside else ""
        raise InputError(f"{root} has {found}: expected two or more folders of images, one a class{hint}")
    return classes


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_same_classes(one: Path, other: Path) -> list[str]:
    """Return the classes of two splits.

    Raises:
        InputError: if they are not the same; the message names them.
    """
    lacking = [
        f"{second.name} lacks {listed(missing)}"
        for first, second in ((one, other), (other, one))
        if (missing := sorted(set(class_names(first)) - set(class_names(second))))
    ]
    if lacking:
        raise InputError(
            f"{one} and {other} do not have the same classes: {', and '.join(lacking)}. Add or remove the folders"
        )
    return class_names(one)


def folder_names(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, without hidden ones and those of systems."""
    return sorted(entry.name for entry in entries(folder) if not is_foreign(entry.name) and _is_folder(entry))


def list_contents(root: Path, splits: Mapping[str, Path]) -> Contents:
    """List a data set's files: those to read, and the others by kind.

    Raises:
        InputError: for a folder that may not be read, or fewer than two classes.
    """
    seen, loose = _Seen(root), 0
    images: dict[str, dict[str, list[Path]]] = {}
    for split, folder in splits.items():
        images[split] = {label: seen.images(folder / label) for label in class_names(folder)}
    for folder in dict.fromkeys((root, *splits.values())):
        files = seen.files(folder, deep=False)
        loose += sum(is_image(path.name) for path in files)
        seen.count_others(files)
    if beside := len(folder_names(root)) - len(splits) if root not in splits.values() else 0:
        seen.skipped["folders beside the splits"] += beside
    return Contents(images, loose, dict(seen.others.most_common()), dict(seen.skipped.most_common()))


def image_paths(folder: Path) -> list[Path]:
    """Return the images in a folder and its folders, by their names, sorted.

    Links to folders elsewhere are followed. What is hidden, or was made by a system, is left out.

    Raises:
        InputError: for a folder that may not be read.
    """
    return _Seen(folder).images(folder)


@dataclass
class _Seen:
    """What was met while folders are listed."""

    root: Path
    others: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    followed: list[Path] = field(default_factory=list)

    def images(self, folder: Path) -> list[Path]:
        files = self.files(folder)
        self.count_others(files)
        return sorted(path for path in files if is_image(path.name))

    def count_others(self, files: list[Path]) -> None:
        self.others.update(path.suffix.lower() or path.name for path in files if not is_image(path.name))

    def files(self, folder: Path, *, deep: bool = True) -> list[Path]:
        """Return all files but hidden ones; `deep`: also those of the folders in it."""
        found, left = [], [folder]
        while left:
            for entry in entries(left.pop()):
                path = Path(entry.path)
                if is_foreign(entry.name):
                    self.count_foreign(entry)
                elif _is_folder(entry):
                    left += [path] if deep and self.is_new(entry) else []
                elif _is_file(entry):
                    found.append(path)
                elif entry.is_symlink():
                    self.skipped["links that lead nowhere"] += 1
                else:  # reading a pipe called x.png would not end
                    self.skipped["pipes and devices"] += 1
        return found

    def count_foreign(self, entry: os.DirEntry[str]) -> None:
        if _is_folder(entry):
            self.skipped["hidden or system folders"] += 1
        elif is_image(entry.name):
            self.skipped["hidden images"] += 1

    def is_new(self, entry: os.DirEntry[str]) -> bool:
        """Whether a folder is none that is read anyway, through another name."""
        if not entry.is_symlink():
            return True
        target = Path(os.path.realpath(entry.path))
        known = [Path(os.path.realpath(self.root)), *self.followed]
        if any(target.is_relative_to(other) or other.is_relative_to(target) for other in known):
            self.skipped["links to folders that are read anyway"] += 1
            return False
        self.followed.append(target)
        return True


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder.

    Raises:
        InputError: if it may not be read.
    """
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror or error}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder without permission
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def say_skipped(root: Path, contents: Contents, unreadable: int) -> None:
    """Log in one line what of a folder is not read, by kind and number; once for the same content."""
    kinds = {"unreadable images": unreadable, "images in no class's folder": contents.loose}
    counts = {kind: count for kind, count in kinds.items() if count} | contents.skipped | contents.other_files
    if counts:
        say_once(f"{root}: not read: {', '.join(f'{kind} {count}' for kind, count in counts.items())}")


@cache
def say_once(message: str) -> None:
    """Log a warning; data are loaded again for every resolution and stage, and this need not be said again."""
    _log.warning("%s", message)


def listed(names: list[str], most: int = 8) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
