"""Start a piece of work in a fork, kill it at random moments, and compare what comes out."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.soak.kind import Kind

_MOST_KILLS = 6  # of one piece of work: after so many it is let be until its end


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
    with _folder() as folder:
        start = time.monotonic()
        _finish(kind, folder)
        seconds, expected = time.monotonic() - start, kind.end(folder)
    lost: list[str] = []
    while kills > 0:
        with _folder() as folder:
            planned = min(kills, rng.randint(1, _MOST_KILLS))
            for _ in range(planned):
                kills -= 1
                if not _kill_once(kind, folder, rng.uniform(0, seconds / 1.5), lost):
                    break
            try:
                _life(kind, folder, lost, lambda child: None)
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

    return _life(kind, folder, lost, kill) == signal.SIGKILL


def _life(kind: Kind, folder: Path, lost: list[str], during: Callable[[int], None]) -> int:
    """One process from its beginning to its end; notes what it did that was finished before."""
    before = kind.finished(folder)
    with contextlib.suppress(FileNotFoundError):
        (folder / "begun").unlink()
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


def _finish(kind: Kind, folder: Path) -> None:
    lost: list[str] = []
    _life(kind, folder, lost, lambda child: None)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mnas-soak-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
