"""A user's own strategy and evaluator, by module and by entry point."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from mnas.errors import InputError
from mnas.strategies.registry import check_strategy, make_strategy
from mnas.system import plugins
from mnas.system.plugins import load_named
from tests.spaces import small_space

OWN = """
from mnas.strategies.random import RandomSearch

class Mine(RandomSearch):
    pass

def wrong(space, seed, accept):
    return "no strategy"
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_strategy.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/somewhere"])
    yield
    plugins.sys.modules.pop("own_strategy", None)


def test_a_strategy_of_the_current_folder(own):
    strategy = make_strategy("python:own_strategy:Mine", small_space(), seed=3)
    assert type(strategy).__name__ == "Mine"
    assert strategy.ask(2) == make_strategy("random", small_space(), seed=3).ask(2)


def test_a_strategy_by_entry_point(own, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [str(tmp_path), "/somewhere"])
    entries = EntryPoints([EntryPoint("mine", "own_strategy:Mine", "mnas.strategies")])
    monkeypatch.setattr(plugins, "entry_points", lambda **params: entries.select(**params))
    check_strategy("mine")
    assert type(make_strategy("mine", small_space())).__name__ == "Mine"
    assert "" not in plugins.sys.path, "an installed package needs nothing of the current folder"


def test_a_file_may_have_a_name_that_is_no_identifier(own, tmp_path):
    (tmp_path / "my-strategy.py").write_text(OWN)
    assert load_named("python:my-strategy:Mine", "mnas.strategies").__name__ == "Mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python:own_strategy", "expected python:MODULE:ATTRIBUTE"),
        ("python:not_there:Mine", "cannot import not_there"),
        ("python:own_strategy:Yours", "has no 'Yours'"),
        ("python:own_strategy:wrong", "expected a subclass"),
    ],
)
def test_what_is_wrong_is_said(own, name, said):
    with pytest.raises(InputError, match=said):
        make_strategy(name, small_space())


def test_an_entry_point_that_nobody_has():
    with pytest.raises(InputError, match="no installed package has the entry point 'nobody'"):
        load_named("nobody", "mnas.strategies")
