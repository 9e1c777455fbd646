"""Bad input by the thousand: mutated files of every kind that mnas reads. One line a kind: tried, survived, lost.

Run: python tools/fuzz.py [--count 20000] [--seed 0] [--only NAME] [--keep FOLDER]

An input survives if it is refused with mnas's own error, or accepted with the meaning that an independent reading of
it has. It is lost if anything else is raised, if it takes longer than 5 s or more than 1 GiB, if anything is written
outside the scenario's folder, a program started, a connection opened or a pickle read, or if the meaning differs.
The kinds are in tools/fuzz_scenarios.py: a new one is three lines there.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from mnas.errors import MnasError
from tools.mutate import mutated

SECONDS = 5
GROWTH_BYTES = 1 << 30
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod")
_NEVER = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "pickle.find_class")


@dataclass(frozen=True)
class Scenario:
    """One kind of input.

    Attributes:
        seeds: valid inputs to start from, made in an empty folder that `read` finds again.
        read: reads the input at the path it is given, in that folder, and gives what it understood as plain data.
        means: what the same bytes mean by an independent reading; None where there is none to be had.
        name: of the file.
    """

    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]
    means: Callable[[bytes, Any], bool] | None = None
    name: str = "input"


@dataclass
class Tally:
    """What became of one scenario's inputs."""

    refused: int = 0
    accepted: int = 0
    lost: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """All of them."""
        return self.refused + self.accepted + len(self.lost)


class TooLongError(BaseException):
    """Raised by the alarm; no reader catches it by mistake."""


class Guard:
    """Notes what a reader must not do: Python tells an audit hook of every file, program and connection.

    A hook cannot be taken off again, so there is one a process.
    """

    def __init__(self) -> None:
        self._folder: str | None = None
        self._found: list[str] = []
        sys.addaudithook(self._audit)

    @contextmanager
    def watching(self, folder: Path) -> Iterator[list[str]]:
        """Give the list that offences are added to."""
        self._folder, self._found = str(folder), []
        try:
            yield self._found
        finally:
            self._folder = None

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._folder is None:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        if event in _NEVER or ((writes or event in _CHANGES) and not self._inside(arguments[0])):
            self._found.append(f"{event} {arguments[0]!r}"[:200])

    def _inside(self, path: Any) -> bool:
        text = os.fsdecode(path) if isinstance(path, str | bytes) else ""
        return f"{os.path.abspath(text)}/".startswith(f"{self._folder}/") or text == "/dev/null"


GUARD = Guard()


def run_scenario(scenario: Scenario, *, count: int, seed: int) -> Tally:
    """Try `count` mutated inputs."""
    rng = random.Random(seed)
    tally = Tally()
    folder = Path(tempfile.mkdtemp(prefix="mnas-fuzz-")).resolve()
    try:
        seeds = scenario.seeds(folder)
        for _ in range(count):
            data = mutated(rng, rng.choice(seeds))
            try_input(scenario, folder, data, tally)
    finally:
        shutil.rmtree(folder)
    return tally


def try_input(scenario: Scenario, folder: Path, data: bytes, tally: Tally) -> None:
    """Try one input, and count what became of it."""
    path = folder / scenario.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        with GUARD.watching(folder) as offences, _limit(SECONDS):
            understood = scenario.read(path)
    except MnasError:
        tally.refused += 1
    except TooLongError:
        tally.lost.append((f"took more than {SECONDS} s", data))
        return
    except Exception as error:
        tally.lost.append((f"{type(error).__name__}: {error}"[:300], data))
        return
    else:
        if scenario.means is None or scenario.means(data, understood):
            tally.accepted += 1
        else:
            tally.lost.append(("accepted with another meaning", data))
    if offences:
        tally.lost.append((offences[0], data))


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limit_memory() -> None:
    """Whatever would allocate more than a gigabyte from now on fails with a MemoryError, which counts as lost."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGESIZE") + GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Try them all; exit with 1 if any was lost."""
    from tools.fuzz_scenarios import SCENARIOS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(SCENARIOS))
    parser.add_argument("--keep", type=Path, help="where to write the inputs that were lost")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chosen = [options.only] if options.only else list(SCENARIOS)
    each = -(-options.count // len(chosen))
    for name in chosen:
        run_scenario(SCENARIOS[name], count=2, seed=0)  # whatever is imported late is imported now
    limit_memory()
    tried = lost = 0
    for name in chosen:
        start = time.monotonic()
        tally = run_scenario(SCENARIOS[name], count=each, seed=options.seed ^ zlib.crc32(name.encode()))
        tried, lost = tried + tally.tried, lost + len(tally.lost)
        print(
            f"{name:28} tried {tally.tried:6,}  survived {tally.tried - len(tally.lost):6,}  lost {len(tally.lost):4}"
            f"   (refused {tally.refused:,}, read {tally.accepted:,}; {time.monotonic() - start:.1f} s)",
            flush=True,
        )
        _explain(name, tally, options.keep)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'all':28} tried {tried:6,}  survived {tried - lost:6,}  lost {lost:4}   (peak {peak:,.0f} MiB)")
    sys.exit(lost > 0)


def _explain(name: str, tally: Tally, keep: Path | None) -> None:
    for why, number in Counter(why for why, _ in tally.lost).most_common(5):
        print(f"    {number} times: {why}")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for number, (_, data) in enumerate(tally.lost[:20]):
            (keep / f"{name.replace(' ', '_')}-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
