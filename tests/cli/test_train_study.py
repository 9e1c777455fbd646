"""`mnas train STUDY`: the winner of a search on a block library starts from its weights."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mnas.arch.zoo import zoo
from mnas.cli import train as command
from mnas.data.dataset import DataSource
from mnas.errors import InputError
from mnas.search.teacher import WinnerStart

SOURCE = DataSource("digits", seed=7)
OWN, OTHER = Path("library/teacher"), Path("other")
CASES = {
    "own teacher": ({}, "stitched", OWN, None),
    "another teacher": ({"teacher": OTHER}, "stitched", OTHER, None),
    "its weight": ({"distill": 0.7}, "stitched", OWN, 0.7),
    "frozen": ({"freeze": True}, "stitched", None, None),
    "other weights": ({"weights": "imagenet"}, "imagenet", None, None),
    "from scratch": ({"from_scratch": True}, None, None, None),
}


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Calls the command on a study; gives the arguments of the training."""
    given = {}

    class DoneError(Exception):
        pass

    def train_with_display(architecture, source, out, **options):
        given.update(options, source=source)
        raise DoneError

    monkeypatch.setattr(command, "train_with_display", train_with_display)
    monkeypatch.setattr("mnas.system.native_output.load_tensorflow", lambda: None)
    monkeypatch.setattr("mnas.study.references.resolve_architecture", lambda text: zoo("mnasnet-a1"))
    monkeypatch.setattr("mnas.study.study.Study.open", lambda folder: SimpleNamespace(arguments={"augment": "shift"}))
    monkeypatch.setattr(
        "mnas.search.teacher.winner_start", lambda study, architecture, data: WinnerStart("stitched", OWN, SOURCE)
    )
    (tmp_path / "study.json").write_text("{}")
    unset = dict.fromkeys(
        ("epochs", "batch_size", "learning_rate", "optimizer", "recipe", "weights", "teacher", "distill", "resolution")
    )
    rest = {"seed": 0, "from_scratch": False, "freeze": False, "mixed_precision": False, "resume": False}

    def run(**options):
        with pytest.raises(DoneError):
            command.train(**{
                **unset, **rest, "mirror": None, "json": False,
                "arch": str(tmp_path), "data": "digits", "out": tmp_path / "out", **options,
            })  # fmt: skip
        return given

    return run


@pytest.mark.parametrize(("options", "weights", "teacher", "distill"), CASES.values(), ids=CASES)
def test_weights_and_teacher_are_the_librarys_unless_others_are_given(trained, options, weights, teacher, distill):
    given = trained(**options)
    assert (given["weights"], given.get("teacher"), given.get("distill")) == (weights, teacher, distill)
    assert given.get("freeze", False) == options.get("freeze", False)


def test_a_weight_of_soft_targets_needs_a_teacher(trained):
    with pytest.raises(InputError, match="pass its folder with --teacher"):
        trained(from_scratch=True, distill=0.5)


def test_validation_images_are_those_of_the_library_whatever_the_seed(trained):
    assert trained(seed=3, data=None)["source"] == SOURCE
    assert trained(seed=3, from_scratch=True)["source"] == DataSource("digits", seed=3)


def test_the_augmentation_is_that_of_the_search_unless_given(trained):
    assert trained()["augment"] == "shift"
    assert trained(augment="none")["augment"] == "none"
