"""Surveys of spaces: samples, the error EDF, choices that harm."""

import numpy as np
import pytest

from mnas.errors import InputError, MnasError
from mnas.evaluators.base import Evaluator
from mnas.experiments.survey import Survey, choices, survey, survey_spaces, to_rows
from mnas.reward import make_reward
from mnas.search.objective import Objective
from mnas.space import load_space
from mnas.trial import Measurement, Trial
from tests.conftest import FakeEvaluator, madds_target
from tests.latency.tables import make_table
from tests.spaces import small_space


class KernelsHarm(Evaluator):
    """Kernel 5 in the first stage costs ten points; a little noise that depends on the network."""

    def accuracy(self, architecture):
        noise = np.random.default_rng(abs(hash(architecture)) % 2**32).normal(0, 0.01)
        return 0.8 - 0.1 * (architecture.stages[0].block.kernel_size == 5) + noise

    def describe(self):
        return {}


def test_the_samples_are_seeded_and_within_the_budget(space, evaluator):
    target = madds_target(space, 500.0)
    objective = Objective(evaluator, make_reward("absolute"), [target])
    first, again = (survey(space, objective, num_samples=20, seed=3, costs=target.costs) for _ in range(2))
    assert [t.architecture for t in first.trials] == [t.architecture for t in again.trials]
    assert max(t.measurement.latency_ms for t in first.trials) <= 500
    assert first.latencies_ms.shape == (10_000,)
    low, high = (target.costs.extreme(largest=largest)[1] for largest in (False, True))
    assert low <= first.latencies_ms.min() < first.latencies_ms.max() <= high


def test_errors_are_sorted_and_failures_left_out(space):
    trials = [Trial(0, space.decode([0] * 12), error="no")]
    trials += [Trial(i, space.decode([0] * 12), Measurement(0.1 * i, (), 1, 1), 0.1) for i in (3, 9, 5)]
    found = Survey(space, trials)
    assert found.errors.tolist() == pytest.approx([0.1, 0.5, 0.7])
    document = found.to_dict()
    assert (document["num_samples"], document["num_failed"], document["error_quantiles"]["0.5"]) == (4, 1, 0.5)
    rows = to_rows([found])
    assert [row[3] for row in rows[1:]] == pytest.approx([1 / 3, 2 / 3, 1])


def test_the_choice_that_harms_is_found():
    space = small_space(2)
    found = survey(space, Objective(KernelsHarm(), make_reward("absolute")), num_samples=60)
    worst, *rest = choices(found)
    assert (worst.decision, worst.choice) == ("stage1.kernel_size", 5)
    assert worst.difference == pytest.approx(0.1, abs=0.01)
    assert worst.worse
    assert sum(choice.worse for choice in rest) <= 2


def test_when_every_sample_fails_the_reason_is_said(space):
    evaluator = FakeEvaluator(space)

    def fail(count):
        raise OSError("no data")

    evaluator.on_call = fail
    with pytest.raises(MnasError, match=r"all 3 samples of small failed.*no data"):
        survey(space, Objective(evaluator, make_reward("absolute")), num_samples=3)


def test_a_space_that_a_shared_table_lacks_says_so(tmp_path):
    make_table(load_space("mnasnet-16")).save(tmp_path / "t.json")
    first, second = survey_spaces(["mnasnet-16", "mobilenet-v3-32"], tables=[tmp_path / "t.json"])
    assert first.latencies_ms is not None
    assert first.lacking == ""
    assert second.latencies_ms is None
    assert "mobilenet-v3-32 has 32 px" in second.to_dict()["table_lacks"]
    with pytest.raises(InputError, match="mobilenet-v3-32 has 32 px"):
        survey_spaces(["mobilenet-v3-32"], tables=[tmp_path / "t.json"])
