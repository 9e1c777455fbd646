"""Which measurements may be compared with a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnas.errors import InputError
from mnas.profiling.prediction import check_same
from tests.latency.tables import CONFIGURATION

OLD = replace(CONFIGURATION, affinity="7")


def test_tables_of_other_cores_are_refused() -> None:
    assert check_same(OLD, replace(OLD, affinity="6"))  # the default, where another core was switched on
    assert check_same(OLD, replace(OLD, affinity="7-7: 7"))  # the same core, asked for
    assert check_same(replace(OLD, affinity="big: 4,5"), replace(OLD, affinity="big: 4,5,6"))
    with pytest.raises(InputError, match="for no --cores; this is --cores little: 0,1"):
        check_same(OLD, replace(OLD, affinity="little: 0,1"))
    with pytest.raises(InputError, match="for --cores big: 4,5; this is --cores little"):
        check_same(replace(OLD, affinity="big: 4,5"), replace(OLD, affinity="little: 0,1"))
