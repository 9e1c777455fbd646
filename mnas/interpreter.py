"""Another Python of this machine that runs one of mnas's modules, and nothing that lies about in the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mnas

# `python -m` and `python -c` look for modules in the current folder first: a stranger's json.py there would run.
# `-P` and PYTHONSAFEPATH are of Python 3.11, and the latter would reach what a user's own evaluator starts.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from importlib import import_module; import_module(sys.argv.pop(1)).main()"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module's `main`; its environment needs `PYTHONPATH` as `python_path` has it.

    Args:
        module: by its full name, such as `mnas.search.worker`.
        arguments: that it finds in `sys.argv[1:]`.
    """
    return [sys.executable, "-c", _START, module, *arguments]


def python_path() -> str:
    """PYTHONPATH with which another Python finds this very package, and whatever this one was told to find."""
    package = str(Path(mnas.__file__).parent.parent)
    return os.pathsep.join([package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
