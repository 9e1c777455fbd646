"""Measuring `.tflite` files."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.arch.resize import resize
from mnas.arch.zoo import ZOO
from mnas.checks import convert
from mnas.devices.base import Details, Device, naming
from mnas.devices.benchmark_log import last_lines
from mnas.devices.local import LocalDevice, Runtime
from mnas.errors import InputError, MnasError
from mnas.latency.table import FLOAT_REFERENCE
from mnas.profiling.measure import NetworkTime, Reference, measure_networks
from mnas.profiling.sustained import SustainedTime, bench_sustained
from mnas.profiling.yardstick import reference_for_files, write_reference
from mnas.system.child import run_module
from mnas.system.permissions import names_what_is_not_permitted
from mnas.tflite.random_model import write_random_model

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.profiling.prediction import Prediction

# The reference networks, which show how disturbed a device is. The light one is small enough to be back in the caches
# after three runs. The heavy one's 9 MB of weights come from the memory that a device's cores share, at few
# multiply-adds.
LIGHT = replace(resize(ZOO["mnasnet-small"], width=0.5), head_filters=64, resolution=64, num_classes=10)
HEAVY = replace(ZOO["mnasnet-a1"], head_filters=320, resolution=32, num_classes=10)

_log = logging.getLogger(__name__)


def open_reference(device: Device, *, known_ms: float = 0.0, name: str = FLOAT_REFERENCE) -> Reference:
    """Load the reference networks on a device.

    Args:
        device: where.
        known_ms: the light one's quiet latency, 0 if it is not known.
        name: of the light one, as tables have it.

    Raises:
        MnasError: if the device cannot run them.
    """
    has_heavy = device.runs_any_file and not device.pace.starts_apart
    heavy = write_random_model(HEAVY) if has_heavy else None
    return Reference(device, write_reference(LIGHT, name), heavy, known_ms=known_ms, name=name)


def bench(
    data: bytes,
    device: Device,
    *,
    quiet_bursts: int = 20,
    seconds: float = 10.0,
    reference_ms: float = 0.0,
    reference: str | None = None,
) -> NetworkTime:
    """Measure a network as `bench_with_details` does, without the details."""
    return bench_with_details(
        data,
        device,
        quiet_bursts=quiet_bursts,
        seconds=seconds,
        reference_ms=reference_ms,
        reference=reference,
        details=False,
    )[0]


def bench_with_details(
    data: bytes,
    device: Device,
    *,
    quiet_bursts: int = 20,
    seconds: float = 10.0,
    reference_ms: float = 0.0,
    reference: str | None = None,
    details: bool = True,
    name: str = "the file",
) -> tuple[NetworkTime, Details]:
    """Measure a network until it has enough undisturbed bursts, or the time is over.

    Args:
        data: its `.tflite` file.
        device: where.
        quiet_bursts: the number of undisturbed bursts that is enough.
        seconds: the maximum time, approximately.
        reference_ms: the reference network's quiet latency on this device, from a table; 0 if it is not known.
        reference: name of that reference network in the table; by default what suits the file.
        details: whether to ask the device for what else it can report, in separate runs.
        name: of the network, for messages.

    Raises:
        MnasError: if the device cannot run it.
    """
    with device.measuring(), ExitStack() as stack:
        with naming(name):
            model = stack.enter_context(closing(device.load(data)))
            if not device.runs_any_file:
                model.run_times_ms(1)  # before the reference networks, of which an error would be
        light = _reference(device, [data], reference_ms, reference)
        watched = stack.enter_context(closing(open_reference(device, known_ms=reference_ms, name=light)))
        (time,) = measure_networks([model], watched, seconds=seconds, quiet_bursts=[quiet_bursts], seed=0, names=[name])
        _tell_disturbed([time], [name])
        return time, model.details() if details else Details()


def _reference(device: Device, files: Sequence[bytes], known_ms: float, name: str | None) -> str:
    """The name of the reference network: the table's, or what suits the files."""
    if known_ms:
        return name or FLOAT_REFERENCE
    return reference_for_files(device, files)


