"""The ready-made tables: their index, and finding them by name."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mnas.arch.codec import architecture_to_json
from mnas.errors import InputError
from mnas.latency import registry
from mnas.latency.registry import INDEX, find_table, read_registry, registry_folder
from mnas.latency.table import LatencyTable
from mnas.space.files import load_space
from tests.commands import run
from tests.latency.tables import make_table
from tests.spaces import small_space
from tools.tables.index import make_index

FOLDER = Path(__file__).parents[2] / "latency_tables"
NAMES = [table.name for table in read_registry()]


def test_the_index_agrees_with_the_files() -> None:
    assert registry_folder() == FOLDER
    assert list(read_registry()) == make_index(FOLDER)
    assert {table.file for table in read_registry()} == {path.name for path in FOLDER.glob("*.json")} - {INDEX}


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_found_by_its_name(name: str) -> None:
    (listed,) = (table for table in read_registry() if table.name == name)
    assert find_table(name) == FOLDER / listed.file
    assert LatencyTable.load(name).sha256 == listed.sha256


def test_the_start_of_a_name_is_enough_where_one_table_has_it() -> None:
    assert find_table("xeon-float32-nas") == FOLDER / "xeon-2.5ghz_litert_float32_nas-bench-macro.json"
    assert find_table("epyc-float32-mnasnet") == FOLDER / "epyc_litert_float32_mnasnet.json", "a whole name wins"
    with pytest.raises(InputError, match=r"several .* called epyc-float32: choose one of epyc-float32-mnasnet, epyc-"):
        find_table("epyc-float32")


def test_a_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_table(small_space())
    table.save("epyc-int8")
    assert LatencyTable.load("epyc-int8") == table
    for path in ("epyc-int8.json", "./none", "/tmp/none", Path("a") / "epyc-int8"):
        assert find_table(path) == Path(path)


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match=r"there is no file epyc-flaot32, .* \(the nearest: epyc-float32"):
        find_table("epyc-flaot32")
    with pytest.raises(InputError) as found:
        find_table("epyk-float32-mnasnet")
    near = str(found.value).partition("the nearest: ")[2].partition(")")[0].split(", ")
    assert len(near) == len(set(near)) > 1
    with pytest.raises(InputError, match="mnas table list shows"):
        find_table("qqqqqqq")
    with pytest.raises(InputError, match="no ready-made latency table"):
        find_table("a" * 5000)


def test_an_installed_mnas_finds_what_was_installed_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "share" / "mnas" / "latency_tables"
    shutil.copytree(FOLDER, there)
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "site-packages" / "mnas" / "latency" / "registry.py"))
    files: list[importlib.metadata.PackagePath] = []
    monkeypatch.setattr("importlib.metadata.files", lambda name: files)
    assert read_registry() == ()
    with pytest.raises(InputError, match=r"this installation has none\. They are in the folder latency_tables"):
        find_table("epyc-int8-mnasnet-32")
    assert "has no ready-made tables" in run("table", "list")
    path = importlib.metadata.PackagePath(f"../share/mnas/latency_tables/{INDEX}")
    path.dist = importlib.metadata.PathDistribution(tmp_path / "site-packages" / "mnas.dist-info")
    (tmp_path / "site-packages").mkdir()
    files.append(path)
    assert find_table("epyc-int8-mnasnet-32").samefile(there / "epyc_litert_int8_mnasnet-32.json")


def test_a_damaged_index_is_said(tmp_path: Path) -> None:
    for document, said in (
        ({"format": "mnas.latency_tables", "version": 2}, "is not an index of latency tables of version 1"),
        ({"format": "mnas.latency_tables", "version": 1, "tables": [{"name": "a"}]}, "tables"),
        ({**json.loads((FOLDER / INDEX).read_text()), "tables": [_row(), _row()]}, "has one name twice"),
        ({**json.loads((FOLDER / INDEX).read_text()), "tables": [{**_row(), "file": "../x.json"}]}, "file"),
    ):
        (tmp_path / INDEX).write_text(json.dumps(document))
        with pytest.raises(InputError, match=said):
            read_registry(tmp_path)


def _row() -> dict[str, object]:
    return dict(json.loads((FOLDER / INDEX).read_text())["tables"][0])


def test_commands_take_names(tmp_path: Path) -> None:
    network = load_space("mnasnet-32").sample(np.random.default_rng(0))
    (tmp_path / "net.json").write_text(architecture_to_json(network))
    path = FOLDER / "epyc_litert_int8_mnasnet-32.json"
    by_name, by_path = (
        run("cost", tmp_path / "net.json", "--table", name, "--json") for name in ("epyc-int8-mnasnet-32", path)
    )
    assert by_name == by_path
    assert run("table", "show", "epyc-int8-mnasnet-32", "--json") == run("table", "show", path, "--json")
    assert [row["name"] for row in json.loads(run("table", "list", "--json"))["tables"]] == NAMES
    told = run("table", "list")
    assert all(name in told for name in NAMES)
