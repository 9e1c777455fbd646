"""Several devices profiled at a time, each by its own worker, on this machine or on a Ray cluster."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnas.checks import check_choice
from mnas.devices.benchmark_binary import BenchmarkBinary
from mnas.devices.delegate import same_delegate
from mnas.errors import InputError
from mnas.latency.table import LatencyTable
from mnas.profiling.collect import OnProgress
from mnas.profiling.job import LOCAL, OPEN_DEVICE, Outcome, ProfileJob, Progress
from mnas.profiling.profile import ProfileOptions
from mnas.space.space import SearchSpace
from mnas.system.child import MOST_TRIES, Child, DiedError
from mnas.system.permissions import names_what_is_not_permitted
from mnas.system.ray_cluster import EXECUTORS

_LOGGER = logging.getLogger(__name__)


@names_what_is_not_permitted
def profile_devices(
    space: SearchSpace,
    devices: Sequence[str],
    out: Path | str,
    options: ProfileOptions | None = None,
    *,
    opening: Mapping[str, Any] | None = None,
    open_with: str = OPEN_DEVICE,
    executor: str = "local",
    address: str | None = None,
    progress: OnProgress = lambda share, what: None,
) -> list[Outcome]:
    """Profile several devices at a time, each with its own worker, and write a table for each.

    A table that exists already is kept, so the same call again measures only the devices that failed.

    Args:
        space: whose blocks to price.
        devices: as `open_device` takes them, such as `adb:SERIAL`.
        out: the folder of the tables, which are named after their devices; for a single device the table's file.
        options: how much to measure; None for the defaults.
        opening: further arguments of `open_device`; the `benchmark_binary` is used for the phones among the devices.
        open_with: `module:function` that opens the devices, if not `open_device`.
        executor: `local` or `ray`, see `run_profiles`.
        address: of a running Ray cluster; None starts one on this machine.
        progress: called with the mean share done and a text that names every device.

    Returns:
        An outcome for each device, in the order in which they finished. A device that failed has an `error`.

    Raises:
        InputError: if `out` is not a folder for several devices, a device is given twice, no node of the cluster has
            it, or an existing table is for another space or was made in another way.
        MnasError: if there is no such cluster, or Ray is not installed.
    """
    out = Path(out)
    if out.suffix == ".json" and len(devices) > 1:
        raise InputError(f"--out is {out}: several devices need a folder, such as {out.with_suffix('')}")
    files = [out / name for name in table_names(devices)] if len(devices) > 1 else [out]
    # A phone gets the binary. Without phones all devices get it: they refuse it, and say what it is for.
    phones = [device for device in devices if device.partition(":")[0] == "adb"] or devices
    opening = dict(opening or {})
    if binary := opening.get("benchmark_binary"):
        binary = str(Path(binary).absolute())
    jobs = [
        ProfileJob(
            device,
            str(file.absolute()),
            space.to_dict(),
            asdict(options or ProfileOptions()),
            {**opening, "benchmark_binary": binary if device in phones else None},
            open_with,
        )
        for device, file in zip(devices, files, strict=True)
    ]
    return list(run_profiles(jobs, kind=executor, address=address, progress=progress))


def table_names(devices: Sequence[str]) -> list[str]:
    """Return a file name for every device's table: `adb:0123ABCD` gives `adb-0123ABCD.json`.

    Raises:
        InputError: if two of them are, or could be, the same device.
    """
    names: list[str] = []
    for device in devices:
        kind, _, rest = device.partition(":")
        host = rest.partition(":")[0] if kind == "ssh" else rest
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{kind}-{host}").strip("-.") + ".json"
        if name in names:
            raise InputError(f"--device {device} is given twice: name every device once")
        names.append(name)
    if len(devices) > 1 and "adb" in devices:
        raise InputError("--device adb is for a single phone: name each of several with --device adb:SERIAL")
    return names


def run_profiles(
    jobs: Sequence[ProfileJob],
    *,
    kind: str = "local",
    address: str | None = None,
    progress: OnProgress = lambda share, what: None,
) -> Iterator[Outcome]:
    """Profile all devices at a time, and yield outcomes as they finish. A device that fails does not end the others.

    A table that exists already is kept, so the same call again measures the devices that are missing.

    Args:
        jobs: one for each device.
        kind: local, for processes on this machine, which measures this machine itself before all others; or ray, for
            the nodes that the devices are attached to. A node has a resource named after each of its devices.
        address: of a running Ray cluster; None starts one on this machine.
        progress: called with the mean share done and a text that names every device.

    Raises:
        InputError: if no node of the cluster has one of the devices, or an existing table is for another space or was
            made in another way.
        MnasError: if there is no such cluster, or Ray is not installed.
    """
    check_choice("--executor", kind, EXECUTORS)
    shown = Progress([job.device for job in jobs], progress)
    existing = [job for job in jobs if Path(job.out).exists()]
    for job in existing:
        shown.receive(job.device, {"progress": [1.0, "kept"]})
        yield _kept(job)
    missing = [job for job in jobs if job not in existing]
    if kind == "ray" and missing:
        from mnas.profiling.on_ray import run_on_cluster

        yield from run_on_cluster(missing, address, shown)
        return
    for together in ([job for job in missing if (job.device == LOCAL) is alone] for alone in (True, False)):
        yield from LocalProfiles(shown).run(together)


def _kept(job: ProfileJob) -> Outcome:
    """Return the existing table if it is the one that this job would make."""
    table = LatencyTable.load(job.out)
    space = SearchSpace.from_dict(job.space)
    wanted = (space.name, space.input_sizes, job.options.get("dtype", table.configuration.dtype))
    message = f"{job.out} exists already and {{}}: move it away, or name another folder"
    if (table.space, table.input_sizes, table.configuration.dtype) != wanted:
        what = f"is a table of {table.space} ({table.input_text}, {table.configuration.dtype})"
        raise InputError(message.format(what))
    for name, now in _settings(job).items():
        before = getattr(table.configuration, name)
        if before != now and not (name == "delegate" and same_delegate(before, now)):
            raise InputError(message.format(f"was made with {name} {before or 'none'}, not {now or 'none'}"))
    keys = [placed.key for placed in space.placed_blocks()]
    lacking = [key for key in keys if key not in table.entries]
    if lacking:
        what = f"lacks {len(lacking)} of the {len(keys)} blocks of this {table.space}, such as {lacking[0]}"
        raise InputError(message.format(what))
    return Outcome(job, table, kept=True)


def _settings(job: ProfileJob) -> dict[str, Any]:
    """Return the fields of `Configuration` that a job states. A phone's runtime is its benchmark program."""
    phone = job.device.partition(":")[0] == "adb"
    names = ("threads", "delegate", "cores") if phone else ("threads", "delegate", "cores", "runtime")
    settings: dict[str, Any] = {name: job.opening[name] for name in names if name in job.opening}
    settings |= {"cores": settings["cores"].replace(" ", "")} if "cores" in settings else {}
    if not phone or job.opening.get("benchmark_binary") is None:
        return settings
    return settings | {"binary_sha256": BenchmarkBinary.read(Path(job.opening["benchmark_binary"])).sha256}


