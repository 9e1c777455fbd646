"""The real adb program and server, and a phone that speaks their protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mnas.devices.registry import open_device
from mnas.profiling.skeleton import write_skeleton
from mnas.space import load_space
from tests.devices.phone_double import PhoneDouble

DATA = write_skeleton(load_space("mnasnet-16").sample(np.random.default_rng(0)))


def test_a_network_is_measured_and_nothing_stays_on_the_phone(phone: PhoneDouble, binary: Path) -> None:
    device = open_device(f"adb:{phone.address}", benchmark_binary=binary)
    with device.measuring():
        model = device.load(DATA)
        times = model.warm_run_times_ms(8, warm_up=3)
        assert len(phone.files) == 2
    expected_us = 50 + len(DATA) // 64
    assert times.shape == (8,)
    assert times.min() * 1e3 == pytest.approx(expected_us)
    assert times.mean() * 1e3 == pytest.approx(expected_us + 1.5, abs=0.5)
    assert phone.files == []
