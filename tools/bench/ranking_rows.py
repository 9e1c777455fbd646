"""A row for every evaluator of `tools.bench.ranking`: its tau, and what 300 architectures cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mnas.arch.complexity import complexity
from mnas.evaluators.accuracy_regression import LEAST, Regression, features
from mnas.space.space import SearchSpace
from mnas.study.summary import share_of_steps
from tools.bench.early_stopping_replay import replay_early_stopping
from tools.bench.ranking_results import Array, RankingResults, Row, Truth, tau_with_interval

MANY = 300  # architectures whose cost is told
SUBSETS = 20  # of the teaching architectures, where fewer than all teach; and orders in which candidates are met
_WORST = -1.0  # the score of what could not be trained


def evaluator_rows(results: RankingResults, truth: Truth) -> list[Row]:
    """Of every evaluator whose results are there."""
    kinds = (_totals, _proxies, _on_the_way, _predictors)
    return [row for rows in kinds for row in rows(results, truth)]


def _totals(results: RankingResults, truth: Truth) -> Iterator[Row]:
    costs = [complexity(architecture) for architecture in results.ranked]
    yield truth.row("totals", "parameters", [cost.params for cost in costs], 0)
    yield truth.row("totals", "multiply-adds", [cost.madds for cost in costs], 0)


def _final_accuracies(curves: Sequence[list[float] | None]) -> list[float]:
    return [_WORST if curve is None else curve[-1] for curve in curves]


def _proxies(results: RankingResults, truth: Truth) -> Iterator[Row]:
    for steps in results.proxy_steps:
        curves = results.curves("proxy", steps, results.seed, len(results.ranked))
        if curves is not None:
            minutes = MANY * results.seconds("proxy", steps, results.seed, len(results.ranked)) / 60
            yield truth.row("proxy", f"{steps} steps", _final_accuracies(curves), minutes)


def _on_the_way(results: RankingResults, truth: Truth) -> Iterator[Row]:
    """The second seed's trainings on their way, against the first's end; and stopped early as a search does."""
    if len(truth.seeds) < 2:
        return
    minutes = MANY * results.seconds("truth", results.truth_steps, 1, len(results.ranked)) / 60
    curves = np.array([truth.seeds[1][i] for i in truth.kept])
    for rung in range(curves.shape[1] - 1):
        share = 0.5 ** (curves.shape[1] - 1 - rung)
        tau = tau_with_interval(curves[:, rung], truth.ends[0])
        yield Row("long training at", f"{share:.0%}", *tau, minutes * share)
    halved = [score_stopped_early(results.space, curves, np.random.default_rng(order)) for order in range(SUBSETS)]
    taus = np.array([tau_with_interval(scores, truth.ends[0], resamples=100) for scores, _ in halved]).mean(0)
    share = float(np.mean([share for _, share in halved]))
    yield Row("long training", "stopped early", *map(float, taus), minutes * share)


def score_stopped_early(space: SearchSpace, curves: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """Scores by the rung that was reached, then by the accuracy there, met in a random order; the share of steps."""
    order, scores = rng.permutation(len(curves)), np.zeros(len(curves))
    trials = replay_early_stopping(curves, order, space.decode([0] * len(space.decisions)))
    for place, trial in zip(order, trials, strict=True):
        assert trial.measurement is not None
        scores[place] = len(trial.measurement.rungs) + trial.measurement.accuracy
    return scores, share_of_steps(trials, curves.shape[1])


def _predictors(results: RankingResults, truth: Truth) -> Iterator[Row]:
    """Taught by more and more architectures; then with short trainings."""
    count = len(results.teachers)
    curves = results.curves("taught", results.taught_steps, results.seed, count)
    if curves is None:
        return
    known = np.array([i for i in range(count) if curves[i] is not None])
    taught = np.array(_final_accuracies(curves))
    each = results.seconds("taught", results.taught_steps, results.seed, count)
    rows = np.stack([features(results.space, architecture) for architecture in results.teachers])
    ranked = np.stack([features(results.space, architecture) for architecture in results.ranked])
    for number in sorted({number for number in (10, 20, 40, 80, len(known)) if LEAST <= number <= len(known)}):
        made = []
        for subset in range(SUBSETS if number < len(known) else 1):
            chosen = np.random.default_rng(subset).permutation(known)[:number]
            scores = Regression(rows[chosen], taught[chosen].tolist())(ranked)[0]
            made.append(truth.row("predictor", f"{number} taught with {results.taught_steps} steps", scores, 0))
        values = np.array([(row.tau, row.low, row.high) for row in made]).mean(0)
        tau, low, high = map(float, values)
        yield replace(made[0], tau=tau, low=low, high=high, minutes=number * each / 60)
    everything = Regression(rows[known], taught[known].tolist())(ranked)[0]
    for row in _proxies(results, truth):
        scores = np.array(
            _final_accuracies(results.curves("proxy", int(row.made_with.split()[0]), results.seed, len(ranked)) or [])
        )
        both = _standard(scores) + _standard(everything)
        yield truth.row("predictor and proxy", row.made_with, both, row.minutes + len(known) * each / 60)


def _standard(values: Array) -> Array:
    """Scores that can be added: cut off below, of unit spread."""
    cut = np.maximum(values, np.quantile(values, 0.05))
    scaled: Array = (cut - cut.mean()) / (cut.std() + 1e-9)
    return scaled
