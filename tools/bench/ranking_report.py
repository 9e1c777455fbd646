"""What `tools.bench.ranking` found: tau of every evaluator against the truth, and what 300 architectures cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.files import write_atomically
from mnas.report.figure import CYCLE, Figure, Series
from mnas.report.page import figures_page
from mnas.search.halving import share_of_steps
from mnas.space.space import SearchSpace
from mnas.train.regression import LEAST, NUM_TOTALS, Regression, features
from tools.bench.early_stopping_replay import replayed
from tools.bench.resumable import Pieces

Array = npt.NDArray[np.float64]
MANY = 300  # architectures whose cost is told
WORST = -1.0  # the score of what could not be trained
TRAINING_FACTOR = 3  # multiply-adds of a step over those of its forward half
DRAWN = (
    "proxy",
    "long training at",
    "predictor",
    "supernet by accuracy",
    "supernet and own steps",
    "predictor and supernet",
    "totals",
)
SUBSETS = 20  # of the teaching architectures, where fewer than all teach


@dataclass(frozen=True)
class Found:
    """The pieces, and what they are about; see the options of `python -m tools.bench.ranking`."""

    pieces: Pieces
    space: SearchSpace
    judged: Sequence[Architecture]
    taught_with: Sequence[Architecture]
    batch: int
    truth_steps: int
    proxy_steps: Sequence[int]
    taught_steps: int
    seed: int

    def curves(self, kind: str, steps: int, seed: int, count: int) -> list[list[float] | None] | None:
        """Accuracies on the way of as many trainings; None if one is not done yet."""
        pieces = [self.pieces.get(key) for key in self._keys(kind, steps, seed, count)]
        return None if None in pieces else [piece["curve"] for piece in pieces]

    def seconds(self, kind: str, steps: int, seed: int, count: int) -> float:
        """The mean of such a training."""
        return float(np.mean([self.pieces.seconds_of(key) for key in self._keys(kind, steps, seed, count)]))

    def _keys(self, kind: str, steps: int, seed: int, count: int) -> list[str]:
        return [f"{kind} {steps}x{self.batch} seed {seed} number {number}" for number in range(count)]


@dataclass(frozen=True)
class Row:
    """An evaluator, what it was made with, its rank correlation, and the processor's minutes for 300 architectures."""

    evaluator: str
    made_with: str
    tau: float
    low: float
    high: float
    minutes: float


class Truth:
    """Long trainings with two seeds; architectures that diverged in one of them are left out."""

    def __init__(self, found: Found) -> None:
        count = len(found.judged)
        both = [found.curves("truth", found.truth_steps, seed, count) for seed in (0, 1)]
        if both[0] is None:
            raise SystemExit("the long trainings are not done yet: the same command with --parts truth goes on")
        self.seeds = [curves for curves in both if curves is not None]
        self.kept = np.array([i for i in range(count) if all(curves[i] is not None for curves in self.seeds)])
        self.ends = np.array([[curves[i][-1] for i in self.kept] for curves in self.seeds])  # type: ignore[index]
        self.mean = self.ends.mean(0)

    def row(self, evaluator: str, made_with: str, scores: Any, minutes: float, against: Array | None = None) -> Row:
        """A row from scores of all architectures."""
        own = np.asarray(scores, dtype=np.float64)[self.kept]
        return Row(evaluator, made_with, *tau_with_interval(own, self.mean if against is None else against), minutes)


def tau_with_interval(scores: Array, truth: Array, *, resamples: int = 2000) -> tuple[float, float, float]:
    """Kendall's tau, and its 95 % bootstrap interval over the architectures; pairs of one with itself do not count."""
    agreement = np.sign(scores[:, None] - scores) * np.sign(truth[:, None] - truth)
    count, rng = len(scores), np.random.default_rng(0)
    taus = []
    for _ in range(resamples):
        drawn = rng.integers(count, size=count)
        pairs = (drawn[:, None] != drawn).sum()
        taus.append(agreement[np.ix_(drawn, drawn)].sum() / max(1, pairs))
    low, high = np.quantile(taus, [0.025, 0.975])
    return float(agreement.sum() / (count * (count - 1))), float(low), float(high)


