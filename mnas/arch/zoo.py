"""Published networks by name.

Sources: tensorflow/tpu models/official/mnasnet/mnasnet_models.py; Sandler et al. 2018 (MobileNetV2);
tensorflow/tpu models/official/efficientnet (builder and lite); google/automl efficientnetv2 (Tan and Le 2021), whose
networks of keras.applications are the same; keras.applications (MobileNetV3, Howard et al. 2019);
huggingface/pytorch-image-models timm/models/mobilenetv3.py (MobileNetV4, Qin et al. 2024).
"""

from __future__ import annotations

from dataclasses import replace

from mnas.arch.codec import parse_stages
from mnas.arch.resize import resize, round_filters
from mnas.arch.spec import Architecture
from mnas.errors import InputError

_MNASNET_A1 = (
    "r1_k3_s11_e1_i32_o16_noskip|r2_k3_s22_e6_i16_o24|r3_k5_s22_e3_i24_o40_se0.25|r4_k3_s22_e6_i40_o80|"
    "r2_k3_s11_e6_i80_o112_se0.25|r3_k5_s22_e6_i112_o160_se0.25|r1_k3_s11_e6_i160_o320"
)
_MNASNET_B1 = (
    "r1_k3_s11_e1_i32_o16_noskip|r3_k3_s22_e3_i16_o24|r3_k5_s22_e3_i24_o40|r3_k5_s22_e6_i40_o80|"
    "r2_k3_s11_e6_i80_o96|r4_k5_s22_e6_i96_o192|r1_k3_s11_e6_i192_o320_noskip"
)
_MNASNET_SMALL = (
    "r1_k3_s11_e1_i16_o8|r1_k3_s22_e3_i8_o16|r2_k3_s22_e6_i16_o16|r4_k5_s22_e6_i16_o32_se0.25|"
    "r3_k3_s11_e6_i32_o32_se0.25|r3_k5_s22_e6_i32_o88_se0.25|r1_k3_s11_e6_i88_o144"
)
_MOBILENET_V2 = (
    "ds_r1_k3_s1_c16|ir_r2_k3_s2_e6_c24|ir_r3_k3_s2_e6_c32|ir_r4_k3_s2_e6_c64|"
    "ir_r3_k3_s1_e6_c96|ir_r3_k3_s2_e6_c160|ir_r1_k3_s1_e6_c320"
)
_EFFICIENTNET_B0 = (
    "r1_k3_s11_e1_i32_o16_se0.25|r2_k3_s22_e6_i16_o24_se0.25|r2_k5_s22_e6_i24_o40_se0.25|"
    "r3_k3_s22_e6_i40_o80_se0.25|r3_k5_s11_e6_i80_o112_se0.25|r4_k5_s22_e6_i112_o192_se0.25|"
    "r1_k3_s11_e6_i192_o320_se0.25"
)
_EFFICIENTNET_V2_B0 = (
    "cn_r1_k3_s1_c16_skip|er_r2_k3_s2_e4_c32|er_r2_k3_s2_e4_c48|ir_r3_k3_s2_e4_c96_se0.25|"
    "ir_r5_k3_s1_e6_c112_se0.25|ir_r8_k3_s2_e6_c192_se0.25"
)

