"""The teacher and the block library of a search: made before the search where they are not there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mnas.arch.spec import Architecture
from mnas.arch.zoo import ZOO, network_for_images
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimator, table_costs
from mnas.latency.table import LatencyTable
from mnas.library.build import build_library, weights_sha256
from mnas.library.library import MANIFEST, TEACHER, BlockLibrary, Manifest, open_library, read_manifest
from mnas.library.options import LibraryOptions
from mnas.profiling.meter import open_meter
from mnas.search.constraints import latency_budget
from mnas.search.options import FROM_DATA, OWN_SPACE, SearchOptions
from mnas.space.around import check_fits_teacher, space_around, without_slower, without_unknown
from mnas.space.files import load_space
from mnas.space.space import SearchSpace
from mnas.train.trained_network import Trained, is_trained, open_trained

if TYPE_CHECKING:
    from mnas.data.dataset import DataSource
    from mnas.evaluators.library import LibraryData
    from mnas.study.study import Study
    from mnas.train.pretrained import Pretrained
    from mnas.train.trainer import Progress

log = logging.getLogger(__name__)

OnProgress = Callable[[float, str], None]
_LIBRARY = "library"
_TRAINING_SHARE = 0.5  # of the progress shown, where a teacher is trained before its library is built


def ensure_library(
    options: SearchOptions, folder: Path, *, on_progress: OnProgress = lambda share, what: None
) -> SearchOptions:
    """Return the options with a finished library; make it, and its teacher, where they are missing.

    Args:
        options: of a search with the evaluator `library`.
        folder: the study's: a teacher and a library without a folder of their own are kept there.
        on_progress: called with the share done, 0 to 1, and a description of the current work.

    Raises:
        InputError: if teacher, data and library do not belong together, or one of them is missing.
        MnasError: if a training diverges, or a file cannot be written.
    """
    target = Path(options.library) if options.library else folder / _LIBRARY
    if options.teacher is None:
        if not (target / MANIFEST).is_file() and (folder / _LIBRARY / MANIFEST).is_file():
            target = folder / _LIBRARY  # the study was moved
        _check_space(options, open_library(target))
        return replace(options, library=str(target))
    begun = read_manifest(target)
    _check_before(options, begun)
    share = 0.0 if is_trained(Path(options.teacher)) else _TRAINING_SHARE
    teacher = _teacher(options, folder, on_progress)
    if _is_made_from(target, teacher) and options.space == OWN_SPACE:
        return replace(options, library=str(target))
    space = _space(options, teacher.architecture, begun)
    how = LibraryOptions() if begun is None else LibraryOptions(**begun.made_from["options"])
    dataset = replace(teacher.data, name=options.data or teacher.data.name).load(teacher.architecture.resolution)
    build_library(
        teacher,
        dataset,
        target,
        space=space,
        options=how,
        progress=lambda done, what: on_progress(share + (1 - share) * done, what),
    )
    return replace(options, library=str(target))


def _check_before(options: SearchOptions, begun: Manifest | None) -> None:
    """Check tables, budgets and device before the minutes that teacher and library take.

    Args:
        options: of the search.
        begun: of a library that is there, finished or not: its space is what it is, and nothing is left out.

    Raises:
        InputError: if a table does not fit, no network meets a budget, or the device is not the table's.
        MnasError: if the device is not available.
    """
    if options.table:
        open_meter(
            options.table[0],
            options.measure_finalists,
            benchmark_binary=options.benchmark_binary,
            wait_minutes=options.wait,
        )
    teacher = teacher_architecture(str(options.teacher), _largest_size(options))
    if not options.table:
        return
    space = _space(options, teacher, None, tell=begun is None)
    for path, budget_ms in zip(options.table, options.budget_ms, strict=True):
        costs, estimator = table_costs(path, space)
        latency_budget(lambda network: estimator.predict(network).latency_ms, budget_ms, costs).check(space)  # noqa: B023


def _tell_what_is_left_out(table: str, whole: SearchSpace, known: SearchSpace) -> None:
    choices = [[stage.decisions[0].choices for stage in space.stages] for space in (whole, known)]
    missing = [block for every, kept in zip(*choices, strict=True) for block in every if block not in kept]
    if missing:
        log.warning(
            "%s has no entries for %d of the %d blocks around the teacher, such as %s: they are left out. To search "
            "them too, measure them: mnas space around TEACHER --out SPACE.toml, mnas profile --space SPACE.toml",
            table,
            len(missing),
            sum(len(every) for every in choices[0]),
            missing[0],
        )


def _check_space(options: SearchOptions, library: BlockLibrary) -> None:
    """Check that a space that was given is that of the library, which is searched."""
    if options.space == OWN_SPACE:
        return
    given = load_space(options.space).with_data(num_classes=library.space.num_classes)
    if given.decisions != library.space.decisions:
        raise InputError(
            f"--space {options.space} is not the space of the library {library.folder}, which has alternatives for its "
            "own only: leave out --space, or build another library with mnas library build TEACHER --space FILE"
        )


def _is_made_from(folder: Path, teacher: Trained) -> bool:
    """Whether a folder holds a finished library of this teacher; its data are checked when they are loaded."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        library = open_library(folder)
    except InputError:
        return False
    return bool(library.made_from["teacher"]["weights_sha256"] == weights_sha256(teacher))


