"""One block library, many devices: the best networks for every latency table and budget, without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnas.arch.codec import architecture_to_dict
from mnas.arch.spec import Architecture
from mnas.arch.walk import unroll
from mnas.errors import InputError
from mnas.evaluators.library import LibraryEvaluator, open_evaluator
from mnas.latency.estimator import LatencyEstimator, table_costs
from mnas.space.costs import SpaceCosts
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.exact import Exact, NoSolutionError
from mnas.system.permissions import names_what_is_not_permitted

OnProgress = Callable[[float, str], None]


@dataclass(frozen=True)
class FleetNetwork:
    """The best network for one or several devices.

    Attributes:
        tables: the latency tables whose budget it was chosen for.
        budget_ms: the budget on each of them.
        architecture: the network; None if none is that fast.
        predicted: its accuracy by the library's predictor.
        stitched: its accuracy as a stitched network on the validation split, before any fine-tuning.
        latencies_ms: by every table, in their order.
        serves: pairs of a table and a budget that it meets, including its own.
    """

    tables: tuple[str, ...]
    budget_ms: float
    architecture: Architecture | None
    predicted: float | None = None
    stitched: float | None = None
    latencies_ms: tuple[float, ...] = ()
    serves: tuple[tuple[str, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        network = None if self.architecture is None else architecture_to_dict(self.architecture)
        return {**asdict(self), "architecture": network}


@names_what_is_not_permitted
def fleet(
    library: Path | str,
    tables: Sequence[Path | str],
    budgets_ms: Sequence[float],
    *,
    data: str | None = None,
    confirmed: int = 8,
    on_progress: OnProgress = lambda share, what: None,
) -> list[FleetNetwork]:
    """Return the best network for each table and budget, and for each budget one that serves all tables.

    The best ones by the predicted accuracy are found by integer programs, and confirmed as stitched networks.

    Args:
        library: a block library's folder.
        tables: latency tables of the library's space.
        budgets_ms: the latency budgets, each for every table.
        data: the library's images, if they are elsewhere now than when it was made.
        confirmed: number of networks per table and budget that are scored as stitched networks.
        on_progress: called with the share done, 0 to 1, and a description of the current work.

    Raises:
        InputError: for a budget that is not positive, or a table that does not fit the library.
    """
    if not tables or not budgets_ms:
        raise InputError("a fleet needs tables and budgets: expected one or more of each")
    if wrong := [budget for budget in budgets_ms if not budget > 0]:
        raise InputError(f"--budget-ms is {wrong[0]:g}: expected a positive number of ms")
    evaluator = open_evaluator(library, data=data)
    names = list(dict.fromkeys(map(str, tables)))
    budgets_ms = list(dict.fromkeys(budgets_ms))
    priced = [table_costs(name, evaluator.data.library.space) for name in names]
    groups = [(name,) for name in names] + ([tuple(names)] if len(names) > 1 else [])
    evaluator.prepare(lambda share, what: on_progress(0.3 * share, what))
    finder = _Finder(evaluator, dict(zip(names, priced, strict=True)), budgets_ms, confirmed)
    wanted = [(group, budget_ms) for budget_ms in budgets_ms for group in groups]
    found = []
    for number, (group, budget_ms) in enumerate(wanted, 1):
        found.append(finder.best(group, budget_ms))
        on_progress(0.3 + 0.7 * number / len(wanted), f"{budget_ms:g} ms, table {', '.join(group)}")
    return found


@dataclass
class _Finder:
    evaluator: LibraryEvaluator
    priced: dict[str, tuple[SpaceCosts, LatencyEstimator]]
    budgets_ms: Sequence[float]
    confirmed: int

    def best(self, tables: tuple[str, ...], budget_ms: float) -> FleetNetwork:
        score = AdditiveScore(self.evaluator.additive_scores, [(self.priced[table][0], budget_ms) for table in tables])
        space = self.evaluator.data.library.space
        try:
            candidates = Exact(space, score=score).ask(self.confirmed)
        except NoSolutionError:
            return FleetNetwork(tables, budget_ms, None)
        distinct = {unroll(network): network for network in candidates}.values()
        stitched = {network: self.evaluator.for_confirmation().accuracy(network) for network in distinct}
        network = max(stitched, key=lambda each: stitched[each])
        latencies = {name: each.predict(network).latency_ms for name, (_, each) in self.priced.items()}
        pairs = ((name, budget) for name in self.priced for budget in self.budgets_ms)
        return FleetNetwork(
            tables,
            budget_ms,
            network,
            self.evaluator.accuracy(network),
            stitched[network],
            tuple(latencies.values()),
            tuple((name, budget) for name, budget in pairs if latencies[name] <= budget),
        )
