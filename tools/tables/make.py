"""Measure a table for every shipped space at float32 and int8 on this machine, and update the index.

A table that is there already is kept, and a table that is interrupted is continued: run the same command again. Nothing
else should run on the machine. `--dry-run` says what would be measured and how long it takes; `--index` only writes the
index of the tables that are there.

Small spaces need less time: run it for some with `--spaces`.

Run it as: python -m tools.tables.make --minutes 20 [--spaces mnasnet-16 mnasnet-32]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mnas.cli.output import progress
from mnas.devices.base import Device
from mnas.devices.registry import open_device
from mnas.latency.limits import table_faults
from mnas.latency.table import Configuration, LatencyTable
from mnas.profiling.profile import ProfileOptions, profile
from mnas.space.files import SPACES, load_space
from mnas.tflite.flatbuffer import DTYPES
from tools.command_line import make_parser
from tools.tables.index import FOLDER, short_name, write_index


@dataclass(frozen=True)
class Planned:
    """A table to measure: its space, dtype and file, and whether it is there already."""

    space: str
    dtype: str
    path: Path

    @property
    def is_there(self) -> bool:
        """Whether it was measured before."""
        return self.path.exists()


def plan_tables(configuration: Configuration, folder: Path = FOLDER) -> list[Planned]:
    """Return the tables of a device: every shipped space at every dtype."""
    device = short_name(configuration.model or configuration.cpu or configuration.soc)
    return [
        Planned(space, dtype, folder / f"{device}_{configuration.runtime}_{dtype}_{space}.json")
        for space, dtype in product(SPACES, DTYPES)
    ]


def make_tables(
    device: Device, minutes: float, folder: Path = FOLDER, spaces: Sequence[str] = ()
) -> list[LatencyTable]:
    """Measure the tables that are missing, of some spaces or all, and write the index after each.

    Raises:
        MnasError: if the device fails, or a file cannot be written.
    """
    made = []
    for planned in plan_tables(device.configuration(DTYPES[0]), folder):
        if planned.is_there or (spaces and planned.space not in spaces):
            continue
        options = ProfileOptions(minutes=minutes, dtype=planned.dtype)
        with progress(f"{planned.space}, {planned.dtype}") as report:
            made.append(profile(load_space(planned.space), device, planned.path, options, progress=report))
        write_index(folder)
        print(f"{planned.path.name}: {'; '.join(table_faults(made[-1])) or 'good'}")
    return made


def main() -> None:
    """Measure, or say what would be measured."""
    parser = make_parser("tools.tables.make", __doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="for each table")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES), help="by default all")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be measured")
    parser.add_argument("--index", action="store_true", help="only write the index")
    given = parser.parse_args()
    if given.index:
        write_index()
        return
    device = open_device("local")
    planned = [each for each in plan_tables(device.configuration(DTYPES[0])) if each.space in given.spaces]
    for each in planned:
        print(f"{each.path.name}: {'there already' if each.is_there else f'{given.minutes:g} minutes'}")
    missing = sum(not each.is_there for each in planned)
    print(f"{missing} tables to measure, {missing * given.minutes:g} minutes")
    if not given.dry_run:
        make_tables(device, given.minutes, spaces=given.spaces)


if __name__ == "__main__":
    main()
