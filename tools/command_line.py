"""What the programs of tools have in common on their command lines."""

from __future__ import annotations

import argparse


def make_parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m MODULE`, whose help begins with the module's docstring as it is laid out there."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
