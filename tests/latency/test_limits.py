"""Bad tables are told from good ones, and warned of wherever they are used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnas.latency.estimator import table_costs
from mnas.latency.limits import LEAST_TAU, MOST_ERROR, MOST_MARGIN, card_faults, load_table, table_faults
from mnas.latency.registry import read_registry
from mnas.latency.table import LatencyTable
from tests.latency.tables import CARD, make_table
from tests.spaces import small_space

SPACE = small_space()
BAD = replace(CARD, mape=0.18, kendall_tau=0.3, margin=0.6)


def test_each_limit_is_named_with_its_value() -> None:
    assert card_faults(CARD) == ()
    assert card_faults(replace(CARD, mape=MOST_ERROR, kendall_tau=LEAST_TAU, margin=MOST_MARGIN)) == ()
    assert card_faults(BAD) == (
        "predictions are 18.0% off on average (limit 8%)",
        "Kendall's tau is 0.30 (limit 0.8)",
        "the 90 % intervals are plus and minus 60% on average (limit 25%)",
    )


def test_the_order_of_a_few_networks_is_not_judged() -> None:
    assert card_faults(replace(CARD, kendall_tau=0.3, num_networks=9)) == ()


def test_networks_that_are_hardly_different_need_not_be_in_order() -> None:
    """Predictions that are 8 % off cannot rank latencies within 20 %, and are allowed."""
    wide, narrow = (tuple((ms, ms) for ms in np.geomspace(1, most, 20).tolist()) for most in (10.0, 1.2))
    assert card_faults(replace(CARD, kendall_tau=0.79, pairs_ms=wide)) == ("Kendall's tau is 0.79 (limit 0.8)",)
    assert card_faults(replace(CARD, kendall_tau=0.79, pairs_ms=narrow)) == ()
    (fault,) = card_faults(replace(CARD, kendall_tau=0.1, pairs_ms=narrow))
    assert 0.2 < float(fault.removeprefix("Kendall's tau is 0.10 (limit ").removesuffix(")")) < 0.5


def test_one_bad_resolution_makes_a_table_bad() -> None:
    assert table_faults(make_table(SPACE, report_card=None)) == ()
    sizes = small_space(resolutions=(16, 8))
    table = make_table(sizes, report_cards={16: CARD, 8: replace(CARD, mape=0.2)})
    assert table_faults(table) == ("at 8 px predictions are 20.0% off on average (limit 8%)",)


@pytest.mark.parametrize("name", [each.name for each in read_registry()])
def test_the_tables_of_the_repository_are_good(name: str) -> None:
    assert table_faults(LatencyTable.load(name)) == ()


def test_a_bad_table_is_warned_of_once_where_it_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = str(tmp_path / "good.json"), str(tmp_path / "bad.json")
    make_table(SPACE).save(good)
    make_table(SPACE, report_card=BAD).save(bad)
    table_costs(good, SPACE)
    assert not caplog.text
    for _ in range(2):
        table_costs(bad, SPACE)
        load_table(bad)
    (record,) = caplog.records
    assert "bad.json is bad: predictions are 18.0% off on average (limit 8%); Kendall's tau" in record.getMessage()
    assert "mnas profile again with more --minutes" in record.getMessage()


def test_a_card_without_margin_is_written_as_before() -> None:
    assert "margin" not in CARD.to_dict()
    table = make_table(SPACE, report_card=replace(CARD, margin=0.05))
    assert LatencyTable.from_dict(table.to_dict()) == table
    assert table.to_dict()["report_card"]["margin"] == 0.05
