"""`mnas scale` as a person types it, in process."""

import json
import sys

import pytest

from mnas.arch import ZOO
from mnas.arch.codec import architecture_from_dict
from mnas.cli.main import run
from mnas.space.files import load_space
from tests.latency.tables import make_table


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "phone.json"
    make_table(load_space("mnasnet-16")).save(path)
    return path.read_bytes()


@pytest.fixture
def mnas(monkeypatch, capsys, tmp_path, phone):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phone.json").write_bytes(phone)

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["mnas", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            run()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


def test_to_a_latency(mnas):
    code, out, err = mnas("scale", "mnasnet-a1", "--to-ms", 20, "--table", "phone.json", "--out", "n.json", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["latency_ms phone"] == pytest.approx(20, rel=0.03)
    low, high = found["interval_ms phone"]
    assert low < 20 < high
    assert found["extrapolated phone"]
    code, out, _ = mnas("cost", "n.json", "--table", "phone.json", "--json")
    cost = json.loads(out)
    assert cost["latency_ms"] == pytest.approx(found["latency_ms phone"])
    assert cost["extrapolated"] == found["extrapolated phone"]
    assert {b["key"] for b in cost["blocks"] if b["extrapolated"]} == set(cost["extrapolated"])
    code, out, _ = mnas("cost", "n.json", "--table", "phone.json")
    assert "not in the table and extrapolated" in " ".join(out.split())
    assert (cost["params"], cost["memory_mb"]) == (found["params"], found["memory_bytes"] / 1e6)


def test_a_family_is_written_as_files(mnas, tmp_path):
    code, out, err = mnas("scale", "mnasnet-a1", "--family", "0..2", "--table", "phone.json", "--out", "family")
    assert code == 0, err
    assert "phi2" in out
    assert {"phi0.json", "phi1.json", "phi2.json", "family.json", "family.csv"} <= {
        path.name for path in (tmp_path / "family").iterdir()
    }


JUDGE = """
def by_size(architecture):
    return architecture.resolution / 1000

def broken(architecture):
    raise RuntimeError("out of order")
"""


def test_a_family_scored_by_an_evaluator_of_ones_own(mnas, tmp_path):
    (tmp_path / "judge_of_sizes.py").write_text(JUDGE)
    mine = ["--evaluator", "python:judge_of_sizes:by_size"]
    code, out, err = mnas("scale", "mnasnet-a1", "--family", "0..2", *mine, "--out", "family", "--json")
    assert code == 0, err
    assert [member["accuracy"] for member in json.loads(out)["members"]] == [0.224, 0.256, 0.296]
    record = json.loads((tmp_path / "family" / "family.json").read_text())
    assert record["made"]["evaluator"] == {"kind": "own", "name": mine[1]}
    code, _, err = mnas("scale", "mnasnet-a1", "--phi", 1, "--evaluator", "python:judge_of_sizes:broken")
    assert (code, "RuntimeError: out of order" in " ".join(err.split())) == (1, True)


def test_a_grid_by_an_evaluator_of_ones_own(mnas, tmp_path):
    (tmp_path / "judge_of_grids.py").write_text(JUDGE)
    mine = ["--evaluator", "python:judge_of_grids:by_size", "--grid-step", 0.2]
    code, out, err = mnas("scale", "mnasnet-a1", "--grid", *mine, "--out", "c.json")
    assert code == 0, err
    assert "Best: 1, 1, 1.4" in out
    _, by_file, _ = mnas("scale", "mnasnet-a1", "--phi", 1, "--coefficients", "c.json", "--json")
    _, of_winner, _ = mnas("cost", "c.json", "--json")
    assert json.loads(by_file)["params"] == json.loads(of_winner)["params"]


TINY = {
    "format": "mnas.architecture",
    "version": 1,
    "stages": ["ds_r1_k3_s1_c8"],
    "stem_filters": 8,
    "head_filters": 16,
    "resolution": 8,
    "num_classes": 10,
    "activation": "relu",
    "dropout": 0,
    "stem_stride": 1,
    "stochastic_depth": 0,
}


@pytest.mark.tensorflow
def test_a_grid_trains_every_candidate_and_keeps_how_the_best_was_found(mnas, tmp_path):
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    short = ["--data", "digits", "--limit", 300, "--steps", 3, "--batch", 16, "--grid-step", 0.4]
    code, out, err = mnas("scale", "tiny.json", "--grid", *short, "--out", "c.json", "--json")
    assert code == 0, err
    found = json.loads(out)["found"]
    assert [one["alpha"] * one["beta"] ** 2 * one["gamma"] ** 2 for one in found["candidates"]] == [
        pytest.approx(1.96)
    ] * 2
    assert (found["evaluator"]["data"], found["evaluator"]["steps"]) == ("digits", 3)
    best = max(found["candidates"], key=lambda one: one["accuracy"])
    kept = json.loads((tmp_path / "c.json").read_text())
    assert kept["architecture"] == best["architecture"]
    assert [kept[name] for name in ("alpha", "beta", "gamma")] == [best[name] for name in ("alpha", "beta", "gamma")]


@pytest.mark.parametrize("row", ["b1", "b2", "b3", "b4", "b5"])
def test_published_rows(row, mnas):
    _, out, _ = mnas("scale", "efficientnet-b0", "--published", row, "--json")
    assert architecture_from_dict(json.loads(out)["architecture"]) == ZOO[f"efficientnet-{row}"]


@pytest.mark.parametrize(("args", "code", "message"), [
    (["mnasnet-a1", "--phi", 1, "--published", "b1"], 2, "expected one of"),
    (["mnasnet-a1", "--to-ms", 20], 2, "expected one --to-ms for each --table"),
    (["mnasnet-a1", "--to-ms", -1, "--table", "phone.json"], 2, "--to-ms is -1.0"),
    (["mnasnet-a1", "--to-ms", 1e-5, "--table", "phone.json"], 2, "the smallest network of this family"),
    (["efficientnet-b0", "--to-ms", 20, "--table", "phone.json"], 2, "swish"),
    (["efficientnet-b0", "--phi", 16], 2, "a file of 6.9 GiB"),
    (["efficientnet-b0", "--phi", "nan"], 2, "phi is nan"),
    (["mnasnet-a1", "--grid"], 2, "--data"),
    (["mnasnet-a1", "--grid", "--data", "digits"], 2, "--out FILE.json"),
    (["mnasnet-a1", "--grid", "--evaluator", "predictor"], 2, "expected proxy or python:MODULE:FUNCTION"),
    (["mnasnet-a1", "--grid", "--data", "digits", "--out", "/dev/full/c.json"], 1, "cannot write /dev/full/c.json"),
    (["mnasnet-a1", "--family", "0..2", "--out", "x.json"], 2, "a family needs a folder"),
    (["mnasnet-a1", "--family", "0..2", "--out", "/dev/full/x"], 1, "cannot write /dev/full/x"),
    (["mnasnet-a1", "--family", "-1..2"], 2, "phi is -1"),
    (["mnasnet-a1", "--phi", 1, "--keep-weights"], 2, "--keep-weights needs weights, and mnasnet-a1 has none"),
    (["mnasnet-a1", "--phi", 1, "--keep-weights", "--out", "n.json"], 2, "--keep-weights writes a folder, such as n"),
    (["mnasnet-a1", "--phi", 1, "--coefficients", "phone.json"], 2, "not a file of coefficients"),
    (["mnasnet-a1", "--phi", 1, "--table", "phone.json", "--out", "/dev/full/n.json"], 1, "cannot write"),
])  # fmt: skip
def test_bad_input_is_one_message_and_no_file(args, code, message, mnas, tmp_path):
    before = set(tmp_path.iterdir())
    got, out, err = mnas("scale", *args)
    assert (got, out) == (code, "")
    assert message in " ".join(err.split())
    assert set(tmp_path.iterdir()) == before
