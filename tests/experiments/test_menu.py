"""Published networks within a budget: listed by a table, fine-tuned, kept, compared with a winner."""

from dataclasses import replace

import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.experiments import menu as module
from mnas.experiments.menu import list_menu, promising, try_menu
from mnas.latency.table import LatencyTable
from mnas.space.around import space_around
from mnas.study.menu import read_menu
from mnas.train.keras_weights import DownloadError
from mnas.train.pretrained import Pretrained, open_pretrained
from tests.latency.tables import make_table
from tests.libraries import SOURCE

LITE = "efficientnet-lite0"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of the space around EfficientNet-Lite0: other networks with ReLU6 are on its lines."""
    path = tmp_path_factory.mktemp("table") / "table.json"
    make_table(space_around(zoo(LITE), resolutions=(96, 64), kernel_sizes=(3, 5))).save(path)
    return path


def test_every_size_within_the_budget_is_listed_slowest_first(table):
    listed = list_menu(LatencyTable.load(table), 8.0)
    latencies = [item.predicted.latency_ms for item in listed.items]
    assert latencies == sorted(latencies, reverse=True)
    assert 0 < max(latencies) <= 8.0
    found = {(item.name, item.resolution): item for item in listed.items}
    assert found["mobilenet-v2-0.35", 96].imagenet_top1 == 45.5
    assert found["mobilenet-v2-0.35", 64].imagenet_top1 is None, "never published"
    assert {item.resolution for item in listed.items if item.name == LITE} == {48, 64, 80, 96}
    assert "efficientnet-b0" in listed.unpriced, "swish is not in the table"
    assert "efficientnet-lite4" in listed.lacking or "efficientnet-lite4" in {item.name for item in listed.items}


def test_networks_that_may_be_within_the_budget_are_tried_where_latency_is_measured(table):
    opened = LatencyTable.load(table)
    item = list_menu(opened, 100.0, names=[LITE], resolutions=[64]).items[0]
    budget_ms = (item.predicted.low_ms + item.predicted.latency_ms) / 2
    assert list_menu(opened, budget_ms, names=[LITE], resolutions=[64]).items == ()
    assert len(list_menu(opened, budget_ms, names=[LITE], resolutions=[64], perhaps=True).items) == 1


def test_networks_are_priced_and_measured_with_the_classes_of_the_images(table, kitchen, tmp_path, monkeypatch):
    """A classifier of 1,000 classes would make them look slow."""
    opened, given = LatencyTable.load(table), {"names": [LITE], "resolutions": [64]}
    large, small = (list_menu(opened, 50.0, num_classes=n, **given).items[0].predicted for n in (1000, 10))
    assert small.latency_ms < large.latency_ms
    measured = []

    class Meter:
        def measure(self, architectures):
            measured.extend(each.num_classes for each in architectures)
            return [1.0]

    monkeypatch.setattr(module, "open_meter", lambda *args, **rest: Meter())
    found = try_menu(str(table), 50.0, SOURCE, tmp_path, **given)
    assert measured == [10]
    assert found.best.predicted_ms == small.latency_ms


def test_names_and_resolutions_can_be_chosen(table):
    listed = list_menu(LatencyTable.load(table), 100.0, names=[LITE], resolutions=[48, 80])
    assert [(item.name, item.resolution) for item in listed.items] == [(LITE, 80), (LITE, 48)]
    with pytest.raises(InputError, match="unknown network 'resnet'"):
        list_menu(LatencyTable.load(table), 5.0, names=["resnet"])
    with pytest.raises(InputError, match="--budget-ms is 0: expected a positive number"):
        list_menu(LatencyTable.load(table), 0)


def test_one_row_a_network_from_its_largest_size_down(table):
    rows = promising(list_menu(LatencyTable.load(table), 5.0))
    assert len(rows) >= 3
    for row in rows:
        assert len({item.name for item in row}) == 1
        assert [item.resolution for item in row] == sorted((item.resolution for item in row), reverse=True)
        assert row[0].weights not in (None, "PyPI")


@pytest.fixture
def kitchen(monkeypatch):
    """Trainings are recorded, not done; the classifier of mobilenet-v2-0.35 is the best."""
    done = []

    class Trained:
        def __init__(self, folder, accuracy):
            self.folder = folder
            self.training = {"validation_accuracy": accuracy, "test_accuracy": accuracy - 0.01}

    def train_network(architecture, source, folder, **rest):
        done.append((folder.name, rest))
        small = "0.35" in folder.name
        return Trained(folder, 0.7 if small and rest.get("freeze") else 0.8 if small else 0.6)

    monkeypatch.setattr(module, "train_network", train_network)
    monkeypatch.setattr(type(SOURCE), "load", lambda source, resolution: None)
    return done


def test_classifiers_choose_the_networks_that_are_trained_whole(table, kitchen, tmp_path):
    names = ["mobilenet-v2", "mobilenet-v2-0.35"]
    found = try_menu(
        str(table), 50.0, SOURCE, tmp_path, names=names, resolutions=[64], tuned=1, epochs=3, measure="none"
    )
    assert [name for name, _ in kitchen] == [
        "mobilenet-v2-64px-frozen-seed0", "mobilenet-v2-0.35-64px-frozen-seed0", "mobilenet-v2-0.35-64px-whole-seed0",
    ]  # fmt: skip
    last = kitchen[-1][1]
    assert (last["weights"], last["epochs"], last["resume"]) == ("imagenet", 3, True)
    best, other = found.tried
    assert (best.name, best.frozen_accuracy, best.validation_accuracy) == ("mobilenet-v2-0.35", 0.7, 0.8)
    assert best.folder == "mobilenet-v2-0.35-64px-whole-seed0"
    assert (other.name, other.validation_accuracy, other.measured_ms) == ("mobilenet-v2", None, None)
    assert read_menu(tmp_path) == found


def test_a_network_that_measures_slower_than_its_budget_is_taken_smaller(table, kitchen, tmp_path, monkeypatch):
    class Meter:
        def measure(self, architectures):
            return [2.0 if each.resolution > 64 else 1.0 for each in architectures]

    monkeypatch.setattr(module, "open_meter", lambda *args, **rest: Meter())
    found = try_menu(str(table), 1.5, SOURCE, tmp_path, names=["mobilenet-v2-0.35"], resolutions=[96, 64])
    assert [(each.resolution, each.measured_ms) for each in found.tried] == [(64, 1.0)]


def test_without_a_connection_the_other_networks_are_tried(table, kitchen, tmp_path, monkeypatch):
    fine = module.train_network

    def train_network(architecture, source, folder, **rest):
        if folder.name.startswith("mobilenet"):
            raise DownloadError("cannot download the weights")
        return fine(architecture, source, folder, **rest)

    monkeypatch.setattr(module, "train_network", train_network)
    monkeypatch.setattr(module.MenuItem, "weights", "Keras")
    found = try_menu(str(table), 50.0, SOURCE, tmp_path, names=["mobilenet-v2", LITE], resolutions=[64], measure="none")
    assert [each.name for each in found.tried] == [LITE]


def test_a_network_that_measures_too_slow_is_not_taken_for_one_without_a_latency(table, kitchen, tmp_path, monkeypatch):
    class Slow:
        def measure(self, architectures):
            return [1000.0 for _ in architectures]

    monkeypatch.setattr(module, "open_meter", lambda *args, **rest: Slow())
    names = [LITE, "efficientnet-b0"]  # the table lacks swish
    with pytest.raises(InputError, match="no published network with weights that are at hand is within 50 ms"):
        try_menu(str(table), 50.0, SOURCE, tmp_path, names=names, resolutions=[64])


def test_what_cannot_be_is_said(table, kitchen, tmp_path):
    with pytest.raises(InputError, match=r"no published network with weights that are at hand is within 0.0001 ms"):
        try_menu(str(table), 0.0001, SOURCE, tmp_path, measure="none")
    with pytest.raises(InputError, match=r"lacks an operator of every published network with weights \(.*mobilenet-v2"):
        try_menu("epyc-float32-mnasnet-32", 3.0, SOURCE, tmp_path, measure="none", names=["mnasnet-a1", "mobilenet-v2"])
    (tmp_path / "menu.json").write_text('{"format": "mnas.menu", "version": 1, "budget_ms": 1, "tried": []}')
    with pytest.raises(InputError, match="lists no network"):
        read_menu(tmp_path)
    (tmp_path / "menu.json").write_text('{"format": "mnas.menu", "version": 9}')
    with pytest.raises(InputError, match="is not a menu of this version"):
        read_menu(tmp_path)


@pytest.mark.tensorflow
def test_a_network_is_trained_whole(table, tmp_path, monkeypatch):
    """With real trainings, of random weights."""
    network = replace(zoo("mobilenet-v2-0.35"), resolution=64)
    from mnas.nn.build import build_model, get_layer_weights

    weights = Pretrained.of(get_layer_weights(build_model(network), network))
    monkeypatch.setattr(
        "mnas.train.trainer.open_pretrained",
        lambda source, architecture, opened=open_pretrained: (
            weights if source == "imagenet" else opened(source, architecture)
        ),
    )
    monkeypatch.setattr(module.MenuItem, "weights", "Keras")
    given = {"names": ["mobilenet-v2-0.35"], "resolutions": [64], "epochs": 1, "measure": "none"}
    found = try_menu(str(table), 50.0, replace(SOURCE, limit=100), tmp_path, **given)
    (tried,) = found.tried
    assert 0 <= tried.test_accuracy <= 1
    assert (tmp_path / tried.folder / "training.json").is_file()
    assert try_menu(str(table), 50.0, replace(SOURCE, limit=100), tmp_path, **given) == found
