"""Scoring with int8 accuracy: the best float network is not always the best int8 network.

A candidate is trained as by the proxy and quantised as in an export; the int8 file is scored on validation images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnas.arch.spec import Architecture
from mnas.data.batches import plain_batches, some_images
from mnas.errors import MnasError
from mnas.evaluators.base import Evaluator
from mnas.evaluators.proxy import ProxyEvaluator

CALIBRATION_IMAGES = 128
_BATCH = 64  # images in memory as float32
_CONVERSION_SECONDS = 4.0  # roughly, for building, converting and scoring


@dataclass(frozen=True)
class Int8Evaluator(Evaluator):
    """The proxy's training, scored as int8.

    Attributes:
        proxy: trains the candidates, on the data to score on.
        max_validation: maximum number of validation images to score on; the int8 file runs them one at a time.
    """

    proxy: ProxyEvaluator
    max_validation: int = 2000

    def accuracy(self, architecture: Architecture) -> float:
        """Accuracy of the int8 file on the validation images.

        Raises:
            InputError: if the architecture does not fit the data.
            MnasError: if the training diverges, or the file does not agree with the network at all.
        """
        from mnas.export.convert import quantizer, to_tflite
        from mnas.nn.build import build_model, set_layer_weights
        from mnas.tflite.runner import TFLiteRunner

        trained = self.proxy.fit(architecture)
        layers = trained.network.layer_weights(trained.weights, trained.statistics)
        model = build_model(architecture, probabilities=True)
        set_layer_weights(model, architecture, [array for layer in layers for array in layer])
        calibration = some_images(self.proxy.dataset.train, CALIBRATION_IMAGES)
        run = TFLiteRunner(to_tflite(model, quantizer("int8", calibration=calibration)))
        split = self.proxy.dataset.validation.take(slice(self.max_validation))
        if not len(split):
            raise MnasError("there are no validation images to score on")
        right = [run(images).argmax(axis=1) == labels for images, labels in plain_batches(split, _BATCH)]
        return float(np.mean(np.concatenate(right)))

    def with_seed(self, seed: int) -> Int8Evaluator:
        """The same evaluator with other initial weights and batches."""
        return replace(self, proxy=self.proxy.with_seed(seed))

    def describe(self) -> dict[str, Any]:
        """The proxy's description, and that it is scored as int8."""
        scored = min(len(self.proxy.dataset.validation), self.max_validation)
        return {**self.proxy.describe(), "score_dtype": "int8", "num_validation": scored}

    def estimate_seconds(self, architecture: Architecture) -> float:
        """The proxy's estimate and the conversion's."""
        return self.proxy.estimate_seconds(architecture) + _CONVERSION_SECONDS
