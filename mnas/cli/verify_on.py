"""`mnas export --verify-on`: the finished file on a device, compared and measured before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import common
from mnas.cli.prediction import Prediction, check_same, predict
from mnas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mnas.devices.base import Device
    from mnas.export.on_device import DeviceCheck

VERIFY_ON = typer.Option(
    None,
    "--verify-on",
    help="Run the file on a device too (local, adb[:SERIAL], ssh:HOST), and compare outputs and time.",
)
TABLE = typer.Option(None, "--table", help="With --verify-on: that device's latency table, for the predicted time.")


@dataclass
class Verifier:
    """A device that stands ready, and what a table predicts for it.

    Attributes:
        name: of the device, as it was asked for.
        device: that device.
        prediction: by the table, or None without one.
    """

    name: str
    device: Device
    prediction: Prediction | None = None

    def check(self, content: bytes, images: npt.NDArray[np.float32], *, dtype: str, trained: bool) -> DeviceCheck:
        """See `check_on_device`."""
        from mnas.export.on_device import IMAGES, check_on_device

        return check_on_device(content, self.device, images[:IMAGES], name=self.name, dtype=dtype, trained=trained)


def open_verifier(
    name: str | None, how: dict[str, Any], table: Path | None, network: str, *, dtype: str, out: Path
) -> Verifier | None:
    """The device that --verify-on names, before any long work; None without it.

    Args:
        name: as --verify-on says it.
        how: the other arguments of `mnas.devices.registry.open_device`.
        table: that device's latency table.
        network: what is exported, as an architecture argument.
        dtype: of the file.
        out: that file.

    Raises:
        InputError: for options that do not go together, or a table of another device or dtype.
        MnasError: if the device is not there.
    """
    if name is None:
        given = [
            option for option, used in (("--table", table), ("--benchmark-binary", how["benchmark_binary"])) if used
        ]
        if given:
            raise InputError(f"{' and '.join(given)} only mean something with --verify-on DEVICE: add it, e.g. adb")
        return None
    from mnas.devices.registry import open_device

    prediction = None
    if table is not None:
        prediction = predict(common.resolve_architecture(network), table, dtype=dtype, file=out)
    device = open_device(name, **how)
    if prediction is not None:
        check_same(prediction.configuration, device.configuration(dtype))
    return Verifier(name, device, prediction)


def describe(check: dict[str, Any], prediction: Prediction | None) -> str:
    """What the device made of the file, in two lines."""
    where = f"{check['device']} ({check['model']}, {check['runtime']})"
    lines = [
        f"On {where}: {check['agreement']:.2%} of the predictions on {check['images']} images are those of this "
        f"machine, probabilities differ by at most {check['max_difference']:.2g}.",
        f"It takes {check['latency_ms']:.3f} ms there when the device is quiet (median {check['median_ms']:.3f} ms)",
    ]
    if prediction is None:
        return "\n".join(lines) + "."
    estimate = prediction.estimate
    return "\n".join(lines) + (
        f"; predicted were {estimate.latency_ms:.3f} ms, 90 % interval {estimate.low_ms:.3f} to "
        f"{estimate.high_ms:.3f} ms."
    )
