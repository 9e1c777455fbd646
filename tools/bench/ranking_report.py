"""What `tools.bench.ranking` found: tau of every evaluator against the truth, and what 300 architectures cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from mnas.report.figure import CYCLE, Figure, Series
from mnas.report.page import figures_page
from mnas.system.files import write_atomically
from tools.bench.ranking_results import RankingResults, Row, Truth, tau_with_interval
from tools.bench.ranking_rows import MANY, SUBSETS, evaluator_rows, score_stopped_early
from tools.bench.tables import write_csv

DRAWN = (
    "proxy",
    "long training at",
    "predictor",
    "predictor and proxy",
    "totals",
)


def report(results: RankingResults) -> None:
    """Print a line an evaluator, and write ranking.csv and ranking.html."""
    truth = Truth(results)
    rows = evaluator_rows(results, truth)
    print(
        f"{len(truth.kept)} architectures, {results.truth_steps} steps of {results.batch}: accuracies "
        f"{truth.mean.min():.3f} to {truth.mean.max():.3f}, {len(truth.seeds)} seeds"
    )
    if len(truth.seeds) == 2:
        print("ceiling, tau between two seeds: {:.3f} ({:.2f} to {:.2f})".format(*tau_with_interval(*truth.ends)))
    for row in rows:
        print(
            f"{row.evaluator}, {row.made_with}: tau {row.tau:.3f} ({row.low:.2f} to {row.high:.2f}), "
            f"{row.minutes:.1f} processor minutes for {MANY}"
        )
    for line in _early_stopping(results, truth):
        print(line)
    write_csv(results.run.folder / "ranking.csv", [asdict(row) for row in rows])
    write_atomically(results.run.folder / "ranking.html", picture(rows))


def _early_stopping(results: RankingResults, truth: Truth) -> Iterator[str]:
    """What successive halving over 2, 3, ... rungs saves of the long trainings, and what it costs the winner."""
    for rungs in range(2, len(truth.seeds[0][truth.kept[0]] or ()) + 1):
        shares, lost = [], []
        for curves in (np.array([seed[i] for i in truth.kept])[:, -rungs:] for seed in truth.seeds):
            for order in range(SUBSETS):
                scores, share = score_stopped_early(results.space, curves, np.random.default_rng(order))
                shares.append(share)
                lost.append(curves[:, -1].max() - curves[np.argmax(scores), -1])
        yield (
            f"stopped early over {rungs} rungs: {np.mean(shares):.0%} of the steps, the winner kept "
            f"{np.mean(np.array(lost) == 0):.0%} of the times, {np.mean(lost):.4f} of its accuracy lost on average"
        )


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
