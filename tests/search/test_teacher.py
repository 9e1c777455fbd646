"""The teacher and the library of a search: what is made, and what is refused."""

import shutil
from pathlib import Path

import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.library.library import write_manifest
from mnas.search import teacher as module
from mnas.search.options import SearchOptions
from mnas.search.teacher import ensure_library, library_of
from mnas.space.around import space_around
from mnas.space.files import save_space
from tests.latency.tables import make_table
from tests.libraries import OPTIONS, TEACHER, tiny_space

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def built(monkeypatch):
    """What `build_library` is called with; nothing is trained."""
    calls = []
    monkeypatch.setattr(
        module, "build_library", lambda teacher, dataset, folder, **rest: calls.append({"folder": folder, **rest})
    )
    return calls


def options(**fields):
    return SearchOptions(**{"evaluator": "library", **fields})


def test_a_library_is_made_in_the_study_around_the_teacher(built, tiny_teacher, tmp_path):
    found = ensure_library(options(teacher=str(tiny_teacher.folder)), tmp_path)
    assert found.library == str(tmp_path / "library")
    (call,) = built
    assert call["folder"] == tmp_path / "library"
    assert call["space"].stages == space_around(TEACHER).stages


def test_its_resolutions_are_those_of_all_tables_and_slow_blocks_are_left_out(built, tiny_teacher, tmp_path):
    """By multiply-adds, a larger kernel on as many channels costs more than the teacher's own block."""
    for name, sizes in (("a", (8, 6)), ("b", (8, 6, 4))):
        make_table(space_around(TEACHER, resolutions=sizes)).save(tmp_path / f"{name}.json")
    tables = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    ensure_library(options(teacher=str(tiny_teacher.folder), table=tables, budget_ms=[1, 1]), tmp_path)
    space = built[0]["space"]
    assert space.input_sizes == (8, 6)
    whole = space_around(TEACHER)
    assert [stage.blocks[0] for stage in space.stages] == [stage.blocks[0] for stage in whole.stages]
    assert space.stages[0].blocks == ("ds_r1_k3_s1_c8", "id_r1_k1_s1_c8")
    left_out = set(whole.stages[2].blocks) - set(space.stages[2].blocks)
    assert left_out == {"ir_r1_k7_s1_e3_c12"}


def test_blocks_that_a_table_has_no_entry_for_are_left_out_with_a_word(built, tiny_teacher, tmp_path, caplog):
    """A table of `space around --kernel-sizes 3,5` is enough for a search around the teacher."""
    make_table(space_around(TEACHER, kernel_sizes=(3, 5))).save(tmp_path / "small.json")
    make_table(space_around(TEACHER)).save(tmp_path / "whole.json")
    tables = [str(tmp_path / "whole.json"), str(tmp_path / "small.json")]
    ensure_library(options(teacher=str(tiny_teacher.folder), table=tables, budget_ms=[1, 1]), tmp_path)
    blocks = [block for stage in built[0]["space"].stages for block in stage.blocks]
    assert not [block for block in blocks if "k7" in block]
    assert [block for block in blocks if "k5" in block]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tables[1]} has no entries for ")


def test_a_library_that_is_there_keeps_blocks_without_an_entry(built, tiny_teacher, tiny_library, tmp_path, caplog):
    table = tmp_path / "small.json"
    make_table(space_around(TEACHER, kernel_sizes=(3,))).save(table)
    given = {"teacher": str(tiny_teacher.folder), "table": [str(table)], "budget_ms": [1]}
    ensure_library(options(**given, library=str(tiny_library.folder)), tmp_path)
    assert not built
    assert not [record for record in caplog.records if "has no entries" in record.getMessage()]


def test_a_library_that_is_there_is_taken_as_it_is(built, tiny_teacher, tiny_library, tmp_path):
    """Other tables, or other options of its build, do not make it another one; nor where it is unfinished."""
    make_table(space_around(TEACHER)).save(tmp_path / "table.json")
    given = {"teacher": str(tiny_teacher.folder), "table": [str(tmp_path / "table.json")], "budget_ms": [1]}
    found = ensure_library(options(**given, library=str(tiny_library.folder)), tmp_path)
    assert found.library == str(tiny_library.folder)
    assert not built
    write_manifest(tmp_path / "begun", tiny_library.made_from, [[None] * len(row) for row in tiny_library.losses], {})
    ensure_library(options(**given, library=str(tmp_path / "begun")), tmp_path)
    assert built[0]["space"] == tiny_library.space
    assert built[0]["options"] == OPTIONS


