"""Fine-tuning for a file: integers that were trained for, zeros, few different weights."""

from dataclasses import replace

import numpy as np
import pytest

from mnas.arch import Architecture, parse_stages
from mnas.data.dataset import normalise
from mnas.errors import InputError, MnasError
from mnas.export.compress import Compression, compress
from mnas.export.pipeline import export_model
from mnas.nn.build import build_model, get_layer_weights
from tests.images import coloured

pytestmark = pytest.mark.tensorflow
ARCHITECTURE = Architecture(
    parse_stages("ir_r1_k3_s2_e2_c8_se0.5"),
    stem_filters=8,
    head_filters=64,
    resolution=8,
    num_classes=3,
    activation="hswish",
    stem_stride=1,
    stochastic_depth=0.2,
)


@pytest.fixture(scope="module")
def split():
    return coloured(192, 8)


@pytest.fixture(scope="module")
def model(split):
    import keras

    model = build_model(ARCHITECTURE, probabilities=True, batch_norm_momentum=0.8)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", jit_compile=False)
    model.fit(normalise(split.images), split.labels, epochs=8, batch_size=32, verbose=0)
    return model


def run(model, split, kind, **overrides):
    pytest.importorskip("tensorflow_model_optimization", reason="needs the extra mnas[compression]")
    steps = []
    compression = Compression(kind, batch_size=32, epochs=2, learning_rate=1e-3, **overrides)
    done = compress(ARCHITECTURE, model, split, compression, progress=lambda *state: steps.append(state))
    assert steps[-1] == (12, 12)
    return done


def test_quantisation_aware_training_gives_a_file_of_integers(model, split, tmp_path):
    done = run(model, split, "qat")
    assert done.learned_ranges
    document = export_model(
        done.model,
        ARCHITECTURE,
        tmp_path / "q.tflite",
        dtype="int8",
        io="int8",
        learned=True,
        batches=[(normalise(split.images), split.labels)],
        about={"compression": done.about},
    )
    assert document["check"]["accuracy_tflite"] > 0.95
    assert document["operators"]["HARD_SWISH"] == 5  # stem, expansion, depthwise, inside SE, head
    assert document["calibration_images"] is None
    assert document["compression"]["kind"] == "qat"


@pytest.mark.parametrize("norm", [True, False])
def test_quantisation_aware_training_of_mobilenet_v3_and_v4(split, tmp_path, norm):
    pytest.importorskip("tensorflow_model_optimization", reason="needs the extra mnas[compression]")
    stages = parse_stages("ir_r1_k3_s2_e2_c8_hse0.25_nre")
    architecture = replace(ARCHITECTURE, stages=stages, pooled_filters=16, pooled_norm=norm)
    compression = Compression("qat", batch_size=32, epochs=1, learning_rate=1e-3)
    done = compress(architecture, build_model(architecture, probabilities=True), split, compression)
    document = export_model(
        done.model,
        architecture,
        tmp_path / "q.tflite",
        dtype="int8",
        io="int8",
        learned=True,
        batches=[(normalise(split.images), split.labels)],
        about={},
    )
    assert document["operators"]["HARD_SWISH"] == 3  # stem, head, after pooling
    assert document["operators"]["FULLY_CONNECTED"] == 2


def test_pruning_leaves_zeros_and_the_file_says_so(model, split):
    done = run(model, split, "prune", sparsity=0.5)
    assert not done.learned_ranges
    assert 0.4 < done.about["zeros"] < 0.51  # depthwise kernels are left alone
    head = max(get_layer_weights(done.model, ARCHITECTURE), key=lambda array: array.size)
    assert np.mean(head == 0) == pytest.approx(0.5, abs=0.02)
    guesses = done.model.predict(normalise(split.images), verbose=0).argmax(-1)
    assert np.mean(guesses == split.labels) > 0.8


def test_clustering_leaves_few_different_weights(model, split):
    done = run(model, split, "cluster", clusters=8)
    head = max(get_layer_weights(done.model, ARCHITECTURE), key=lambda array: array.size)
    assert len(np.unique(head)) <= 8
    assert done.about["clusters"] == 8


@pytest.mark.parametrize(
    "wrong", [{"kind": "zip"}, {"kind": "prune", "sparsity": 1.0}, {"kind": "cluster", "clusters": 1}]
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        Compression(**wrong)


def test_without_the_packages_it_says_what_to_install(model, split, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    with pytest.raises(MnasError, match=r"pip install 'mnas\[compression\]'"):
        compress(ARCHITECTURE, model, split, Compression("qat"))
