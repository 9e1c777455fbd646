"""`mnas fleet`."""

import json

import pytest

from mnas.arch.codec import architecture_from_dict
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import LatencyTable
from tests.commands import run
from tests.latency.tables import make_table

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def line(tiny_library, tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, path in enumerate(paths):
        make_table(tiny_library.space, overhead_ms=0.002 + 0.001 * number).save(path)
    given = [word for path in paths for word in ("--tables", path)]
    return ["fleet", "--library", tiny_library.folder, *given, "--budget-ms", "9", "--budget-ms", "0.0001"]


def test_networks_are_shown_and_written(line, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = run(*line, "--confirmed", "2", "--out", tmp_path / "fleet")
    assert "9 ms, table 1" in shown
    assert "9 ms, all 2 tables" in shown
    assert "none is that fast" in shown
    assert "1@9 2@9" in shown
    assert f"Table 2: {tmp_path / 'b.json'}" in shown
    written = sorted(path.name for path in (tmp_path / "fleet").iterdir())
    assert written == ["network-01-9ms.json", "network-02-9ms.json", "network-03-9ms.json"]
    network = architecture_from_dict(json.loads((tmp_path / "fleet" / written[0]).read_text()))
    assert LatencyEstimator(LatencyTable.load(tmp_path / "a.json")).predict(network).latency_ms <= 9


def test_json_has_every_row(line, tmp_path):
    document = json.loads(run(*line, "--confirmed", "1", "--json"))
    assert len(document["networks"]) == 6
    assert [row["architecture"] is None for row in document["networks"]] == [False] * 3 + [True] * 3
    assert document["networks"][0]["serves"] == [[str(tmp_path / "a.json"), 9.0], [str(tmp_path / "b.json"), 9.0]]


def test_bad_input_is_one_message(line, tmp_path):
    with pytest.raises(InputError, match="--budget-ms is -1: expected a positive number of ms"):
        run(*line, "--budget-ms", "-1")
    with pytest.raises(InputError, match="is not a block library"):
        run("fleet", "--library", tmp_path, "--tables", tmp_path / "a.json", "--budget-ms", "1")
