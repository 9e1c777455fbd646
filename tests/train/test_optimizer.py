"""Precision and loss."""

import logging

import numpy as np
import pytest

from mnas.train.optimizer import accelerated, make_optimizer, smoothed_loss
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


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_takes_the_steps_of_keras(weight_decay):
    import keras

    recipe = Recipe(weight_decay=weight_decay, clip_norm=0.5, warmup_share=0.0, learning_rate=0.05)
    plain = keras.optimizers.Adam(weight_decay=weight_decay or None, global_clipnorm=0.5)
    if weight_decay:
        plain.exclude_from_weight_decay(var_names=["bias"])
    found = []
    for optimizer in (make_optimizer(recipe, 6), plain):
        kernel = keras.Variable(np.linspace(-1, 1, 6).reshape(2, 3), dtype="float32", name="kernel")
        bias = keras.Variable(np.ones(3), dtype="float32", name="bias")
        optimizer.build([kernel, bias])
        for step in range(6):
            if optimizer is plain:
                plain.learning_rate = recipe.learning_rate_at(step, 6)
            gradients = [keras.ops.cos(kernel * (step + 1)), keras.ops.sin(bias - step)]
            optimizer.apply(gradients, [kernel, bias])
        found.append((kernel.numpy(), bias.numpy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert abs(found[0][1] - 1).max() > 0.05
