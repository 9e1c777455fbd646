"""The figures of a study: the front, rewards and entropy over time, the scaled family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from mnas.arch.codec import format_stage
from mnas.report.facts import ReportData
from mnas.report.figure import Figure, Line, Series
from mnas.scaling.family import FamilyMember
from mnas.study.summary import front
from mnas.trial import Measurement, Trial

Price = Callable[[Measurement], float]


def study_figures(facts: ReportData) -> list[Figure]:
    """Return the figures that the study has data for."""
    figures = [front_figure(facts, index) for index in range(max(1, facts.num_latencies))]
    figures.append(reward_figure(facts))
    figures += [figure for figure in (entropy_figure(facts), family_figure(facts)) if figure is not None]
    return [figure for figure in figures if any(series.x for series in figure.series)]


def front_figure(facts: ReportData, index: int = 0) -> Figure:
    """Accuracy against latency on one device; against multiply-adds without a device."""
    priced = facts.num_latencies > 0
    price: Price = (lambda found: found.latencies_ms[index]) if priced else (lambda found: found.madds / 1e6)
    target = facts.targets[index] if index < len(facts.targets) else None
    unit = "ms" if priced else "M"
    device = f"the {_ordinal(index, facts.num_latencies)}device"
    axis = f"predicted latency on {device} (ms)" if priced else "multiply-adds (millions)"
    series = [
        _points("random search", "random", facts.baseline, price, unit),
        _points(facts.summary["strategy"], "search", facts.trials, price, unit),
    ]
    if index == 0:
        edge = [(price(t.measurement), 100 * t.measurement.accuracy) for t in front(facts.trials) if t.measurement]
        series.append(Series("front", "front", *_columns(edge), kind="steps"))
    series.append(_points("stitched networks", "kernel7", facts.confirmed, price, unit))
    series.append(_points("random's finalists", "random_finalist", facts.baseline_finalists, price, unit))
    series.append(_points("finalists, trained longer", "finalist", facts.finalists, price, unit))
    series.append(_winner(facts, price, unit))
    lines = (Line("vertical", target.budget_ms, f"budget {target.budget_ms:g} ms"),) if target else ()
    count = len(facts.trials)
    summary = f"Accuracy against {axis} for {count} trials and {len(facts.baseline)} random ones."
    if target is not None:
        inside = sum(t.measurement is not None and price(t.measurement) <= target.budget_ms for t in facts.trials)
        summary += f" {inside} of the {count} are within the budget of {target.budget_ms:g} ms."
    return Figure(
        name="front" if index == 0 else f"front-{index + 1}",
        title="Accuracy against latency" if priced else "Accuracy against multiply-adds",
        x_label=axis,
        y_label="validation accuracy (%)",
        series=tuple(s for s in series if s.x),
        summary=f"{summary} {_best_in_words(facts)}".strip(),
        lines=lines,
    )


def _ordinal(index: int, count: int) -> str:
    return "" if count == 1 else f"{('first', 'second', 'third', 'fourth')[index]} " if index < 4 else f"{index + 1}th "


def _columns(pairs: Iterable[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    x, y = tuple(zip(*pairs, strict=True)) or ((), ())
    return x, y


def _points(name: str, look: str, trials: Sequence[Trial], price: Price, unit: str) -> Series:
    done = [(t, t.measurement) for t in trials if t.measurement is not None]
    x, y = _columns([(price(found), 100 * found.accuracy) for _, found in done])
    return Series(name, look, x, y, hover=tuple(describe(t, price(found), unit) for t, found in done))


def _winner(facts: ReportData, price: Price, unit: str) -> Series:
    best = facts.summary["best"]
    pool = facts.finalists if best is not None and best["trained_longer"] else facts.trials
    chosen = [t for t in pool if best is not None and t.number == best["number"]]
    return _points("winner", "winner", chosen, price, unit)


def _best_in_words(facts: ReportData) -> str:
    best = facts.summary["best"]
    if best is None:
        return "There is no winner yet."
    where = "" if best["latency_ms"] is None else f" at {best['latency_ms']:.3g} ms"
    return f"The winner, trial {best['number']}, reaches {best['accuracy']:.1%}{where}."


def describe(trial: Trial, price: float, unit: str) -> str:
    """Return the text that is shown when the pointer is on a trial: its results and its architecture."""
    found = trial.measurement
    if found is None:
        return f"trial {trial.number} failed"
    reward = "" if trial.reward is None else f"reward {trial.reward:.4f}\n"
    lines = [format_stage(stage) for stage in trial.architecture.stages]
    return (
        f"trial {trial.number}: {found.accuracy:.2%}, {price:.4g} {unit}\n{reward}"
        f"{found.params / 1e6:.3g} M parameters, {found.madds / 1e6:.4g} M multiply-adds\n" + "\n".join(lines)
    )


def reward_figure(facts: ReportData) -> Figure:
    """Every trial's reward and the best so far, of the strategy and of random search."""
    series: list[Series] = []
    words = []
    names = ((facts.baseline, "random", "random search"), (facts.trials, "search", facts.summary["strategy"]))
    for trials, look, name in names:
        done = [(trial.number, trial.reward) for trial in trials if trial.reward is not None]
        numbers, rewards = _columns(done)
        best = tuple(accumulate(rewards, max))
        series.append(Series(name, look, numbers, rewards))
        series.append(Series(f"{name}: best so far", look, numbers, best, kind="steps"))
        if best:
            words.append(f"{name} reaches {best[-1]:.4f} after {len(trials)} trials")
    return Figure(
        name="reward",
        title="Reward over time",
        x_label="trial",
        y_label="reward",
        series=tuple(s for s in series if s.x),
        summary="Reward by trial: " + ", ".join(words) + "." if words else "No trial has a reward yet.",
    )


