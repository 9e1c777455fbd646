"""A table from other devices' tables and a few networks measured on a device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnas.arch.complexity import block_complexity
from mnas.arch.walk import layers
from mnas.errors import InputError
from mnas.latency.estimator import LatencyEstimator
from mnas.latency.table import TRANSFERRED, Entry, LatencyTable
from mnas.profiling.log import read_log
from mnas.profiling.plan import table_blocks
from mnas.profiling.run_log import open_run
from mnas.profiling.transfer import TransferOptions, transfer_profile
from mnas.space.space import SearchSpace
from mnas.tflite.random_model import write_random_model
from tests.latency.tables import make_table
from tests.profiling.fakes import POISONED, FakeDevice, FakePhone, PoisonedPhone, true_latency_ms
from tests.spaces import small_space

SPACE = small_space(3)
OPTIONS = TransferOptions(networks=8, minutes=0.1)


def another_device() -> LatencyTable:
    """A device that starts operators quicker, multiplies slower, and does not compute in tiles."""
    entries = {}
    for placed in table_blocks(SPACE):
        own = layers(placed)
        numbers = sum(each.out_size**2 * each.filters for each in own)
        madds = block_complexity(placed).madds
        entries[placed.key] = Entry(0.001 * len(own) + 2e-7 * madds + 3e-7 * numbers, 0.0, 5)
    return make_table(SPACE, entries=entries)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    another_device().save(tmp_path / "known.json")
    return tmp_path / "known.json"


def error(table: LatencyTable) -> float:
    rng = np.random.default_rng(99)
    networks = [SPACE.sample(rng) for _ in range(25)]
    truth = np.array([true_latency_ms(write_random_model(network)) for network in networks])
    predicted = [LatencyEstimator(table).predict(network).latency_ms for network in networks]
    return float(np.abs(np.array(predicted) / truth - 1).mean())


def test_the_table_is_of_the_new_device_and_says_how_good_it_is(source: Path, tmp_path: Path) -> None:
    phone = FakePhone(noise=0.002)
    with phone.own_clock():
        table, found = transfer_profile(SPACE, phone, tmp_path / "phone.json", [source], OPTIONS)
    assert LatencyTable.load(tmp_path / "phone.json") == table
    assert error(table) < 0.15
    assert found.error_after < found.error_before
    assert table.report_card is not None
    assert table.report_card.num_networks == found.num_networks == 8
    assert table.report_card.mape == pytest.approx(found.error_after)
    assert table.reference_ms > 0
    assert set(table.entries) == set(another_device().entries)


def test_a_poisoned_network_is_measured_once_more(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def made(name: str, phone: FakePhone, networks: int = 8) -> LatencyTable:
        options = replace(OPTIONS, networks=networks, minutes=1)
        with phone.own_clock():
            return transfer_profile(SPACE, phone, tmp_path / name, [source], options)[0]

    calm = made("calm.json", FakePhone())
    table = made("phone.json", PoisonedPhone())
    assert error(table) < error(calm) + 0.01
    assert f"network {POISONED} of the profile took" in caplog.text
    log = tmp_path / "phone.json.networks.log"
    assert POISONED in read_log(log).again
    kept = log.read_text().splitlines()
    phone = PoisonedPhone()
    assert error(made("phone.json", phone)) == pytest.approx(error(table), rel=1e-3)
    assert (phone.loaded, log.read_text().splitlines()[: len(kept)]) == (1, kept), "nothing is measured a third time"


def test_interrupted_it_goes_on_and_more_networks_need_only_these(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnas.profiling.collect.WAVE_BYTES", 0)  # networks are kept one by one
    monkeypatch.setattr("mnas.profiling.again._FAR", 100.0)  # none is suspicious
    out, log = tmp_path / "new.json", tmp_path / "new.json.networks.log"
    with pytest.raises(KeyboardInterrupt):
        transfer_profile(SPACE, FakeDevice(fail_after=6), out, [source], OPTIONS)
    assert not out.exists()
    kept = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    assert len(kept) == 4  # two are references
    device = FakeDevice()
    _, found = transfer_profile(SPACE, device, out, [source], OPTIONS)
    assert (device.loaded, found.num_networks) == (2 + 8 - 4, 8)
    device = FakeDevice()
    _, found = transfer_profile(SPACE, device, out, [source], replace(OPTIONS, networks=11))
    assert (device.loaded, found.num_networks) == (2 + 3, 11)
    replace(another_device(), date="2026-02-01").save(source)
    with pytest.raises(
        InputError, match=r"belongs to a finished profile that differs in --from \(.*\): choose another --out"
    ):
        transfer_profile(SPACE, FakeDevice(), out, [source], OPTIONS)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (small_space(3, resolutions=(24, 12)), r"known\.json is for networks of .* px: give a table of this space"),
        (replace(SPACE, activation="swish"), r"known\.json cannot price the networks of .*\n.* no entry"),
    ],
)
def test_a_table_that_cannot_price_the_networks_is_refused(
    source: Path, tmp_path: Path, space: SearchSpace, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        transfer_profile(space, FakeDevice(), tmp_path / "new.json", [source], OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["known.json"]


@pytest.mark.parametrize(
    ("field", "value"), [("networks", 2), ("networks", 1000), ("minutes", 0), ("dtype", "float16")]
)
def test_options_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"--{field}"):
        TransferOptions(**{field: value})  # type: ignore[arg-type]


def test_another_table_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "phone.json"
    make_table(SPACE).save(out)
    with pytest.raises(InputError, match="--force"):
        transfer_profile(SPACE, FakePhone(), out, [source], OPTIONS)
    assert LatencyTable.load(out) == make_table(SPACE)


def test_a_table_that_replaced_the_own_one_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    """Such as one of a whole profile, which took longer."""
    out = tmp_path / "phone.json"
    transfer_profile(SPACE, FakeDevice(), out, [source], OPTIONS)
    transfer_profile(SPACE, FakeDevice(), out, [source], replace(OPTIONS, networks=9))
    make_table(SPACE).save(out)
    with pytest.raises(InputError, match="--force"):
        transfer_profile(SPACE, FakeDevice(), out, [source], replace(OPTIONS, networks=10))
    assert LatencyTable.load(out) == make_table(SPACE)
    transfer_profile(SPACE, FakeDevice(), out, [source], replace(OPTIONS, networks=10), force=True)
    assert LatencyTable.load(out).method.startswith(TRANSFERRED)


def test_it_is_not_taken_for_a_whole_profile(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "phone.json"
    transfer_profile(SPACE, FakeDevice(), out, [source], OPTIONS)
    for path in (out, tmp_path / "phone.json.networks.log"):
        with pytest.raises(InputError, match=r"is of mnas profile --from, .* with more --networks"):
            open_run(path)
