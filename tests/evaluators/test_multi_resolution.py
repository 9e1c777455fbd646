"""The proxy at every network's own resolution."""

from dataclasses import replace

import pytest

from mnas.arch import Architecture, parse_stages
from mnas.evaluators.multi_resolution import ScaledProxy
from mnas.evaluators.proxy import ProxyRecipe

pytestmark = pytest.mark.tensorflow
TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c8"), stem_filters=8, head_filters=16, resolution=8, num_classes=1000, stem_stride=1
)


def test_each_network_is_scored_at_its_own_resolution():
    proxy = ScaledProxy("digits", ProxyRecipe(steps=3, batch_size=16), limit=200)
    accuracies = [proxy(replace(TINY, resolution=size)) for size in (8, 12, 8)]
    assert accuracies[0] == accuracies[2]
    assert all(0 <= accuracy <= 1 for accuracy in accuracies)
    assert proxy.describe()["steps"] == 3
    assert proxy.dataset(8).train.images.shape[1:] == (8, 8, 3)
