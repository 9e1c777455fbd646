"""Precision and loss."""

import logging

import numpy as np
import pytest

from mnas.train.optimizer import accelerated, smoothed_loss
from mnas.train.recipe import Recipe

pytestmark = pytest.mark.tensorflow


def test_mixed_precision_is_for_gpus(caplog, monkeypatch):
    import keras
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    with caplog.at_level(logging.WARNING), accelerated(Recipe(mixed_precision=True)):
        assert keras.config.dtype_policy().name == "float32"
    assert "there is no GPU" in caplog.text
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"])
    with accelerated(Recipe(mixed_precision=True)):
        assert keras.config.dtype_policy().name == "mixed_float16"
    assert keras.config.dtype_policy().name == "float32"


def test_several_accelerators_share_a_batch(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0", "GPU:1"])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: tf.distribute.OneDeviceStrategy("/cpu:0"))
    with accelerated(Recipe()):
        assert isinstance(tf.distribute.get_strategy(), tf.distribute.OneDeviceStrategy)
    assert not isinstance(tf.distribute.get_strategy(), tf.distribute.OneDeviceStrategy)


def test_smoothing_spreads_a_share_and_large_half_precision_logits_are_no_trouble():
    import tensorflow as tf

    loss = smoothed_loss(4, 0.2)
    found = float(np.mean(loss(tf.constant([1]), tf.constant([[0.0, 3.0, 0.0, 0.0]]))))
    logs = np.array([0.0, 3.0, 0.0, 0.0]) - np.log(np.exp(3.0) + 3)
    assert found == pytest.approx(-(0.05 * logs.sum() + 0.8 * logs[1]), rel=1e-5)
    assert np.isfinite(loss(tf.constant([1]), tf.constant([[60000.0, -60000.0, 0.0, 0.0]], tf.float16))).all()
