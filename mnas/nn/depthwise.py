"""Depthwise convolution for training on CPUs."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def trained_depthwise_convolution() -> Any:
    """Return a class with Keras's `DepthwiseConv2D` as its base, whose kernel's gradient is not oneDNN's.

    On CPUs oneDNN takes up to 15 times as long for it as TensorFlow's own operator, most with kernels of 5 on small
    images, so that it was a third of a training step. TensorFlow replaces this operator by oneDNN's unless its padding
    is explicit (`MklLayoutRewritePass`), so here the same padding is given as numbers. Weights and outputs are the
    same. With a GPU it is Keras's layer.
    """
    import keras
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return keras.layers.DepthwiseConv2D

    class TrainedDepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            outputs = _convolve(inputs, tf.convert_to_tensor(self.kernel), self.strides[0])
            return tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs

    return TrainedDepthwiseConv2D


def _convolve(images: Any, kernel: Any, stride: int) -> Any:
    """Convolve images of known size, with zeros around them as `SAME` has it."""
    import tensorflow as tf

    strides = [1, stride, stride, 1]
    around = [_padding(size, kernel.shape[0], stride) for size in images.shape[1:3]]
    explicit = [0, 0, *around[0], *around[1], 0, 0]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(x: Any, weights: Any) -> Any:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            how: dict[str, Any] = {"out_backprop": upstream, "strides": strides}
            x_gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x), filter=weights, padding="SAME", **how
            )
            weights_gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x, filter_sizes=weights.shape, padding="EXPLICIT", explicit_paddings=explicit, **how
            )
            return x_gradient, weights_gradient

        return tf.nn.depthwise_conv2d(x, weights, strides, "SAME"), gradient

    return convolve(images, kernel)


def _padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Return the numbers of zeros before and after an axis of `size` pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2
