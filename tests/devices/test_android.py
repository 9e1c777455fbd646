"""The real adb program and server, and a phone that speaks their protocol."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from mnas.arch.codec import architecture_to_dict, architecture_to_json
from mnas.devices.adb import Adb, LostPhoneError
from mnas.devices.android import AndroidDevice
from mnas.devices.base import MeasurementSettings
from mnas.devices.phone import read_heat, read_phone
from mnas.devices.registry import open_device
from mnas.errors import InputError, MnasError
from mnas.latency.table import LatencyTable
from mnas.profiling.bench import bench_file
from mnas.profiling.profile import ProfileOptions, profile
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model
from mnas.tflite.runner import TFLiteRunner
from tests.commands import run
from tests.devices.phone_double import COMPILED_MODEL, PhoneDouble
from tests.latency.tables import make_table
from tests.spaces import small_space

DATA = write_random_model(load_space("mnasnet-16").sample(np.random.default_rng(0)))


def open_phone(phone: PhoneDouble, binary: Path, **options: object) -> AndroidDevice:
    device = open_device(f"adb:{phone.address}", benchmark_binary=binary, **options)  # type: ignore[arg-type]
    assert isinstance(device, AndroidDevice)
    return device


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and short bursts: the double is always quiet."""
    pace = MeasurementSettings(burst_ms=1, reference_runs=5, first_looks=2, wave_networks=2)
    monkeypatch.setattr(AndroidDevice, "pace", pace)


def test_a_network_is_measured_and_nothing_stays_on_the_phone(phone: PhoneDouble, binary: Path) -> None:
    device = open_phone(phone, binary)
    with device.measuring():
        model = device.load(DATA)
        times = model.warm_run_times_ms(8, warm_up=3)
        assert phone.copied == ["1.tflite", "benchmark_model"]
        model.close()
        device.load(DATA).run_times_ms(3)
        assert phone.copied == ["2.tflite", "benchmark_model"]
        assert device.load(DATA).details().init_ms == 12.5
    expected_us = 50 + len(DATA) // 64
    assert times.shape == (8,)
    assert times.min() * 1e3 == pytest.approx(expected_us)
    assert times.mean() * 1e3 == pytest.approx(expected_us + 1.5, abs=0.5)
    assert phone.files == []
    with pytest.raises(MnasError, match="only within measuring"):
        device.load(DATA)


def test_a_second_measurement_on_one_phone_is_told_who_uses_it(
    phone: PhoneDouble, new_phone: Callable[[], PhoneDouble], binary: Path
) -> None:
    first, second = open_phone(phone, binary), open_phone(phone, binary)
    other = open_phone(new_phone(), binary)
    with first.measuring():
        model = first.load(DATA)
        model.run_times_ms(3)
        said = f"the phone {phone.address} is being worked on by process {os.getpid()} on .* since"
        with pytest.raises(MnasError, match=said), second.measuring():
            pass
        assert model.run_times_ms(3).shape == (3,)  # its files are still there
        with other.measuring():
            assert other.load(DATA).run_times_ms(3).shape == (3,)
    with second.measuring():
        assert second.load(DATA).run_times_ms(3).shape == (3,)


def test_the_flags_say_what_was_asked(phone: PhoneDouble, binary: Path) -> None:
    device = open_phone(phone, binary, threads=2, delegate="gpu")
    with device.measuring():
        device.load(DATA).warm_run_times_ms(7, warm_up=2)
    said = (phone.root / "arguments").read_text().split()
    assert {"--num_runs=7", "--warmup_runs=2", "--num_threads=2", "--use_gpu=true", "--min_secs=0"} <= set(said)
    assert f"taskset {(1 << 7) | (1 << 6):x}" in (phone.root / "calls").read_text()
    (phone.root / "no_gpu").touch()  # the program then runs on the CPU and says nothing of it
    with device.measuring(), pytest.raises(MnasError, match="did not run the network on GPU"):
        device.load(DATA).run_times_ms(3)