_MOBILENET_V3_LARGE = (
    "ds_r1_k3_s1_c16_nre|ir_r1_k3_s2_e4_c24_nre|ir_r1_k3_s1_e3_c24_nre|ir_r3_k5_s2_e3_c40_hse0.25_nre|"
    "ir_r1_k3_s2_e6_c80|ir_r1_k3_s1_e2.5_c80|ir_r2_k3_s1_e2.3_c80|ir_r2_k3_s1_e6_c112_hse0.25|"
    "ir_r3_k5_s2_e6_c160_hse0.25"
)
_MOBILENET_V3_SMALL = (
    "ds_r1_k3_s2_c16_hse0.25_nre|ir_r1_k3_s2_e4.5_c24_nre|ir_r1_k3_s1_e3.67_c24_nre|ir_r1_k5_s2_e4_c40_hse0.25|"
    "ir_r2_k5_s1_e6_c40_hse0.25|ir_r2_k5_s1_e3_c48_hse0.25|ir_r3_k5_s2_e6_c96_hse0.25"
)
_MOBILENET_V4_SMALL = (
    "cn_r1_k3_s2_c32|cn_r1_k1_s1_c32|cn_r1_k3_s2_c96|cn_r1_k1_s1_c64|"
    "uir_r1_a5_k5_s2_e3_c96|ir_r4_k3_s1_e2_c96|uir_r1_a3_k0_s1_e4_c96|"
    "uir_r1_a3_k3_s2_e6_c128|uir_r1_a5_k5_s1_e4_c128|ir_r1_k5_s1_e4_c128|ir_r1_k5_s1_e3_c128|ir_r2_k3_s1_e4_c128"
)
_MOBILENET_V4_MEDIUM = (
    "er_r1_k3_s2_e4_c48|uir_r1_a3_k5_s2_e4_c80|uir_r1_a3_k3_s1_e2_c80|"
    "uir_r1_a3_k5_s2_e6_c160|uir_r2_a3_k3_s1_e4_c160|uir_r1_a3_k5_s1_e4_c160|uir_r1_a3_k3_s1_e4_c160|"
    "uir_r1_a3_k0_s1_e4_c160|uir_r1_a0_k0_s1_e2_c160|uir_r1_a3_k0_s1_e4_c160|"
    "uir_r1_a5_k5_s2_e6_c256|uir_r1_a5_k5_s1_e4_c256|uir_r2_a3_k5_s1_e4_c256|uir_r1_a0_k0_s1_e4_c256|"
    "uir_r1_a3_k0_s1_e4_c256|uir_r1_a3_k5_s1_e2_c256|uir_r1_a5_k5_s1_e4_c256|uir_r2_a0_k0_s1_e4_c256|"
    "uir_r1_a5_k0_s1_e2_c256"
)
_MOBILENET_V4_LARGE = (
    "er_r1_k3_s2_e4_c48|uir_r1_a3_k5_s2_e4_c96|uir_r1_a3_k3_s1_e4_c96|"
    "uir_r1_a3_k5_s2_e4_c192|uir_r3_a3_k3_s1_e4_c192|uir_r1_a3_k5_s1_e4_c192|uir_r5_a5_k3_s1_e4_c192|"
    "uir_r1_a3_k0_s1_e4_c192|uir_r4_a5_k5_s2_e4_c512|uir_r1_a5_k0_s1_e4_c512|uir_r1_a5_k3_s1_e4_c512|"
    "uir_r2_a5_k0_s1_e4_c512|uir_r1_a5_k3_s1_e4_c512|uir_r1_a5_k5_s1_e4_c512|uir_r3_a5_k0_s1_e4_c512"
)

