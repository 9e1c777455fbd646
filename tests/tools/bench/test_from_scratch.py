"""Networks from scratch, as `tools.bench.from_scratch` compares them, and its picture."""

from mnas.arch.zoo import network_for_images, zoo
from tools.bench.family_comparison import Network
from tools.bench.from_scratch import describe, narrowed, picture

FAMILY = [Network("mobilenet-v2-0.5", 0.2, [0.70]), Network("mobilenet-v2-1", 0.8, [0.80])]


def test_a_published_network_is_narrowed_and_keeps_small_images_in_its_stem_as_the_teacher_does():
    network = narrowed("mobilenet-v2", 0.5, 32)
    assert (network.resolution, network.stem_stride) == (32, network_for_images(32).stem_stride)
    assert network.stem_filters < zoo("mobilenet-v2").stem_filters
    strides = [[stage.block.stride for stage in each.stages] for each in (network, zoo("mobilenet-v2"))]
    assert strides[0] == strides[1]


def test_a_comparison_says_when_no_member_is_as_accurate():
    within = describe(Network("designed 0.4", 0.4, [0.775]), "mobilenet-v2", FAMILY)
    assert within.startswith("designed 0.4 against mobilenet-v2: 1.41 times as fast")
    assert "+2.5 points" in within
    assert "at least 2.00 times" in describe(Network("designed 0.4", 0.4, [0.9]), "mobilenet-v2", FAMILY)
    assert "at most 0.50 times" in describe(Network("designed 0.4", 0.4, [0.6]), "mobilenet-v2", FAMILY)


def test_the_picture_has_families_as_lines_with_ranges_over_seeds():
    known = {one.name: one for one in (*FAMILY[::-1], Network("designed 0.4", 0.4, [0.77, 0.79]))}
    known["longer-mobilenet-v2-0.5"] = Network("longer-mobilenet-v2-0.5", 0.2, [0.71])
    designed, family = picture(known).series
    assert (designed.y, designed.interval) == ((0.78,), ((0.77, 0.79),))
    assert (family.name, family.x, family.y) == ("mobilenet-v2", (0.2, 0.8), (0.70, 0.80))