def test_a_library_goes_without_its_teacher_and_with_a_study_that_was_moved(tiny_library, tmp_path):
    alone = options(library=str(tiny_library.folder))
    assert ensure_library(alone, tmp_path) == alone
    assert library_of(alone).fingerprint == tiny_library.fingerprint
    shutil.copytree(tiny_library.folder, tmp_path / "library")
    moved = ensure_library(options(library="elsewhere/study/library"), tmp_path)
    assert moved.library == str(tmp_path / "library")


def test_another_space_than_the_librarys_is_refused(tiny_library, tmp_path):
    given = {"library": str(tiny_library.folder), "space": str(tmp_path / "space.toml")}
    save_space(tiny_space(), tmp_path / "space.toml")
    assert ensure_library(options(**given), tmp_path).library == given["library"]
    save_space(tiny_space(resolutions=()), tmp_path / "space.toml")
    with pytest.raises(InputError, match=r"space.toml is not the space of the library .*: leave out --space"):
        ensure_library(options(**given), tmp_path)


def test_a_missing_or_unfinished_library_is_refused(tiny_library, tmp_path):
    with pytest.raises(InputError, match=r"nowhere is not a block library .*: make one with mnas library build"):
        ensure_library(options(library="nowhere"), tmp_path)
    write_manifest(tmp_path / "begun", tiny_library.made_from, [[None] * len(row) for row in tiny_library.losses], {})
    with pytest.raises(InputError, match="is not finished, 16 alternatives are missing"):
        ensure_library(options(library=str(tmp_path / "begun")), tmp_path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"teacher": "runs/typo"},
            r"the teacher is 'runs/typo': expected a folder of mnas train, a network of the zoo",
        ),
        ({"teacher": "runs/typo", "data": "digits"}, "the teacher is 'runs/typo': expected"),
        ({"teacher": "efficientnet-lite0"}, "the teacher efficientnet-lite0 is trained first: add --data"),
        ({"teacher": "train"}, "the teacher train is trained first: add --data"),
    ],
)
def test_a_teacher_that_cannot_be_had_is_refused(built, tmp_path, fields, said):
    with pytest.raises(InputError, match=said):
        ensure_library(options(**fields), tmp_path)
    assert not built


def test_a_space_of_another_teacher_is_refused(built, tiny_teacher, tmp_path):
    save_space(space_around(zoo("mnasnet-a1")), tmp_path / "other.toml")
    with pytest.raises(InputError, match="is not a space around this teacher"):
        ensure_library(options(teacher=str(tiny_teacher.folder), space=str(tmp_path / "other.toml")), tmp_path)
    save_space(tiny_space(), tmp_path / "own.toml")
    ensure_library(options(teacher=str(tiny_teacher.folder), space=str(tmp_path / "own.toml")), tmp_path)
    assert built[0]["space"].stages == tiny_space().stages


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "--evaluator library needs --teacher, such as --teacher efficientnet-lite0, or the --library"),
        ({"evaluator": "proxy", "library": "lib", "data": "digits"}, "--library is for --evaluator library, and the"),
        ({"evaluator": "proxy", "teacher": "t", "data": "digits"}, "--teacher is for --evaluator library, and the"),
    ],
)
def test_options_that_do_not_go_together_are_refused(fields, said):
    with pytest.raises(InputError, match=said):
        options(**fields)


def test_the_evaluator_is_the_librarys_where_there_is_one():
    assert SearchOptions(library="lib").evaluator == "library"
    assert SearchOptions(teacher="efficientnet-lite0").evaluator == "library"
    assert SearchOptions(data="digits").evaluator == "proxy"
    assert Path(SearchOptions(library="lib").space) == Path("library")
