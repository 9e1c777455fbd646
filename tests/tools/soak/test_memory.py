"""What a memory curve's line says."""

import ctypes

import numpy as np
import pytest

from tools.soak.memory import Memory, in_use_mb


def test_a_line_says_what_a_new_network_has_added():
    first, later = Memory(10, 700.0, 100.0), Memory(30, 720.5, 102.0)
    assert first.since(first) == "10 networks, 700.0 MiB (+0.0), 100.0 MiB of the C heap in use (+0.0)"
    said = "30 networks, 720.5 MiB (+20.5), 102.0 MiB of the C heap in use (+2.0, +102 KiB a new network)"
    assert later.since(first) == said
    assert Memory(30, 720.5, None).since(first) == "30 networks, 720.5 MiB (+20.5)"


def test_what_is_asked_for_is_in_use():
    before = in_use_mb()
    if before is None:
        pytest.skip("this C library does not tell what is in use")
    kept = np.ones(2 << 20, np.uint8)
    assert in_use_mb() - before == pytest.approx(kept.nbytes / 2**20, abs=0.5)


def test_another_c_library_does_not_tell(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert in_use_mb() is None
