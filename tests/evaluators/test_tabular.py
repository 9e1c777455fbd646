import json
import re

import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.evaluators.tabular import TabularEvaluator, stages_text
from mnas.space.files import load_space


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


def test_the_example_of_the_docstring_is_one_that_is_taken(tmp_path):
    example = re.search(r"`((?:[a-z]+_r\d\w+\|?)+)`", TabularEvaluator.__doc__)[1]
    TabularEvaluator(_write(tmp_path / "a.json", {example: 0.5}))


def test_a_missing_architecture_is_an_error_that_names_it(tmp_path):
    evaluator = TabularEvaluator(_write(tmp_path / "a.json", {"ds_r1_k3_s1_c16": 0.5}))
    with pytest.raises(InputError, match="has no accuracy for ds_r1_k3_s1_c16_noskip"):
        evaluator.accuracy(zoo("mnasnet-a1"))


@pytest.mark.parametrize("accuracy", [75.2, -0.1, "0.5", None, True])
def test_an_accuracy_out_of_range_is_refused(tmp_path, accuracy):
    with pytest.raises(InputError, match=r"accuracies\['x'\] is .*: expected a number from 0 to 1"):
        TabularEvaluator(_write(tmp_path / "a.json", {"x": accuracy}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "mnas.accuracies", "version": 1}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError):
        TabularEvaluator(tmp_path / "a.json")


def test_the_description_follows_the_content_not_the_path(tmp_path):
    one, copy, other = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    for path, accuracy in ((one, 0.5), (copy, 0.5), (other, 0.6)):
        _write(path, {"ds_r1_k3_s1_c16": accuracy})
    assert TabularEvaluator(one).describe() == TabularEvaluator(copy).describe() != TabularEvaluator(other).describe()


MACRO = {"00000000": {"mean_acc": 50.5, "params": 1}, "00000012": {"mean_acc": 92.25}}


def test_nas_bench_macros_own_file_is_read_as_it_is(tmp_path):
    (tmp_path / "macro.json").write_text(json.dumps(MACRO))
    evaluator, space = TabularEvaluator(tmp_path / "macro.json"), load_space("nas-bench-macro")
    assert evaluator.accuracy(space.decode((0,) * 8)) == 0.505
    assert evaluator.accuracy(space.decode((0, 0, 0, 0, 0, 0, 1, 2))) == 0.9225
    with pytest.raises(InputError, match="has no accuracy for id_r1_k1_s2_c64"):
        evaluator.accuracy(space.decode((0,) * 7 + (1,)))


@pytest.mark.parametrize("name", ["0000000", "0000000x", "00000003"])
def test_a_wrong_name_in_it_is_refused(tmp_path, name):
    (tmp_path / "macro.json").write_text(json.dumps({**MACRO, name: {"mean_acc": 90.0}}))
    with pytest.raises(InputError, match=f"{name}. is not an entry"):
        TabularEvaluator(tmp_path / "macro.json")


@pytest.mark.parametrize("entry", [{}, [], {"mean_acc": "x"}, {"mean_acc": 101}])
def test_a_wrong_entry_in_it_is_refused(tmp_path, entry):
    (tmp_path / "macro.json").write_text(json.dumps({**MACRO, "11111111": entry}))
    with pytest.raises(InputError, match="11111111"):
        TabularEvaluator(tmp_path / "macro.json")
