"""What networks take up, and which cannot be."""

from dataclasses import replace

import pytest

from mnas.arch import Architecture, complexity, parse_stages, zoo
from mnas.arch.limits import check_fits, check_strides, memory
from mnas.errors import InputError


def test_memory_by_hand():
    tiny = Architecture(parse_stages("ds_r1_k3_s1_c8"), stem_filters=8, head_filters=0, resolution=16, num_classes=4)
    found = memory(tiny)
    weights = 4 * complexity(tiny).params
    assert found.weights == weights
    # The stem leaves 8x8x8; the skip's addition holds two of those and makes a third.
    assert found.inference == weights + 4 * 3 * 8 * 8 * 8
    assert memory(tiny, batch_size=64).training > memory(tiny).training > 4 * weights


def test_published_networks_fit():
    check_fits(zoo("efficientnet-b7"), available=2**33)


def test_a_network_beyond_memory_says_how_much_it_would_take():
    with pytest.raises(InputError, match=r"would take [\d.]+ MiB of memory .* this machine has 10.0 MiB"):
        check_fits(zoo("mnasnet-a1"), available=10 * 2**20)


def test_a_network_beyond_any_file_says_so():
    wide = replace(zoo("mnasnet-a1"), head_filters=65536, num_classes=50_000)
    with pytest.raises(InputError, match=r"a file of 12.\d GiB .* at most 2.0 GiB"):
        check_fits(wide)


@pytest.mark.parametrize(("size", "fits"), [(17, True), (16, False), (4, False)])
def test_strides_that_leave_nothing(size, fits):
    network = replace(zoo("mnasnet-a1"), resolution=size)
    if fits:
        check_strides(network)
    else:
        with pytest.raises(InputError, match=rf"{size} px.*divides its image by 32, so it needs at least 17 px"):
            check_strides(network)
