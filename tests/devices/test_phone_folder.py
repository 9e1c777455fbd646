"""Two computers with one phone, copies that are damaged, and what interrupted runs leave: the real adb and a double."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from mnas.devices.adb import Adb
from mnas.devices.android import AndroidDevice
from mnas.devices.benchmark_binary import BenchmarkBinary
from mnas.devices.phone_folder import STALE_S
from mnas.errors import MnasError
from tests.devices.phone_double import PhoneDouble

SMALL, LARGE = b"\0" * 6400, b"\0" * 640000  # which take 0.15 and 10.05 ms


def on_another_computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MNAS_CACHE", str(tmp_path / "cache of another computer"))


def open_phone(phone: PhoneDouble, binary: Path) -> AndroidDevice:
    return AndroidDevice(Adb(phone.address), BenchmarkBinary.read(binary))


def grow_old(phone: PhoneDouble) -> None:
    """The holder of the lock was not heard of for a while."""
    (phone.root / "data/local/tmp/mnas/lock/time").write_text(f"{int(time.time() - STALE_S - 60)}\n")


def test_another_computer_is_told_who_has_the_phone(
    phone: PhoneDouble, binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_phone(phone, binary)
    with first.measuring():
        model = first.load(LARGE)
        assert model.run_times_ms(3).min() == pytest.approx(10.05)
        on_another_computer(monkeypatch, tmp_path)
        second = open_phone(phone, binary)
        said = rf"is being used by \S+, process {os.getpid()} on .* since .* \(last heard of \d+ s ago\): wait for it"
        with pytest.raises(MnasError, match=said), second.measuring():
            pass
        assert phone.copied == ["1.tflite", "benchmark_model"]  # those of the first
        assert model.run_times_ms(3).min() == pytest.approx(10.05)
    assert phone.files == []
    with second.measuring():
        assert second.load(SMALL).run_times_ms(3).min() == pytest.approx(0.15)
    assert phone.files == []


def test_a_run_that_is_gone_gives_the_phone_to_the_next(
    phone: PhoneDouble, binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_phone(phone, binary)
    with ExitStack() as stack:
        stack.enter_context(first.measuring())
        model = first.load(LARGE)
        model.run_times_ms(3)
        grow_old(phone)
        on_another_computer(monkeypatch, tmp_path)
        second = open_phone(phone, binary)
        with second.measuring():
            assert "taking the phone over from" in caplog.text
            assert "not heard of for 16 minutes" in caplog.text
            assert phone.copied == ["benchmark_model"]  # its own; those of the former are removed
            other = second.load(SMALL)
            other.run_times_ms(3)
            # The first wakes up: it must not take the second's network for its own, nor disturb it.
            with pytest.raises(
                MnasError, match=r"was taken over by \S+, process \d+ on .*finished measurements are kept"
            ):
                model.run_times_ms(3)
            with pytest.raises(MnasError, match="was taken over by"):
                first.load(LARGE).run_times_ms(3)
            assert other.run_times_ms(3).min() == pytest.approx(0.15)
            stack.close()
            assert other.run_times_ms(3).min() == pytest.approx(0.15)
    assert phone.files == []


def test_a_run_that_still_works_keeps_the_phone(
    phone: PhoneDouble, binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_phone(phone, binary)
    with first.measuring():
        model = first.load(SMALL)
        grow_old(phone)
        model.run_times_ms(3)  # heard of again
        on_another_computer(monkeypatch, tmp_path)
        with pytest.raises(MnasError, match="is being used by"), open_phone(phone, binary).measuring():
            pass


def test_a_lock_without_an_owner_is_not_broken(
    phone: PhoneDouble, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnas.devices.phone_folder._PAUSE_S", 0.0)
    lock = phone.root / "data/local/tmp/mnas/lock"
    lock.mkdir(parents=True)
    said = r"used by another run .*If that run is gone: adb -s \S+ shell rm -r /data/local/tmp/mnas/lock"
    with pytest.raises(MnasError, match=said), open_phone(phone, binary).measuring():
        pass
    lock.rmdir()
    (lock.parent / "1.tflite").write_bytes(SMALL)  # of a former version of mnas
    with open_phone(phone, binary).measuring():
        assert phone.copied == ["benchmark_model"]
        assert not (lock.parent / "1.tflite").exists()


def test_a_phone_without_a_place_for_files(phone: PhoneDouble, binary: Path) -> None:
    device = open_phone(phone, binary)
    (phone.root / "data/local/tmp").rmdir()
    (phone.root / "data/local/tmp").touch()
    said = r"failed on the phone .*: mkdir /data/local/tmp/mnas/lock\n.*Not a directory"
    with pytest.raises(MnasError, match=said), device.measuring():
        pass


@pytest.mark.parametrize("programs", [(), ("sha256sum",), ("sha256sum", "md5sum")])
def test_a_damaged_copy_is_not_measured(phone: PhoneDouble, binary: Path, programs: tuple[str, ...]) -> None:
    for name in programs:  # that this phone does not have
        phone.install(phone.root / "bin" / name, "#!/bin/sh\nexit 127\n")
    device = open_phone(phone, binary)
    with device.measuring():
        assert device.load(SMALL + b"abc").run_times_ms(3).shape == (3,)
        if "md5sum" in programs:  # only the size is known
            phone.install(phone.root / "bin/wc", '#!/bin/sh\necho "17 $2"\n')
        phone.damages = True
        with pytest.raises(MnasError, match=r"2.tflite on the phone .* is not the file that was copied there"):
            device.load(SMALL + b"abc").run_times_ms(3)
    if not programs:
        with pytest.raises(MnasError, match=r"benchmark_model on the phone .* is not the file"), device.measuring():
            pass
    assert phone.files == []


@pytest.mark.parametrize(
    ("delegate", "trouble", "message"),
    [
        ("xnnpack", "idle", "XNNPACK takes none of its operators"),
        ("nnapi", "idle", "NNAPI takes none of its operators"),
        ("gpu", "partly", "only a part of the network on GPU"),
        ("none", "default_xnnpack", "used XNNPACK although --delegate is none"),
    ],
)
def test_a_delegate_that_does_not_do_it_gives_no_time(
    phone: PhoneDouble, binary: Path, delegate: str, trouble: str, message: str
) -> None:
    device = AndroidDevice(Adb(phone.address), BenchmarkBinary.read(binary), delegate=delegate)
    with device.measuring():
        assert device.load(SMALL).run_times_ms(3).min() == pytest.approx(0.15)
        (phone.root / trouble).touch()
        with pytest.raises(MnasError, match=message):
            device.load(SMALL).run_times_ms(3)


def test_an_old_program_is_read(phone: PhoneDouble, binary: Path) -> None:
    (phone.root / "old").touch()
    device = AndroidDevice(Adb(phone.address), BenchmarkBinary.read(binary), delegate="gpu")
    with device.measuring():
        assert device.load(SMALL).run_times_ms(3).min() == pytest.approx(0.15)
        (phone.root / "unknown").write_text("--require_full_delegation\n")  # then it would not say what the CPU runs
        with pytest.raises(MnasError, match="does not know --require_full_delegation=true: use a newer one"):
            device.load(SMALL).run_times_ms(3)


def test_threads_that_a_program_ignores_give_no_time(phone: PhoneDouble, binary: Path) -> None:
    device = open_phone(phone, binary)
    (phone.root / "unknown").write_text("--num_threads\n")
    with device.measuring(), pytest.raises(MnasError, match="does not know --num_threads=1: use a newer one"):
        device.load(SMALL).run_times_ms(3)
    (phone.root / "log.sed").write_text("s/^WARN.*//\n")  # a build that does not say so
    with device.measuring(), pytest.raises(MnasError, match="setting 'num threads' is '4'; it was asked for '1'"):
        device.load(SMALL).run_times_ms(3)


def test_a_part_on_the_cpus_own_kernels_is_told_once(
    phone: PhoneDouble, binary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (phone.root / "partly").touch()
    device = open_phone(phone, binary)
    with device.measuring():
        device.load(SMALL).run_times_ms(3)
        device.load(SMALL).run_times_ms(3)
    assert caplog.text.count("XNNPACK runs only 61 of 64 operators of a network") == 1


@pytest.mark.parametrize(
    "script",
    [
        "s/^INFO: count=5 .*//",  # lost
        "s/\\(count=5 .*avg=[0-9]*\\)\\./\\1,/",  # decimals with commas
        "s/\\(count=5 .*avg=\\)/\\1mali: /",  # text of a driver in between
        "/^INFO: count=5 /q",  # cut off
        "s/Inference (avg): .*/Inference (avg): 20450/",  # of another program
    ],
)
def test_a_log_that_cannot_be_read_gives_no_time(phone: PhoneDouble, binary: Path, script: str) -> None:
    device = open_phone(phone, binary)
    with device.measuring():
        model = device.load(SMALL)
        assert model.warm_run_times_ms(5, warm_up=3).min() == pytest.approx(0.15)
        (phone.root / "log.sed").write_text(script + "\n")
        with pytest.raises(MnasError, match="benchmark_model"):
            model.warm_run_times_ms(5, warm_up=3)


def test_times_follow_a_log_with_colours(phone: PhoneDouble, binary: Path) -> None:
    (phone.root / "log.sed").write_text("s/.*/\x1b[32m&\x1b[0m/\n")
    device = open_phone(phone, binary)
    with device.measuring():
        assert device.load(SMALL).warm_run_times_ms(5, warm_up=3).min() == pytest.approx(0.15)