class LocalProfiles:
    """Profiles each device in its own process."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._children, self._stopped = shown, set[Child](), False

    def run(self, jobs: Sequence[ProfileJob]) -> Iterator[Outcome]:
        """Yield outcomes as they finish."""
        pool = ThreadPoolExecutor(max(1, len(jobs)))
        try:
            for done in as_completed([pool.submit(self._follow, job) for job in jobs]):
                yield done.result()
        finally:
            self._stopped = True
            for child in list(self._children):
                child.interrupt()
            pool.shutdown(wait=False, cancel_futures=True)

    def _follow(self, job: ProfileJob) -> Outcome:
        """Run a job; a process that dies is replaced by one that resumes from the log."""
        why = ""
        for attempt in range(1, MOST_TRIES + 1):
            child = Child("mnas.profiling.job", alone=True)
            self._children.add(child)
            try:
                if self._stopped:  # while it was started
                    break
                message = child.ask(job.to_dict())
                while not message.keys() & {"table", "failed"}:
                    self._shown.receive(job.device, message)
                    message = child.read()
                return Outcome.from_answer(job, message)
            except DiedError as error:
                why = str(error)
                if self._stopped:
                    break
                _LOGGER.warning("%s, try %d of %d: %s", job.device, attempt, MOST_TRIES, why)
            finally:
                child.interrupt()
                self._children.discard(child)
        return Outcome(job, error=f"given up after {attempt} tries: {why}")
