"""Where milliseconds are cheap, by kinds of change."""

import pytest

from mnas.library.savings import savings


def block(*rows):
    return {"alternatives": [dict(zip(("block", "loss", "latency_ms"), row, strict=True)) for row in rows]}


def test_a_change_alone_counts_the_cheapest_first():
    blocks = [
        block(
            ("ir_r1_k5_s1_e6_c16", 0.01, 0.5),
            ("ir_r1_k3_s1_e6_c16", 0.06, 0.4),
            ("ir_r1_k5_s1_e4_c16", 0.02, 0.3),
            ("ir_r1_k3_s1_e4_c16", 0.07, 0.2),
            ("id_r1_k1_s1_c16", 0.31, 0.0),
        ),
        block(
            ("ir_r1_k3_s2_e6_c24_se0.25", 0.0, 0.3),
            ("ir_r1_k5_s2_e6_c24_se0.25", 0.0, 0.4),
            ("ir_r1_k3_s2_e4_c24_se0.25", 0.03, 0.2),
            ("ir_r1_k3_s2_e6_c24", 0.02, 0.29),
            ("ir_r1_k3_s2_e4_c24", 0.05, 0.19),
        ),
    ]
    found = {row.change: row for row in savings(blocks)}
    assert list(found) == [
        "expansion 6 to 4",
        "kernel 5 to 3",
        "left out",
        "without squeeze-and-excitation",
        "kernel 3 to 5",
    ]
    own = found["expansion 6 to 4"]
    assert (own.blocks, own.loss, own.saved_ms) == (2, pytest.approx(0.02), pytest.approx(0.15))
    assert own.loss_per_ms == pytest.approx(0.04 / 0.3)
    assert found["left out"].loss_per_ms == pytest.approx(0.6)
    assert found["kernel 3 to 5"].loss_per_ms is None
    assert found["kernel 3 to 5"].saved_ms == pytest.approx(-0.1)


def test_a_block_that_is_left_out_already_has_no_savings():
    assert savings([block(("id_r1_k1_s1_c16", 0.0, 0.0), ("ir_r1_k3_s1_e6_c16", 0.0, 0.1))]) == []
