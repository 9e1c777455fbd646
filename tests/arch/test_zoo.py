"""Published sizes come out exactly: arithmetic against pycls's golden values and timm's table."""

from dataclasses import replace

import pytest

from mnas.arch import complexity, unroll, zoo
from mnas.arch.resize import round_filters, round_repeats
from mnas.arch.zoo import IMAGENET_TOP1, ZOO, network_for_images, published_year
from mnas.errors import InputError

PARAMS = {
    "mnasnet-a1": 3_887_038,
    "mnasnet-b1": 4_383_312,
    "mnasnet-small": 2_030_264,
    "mobilenet-v2": 3_504_872,
    "efficientnet-b0": 5_288_548,
    "efficientnet-b1": 7_794_184,
    "efficientnet-b2": 9_109_994,
    "efficientnet-b3": 12_233_232,
    "efficientnet-b4": 19_341_616,
    "efficientnet-b5": 30_389_784,
    "efficientnet-b6": 43_040_704,
    "efficientnet-b7": 66_347_960,
    "efficientnet-v2-b0": 7_139_704,
    "efficientnet-v2-b1": 8_141_052,
    "efficientnet-v2-b2": 10_096_086,
    "efficientnet-v2-b3": 14_358_406,
    "efficientnet-lite0": 4_652_008,
    "efficientnet-lite1": 5_416_680,
    "efficientnet-lite2": 6_092_072,
    "efficientnet-lite3": 8_197_096,
    "efficientnet-lite4": 13_006_568,
}
EXACT_MADDS = {
    "efficientnet-b0": 385_825_092,
    "efficientnet-b1": 686_817_992,
    "efficientnet-b2": 993_578_282,
    "efficientnet-b3": 1_827_162_472,
    "efficientnet-b4": 4_393_801_064,
    "efficientnet-b5": 10_266_426_072,
}
MOBILENET_V2 = {  # millions of multiply-adds and of parameters: tensorflow/models research/slim/nets/mobilenet
    "mobilenet-v2-0.35": (59, 1.66),
    "mobilenet-v2-0.5": (97, 1.95),
    "mobilenet-v2-0.75": (209, 2.61),
    "mobilenet-v2-1.3": (509, 5.34),
    "mobilenet-v2-1.4": (582, 6.06),
}
ROUNDED_MADDS = {  # millions, as printed
    "mnasnet-a1": 311.6,
    "mnasnet-b1": 314.4,
    "mnasnet-small": 68.3,
    "mobilenet-v2": 300.8,
    "efficientnet-b6": 19_068,
    "efficientnet-b7": 37_746,
    "efficientnet-lite0": 385.2,
    "efficientnet-lite1": 600.2,
    "efficientnet-lite2": 859.7,
    "efficientnet-lite3": 1_383,
    "efficientnet-lite4": 2_553,
}


# Millions of parameters and of multiply-adds. The parameters of MobileNetV3 are exact: those of keras.applications.
MNASNET = {  # tensorflow/tpu models/official/mnasnet/README.md, and torchvision's mnasnet
    "mnasnet-a1-0.35": (1.7, 63.2),
    "mnasnet-a1-0.5": (2.1, 105.2),
    "mnasnet-a1-0.75": (2.9, 226.7),
    "mnasnet-a1-1.4": (6.1, 591.5),
    "mnasnet-b1-0.5": (2.218512, 104),
    "mnasnet-b1-0.75": (3.170208, 215),
    "mnasnet-b1-1.3": (6.282256, 526),
}
MOBILENET_V3 = {  # the table of keras.applications.mobilenet_v3, for Small Howard et al. 2019, table 3
    "mobilenet-v3-large": (5.483032, 217),
    "mobilenet-v3-large-0.75": (3.993528, 155),
    "mobilenet-v3-small": (2.542856, 56),
    "mobilenet-v3-small-0.75": (2.041872, 44),
}
MOBILENET_V4 = {  # timm results/benchmark-infer-fp32-nchw-pt240-cpu-i7_12700h-dynamo.csv and its README
    "mobilenet-v4-conv-small": (3.77, {224: 190, 256: 250}),
    "mobilenet-v4-conv-medium": (9.72, {224: 840, 256: 1_100, 320: 1_710}),
    "mobilenet-v4-conv-large": (32.59, {}),
}
EFFICIENTNET_V2 = {  # billions of multiply-adds: google/automl efficientnetv2
    "efficientnet-v2-b0": 0.72,
    "efficientnet-v2-b1": 1.2,
    "efficientnet-v2-b2": 1.7,
    "efficientnet-v2-b3": 3.0,
}


