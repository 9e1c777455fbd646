"""Families to latencies, from table files."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnas.errors import InputError
from mnas.scaling import Coefficients
from mnas.scaling.priced import Devices, scale_to_latencies
from mnas.space.files import load_space
from tests.latency.tables import make_table

SPACE = load_space("mnasnet-16")
BASE = SPACE.decode(tuple(0 for _ in SPACE.decisions))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    table = make_table(SPACE)
    for name in ("one", "two"):
        table.save(folder / f"{name}.json")
    return [folder / "one.json", folder / "two.json"]


def test_one_table_and_several_latencies_give_a_family(tables):
    devices = Devices(tables[:1])
    found = scale_to_latencies(BASE, devices, [0.5, 1.0], Coefficients())
    assert [name for name, _ in found] == ["0.5ms", "1ms"]
    for (name, scaled), wanted in zip(found, (0.5, 1.0), strict=True):
        member = devices.member(name, scaled.architecture)
        assert member.latencies_ms["one"] == pytest.approx(wanted, rel=0.03)
        low, high = member.intervals_ms["one"]
        assert low < wanted < high


def test_as_many_tables_as_latencies_give_one_network(tables):
    ((name, scaled),) = scale_to_latencies(BASE, Devices(tables), [1.0, 2.0], Coefficients())
    assert name == "1ms_2ms"
    assert scaled.latencies_ms[0] == pytest.approx(1.0, rel=0.03)
    assert scaled.latencies_ms[1] <= 2.0


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.floats(0.4, 6), second=st.floats(0.4, 6))
def test_any_two_latencies_the_tighter_is_met_and_the_other_kept(first, second, tables):
    devices = Devices(tables)
    takes = devices.member("base", BASE).latencies_ms["one"]
    wanted = (first * takes, second * takes)
    ((_, scaled),) = scale_to_latencies(BASE, devices, list(wanted), Coefficients())
    loads = [found / asked for found, asked in zip(scaled.latencies_ms, wanted, strict=True)]
    assert max(loads) == pytest.approx(1, abs=0.03)


def test_numbers_that_do_not_fit(tables):
    with pytest.raises(InputError, match="3 --to-ms and 2 --table"):
        scale_to_latencies(BASE, Devices(tables), [1.0, 2.0, 3.0], Coefficients())
    with pytest.raises(InputError, match="1 --to-ms and 0 --table"):
        scale_to_latencies(BASE, Devices([]), [1.0], Coefficients())
    with pytest.raises(InputError, match="different latencies"):
        scale_to_latencies(BASE, Devices(tables[:1]), [1.0, 1.0], Coefficients())
    with pytest.raises(InputError, match="two latency tables are called one"):
        Devices([tables[0], tables[0]])
