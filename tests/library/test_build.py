"""Building a block library: what is in it, and that it does not depend on how it was built."""

import logging
import os
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mnas.errors import InputError, MnasError
from mnas.library import build as module
from mnas.library.alternatives import alternative_path, read_alternative, write_alternative
from mnas.library.library import BlockLibrary, open_library, write_manifest
from mnas.system.arrays import read_arrays, write_arrays
from mnas.train.trained_network import WEIGHTS
from tests.libraries import OPTIONS, build, tiny_space

pytestmark = pytest.mark.tensorflow

LITTLE_MB = 0.65  # for one worker: the second block's activations are computed in two parts


def content(library: BlockLibrary):
    """What must be equal to the last bit: every alternative's file, and the losses."""
    files = {path.name: path.read_bytes() for path in (library.folder / "blocks").iterdir()}
    return files, [list(row) for row in library.losses]


def copied(library, tmp_path):
    shutil.copytree(library.folder, tmp_path / "library")
    return tmp_path / "library"


@pytest.fixture
def dataset(tiny_teacher):
    return tiny_teacher.load_data()


def test_the_teachers_own_blocks_lose_nothing_and_are_its_own(tiny_library):
    assert [row[0] for row in tiny_library.losses] == [0.0, 0.0, 0.0]
    own = [array for stage in range(3) for array in tiny_library.alternative(stage, 0).arrays]
    teacher = list(read_arrays(tiny_library.teacher.folder / WEIGHTS).values())
    start = next(i for i, array in enumerate(teacher) if array.shape == own[0].shape and np.array_equal(array, own[0]))
    assert all(np.array_equal(a, b) for a, b in zip(own, teacher[start:], strict=False))


def test_losses_are_shares_of_the_outputs_variance(tiny_library):
    losses = np.concatenate([row[1:] for row in tiny_library.losses])
    assert (losses > 0).all()
    assert (losses < 3).all()
    names = [decision.choices for decision in tiny_library.space.decisions]
    assert names[2][-1].startswith("id_")
    assert tiny_library.alternative(2, len(names[2]) - 1).arrays == []
    left_out = tiny_library.losses[2][-1]
    assert tiny_library.losses[2][names[2].index("ir_r1_k3_s1_e3_c12")] < left_out, "a smaller kernel is better"


def test_a_worker_that_dies_an_interruption_and_little_memory_change_nothing(
    tiny_teacher, tiny_library, tmp_path, monkeypatch, caplog
):
    children = []

    class Noted(module.Child):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            children.append(self.pid)

    monkeypatch.setattr(module, "Child", Noted)
    folder, seen = tmp_path / "library", []

    def trouble(share, what):
        seen.append(what)
        if len(seen) == 2:
            os.kill(children[-1], signal.SIGKILL)
        if len(seen) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tiny_teacher, folder, progress=trouble)
    assert "try 1 of 3: a worker was ended by signal 9" in caplog.text
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert sorted(path.name for path in folder.iterdir()) == ["blocks", "library.json", "space.toml", "teacher"]
    with pytest.raises(InputError, match=r"is not finished, \d+ alternatives are missing: run the same mnas library"):
        open_library(folder)
    done = len(list((folder / "blocks").iterdir()))
    shares = []
    resumed = build(
        tiny_teacher,
        folder,
        workers=2,
        max_memory_mb=2 * LITTLE_MB,
        progress=lambda share, what: shares.append(share),
    )
    assert len(shares) == 16 - done < 16
    assert shares[-1] == 1
    assert content(resumed) == content(tiny_library)
    assert resumed.fingerprint == tiny_library.fingerprint


def test_damaged_and_foreign_alternatives_are_trained_again(tiny_teacher, tiny_library, tmp_path, caplog):
    folder = copied(tiny_library, tmp_path)
    damaged, foreign = (alternative_path(folder, 2, choice) for choice in (1, 3))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    write_alternative(folder, tiny_library.alternative(2, 3), "another library's")
    opened = open_library(folder)
    with pytest.raises(MnasError, match=rf"cannot read the weights in .*{damaged.name}"):
        opened.alternative(2, 1)
    with pytest.raises(MnasError, match=rf"{foreign.name} belongs to another library: delete it and build"):
        opened.alternative(2, 3)
    assert content(build(tiny_teacher, folder)) == content(tiny_library)
    assert f"{damaged.name}: missing or damaged" in caplog.text
    assert "belongs to another library" in caplog.text
    assert caplog.text.count("it is trained again") == 2


def test_a_finished_library_is_not_built_again(tiny_teacher, tiny_library, monkeypatch):
    def never(*args):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(module, "Child", never)
    assert build(tiny_teacher, tiny_library.folder).fingerprint == tiny_library.fingerprint


def test_the_folder_of_another_library_is_refused(tiny_teacher, tiny_library, dataset, tmp_path):
    other = tmp_path / "teacher"
    shutil.copytree(tiny_teacher.folder, other)
    arrays = read_arrays(other / WEIGHTS)
    first = next(iter(arrays))
    write_arrays(other / WEIGHTS, {**arrays, first: arrays[first] + 1})
    changes = [
        ("teacher.weights_sha256", {"teacher": replace(tiny_teacher, folder=other)}),
        ("data.fingerprint", {"dataset": replace(dataset, train=dataset.train.take(slice(400)))}),
        ("options.steps was 20 and is 21", {"options": replace(OPTIONS, steps=21)}),
        ("space", {"space": tiny_space(resolutions=())}),
    ]
    for said, change in changes:
        given = {"teacher": tiny_teacher, **change}
        with pytest.raises(InputError, match=f"another teacher, other data or other options: {said}.*Name another"):
            build(given.pop("teacher"), tiny_library.folder, **given)


