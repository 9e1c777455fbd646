"""Programs about mnas that are not part of it, run from the repository root: `python -m tools.bench.core`."""