def measure_files(
    device: Device,
    files: Sequence[bytes],
    *,
    seconds: float,
    quiet_bursts: Sequence[int],
    reference_ms: float = 0.0,
    reference: str | None = None,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> list[NetworkTime]:
    """Measure several `.tflite` files in interleaved bursts, so that a disturbance affects all of them.

    Args:
        device: where.
        files: the files.
        seconds: as for `bench_with_details`.
        quiet_bursts: the number that is enough, for each file.
        reference_ms: as for `bench_with_details`.
        reference: as for `bench_with_details`.
        seed: of the order of the bursts.
        progress: called after every burst.

    Raises:
        MnasError: if the device cannot run one of them.
    """
    with device.measuring(), ExitStack() as stack:
        light = _reference(device, files, reference_ms, reference)
        watched = stack.enter_context(closing(open_reference(device, known_ms=reference_ms, name=light)))
        names = [f"network {number} of {len(files)}" for number in range(1, len(files) + 1)]
        models = []
        for own, content in zip(names, files, strict=True):
            with naming(own):
                models.append(stack.enter_context(closing(device.load(content))))
        times = measure_networks(
            models, watched, seconds=seconds, quiet_bursts=quiet_bursts, seed=seed, progress=progress, names=names
        )
        _tell_disturbed(times, names)
        return times


def _tell_disturbed(times: Sequence[NetworkTime], names: Sequence[str]) -> None:
    """Warn of networks without a quiet burst: their latencies rest on the slowdown of the reference network."""
    found = [(name, time) for name, time in zip(names, times, strict=True) if not time.num_quiet]
    if not found:
        return
    name, time = found[0]
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    _log.warning(
        "%s%s never ran undisturbed: the latency is the measured one over %.2f, the slowdown of the reference network, "
        "and may be wrong (%.3f ms, where the fastest run took %.3f ms): measure again when nothing else uses it",
        *(name, others, time.slowdown, time.quiet_ms, time.min_ms),
    )


@dataclass(frozen=True, slots=True)
class FileBench:
    """A measured file.

    Attributes:
        file: the file.
        time: its latency.
        details: what else the device tells.
        prediction: by the table, or None without one.
        same_machine: whether the table was measured on this machine.
        num_kept: the number of measurements in the document that it was added to, or None without one.
        sustained: its latency without pauses, or None if that was not asked for.
    """

    file: Path
    time: NetworkTime
    details: Details
    prediction: Prediction | None = None
    same_machine: bool = False
    num_kept: int | None = None
    sustained: SustainedTime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as `mnas bench --json` prints it."""
        time = self.time
        document: dict[str, Any] = {
            "file": str(self.file),
            "median_ms": time.median_ms,
            "p90_ms": time.p90_ms,
            "min_ms": time.min_ms,
            "quiet_ms": time.quiet_ms,
            "median_all_ms": time.median_all_ms,
            "slowdown": time.slowdown,
            "num_runs": time.num_runs,
            "num_bursts": time.num_bursts,
            "num_quiet_bursts": time.num_quiet,
        }
        if self.details.init_ms is not None:
            document["details"] = asdict(self.details)
        if self.prediction is not None:
            estimate = self.prediction.estimate
            document["predicted_ms"] = estimate.latency_ms
            document["predicted_interval_ms"] = [estimate.low_ms, estimate.high_ms]
            document["extrapolated"] = list(estimate.extrapolated)
            document["ratio"] = time.quiet_ms / estimate.latency_ms
            document["same_machine"] = self.same_machine
        if self.sustained is not None:
            document["sustained"] = {**asdict(self.sustained), "ratio": self.sustained.ratio}
        if self.num_kept is not None:
            document["num_kept"] = self.num_kept
        return document


@names_what_is_not_permitted
def bench_file(
    file: Path,
    device: Device | Callable[[], Device],
    *,
    table: Path | None = None,
    arch: str | None = None,
    append: Path | None = None,
    seconds: float = 10.0,
    sustained_s: float = 0.0,
) -> FileBench:
    """Measure a `.tflite` file, compare it with a latency table's prediction, and keep the measurement.

    Args:
        file: the file; with `table` or `append`, the JSON file of the same name describes its network.
        device: where to measure, or a function that opens it once the other arguments are checked.
        table: a latency table that predicts the latency.
        arch: the network, as `mnas cost` takes it, instead of the JSON file.
        append: a document of measurements for `mnas table calibrate`, to add this one to.
        seconds: at most about this long.
        sustained_s: afterwards, run it that long without pauses; 0 to leave this out.

    Raises:
        InputError: if the file is not a .tflite file, its network is not known, or the table or the document is of
            another device or dtype.
        MnasError: if the device cannot run it, or nothing undisturbed is there to append.
    """
    from mnas.latency.measurements import append_measurement, check_kept
    from mnas.profiling.prediction import check_same, computed_dtype, predict

    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    if content[4:8] != b"TFL3":
        raise InputError(f"{file} is not a .tflite file: make one with mnas export")
    if table is None and append is None:
        if arch is not None:
            raise InputError("--arch is for the prediction: add --table TABLE.json")
        opened = device if isinstance(device, Device) else device()
        time, details = bench_with_details(content, opened, seconds=seconds, name=str(file))
        return FileBench(file, time, details, sustained=_sustained(content, opened, sustained_s))
    architecture, dtype = _described(file, content, arch)
    predicted = None if table is None else predict(architecture, table, dtype=dtype, file=file)
    if append is not None:
        if not dtype:
            beside = file.with_suffix(".json")
            raise InputError(f"--append needs the dtype, which {beside} does not state: make {file} with mnas export")
        dtype = computed_dtype(dtype, file)
    opened = device if isinstance(device, Device) else device()
    same = predicted is not None and check_same(predicted.configuration, opened.configuration("float32"))
    reference_ms = predicted.reference_ms if predicted is not None and same else 0.0
    if append is not None:
        check_kept(append, opened.configuration(dtype))
    time, details = bench_with_details(
        content,
        opened,
        seconds=seconds,
        reference_ms=reference_ms,
        reference=predicted.reference if predicted is not None else None,
        name=str(file),
    )
    sustained = _sustained(content, opened, sustained_s)
    kept = None
    if append is not None:
        if reference_ms and not time.num_quiet:
            raise MnasError(
                f"{file} is not added to {append}, as it never ran as undisturbed as when the table was made: measure "
                "it again when nothing else uses the device, or leave out --table, whose reference network is faster"
            )
        kept = append_measurement(append, architecture, time.quiet_ms, opened.configuration(dtype))
    return FileBench(file, time, details, predicted, same, kept, sustained)


def _sustained(content: bytes, device: Device, seconds: float) -> SustainedTime | None:
    return bench_sustained(content, device, seconds=seconds) if seconds else None


def _described(file: Path, content: bytes, arch: str | None) -> tuple[Architecture, str]:
    """The network that a file holds, and its dtype; empty where none is stated."""
    from mnas.study.references import resolve_architecture
    from mnas.system.files import read_json
    from mnas.tflite.description import check_description

    beside = file.with_suffix(".json")
    description: Any = {}
    if beside.is_file():
        description = read_json(beside, "the description of a network")
    elif arch is None:
        raise InputError(f"--table and --append need the network of {file}: add --arch ARCH, or {beside} beside it")
    dtype = ""
    if isinstance(description, dict):
        check_description(description, file, content)
        dtype = str(description.get("dtype", ""))
    return resolve_architecture(arch or str(beside)), dtype


def bench_isolated(
    content: bytes, runtime: Runtime, *, cores: str = "", seconds: float = 10.0, reference_ms: float = 0.0
) -> NetworkTime:
    """Measure a `.tflite` file on this machine as `bench` does, in a separate process.

    Args:
        content: the file.
        runtime: what runs it.
        cores: to pin to, as for `mnas.open_device`.
        seconds: the maximum time, approximately.
        reference_ms: as for `bench_with_details`.

    Raises:
        MnasError: if it cannot be measured.
    """
    options = [runtime.name, runtime.threads, runtime.delegate, cores, seconds, reference_ms]
    done = run_module("mnas.profiling.bench", json.dumps(options), content=content)
    if done.returncode:
        raise MnasError(f"the file could not be measured: {last_lines(done.stderr.decode('utf-8', 'replace'))}")
    return convert(json.loads(done.stdout), NetworkTime, "the measurement")


def main() -> None:
    """Measure a file from stdin in the separate process, and print the result as JSON."""
    name, threads, delegate, cores, seconds, reference_ms = json.loads(sys.argv[1])
    device = LocalDevice(Runtime(name, threads=threads, delegate=delegate), cores=cores)
    print(json.dumps(asdict(bench(sys.stdin.buffer.read(), device, seconds=seconds, reference_ms=reference_ms))))
