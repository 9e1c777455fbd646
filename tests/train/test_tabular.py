import json

import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.train.tabular import TabularEvaluator, stages_text


def _write(path, accuracies, **more):
    path.write_text(json.dumps({"format": "mnas.accuracies", "version": 1, "accuracies": accuracies, **more}))
    return path


def test_it_looks_accuracies_up_by_stages(tmp_path):
    first, second = zoo("mnasnet-a1"), zoo("mnasnet-b1")
    path = _write(tmp_path / "a.json", {stages_text(first): 0.752, stages_text(second): 0.745})
    evaluator = TabularEvaluator(path)
    assert (evaluator.accuracy(first), evaluator.accuracy(second)) == (0.752, 0.745)
    assert evaluator.describe()["num_architectures"] == 2
    assert evaluator.estimate_seconds(first) >= 0


def test_a_missing_architecture_is_an_error_that_names_it(tmp_path):
    evaluator = TabularEvaluator(_write(tmp_path / "a.json", {"x": 0.5}))
    with pytest.raises(InputError, match="has no accuracy for ds_r1_k3_s1_c16_noskip"):
        evaluator.accuracy(zoo("mnasnet-a1"))


@pytest.mark.parametrize("accuracy", [75.2, -0.1, "0.5", None, True])
def test_an_accuracy_out_of_range_is_refused(tmp_path, accuracy):
    with pytest.raises(InputError, match="the accuracy of x"):
        TabularEvaluator(_write(tmp_path / "a.json", {"x": accuracy}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "mnas.accuracies", "version": 1}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError):
        TabularEvaluator(tmp_path / "a.json")


def test_the_description_follows_the_content_not_the_path(tmp_path):
    one, copy, other = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    for path, accuracy in ((one, 0.5), (copy, 0.5), (other, 0.6)):
        _write(path, {"x": accuracy})
    assert TabularEvaluator(one).describe() == TabularEvaluator(copy).describe() != TabularEvaluator(other).describe()
