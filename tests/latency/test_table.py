"""Tables as files."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from mnas.errors import InputError, MnasError
from mnas.latency.table import Entry, LatencyTable, ReportCard
from tests.latency.tables import CARD, make_table
from tests.spaces import small_space


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_table(small_space()).save(tmp_path / "table.json")
    return tmp_path / "table.json"


def test_what_is_saved_is_loaded(path: Path) -> None:
    table = make_table(small_space(), params_curve=((1000, 0.9), (2000, 1.1)))
    table.save(path)
    loaded = LatencyTable.load(path)
    assert loaded == table
    assert loaded.sha256 == table.sha256
    assert loaded.sha256 != make_table(small_space(), overhead_ms=0.003).sha256
    keys = list(json.loads(path.read_text())["entries"])
    assert keys == sorted(keys)


def change(path: Path, **fields: Any) -> None:
    data = json.loads(path.read_text())
    for name, value in fields.items():
        if value is None:
            del data[name]
        else:
            data[name] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, "not a latency table"),
        ({"version": 99}, "version 99"),
        ({"overhead_ms": None}, "lacks overhead_ms"),
        ({"relative_error": -1.0}, "relative_error is -1.0"),
        ({"overhead_ms": "0.1"}, "overhead_ms is '0.1'"),
        ({"extra": 1}, "unknown fields extra"),
        ({"resolution": 0}, "resolution is 0"),
        ({"space": 3}, "space is 3"),
        ({"params_curve": 3}, "params_curve is 3"),
        ({"params_curve": [[1, 2, 3]]}, "pair of parameters"),
        ({"params_curve": [[5, 1.0], [4, 1.0]]}, "rising"),
        ({"params_curve": [[5, 0.0]]}, r"params_curve\[0\]\[1\] is 0.0: expected a number from 0.1 to 10"),
        ({"entries": []}, "entries"),
        ({"entries": {}}, "entries is empty: expected at least one"),
        ({"entries": {"a": 3}}, r"entries\['a'\] is 3: expected an object"),
        ({"entries": {"a": {"latency_s": 0.1, "error_ms": 0, "num_networks": 1}}}, "latency_s; known are latency_ms,"),
        ({"entries": {"a": {"latency_ms": -0.1, "error_ms": 0, "num_networks": 1}}}, "latency_ms is -0.1"),
        ({"entries": {"a": {"latency_ms": True, "error_ms": 0, "num_networks": 1}}}, "latency_ms is True"),
        ({"entries": {"a": {"latency_ms": 1, "error_ms": 0, "num_networks": 1, "source": "x"}}}, "measured, fitted"),
        ({"configuration": {"device": "local"}}, "configuration lacks"),
        ({"report_card": {"mape": 0.1}}, "report_card lacks"),
    ],
)
def test_wrong_fields_are_refused(path: Path, fields: dict[str, Any], message: str) -> None:
    change(path, **fields)
    with pytest.raises(InputError, match=message) as caught:
        LatencyTable.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x9b31m", "\u202egnp"])
def test_text_that_would_do_something_to_a_terminal_is_refused(path: Path, text: str) -> None:
    whole = json.loads(path.read_text())
    key, entry = next(iter(whole["entries"].items()))
    changes: list[dict[str, Any]] = [{name: text} for name in ("space", "date", "method", "mnas_version")]
    changes += [{"configuration": {**whole["configuration"], name: text}} for name in ("cpu", "os", "model")]
    for fields in (*changes, {"entries": {**whole["entries"], f"{key}{text}": entry}}):
        path.write_text(json.dumps({**whole, **fields}))
        with pytest.raises(InputError, match="expected text of printable characters") as caught:
            LatencyTable.load(path)
        assert str(caught.value).isprintable()


def test_truncated_and_nan_and_missing_files_are_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated"):
        LatencyTable.load(path)
    path.write_text(whole.replace('"overhead_ms": 0.002', '"overhead_ms": NaN'))
    with pytest.raises(InputError, match="NaN"):
        LatencyTable.load(path)
    with pytest.raises(InputError, match="cannot read a latency table"):
        LatencyTable.load(tmp_path / "none.json")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MnasError, match="cannot write"):
        make_table(small_space()).save(tmp_path / "file" / "table.json")


def test_entries_check_themselves() -> None:
    with pytest.raises(InputError, match="num_networks"):
        Entry(1.0, 0.1, -1)


@pytest.mark.parametrize("source", ["measured", "fitted", "imported"])
def test_only_an_imported_block_takes_no_time(source: str) -> None:
    data = make_table(small_space()).to_dict()
    key = min(data["entries"])
    data["entries"][key] = {"latency_ms": 0, "error_ms": 0.1, "num_networks": 1, "source": source}
    if source == "imported":
        assert LatencyTable.from_dict(data).entries[key].latency_ms == 0
        return
    with pytest.raises(InputError, match=f"{key}.*latency_ms is 0, but it is {source}: expected a time above 0"):
        LatencyTable.from_dict(data)


def test_the_networks_held_out_are_kept_and_do_not_change_older_tables() -> None:
    card = ReportCard(2, 0.02, 0.9, 1.0, 0.9, 0.95, 0.01, 0.05)
    older = make_table(small_space(), report_card=card)
    assert "pairs_ms" not in older.to_dict()["report_card"], "its hash is what it always was"
    newer = make_table(small_space(), report_card=replace(card, pairs_ms=((1.0, 1.1), (2.0, 1.9))))
    assert LatencyTable.from_dict(json.loads(json.dumps(newer.to_dict()))) == newer
    wrong: Any
    for wrong in ([[1.0]], "ab", [[1.0, -2.0]]):
        with pytest.raises(InputError, match="pairs_ms"):
            replace(card, pairs_ms=wrong)


SIZES = small_space(resolutions=(16, 8))


def test_a_table_of_several_resolutions_is_saved_with_its_cards(tmp_path: Path) -> None:
    cards = {16: CARD, 8: replace(CARD, num_networks=5, pairs_ms=((1.0, 1.1),))}
    table = make_table(SIZES, report_cards=cards)
    table.save(tmp_path / "table.json")
    loaded = LatencyTable.load(tmp_path / "table.json")
    assert loaded == table
    assert loaded.report_cards[8].pairs_ms == ((1.0, 1.1),)
    assert (loaded.input_sizes, loaded.input_text) == ((16, 8), "16 and 8 px")


def test_a_table_of_one_resolution_has_the_fields_of_older_ones() -> None:
    table = make_table(small_space())
    assert not {"resolutions", "report_cards"} & table.to_dict().keys()
    assert (table.input_sizes, table.input_text) == ((16,), "16 px")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolutions": [8, 16]}, "the first of them `resolution`"),
        ({"resolutions": [16]}, "two or more"),
        ({"resolutions": [16, 8, 8]}, "different sizes"),
        ({"resolutions": [16, 0]}, r"resolutions\[1\] is 0"),
        ({"resolutions": None, "report_cards": {"8": asdict(CARD)}}, "8 px, which is not one of the resolutions"),
        ({"report_cards": {"eight": asdict(CARD)}}, "eight"),
        ({"report_cards": {"8": 3}}, r"report_cards\[8\] is 3: expected an object"),
        ({"report_cards": [3]}, "report_cards is"),
    ],
)
def test_wrong_resolutions_are_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    make_table(SIZES).save(tmp_path / "table.json")
    change(tmp_path / "table.json", **fields)
    with pytest.raises(InputError, match=message):
        LatencyTable.load(tmp_path / "table.json")
