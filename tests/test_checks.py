from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from mnas.checks import check_fields, convert
from mnas.errors import InputError

Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Point:
    ms: Annotated[float, Meta(ge=0, le=1e7)]
    share: Share = 0
    kind: Literal["measured", "fitted"] = "measured"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.ms == 13:
            raise InputError("ms is 13: expected luck")


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1
    points: tuple[Point, ...] = ()
    by_key: dict[str, Point] = {}
    pairs: Annotated[list[tuple[float, float]], Meta(max_length=3)] = []
    note: str | None = None
    done: bool = False


POINT = {"ms": 1.5}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"threads": 0}, "t.json: threads is 0: expected a whole number from 1 to 1024"),
        ({"threads": "3"}, "t.json: threads is '3': expected a whole number from 1 to 1024"),
        ({"threads": True}, "t.json: threads is True: expected a whole number from 1 to 1024"),
        ({"threads": 2.0}, "t.json: threads is 2.0: expected a whole number from 1 to 1024"),
        ({"threads": 10**30}, "threads is a number of more than 20 digits: expected a whole number from 1 to 1024"),
        ({"points": [POINT, {"ms": -1}]}, r"t.json: points\[1\].ms is -1: expected a number from 0 to 1e\+07"),
        ({"points": [POINT, {"ms": math.nan}]}, r"points\[1\].ms is nan: expected a number from 0 to 1e\+07"),
        ({"points": [POINT, {"ms": math.inf}]}, r"points\[1\].ms is inf: expected a number from 0 to 1e\+07"),
        ({"points": [{"ms": 1, "share": 2}]}, r"points\[0\].share is 2: expected a number from 0 to 1"),
        ({"points": [{"ms": 1, "share": math.nan}]}, r"points\[0\].share is nan: expected a number from 0 to 1"),
        ({"points": [{"ms": 1, "kind": "x"}]}, r"points\[0\].kind is 'x': expected one of measured, fitted"),
        ({"points": [{"ms": 13}]}, r"t.json: points\[0\]: ms is 13: expected luck"),
        ({"points": [{"ms": 1, "us": 2, "\x1b": 3}]}, r"points\[0\] has unknown fields \\x1b, us; known are ms, share"),
        ({"points": [{"share": 1}]}, r"t.json: points\[0\] lacks ms"),
        ({"points": "ab"}, "points is 'ab': expected a list"),
        ({"by_key": {"a": POINT, "b": {"ms": "1"}}}, r"t.json: by_key\['b'\].ms is '1': expected a number from 0"),
        ({"by_key": [1]}, r"by_key is \[1\]: expected an object"),
        ({"pairs": [[1, 2], [3]]}, r"pairs\[1\] is \[3\]: expected a list of 2"),
        ({"pairs": [[1, 2], [3, None]]}, r"pairs\[1\]\[1\] is None: expected a number"),
        ({"pairs": [[1, 2]] * 4}, r"pairs is .*: expected a list of 0 to 3"),
        ({"pairs": [[1, math.nan]]}, r"pairs\[0\]\[1\] is nan: expected a number from -1e\+12 to 1e\+12$"),
        ({"name": "a\0b"}, r"name is 'a\\x00b': expected text of at most 4096 characters, none of them NUL"),
        ({"name": "a" * 5000}, r"name is 'a+\.\.\.: expected text of at most 4096 characters, none of them NUL"),
        ({"name": None}, "name is None: expected text"),
        ({"note": 3}, "note is 3: expected text"),
        ({"done": 1}, "done is 1: expected true or false"),
        ({"x": 1, "y": 2}, "t.json has unknown fields x, y; known are name, threads"),
        ({"\ud800": 1}, r"t.json has unknown fields \\ud800"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_with_place_value_and_expectation(
    more: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        convert({"name": "n", **more}, Curve, "t.json")


def test_a_document_becomes_a_record() -> None:
    document = {"name": "n", "points": [{"ms": 2, "share": 1}], "by_key": {"k": POINT}, "pairs": [[1, 2]], "note": None}
    found = convert(document, Curve, "t.json")
    assert found == Curve(name="n", points=(Point(2, 1),), by_key={"k": Point(1.5)}, pairs=[(1.0, 2.0)])
    assert repr(found.points[0].share) == "1", "an int that may be one stays one: files are written as they were"
    assert convert([POINT], list[Point], "x") == [Point(1.5)]
    with pytest.raises(InputError, match=r"^x is \{'ms': 1.5\}: expected a list"):
        convert(POINT, list[Point], "x")
    with pytest.raises(InputError, match=r"^x is 3: expected an object"):
        convert(3, Curve, "x")
    with pytest.raises(InputError, match=r"^the curve lacks name$"):
        convert({}, Curve, "the curve")


class Loose(msgspec.Struct):
    point: Point


def test_a_struct_says_whether_other_fields_may_stand_there() -> None:
    assert convert({"point": POINT, "more": 1}, Loose, "x").point == Point(1.5)
    with pytest.raises(InputError, match=r"x: point has unknown fields more"):
        convert({"point": {**POINT, "more": 1}}, Loose, "x")


@dataclass(frozen=True)
class Options:
    steps: Annotated[int, Meta(ge=1, description="training steps")] = 1
    rate: float = 0.5
    rates: Sequence[float] = ()
    path: Path | None = None
    name: str | None = None
    point: Point | None = None
    points: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "^steps is 0: expected a whole number from 1 to 1000000000000$"),
        ({"steps": True}, "^steps is True: expected a whole number"),
        ({"steps": 10**13}, "steps is 10000000000000: expected a whole number from 1"),
        ({"rate": math.nan}, "rate is nan: expected a number from"),
        ({"rate": "0.5"}, "rate is '0.5': expected a number"),
        ({"rates": [1, 2, -math.inf]}, r"rates\[2\] is -inf: expected a number"),
        ({"rates": "ab"}, "rates is 'ab': expected a list"),
        ({"path": "a"}, "path is 'a': expected a Path"),
        ({"name": "a\0"}, "name is .*: expected text"),
        ({"point": {"ms": 1.0}}, "point is {'ms': 1.0}: expected a Point"),
        ({"points": (Point(1.0), 3)}, r"points\[1\] is 3: expected a Point"),
    ],
)
def test_a_record_that_a_program_makes_is_checked_by_its_annotations(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Options(**fields)


def test_a_record_keeps_what_it_was_given() -> None:
    made = Options(steps=3, rate=1, rates=[1, 2.5], path=Path("x"), name="n", point=Point(1.0), points=(Point(2.0),))
    assert repr(made.rate) == "1"
    assert made.rates == [1, 2.5]


def test_checks_start_fast() -> None:
    code = "import mnas.checks, sys; print([name for name in ('numpy', 'rich', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
