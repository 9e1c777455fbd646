"""Fine-tuning from weights, frozen training, and a teacher's soft targets."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mnas.arch import Architecture, parse_stages
from mnas.data.classes import with_classes
from mnas.data.dataset import Dataset, DataSource
from mnas.errors import InputError, MnasError
from mnas.nn.build import get_layer_weights
from mnas.train.history import best_epoch
from mnas.train.pretrained import Pretrained, open_pretrained
from mnas.train.recipe import Recipe, recipe_for
from mnas.train.trainer import train_network
from tests.images import coloured

pytestmark = pytest.mark.tensorflow
TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c4|ir_r1_k3_s2_e2_c8"),
    stem_filters=4,
    head_filters=16,
    resolution=8,
    num_classes=3,
    stem_stride=1,
)
SOURCE = DataSource("colours")
FEW = {"epochs": 2, "batch_size": 16}


def colours(size=8, names=("red", "green", "blue")):
    return Dataset("colours", names, coloured(96, size), coloured(30, size, 1), coloured(30, size, 2))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    return train_network(TINY, SOURCE, out, recipe="short", epochs=15, batch_size=16, dataset=colours())


def test_a_trained_folder_gives_its_weights_to_the_same_layers(trained):
    other = replace(TINY, resolution=16, num_classes=5, dropout=0)
    arrays = open_pretrained(str(trained.folder), other).arrays
    for one, expected in zip(arrays, get_layer_weights(trained.build(), trained.architecture), strict=True):
        np.testing.assert_array_equal(one, expected)
    with pytest.raises(InputError, match="holds another network"):
        open_pretrained(str(trained.folder), replace(TINY, stem_filters=8))
    with pytest.raises(InputError, match="holds no finished training"):
        open_pretrained(str(trained.folder.parent), TINY)


def test_a_classifier_for_other_classes_begins_with_zeros():
    start = Pretrained.of([np.ones((2, 2), np.float32), np.ones((4, 3), np.float32), np.ones(3, np.float32)])
    same = start([np.zeros((2, 2)), np.zeros((4, 3)), np.zeros(3)])
    assert all(array.all() for array in same)
    other = start([np.zeros((2, 2)), np.full((4, 5), 9.0), np.full(5, 9.0)])
    assert other[0].all()
    assert other[1].shape == (4, 5)
    assert not other[1].any()
    assert not other[2].any()


def test_weights_mean_the_finetune_recipe_at_any_resolution(trained, tmp_path):
    tuned = train_network(
        replace(TINY, resolution=12), SOURCE, tmp_path, weights=str(trained.folder), dataset=colours(12), **FEW
    )
    recipe = tuned.training["configuration"]["recipe"]
    assert recipe["keep_best"]
    assert recipe["crop"] < 1
    assert tuned.training["history"][0]["validation_accuracy"] > 0.5
    again = train_network(
        replace(TINY, resolution=12), SOURCE, tmp_path, weights=str(trained.folder), dataset=colours(12), **FEW
    )
    assert again.training == tuned.training


def test_the_recipe_fits_the_number_of_images():
    flowers, few, many = (recipe_for("photos", name="finetune", images=count) for count in (2184, 100, 50_000))
    assert (flowers.epochs, flowers.batch_size) == (4, 32)
    assert (few.epochs, few.batch_size) == (40, 16)
    assert (many.epochs, many.batch_size) == (4, 64)
    assert few.learning_rate < flowers.learning_rate < many.learning_rate
    frozen = recipe_for("photos", name="finetune", images=2184, freeze=True)
    assert frozen.epochs > flowers.epochs
    assert recipe_for("photos", name="finetune", freeze=True, epochs=3).epochs == 3


def test_fields_of_later_versions_are_not_in_the_files_of_recipes_without_them():
    assert not {"crop", "keep_best", "freeze"} & set(Recipe().to_dict())
    assert Recipe(crop=0.5).to_dict()["crop"] == 0.5


def test_the_best_epoch_is_kept_also_after_an_interruption(tmp_path, trained):
    assert best_epoch([{"validation_accuracy": share} for share in (0.5, 0.8, 0.8, 0.7)]) == 3
    # Labels that are all wrong: the longer the training, the fewer validation images are right.
    data = colours()
    data = replace(data, train=replace(data.train, labels=(data.train.labels + 1) % 3))
    recipe = Recipe(epochs=5, batch_size=16, learning_rate=0.03, warmup_share=0.9, shift=0.0, keep_best=True)
    options = {"recipe": recipe, "weights": str(trained.folder), "dataset": data}

    def interrupt(state):
        if state.epoch == 4:
            raise KeyboardInterrupt

    whole = train_network(TINY, SOURCE, tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        train_network(TINY, SOURCE, tmp_path / "part", progress=interrupt, **options)
    history = json.loads((tmp_path / "part" / "progress.json").read_text())["history"]
    kept = {f"checkpoint-{number}.safetensors" for number in (best_epoch(history), 3)}
    assert {path.name for path in (tmp_path / "part").glob("checkpoint-*")} == kept
    part = train_network(TINY, SOURCE, tmp_path / "part", resume=True, **options)
    assert best_epoch(whole.training["history"]) < 5
    weights = [(run.folder / "weights.safetensors").read_bytes() for run in (whole, part)]
    assert weights[0] == weights[1]
    assert sorted(path.name for path in part.folder.iterdir()) == sorted(p.name for p in whole.folder.iterdir())


def test_a_frozen_training_changes_the_classifier_only(trained, tmp_path):
    names = ("one", "two", "three")
    options = {"weights": str(trained.folder), "dataset": colours(names=names), "freeze": True}
    frozen = train_network(TINY, SOURCE, tmp_path, **options)
    before, after = (get_layer_weights(run.build(), run.architecture) for run in (trained, frozen))
    for one, other in zip(before[:-2], after[:-2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(before[-2], after[-2])
    assert frozen.training["test_accuracy"] > 0.8
    assert frozen.training["validation_accuracy"] == max(
        epoch["validation_accuracy"] for epoch in frozen.training["history"]
    )


def test_a_frozen_training_needs_weights_and_no_teacher(trained, tmp_path):
    with pytest.raises(InputError, match="pass the other weights with --weights"):
        train_network(TINY, SOURCE, tmp_path, freeze=True, dataset=colours())
    options = {"weights": str(trained.folder), "teacher": trained.folder}
    with pytest.raises(InputError, match="use one of them"):
        train_network(TINY, SOURCE, tmp_path, freeze=True, dataset=colours(), **options)
    assert not list(tmp_path.iterdir())


def test_a_teacher_alone_can_teach_what_the_labels_get_wrong(trained, tmp_path):
    """With the teacher's answers only, labels that are all wrong do no harm; at another resolution too."""
    data = colours(16)
    wrong = replace(data.train, labels=(data.train.labels + 1) % 3)
    small = replace(TINY, resolution=16, head_filters=8)
    options = {"dataset": replace(data, train=wrong), "teacher": trained.folder, "epochs": 20, "batch_size": 8}
    student = train_network(small, SOURCE, tmp_path / "student", distill=1.0, **options)
    assert student.training["test_accuracy"] > 0.6
    assert student.training["configuration"]["teacher"]["share"] == 1.0
    with pytest.raises(InputError, match="its teacher differ"):
        train_network(small, SOURCE, tmp_path / "student", distill=0.9, **options)


