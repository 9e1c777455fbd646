"""Tables of a phone some of whose program starts are disturbed, against its true times."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.latency.limits import table_faults
from mnas.latency.table import LatencyTable
from mnas.profiling.profile import ProfileOptions, profile
from tests.profiling.fakes import FakePhone, table_error
from tests.spaces import small_space

SPACE = small_space(3)


def error(table: LatencyTable) -> float:
    return table_error(table, SPACE)


@pytest.mark.parametrize("seed", range(2))
def test_disturbed_starts_do_not_spoil_a_table(tmp_path: Path, seed: int) -> None:
    def make(share: float) -> LatencyTable:
        phone = FakePhone(share, seed=seed)
        with phone.own_clock():  # a minute gives the fewest networks, and few bursts to each
            return profile(SPACE, phone, tmp_path / f"{share}.json", ProfileOptions(minutes=1, seed=seed))

    undisturbed = error(make(0.0))
    table = make(0.05)
    assert error(table) < undisturbed + 0.01 or table_faults(table)
    assert error(table) < undisturbed + 0.02
