"""Whether a measurement can be compared with a table's predictions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnas.errors import InputError
from mnas.profiling.prediction import check_same
from tests.latency.tables import CONFIGURATION

PHONE = replace(CONFIGURATION, device="adb", model="Pixel 4", soc="SM8150", cpu="1 x 2.84 GHz", binary_sha256="ab" * 32)


@pytest.mark.parametrize(
    "changes",
    [
        {"binary_sha256": "cd" * 32},
        {"cpu": "7 x 1.79 GHz", "affinity": "6"},
        {"governor": "performance"},
        {"os": "google/flame:14"},
        {"runtime_version": "3.0"},
    ],
)
def test_what_changes_on_one_phone_is_warned_of(changes: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert check_same(PHONE, PHONE)
    assert not caplog.text
    assert check_same(PHONE, replace(PHONE, **changes))
    for name, value in changes.items():
        assert f"{name} was {getattr(PHONE, name)!r}, is {value!r}" in caplog.text


@pytest.mark.parametrize("changes", [{"model": "Pixel 5"}, {"runtime": "other"}, {"delegate": "gpu"}, {"threads": 4}])
def test_another_phone_or_runtime_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match="the table is for"):
        check_same(PHONE, replace(PHONE, **changes))  # type: ignore[arg-type]


def test_a_dtype_is_not_compared_and_another_processor_is_another_machine(caplog: pytest.LogCaptureFixture) -> None:
    assert check_same(CONFIGURATION, replace(CONFIGURATION, dtype="int8"))
    assert not caplog.text
    assert not check_same(CONFIGURATION, replace(CONFIGURATION, cpu="another"))
    assert "for another machine (a CPU), this is another" in caplog.text


OLD = replace(CONFIGURATION, affinity="7")


def test_tables_of_other_cores_are_refused() -> None:
    assert check_same(OLD, replace(OLD, affinity="6"))  # the default, where another core was switched on
    assert check_same(OLD, replace(OLD, affinity="7-7: 7"))  # the same core, asked for
    assert check_same(replace(OLD, affinity="big: 4,5"), replace(OLD, affinity="big: 4,5,6"))
    with pytest.raises(InputError, match="for no --cores; this is --cores little: 0,1"):
        check_same(OLD, replace(OLD, affinity="little: 0,1"))
    with pytest.raises(InputError, match="for --cores big: 4,5; this is --cores little"):
        check_same(replace(OLD, affinity="big: 4,5"), replace(OLD, affinity="little: 0,1"))