def test_a_teacher_for_other_classes_is_refused(trained, tmp_path):
    with pytest.raises(
        InputError, match="the same: cat, dog, eel of the data are not of the network; red, green, blue of the"
    ):
        train_network(
            TINY, SOURCE, tmp_path, teacher=trained.folder, dataset=colours(names=("cat", "dog", "eel")), **FEW
        )
    with pytest.raises(InputError, match=r"--distill is 1\.5"):
        train_network(TINY, SOURCE, tmp_path, teacher=trained.folder, distill=1.5, dataset=colours(), **FEW)
    assert not list(tmp_path.iterdir())


def reordered(size=8):
    """The same images and classes as `colours`, in another order."""
    return with_classes(colours(size), ("blue", "red", "green"), network="another network")


def test_classes_in_another_order_are_matched_by_name(trained, tmp_path):
    data = reordered()
    start = open_pretrained(str(trained.folder), TINY).for_classes(data.class_names)
    frozen = {"freeze": True, "learning_rate": 1e-9, "epochs": 1, "dataset": data}
    same = train_network(TINY, SOURCE, tmp_path / "same", weights=str(trained.folder), **frozen)
    assert same.training["test_accuracy"] == pytest.approx(trained.training["test_accuracy"], abs=0.05)
    other = open_pretrained(str(trained.folder), TINY).for_classes(("cat", "dog", "eel"))
    assert start.arrays[-2].any()
    assert not other.arrays[-2].any()
    wrong = replace(data, train=replace(data.train, labels=(data.train.labels + 1) % 3))
    options = {"teacher": trained.folder, "distill": 1.0, "epochs": 20, "batch_size": 8}
    student = train_network(TINY, SOURCE, tmp_path / "student", dataset=wrong, **options)
    assert student.training["test_accuracy"] > 0.6


def test_a_damaged_teacher_has_a_name(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "teacher")
    (tmp_path / "teacher" / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(MnasError, match=r"teacher/weights\.safetensors"):
        train_network(TINY, SOURCE, tmp_path / "out", teacher=tmp_path / "teacher", dataset=colours(), **FEW)
