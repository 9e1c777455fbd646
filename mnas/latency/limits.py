"""What a latency table must fulfil before a search may rely on it: absolute limits for its report card."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from mnas.latency.table import TRANSFERRED, LatencyTable, ReportCard
from mnas.statistics import expected_tau

MOST_ERROR = 0.08  # mean error of the predictions
LEAST_TAU = 0.8  # Kendall's tau; less for networks so alike that predictions within `MOST_ERROR` cannot reach it
MOST_MARGIN = 0.25  # of the 90 % intervals, on average, over the prediction
_FEWEST_FOR_TAU = 10  # networks: a rank correlation of fewer says little

_QUIET = "on a device that is cool and that nothing else uses"

_log = logging.getLogger(__name__)


def card_faults(card: ReportCard) -> tuple[str, ...]:
    """Return which limits a report card fails, each with the limit and the value; empty if it holds."""
    faults = []
    if card.mape > MOST_ERROR:
        faults.append(f"predictions are {card.mape:.1%} off on average (limit {MOST_ERROR:.0%})")
    if card.num_networks >= _FEWEST_FOR_TAU and card.kendall_tau < (limit := _least_tau(card)):
        faults.append(f"Kendall's tau is {card.kendall_tau:.2f} (limit {limit:.2g})")
    if card.margin is not None and card.margin > MOST_MARGIN:
        faults.append(f"the 90 % intervals are plus and minus {card.margin:.0%} on average (limit {MOST_MARGIN:.0%})")
    return tuple(faults)


def _least_tau(card: ReportCard) -> float:
    """The limit for tau, which must not ask for more than the limit for the error does."""
    measured = [latency for _, latency in card.pairs_ms]
    if len(measured) < _FEWEST_FOR_TAU or min(measured) <= 0:
        return LEAST_TAU
    return min(LEAST_TAU, expected_tau(measured, MOST_ERROR))


def table_faults(table: LatencyTable) -> tuple[str, ...]:
    """Return which limits a table's report cards fail: that of all networks, else those of single resolutions.

    A table without a report card, such as an imported one, has none.
    """
    if table.report_card is not None and (faults := card_faults(table.report_card)):
        return faults
    return tuple(f"at {size} px {fault}" for size, card in table.report_cards.items() for fault in card_faults(card))


def mending(table: LatencyTable) -> str:
    """Return what to do about a table that fails limits."""
    if table.method.startswith(TRANSFERRED):
        return f"run the same mnas profile --from again with more --networks, {_QUIET}"
    return f"run mnas profile again with more --minutes (--force overwrites), {_QUIET}"


def load_table(path: Path | str) -> LatencyTable:
    """Read a table to predict with. A bad report card is warned of, once for each file.

    Raises:
        InputError: as `LatencyTable.load`.
    """
    table = LatencyTable.load(path)
    if faults := table_faults(table):
        _warn_once(str(path), "; ".join(faults), mending(table))
    return table


@cache
def _warn_once(path: str, faults: str, mending: str) -> None:
    _log.warning("the latency table %s is bad: %s\n  What it predicts may be wrong; %s", path, faults, mending)
