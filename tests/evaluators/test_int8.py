"""Candidates scored as the integer files that they would become."""

import pytest

from mnas.arch import Architecture, parse_stages
from mnas.data.dataset import Dataset
from mnas.evaluators.int8 import Int8Evaluator
from mnas.evaluators.proxy import ProxyEvaluator, ProxyRecipe
from tests.images import coloured

pytestmark = pytest.mark.tensorflow
TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c8"), stem_filters=8, head_filters=16, resolution=8, num_classes=3, stem_stride=1
)


def test_the_file_is_scored_and_the_study_is_told():
    dataset = Dataset("colours", ("r", "g", "b"), coloured(192, 8, 0), coloured(60, 8, 1), coloured(30, 8, 2))
    evaluator = Int8Evaluator(ProxyEvaluator(dataset, ProxyRecipe(steps=40, batch_size=32)), max_validation=45)
    accuracy = evaluator.accuracy(TINY)
    assert accuracy > 0.9
    assert accuracy == evaluator.accuracy(TINY)
    assert evaluator.describe()["score_dtype"] == "int8"
    assert evaluator.describe()["num_validation"] == 45
