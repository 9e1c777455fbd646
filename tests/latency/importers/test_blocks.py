"""Row names as blocks."""

from __future__ import annotations

import pytest

from mnas.arch.walk import layers
from mnas.errors import InputError
from mnas.latency.importers.blocks import expansion, once_for_all_block, once_for_all_se_ratio, proxylessnas_block
from mnas.latency.importers.flat import Row

OFA = "expanded_conv-input:10x10x136-output:5x5x192-expand:544-kernel:5-stride:2-idskip:0-se:1-hs:1"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Conv-input:224x224x3-output:112x112x32", "224x224x3 cn_k3_s2_c32 relu6"),
        ("Conv_1-input:7x7x320-output:7x7x1280", "7x7x320 cn_k1_s1_c1280 relu6"),
        ("Logits-input:7x7x1280-output:1000", "7x7x1280 classifier_n1000"),
        (
            "expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0",
            "112x112x16 ir_k3_s2_e3_c24_noskip relu6",
        ),
        (
            "expanded_conv-input:14x14x80-output:14x14x80-expand:6-kernel:7-stride:1-idskip:1",
            "14x14x80 ir_k7_s1_e6_c80 relu6",
        ),
        (
            "expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0",
            "112x112x32 ds_k3_s1_c16_noskip relu6",
        ),
        (
            "expanded_conv-input:15x15x8-output:8x8x8-expand:3-kernel:3-stride:2-idskip:0",
            "15x15x8 ir_k3_s2_e3_c8_noskip relu6",
        ),
    ],
)
def test_proxylessnas_keys(name: str, key: str) -> None:
    assert proxylessnas_block(Row(name, 1)).key == key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Conv-input:160x160x3-output:80x80x24", "160x160x3 cn_k3_s2_c24 hswish"),
        ("Conv_2-input:1x1x1152-output:1x1x1536", "1x1x1152 cn_k1_s1_c1536 hswish"),
        (OFA, "10x10x136 ir_k5_s2_e4_c192_se1_noskip hswish"),
        (
            "expanded_conv-input:80x80x24-output:80x80x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0",
            "80x80x24 ds_k3_s1_c24 relu",
        ),
    ],
)
def test_once_for_all_keys(name: str, key: str) -> None:
    placed = once_for_all_block(Row(name, 1))
    assert placed is not None
    assert placed.key == key


def test_pooling_is_no_block() -> None:
    assert once_for_all_block(Row("AvgPool2D-input:5x5x1152-output:1x1x1152", 1)) is None


@pytest.mark.parametrize("filters", [24, 32, 40, 48, 96, 136, 192])
@pytest.mark.parametrize("middle", [24, 72, 100, 144, 163, 192, 408, 544, 817, 1152])
def test_middle_channels_survive_as_ratios(filters: int, middle: int) -> None:
    ratio = expansion(filters, middle)
    assert round(filters * ratio) == middle
    width = int(filters * once_for_all_se_ratio(filters, middle))
    assert width % 8 == 0
    assert 0.9 * (middle // 4) <= width < middle // 4 + 8
    name = f"expanded_conv-input:9x9x{filters}-output:9x9x40-expand:{middle}-kernel:3-stride:1-idskip:0-se:1-hs:1"
    placed = once_for_all_block(Row(name, 1))
    assert placed is not None
    by_role = {layer.role: layer for layer in layers(placed)}
    assert by_role["depthwise"].filters == middle
    assert by_role["se_reduce"].filters == width


def test_whole_ratios_stay_whole() -> None:
    assert [expansion(136, middle) for middle in (408, 544, 816)] == [3, 4, 6]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Pool-input:7x7x3-output:7x7x3", "expected Conv, Conv_1"),
        ("Conv-input:7x7x3-output:7x7x3-expand:3-kernel:3-stride:1-idskip:0", "nothing else, has -expand"),
        ("expanded_conv-input:7x7x3-output:7x7x3", "nothing else, has -expand"),
        ("Conv-input:7x8x3-output:7x8x3", "not square"),
        ("Conv-input:7x7x3-output:32", "number of classes"),
        ("Logits-input:7x7x3-output:7x7x3", "number of classes"),
        ("Conv-input:224x224x3-output:56x56x32", "takes 224 px to 112, not to 56"),
        ("expanded_conv-input:8x8x8-output:8x8x8-expand:3-kernel:3-stride:2-idskip:0", "takes 8 px to 4, not to 8"),
        ("expanded_conv-input:8x8x8-output:8x8x9-expand:3-kernel:3-stride:1-idskip:1", "no skip connection"),
        ("expanded_conv-input:8x8x8-output:8x8x9-expand:3-kernel:4-stride:1-idskip:0", "odd number"),
        ("expanded_conv-input:8x8x8-output:8x8x9-expand:0-kernel:3-stride:1-idskip:0", "expand_ratio is"),
        ("expanded_conv-input:8x8x8-output:8x8x0-expand:3-kernel:3-stride:1-idskip:0", "filters is 0"),
        (OFA, "once-for-all"),
        ("Conv_2-input:1x1x8-output:1x1x8", "once-for-all"),
    ],
)
def test_proxylessnas_rows_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        proxylessnas_block(Row(name, 17))
    assert "line 17" in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (OFA.removesuffix("-se:1-hs:1"), "proxylessnas"),
        (OFA.replace("expand:544", "expand:0"), "no ratio"),
        (OFA.replace("x136-", "x0-"), "no ratio"),
        (OFA.replace("expand:544", "expand:99999"), "expand_ratio is"),
    ],
)
def test_once_for_all_rows_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        once_for_all_block(Row(name, 17))
    assert str(caught.value).startswith("line 17")
    assert str(caught.value).count("line 17") == 1
