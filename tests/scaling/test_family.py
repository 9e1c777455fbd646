"""Families as files."""

import csv
import json

import pytest

from mnas.arch import complexity, zoo
from mnas.arch.codec import architecture_from_json
from mnas.errors import InputError, MnasError
from mnas.scaling import scale_by_formula
from mnas.scaling.family import Member, read_range, write_family

B0 = zoo("efficientnet-b0")
MEMBERS = [Member(f"phi{n}", scale_by_formula(B0, n), {"phone": 10.0 * 2**n}, {"phone": (9.0, 11.0)}) for n in (0, 1)]


def test_members_table_and_record_say_the_same(tmp_path):
    write_family(tmp_path / "new", MEMBERS, {"base": "efficientnet-b0"}, "<html>")
    folder = tmp_path / "new"
    assert {path.name for path in folder.iterdir()} == {
        "phi0.json",
        "phi1.json",
        "family.json",
        "family.csv",
        "family.html",
    }
    assert architecture_from_json((folder / "phi1.json").read_text()) == MEMBERS[1].architecture
    rows = list(csv.DictReader((folder / "family.csv").open()))
    record = json.loads((folder / "family.json").read_text())
    assert record["made"] == {"base": "efficientnet-b0"}
    assert [float(row["latency_ms phone"]) for row in rows] == [10.0, 20.0]
    assert [row["params"] for row in record["members"]] == [complexity(m.architecture).params for m in MEMBERS]
    assert record["members"][0]["accuracy"] is None


def test_a_folder_that_cannot_be_is_one_message(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MnasError, match="cannot write"):
        write_family(tmp_path / "file" / "family", MEMBERS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_ranges():
    assert read_range("0..4") == [0, 1, 2, 3, 4]
    assert read_range("0,3") == [0, 3]
    for wrong in ("4..0", "a", "", "1,1", "0..40"):
        with pytest.raises(InputError, match="--family"):
            read_range(wrong)