class WinnerStart(NamedTuple):
    """How a network of a search with a block library is trained.

    Attributes:
        weights: stitched.
        teacher: its folder.
        source: the library's data, with the same split.
    """

    weights: Pretrained
    teacher: Path
    source: DataSource


def winner_start(study: Study, architecture: Architecture, *, data: str | None = None) -> WinnerStart | None:
    """Return how to train a network of a study with a block library; None for other studies.

    Args:
        study: the study.
        architecture: the network.
        data: the library's images, if they are elsewhere now.

    Raises:
        InputError: if the library is missing, or the network is not of its space.
    """
    if (study.config.get("evaluator") or {}).get("kind") != "library":
        return None
    from mnas.train.pretrained import Pretrained

    opened = _library_data(study, data)
    names = opened.library.teacher.training["class_names"]
    weights = Pretrained.of(opened.stitcher.weights(architecture), names)
    return WinnerStart(weights, opened.library.teacher.folder, opened.source)


def study_data(study: Study, *, data: str | None = None) -> DataSource:
    """Return the data of a study, with the split that its candidates were scored on.

    Args:
        study: the study.
        data: the images, if they are elsewhere now.

    Raises:
        InputError: if its library is missing, or it has no data.
    """
    from mnas.data.dataset import DataSource

    options = SearchOptions.of(study)
    if options.evaluator == "library":
        return _library_data(study, data).source
    if data is None and options.data is None:
        raise InputError(f"the study {study.folder} has no images: add --data")
    return DataSource(data or str(options.data), seed=options.seed, limit=options.max_train_images)


def _library_data(study: Study, data: str | None) -> LibraryData:
    """The library of a study, with its images, which may be elsewhere now."""
    from mnas.evaluators.library import open_evaluator

    options = ensure_library(replace(SearchOptions.of(study), teacher=None, space=OWN_SPACE), study.folder)
    return open_evaluator(library_of(options).folder, data=data or options.data).data


def library_of(options: SearchOptions) -> BlockLibrary:
    """Open the library of a search.

    Raises:
        InputError: if there is none, or it is unfinished.
    """
    if options.library is None:
        raise InputError(
            "this needs a finished block library: make one with mnas library build TEACHER --out FOLDER, and pass it "
            "with --library FOLDER"
        )
    return open_library(options.library)


def _space(options: SearchOptions, teacher: Architecture, begun: Manifest | None, *, tell: bool = False) -> SearchSpace:
    """The space of the library: given as a file, that of the library which is there, or one around the teacher.

    The latter has the sizes that the tables are for. Left out are blocks that a table has no entry for, and those that
    are slower than the teacher's by every table.
    """
    if options.space != OWN_SPACE:
        space = load_space(options.space).with_data(num_classes=teacher.num_classes)
        check_fits_teacher(space, teacher)
        return space
    if begun is not None:  # perhaps for other tables
        return SearchSpace.from_dict(begun.made_from["space"])
    sizes = [size for size in _table_sizes(options.table) if size <= teacher.resolution]
    space = space_around(teacher, resolutions=sizes)
    for path in options.table:
        estimator = LatencyEstimator(LatencyTable.load(path))
        known = without_unknown(space, lambda placed: estimator.find(placed) is not None)  # noqa: B023
        if tell:
            _tell_what_is_left_out(path, space, known)
        space = known
    return without_slower(space, [table_costs(path, space)[0] for path in options.table])