@pytest.mark.usefixtures("quick")
def test_an_accelerator_that_runs_int8_alone(phone: PhoneDouble, binary: Path, tmp_path: Path) -> None:
    """The network that is measured in between must be one that it runs; a message says which network it does not."""
    (phone.root / "int8_only").touch()
    device = open_phone(phone, binary, delegate="nnapi")
    space = small_space(3)
    network = space.sample(np.random.default_rng(0))
    assert not any(stage.block.se_ratio for stage in network.stages)
    (tmp_path / "net.tflite").write_bytes(write_random_model(network, dtype="int8"))
    (tmp_path / "net.json").write_text(json.dumps({"architecture": architecture_to_dict(network), "dtype": "int8"}))
    found = bench_file(tmp_path / "net.tflite", device, seconds=0.1)
    assert found.time.quiet_ms > 0
    (tmp_path / "float.tflite").write_bytes(write_random_model(network))
    with pytest.raises(MnasError, match=r"^.*float\.tflite: the phone did not run the network on NNAPI"):
        bench_file(tmp_path / "float.tflite", device, seconds=0.1)
    # A table from before says by what it was measured, and that is what a comparison needs.
    configuration = device.configuration("int8")
    old = make_table(space, configuration=configuration, reference_ms=2.0)
    old.save(tmp_path / "old.json")
    assert "reference" not in json.loads((tmp_path / "old.json").read_text())
    with pytest.raises(MnasError, match=r"^the reference network \(float32\), which is measured between the others: "):
        bench_file(tmp_path / "net.tflite", device, table=tmp_path / "old.json", seconds=0.1)
    replace(old, reference="int8-plain").save(tmp_path / "new.json")
    assert LatencyTable.load(tmp_path / "new.json").reference == "int8-plain"
    assert bench_file(tmp_path / "net.tflite", device, table=tmp_path / "new.json", seconds=0.1).same_machine