def test_every_network_is_checked():
    newer = {*MNASNET, *MOBILENET_V3, *MOBILENET_V4}
    assert set(PARAMS) | set(MOBILENET_V2) | newer == set(ZOO) == set(IMAGENET_TOP1)
    assert set(PARAMS) == set(EXACT_MADDS) | set(ROUNDED_MADDS) | set(EFFICIENTNET_V2)


@pytest.mark.parametrize("name", MOBILENET_V2)
def test_mobilenet_v2_of_other_widths(name):
    madds, params = MOBILENET_V2[name]
    cost = complexity(zoo(name))
    assert round(cost.madds / 1e6) == madds
    assert cost.params / 1e6 == pytest.approx(params, rel=0.012)  # width 1 is printed as 3.47 and has 3,504,872


@pytest.mark.parametrize("name", MNASNET | MOBILENET_V3)
def test_mnasnet_of_other_widths_and_mobilenet_v3(name):
    params, madds = (MNASNET | MOBILENET_V3)[name]
    cost = complexity(zoo(name))
    exact = len(str(params)) > 4
    assert cost.params == round(params * 1e6) if exact else round(cost.params / 1e6, 1) == params
    assert cost.madds / 1e6 == pytest.approx(madds, rel=0.025)


@pytest.mark.parametrize("name", MOBILENET_V4)
def test_mobilenet_v4(name):
    params, madds = MOBILENET_V4[name]
    assert round(complexity(zoo(name)).params / 1e6, 2) == params
    for resolution, millions in madds.items():  # timm counts batch norms too
        assert complexity(replace(zoo(name), resolution=resolution)).madds / 1e6 == pytest.approx(millions, rel=0.035)


def test_accuracies_are_those_of_the_networks_own_resolutions():
    assert all(network.resolution in IMAGENET_TOP1[name] for name, network in ZOO.items())
    assert {name: published_year(name) for name in ("mnasnet-a1", "mobilenet-v4-conv-large")} == {
        "mnasnet-a1": 2019, "mobilenet-v4-conv-large": 2024,
    }  # fmt: skip
    assert {published_year(name) for name in ZOO} == {2018, 2019, 2020, 2021, 2024}


@pytest.mark.parametrize("name", PARAMS)
def test_parameters(name):
    assert complexity(zoo(name)).params == PARAMS[name]


@pytest.mark.parametrize("name", EXACT_MADDS)
def test_multiply_adds_to_the_last_digit(name):
    assert complexity(zoo(name)).madds == EXACT_MADDS[name]


@pytest.mark.parametrize("name", EFFICIENTNET_V2)
def test_multiply_adds_of_efficientnet_v2(name):
    printed = EFFICIENTNET_V2[name]
    assert round(complexity(zoo(name)).madds / 1e9, len(str(printed)) - 2) == printed


@pytest.mark.parametrize("name", ROUNDED_MADDS)
def test_multiply_adds_as_printed(name):
    # Half a unit of the last printed digit, and the biases' additions, which some of the printed figures leave out.
    step = 0.1 if ROUNDED_MADDS[name] < 1000 else 1.0
    assert complexity(zoo(name)).madds / 1e6 == pytest.approx(ROUNDED_MADDS[name], abs=step / 2 + 0.02, rel=5e-6)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="mnasnet-a1"):
        zoo("mnasnet-a2")


def test_the_last_block_of_a1_sees_7_by_7_by_160():
    placed = unroll(zoo("mnasnet-a1"))[-3]
    assert placed.key == "7x7x160 ir_k3_s1_e6_c320_noskip relu"


def test_rounding_as_published():
    assert [round_filters(f, 1.1) for f in (16, 24, 32, 40, 80, 112, 192, 320, 1280)] == [
        16, 24, 32, 48, 88, 120, 208, 352, 1408,
    ]  # fmt: skip
    assert round_filters(12, 1.0) == 12
    assert (round_filters(16, 1.2), round_filters(16, 1.2, nearest=True)) == (24, 16)
    assert [round_repeats(r, 1.1) for r in (1, 2, 3, 4)] == [2, 3, 4, 5]


def test_the_network_that_is_trained_as_a_teacher():
    published = zoo("efficientnet-lite0")
    assert network_for_images().resolution == published.resolution
    assert (network_for_images(128).resolution, network_for_images(128).stem_stride) == (128, 2)
    small = network_for_images(32)
    assert (small.resolution, small.stem_stride) == (32, 1)
    assert small.stages == published.stages
