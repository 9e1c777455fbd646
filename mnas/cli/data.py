"""`mnas data`: what a folder of images holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mnas.cli import output
from mnas.cli.options import JSON

if TYPE_CHECKING:
    from mnas.data.inspection import DuplicateGroup, FolderReport

_MOST_SHOWN = 10  # unreadable files, and groups of duplicates; --json has all
_BAR_WIDTH = 30


def data(
    photos: str = typer.Argument(..., metavar="PHOTOS", help="A folder of images as for --data, or its address."),
    json: bool = JSON,
) -> None:
    """Show what a folder of images holds, before anything runs: classes, sizes, duplicates, unreadable files.

    Example: mnas data photos
    """
    from mnas.data.inspection import inspect_folder

    with output.progress("reading") as progress:
        report = inspect_folder(photos, progress=progress)
    if json:
        output.print_json(report.to_dict())
    else:
        _print(report)


def _print(report: FolderReport) -> None:
    print(f"{report.folder}: {report.layout}.")
    _print_counts(report)
    if report.sizes:
        sizes = ", ".join(f"{name} {width}x{height}" for name, (width, height) in report.sizes.items())
        print(f"Sizes in pixels: {sizes}. Modes: {', '.join(f'{mode} {n}' for mode, n in report.modes.items())}.")
    if report.imbalance is not None:
        print(f"The largest class has {report.imbalance:.2f} times the images of the smallest.")
    if others := report.skipped | report.other_files:
        print(f"Not read: {', '.join(f'{kind} {count}' for kind, count in others.items())}.")
    _print_some("Unreadable", [f"{path}: {error}" for path, error in report.unreadable.items()])
    _print_some("Equal or similar images", [_line(group) for group in _worst_first(report.duplicates)])
    for text in report.problems:
        print(f"Problem, training would refuse this: {text}")
    for text in report.warnings:
        print(f"Warning: {text}.")
    if not report.problems and not report.warnings:
        print("Nothing to complain about.")


def _print_counts(report: FolderReport) -> None:
    classes = sorted({label for counts in report.images.values() for label in counts})
    totals = {label: sum(counts.get(label, 0) for counts in report.images.values()) for label in classes}
    most = max(1, *totals.values())
    rows = [
        [label, *(str(counts.get(label, "-")) for counts in report.images.values()), _bar(totals[label] / most)]
        for label in classes
    ]
    rows.append(["all", *(str(sum(counts.values())) for counts in report.images.values()), ""])
    output.table("Images", ["class", *(split.replace("all", "images") for split in report.images), ""], rows)


def _bar(share: float) -> str:
    return ("█" * round(share * _BAR_WIDTH)).ljust(_BAR_WIDTH)


def _worst_first(groups: tuple[DuplicateGroup, ...]) -> list[DuplicateGroup]:
    return sorted(groups, key=lambda group: (len(group.classes) == 1, len(group.splits) == 1, not group.exact))


def _line(group: DuplicateGroup) -> str:
    files = ", ".join(group.files[:4]) + (f" and {len(group.files) - 4} more" if len(group.files) > 4 else "")
    return f"{'equal' if group.exact else 'similar'}: {files}"


def _print_some(title: str, lines: list[str]) -> None:
    if not lines:
        return
    shown = f", {_MOST_SHOWN} of {len(lines)} (--json has all)" if len(lines) > _MOST_SHOWN else ""
    print(f"{title}{shown}:")
    for line in lines[:_MOST_SHOWN]:
        print(f"  {line}")
