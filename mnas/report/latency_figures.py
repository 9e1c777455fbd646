"""The figures of a latency table: predicted against measured, and what every block takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mnas.arch.codec import parse_stage
from mnas.arch.complexity import block_complexity
from mnas.arch.spec import BlockSpec, ClassifierSpec
from mnas.arch.walk import PlacedBlock
from mnas.errors import InputError
from mnas.latency.table import Entry, LatencyTable
from mnas.report.facts import Bench
from mnas.report.figure import Figure, Line, Series

_KINDS = {
    "conv": "convolution",
    "sepconv": "separable",
    "kernel3": "MBConv 3x3",
    "kernel5": "MBConv 5x5",
    "kernel7": "MBConv 7x7 and more",
    "classifier": "classifier",
}


def table_figures(table: LatencyTable) -> list[Figure]:
    """All that a table can show."""
    agreement = agreement_figure(table)
    return [figure for figure in (agreement, blocks_figure(table)) if figure is not None]


def agreement_figure(table: LatencyTable | None, benches: Sequence[Bench] = ()) -> Figure | None:
    """Predicted against measured: the networks held out when the table was made, and the winner's own files."""
    card = None if table is None else table.report_card
    pairs = () if card is None else card.pairs_ms
    own = [(bench.predicted_ms, bench) for bench in benches if bench.predicted_ms is not None]
    if not pairs and not own:
        return None
    series = []
    if pairs:
        hover = tuple(f"predicted {p:.4g} ms\nmeasured {m:.4g} ms\n{p / m - 1:+.1%}" for p, m in pairs)
        series.append(
            Series("held-out networks", "search", tuple(m for _, m in pairs), tuple(p for p, _ in pairs), hover=hover)
        )
    if own:
        hover = tuple(f"{b.file}\npredicted {p:.4g} ms\nmeasured {b.quiet_ms:.4g} ms" for p, b in own)
        measured = tuple(b.quiet_ms for _, b in own)
        series.append(Series("the winner's files", "winner", measured, tuple(p for p, _ in own), hover=hover))
    words = [f"{len(pairs)} networks that the table never saw"] if pairs else []
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
    """Every block's latency against its multiply-adds: where the same arithmetic takes longer."""
    groups: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for key, entry in table.entries.items():
        placed = read_key(key)
        if placed is not None and entry.latency_ms > 0:
            madds = block_complexity(placed).madds / 1e6
            groups[_kind(placed)].append((madds, entry.latency_ms, _say(key, entry)))
    series = tuple(
        Series(
            name,
            look,
            tuple(madds for madds, _, _ in groups[look]),
            tuple(latency_ms for _, latency_ms, _ in groups[look]),
            hover=tuple(text for _, _, text in groups[look]),
        )
        for look, name in _KINDS.items()
        if look in groups
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


def _say(key: str, entry: Entry) -> str:
    return f"{key}\n{entry.latency_ms:.4g} ms, give or take {entry.error_ms:.2g} ms\n{entry.source}"


def _kind(placed: PlacedBlock) -> str:
    block = placed.block
    if isinstance(block, ClassifierSpec):
        return "classifier"
    if block.op != "mbconv":
        return "sepconv" if block.op == "sepconv" else "conv"
    return f"kernel{min(7, max(3, block.kernel_size))}"


def read_key(key: str) -> PlacedBlock | None:
    """The placed block that a table's key stands for; None for what is no block of this version of mnas."""
    try:
        place, text, *activation = key.split(" ")
        size, _, filters = (int(side) for side in place.split("x"))
        block: BlockSpec | ClassifierSpec
        if text.startswith("classifier_n"):
            block = ClassifierSpec(int(text.removeprefix("classifier_n")))
        else:
            block = parse_stage(text).block
    except (ValueError, InputError):
        return None
    return PlacedBlock(block, size, filters, activation[0] if activation else "relu")