def report(found: Found) -> None:
    """Print a line an evaluator, and write ranking.csv and ranking.html."""
    truth = Truth(found)
    rows = [*_totals(found, truth), *_proxies(found, truth), *_rungs(found, truth)]
    rows += [*_predictors(found, truth), *_supernets(found, truth), *_tuned(found, truth)]
    print(
        f"{len(truth.kept)} architectures, {found.truth_steps} steps of {found.batch}: accuracies "
        f"{truth.mean.min():.3f} to {truth.mean.max():.3f}, {len(truth.seeds)} seeds"
    )
    if len(truth.seeds) == 2:
        print("ceiling, tau between two seeds: {:.3f} ({:.2f} to {:.2f})".format(*tau_with_interval(*truth.ends)))
    for row in rows:
        print(
            f"{row.evaluator}, {row.made_with}: tau {row.tau:.3f} ({row.low:.2f} to {row.high:.2f}), "
            f"{row.minutes:.1f} processor minutes for {MANY}"
        )
    for line in [*_stopped(found, truth), *_ratios(rows), *_speeds(found)]:
        print(line)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row.__dataclass_fields__)
    writer.writerows([getattr(row, name) for name in Row.__dataclass_fields__] for row in rows)
    write_atomically(found.pieces.folder / "ranking.csv", text.getvalue())
    write_atomically(found.pieces.folder / "ranking.html", picture(rows))


def _totals(found: Found, truth: Truth) -> Iterator[Row]:
    costs = [complexity(architecture) for architecture in found.judged]
    yield truth.row("totals", "parameters", [cost.params for cost in costs], 0)
    yield truth.row("totals", "multiply-adds", [cost.madds for cost in costs], 0)


def _ends(curves: Sequence[list[float] | None]) -> list[float]:
    return [WORST if curve is None else curve[-1] for curve in curves]


def _proxies(found: Found, truth: Truth) -> Iterator[Row]:
    for steps in found.proxy_steps:
        curves = found.curves("proxy", steps, found.seed, len(found.judged))
        if curves is not None:
            minutes = MANY * found.seconds("proxy", steps, found.seed, len(found.judged)) / 60
            yield truth.row("proxy", f"{steps} steps", _ends(curves), minutes)


def _rungs(found: Found, truth: Truth) -> Iterator[Row]:
    """The second seed's trainings on their way, against the first's end; and stopped early as a search does."""
    if len(truth.seeds) < 2:
        return
    minutes = MANY * found.seconds("truth", found.truth_steps, 1, len(found.judged)) / 60
    curves = np.array([truth.seeds[1][i] for i in truth.kept])
    for rung in range(curves.shape[1] - 1):
        share = 0.5 ** (curves.shape[1] - 1 - rung)
        tau = tau_with_interval(curves[:, rung], truth.ends[0])
        yield Row("long training at", f"{share:.0%}", *tau, minutes * share)
    halved = [_halved(found.space, curves, np.random.default_rng(order)) for order in range(SUBSETS)]
    taus = np.array([tau_with_interval(scores, truth.ends[0], resamples=100) for scores, _ in halved]).mean(0)
    share = float(np.mean([share for _, share in halved]))
    yield Row("long training", "stopped early", *map(float, taus), minutes * share)


