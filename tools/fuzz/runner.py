"""Try mutated inputs of a scenario, watch what its reader does, and count what became of them."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnas.errors import MnasError
from tools.fuzz.mutations import mutated
from tools.fuzz.scenario import Scenario

SECONDS = 5
GROWTH_BYTES = 1 << 30
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod")
_NEVER = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "pickle.find_class")


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
        if isinstance(path, int):  # a file that is open: its path was looked at when it was opened
            return True
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
