"""Build a block library: train every alternative of a teacher's blocks, in as many processes as there are CPUs."""

from __future__ import annotations

import hashlib
import logging
import math
import queue
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnas.arch.codec import architecture_to_dict
from mnas.arch.memory import physical_memory
from mnas.checks import check_choice
from mnas.data.classes import with_classes
from mnas.errors import InputError, MnasError
from mnas.library.alternatives import Alternative, alternative_path, read_alternative, write_alternative
from mnas.library.library import (
    SPACE,
    TEACHER,
    BlockLibrary,
    describe_teacher,
    fingerprint_of,
    open_library,
    read_manifest,
    write_manifest,
)
from mnas.library.options import LibraryOptions
from mnas.random_streams import Stream, generator
from mnas.space.around import space_around
from mnas.space.files import save_space
from mnas.space.space import SearchSpace
from mnas.study.study import first_difference
from mnas.system.arrays import read_arrays, stored
from mnas.system.child import MOST_TRIES, Child, DiedError
from mnas.system.environment import environment, num_cpus
from mnas.system.files import read_bytes, write_atomically
from mnas.system.lock import hold
from mnas.system.permissions import names_what_is_not_permitted
from mnas.system.ray_cluster import EXECUTORS
from mnas.train.trained_network import ARCHITECTURE, TRAINING, WEIGHTS, Trained, is_trained

if TYPE_CHECKING:
    from mnas.data.dataset import Dataset

_LOGGER = logging.getLogger(__name__)
_HELD_OUT_IMAGES = 256
_MEMORY_SHARE = 0.4  # of this machine's memory, for the activations of all workers
_IMAGES = "images.npy"
OnProgress = Callable[[float, str], None]


@names_what_is_not_permitted
def build_library(
    teacher: Trained,
    dataset: Dataset,
    folder: Path | str,
    *,
    space: SearchSpace | None = None,
    options: LibraryOptions | None = None,
    workers: int = 0,
    max_memory_mb: float | None = None,
    executor: str = "local",
    address: str | None = None,
    progress: OnProgress = lambda share, what: None,
) -> BlockLibrary:
    """Build a library, or the missing part of it; a finished one is returned as it is.

    The library is equal to the last bit, whatever the number of workers and however often the build was interrupted.

    Args:
        teacher: a trained network.
        dataset: images of the teacher's classes at its resolution; alternatives are trained on the training split
            without its labels, and their losses are measured on the validation split.
        folder: the library's.
        space: the alternatives; the space around the teacher by default.
        options: how they are trained.
        workers: number of processes; 0 for one per CPU.
        max_memory_mb: for the activations of all workers; by default 40 % of this machine's memory.
        executor: `local` (processes of this machine) or `ray`.
        address: of a running Ray cluster; None starts one here.
        progress: called with the share done, 0 to 1, and a description of the current work.

    Raises:
        InputError: if data, space and teacher do not belong together, the folder holds another library, or memory or
            disk are too small.
        MnasError: if a training diverges, or a file cannot be written.
    """
    folder, options = Path(folder), options or LibraryOptions()
    space = space or space_around(teacher.architecture, name=f"around-{teacher.folder.name}"[:100])
    dataset = with_classes(dataset, teacher.training["class_names"], network=f"the teacher {teacher.folder}")
    _check_size(teacher, dataset)
    made_from = _made_from(teacher, dataset, space, options)
    check_choice("--executor", executor, EXECUTORS)
    with hold(folder / "lock", f"the library {folder}", remove=True):
        made_from = _as_begun(folder, made_from)
        builder = _Builder(folder, made_from, space)
        builder.load()
        builder.save()  # before the teacher's copy, so that this is never another teacher's
        save_space(space, folder / SPACE)  # for mnas profile
        _copy_teacher(teacher, folder / TEACHER)
        if builder.missing:
            workers = min(workers or num_cpus(), len(builder.missing))  # a block is one worker's
            memory_mb = max_memory_mb or _MEMORY_SHARE * physical_memory() / 1e6
            with _images(dataset, options, folder) as (images, num_held_out):
                job = {
                    "teacher": architecture_to_dict(teacher.architecture),
                    "weights": str(folder / TEACHER / WEIGHTS),
                    "space": made_from["space"],
                    "options": asdict(options),
                    "images": str(images),
                    "num_held_out": num_held_out,
                    "max_memory_mb": memory_mb / workers,
                    "folder": str(folder),
                    "fingerprint": fingerprint_of(made_from),
                }
                try:
                    if executor == "ray":
                        from mnas.library.on_ray import train_on_ray

                        done = train_on_ray(job, builder.missing, workers=workers, address=address)
                        builder.collect(done, progress)
                    else:
                        builder.run(job, workers, progress)
                finally:
                    builder.save()
    return open_library(folder)


