"""`python -m mnas` is the same as `mnas`."""

from mnas.cli.main import run

if __name__ == "__main__":
    run()