def entropy_figure(facts: ReportData) -> Figure | None:
    """The policy's entropy after each update; None for strategies without a policy, or before the first update."""
    pairs = [
        (update.num_trials, update.diagnostics["entropy"])
        for update in facts.updates
        if update.phase == "trials" and "entropy" in update.diagnostics
    ]
    if not pairs:
        return None
    return Figure(
        name="entropy",
        title="Entropy of the strategy's policy",
        x_label="trials that the policy was updated on",
        y_label="entropy of the policy (nats)",
        series=(Series("entropy", "search", *_columns(pairs), kind="both"),),
        summary=(
            f"The policy's entropy changes from {pairs[0][1]:.2f} to {pairs[-1][1]:.2f} nats; "
            f"a uniform policy has {facts.max_entropy:.2f} nats, a deterministic one 0."
        ),
        lines=(Line("horizontal", facts.max_entropy, "uniform policy"),),
    )


def family_figure(facts: ReportData) -> Figure | None:
    """Accuracy of the scaled family against its latency; parameters if an accuracy is not known yet."""
    members = facts.family
    if not members:
        return None
    timed = all(member.latency_ms is not None for member in members)
    scored = all(member.accuracy is not None for member in members)
    price: Callable[[FamilyMember], float] = (lambda m: m.latency_ms or 0.0) if timed else (lambda m: m.madds / 1e6)
    worth: Callable[[FamilyMember], float] = (
        (lambda m: 100 * (m.accuracy or 0.0)) if scored else (lambda m: m.params / 1e6)
    )
    order = sorted(members, key=lambda member: (price(member), worth(member)))
    hover = tuple(
        f"{m.name}, {m.architecture.resolution} px\n{price(m):.4g} {'ms' if timed else 'M multiply-adds'}\n"
        f"{m.params / 1e6:.3g} M parameters" + ("" if m.accuracy is None else f"\naccuracy {m.accuracy:.2%}")
        for m in order
    )
    return Figure(
        name="family",
        title="The scaled family",
        x_label="predicted latency (ms)" if timed else "multiply-adds (millions)",
        y_label="accuracy (%)" if scored else "parameters (millions)",
        series=(
            Series("family", "family", tuple(map(price, order)), tuple(map(worth, order)), kind="both", hover=hover),
        ),
        summary=f"{len(members)} networks scaled from one: " + ", ".join(m.name for m in order) + ".",
    )
