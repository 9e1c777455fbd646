"""Families to latencies, from table files."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from mnas.errors import InputError
from mnas.report.comparison import family_page
from mnas.scaling import Coefficients
from mnas.scaling.family import write_family
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


@pytest.mark.parametrize(("first", "second"), [(0.6, 3.0), (1.7, 1.1), (4.2, 5.5), (2.4, 2.4), (5.8, 1.1)])
def test_any_two_latencies_the_tighter_is_met_and_the_other_kept(first, second, tables):
    devices = Devices(tables)
    takes = devices.member("base", BASE).latencies_ms["one"]
    wanted = (first * takes, second * takes)
    ((_, scaled),) = scale_to_latencies(BASE, devices, list(wanted), Coefficients())
    loads = [found / asked for found, asked in zip(scaled.latencies_ms, wanted, strict=True)]
    assert max(loads) == pytest.approx(1, abs=0.03)


def test_all_networks_of_a_space_can_be_scaled(tables):
    """Three of the first twelve come upon a shortcut that the table cannot price, where widths become equal."""
    devices, rng = Devices(tables[:1]), np.random.default_rng(0)
    for network in (SPACE.sample(rng) for _ in range(12)):
        takes = devices.estimators["one"].latency_ms(network)
        ((_, scaled),) = scale_to_latencies(network, devices, [2.2 * takes], Coefficients())
        assert scaled.latencies_ms[0] == pytest.approx(2.2 * takes, rel=0.03)


def test_a_member_of_a_family_may_be_without_a_latency(tables, tmp_path, caplog):
    swish = replace(BASE, activation="swish")
    devices = Devices(tables[:1])
    members = [devices.member(name, each, unpriced=True) for name, each in (("one", BASE), ("other", swish))]
    assert members[1].latencies_ms == {"one": None}
    assert "other has no latency by one: " in caplog.text
    devices.check([BASE, swish])
    write_family(tmp_path, members, {}, family_page(members, title="a family"))
    rows = list(csv.DictReader((tmp_path / "family.csv").open()))
    assert [bool(row["latency_ms one"]) for row in rows] == [True, False]
    for refuses in (lambda: devices.check([swish]), lambda: devices.member("other", swish)):
        with pytest.raises(InputError, match="with swish activation"):
            refuses()


def test_numbers_that_do_not_fit(tables):
    with pytest.raises(InputError, match="3 --to-ms and 2 --table"):
        scale_to_latencies(BASE, Devices(tables), [1.0, 2.0, 3.0], Coefficients())
    with pytest.raises(InputError, match="1 --to-ms and 0 --table"):
        scale_to_latencies(BASE, Devices([]), [1.0], Coefficients())
    with pytest.raises(InputError, match="different latencies"):
        scale_to_latencies(BASE, Devices(tables[:1]), [1.0, 1.0], Coefficients())
    with pytest.raises(InputError, match="two latency tables are called one"):
        Devices([tables[0], tables[0]])
