"""What the code must never do, looked for in its syntax trees; and names from files that try to be more than names."""

import ast
import os
import shlex
import stat
from pathlib import Path

import numpy as np
import pytest

import mnas
from mnas.errors import MnasError
from mnas.study.study import Study
from mnas.study.summary import next_commands
from mnas.system.arrays import read_arrays
from mnas.system.files import write_atomically
from tests.spaces import small_space

RESTRICTED = ("train", "torch_file.py")  # reads PyTorch's old format with an unpickler that knows four names
FILES = sorted(Path(mnas.__file__).parent.rglob("*.py"))
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "yaml",
    "multiprocessing",
}
MODULES |= {"urllib", "requests", "http", "ftplib"}  # what is fetched, Keras and fsspec fetch, when they are asked to
CALLS = {"eval", "exec", "__import__", "popen", "mktemp", "getoutput"}


def _name(call):
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _keywords(call):
    return {keyword.arg: keyword.value for keyword in call.keywords}


def _is(value, wanted):
    return isinstance(value, ast.Constant) and value.value is wanted


def offences(tree):
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            name, keywords = _name(node), _keywords(node)
            owner = ast.unparse(node.func)
            if name in CALLS or owner == "os.system":
                found.append(owner)
            if "shell" in keywords and not _is(keywords["shell"], False):
                found.append(f"{owner}(shell=...)")
            if owner in ("np.load", "numpy.load", "np.savez") and not _is(keywords.get("allow_pickle"), False):
                found.append(f"{owner} without allow_pickle=False")
            if name == "load_model" and not _is(keywords.get("safe_mode"), True):
                found.append(f"{owner} without safe_mode=True")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FILES[0].parent)))
def test_nothing_in_the_code_runs_what_it_reads(path):
    allowed = ["pickle"] if path.parts[-2:] == RESTRICTED else []
    assert offences(ast.parse(path.read_text(encoding="utf-8"))) == allowed


def test_the_reader_of_published_weights_uses_pickle_only_to_restrict_it():
    tree = ast.parse(Path(mnas.__file__).parent.joinpath(*RESTRICTED).read_text(encoding="utf-8"))
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {name for name in used if name.startswith("pickle.")} <= {"pickle.Unpickler", "pickle.UnpicklingError"}
    (restricted,) = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.bases]
    assert [ast.unparse(base) for base in restricted.bases] == ["pickle.Unpickler"]
    assert "find_class" in {method.name for method in restricted.body if isinstance(method, ast.FunctionDef)}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from multiprocessing.connection import Connection",
        "from urllib.request import urlopen",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "tempfile.mktemp()",
    ],
)
def test_the_search_for_them_finds_them(code):
    assert offences(ast.parse(code)) != []


def test_a_file_is_private_until_it_is_whole(tmp_path, monkeypatch):
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda number: seen.append(stat.S_IMODE(os.fstat(number).st_mode)))
    monkeypatch.setattr(os, "replace", lambda *names: replace(*names))
    write_atomically(tmp_path / "table.json", "{}")
    assert seen == [0o600]


def test_a_folder_that_is_called_a_command_is_quoted(tmp_path):
    folder = tmp_path / "; rm -rf ~"
    arguments = {"table": ["$(touch outside).json"], "data": "`id`", "trials": 5}
    study = Study.create(folder, {"space": small_space().to_dict(), "strategy": {"name": "random"}}, arguments)
    for command in [*next_commands(study, None), *next_commands(study, {})]:
        words = shlex.split(command)
        assert words[0] == "mnas"
        assert str(folder) in words or words[1] in ("export", "bench")
    assert "$(touch outside).json" in shlex.split(next_commands(study, {})[0])


def test_a_stage_or_space_cannot_name_a_path(tmp_path):
    study = Study.create(tmp_path / "study", {"space": {"name": "../../outside"}, "strategy": {"name": "random"}})
    assert study.require("space", "name") == "../../outside"
    assert not (tmp_path.parent / "outside").exists()


class _Stranger:
    def __reduce__(self):
        return os.mkdir, (os.environ["MNAS_STRANGER"],)


def test_strange_weights_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_STRANGER", str(tmp_path / "ran"))
    np.savez(tmp_path / "weights.npz", weights=np.array([_Stranger()], object))
    with pytest.raises(MnasError, match="cannot read the weights in"):
        read_arrays(tmp_path / "weights.npz")
    assert not (tmp_path / "ran").exists()
    np.load(tmp_path / "weights.npz", allow_pickle=True)["weights"]
    assert (tmp_path / "ran").exists(), "it would have, had it been let"
