"""Published networks by name.

Sources: tensorflow/tpu models/official/mnasnet/mnasnet_models.py; Sandler et al. 2018 (MobileNetV2);
tensorflow/tpu models/official/efficientnet (builder and lite); google/automl efficientnetv2 (Tan and Le 2021), whose
networks of keras.applications are the same.
"""

from __future__ import annotations

from dataclasses import replace

from mnas.arch.codec import parse_stages
from mnas.arch.resize import resize
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

# Keras names the width alpha. Its head is as wide as at a width of 1 or wider.
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
# tensorflow/models research/slim/nets/mobilenet/README.md; EfficientNet's paper; the README of EfficientNet-Lite; and
# for EfficientNetV2 Keras's table of applications.
IMAGENET_TOP1: dict[str, dict[int, float]] = {
    "mnasnet-a1": {224: 75.2},
    "mnasnet-b1": {224: 74.5},
    "mnasnet-small": {224: 66.0},
    "mobilenet-v2": {224: 71.8, 192: 70.7, 160: 68.8, 128: 65.3, 96: 60.3},
    "mobilenet-v2-0.35": {224: 60.3, 192: 58.2, 160: 55.7, 128: 50.8, 96: 45.5},
    "mobilenet-v2-0.5": {224: 65.4, 192: 63.9, 160: 61.0, 128: 57.7, 96: 51.2},
    "mobilenet-v2-0.75": {224: 69.8, 192: 68.7, 160: 66.4, 128: 63.2, 96: 58.8},
    "mobilenet-v2-1.3": {224: 74.4},
    "mobilenet-v2-1.4": {224: 75.0},
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
    mobilenet = Architecture(parse_stages(_MOBILENET_V2), activation="relu6")
    for name, width in MOBILENET_V2_WIDTHS.items():
        networks[name] = resize(mobilenet, width=width, scale_head=width > 1)
    for base, rows, lite in ((b0, EFFICIENTNET_ROWS, False), (lite0, LITE_ROWS, True)):
        for name, row in rows.items():
            networks[f"efficientnet-{name}"] = resize_row(base, row, lite=lite)
    v2 = Architecture(parse_stages(_EFFICIENTNET_V2_B0), activation="swish", stochastic_depth=0.2)
    for name, row in EFFICIENTNET_V2_ROWS.items():
        networks[f"efficientnet-{name}"] = resize_row(v2, row, nearest=True)
    return networks


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
