"""Everything that `mnas scale` does is one call of the library."""

import csv
import json
import sys

import pytest

import mnas
from mnas.cli.main import run
from tests.latency.tables import make_table


class BySize:
    """Scores a network by its resolution."""

    def __call__(self, architecture):
        return architecture.resolution / 1000

    def describe(self):
        return {"kind": "by size"}


@pytest.fixture
def phone(tmp_path):
    make_table(mnas.load_space("mnasnet-16")).save(tmp_path / "phone.json")
    return tmp_path / "phone.json"


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*args):
        monkeypatch.setattr(sys, "argv", ["mnas", "scale", "mnasnet-a1", *map(str, args), "--json"])
        with pytest.raises(SystemExit) as ended:
            run()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return json.loads(said.out)

    return call


@pytest.mark.parametrize(("mode", "options"), [
    ({"phi": 1}, ["--phi", 1]),
    ({"phi": 1, "lite": True, "coefficients": "1.3,1.1,1.1"}, ["--phi", 1, "--lite", "--coefficients", "1.3,1.1,1.1"]),
    ({"published": "b2"}, ["--published", "b2"]),
    ({"to_ms": [20]}, ["--to-ms", 20]),
    ({"to_ms": [15, 20]}, ["--to-ms", 15, "--to-ms", 20]),
    ({"family": "0..2"}, ["--family", "0..2"]),
])  # fmt: skip
def test_every_mode_gives_what_the_command_prints(mode, options, phone, command):
    found = mnas.scale("mnasnet-a1", tables=[phone], **mode)
    assert found.document == command(*options, "--table", phone)
    by_object = mnas.scale(mnas.zoo("mnasnet-a1"), tables=[phone], **mode)
    assert by_object.members == found.members


def test_a_family_is_scored_and_written_in_the_same_call(phone, tmp_path):
    seen = []
    found = mnas.scale(
        "mnasnet-a1",
        family="0..2",
        tables=[phone],
        scorer=BySize(),
        out=tmp_path / "family",
        progress=lambda share, what: seen.append(share),
    )
    assert [member.accuracy for member in found.members] == [0.224, 0.256, 0.296]
    assert seen == [0, 1 / 3, 2 / 3]
    folder = tmp_path / "family"
    rows = list(csv.DictReader((folder / "family.csv").open()))
    assert [float(row["latency_ms phone"]) for row in rows] == [m.latencies_ms["phone"] for m in found.members]
    made = json.loads((folder / "family.json").read_text())["made"]
    assert (made["evaluator"], made["options"]) == ({"kind": "by size"}, {"--family": "0..2"})
    assert "<html" in (folder / "family.html").read_text()
    larger = mnas.architecture_from_json((folder / "phi2.json").read_text())
    assert larger == found.members[2].architecture


def test_a_grid_is_scored_and_its_file_used(tmp_path):
    out = tmp_path / "c.json"
    found = mnas.scale("mnasnet-a1", grid=True, grid_step=0.2, scorer=BySize(), out=out)
    assert found.document == {"file": str(out), **json.loads(out.read_text())}
    assert len(found.candidates) == len(found.document["found"]["candidates"]) > 2
    winner = mnas.scale("mnasnet-a1", phi=1, coefficients=str(out)).members[0].architecture
    assert winner.resolution == max(one.architecture.resolution for one in found.candidates)


def test_a_scorer_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "scores_by_depth.py").write_text(
        "def accuracy(architecture):\n    return len(architecture.stages) / 10"
    )
    monkeypatch.chdir(tmp_path)
    scorer = mnas.make_scorer("python:scores_by_depth:accuracy")
    assert mnas.scale("mnasnet-a1", phi=1, scorer=scorer).members[0].accuracy == 0.7
    with pytest.raises(mnas.InputError, match="expected proxy or python:MODULE:FUNCTION"):
        mnas.make_scorer("predictor", data="digits")


def test_exactly_one_mode():
    with pytest.raises(mnas.InputError, match=r"expected one of --phi, .*; got none"):
        mnas.scale("mnasnet-a1")
    with pytest.raises(mnas.InputError, match="got --phi, --grid"):
        mnas.scale("mnasnet-a1", phi=0, grid=True)
