"""One library, many devices."""

import dataclasses

import pytest

from mnas.errors import InputError
from mnas.experiments.fleet import fleet
from mnas.latency.estimator import table_costs
from mnas.latency.table import Entry
from tests.latency.tables import make_table

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def tables(tiny_library, tmp_path_factory):
    """Two devices: the second is twice as fast, except in squeeze-and-excitation."""
    folder = tmp_path_factory.mktemp("tables")
    first = make_table(tiny_library.space)
    entries = {
        key: Entry(entry.latency_ms * (3 if "_se" in key else 0.5), *dataclasses.astuple(entry)[1:])
        for key, entry in first.entries.items()
    }
    first.save(folder / "a.json")
    dataclasses.replace(first, entries=entries).save(folder / "b.json")
    return [str(folder / "a.json"), str(folder / "b.json")]


@pytest.fixture(scope="module")
def costs(tables, tiny_library):
    return {path: table_costs(path, tiny_library.space)[0] for path in tables}


def test_every_network_meets_its_budget_on_its_tables(tiny_library, tables, costs):
    slowest = max(each.extreme(largest=True)[1] for each in costs.values())
    fastest = max(each.extreme()[1] for each in costs.values())
    budgets = [0.5 * (slowest + fastest), 2 * slowest, 1e-6]
    shares = []
    found = fleet(
        tiny_library.folder, tables, budgets, confirmed=3, on_progress=lambda share, what: shares.append(share)
    )
    assert [(each.tables, each.budget_ms) for each in found] == [
        (group, budget) for budget in budgets for group in ((tables[0],), (tables[1],), tuple(tables))
    ]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    space = tiny_library.space
    for each in found[:6]:
        indices = [space.encode(each.architecture)]
        latencies = {path: float(costs[path](indices)[0]) for path in tables}
        assert each.latencies_ms == pytest.approx(list(latencies.values()))
        assert all(latencies[path] <= each.budget_ms for path in each.tables)
        pairs = [(path, budget) for path in tables for budget in budgets if latencies[path] <= budget]
        assert list(each.serves) == pairs
        assert set(zip(each.tables, [each.budget_ms] * 2, strict=False)) <= set(each.serves)
        assert 0 <= each.predicted <= 1
        assert 0 <= each.stitched <= 1
        assert each.to_dict()["architecture"]["stages"]
    assert found[3].stitched == found[4].stitched == found[5].stitched, "every network is within a large budget"
    for each in found[6:]:
        assert each.architecture is None
        assert each.to_dict()["architecture"] is None
        assert each.serves == ()


def test_a_single_table_has_no_row_for_all(tiny_library, tables):
    (only,) = fleet(tiny_library.folder, tables[:1], [1e6], confirmed=1)
    assert only.tables == (tables[0],)


@pytest.mark.parametrize(
    ("which", "budgets", "said"),
    [
        (0, [1.0], "a fleet needs tables and budgets: expected one or more of each"),
        (1, [], "a fleet needs tables and budgets"),
        (1, [0.0], "--budget-ms is 0: expected a positive number of ms"),
        (1, [1.0, float("nan")], "--budget-ms is nan: expected a positive"),
    ],
)
def test_what_cannot_be_is_refused(tiny_library, tables, which, budgets, said):
    with pytest.raises(InputError, match=said):
        fleet(tiny_library.folder, tables[:which], budgets)


def test_a_table_of_another_space_is_refused(tiny_library, tmp_path):
    make_table(dataclasses.replace(tiny_library.space, resolutions=(), resolution=16)).save(tmp_path / "other.json")
    with pytest.raises(InputError, match="make a table with mnas profile"):
        fleet(tiny_library.folder, [tmp_path / "other.json"], [1.0])