def _check_size(teacher: Trained, dataset: Dataset) -> None:
    """Check that the images have the teacher's size."""
    size = dataset.train.images.shape[1]
    if size != teacher.architecture.resolution:
        raise InputError(
            f"the teacher {teacher.folder} takes {teacher.architecture.resolution} px, and the images have {size} px"
        )


def _made_from(teacher: Trained, dataset: Dataset, space: SearchSpace, options: LibraryOptions) -> dict[str, Any]:
    read_arrays(stored(teacher.folder / WEIGHTS))  # raises if they are damaged
    return {
        "teacher": describe_teacher(teacher, weights_sha256(teacher)),
        "data": {**dataset.describe(), "labels_sha256": dataset.labels_sha256},
        "space": space.to_dict(),
        "options": asdict(options),
    }


def weights_sha256(teacher: Trained) -> str:
    """Return the hash of a teacher's file of weights.

    Raises:
        InputError: if it is missing.
    """
    return hashlib.sha256(read_bytes(stored(teacher.folder / WEIGHTS), "weights", most=1 << 32)).hexdigest()


def _as_begun(folder: Path, made_from: dict[str, Any]) -> dict[str, Any]:
    """What the library that is there is made from: the same, but for the path of the data."""
    manifest = read_manifest(folder)
    if manifest is None:
        return made_from
    difference = first_difference(manifest.made_from, made_from)
    if difference:
        raise InputError(
            f"{folder} holds a library of another teacher, other data or other options: {difference}. "
            "Name another folder, or delete this one"
        )
    return manifest.made_from


def _copy_teacher(teacher: Trained, folder: Path) -> None:
    weights = stored(teacher.folder / WEIGHTS).read_bytes()
    if is_trained(folder) and (folder / WEIGHTS).is_file() and (folder / WEIGHTS).read_bytes() == weights:
        return
    write_atomically(folder / WEIGHTS, weights)
    for name in (ARCHITECTURE, TRAINING):  # the record last: with it the copy is complete
        write_atomically(folder / name, (teacher.folder / name).read_bytes())


