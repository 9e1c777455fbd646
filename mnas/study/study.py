"""A study: one folder with everything needed to run a search again, and all its results.

study.json               the configuration, versions and machine
trials.jsonl             the strategy's trials, one in each line
confirmed.jsonl          with a block library: the best trials, scored as stitched networks
finalists.jsonl          the best trials, trained longer
baseline.jsonl           random search at equal cost; baseline_finalists.jsonl likewise
updates.jsonl            the strategy's diagnostics, such as its entropy: for plots only
repeats.jsonl            retrainings of both winners with new seeds
best.json                the winner of the finished search; baseline_best.json likewise
optimum.json             with a block library: the best architecture by the predicted accuracy, by an integer program
measured.json            measured latencies of candidates for the finalists
teacher/, library/       of a search that made them; finalists/ has the fine-tuned networks
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.checks import convert, shown
from mnas.data.folder_layout import find_again
from mnas.errors import InputError, MnasError
from mnas.space.space import SearchSpace
from mnas.study.kept_paths import find_paths
from mnas.study.trial_log import TrialLog, to_plain
from mnas.study.winner import check_winner
from mnas.system.environment import differences, environment
from mnas.system.files import is_document, is_leftover, read_json, write_json
from mnas.system.lock import hold, is_held
from mnas.system.permissions import names_what_is_not_permitted
from mnas.trial import Trial

_LOGGER = logging.getLogger(__name__)
FORMAT = "mnas.study"
VERSION = 1
_PLACE_OF_DATA = ("data", "data_path")  # in the arguments
LOGS = ("trials", "confirmed", "finalists", "baseline", "baseline_finalists", "repeats")


_MADE_BEFORE = ("teacher", "library")  # by a search, before its configuration is known


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    """study.json."""

    format: Literal["mnas.study"]
    version: Literal[1]
    config: dict[str, Any]
    arguments: dict[str, Any]
    made_with: dict[str, Any]


class _Table(Struct, frozen=True):
    budget_ms: Annotated[int, Meta(ge=1, le=10**9)] | Annotated[float, Meta(ge=1e-6, le=1e9)]


class Study:
    """A search's folder. Make one with `create`, `open` or `resume`.

    Attributes:
        folder: its path.
        config: plain data that define the search: space, tables, reward, evaluator, strategy, seed, batch size.
        arguments: further plain data, e.g. the command line's options; never compared.
        made_with: versions and machine at the time of creation.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], arguments: dict[str, Any], made_with: dict[str, Any]
    ) -> None:
        self.folder = folder
        self.config = config
        self.arguments = arguments
        self.made_with = made_with

    @staticmethod
    @names_what_is_not_permitted
    def create(folder: Path | str, config: dict[str, Any], arguments: dict[str, Any] | None = None) -> Study:
        """Start a new study.

        Args:
            folder: created if it does not exist.
            config: plain data that define the search.
            arguments: further plain data to keep.

        Raises:
            InputError: if the folder is not empty.
        """
        folder = Path(folder)
        if (folder / "study.json").exists():
            raise InputError(f"{folder} holds a study already: add --resume to resume it, or name another folder")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: expected a folder for the study")
        if folder.is_dir() and not all(is_leftover(path) or path.name in _MADE_BEFORE for path in folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no study: name a new folder")
        study = Study(folder, to_plain(config), to_plain(arguments or {}), environment())
        study._write()
        return study

    @staticmethod
    @names_what_is_not_permitted
    def open(folder: Path | str) -> Study:
        """Open a study to read it.

        Raises:
            InputError: if it is not a study of this version of mnas.
        """
        folder = Path(folder)
        if not (folder / "study.json").is_file():
            raise InputError(f"{folder} holds no study: there is no study.json in it")
        document = read_json(folder / "study.json", "a study")
        if not is_document(document, FORMAT, VERSION):
            raise InputError(f"{folder}/study.json is not a study of this version of mnas")
        try:
            parts = convert(document, _Document, f"{folder}/study.json")
        except InputError as error:
            raise InputError(f"{error}: was it edited?") from None
        return Study(folder, parts.config, find_paths(parts.arguments), parts.made_with)

    @staticmethod
    def resume(folder: Path | str, config: dict[str, Any], arguments: dict[str, Any] | None = None) -> Study:
        """Open a study to resume it; create it if there is none.

        Args:
            folder: of the study.
            config: must be the study's, but for the path of the same data.
            arguments: as for `create`; of those of a study that is there, only the place of the data is changed.

        Raises:
            InputError: if it was made with another configuration; the message names the first difference.
        """
        if not (Path(folder) / "study.json").exists():
            return Study.create(folder, config, arguments)
        study = Study.open(folder)
        difference = first_difference(study.config, to_plain(config))
        if difference:
            raise InputError(
                f"{folder} belongs to another configuration: {difference}. "
                "Give the same arguments, or name another folder with --study"
            )
        study._note_place_of_data(to_plain(arguments or {}))
        for difference in differences(study.made_with, environment()):
            _LOGGER.warning("%s", difference)
        return study

    def _note_place_of_data(self, arguments: dict[str, Any]) -> None:
        """Keep where the data are now, if they have moved: reports name them, and other commands read them."""
        now, before = arguments.get("data"), self.arguments.get("data")
        if not (isinstance(now, str) and isinstance(before, str)):
            return
        if os.path.abspath(now) != os.path.abspath(find_again(before, self.arguments.get("data_path"))):
            others = {name: value for name, value in self.arguments.items() if name not in _PLACE_OF_DATA}
            self.arguments = {**others, **{name: arguments[name] for name in _PLACE_OF_DATA if name in arguments}}
            self._write()

    def _write(self) -> None:
        parts = {"config": self.config, "arguments": self.arguments, "made_with": self.made_with}
        write_json(self.folder / "study.json", {"format": FORMAT, "version": VERSION, **parts})

    def _repr_html_(self) -> str:
        """Show the verdict, the winner and the front in notebooks."""
        from pkgutil import resolve_name

        return str(resolve_name("mnas.report.notebook:study_html")(self))

    def log(self, name: str) -> TrialLog:
        """Return one of `LOGS`."""
        return TrialLog(self.folder / f"{name}.jsonl", selected=name not in ("trials", "baseline"))

    @property
    def trials(self) -> list[Trial]:
        """The strategy's finished trials, by number."""
        return sorted(self.log("trials").read(), key=lambda trial: trial.number)

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return SearchSpace.from_dict(self.config.get("space"))

    def best(self, which: str = "best") -> dict[str, Any] | None:
        """Return the winner as in best.json (or baseline_best.json); None if there is none yet."""
        path = self.folder / f"{which}.json"
        if not path.exists():
            return None
        document = read_json(path, "a study's winner")
        try:
            check_winner(document)
        except (InputError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a study's winner ({error}): was it edited?") from None
        return document  # type: ignore[no-any-return]

    def require(self, *names: str) -> Any:
        """Return a value of the configuration, such as `require("space", "name")`.

        Raises:
            InputError: if it is missing.
        """
        value: Any = self.config
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            raise InputError(f"{self.folder}/study.json lacks config.{'.'.join(names)}: was it edited?")
        return value

    @property
    def budgets_ms(self) -> list[float]:
        """The budget of each latency table."""
        tables, where = self.config.get("tables") or [], f"{self.folder}/study.json: config.tables"
        try:
            return [table.budget_ms for table in convert(tables, tuple[_Table, ...], where)]
        except InputError as error:
            raise InputError(f"{error}: was it edited?") from None

    def architecture(self, number: str | None = None) -> Architecture:
        """Return the winner's architecture, or that of one trial.

        Raises:
            InputError: if there is no such trial, or no winner yet.
        """
        trials = self.trials
        if number is None:
            best = self.best()
            if best is None:
                raise InputError(
                    f"{self.folder} has no winner yet, {len(trials)} trials are done: finish it with mnas search "
                    f"--resume, or name a trial, as in {self.folder}#0"
                )
            return architecture_from_dict(best["architecture"])
        for trial in trials:
            if str(trial.number) == number:
                return trial.architecture
        raise InputError(f"{self.folder} has no trial {number!r}: expected a number from 0 to {len(trials) - 1}")


def first_difference(before: Any, now: Any, path: str = "") -> str | None:
    """Describe the first difference of two plain documents; None if they are equal but for the path of the data."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now} - _names_of_equal(before, now)):
            found = first_difference(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
            if found:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return next(filter(None, (first_difference(a, b, f"{path}[{index}]") for index, (a, b) in pairs)), None)
    if before == now:
        return None
    return f"{path} was {shown(before)} and is {shown(now)} now"


def _names_of_equal(before: dict[str, Any], now: dict[str, Any]) -> set[str]:
    """The keys that may differ: data with the same fingerprint may have moved, or be named by another path."""
    return {"name"} if before.get("fingerprint") and before["fingerprint"] == now.get("fingerprint") else set()


def is_locked(folder: Path) -> bool:
    """Whether a process is working on this study."""
    return is_held(folder / "lock")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's lock. The kernel releases it when the process ends.

    Raises:
        MnasError: if another process holds it; the message names the process and the time.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(folder / "lock", f"the study {folder}"))
        except MnasError as error:
            hint = ": wait for it, end it, or choose another --study" if "worked on" in str(error) else ""
            raise MnasError(f"{error}{hint}") from None
        yield
