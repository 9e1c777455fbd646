"""One tiny network, trained just enough to have an opinion, shared by all tests of the export."""

import pytest

from mnas.arch import Architecture, parse_stages
from mnas.data.dataset import normalise
from tests.images import coloured

TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c8|ir_r2_k3_s2_e2_c8_se0.5_pool|cn_r1_k3_s1_c8_skip"),
    stem_filters=8,
    head_filters=16,
    resolution=12,
    num_classes=3,
    activation="hswish",
    stem_stride=1,
    stochastic_depth=0.2,
)


@pytest.fixture(scope="session")
def tiny_images():
    """Three classes that differ in their mean colour, (96, 12, 12, 3) in [-1, 1], and labels."""
    split = coloured(96, 12)
    return normalise(split.images), split.labels


@pytest.fixture(scope="session")
def tiny_model(tiny_images):
    """A trained Keras model of TINY that gives probabilities."""
    import keras

    from mnas.nn.build import build_model

    images, labels = tiny_images
    model = build_model(TINY, probabilities=True, batch_norm_momentum=0.8)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", jit_compile=False)
    model.fit(images, labels, epochs=12, batch_size=32, verbose=0)
    return model
