"""`mnas table import`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mnas.arch.codec import architecture_to_json
from mnas.errors import InputError
from tests.commands import run
from tests.latency.importers.published import once_for_all_times, proxylessnas_times, rows, single_path_json
from tests.latency.importers.test_importer import every_block

FILES = {
    "proxylessnas": rows(proxylessnas_times()),
    "once-for-all": rows(once_for_all_times(), "std"),
    "single-path": single_path_json(),
}


@pytest.mark.parametrize("name", FILES)
def test_import_show_and_compare(tmp_path: Path, name: str) -> None:
    (tmp_path / "published").write_text(FILES[name])
    out = tmp_path / "table.json"
    said = json.loads(run("table", "import", tmp_path / "published", "--format", name, "--out", out, "--json"))
    shown = json.loads(run("table", "show", out, "--json"))
    assert said == {"table": str(out), **shown}
    assert shown["header"]["space"] == name
    assert "published" in run("table", "show", out)
    assert json.loads(run("table", "compare", out, out, "--json"))["ratio"] == 1


def test_an_imported_table_prices_a_network(tmp_path: Path) -> None:
    (tmp_path / "mobile.yaml").write_text(FILES["proxylessnas"])
    (tmp_path / "net.json").write_text(architecture_to_json(every_block(6, 7)))
    out = tmp_path / "table.json"
    told = run("table", "import", tmp_path / "mobile.yaml", "--format", "proxylessnas", "--out", out)
    assert "no network was held out" in " ".join(told.split())
    again = ("table", "import", tmp_path / "mobile.yaml", "--format", "proxylessnas", "--out", out)
    with pytest.raises(InputError, match="exists already"):
        run(*again)
    assert run(*again, "--force") == told
    assert json.loads(run("cost", tmp_path / "net.json", "--table", out, "--json"))


def test_nothing_is_written_for_a_file_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mobile.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(InputError, match="line 1"):
        run("table", "import", tmp_path / "mobile.yaml", "--format", "proxylessnas", "--out", tmp_path / "t.json")
    assert not (tmp_path / "t.json").exists()
