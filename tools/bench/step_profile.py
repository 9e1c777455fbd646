"""Where a training step's time goes, by TensorFlow's own profiler, and what the processor's arithmetic could do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

GROUPS = {  # a word in the operator's type: what it is; the first that fits counts
    "DepthwiseConv2dNativeBackpropFilter": "depthwise, gradient of the kernel",
    "DepthwiseConv2dNativeBackpropInput": "depthwise, gradient of the input",
    "DepthwiseConv2dNative": "depthwise, forward",
    "Conv2DBackpropFilter": "convolution, gradient of the kernel",
    "Conv2DBackpropInput": "convolution, gradient of the input",
    "Conv2D": "convolution, forward",
    "BatchNorm": "batch normalisation",
}
OTHER = "all else"


def time_shares(step: Callable[[], Any], *, count: int = 5) -> dict[str, float]:
    """Shares of a step's time by kind of operator, from `count` steps under the profiler; they add up to 1.

    Run it on one thread: operators that run at the same time are counted one after the other.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        start = time.perf_counter()
        for _ in range(count):
            step()
        wall = time.perf_counter() - start
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    spent = dict.fromkeys(GROUPS.values(), 0.0)
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            name = plane.event_metadata[event.metadata_id].name
            group = next((group for word, group in GROUPS.items() if word in name.rpartition(":")[2]), None)
            if group is not None:
                spent[group] += event.duration_ps / 1e12
    shares = {group: seconds / wall for group, seconds in spent.items()}
    return {**shares, OTHER: 1 - sum(shares.values())}


def peak_madds_per_second(*, size: int = 1024, times: int = 8) -> float:
    """Multiply-adds a second of TensorFlow's own matrix product in float32, the best of some, on all its threads."""
    import tensorflow as tf

    matrix = tf.constant(np.random.default_rng(0).standard_normal((size, size), dtype=np.float32))
    best = 0.0
    for _ in range(times):
        start = time.perf_counter()
        tf.matmul(matrix, matrix).numpy()
        best = max(best, size**3 / (time.perf_counter() - start))
    return best
