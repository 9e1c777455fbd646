"""Reading text that nobody vouches for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnas.errors import InputError
from mnas.latency.importers.flat import MOST_BYTES, parse_rows, read_text

ROW = "Conv-input:224x224x3-output:112x112x32:\n"


def test_rows_and_their_lines() -> None:
    text = (
        "# by hand\n\n"
        + ROW
        + "  count: 982\n  mean: 4.08\r\n  var: 2.5e-05\n"
        + "Logits-input:7x7x4-output:10:\n  mean: 1.\n"
    )
    first, second = parse_rows(text)
    assert first.name == ROW[:-2]
    assert first.values == {"count": 982, "mean": 4.08, "var": 2.5e-05}
    assert (first.line, second.line) == (3, 7)
    assert parse_rows("") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROW + "  mean: .nan\n", r"line 2: mean is '\.nan': expected a finite number"),
        (ROW + "  mean: nan\n", "line 2: mean is 'nan'"),
        (ROW + "  mean: .inf\n", "line 2"),
        (ROW + "  mean: 1e999\n", "line 2"),
        (ROW + "  mean: -1.5\n", "line 2: mean is '-1.5'"),
        (ROW + "  mean: 0x10\n", "line 2"),
        (ROW + "  mean: 1_000\n", "line 2"),
        (ROW + "  mean: \u0661\n", "line 2"),  # digits that float() would take
        (ROW + "  mean: &a 1\n", "line 2: expected the name of a row"),
        (ROW + "  mean: *a\n", r"line 2: mean is '\*a'"),
        (ROW + "  mean: !!python/object/apply:os.system ['x']\n", "line 2: expected the name of a row"),
        ("!!python/object:x\n", "line 1"),
        ("--- !tag\n", "line 1"),
        ("{a: 1}\n", "line 1"),
        ("- 1\n", "line 1"),
        ("  mean: 1\n", "line 1: expected the name of a row"),
        ("Conv:\n  mean: 1\n", "line 1"),
        (ROW + "    mean: 1\n", "line 2"),
        (ROW + "  mean:\n    deeper: 1\n", "line 2"),
        (ROW + "\tmean: 1\n", "line 2"),
        (ROW + "  mean: 1\n  mean: 2\n", "line 3: mean occurs twice"),
        (ROW + "  mean: 1\n" + ROW + "  mean: 2\n", "line 1: this row occurs again in line 3"),
        (ROW, "line 1: this row has no values"),
        (ROW + "  mean: 1\n" + "x" * 5000, "line 3 has 5000 characters"),
    ],
)
def test_everything_else_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_rows(text)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read a latency table"):
        read_text(tmp_path / "none.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_text(tmp_path / "binary")
    (tmp_path / "large").write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(InputError, match="larger than 4 MiB"):
        read_text(tmp_path / "large")