def _table_sizes(tables: Sequence[str]) -> list[int]:
    """The resolutions that every table is for, the largest first; empty without tables."""
    sizes = [set(LatencyTable.load(path).input_sizes) for path in tables]
    return sorted(set.intersection(*sizes), reverse=True) if sizes else []


def _teacher(options: SearchOptions, folder: Path, on_progress: OnProgress) -> Trained:
    """The teacher of a search: it is trained at the largest size of the tables, or of the space."""
    return prepare_teacher(
        str(options.teacher),
        folder / TEACHER,
        data=options.data,
        resolution=_largest_size(options),
        seed=options.seed,
        limit=options.max_train_images,
        class_weights=options.class_weights,
        augment=options.augment,
        on_progress=lambda share, what: on_progress(_TRAINING_SHARE * share, what),
    )


def prepare_teacher(
    name: str,
    out: Path,
    *,
    data: str | None = None,
    resolution: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    class_weights: str = "none",
    augment: str | None = None,
    epochs: int | None = None,
    on_progress: OnProgress = lambda share, what: None,
) -> Trained:
    """Return a teacher; one of the zoo is fine-tuned on the data first, or one trained from scratch.

    Args:
        name: a trained folder; a network of the zoo with published weights; or `train`.
        out: where a teacher that is trained here is kept; an interrupted training is resumed.
        data: the images; for a trained folder they are known.
        resolution: of a teacher that is trained here; None for the network's own.
        seed: of its training, and of the choice of validation images.
        limit: maximum number of images.
        class_weights: none or balanced, in its training.
        augment: in its training, as `mnas.train.recipe.augmented` takes it.
        epochs: of its training; None for the recipe's.
        on_progress: called with the share done, 0 to 1, and a description of the current work.

    Raises:
        InputError: for an unknown name, or missing data.
        MnasError: if the training diverges, or a file cannot be written.
    """
    from mnas.data.dataset import DataSource
    from mnas.train.trainer import train_network

    if is_teacher_folder(name):
        return open_trained(Path(name))
    architecture = teacher_architecture(name, resolution)
    if data is None:
        raise InputError(f"the teacher {name} is trained first: add --data")

    chosen: dict[str, Any] = {} if epochs is None else {"epochs": epochs}

    def show(state: Progress) -> None:
        on_progress(state.step / state.steps, f"the teacher, epoch {state.epoch} of {state.epochs}")

    return train_network(
        architecture,
        DataSource(data, seed=seed, limit=limit),
        out,
        seed=seed,
        resume=True,
        progress=show,
        weights=None if name == FROM_DATA else "imagenet",
        class_weights=class_weights,
        augment=augment,
        **chosen,
    )


def teacher_architecture(name: str, resolution: int | None = None) -> Architecture:
    """Return the network of a teacher, trained or not.

    Args:
        name: as for `prepare_teacher`.
        resolution: of one that is not trained; None for the network's own.

    Raises:
        InputError: for an unknown name, or a folder without a finished training.
    """
    if is_teacher_folder(name):
        return open_trained(Path(name)).architecture
    if name == FROM_DATA:
        return network_for_images(resolution)
    if name not in ZOO:
        raise InputError(
            f"the teacher is {name!r}: expected a folder of mnas train, a network of the zoo with published "
            f"weights (mnas zoo lists them), or {FROM_DATA}, which trains one from the data first"
        )
    return ZOO[name] if resolution is None else replace(ZOO[name], resolution=resolution)


def is_teacher_folder(name: str) -> bool:
    """Whether a teacher is a folder; one without a finished training may have the name of another teacher."""
    return is_trained(Path(name)) or (Path(name).is_dir() and name not in (*ZOO, FROM_DATA))


def _largest_size(options: SearchOptions) -> int | None:
    """The largest resolution of the tables, or of the space; None if there are neither."""
    sizes = _table_sizes(options.table)
    if not sizes and options.space != OWN_SPACE:
        sizes = list(load_space(options.space).input_sizes)
    return sizes[0] if sizes else None
