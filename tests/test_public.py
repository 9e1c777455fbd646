"""The library: few names, lazily loaded, typed."""

import ast
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import mnas


def test_import_loads_nothing_but_itself():
    heavy = "('mnas.', 'numpy', 'keras')"
    code = f"import sys, mnas; sys.exit(', '.join(m for m in sys.modules if m.startswith({heavy})) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_name_loads_tensorflow_before_it_is_called():
    code = (
        "import sys, mnas\n"
        "for name in mnas.__all__: getattr(mnas, name)\n"
        "sys.exit(', '.join({'tensorflow', 'keras'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", mnas.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(mnas, name)
    assert value is getattr(mnas, name)
    assert name in dir(mnas)
    if name != "__version__":
        assert value.__doc__
        assert value.__module__.startswith("mnas.")


def test_the_stub_types_the_same_names_from_the_same_places():
    stub = ast.parse(Path(mnas.__file__).with_suffix(".pyi").read_text())
    typed = {alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert ["__version__", *sorted(typed)] == mnas.__all__
    for name, module in typed.items():
        assert getattr(mnas, name) is getattr(import_module(f"mnas.{module}"), name)


def test_a_name_that_is_not_there_is_said_not_to_be():
    with pytest.raises(AttributeError, match="no attribute 'nas'"):
        _ = mnas.nas


@pytest.mark.parametrize("name", ["evolution", pytest.param("reinforce", marks=pytest.mark.tensorflow)])
def test_a_user_s_own_loop_needs_ask_and_tell_and_nothing_else(name):
    space = mnas.load_space("nas-bench-macro")
    strategy = mnas.make_strategy(name, space, seed=1)
    means, number = [], 0
    for _ in range(30):
        trials = []
        for architecture in strategy.ask(10):
            reward = -abs(mnas.complexity(architecture).madds - 60e6) / 60e6
            trials.append(mnas.Trial(number, architecture, reward=reward))
            number += 1
        strategy.tell(trials)
        means.append(np.mean([trial.reward for trial in trials]))
    assert np.mean(means[-5:]) > np.mean(means[:5])


class _Text(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def test_an_architecture_shows_itself_in_a_notebook():
    shown = _Text(mnas.zoo("mnasnet-a1")._repr_html_())
    assert shown.open == []
    assert "3,887,038 parameters" in shown.text
    assert "ir_k5_s2_e3_c40_se0.25" in shown.text