def _halved(space: SearchSpace, curves: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """Scores by the rung that was reached, then by the accuracy there, met in a random order; the share of steps."""
    order, scores = rng.permutation(len(curves)), np.zeros(len(curves))
    trials = replayed(curves, order, space.decode([0] * len(space.decisions)))
    for place, trial in zip(order, trials, strict=True):
        assert trial.measurement is not None
        scores[place] = len(trial.measurement.rungs) + trial.measurement.accuracy
    return scores, share_of_steps(trials, curves.shape[1])


def _stopped(found: Found, truth: Truth) -> Iterator[str]:
    """What successive halving over 2, 3, ... rungs saves of the long trainings, and what it costs the winner."""
    for rungs in range(2, len(truth.seeds[0][truth.kept[0]] or ()) + 1):
        shares, lost = [], []
        for curves in (np.array([seed[i] for i in truth.kept])[:, -rungs:] for seed in truth.seeds):
            for order in range(SUBSETS):
                scores, share = _halved(found.space, curves, np.random.default_rng(order))
                shares.append(share)
                lost.append(curves[:, -1].max() - curves[np.argmax(scores), -1])
        yield (
            f"stopped early over {rungs} rungs: {np.mean(shares):.0%} of the steps, the winner kept "
            f"{np.mean(np.array(lost) == 0):.0%} of the times, {np.mean(lost):.4f} of its accuracy lost on average"
        )


def _predictors(found: Found, truth: Truth) -> Iterator[Row]:
    """Taught by more and more architectures; then with further columns."""
    count = len(found.taught_with)
    curves = found.curves("taught", found.taught_steps, found.seed, count)
    if curves is None:
        return
    known = np.array([i for i in range(count) if curves[i] is not None])
    taught, each = np.array(_ends(curves)), found.seconds("taught", found.taught_steps, found.seed, count)
    rows = np.stack([features(found.space, architecture) for architecture in found.taught_with])
    judged = np.stack([features(found.space, architecture) for architecture in found.judged])
    for number in sorted({number for number in (10, 20, 40, 80, len(known)) if LEAST <= number <= len(known)}):
        made = []
        for subset in range(SUBSETS if number < len(known) else 1):
            chosen = np.random.default_rng(subset).permutation(known)[:number]
            scores = Regression(rows[chosen], taught[chosen].tolist())(judged)[0]
            made.append(truth.row("predictor", f"{number} taught with {found.taught_steps} steps", scores, 0))
        values = np.array([(row.tau, row.low, row.high) for row in made]).mean(0)
        tau, low, high = map(float, values)
        yield replace(made[0], tau=tau, low=low, high=high, minutes=number * each / 60)
    everything = Regression(rows[known], taught[known].tolist())(judged)[0]
    for row in _proxies(found, truth):
        scores = np.array(_ends(found.curves("proxy", int(row.made_with.split()[0]), found.seed, len(judged)) or []))
        both = _standard(scores) + _standard(everything)
        yield truth.row("predictor and proxy", row.made_with, both, row.minutes + len(known) * each / 60)
    for name, piece, minutes in _milestones(found):
        more, own = (np.log(np.array(piece[key])[:, 1:]) for key in ("others", "scores"))  # of the losses
        model = Regression(np.hstack([more, rows])[known], taught[known].tolist(), totals=NUM_TOTALS + 1)
        scores = model(np.hstack([own, judged]))[0]
        yield truth.row("predictor and supernet", name, scores, minutes + len(known) * each / 60)


def _standard(values: Array) -> Array:
    """Scores that can be added: cut off below, of unit spread."""
    cut = np.maximum(values, np.quantile(values, 0.05))
    scaled: Array = (cut - cut.mean()) / (cut.std() + 1e-9)
    return scaled


def _milestones(found: Found) -> Iterator[tuple[str, dict[str, Any], float]]:
    """Every scored state of every supernet, and the processor's minutes until then with 300 architectures scored."""
    keys = [path.stem.replace("_", " ") for path in found.pieces.folder.glob("supernet*.json")]
    trained: dict[str, float] = {}
    for key in sorted(keys, key=lambda key: (key.rpartition(" at ")[0], int(key.rpartition(" ")[2]))):
        piece, name = found.pieces.get(key), key.rpartition(" at ")[0]
        seconds = found.pieces.seconds_of(key) - piece["scoring_seconds"]
        trained[name] = trained.get(name, 0.0) + seconds
        yield key.removeprefix("supernet "), piece, (trained[name] + MANY * piece["seconds_each"]) / 60


def _supernets(found: Found, truth: Truth) -> Iterator[Row]:
    for name, piece, minutes in _milestones(found):
        accuracies, losses = np.array(piece["scores"]).T
        yield truth.row("supernet by accuracy", name, accuracies, minutes)
        yield truth.row("supernet by likelihood", name, -losses, minutes)


def _tuned(found: Found, truth: Truth) -> Iterator[Row]:
    """Short trainings from inherited weights; they cost what a supernet costs, and their own steps."""
    trained = {
        name.rpartition(" at ")[0]: minutes - MANY * piece["seconds_each"] / 60
        for name, piece, minutes in _milestones(found)
    }
    first = [path.stem.replace("_", " ") for path in found.pieces.folder.glob("tuned*_number_0.json")]
    for name in sorted(key.removesuffix(" number 0") for key in first):
        keys = [f"{name} number {number}" for number in range(len(found.judged))]
        scores = [found.pieces.get(key) for key in keys]
        steps, _, supernet = name.removeprefix("tuned ").partition(f"x{found.batch} ")
        if None not in scores and supernet in trained:
            each = float(np.mean([found.pieces.seconds_of(key) for key in keys]))
            minutes = trained[supernet] + MANY * each / 60
            yield truth.row("supernet and own steps", f"{steps} after {supernet}", scores, minutes)


def _ratios(rows: Sequence[Row]) -> Iterator[str]:
    """What proxies cost that rank as well as a supernet, over what the supernet costs."""
    proxies = sorted((row for row in rows if row.evaluator == "proxy"), key=lambda row: row.minutes)
    for row in rows if len(proxies) > 1 else ():
        if not row.evaluator.startswith("supernet"):
            continue
        best = np.maximum.accumulate([proxy.tau for proxy in proxies])
        name = f"{row.evaluator}, {row.made_with}"
        if row.tau > best[-1]:
            ratio = proxies[-1].minutes / row.minutes
            yield f"{name}: no proxy ranks as well; the longest costs {ratio:.1f} times as much"
        elif row.tau < best[0]:
            ratio = proxies[0].minutes / row.minutes
            yield f"{name}: the shortest proxy ranks better already, at {ratio:.1f} times the cost"
        else:
            logs = np.log([proxy.minutes for proxy in proxies])
            ratio = np.exp(np.interp(row.tau, best, logs)) / row.minutes
            yield f"{name}: a proxy that ranks as well costs {ratio:.1f} times as much for {MANY} architectures"


def _speeds(found: Found) -> Iterator[str]:
    for one in found.pieces.get(f"speed {found.batch}") or ():
        share = one["supernet"] / one["keras"]
        yield (
            f"a step at {one['madds'] / 1e6:.1f} M multiply-adds, batch {found.batch}: {one['supernet']:.0f} images/s "
            f"in the supernet, {one['keras']:.0f} as a Keras model alone ({share:.2f} of it)"
        )
        used = TRAINING_FACTOR * one["madds"] * one["supernet"] / one["peak"]
        goes = ", ".join(f"{name} {part:.0%}" for name, part in sorted(one["goes"].items(), key=lambda pair: -pair[1]))
        yield f"  {used:.0%} of what a matrix product reaches ({one['peak'] / 1e9:.0f} G multiply-adds/s); {goes}"


def picture(rows: Sequence[Row]) -> str:
    """Tau over the minutes for 300 architectures, a line an evaluator, as a page of its own."""
    drawn = []
    for name, look in zip(DRAWN, CYCLE, strict=False):
        own = sorted((row for row in rows if row.evaluator == name), key=lambda row: row.minutes)
        minutes, taus = tuple(max(row.minutes, 1.0) for row in own), tuple(row.tau for row in own)
        drawn.append(Series(name, look, minutes, taus, kind="both", hover=tuple(row.made_with for row in own)))
    title = "Rank correlation with long trainings"
    x = f"processor minutes for {MANY} architectures, training included (totals: none)"
    summary = "The 95 % intervals over architectures, and the evaluators that are not drawn, are in ranking.csv."
    return figures_page([Figure("ranking", title, x, "Kendall tau", tuple(drawn), summary, log_x=True)], title=title)
