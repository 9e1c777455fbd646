"""A scaled network keeps the weights of its base: as a trained folder that evaluates, exports and trains further."""

import json
from dataclasses import replace

import numpy as np
import pytest

import mnas
from mnas.arch.codec import architecture_from_dict
from mnas.errors import InputError
from mnas.system.arrays import read_arrays
from mnas.train.recipe import Recipe
from mnas.train.trained_network import open_trained
from tests.commands import run

pytestmark = pytest.mark.tensorflow
SAME_SIZE = {"phi": 1, "coefficients": "1.5,1.5,1"}


def logits(trained, images):
    from mnas.data.dataset import normalise

    return np.asarray(trained.build(probabilities=False)(normalise(images)))


def test_at_the_same_resolution_all_stays_and_it_is_written_once(tiny_teacher, tmp_path):
    out = tmp_path / "grown"
    found = mnas.scale(str(tiny_teacher.folder), **SAME_SIZE, out=out)
    grown = open_trained(out)
    assert grown.architecture == found.members[0].architecture
    assert sum(stage.repeats for stage in grown.architecture.stages) == 6
    images = tiny_teacher.load_data().test.images[:16]
    np.testing.assert_allclose(logits(grown, images), logits(tiny_teacher, images), atol=1e-4)
    for name in ("test_accuracy", "validation_accuracy", "class_names", "history"):
        assert grown.training[name] == tiny_teacher.training[name]
    assert (out / "test.json").read_bytes() == (tiny_teacher.folder / "test.json").read_bytes()
    assert grown.grown_from == str(tiny_teacher.folder)
    assert tiny_teacher.grown_from is None
    assert found.document["weights_from"] == str(tiny_teacher.folder)
    mnas.scale(str(tiny_teacher.folder), **SAME_SIZE, out=out, seed=1)
    assert open_trained(out).training["configuration"]["grown"]["seed"] == 1
    twice = mnas.scale(str(out), **SAME_SIZE, out=tmp_path / "twice")
    np.testing.assert_allclose(
        logits(open_trained(tmp_path / "twice"), images), logits(tiny_teacher, images), atol=1e-4
    )
    assert twice.document["weights_from"] == str(out)


