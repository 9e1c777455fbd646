"""profile, table and bench on the command line, with this machine's interpreter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnas.arch.codec import architecture_to_json
from mnas.devices.registry import open_device
from mnas.errors import InputError, MnasError
from mnas.space import load_space, save_space
from mnas.tflite.random_model import write_random_model
from tests.commands import run
from tests.latency.tables import CARD, make_table
from tests.profiling.fakes import FakeDevice
from tests.spaces import small_space

SPACE = load_space("mnasnet-16")
NETWORK = SPACE.sample(np.random.default_rng(0))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    make_table(SPACE).save(tmp_path / "table.json")
    (tmp_path / "net.tflite").write_bytes(write_random_model(NETWORK))
    (tmp_path / "net.json").write_text(json.dumps({"architecture": json.loads(architecture_to_json(NETWORK))}))
    return tmp_path


def test_bench_prints_measured_beside_predicted(files: Path) -> None:
    plain = json.loads(run("bench", files / "net.tflite", "--seconds", "0.2", "--json"))
    assert plain["min_ms"] <= plain["median_ms"] <= plain["p90_ms"]
    assert plain["num_runs"] > 0
    assert "predicted_ms" not in plain
    both = json.loads(run("bench", files / "net.tflite", "--seconds", "0.2", "--table", files / "table.json", "--json"))
    assert both["ratio"] == pytest.approx(both["quiet_ms"] / both["predicted_ms"])
    assert "Predicted" in run("bench", files / "net.tflite", "--seconds", "0.2", "--table", files / "table.json")


def test_bench_without_pauses(files: Path) -> None:
    arguments = ("bench", files / "net.tflite", "--seconds", "0.2", "--sustained", "0.5")
    found = json.loads(run(*arguments, "--json"))["sustained"]
    assert found["ratio"] == pytest.approx(found["last_ms"] / found["first_ms"])
    assert found["num_runs"] > 1
    assert "Without pauses for " in run(*arguments)
    assert "sustained" not in json.loads(run("bench", files / "net.tflite", "--seconds", "0.2", "--json"))


def test_bench_refuses_what_it_cannot_use(files: Path) -> None:
    (files / "other.tflite").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"not a .tflite file"):
        run("bench", files / "other.tflite")
    with pytest.raises(InputError, match="cannot read"):
        run("bench", files / "none.tflite")
    with pytest.raises(InputError, match="--threads 1; this is --threads 2"):
        run("bench", files / "net.tflite", "--table", files / "table.json", "--threads", 2)
    said = {"architecture": json.loads(architecture_to_json(NETWORK)), "dtype": "int8"}
    (files / "net.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="is int8; the table is for float32"):
        run("bench", files / "net.tflite", "--table", files / "table.json")
    written = {**said, "dtype": "float32", "format": "mnas.tflite", "sha256": "0" * 64}  # as another export's
    (files / "net.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match=r"net\.json describes another file than .*net\.tflite"):
        run("bench", files / "net.tflite", "--table", files / "table.json")
    (files / "net.json").unlink()
    with pytest.raises(InputError, match="--arch"):
        run("bench", files / "net.tflite", "--table", files / "table.json")
    with pytest.raises(InputError, match="--table"):
        run("bench", files / "net.tflite", "--arch", "mnasnet-a1")


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("dynamic", "is dynamic, and latency tables are for float32 and int8 only: measure it without a table"),
        ("int8", "is int8; the table is for float32: profile with --dtype int8"),
    ],
)
def test_what_a_file_of_other_numbers_needs_is_said(files: Path, dtype: str, message: str) -> None:
    (files / "net.json").write_text(
        json.dumps({"architecture": json.loads(architecture_to_json(NETWORK)), "dtype": dtype})
    )
    with pytest.raises(InputError, match=message):
        run("bench", files / "net.tflite", "--table", files / "table.json")


def test_a_float16_file_beside_a_table_of_int8_needs_one_of_float32(files: Path) -> None:
    described = {"architecture": json.loads(architecture_to_json(NETWORK)), "dtype": "float16"}
    (files / "net.json").write_text(json.dumps(described))
    table = make_table(SPACE)
    replace(table, configuration=replace(table.configuration, dtype="int8")).save(files / "int8.json")
    with pytest.raises(InputError, match=r"is float16, whose weights are widened .*profile with --dtype float32"):
        run("bench", files / "net.tflite", "--table", files / "int8.json")


def test_a_table_of_another_machine_is_said_to_be_one_and_its_yardstick_left_alone(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ("bench", files / "net.tflite", "--seconds", "0.2", "--json", "--table")
    here = open_device("local").configuration("float32")
    # By its yardstick, this machine would be a thousand times slower than when it is quiet.
    of_this = make_table(SPACE, reference_ms=1e-4, configuration=here)
    of_this.save(files / "this.json")
    replace(of_this, configuration=replace(here, cpu="another CPU")).save(files / "other.json")
    this = json.loads(run(*arguments, files / "this.json"))
    assert this["same_machine"]
    assert this["slowdown"] > 10
    assert "another machine" not in caplog.text
    other = json.loads(run(*arguments, files / "other.json"))
    assert not other["same_machine"]
    assert other["slowdown"] < 10
    assert "the table and its predictions are for another machine (another CPU), this is" in caplog.text


def test_table_show(files: Path) -> None:
    shown = json.loads(run("table", "show", files / "table.json", "--json"))
    assert shown["num_entries"] == len(make_table(SPACE).entries)
    assert shown["header"]["configuration"]["runtime"] == "litert"
    assert shown["report_card"]["mape"] == 0.02
    assert "2.0% off" in run("table", "show", files / "table.json")
    make_table(SPACE, report_card=None).save(files / "bare.json")
    assert "No report card" in run("table", "show", files / "bare.json")


def test_table_compare(files: Path) -> None:
    doubled = make_table(SPACE)
    entries = {key: type(entry)(entry.latency_ms * 2, 0.0, 1) for key, entry in doubled.entries.items()}
    del entries[min(entries)]
    make_table(SPACE, entries=entries).save(files / "slow.json")
    result = json.loads(run("table", "compare", files / "table.json", files / "slow.json", "--json"))
    assert result["ratio"] == pytest.approx(2)
    assert (result["only_first"], result["only_second"]) == (1, 0)
    assert result["kendall_tau"] == pytest.approx(1, abs=0.01)
    assert result["different"] == {}
    told = run("table", "compare", files / "table.json", files / "slow.json")
    assert "Where they differ most" in told
    assert "The difference in the sum is more than noise." in " ".join(told.split())
    assert "The difference in the sum is noise." in run("table", "compare", files / "table.json", files / "table.json")


def test_table_check_says_that_a_made_up_table_does_not_hold(files: Path) -> None:
    failed = r"fails its limits: predictions are .* off on average \(limit 8%\).*\n  make the table again"
    with pytest.raises(MnasError, match=failed):
        run("table", "check", files / "table.json", "--count", 3, "--minutes", 0.02)
    with pytest.raises(InputError, match="--device local"):
        run("table", "check", files / "table.json", "--device", "adb")


def test_profile_writes_a_table_that_cost_can_use(files: Path) -> None:
    out = files / "new.json"
    report = json.loads(
        run("profile", "--space", "mnasnet-16", "--out", out, "--minutes", 0.05, "--classes", 7, "--json")
    )
    assert report["report_card"]["num_networks"] >= 16
    (files / "net.json").write_text(
        architecture_to_json(SPACE.with_data(num_classes=7).sample(np.random.default_rng(1)))
    )
    cost = json.loads(run("cost", files / "net.json", "--table", out, "--json"))
    low, high = cost["latency_interval_ms"]
    assert 0 <= low <= cost["latency_ms"] <= high


@pytest.mark.parametrize("good", [True, False])
def test_profile_recommends_no_bad_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, good: bool
) -> None:
    class Erratic(FakeDevice):
        """Networks take what they like."""

        def load(self, data: bytes):  # type: ignore[no-untyped-def]
            model = super().load(data)
            model.latency_ms *= self.rng.uniform(0.3, 3)
            return model

    monkeypatch.setattr("mnas.devices.registry.open_device", lambda *_, **__: FakeDevice() if good else Erratic())
    save_space(small_space(3), tmp_path / "space.toml")
    out = tmp_path / "table.json"
    said = run("profile", "--space", tmp_path / "space.toml", "--out", out, "--minutes", 0.05)
    assert ("Use it: mnas cost" in said) is good
    assert ("This table is bad; do not rely on it:" in said) is not good
    assert ("off on average (limit 8%)" in said) is not good
    assert ("run mnas profile again with more --minutes" in said) is not good
    assert bool(json.loads(run("table", "show", out, "--json"))["faults"]) is not good
    run("space", "show", tmp_path / "space.toml", "--table", out)
    assert (f"the latency table {out} is bad" in caplog.text) is not good


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    """A folder with a space of several resolutions and its table."""
    space = small_space(resolutions=(16, 12, 8))
    save_space(space, tmp_path / "sizes.toml")
    make_table(space, report_cards={16: CARD, 8: CARD}).save(tmp_path / "table.json")
    for size in (16, 12, 10):
        network = replace(space.sample(np.random.default_rng(0)), resolution=size)
        (tmp_path / f"{size}.json").write_text(architecture_to_json(network))
    return tmp_path


def test_one_table_prices_every_resolution(sizes: Path) -> None:
    table = sizes / "table.json"
    costs = [json.loads(run("cost", sizes / f"{size}.json", "--table", table, "--json")) for size in (16, 12)]
    assert costs[0]["latency_ms"] > costs[1]["latency_ms"]
    assert not any(cost["extrapolated"] for cost in costs)
    assert "not in the table" in run("cost", sizes / "10.json", "--table", table), "a size between them is extrapolated"
    shown = json.loads(run("space", "show", sizes / "sizes.toml", "--table", table, "--json"))
    assert shown["resolutions"] == [16, 12, 8]
    assert shown["decisions"][-1] == {"name": "resolution", "choices": [16, 12, 8]}
    low, high = shown["latency_ms"]
    assert low < costs[1]["latency_ms"] < costs[0]["latency_ms"] < high
    sampled = [json.loads(line) for line in run("sample", "--space", sizes / "sizes.toml", "--count", 30).splitlines()]
    assert {one["resolution"] for one in sampled} == {16, 12, 8}


def test_a_table_of_several_resolutions_is_shown_and_compared(sizes: Path) -> None:
    table = sizes / "table.json"
    assert "16, 12 and 8 px" in (text := run("table", "show", table, "--html", sizes / "table.html"))
    assert "By resolution" in text
    assert json.loads(run("table", "show", table, "--json"))["report_cards"].keys() == {"16", "8"}
    make_table(small_space()).save(sizes / "one.json")
    compared = json.loads(run("table", "compare", table, sizes / "one.json", "--json"))
    assert compared["different"]["resolutions"] == [[16, 12, 8], [16]]


def test_a_table_of_several_resolutions_is_profiled_and_checked(sizes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.devices.registry.open_device", lambda *_, **__: FakeDevice())
    monkeypatch.setattr("mnas.profiling.collect.MOST", 40)
    for limit in ("MOST_ERROR", "MOST_MARGIN"):  # so few networks give wide intervals
        monkeypatch.setattr(f"mnas.latency.limits.{limit}", 0.5)
    space, out = sizes / "sizes.toml", sizes / "new.json"
    text = run("profile", "--space", space, "--resolutions", "16,8", "--minutes", 0.1, "--out", out)
    assert "16 px" in text
    assert "8 px" in text
    assert json.loads(out.read_text())["resolutions"] == [16, 8]
    with pytest.raises(InputError, match=r"of the space 'small', which is a file: name it, --space FILE.toml"):
        run("table", "check", out)
    checked = json.loads(run("table", "check", out, "--space", space, "--count", 6, "--minutes", 0.05, "--json"))
    assert checked["holds"]
    with pytest.raises(InputError, match="--resolutions is '16;8': expected whole numbers"):
        run("profile", "--space", space, "--resolutions", "16;8", "--out", out)
    with pytest.raises(InputError, match="expected one of them"):
        run("profile", "--space", space, "--resolutions", "16,8", "--resolution", 8, "--out", out)
