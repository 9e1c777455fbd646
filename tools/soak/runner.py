"""Start a piece of work in a fork, kill it at random moments, and compare what comes out."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.soak.kind import Kind

_MOST_KILLS = 6  # of one piece of work: after so many it is let be until its end


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mnas-soak-") as folder:
        yield Path(folder)


def begin(kind: Kind, folder: Path) -> int:
    """Start the work in a fork of this process, which has everything imported, and nothing started."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        if not os.environ.get("MNAS_DEBUG"):
            os.dup2(quiet, 2)
        kind.work(folder)
        code = 0
    except BaseException:
        (folder / "error").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(code)


def kill_often(kind: Kind, kills: int, rng: random.Random) -> list[str]:
    """Kill the work so many times in all, over as many lives as that takes.

    Returns:
        What was lost, in words.
    """
    with _temporary_folder() as folder:
        start = time.monotonic()
        run_in_fork(kind, folder, [])
        seconds, expected = time.monotonic() - start, kind.end(folder)
    lost: list[str] = []
    while kills > 0:
        with _temporary_folder() as folder:
            planned = min(kills, rng.randint(1, _MOST_KILLS))
            for _ in range(planned):
                kills -= 1
                if not _kill_once(kind, folder, rng.uniform(0, seconds / 1.5), lost):
                    break
            try:
                run_in_fork(kind, folder, lost)
                if kind.end(folder) != expected:
                    lost.append("the end is another one")
            except Exception as error:
                lost.append(f"cannot go on: {error}")
    return lost


def _kill_once(kind: Kind, folder: Path, seconds: float, lost: list[str]) -> bool:
    """Let it live for some seconds; whether it was killed before it was done."""

    def kill(child: int) -> None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)

    return run_in_fork(kind, folder, lost, kill) == signal.SIGKILL


def run_in_fork(kind: Kind, folder: Path, lost: list[str], during: Callable[[int], None] = lambda child: None) -> int:
    """Run the work, or resume it, in a process of its own, and wait until that ends.

    Args:
        kind: the work.
        folder: where it is done.
        lost: what it did again although it was finished before is added here, in words.
        during: called with the process's id while it runs.

    Returns:
        The signal that ended the process, or 0.

    Raises:
        RuntimeError: if the work raised something; its last line says what.
    """
    before = kind.finished(folder)
    (folder / "begun").unlink(missing_ok=True)
    child = begin(kind, folder)
    during(child)
    status = os.waitpid(child, 0)[1]
    if (folder / "error").exists():
        raise RuntimeError((folder / "error").read_text(encoding="utf-8").strip().rpartition("\n")[2])
    begun = (folder / "begun").read_text(encoding="utf-8").splitlines() if (folder / "begun").exists() else []
    again = [what for what in begun if what in before]
    if again:
        lost.append(f"{len(again)} finished pieces of work were done again, such as {again[0][:80]}")
    (folder / "begun").unlink(missing_ok=True)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