def test_at_another_resolution_its_accuracy_is_measured_and_training_goes_on(tiny_teacher, tmp_path):
    from mnas.export.source import trained_job
    from mnas.nn.build import get_layer_weights
    from mnas.scaling.kept import KeptWeights
    from mnas.train.augment import training_epoch
    from mnas.train.evaluate import evaluate, plain_images, recalibrated

    run("scale", tiny_teacher.folder, "--phi", 1, "--coefficients", "1,1.2,1.2", "--out", tmp_path / "grown")
    grown = open_trained(tmp_path / "grown")
    assert grown.architecture.resolution == 10
    accuracy = evaluate(grown.build(), grown.load_data().test, 32)
    assert grown.training["test_accuracy"] == accuracy
    model, kept = grown.build(), KeptWeights(tiny_teacher).weights(grown.architecture).arrays
    own = get_layer_weights(model, grown.architecture)
    differing = [new.shape for old, new in zip(kept, own, strict=True) if not np.array_equal(old, new)]
    assert differing, "statistics are those of the new resolution"
    assert {len(shape) for shape in differing} == {1}
    assert len(differing) <= len(model.non_trainable_variables)
    data, recipe = grown.load_data(), Recipe.from_dict(grown.training["configuration"]["recipe"])
    batches = training_epoch(data.train, replace(recipe, batch_size=64, flip=False), seed=0, epoch=recipe.epochs)
    again = []
    for images in (plain_images(data.train, 64), (images.numpy() for images, _ in batches)):
        recalibrated(model, grown.architecture, images)
        again.append((evaluate(model, data.validation, 64), get_layer_weights(model, grown.architecture)))
    best, found = max(reversed(again), key=lambda each: each[0])  # augmented ones where both are equal
    assert grown.training["validation_accuracy"] == best, "statistics of whole or of augmented images"
    for one, other in zip(own, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    job = trained_job(grown)
    assert job.about["training"]["grown"]["test_accuracy"] == tiny_teacher.training["test_accuracy"]

    said = run("train", tmp_path / "grown", "--epochs", 1, "--learning-rate", 1e-6, "--out", tmp_path / "on", "--json")
    record = json.loads(said)
    assert record["configuration"]["recipe"]["epochs"] == 1
    assert record["configuration"]["data"] == grown.training["configuration"]["data"]
    assert record["test_accuracy"] > max(accuracy, 0.2) - 0.05, "random weights guess one digit in ten"
    assert open_trained(tmp_path / "on").grown_from is None
    with pytest.raises(InputError, match="--data is missing"):
        run("train", tmp_path / "grown", "--from-scratch", "--out", tmp_path / "new")
    with pytest.raises(InputError, match="belongs to another training"):
        run("train", tmp_path / "grown", "--epochs", 1, "--out", tmp_path / "grown")


def test_a_family_and_its_scores(tiny_teacher, tmp_path):
    scorer = mnas.make_scorer(data="digits", steps=1, batch=16, max_train_images=600)
    options = {"family": "0,1", "coefficients": "1.5,1.5,1", "scorer": scorer}
    kept = mnas.scale(str(tiny_teacher.folder), **options, out=tmp_path / "family")
    new = mnas.scale(str(tiny_teacher.folder), **options, out=tmp_path / "new", keep_weights=False)
    for name in ("phi0", "phi1"):
        trained = open_trained(tmp_path / "family" / name)
        listed = json.loads((tmp_path / "family" / f"{name}.json").read_text())
        assert architecture_from_dict(listed) == trained.architecture
        assert not (tmp_path / "new" / name).exists()
    phi0 = read_arrays(tmp_path / "family" / "phi0" / "weights.safetensors")
    own = read_arrays(tiny_teacher.folder / "weights.safetensors")
    assert all(np.array_equal(phi0[name], own[name]) for name in own)
    assert min(member.accuracy for member in kept.members) > max(member.accuracy for member in new.members) + 0.1


def test_a_grid_starts_from_the_weights(tiny_teacher, tmp_path):
    scorer = mnas.make_scorer(data="digits", steps=1, batch=16, max_train_images=600)
    options = {"grid": True, "grid_step": 0.4, "scorer": scorer}
    kept = mnas.scale(str(tiny_teacher.folder), **options, out=tmp_path / "kept.json")
    new = mnas.scale(str(tiny_teacher.folder), **options, out=tmp_path / "new.json", keep_weights=False)
    assert max(one.accuracy for one in kept.candidates) > max(one.accuracy for one in new.candidates) + 0.1
    assert len(kept.document["found"]["evaluator"]["weights"]) == 64
    assert "weights" not in new.document["found"]["evaluator"]


def test_weights_that_cannot_be_kept_are_not_where_nobody_asked_for_them(tiny_teacher, tmp_path):
    impossible = {"phi": 1, "coefficients": "1,2,1", "lite": True}
    found = mnas.scale(str(tiny_teacher.folder), **impossible, out=tmp_path / "new")
    (note,) = found.notes
    assert note.startswith(
        f"New weights, not those of {tiny_teacher.folder}: the weights cannot be kept: stage1_block1"
    )
    assert mnas.architecture_from_json((tmp_path / "new").read_text()) == found.members[0].architecture
    with pytest.raises(InputError, match="stage1_block1 would lose skip_add"):
        mnas.scale(str(tiny_teacher.folder), **impossible, out=tmp_path / "kept", keep_weights=True)
    assert not (tmp_path / "kept").exists()


def test_a_file_has_no_weights_and_data_that_are_gone_are_an_error(tiny_teacher, tmp_path):
    found = mnas.scale(str(tiny_teacher.folder), phi=1, out=tmp_path / "one.json")
    assert mnas.architecture_from_json((tmp_path / "one.json").read_text()) == found.members[0].architecture
    assert "weights_from" not in found.document
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tiny_teacher.folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    record = json.loads((moved / "training.json").read_text())
    record["configuration"]["data"]["fingerprint"] = "0" * 64
    (moved / "training.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="is not the data that"):
        mnas.scale(str(moved), phi=1, coefficients="1,1,1.2", out=tmp_path / "out", keep_weights=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "said"), [
    ({"base": "mnasnet-a1", "out": "grown"}, "--keep-weights needs weights, and mnasnet-a1 has none"),
    ({"out": "grown.json"}, "--out is .*grown.json: --keep-weights writes a folder, such as .*grown"),
    ({"out": "."}, "holds a training, which would be lost"),
])  # fmt: skip
def test_bad_input(options, said, tiny_teacher, tmp_path):
    base = options.get("base", str(tiny_teacher.folder))
    out = tiny_teacher.folder if options["out"] == "." else tmp_path / options["out"]
    with pytest.raises(InputError, match=said):
        mnas.scale(base, **SAME_SIZE, out=out, keep_weights=True)
    assert not list(tmp_path.iterdir())


def test_a_study_is_no_target(tiny_teacher, tmp_path):
    (tmp_path / "study.json").write_text("{}")
    for keep in (None, True):
        with pytest.raises(InputError, match=r"holds a study: use another --out, such as .*family"):
            mnas.scale(str(tiny_teacher.folder), **SAME_SIZE, out=tmp_path, keep_weights=keep)


def test_weights_are_for_trainings(tiny_teacher, tmp_path):
    class Own:
        def __call__(self, architecture):
            return 0.5

        def describe(self):
            return {"kind": "own"}

    with pytest.raises(InputError, match="your own evaluator gets no weights"):
        mnas.scale(str(tiny_teacher.folder), grid=True, scorer=Own(), out=tmp_path / "c.json", keep_weights=True)


def test_a_latency_is_met_by_networks_that_can_begin_with_the_weights(tiny_teacher, tmp_path):
    from mnas.space.around import space_around
    from tests.latency.tables import make_table

    shallow = replace(tiny_teacher.architecture, dropout=0)
    make_table(space_around(shallow, kernel_sizes=(3, 5), resolutions=(8, 6))).save(tmp_path / "table.json")
    here = mnas.scale(str(tiny_teacher.folder), phi=0, tables=[tmp_path / "table.json"])
    wanted = here.members[0].latencies_ms["table"] * 2
    found = mnas.scale(
        str(tiny_teacher.folder), to_ms=[wanted], tables=[tmp_path / "table.json"], out=tmp_path / "twice"
    )
    assert found.members[0].latencies_ms["table"] == pytest.approx(wanted, rel=0.03)
    assert not found.notes
    assert open_trained(tmp_path / "twice").architecture == found.members[0].architecture