# Keras names the width alpha. Its head is as wide as at a width of 1 or wider.
MNASNET_WIDTHS = {  # of the authors; for B1, whose authors published no others, of torchvision
    "mnasnet-a1": (0.35, 0.5, 0.75, 1.4),
    "mnasnet-b1": (0.5, 0.75, 1.3),
}
MOBILENET_V2_WIDTHS: dict[str, float] = {
    "mobilenet-v2": 1.0,
    **{f"mobilenet-v2-{width}": width for width in (0.35, 0.5, 0.75, 1.3, 1.4)},
}
# Name: width, depth, resolution, dropout. The published rows are rounded by hand, not powers of the coefficients.
EFFICIENTNET_ROWS: dict[str, tuple[float, float, int, float]] = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
}
EFFICIENTNET_V2_ROWS: dict[str, tuple[float, float, int, float]] = {
    "v2-b0": (1.0, 1.0, 224, 0.2),
    "v2-b1": (1.0, 1.1, 240, 0.2),
    "v2-b2": (1.1, 1.2, 260, 0.2),
    "v2-b3": (1.2, 1.4, 300, 0.2),
}
# Top-1 accuracy on ImageNet in percent by resolution, as published: MnasNet's and MobileNetV2's papers and
# tensorflow/models research/slim/nets/mobilenet/README.md; tensorflow/tpu models/official/mnasnet/README.md (without
# A1 of width 0.35 at 160 px, of which it has two figures), for other widths of B1 torchvision; EfficientNet's paper;
# the README of EfficientNet-Lite; for EfficientNetV2 Keras's table of applications, and for MobileNetV3 that of its
# checkpoints; MobileNetV4's paper.
IMAGENET_TOP1: dict[str, dict[int, float]] = {
    "mnasnet-a1": {224: 75.2, 192: 74.0, 160: 72.0, 128: 69.3, 96: 64.4},
    "mnasnet-a1-0.35": {224: 64.1, 192: 62.4, 128: 54.8, 96: 49.3},
    "mnasnet-a1-0.5": {224: 68.9, 192: 67.2, 160: 64.9, 128: 60.8, 96: 54.7},
    "mnasnet-a1-0.75": {224: 73.3, 192: 72.1, 160: 70.1, 128: 67.0, 96: 62.1},
    "mnasnet-a1-1.4": {224: 77.2, 192: 76.1, 160: 74.8, 128: 72.5, 96: 68.6},
    "mnasnet-b1": {224: 74.5},
    "mnasnet-b1-0.5": {224: 67.7},
    "mnasnet-b1-0.75": {224: 71.2},
    "mnasnet-b1-1.3": {224: 76.5},
    "mnasnet-small": {224: 66.0},
    "mobilenet-v2": {224: 71.8, 192: 70.7, 160: 68.8, 128: 65.3, 96: 60.3},
    "mobilenet-v2-0.35": {224: 60.3, 192: 58.2, 160: 55.7, 128: 50.8, 96: 45.5},
    "mobilenet-v2-0.5": {224: 65.4, 192: 63.9, 160: 61.0, 128: 57.7, 96: 51.2},
    "mobilenet-v2-0.75": {224: 69.8, 192: 68.7, 160: 66.4, 128: 63.2, 96: 58.8},
    "mobilenet-v2-1.3": {224: 74.4},
    "mobilenet-v2-1.4": {224: 75.0},
    "mobilenet-v3-large": {224: 75.6},
    "mobilenet-v3-large-0.75": {224: 73.3},
    "mobilenet-v3-small": {224: 68.1},
    "mobilenet-v3-small-0.75": {224: 65.4},
    "mobilenet-v4-conv-small": {224: 73.8},
    "mobilenet-v4-conv-medium": {256: 79.9},
    "mobilenet-v4-conv-large": {384: 82.9},
    "efficientnet-b0": {224: 77.1},
    "efficientnet-b1": {240: 79.1},
    "efficientnet-b2": {260: 80.1},
    "efficientnet-b3": {300: 81.6},
    "efficientnet-b4": {380: 82.9},
    "efficientnet-b5": {456: 83.6},
    "efficientnet-b6": {528: 84.0},
    "efficientnet-b7": {600: 84.3},
    "efficientnet-v2-b0": {224: 78.7},
    "efficientnet-v2-b1": {240: 79.8},
    "efficientnet-v2-b2": {260: 80.5},
    "efficientnet-v2-b3": {300: 82.0},
    "efficientnet-lite0": {224: 75.1},
    "efficientnet-lite1": {240: 76.7},
    "efficientnet-lite2": {260: 77.6},
    "efficientnet-lite3": {280: 79.8},
    "efficientnet-lite4": {300: 81.5},
}
# The year in which a network, named by how its name begins, was presented or its weights were published.
_YEARS = {
    "mnasnet": 2019,
    "mobilenet-v2": 2018,
    "mobilenet-v3": 2019,
    "mobilenet-v4": 2024,
    "efficientnet-b": 2019,
    "efficientnet-v2": 2021,
    "efficientnet-lite": 2020,
}
_SMALL_PX = 48
LITE_ROWS: dict[str, tuple[float, float, int, float]] = {
    "lite0": (1.0, 1.0, 224, 0.2),
    "lite1": (1.0, 1.1, 240, 0.2),
    "lite2": (1.1, 1.2, 260, 0.3),
    "lite3": (1.2, 1.4, 280, 0.3),
    "lite4": (1.4, 1.8, 300, 0.3),
}


