"""Where a step's time goes."""

import pytest

from tools.bench.step_profile import OTHER, peak_madds_per_second, time_shares


@pytest.mark.tensorflow
def test_the_profiler_finds_convolutions_and_the_shares_add_up():
    import tensorflow as tf

    kernel, images = tf.Variable(tf.ones([5, 5, 32, 32])), tf.ones([8, 32, 32, 32])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return tape.gradient(loss, kernel)

    step()
    shares = time_shares(lambda: step().numpy())
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["convolution, gradient of the kernel"] > 0
    assert shares["depthwise, forward"] == 0
    assert OTHER in shares
    assert peak_madds_per_second(size=64, times=2) > 0
