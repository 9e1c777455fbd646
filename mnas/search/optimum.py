"""The best architecture by a score that is a sum over decisions: the yardstick of every strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnas.arch.codec import architecture_to_dict
from mnas.search.constraints import priced
from mnas.strategies.additive import AdditiveScore
from mnas.strategies.exact import Exact
from mnas.study.study import Study
from mnas.system.files import write_json

if TYPE_CHECKING:
    from mnas.search.build import Prepared


def write_optimum(study: Study, prepared: Prepared) -> None:
    """Write optimum.json into a study, if its evaluator's accuracy is a sum over decisions.

    Raises:
        InputError: if no architecture meets every constraint.
        MnasError: if the file cannot be written.
    """
    objective = prepared.search.objective
    if not objective.evaluator.is_additive:
        return
    score = AdditiveScore(objective.evaluator.additive_scores, priced(objective.budgets))
    (best,) = Exact(prepared.space, feasible=objective.is_feasible, score=score).ask(1)
    trial = objective.evaluate(0, best)
    if trial.measurement is None:
        return
    document = {"accuracy": trial.measurement.accuracy, "reward": trial.reward, **objective.evaluator.trust()}
    latency = {"latency_ms": trial.measurement.latency_ms, "architecture": architecture_to_dict(best)}
    write_json(study.folder / "optimum.json", document | latency)