@contextmanager
def _images(dataset: Dataset, options: LibraryOptions, folder: Path) -> Iterator[tuple[Path, int]]:
    """Write the images for the workers to a file; yield it and the number of held-out batches at its end."""
    size = options.batch_size
    order = generator(options.seed, Stream.LIBRARY_IMAGES).permutation(len(dataset.train))
    count = min(len(order) // size, options.steps)
    if not count:
        raise InputError(f"{dataset.name} has {len(order)} training images: a library needs at least {size}")
    held_out = dataset.validation.images[:_HELD_OUT_IMAGES]
    path, shape = folder / _IMAGES, (count * size + len(held_out), *held_out.shape[1:])
    needed = math.prod(shape)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{folder} needs {needed / 1e6:,.0f} MB for images, and {free / 1e6:,.0f} MB are free")
    try:
        try:
            with open(path, "wb") as file:  # in parts, as all may be more than the memory holds
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for start in range(0, count * size, size):
                    file.write(dataset.train.images[order[start : start + size]].data)
                file.write(held_out.data)
        except OSError as error:
            raise MnasError(f"cannot write {path}: {error.strerror or error}") from None
        yield path, -(-len(held_out) // size)
    finally:
        path.unlink(missing_ok=True)


class _Builder:
    """Trains the missing alternatives of a library."""

    def __init__(self, folder: Path, made_from: dict[str, Any], space: SearchSpace) -> None:
        self.folder, self.made_from = folder, made_from
        self.fingerprint = fingerprint_of(made_from)
        self.losses: list[list[float | None]] = [
            [None] * len(decision.choices) for decision in space.decisions[: len(space.stages)]
        ]
        self.names = [stage.decisions[0].choices for stage in space.stages]
        self._errors: list[BaseException] = []
        self._children: set[Child] = set()
        self._closed = threading.Event()

    @property
    def missing(self) -> deque[tuple[int, list[int]]]:
        """Stages with the choices that are missing, in order."""
        rows = [[choice for choice, loss in enumerate(row) if loss is None] for row in self.losses]
        return deque((stage, row) for stage, row in enumerate(rows) if row)

    def load(self) -> None:
        """Read the losses of the alternatives that are there; damaged files are removed, and trained again."""
        for stage, row in enumerate(self.losses):
            for choice in range(len(row)):
                path = alternative_path(self.folder, stage, choice)
                if not path.is_file():
                    continue
                try:
                    row[choice] = read_alternative(self.folder, stage, choice, self.fingerprint).loss
                except MnasError as error:
                    _LOGGER.warning("%s; it is trained again", error)
                    path.unlink()

    def save(self) -> None:
        """Write the manifest."""
        write_manifest(self.folder, self.made_from, self.losses, environment())

    def collect(self, alternatives: Iterator[Alternative], progress: OnProgress) -> None:
        """Write alternatives that were trained elsewhere."""
        total = sum(len(choices) for _, choices in self.missing)
        for finished, each in enumerate(alternatives, 1):
            write_alternative(self.folder, each, self.fingerprint)
            self._note({"choice": each.choice, "loss": each.loss}, each.stage, finished / total, progress)

    def _note(self, answer: dict[str, Any], stage: int, share: float, progress: OnProgress) -> None:
        self.losses[stage][answer["choice"]] = answer["loss"]
        progress(share, f"block {stage + 1}, {self.names[stage][answer['choice']]}")

    def run(self, job: dict[str, Any], workers: int, progress: OnProgress) -> None:
        """Train what is missing in child processes."""
        waiting = self.missing
        total = sum(len(choices) for _, choices in waiting)
        done: queue.SimpleQueue[tuple[int, dict[str, Any]] | None] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=self._serve, args=(job, waiting, done), daemon=True)
            for _ in range(min(workers, len(waiting)))
        ]
        working, finished = len(threads), 0
        try:
            for thread in threads:
                thread.start()
            while working:
                answer = done.get()
                if answer is None:
                    working -= 1
                    continue
                stage, document = answer
                finished += 1
                self._note(document, stage, finished / total, progress)
        finally:
            self._close()
            for thread in threads:
                if thread.ident is not None:  # it was started
                    thread.join()
        if self._errors:
            raise self._errors[0]

    def _close(self) -> None:
        self._closed.set()
        for child in list(self._children):
            child.end()

    def _serve(self, job: dict[str, Any], waiting: deque[tuple[int, list[int]]], done: queue.SimpleQueue[Any]) -> None:
        """One worker: takes stages until none is left."""
        child = None
        try:
            while waiting and not self._errors and not self._closed.is_set():
                try:
                    stage, choices = waiting.popleft()
                except IndexError:
                    break
                child = self._train(child, job, stage, choices, done)
        except BaseException as error:  # reported by `run`
            self._errors.append(error)
        finally:
            if child is not None:
                child.end()
            done.put(None)

    def _train(
        self, child: Child | None, job: dict[str, Any], stage: int, choices: list[int], done: queue.SimpleQueue[Any]
    ) -> Child:
        left = list(choices)
        for attempt in range(1, MOST_TRIES + 1):
            try:
                child = child or self._start(job)
                answer = _checked(child.ask({"stage": stage, "choices": left}))
                while True:
                    done.put((stage, answer))
                    left.remove(answer["choice"])
                    if not left:
                        return child
                    answer = _checked(child.read())
            except DiedError as error:
                if self._closed.is_set():
                    raise
                self._children.discard(child) if child else None
                child, why = None, error
                _LOGGER.warning("block %d, try %d of %d: %s", stage + 1, attempt, MOST_TRIES, error)
        raise MnasError(f"block {stage + 1} was given up after {MOST_TRIES} tries: {why}")

    def _start(self, job: dict[str, Any]) -> Child:
        child = Child("mnas.library.stage_worker")
        self._children.add(child)
        if self._closed.is_set():
            child.end()
        _checked(child.ask(job))
        return child


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "failed" in answer:
        raise MnasError(answer["failed"])
    return answer
