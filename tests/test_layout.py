"""How mnas is laid out: no import circles, private names stay in their package, mnas/search stays small."""

import ast
from pathlib import Path

import pytest

import mnas

ROOT = Path(mnas.__file__).parent
FILES = {".".join(["mnas", *path.relative_to(ROOT).with_suffix("").parts]): path for path in ROOT.rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}


def imports(module: str) -> list[tuple[str, str]]:
    """What a module imports of mnas, anywhere in it: (module, name), where the name is empty for a whole module."""
    found = []
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively: write the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((whole, "") if whole in MODULES else (node.module or "", alias.name))
    return [(name, symbol) for name, symbol in found if name in MODULES]


def test_no_imports_go_in_circles_wherever_they_stand():
    arrows = {module: {name for name, _ in imports(module)} - {"mnas", module} for module in MODULES}
    while free := [module for module, needs in arrows.items() if not needs & arrows.keys()]:
        for module in free:
            del arrows[module]
    # Whatever only leads into a circle goes too, so that the message names those in one.
    while outer := [module for module in arrows if not any(module in needs for needs in arrows.values())]:
        for module in outer:
            del arrows[module]
    assert not arrows, {module: sorted(needs & arrows.keys()) for module, needs in arrows.items()}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_private_names_stay_in_their_module(module):
    private = [
        f"{name}.{symbol}"
        for name, symbol in imports(module)
        if (symbol.startswith("_") and not symbol.startswith("__")) or name.rpartition(".")[2].startswith("_")
    ]
    assert not [name for name in private if not name.endswith("__main__")]


def test_search_stays_small():
    assert len(list((ROOT / "search").glob("*.py"))) <= 15


def test_a_budget_can_be_followed_by_search_from_the_option_to_the_reward():
    way = ("cli/search", "search/options", "search/build", "search/constraints", "search/objective", "reward")
    assert not [file for file in way if "budget_ms" not in (ROOT / f"{file}.py").read_text(encoding="utf-8")]
