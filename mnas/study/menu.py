"""Published networks that were fine-tuned, to compare the winner of a search with: `menu.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from mnas.checks import Share, convert
from mnas.errors import InputError
from mnas.system.files import is_document, read_json, write_json

MENU = "menu.json"
FOLDER = "menu"  # of a study
FORMAT, VERSION = "mnas.menu", 1


class TriedNetwork(Struct, frozen=True):
    """A published network, fine-tuned.

    Attributes:
        name: in the zoo.
        resolution: in pixels.
        predicted_ms: by the latency table.
        measured_ms: on its device; None if it was not measured.
        frozen_accuracy: with its classifier trained only, on the validation split.
        validation_accuracy: with all weights trained; None if only its classifier was.
        test_accuracy: the same on the test split.
        folder: of the trained network, relative to the menu's; None if it is not kept.
    """

    name: str
    resolution: int
    predicted_ms: float
    measured_ms: float | None
    frozen_accuracy: Share
    validation_accuracy: Share | None = None
    test_accuracy: Share | None = None
    folder: str | None = None


class TriedMenu(Struct, frozen=True):
    """The networks that were fine-tuned, best first.

    Attributes:
        budget_ms: their latency budget.
        tried: at least one.
    """

    budget_ms: float
    tried: tuple[TriedNetwork, ...]

    @property
    def best(self) -> TriedNetwork:
        """The network with the highest validation accuracy of those with all weights trained."""
        return self.tried[0]


def write_menu(menu: TriedMenu, folder: Path) -> None:
    """Write what was fine-tuned to `menu.json` in a folder."""
    tried = [to_plain(each) for each in menu.tried]
    write_json(folder / MENU, {"format": FORMAT, "version": VERSION, "budget_ms": menu.budget_ms, "tried": tried})


def to_plain(tried: TriedNetwork) -> dict[str, Any]:
    """Return plain data."""
    return structs.asdict(tried)


def read_menu(folder: Path) -> TriedMenu | None:
    """Read a folder's `menu.json`; None if there is none.

    Raises:
        InputError: if it is damaged.
    """
    path = folder / MENU
    if not path.is_file():
        return None
    document = read_json(path, "a menu")
    if not is_document(document, FORMAT, VERSION):
        raise InputError(f"{path} is not a menu of this version of mnas: delete it, and run mnas menu again")
    menu = convert(document, TriedMenu, str(path))
    if not menu.tried:
        raise InputError(f"{path} lists no network: delete it, and run mnas menu again")
    return menu
