"""The figures of a latency table: predicted against measured latency, and latency by block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mnas.arch.codec import parse_key
from mnas.arch.complexity import block_complexity
from mnas.arch.walk import PlacedBlock
from mnas.errors import InputError
from mnas.latency.table import Entry, LatencyTable
from mnas.report.facts import Bench
from mnas.report.figure import Figure, Line, Series
from mnas.report.network import block_look

_KINDS = {
    "conv": "convolution",
    "sepconv": "separable",
    "kernel3": "MBConv 3x3",
    "kernel5": "MBConv 5x5",
    "kernel7": "MBConv 7x7 and more",
    "classifier": "classifier",
}


def table_figures(table: LatencyTable) -> list[Figure]:
    """Return the figures that a table has data for."""
    return [figure for figure in (agreement_figure(table), blocks_figure(table)) if figure is not None]


def agreement_figure(table: LatencyTable | None, benches: Sequence[Bench] = ()) -> Figure | None:
    """Predicted against measured latency: the table's held-out networks, and the winner's files."""
    card = None if table is None else table.report_card
    pairs = () if card is None else card.pairs_ms
    own = [(bench.predicted_ms, bench) for bench in benches if bench.predicted_ms is not None]
    if not pairs and not own:
        return None
    series = []
    if pairs:
        hover = tuple(f"predicted {p:.4g} ms\nmeasured {m:.4g} ms\n{p / m - 1:+.1%}" for p, m in pairs)
        predicted, measured = zip(*pairs, strict=True)
        series.append(Series("held-out networks", "search", measured, predicted, hover=hover))
    if own:
        hover = tuple(f"{b.file}\npredicted {p:.4g} ms\nmeasured {b.quiet_ms:.4g} ms" for p, b in own)
        measured = tuple(b.quiet_ms for _, b in own)
        series.append(Series("the winner's files", "winner", measured, tuple(p for p, _ in own), hover=hover))
    words = [f"{len(pairs)} held-out networks"] if pairs else []
    words += [f"{b.file} predicted {p:.3g} ms, measured {b.quiet_ms:.3g} ms" for p, b in own]
    return Figure(
        name="agreement",
        title="Predicted against measured",
        x_label="measured latency (ms)",
        y_label="predicted latency (ms)",
        series=tuple(series),
        summary="Predicted against measured latency: " + "; ".join(words) + ".",
        lines=(Line("ratio", 1.0, "equal"), Line("ratio", 1.1, "10 % more"), Line("ratio", 0.9, "10 % less")),
    )


def blocks_figure(table: LatencyTable) -> Figure:
    """Latency against multiply-adds, one point per block."""
    groups: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for key, entry in table.entries.items():
        placed = read_key(key)
        if placed is not None and entry.latency_ms > 0:
            madds = block_complexity(placed).madds / 1e6
            groups[block_look(placed)].append((madds, entry.latency_ms, _hover(key, entry)))
    series = tuple(
        Series(name, look, madds, latencies_ms, hover=hover)
        for look, name in _KINDS.items()
        if look in groups
        for madds, latencies_ms, hover in [zip(*groups[look], strict=True)]
    )
    slowest = sorted(table.entries.items(), key=lambda item: -item[1].latency_ms)[:3]
    return Figure(
        name="blocks",
        title="Latency by block",
        x_label="multiply-adds of the block (millions)",
        y_label="latency within a network (ms)",
        series=series,
        summary=f"{len(table.entries)} blocks. The slowest: "
        + "; ".join(f"{key} {entry.latency_ms:.3g} ms" for key, entry in slowest)
        + ".",
        log=True,
    )


def _hover(key: str, entry: Entry) -> str:
    return f"{key}\n{entry.latency_ms:.4g} ± {entry.error_ms:.2g} ms\n{entry.source}"


def read_key(key: str) -> PlacedBlock | None:
    """Return the placed block of a table's key; None if this version of mnas has no such block."""
    try:
        return parse_key(key)
    except InputError:
        return None
