"""A user's own evaluator: a function, a class, an entry point."""

import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.evaluators.user_defined import user_defined_evaluator
from mnas.system import plugins

OWN = """
from mnas.arch.complexity import complexity
from mnas.evaluators.base import Evaluator

def accuracy(architecture):
    return 1 / (1 + complexity(architecture).params)

class Mine(Evaluator):
    def accuracy(self, architecture):
        return 0.25
    def describe(self):
        return {"name": "mine", "version": 3}

class Broken(Mine):
    def __init__(self):
        raise OSError("no such disk")

class Other:
    pass

made = Mine()
number = 3
def two(a, b):
    return 0
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "own_judge.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield
    plugins.sys.modules.pop("own_judge", None)


def test_a_function():
    evaluator = user_defined_evaluator("python:own_judge:accuracy")
    assert evaluator.accuracy(zoo("mnasnet-a1")) == 1 / 3887039
    assert evaluator.describe() == {"name": "python:own_judge:accuracy"}


@pytest.mark.parametrize("name", ["Mine", "made"])
def test_a_class_or_an_instance(name):
    evaluator = user_defined_evaluator(f"python:own_judge:{name}")
    assert list(evaluator.rungs(zoo("mnasnet-a1"))) == [0.25]
    assert evaluator.describe()["version"] == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Broken", "cannot be made without arguments: OSError: no such disk"),
        ("Other", "not a subclass"),
        ("number", "expected a function"),
        ("two", "expected a function"),
    ],
)
def test_anything_else_is_refused(name, said):
    with pytest.raises(InputError, match=said):
        user_defined_evaluator(f"python:own_judge:{name}")
