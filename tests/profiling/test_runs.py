"""Extending a table from its log, and joining the runs of one device."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mnas.errors import InputError
from mnas.latency.table import Configuration, LatencyTable
from mnas.profiling.extend import extend_table
from mnas.profiling.log import read_log
from mnas.profiling.merge import Merged, merge_tables
from mnas.profiling.profile import ProfileOptions, profile
from mnas.profiling.run_log import open_run
from tests.profiling.fakes import FakeDevice
from tests.spaces import small_space

SPACE = small_space(3)
NOISE = 0.002


class InSmallWaves(FakeDevice):
    """Measures ten networks at a time."""

    pace = replace(FakeDevice.pace, wave_networks=10)


class Elsewhere(InSmallWaves):
    """Another device, or the same one used in another way."""

    def __init__(self, **fields: object) -> None:
        super().__init__()
        self.fields = fields

    def configuration(self, dtype: str) -> Configuration:
        return replace(super().configuration(dtype), **self.fields)  # type: ignore[arg-type]


def run(folder: Path, name: str, *, networks: int = 40, seed: int = 0, device: FakeDevice | None = None) -> Path:
    out = folder / f"{name}.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnas.profiling.collect.LEAST", networks)
        patch.setattr("mnas.profiling.collect.MOST", networks)
        device = device or InSmallWaves(noise=NOISE)
        device.rng = np.random.default_rng(seed + len(name))
        profile(SPACE, device, out, ProfileOptions(minutes=0.1, seed=seed))
    return out


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("short"), "short")


@pytest.fixture
def table(short: Path, tmp_path: Path) -> Path:
    """A table of 40 networks with its log."""
    for file in short.parent.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / short.name


def most(monkeypatch: pytest.MonkeyPatch, networks: int) -> None:
    monkeypatch.setattr("mnas.profiling.collect.MOST", networks)
    monkeypatch.setattr("mnas.profiling.extend.MOST", networks)
    monkeypatch.setattr("mnas.profiling.collect.LEAST_PATIENCE_S", 60.0)


def test_more_minutes_add_networks_of_the_same_plan(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most(monkeypatch, 60)
    device, former = InSmallWaves(noise=NOISE), LatencyTable.load(table)
    found = extend_table(table, device, 1.0)
    assert (found.num_before, found.num_after) == (40, 60)
    assert device.loaded == 2 + 20  # 2 are references
    assert found.before.num_networks == found.after.num_networks > former.report_card.num_networks  # type: ignore[union-attr]
    assert found.after.mape < 0.02
    assert LatencyTable.load(table) == found.table
    assert read_log(table.with_name("short.json.log")).table == found.table.sha256
    with pytest.raises(InputError, match="is fitted to 60 networks already"):
        extend_table(table, device, 1.0)


def test_an_interrupted_extension_goes_on(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.profiling.collect.WAVE_BYTES", 0)  # networks are kept one by one
    most(monkeypatch, 60)
    former = LatencyTable.load(table)
    with pytest.raises(KeyboardInterrupt):
        extend_table(table, InSmallWaves(noise=NOISE, fail_after=12), 1.0)
    assert LatencyTable.load(table) == former
    known = read_log(table.with_name("short.json.log"))
    assert len(known.times) == 50
    assert 0 < known.new_seconds < known.seconds
    device = InSmallWaves(noise=NOISE)
    assert extend_table(table, device, 1.0).num_after == 60
    assert device.loaded == 2 + 10


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cpu": "another CPU"}, r"cpu \(a CPU in the table, another CPU here\)"),
        ({"threads": 4}, r"threads \(1 in the table, 4 here\)"),
        ({"dtype": "int8"}, r"dtype \(float32 in the table, int8 here\)"),
        ({"runtime": "tflite-runtime"}, r"runtime \(litert in the table, tflite-runtime here\)"),
    ],
)
def test_another_device_does_not_extend_a_table(fields: dict[str, object], said: str, table: Path) -> None:
    before = table.with_name("short.json.log").read_bytes()
    with pytest.raises(InputError, match=said):
        extend_table(table, Elsewhere(**fields), 1.0)
    assert table.with_name("short.json.log").read_bytes() == before


def test_a_table_that_its_log_does_not_explain_is_not_extended(table: Path) -> None:
    log = table.with_name("short.json.log")
    original, lines = table.read_text(), log.read_text().splitlines(keepends=True)
    LatencyTable.load(table).save(table.with_name("alone.json"))
    with pytest.raises(InputError, match=r"there is no .*alone.json.log"):
        extend_table(table.with_name("alone.json"), FakeDevice(), 1.0)
    replace(LatencyTable.load(table), overhead_ms=0.5).save(table)
    with pytest.raises(InputError, match="was calibrated or replaced since"):
        extend_table(table, FakeDevice(), 1.0)
    table.write_text(original)
    log.write_text("".join(lines[:-1]))
    with pytest.raises(InputError, match="is of an unfinished profile"):
        extend_table(table, FakeDevice(), 1.0)
    first = json.loads(lines[0])
    first["space"]["resolution"] += 8
    log.write_text("".join([json.dumps(first) + "\n", *lines[1:]]))
    with pytest.raises(InputError, match="the space is not the one"):
        extend_table(table, FakeDevice(), 1.0)
    del first["space"]
    log.write_text("".join([json.dumps(first) + "\n", *lines[1:]]))
    with pytest.raises(InputError, match="did not keep the space"):
        open_run(table)


def merged(folder: Path, *runs: Path) -> Merged:
    return merge_tables(runs, folder / "merged.json")


def test_runs_of_one_device_become_one_table_and_agree(table: Path, tmp_path: Path) -> None:
    again, other = run(tmp_path, "again"), run(tmp_path, "other", seed=1)
    found = merged(tmp_path, table, again, other)
    assert found.num_networks > 70
    assert LatencyTable.load(tmp_path / "merged.json") == found.table
    assert found.table.report_card is not None
    assert found.table.report_card.mape < 0.015
    assert [each.num_common >= 40 for each in found.disagreements] == [True, False, False]
    assert not any(each.networks for each in found.disagreements)
    assert not any(group.beyond_noise for each in found.disagreements for group in each.groups)
    with pytest.raises(InputError, match="exists already"):
        merged(tmp_path, table, again)


def of_other_networks(table: Path, numbers: range) -> None:
    """Change a log as if these networks had been others when they were measured."""
    log = table.with_name(f"{table.name}.log")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for record in records:
        if record.get("network") in numbers:
            record["architecture"] = "0" * 16
    log.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def test_networks_that_the_plan_does_not_have_are_not_merged(
    table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = run(tmp_path, "again")
    of_other_networks(again, range(4))
    assert merged(tmp_path, table, again).disagreements[0].num_common == 36
    (said,) = (record.getMessage() for record in caplog.records)
    assert f"{again}.log: 4 of its 40 measured networks, such as number 0" in said
    assert said.endswith("set aside, and not used")
    of_other_networks(again, range(40))
    with pytest.raises(InputError, match=r"again.json.log has no network of the plan that mnas has now"):
        merge_tables([table, again], tmp_path / "none.json")


def test_an_extension_measures_networks_again_that_the_plan_does_not_have(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most(monkeypatch, 50)
    of_other_networks(table, range(4))
    device = InSmallWaves(noise=NOISE)
    assert extend_table(table, device, 1.0).num_after == 50
    assert device.loaded == 2 + 4 + 10  # 2 are references
    assert len(open_run(table).networks()) == 50


class SlowKernels(InSmallWaves):
    """Depthwise kernels of 5x5 take longer, in all networks but the references."""

    def load(self, data: bytes):  # type: ignore[no-untyped-def]
        model = super().load(data)
        if self.loaded > 2:
            model.latency_ms *= 1 + 0.05 * _large_kernels(data)
        return model


def _large_kernels(data: bytes) -> int:
    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    operators = [graph.Operators(number) for number in range(graph.OperatorsLength())]
    shapes = [list(graph.Tensors(each.Inputs(1)).ShapeAsNumpy()) for each in operators if each.InputsLength() > 1]
    return sum(len(shape) == 4 and shape[1] == 5 for shape in shapes)


def test_what_differs_between_runs_is_said(table: Path, tmp_path: Path) -> None:
    slower = run(tmp_path, "slower", device=SlowKernels(noise=NOISE))
    (found,) = merged(tmp_path, table, slower).disagreements
    assert found.num_common == 40
    assert found.noise < 0.01
    assert len(found.networks) > 20
    assert all(each.second_ms > each.first_ms for each in found.networks)
    beyond = {group.group for group in found.groups if group.beyond_noise and group.difference > 0}
    assert beyond
    assert all(" k5" in group for group in beyond), beyond


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"threads": 2}, r"threads \(1 in .*short.json, 2 in "), ({"cpu": "Xeon"}, r"cpu \(a CPU in .*, Xeon in ")],
)
def test_runs_of_different_devices_are_not_merged(
    fields: dict[str, object], said: str, table: Path, tmp_path: Path
) -> None:
    elsewhere = run(tmp_path, "elsewhere", networks=20, device=Elsewhere(**fields))
    with pytest.raises(InputError, match=said):
        merged(tmp_path, table, elsewhere)
    assert not (tmp_path / "merged.json").exists()


def test_what_does_not_make_another_device_is_said_when_runs_are_merged(
    table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    merged(tmp_path, table, run(tmp_path, "plain", networks=20))
    assert not caplog.text
    (tmp_path / "merged.json").unlink()
    merged(tmp_path, table, run(tmp_path, "slow", networks=20, device=Elsewhere(governor="powersave")))
    assert re.search(r"runs that differ in governor \(\S+ in \S+short.json, powersave in \S+slow.json\)", caplog.text)


def test_a_table_is_not_merged_with_itself(table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two or more different tables"):
        merged(tmp_path, table, table)
