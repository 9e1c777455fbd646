"""Random networks of a space as the real converter writes them, for `python -m tools.bench.latency` to measure.

A program of its own: TensorFlow's threads must not run beside a measurement, and tflite-runtime needs an environment
that has no TensorFlow. Files that are there already are kept.

Run it as: python -m tools.bench.latency_networks --space mnasnet-32 --dtype int8 --out DIR
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnas.export.convert import quantizer, to_tflite
from mnas.nn.build import build_model
from mnas.space.files import load_space
from mnas.system.files import write_atomically
from tools.bench.latency import file_name
from tools.command_line import make_parser


def main() -> None:
    """Sample, build, convert, write."""
    parser = make_parser("tools.bench.latency_networks", __doc__)
    parser.add_argument("--space", default="mnasnet-32")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=20_000, help="of the networks")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    space = load_space(options.space)
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    networks = [space.sample(rng) for _ in range(options.networks)]
    for number, network in enumerate(networks):
        path = options.out / file_name(options, number)
        if path.exists():
            continue
        model = build_model(network, probabilities=True)
        noise = np.random.default_rng(number)
        for layer in model.layers:  # as after training: the converter leaves out biases that are all zero
            if getattr(layer, "bias", None) is not None:
                layer.bias.assign(noise.normal(size=layer.bias.shape))
        images = noise.uniform(-1, 1, (4, network.resolution, network.resolution, 3)).astype(np.float32)
        write_atomically(path, to_tflite(model, quantizer(options.dtype, calibration=images)))
        print(path, flush=True)


if __name__ == "__main__":
    main()
