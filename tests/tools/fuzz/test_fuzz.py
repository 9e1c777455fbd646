"""A few of `python -m tools.fuzz`'s mutated inputs for every kind of file; the tool itself tries 20,000."""

import logging
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.arch.codec import format_stage, parse_stage
from mnas.errors import InputError
from mnas.system.files import parse_json, read_bytes
from tools.fuzz.oracle import tokens
from tools.fuzz.runner import Scenario, Tally, run_scenario, try_input
from tools.fuzz.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_bad_input_is_refused_or_understood(name):
    logging.disable(logging.CRITICAL)
    try:
        tally = run_scenario(SCENARIOS[name], count=30, seed=zlib.crc32(name.encode()))
    finally:
        logging.disable(logging.NOTSET)
    assert tally.tried == 30
    assert [why for why, _ in tally.lost] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_mutated_was_readable_before(name, tmp_path):
    scenario = SCENARIOS[name]
    folder = tmp_path.resolve()
    seeds = scenario.seeds(folder)
    tally = Tally()
    for data in seeds:
        try_input(scenario, folder, data, tally)
    assert tally.lost == []
    assert tally.accepted > 0
    assert tally.refused == 0


def _offend(path):
    (path.parent.parent / "outside").write_text("mine")


def _hang(path):
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (_offend, "open"),
        (lambda path: 1 / 0, "ZeroDivisionError"),
        (lambda path: path.read_bytes(), "accepted with another meaning"),
    ],
)
def test_the_tool_sees_what_it_is_there_to_see(read, why, tmp_path):
    tally = Tally()
    folder = tmp_path.resolve() / "inside"
    try_input(Scenario(lambda folder: [b""], read, lambda data, understood: False), folder, b"x", tally)
    assert any(why in lost for lost, _ in tally.lost)


def test_the_tool_ends_a_reader_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.fuzz.runner.SECONDS", 0.2)
    tally = Tally()
    try_input(Scenario(lambda folder: [b""], _hang), tmp_path.resolve(), b"x", tally)
    assert [why for why, _ in tally.lost] == ["took more than 0.2 s"]


@given(st.text(alphabet="irdscn_k3s12e6c40.|-٣ \n0", max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_block_string_that_is_read_is_written_with_the_same_meaning(text):
    try:
        stage = parse_stage(text)
    except InputError:
        return
    assert parse_stage(format_stage(stage)) == stage
    assert tokens(format_stage(stage)) == tokens(text)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "NaN", "[Infinity]", "1e999", b"\xff", "[" * 100_000])
def test_json_that_is_not_the_standards_is_refused(text):
    with pytest.raises((ValueError, RecursionError)):
        parse_json(text)


def test_a_file_without_an_end_is_refused():
    with pytest.raises(InputError, match="larger than"):
        read_bytes("/dev/zero", "a table", most=1 << 20)