@pytest.mark.usefixtures("quick")
def test_an_int8_accelerator_is_profiled_and_an_older_log_keeps_its_reference(
    phone: PhoneDouble, binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", 6)
    monkeypatch.setattr("mnas.profiling.profile.fit_table", lambda space, *rest: make_table(space))
    options = ProfileOptions(minutes=0.05, dtype="int8")
    device = open_phone(phone, binary, delegate="nnapi")
    (phone.root / "int8_only").touch()
    assert profile(small_space(3), device, tmp_path / "t.json", options).reference == "int8-plain"
    header = {
        "space": small_space(3).fingerprint,
        "configuration": asdict(device.configuration("int8")),
        "options": asdict(options),
    }
    (tmp_path / "old.json.log").write_text(json.dumps({"profile": header}) + "\n")  # before, it was always float32
    with pytest.raises(MnasError, match=r"the reference network \(float32\)"):
        profile(small_space(3), device, tmp_path / "old.json", options)
    (phone.root / "int8_only").unlink()
    (phone.root / "idle").unlink()
    assert profile(small_space(3), device, tmp_path / "old.json", options).reference == "float32"


def test_the_compiled_models_program(phone: PhoneDouble, tmp_path: Path) -> None:
    (tmp_path / "benchmark_model").write_text(COMPILED_MODEL)
    device = open_phone(phone, tmp_path / "benchmark_model")
    with device.measuring():
        times = device.load(DATA).run_times_ms(21)
    assert (times.min(), times.max()) == (1.4, 1.7)
    assert times.mean() == pytest.approx(1.5, abs=0.01)
    assert device.configuration("float32").runtime == "litert_benchmark_model"
    with device.measuring(), pytest.raises(InputError, match="does not return outputs: compare them with the classic"):
        device.load(DATA).infer(np.zeros((1, 16, 16, 3), np.float32))
    with pytest.raises(InputError, match="has xnnpack, gpu"):
        open_phone(phone, tmp_path / "benchmark_model", delegate="nnapi")
    with pytest.raises(InputError, match="is litert_benchmark_model, not benchmark_model"):
        open_phone(phone, tmp_path / "benchmark_model", runtime="benchmark_model")


def test_outputs_are_those_of_the_file(phone: PhoneDouble, binary: Path) -> None:
    device, here = open_phone(phone, binary), TFLiteRunner(DATA)
    image = np.random.default_rng(0).uniform(-1, 1, here.input["shape"][1:]).astype(np.float32)
    with device.measuring():
        model = device.load(DATA)
        np.testing.assert_allclose(here.read(model.infer(here.taken(image))), here(image[None])[0], atol=1e-6)
        (phone.root / "unknown").write_text(
            "--output_filepath\n"
        )  # an old program: it says that it does not know the flag, and goes on
        with pytest.raises(MnasError, match=r"does not know --output_filepath=.*: use a newer one"):
            model.infer(here.taken(image))
        with pytest.raises(MnasError, match=r"cannot read the file .*nothing"):
            device.adb.pull("/data/local/tmp/mnas/nothing", phone.root)
    assert phone.files == []
    with pytest.raises(MnasError, match="only within measuring"):
        model.infer(here.taken(image))


@pytest.mark.tensorflow
@pytest.mark.usefixtures("quick")
def test_an_export_is_verified_on_the_phone(
    phone: PhoneDouble, binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnas.export.on_device.IMAGES", 3)
    monkeypatch.setattr("mnas.export.on_device.SECONDS", 0.1)
    space = load_space("mnasnet-16")
    (tmp_path / "net.json").write_text(architecture_to_json(space.sample(np.random.default_rng(0))))
    out = tmp_path / "out" / "net.tflite"
    arguments = ["export", tmp_path / "net.json", "--untrained", "--out", out, "--verify-on", f"adb:{phone.address}"]
    assert "On adb:127.0.0.1" in run(*arguments, "--benchmark-binary", binary)
    check = json.loads(out.with_suffix(".json").read_text())["device_check"]
    assert (check["images"], check["agreement"], check["model"]) == (3, 1.0, "Google Pixel 4")
    assert check["latency_ms"] == pytest.approx((50 + out.stat().st_size // 64) / 1e3, rel=0.05)
    assert "Google Pixel 4, benchmark_model, xnnpack" in out.with_suffix(".md").read_text()
    phone.install(phone.root / "bin/infer", "#!/bin/sh\nhead -c 40 /dev/zero >$3\n")  # ten classes, all 0
    with pytest.raises(MnasError, match="the file gives other outputs than here"):
        run(*arguments[:4], tmp_path / "other" / "net.tflite", *arguments[5:], "--benchmark-binary", binary)
    assert not (tmp_path / "other").exists()
    assert phone.files == []


@pytest.mark.usefixtures("quick")
def test_bench_and_check_on_the_command_line(
    phone: PhoneDouble, binary: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "net.tflite").write_bytes(DATA)
    where = ["--device", f"adb:{phone.address}", "--benchmark-binary", binary]
    report = json.loads(run("bench", tmp_path / "net.tflite", *where, "--seconds", "0.1", "--json"))
    assert report["min_ms"] == pytest.approx((50 + len(DATA) // 64) / 1e3)
    operator = {"node_type": "Convolution (NHWC, F32) DWConv", "name": "Delegate/Convolution:0"}
    assert report["details"]["operators"] == [{**operator, "calls": 2.0, "latency_ms": 0.5}]
    assert (report["details"]["peak_memory_mb"], report["details"]["init_ms"]) == (21.5, 12.5)
    shown = run("bench", tmp_path / "net.tflite", *where, "--seconds", "0.1")
    assert "Loading takes 12.5 ms" in shown
    assert "DWConv" in shown
    space = load_space("mnasnet-16")
    table = make_table(space)
    here = open_phone(phone, binary).configuration("float32")
    (tmp_path / "a.json").write_text(architecture_to_json(space.sample(np.random.default_rng(0))))
    compared = ["--table", tmp_path / "table.json", "--arch", tmp_path / "a.json", "--seconds", "0.1"]
    replace(table, configuration=replace(here, binary_sha256="0" * 64)).save(tmp_path / "table.json")
    assert "Predicted: " in run("bench", tmp_path / "net.tflite", *where, *compared)
    assert f"binary_sha256 was '{'0' * 64}', is '{here.binary_sha256}'" in caplog.text
    replace(table, configuration=replace(here, model="Pixel 9")).save(tmp_path / "table.json")
    with pytest.raises(InputError, match="is for Pixel 9"):
        run("bench", tmp_path / "net.tflite", *where, *compared)
    with pytest.raises(MnasError, match="make the table again"):
        run("table", "check", tmp_path / "table.json", *where, "--count", 2, "--minutes", 0.001)
    assert phone.files == []


def test_the_phone_says_what_it_is(phone: PhoneDouble, binary: Path) -> None:
    found = open_phone(phone, binary).configuration("int8")
    assert (found.device, found.model, found.soc) == ("adb", "Google Pixel 4", "SM8150")
    assert found.os == "google/flame/flame:13/TP1A.221005.002/9012097:user/release-keys"
    assert (found.cpu, found.affinity, found.governor) == ("1 x 2.84 GHz, 7 x 1.79 GHz", "7", "schedutil")
    assert (found.runtime, found.delegate, found.dtype) == ("benchmark_model", "xnnpack", "int8")
    assert len(found.binary_sha256) == 64


def test_a_phones_words_are_never_run(phone: PhoneDouble, binary: Path) -> None:
    marker = phone.root / "precious"  # where its shell stands
    marker.write_text("x")
    evil = "; rm -rf precious $(rm precious) `rm precious`\x1b[2J"
    for name in ("ro.product.model", "ro.soc.model", "ro.build.fingerprint"):
        phone.set_prop(name, evil)
    (phone.root / "sys/devices/system/cpu/cpu7/cpufreq/scaling_governor").write_text(evil)
    device = open_phone(phone, binary)
    with device.measuring():
        device.load(DATA).run_times_ms(3)
    found = device.configuration("float32")
    assert marker.exists()
    assert found.model == "Google ; rm -rf precious $(rm precious) `rm precious`[2J"  # the escape is gone
    assert (found.governor, found.affinity) == ("schedutil", "6")  # what is no governor is no core to trust


def test_a_phone_that_tells_little(phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in phone.root.glob("sys/devices/system/cpu/cpu*/cpufreq/*"):
        folder.unlink()
    (phone.root / "dumpsys/battery").unlink()
    (phone.root / "dumpsys/thermalservice").unlink()
    adb = Adb(phone.address)
    assert read_phone(adb).fastest(1) == ()
    assert read_heat(adb).celsius is None
    device = open_phone(phone, binary)
    with device.measuring():
        device.load(DATA).run_times_ms(3)
    assert device.configuration("float32").affinity == ""
    assert "pinned" in caplog.text


def test_a_phone_that_vanishes(phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture) -> None:
    device = open_phone(phone, binary)
    phone.starts_left = 0
    with pytest.raises(MnasError, match="lost the phone during the work"), device.measuring():
        device.load(DATA).run_times_ms(3)
    assert "could not remove /data/local/tmp/mnas" in caplog.text
    assert phone.files  # nobody could reach them
    phone.starts_left = 10
    again = open_phone(phone, binary)  # a dropped phone is connected anew
    with again.measuring():
        assert phone.copied == ["benchmark_model"]
    assert phone.files == []


def test_interrupted_nothing_stays_either(phone: PhoneDouble, binary: Path) -> None:
    device = open_phone(phone, binary)
    with pytest.raises(KeyboardInterrupt), device.measuring():
        raise KeyboardInterrupt
    assert phone.files == []


def test_a_phone_without_space(phone: PhoneDouble, binary: Path) -> None:
    device = open_phone(phone, binary)
    with device.measuring():
        phone.full = True
        with pytest.raises(MnasError, match="no space left"):
            device.load(DATA).run_times_ms(3)
        phone.full = False
    assert phone.files == []


def test_a_phone_that_is_too_warm(
    phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = open_phone(phone, binary)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        phone.set_temperature(39.5 if len(naps) == 1 else 33.0)

    monkeypatch.setattr(AndroidDevice, "sleep", staticmethod(nap))
    phone.set_temperature(44.0)
    device.cool_down()
    assert len(naps) == 2  # 39.5 is not cool
    assert "44.0 degrees" in caplog.text
    phone.set_temperature(30.0, status=3)
    monkeypatch.setattr("mnas.devices.android.COOLING_LIMIT_S", -1)
    with pytest.raises(MnasError, match=r"does not cool down .*thermal status 3.*finished measurements are kept"):
        device.cool_down()
    phone.set_temperature(30.0)
    caplog.clear()
    device.cool_down(slowdown=1.4)
    assert "1.40 times slower" in caplog.text


def test_an_old_phone(phone: PhoneDouble, binary: Path) -> None:
    phone.old = True
    device = open_phone(phone, binary)
    with device.measuring():
        assert device.load(DATA).run_times_ms(4).shape == (4,)
        with pytest.raises(MnasError, match="exit code 3"):
            device.adb.shell("exit 3")
    assert phone.files == []


def test_a_program_that_fails(phone: PhoneDouble, binary: Path) -> None:
    binary.write_text(binary.read_text().replace("#!/bin/sh", "#!/bin/sh\necho 'ERROR: no such op'; exit 1"))
    device = open_phone(phone, binary)
    with device.measuring(), pytest.raises(MnasError, match="no such op"):
        device.load(DATA).run_times_ms(3)


@pytest.mark.usefixtures("quick")
def test_a_profile_goes_on_after_the_phone_went_away(
    phone: PhoneDouble, binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", 8)
    monkeypatch.setattr("mnas.profiling.collect.FITTING_BURSTS", 3)
    monkeypatch.setattr("mnas.profiling.collect.HELD_OUT_BURSTS", 6)
    out, log = tmp_path / "phone.json", tmp_path / "phone.json.log"
    arguments = ["profile", "--space", "mnasnet-16", "--device", f"adb:{phone.address}", "--out", out]
    arguments += ["--benchmark-binary", binary, "--minutes", "0.05"]
    phone.starts_left = 40  # a group of networks, and a part of the next
    with pytest.raises(MnasError, match="Then run the same command again"):
        run(*arguments)
    kept = [json.loads(line)["network"] for line in log.read_text().splitlines()[1:]]
    assert kept
    phone.starts_left = 10**9
    run(*arguments)
    table = LatencyTable.load(out)
    assert table.configuration.model == "Google Pixel 4"
    assert len(table.configuration.binary_sha256) == 64
    assert table.report_card is not None
    assert phone.files == []
    shown = run("table", "show", out)
    assert "Google Pixel 4, SM8150, 1 x 2.84 GHz" in shown


def test_a_phone_whose_services_do_not_answer_is_measured_still(
    phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = open_phone(phone, binary)
    shell = device.adb.shell

    def hurried(command: str, **options: object) -> str:
        return shell(command, **options | ({"limit_s": 0.2} if "dumpsys" in command else {}))  # type: ignore[arg-type]

    monkeypatch.setattr(device.adb, "shell", hurried)
    phone.install(phone.root / "bin/dumpsys", "#!/bin/sh\nsleep 5\n")
    with device.measuring():
        assert device.load(DATA).run_times_ms(3).shape == (3,)
    assert "took longer than 0.2 s and was ended there: dumpsys battery; dumpsys thermalservice" in caplog.text
    assert "temperature stays unknown" in caplog.text


def test_temperatures_as_phones_write_them(phone: PhoneDouble) -> None:
    adb = Adb(phone.address)
    for battery, status, expected in [
        ("temperature: 312", "Thermal Status: 1", (31.2, 1)),
        ("temperature: 31", "Thermal Status: 3 (SEVERE)", (31.0, 3)),
        ("temperature: 31.5", "Thermal Status: 0 (NONE)", (31.5, 0)),
        ("temperature: -50", "Thermal Status: x", (-50.0, 0)),
    ]:
        (phone.root / "dumpsys/battery").write_text(f"  {battery}\n")
        (phone.root / "dumpsys/thermalservice").write_text(f"IsStatusOverride: false\n{status}\n")
        heat = read_heat(adb)
        assert (heat.celsius, heat.status) == expected


def test_cores_without_frequencies_are_chosen_by_capacity(phone: PhoneDouble, caplog: pytest.LogCaptureFixture) -> None:
    for cpu in range(8):
        folder = phone.root / f"sys/devices/system/cpu/cpu{cpu}"
        (folder / "cpufreq/cpuinfo_max_freq").unlink()
        (folder / "cpu_capacity").write_text("1024\n" if cpu == 4 else "500\n")
    assert [cpu.number for cpu in read_phone(Adb(phone.address)).fastest(2)] == [4, 7]


def test_cores_that_are_switched_off_are_not_pinned_to(
    phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their frequency can still be read. The other thread would run on the core that is left, without a word."""
    (phone.root / "sys/devices/system/cpu/cpu7/online").write_text("0\n")
    assert open_phone(phone, binary, threads=2).configuration("float32").affinity == "5,6"
    assert "core 7 is switched off on this phone: programs run on the others" in caplog.text
    with pytest.raises(InputError, match=r"--threads is 8: this phone has 8 cores, of which core 7 is switched off"):
        open_phone(phone, binary, threads=8)


def test_why_programs_are_not_pinned(phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture) -> None:
    phone.install(phone.root / "bin/taskset", "#!/bin/sh\nexit 1\n")
    open_phone(phone, binary)
    assert "does not let programs be pinned" in caplog.text
    caplog.clear()
    for file in phone.root.glob("sys/devices/system/cpu/cpu*/cpufreq/*"):
        file.unlink()
    open_phone(phone, binary)
    assert "does not say which of its cores are fast: programs are not pinned" in caplog.text
    assert "does not let" not in caplog.text


def test_a_broken_connection_does_not_end_a_long_run(
    phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        phone.starts_left = 10 if len(naps) == 2 else -1  # back after the second pause

    monkeypatch.setattr(Adb, "sleep", staticmethod(nap))
    device = open_phone(phone, binary)
    with device.measuring():
        model = device.load(DATA)
        phone.starts_left = 1
        for _ in range(3):
            assert model.run_times_ms(3).shape == (3,)
    assert naps == [2.0, 10.0]
    assert caplog.text.count("lost the phone during the work") == 2
    assert "Trying again in 10 s" in caplog.text
    assert phone.files == []


def test_a_phone_that_comes_back_late_is_waited_for(
    phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the pauses of a connection that breaks; the time of a measurement stands still meanwhile."""
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        phone.starts_left = 10 if len(naps) == 6 else -1

    monkeypatch.setattr(Adb, "sleep", staticmethod(nap))
    device = open_phone(phone, binary, wait_minutes=60)
    connect = device.adb._choose
    monkeypatch.setattr(device.adb, "_choose", lambda serial: connect(serial) if len(naps) == 6 else _gone())
    with device.measuring():
        model = device.load(DATA)
        phone.starts_left = 0
        before, waited_s = device.clock(), device.waited_s
        assert model.run_times_ms(3).shape == (3,)
        assert device.waited_s > waited_s
        assert device.clock() - before < 60
    assert naps == [2.0, 10.0, 60.0, 2.0, 5.0, 10.0]
    assert caplog.text.count("Waiting up to 60 minutes for the phone 127.0.0.1") == 1
    assert caplog.text.count("is back after") == 1
    assert phone.files == []


def _gone() -> str:
    raise LostPhoneError("gone")


@pytest.mark.parametrize("wait_minutes", [0.0, 1e-3])
def test_a_phone_that_does_not_come_back(
    wait_minutes: float, phone: PhoneDouble, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = open_phone(phone, binary, wait_minutes=wait_minutes)
    with device.measuring():
        model = device.load(DATA)
        phone.starts_left = -(10**9)
        monkeypatch.setattr(device.adb, "_choose", lambda serial: _gone())
        with pytest.raises(MnasError) as ended:
            model.run_times_ms(3)
    assert ("It did not come back within the 0 seconds of --wait" in str(ended.value)) == (wait_minutes > 0)


def test_waiting_for_a_phone_can_be_interrupted(
    phone: PhoneDouble, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.authorized = False
    with pytest.raises(MnasError, match="it has not allowed this computer yet"):
        open_phone(phone, binary)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Adb, "sleep", staticmethod(interrupt))
    with pytest.raises(KeyboardInterrupt):
        open_phone(phone, binary, wait_minutes=60)
    with pytest.raises(InputError, match="--wait"):
        open_phone(phone, binary, wait_minutes=-1)


def test_what_a_start_costs_is_measured(phone: PhoneDouble, binary: Path) -> None:
    phone.slow_s = 0.3
    device = open_phone(phone, binary)
    assert device.pace.start_ms == 120
    with device.measuring():
        assert device.pace.start_ms > 300


def test_cores_are_chosen_by_capacity(phone: PhoneDouble, binary: Path) -> None:
    for cpu in range(8):
        folder = phone.root / f"sys/devices/system/cpu/cpu{cpu}"
        (folder / "cpu_capacity").write_text("1024\n" if cpu < 3 else "400\n")  # against what frequencies say
    (phone.root / "sys/devices/system/cpu/cpu0/online").write_text("0\n")
    device = open_phone(phone, binary, cores="big", threads=2)
    with device.measuring():
        device.load(DATA).run_times_ms(3)
    assert (phone.root / "calls").read_text().split()[-1] == "6"  # cores 1 and 2
    found = device.configuration("float32")
    assert (found.affinity, found.cores) == ("big: 1,2", "big")
    for cores, threads, message in (
        ("big", 3, "for --threads 3"),
        ("0,1", 1, "used here are 1-7"),
        ("9", 1, "7 cores"),
    ):
        with pytest.raises(InputError, match=message):
            open_phone(phone, binary, cores=cores, threads=threads)
    phone.install(phone.root / "bin/taskset", "#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match="does not let programs be pinned"):
        open_phone(phone, binary, cores="little")


def test_options_of_delegates_are_passed_and_confirmed(phone: PhoneDouble, binary: Path) -> None:
    (phone.root / "accelerators").write_text("qti-dsp, nnapi-reference")
    for delegate, flags in (
        ("gpu precision_loss_allowed=no", {"--use_gpu=true", "--gpu_precision_loss_allowed=false"}),
        ("nnapi accelerator=qti-dsp", {"--use_nnapi=true", "--nnapi_accelerator_name=qti-dsp"}),
    ):
        device = open_phone(phone, binary, delegate=delegate)
        with device.measuring():
            device.load(DATA).run_times_ms(3)
        assert flags <= set((phone.root / "arguments").read_text().splitlines()[-1].split())
        assert device.configuration("float32").delegate == delegate
        (phone.root / "silent").touch()
        with device.measuring(), pytest.raises(MnasError, match=r"was asked for its setting .* and says nothing of it"):
            device.load(DATA).run_times_ms(3)
        (phone.root / "silent").unlink()
    device = open_phone(phone, binary, delegate="nnapi accelerator=edgetpu")
    with device.measuring(), pytest.raises(MnasError, match="has no accelerator 'edgetpu'; it has qti-dsp, nnapi-ref"):
        device.load(DATA).run_times_ms(3)


def test_an_external_delegate_is_part_of_the_identity(phone: PhoneDouble, binary: Path, tmp_path: Path) -> None:
    library = tmp_path / "libfast.so"
    library.write_bytes(b"first")
    device = open_phone(phone, binary, delegate=f"external library={library} options=mode:fast;level:3")
    with device.measuring():
        device.load(DATA).run_times_ms(3)
        assert phone.copied == ["1.tflite", "benchmark_model", "libfast.so"]
    said = device.configuration("float32").delegate
    assert said.startswith(f"external library={library} 'options=mode:fast;level:3' sha256=")
    assert open_phone(phone, binary, delegate=said).configuration("float32").delegate == said
    library.write_bytes(b"second")
    with pytest.raises(InputError, match="is not the library that the table was measured with"):
        open_phone(phone, binary, delegate=said)
    there = phone.root / "data/local/tmp/libthere.so"
    there.write_bytes(b"there")
    device = open_phone(phone, binary, delegate="external library=/data/local/tmp/libthere.so")
    with device.measuring():
        device.load(DATA).run_times_ms(3)
    assert len(device.configuration("float32").delegate.rpartition("sha256=")[2]) == 64
    (phone.root / "idle").touch()
    with device.measuring(), pytest.raises(MnasError, match="did not run the network on EXTERNAL"):
        device.load(DATA).run_times_ms(3)
    with pytest.raises(InputError, match="there is no such file, neither on this computer nor on the phone"):
        open_phone(phone, binary, delegate="external library=/vendor/lib64/libnone.so")
