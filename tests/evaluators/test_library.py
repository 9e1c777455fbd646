"""The evaluator on a block library: predicted, stitched and fine-tuned accuracies."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mnas.arch.zoo import zoo
from mnas.data.dataset import Dataset
from mnas.errors import InputError
from mnas.evaluators.library import LibraryData, open_evaluator
from mnas.library.library import open_library
from mnas.train.trained_network import open_trained

pytestmark = pytest.mark.tensorflow
NUM_NETWORKS = 12


def evaluator_of(library, **options):
    opened = open_evaluator(library, **options)
    opened._num_networks = NUM_NETWORKS
    return opened


@pytest.fixture(scope="module")
def evaluator(tiny_library):
    opened = evaluator_of(tiny_library.folder)
    opened.prepare()
    return opened


@pytest.fixture
def copied(tiny_library, evaluator, tmp_path):
    """A copy of the library with its stitched networks."""
    shutil.copytree(tiny_library.folder, tmp_path / "library")
    return tmp_path / "library"


@pytest.fixture
def no_scores(monkeypatch):
    def never(*args):
        raise AssertionError("a network was scored")

    monkeypatch.setattr("mnas.library.stitching.Stitcher.score", never)


def test_the_predicted_accuracy_is_a_sum_over_decisions(evaluator):
    space, values = evaluator.data.library.space, evaluator.additive_scores()
    rng = np.random.default_rng(0)
    for _ in range(5):
        network = space.sample(rng)
        total = sum(own[i] for own, i in zip(values, space.encode(network), strict=True))
        assert evaluator.accuracy(network) == pytest.approx(np.clip(total, 0, 1))
    assert evaluator.is_additive
    assert len(evaluator.predictor.intercepts) == 2
    with pytest.raises(InputError):
        evaluator.accuracy(zoo("mnasnet-a1"))


def test_stitched_networks_are_kept_in_the_library(evaluator, copied, no_scores):
    seen = []
    again = evaluator_of(copied)
    before = (copied / "predictor.json").read_bytes()
    again.prepare(lambda share, what: seen.append(share))
    assert again.predictor == evaluator.predictor
    assert again.estimate_preparation_seconds() == 0
    assert seen == []
    assert (copied / "predictor.json").read_bytes() == before


@pytest.mark.parametrize("damage", ["other", "not JSON", "version", "number"])
def test_damaged_or_other_stitched_networks_are_scored_again(evaluator, copied, caplog, damage):
    path = copied / "predictor.json"
    document = json.loads(path.read_text())
    if damage == "other":
        path.write_text(json.dumps({**document, "library": "another"}))
    elif damage == "not JSON":
        path.write_text("{")
    elif damage == "version":
        path.write_text(json.dumps({**document, "version": 99}))
    else:
        path.write_text(json.dumps({**document, "accuracies": [7.0] * len(document["accuracies"])}))
    shares = []
    again = evaluator_of(copied)
    again.prepare(lambda share, what: shares.append(share))
    assert again.predictor == evaluator.predictor
    assert len(shares) == NUM_NETWORKS
    assert shares[-1] == 1
    assert json.loads(path.read_text()) == document
    assert ("its networks are scored again" in caplog.text) is (damage != "other")


def test_confirmed_are_stitched_networks(evaluator):
    own = evaluator.data.library.space.decode([0, 0, 0, 0])
    stitched = evaluator.for_confirmation()
    assert stitched.accuracy(own) == evaluator.data.library.teacher.training["validation_accuracy"]
    assert stitched.describe() == {"kind": "stitched", "library": evaluator.data.library.fingerprint}


def test_finalists_are_fine_tuned_from_the_librarys_weights(tiny_library, tmp_path, evaluator):
    space = tiny_library.space
    network = space.decode([1, 5, 1, 1])
    tuning = evaluator_of(tiny_library.folder, epochs=1, finalists=tmp_path / "finalists").for_finalists(0)
    accuracy = tuning.accuracy(network)
    trained = open_trained(tuning.trained_folder(network))
    assert trained.architecture == network
    assert trained.training["validation_accuracy"] == accuracy
    assert len(trained.training["history"]) == 1
    written = (trained.folder / "training.json").read_bytes()
    assert tuning.accuracy(network) == accuracy
    assert (trained.folder / "training.json").read_bytes() == written, "a finished training is read"
    other = tuning.with_seed(5)
    assert other.trained_folder(network) != tuning.trained_folder(network)
    assert other.describe() == {**tuning.describe(), "seed": 5}
    assert evaluator.for_finalists(0).trained_folder(network) is None, "they are not kept"


def test_finalists_are_fine_tuned_with_class_weights_and_augmentation_as_asked(tiny_library, tmp_path, evaluator):
    options = {"epochs": 1, "class_weights": "balanced", "augment": "shift", "finalists": tmp_path / "finalists"}
    tuning = evaluator_of(tiny_library.folder, **options).for_finalists(0).with_seed(1)
    network = tiny_library.space.decode([1, 5, 1, 1])
    tuning.accuracy(network)
    configuration = open_trained(tuning.trained_folder(network)).training["configuration"]
    assert configuration["recipe"]["class_weights"] == "balanced"
    assert tuning.describe()["class_weights"] == "balanced"
    assert tuning.describe()["augment"] == "shift"
    assert configuration["recipe"]["flip"] is False
    assert not {"class_weights", "augment"} & set(evaluator.for_finalists(0).describe())


def test_other_data_than_the_librarys_are_refused(tiny_library, monkeypatch):
    data = LibraryData(open_library(tiny_library.folder), tiny_library.teacher.data)
    assert data.dataset(8) is data.dataset(8)
    other = LibraryData(data.library, replace(data.source, seed=3))
    with pytest.raises(
        InputError, match=r"digits is not the data that .* was made from .digits.: images or split differ"
    ):
        other.dataset(8)
    with pytest.raises(InputError, match="is not the data"):
        other.dataset(6)  # its pixels are not known, its labels are
    assert isinstance(data.dataset(6), Dataset)
    loaded = replace(data.dataset(8), class_names=("a", "b"))
    monkeypatch.setattr("mnas.data.dataset.DataSource.load", lambda self, resolution: loaded)
    with pytest.raises(InputError, match="a, b of the data are not of the network"):
        LibraryData(data.library, data.source).dataset(6)


def test_the_data_are_where_the_library_was_made_from_them(tiny_library, copied):
    """The teacher's may be elsewhere."""
    manifest = json.loads((copied / "library.json").read_text())
    manifest["made_from"]["data"]["name"] = "photos"
    (copied / "library.json").write_text(json.dumps(manifest))
    assert open_evaluator(copied).data.source == replace(tiny_library.teacher.data, name="photos")
    assert open_evaluator(copied, data="moved").data.source.name == "moved"


def test_a_description_names_the_library(evaluator):
    described = evaluator.describe()
    assert described["kind"] == "library"
    assert described["library"] == evaluator.data.library.fingerprint
    assert described["data"]["name"] == "digits"
