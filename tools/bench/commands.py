"""mnas's own commands as steps of a resumable run."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.bench.resumable import ResumableRun

_PATIENCE = 20.0  # seconds that an interrupted command has


def do_command(run: ResumableRun, name: str, command: Sequence[str]) -> float:
    """Run a command of mnas, unless it is done; return its seconds, those of the last call if it was interrupted.

    The program ends if the command fails, or is not done when the call has run as long as it may.

    Args:
        run: keeps the seconds.
        name: of the step.
        command: the command's words after `mnas`.
    """
    seconds: float = run.do(name, lambda: _seconds(run, name, command))
    return seconds


def resumed(command: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The command, with `--resume` if its folder is there already."""
    return (*command, *(("--resume",) if folder.exists() else ()))


def _seconds(run: ResumableRun, name: str, command: Sequence[str]) -> float:
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mnas", *command])
    try:
        process.wait(max(0.0, run.seconds_left))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        process.kill()
        sys.exit(f"interrupted in the part {name}; the same command goes on")
    if process.returncode:
        sys.exit(f"the part {name} failed: see above")
    return time.perf_counter() - start
