import json
import math

import pytest

from mnas.arch.zoo import zoo
from mnas.errors import InputError
from mnas.trial import Measurement, Trial

FOUND = Measurement(0.75, (1.5, 0.1 + 0.2), 3, 4)
TRIALS = [
    Trial(7, zoo("mnasnet-a1"), FOUND, 0.70, (("accuracy", 0.75), ("latency_penalty", -0.05)), seconds=1.25),
    Trial(8, zoo("efficientnet-lite0"), Measurement(0.0, (), 1, 1), -0.1),
    Trial(9, zoo("mnasnet-small"), error="out of memory"),
]


@pytest.mark.parametrize("trial", TRIALS)
def test_a_trial_survives_a_file(trial):
    assert Trial.from_dict(json.loads(json.dumps(trial.to_dict(), allow_nan=False))) == trial


def test_a_trial_without_a_measurement_has_failed():
    assert [trial.failed for trial in TRIALS] == [False, False, True]


def test_the_first_latency_stands_for_all_and_none_for_none():
    assert FOUND.latency_ms == 1.5
    assert Measurement(0.5, (), 1, 1).latency_ms is None


@pytest.mark.parametrize("accuracy", [-0.01, 1.01, 75.2, math.nan])
def test_an_accuracy_is_a_share(accuracy):
    with pytest.raises(InputError, match="from 0 to 1"):
        Measurement(accuracy, (), 1, 1)


@pytest.mark.parametrize("latency", [0.0, -1.0, math.nan, math.inf])
def test_a_latency_is_positive(latency):
    with pytest.raises(InputError, match="positive number"):
        Measurement(0.5, (1.0, latency), 1, 1)


@pytest.mark.parametrize("field", ["number", "architecture", "measurement", "reward", "terms", "error", "seconds"])
def test_a_missing_field_is_an_error(field):
    data = TRIALS[0].to_dict()
    del data[field]
    with pytest.raises(InputError):
        Trial.from_dict(data)


@pytest.mark.parametrize("data", [None, 3, [], "trial", {}])
def test_what_is_no_trial_is_an_error(data):
    with pytest.raises(InputError):
        Trial.from_dict(data)


@pytest.mark.parametrize(
    ("name", "value"), [("rungs", "xx"), ("rungs", ""), ("rungs", [2.0]), ("rungs", ["x"]), ("latencies_ms", {})]
)
def test_rungs_and_latencies_are_lists_of_numbers(name, value):
    data = TRIALS[0].to_dict()
    data["measurement"][name] = value
    with pytest.raises(InputError):
        Trial.from_dict(data)
