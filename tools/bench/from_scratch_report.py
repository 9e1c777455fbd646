"""What `python -m tools.bench.from_scratch` found: a document, a table, a picture, and plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from mnas.report.figure import CYCLE, Figure, Series
from mnas.report.page import figures_page
from mnas.system.files import write_atomically, write_json
from tools.bench.family_comparison import FamilyComparison, Network, compare
from tools.bench.tables import write_csv

Runs = Mapping[str, Sequence[dict[str, Any] | None]]


def write_report(
    out: Path,
    runs: Runs,
    times: Mapping[str, Any],
    *,
    groups: tuple[Sequence[str], Sequence[str]],
    facts: dict[str, Any],
) -> None:
    """Write from_scratch.json, from_scratch.csv and from_scratch.html, and print them.

    Args:
        out: the folder.
        runs: of every network its trainings, None where one is not done; names are a group and a width or budget.
        times: of every file, `NETWORK #NUMBER` or `NETWORK exported`, what was measured.
        groups: families, and what is compared with them.
        facts: more to say in the document.
    """
    halves = np.array([one["halves_ms"] for one in times.values()])
    noise = float(np.mean(np.abs(halves[:, 0] / halves[:, 1] - 1)))
    known: dict[str, Network] = {}
    for name, own in runs.items():
        latencies = [one["quiet_ms"] for key, one in times.items() if key.startswith(f"{name} #")]
        tests = [run["test"] for run in own if run is not None]
        if tests and latencies:
            known[name] = Network(name, float(np.mean(latencies)), tests)
    files = {name: times[f"{name} exported"]["quiet_ms"] for name in known if f"{name} exported" in times}
    comparisons = dict(_comparisons(known, noise, *groups))
    rows = [_row(one, next(run for run in runs[one.name] if run is not None)) for one in known.values()]
    document = {
        **facts,
        "noise_of_latency": noise,
        "exported_over_skeleton": {name: latency / known[name].latency_ms for name, latency in files.items()},
        "networks": rows,
        "comparisons": {name: one.to_dict() for name, one in comparisons.items()},
    }
    write_json(out / "from_scratch.json", document)
    write_csv(out / "from_scratch.csv", rows)
    write_picture(known, groups, out / "from_scratch.html")
    show(document, comparisons)


def _comparisons(
    known: Mapping[str, Network], noise: float, families: Sequence[str], ours: Sequence[str]
) -> Iterator[tuple[str, FamilyComparison]]:
    for name, network in known.items():
        for family in families if any(_of(name, kind) for kind in ours) else ():
            members = [one for other, one in known.items() if _of(other, family)]
            if len(members) > 1:
                yield f"{name} ms against {family}", compare(network, members, noise=noise)


def _row(one: Network, run: Mapping[str, Any]) -> dict[str, Any]:
    spread = float(np.std(one.accuracies, ddof=1)) if len(one.accuracies) > 1 else None
    mean = float(np.mean(one.accuracies))
    cost = {"madds": run["madds"], "params": run["params"]}
    return {"name": one.name, "latency_ms": one.latency_ms, "test": mean, "between_seeds": spread, **cost}


def _of(name: str, family: str) -> bool:
    return name.rpartition(" ")[0] == family


def write_picture(known: Mapping[str, Network], groups: tuple[Sequence[str], Sequence[str]], path: Path) -> None:
    """Accuracy over latency, families as lines, spreads between seeds as bars."""
    drawn = []
    for group, look in zip((*groups[0], *groups[1]), cycle(CYCLE), strict=False):
        own = sorted((one for one in known.values() if _of(one.name, group)), key=lambda one: one.latency_ms)
        means = [float(np.mean(one.accuracies)) for one in own]
        spread = [float(np.std(one.accuracies, ddof=1)) if len(one.accuracies) > 1 else 0 for one in own]
        drawn.append(
            Series(
                group,
                look,
                tuple(one.latency_ms for one in own),
                tuple(means),
                kind="both" if group in groups[0] else "points",
                hover=tuple(one.name for one in own),
                interval=tuple((mean - wide, mean + wide) for mean, wide in zip(means, spread, strict=True)),
            )
        )
    title, summary = "Test accuracy over measured latency", "Bars are a standard deviation between seeds."
    figure = Figure("from-scratch", title, "quiet latency (ms)", "test accuracy", tuple(drawn), summary, log_x=True)
    write_atomically(path, figures_page([figure], title=title))


def show(document: Mapping[str, Any], comparisons: Mapping[str, FamilyComparison]) -> None:
    """What was found, in plain lines."""
    for name, ratio in document["exported_over_skeleton"].items():
        print(f"{name}: the exported file takes {ratio:.3f} times what its skeleton takes")
    print(f"noise of latency between halves of the bursts {document['noise_of_latency']:.1%}")
    for row in document["networks"]:
        spread = "" if row["between_seeds"] is None else f" +- {row['between_seeds']:.4f} between seeds"
        cost = f"{row['madds'] / 1e6:.1f} M multiply-adds"
        print(f"{row['name']}: {row['latency_ms']:.3f} ms, {cost}, test accuracy {row['test']:.4f}{spread}")
    for name, one in comparisons.items():
        bound = "at least " if one.beyond > 0.5 else "at most " if one.below > 0.5 else ""
        faster = f"{bound}{one.speed_up:.2f} times as fast ({one.speed_up_interval[0]:.2f} to "
        better = f"{one.difference:+.4f} ({one.difference_interval[0]:+.4f} to {one.difference_interval[1]:+.4f})"
        print(f"{name}: {faster}{one.speed_up_interval[1]:.2f}) at equal accuracy, {better} at equal latency")