def test_a_copy_of_another_teacher_is_replaced(tiny_teacher, tiny_library, tmp_path):
    """As a build may leave it whose manifest was deleted."""
    folder = copied(tiny_library, tmp_path)
    arrays = read_arrays(folder / "teacher" / WEIGHTS)
    write_arrays(folder / "teacher" / WEIGHTS, {name: array + 1 for name, array in arrays.items()})
    (folder / "library.json").unlink()
    again = build(tiny_teacher, folder)
    assert (again.teacher.folder / WEIGHTS).read_bytes() == (tiny_teacher.folder / WEIGHTS).read_bytes()
    assert content(again) == content(tiny_library)


def test_data_of_other_classes_or_another_size_are_refused(tiny_teacher, dataset, tmp_path):
    names = tuple(f"class{number}" for number in range(12))
    with pytest.raises(
        InputError, match=r"not the same: class0, class1, class2 and 9 more of the data are not of the network"
    ):
        build(tiny_teacher, tmp_path / "a", dataset=replace(dataset, class_names=names))
    with pytest.raises(InputError, match="takes 8 px, and the images have 6 px"):
        build(tiny_teacher, tmp_path / "b", dataset=tiny_teacher.data.load(6))
    few = replace(dataset, train=dataset.train.take(slice(10)))
    with pytest.raises(InputError, match="digits has 10 training images: a library needs at least 16"):
        build(tiny_teacher, tmp_path / "c", dataset=few)
    with pytest.raises(InputError, match="--executor is 'cloud': expected"):
        build(tiny_teacher, tmp_path / "d", executor="cloud")


def test_too_little_memory_or_disk_says_how_much_there_should_be(tiny_teacher, tmp_path, monkeypatch):
    with pytest.raises(MnasError, match=r"activations of block 1 take at least [\d.]+ MB, and a worker has 0[.]"):
        build(tiny_teacher, tmp_path / "a", max_memory_mb=0.2)
    assert not (tmp_path / "a" / "images.npy").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="needs 0 MB for images, and 0 MB are free"):
        build(tiny_teacher, tmp_path / "b")


def test_missing_or_damaged_weights_of_the_teacher_are_one_message(tiny_teacher, tmp_path):
    folder = tmp_path / "teacher"
    shutil.copytree(tiny_teacher.folder, folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(MnasError, match=r"cannot read weights from .*; train again"):
        build(replace(tiny_teacher, folder=folder), tmp_path / "library")
    (folder / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(MnasError, match="missing or damaged"):
        build(replace(tiny_teacher, folder=folder), tmp_path / "library")
    assert not (tmp_path / "library").exists()


def test_what_is_no_finished_library_is_refused(tiny_library, tmp_path):
    with pytest.raises(InputError, match=r"is not a block library \(library.json is missing\): make one with mnas lib"):
        open_library(tmp_path)
    losses = [list(row) for row in tiny_library.losses]
    losses[1][3] = None
    write_manifest(tmp_path, tiny_library.made_from, losses, {})
    with pytest.raises(InputError, match="is not finished, 1 alternatives are missing"):
        open_library(tmp_path)
    write_manifest(tmp_path, tiny_library.made_from, losses[:1], {})
    with pytest.raises(InputError, match="its losses do not belong to its space"):
        open_library(tmp_path)
    (tmp_path / "library.json").write_text('{"format": "mnas.library", "version": 1, "losses": [[-1]]}')
    with pytest.raises(InputError, match=r"library.json is damaged: .*build the library again"):
        open_library(tmp_path)
    (tmp_path / "library.json").write_text('{"format": "mnas.library", "version": 99}')
    with pytest.raises(InputError, match="is not a block library of this version of mnas"):
        open_library(tmp_path)


@pytest.mark.parametrize(
    ("part", "changed", "said"),
    [
        ("teacher", {}, "weights_sha256"),
        ("data", {"name": 3}, "name"),
        ("space", {"x": 1}, "not a search space"),
        ("options", {"step": 3}, "step"),
    ],
)
def test_a_damaged_manifest_is_refused(tiny_library, tmp_path, part, changed, said):
    write_manifest(tmp_path, {**tiny_library.made_from, part: changed}, [list(row) for row in tiny_library.losses], {})
    with pytest.raises(
        InputError, match=rf"library.json is damaged: .*{said}.*; delete .* and build the library again"
    ):
        open_library(tmp_path)


def test_a_library_without_its_teacher_says_so(tiny_library, tmp_path):
    write_manifest(tmp_path, tiny_library.made_from, [list(row) for row in tiny_library.losses], {})
    with pytest.raises(InputError, match="holds no teacher: copy the whole library"):
        _ = open_library(tmp_path).teacher


def test_an_alternative_is_read_as_it_was_written(tiny_library, tmp_path):
    written = tiny_library.alternative(1, 2)
    write_alternative(tmp_path, written, "fingerprint")
    read = read_alternative(tmp_path, 1, 2, "fingerprint")
    assert read.loss == written.loss
    assert all(np.array_equal(a, b) for a, b in zip(read.arrays, written.arrays, strict=True))


@pytest.fixture(autouse=True)
def _warnings(caplog):
    caplog.set_level(logging.WARNING)