def _zoo() -> dict[str, Architecture]:
    b0 = Architecture(parse_stages(_EFFICIENTNET_B0), activation="swish", stochastic_depth=0.2)
    without_se = parse_stages(_EFFICIENTNET_B0.replace("_se0.25", ""))
    lite0 = Architecture(without_se, activation="relu6", stochastic_depth=0.2)
    networks = {
        "mnasnet-a1": Architecture(parse_stages(_MNASNET_A1)),
        "mnasnet-b1": Architecture(parse_stages(_MNASNET_B1)),
        "mnasnet-small": Architecture(parse_stages(_MNASNET_SMALL), stem_filters=8, dropout=0),
    }
    for name, widths in MNASNET_WIDTHS.items():
        networks |= {f"{name}-{width}": resize(networks[name], width=width, scale_head=False) for width in widths}
    mobilenet = Architecture(parse_stages(_MOBILENET_V2), activation="relu6")
    for name, width in MOBILENET_V2_WIDTHS.items():
        networks[name] = resize(mobilenet, width=width, scale_head=width > 1)
    for base, rows, lite in ((b0, EFFICIENTNET_ROWS, False), (lite0, LITE_ROWS, True)):
        for name, row in rows.items():
            networks[f"efficientnet-{name}"] = resize_row(base, row, lite=lite)
    networks |= {**_mobilenets_v3(), **_mobilenets_v4()}
    v2 = Architecture(parse_stages(_EFFICIENTNET_V2_B0), activation="swish", stochastic_depth=0.2)
    for name, row in EFFICIENTNET_V2_ROWS.items():
        networks[f"efficientnet-{name}"] = resize_row(v2, row, nearest=True)
    return networks


def _mobilenets_v3() -> dict[str, Architecture]:
    """MobileNetV3: the convolution after pooling has a bias, and is as wide at a width of 0.75."""
    networks: dict[str, Architecture] = {}
    for name, blocks, head, pooled in (
        ("mobilenet-v3-large", _MOBILENET_V3_LARGE, 960, 1280),
        ("mobilenet-v3-small", _MOBILENET_V3_SMALL, 576, 1024),
    ):
        whole = Architecture(
            parse_stages(blocks), 16, head, activation="hswish", pooled_filters=pooled, pooled_norm=False
        )
        # Keras rounds the middle filters to multiples of 8: 147 to 144.
        narrow = replace(whole, stages=parse_stages(blocks.replace("e2.3", "e2.25")))
        narrow = resize(narrow, width=0.75, scale_head=False)
        networks |= {name: whole, f"{name}-0.75": replace(narrow, head_filters=round_filters(head, 0.75))}
    return networks


def _mobilenets_v4() -> dict[str, Architecture]:
    """MobileNetV4-Conv at the resolutions of its paper."""
    rows = (
        ("small", _MOBILENET_V4_SMALL, 32, 224),
        ("medium", _MOBILENET_V4_MEDIUM, 32, 256),
        ("large", _MOBILENET_V4_LARGE, 24, 384),
    )
    return {
        f"mobilenet-v4-conv-{name}": Architecture(parse_stages(blocks), stem, 960, resolution, pooled_filters=1280)
        for name, blocks, stem, resolution in rows
    }


def resize_row(
    base: Architecture, row: tuple[float, float, int, float], *, lite: bool = False, nearest: bool = False
) -> Architecture:
    """Apply one published row of width, depth, resolution and dropout."""
    width, depth, resolution, dropout = row
    return resize(base, width=width, depth=depth, resolution=resolution, dropout=dropout, lite=lite, nearest=nearest)


ZOO: dict[str, Architecture] = _zoo()


def zoo(name: str) -> Architecture:
    """Return a published network by name, e.g. `mnasnet-a1`.

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    if name not in ZOO:
        raise InputError(f"unknown network {name!r}; the zoo has {', '.join(ZOO)}")
    return ZOO[name]


def published_year(name: str) -> int:
    """Return the year in which a network of the zoo was published."""
    return next(year for start, year in _YEARS.items() if name.startswith(start))


def network_for_images(resolution: int | None = None) -> Architecture:
    """Return a network to train from scratch as a teacher: EfficientNet-Lite0, without stochastic depth.

    For images of at most 48 px its stem has stride 1, as is usual for CIFAR: the published strides would leave one
    pixel.

    Args:
        resolution: of the images in pixels; the published one by default.
    """
    network = replace(ZOO["efficientnet-lite0"], stochastic_depth=0)
    if resolution is None:
        return network
    return replace(network, resolution=resolution, stem_stride=1 if resolution <= _SMALL_PX else 2)
