"""The controller: closed forms of an untrained policy, and that it is a probability distribution at all."""

import itertools

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

COUNTS = (2, 3, 1, 2)


@pytest.fixture(scope="module")
def controller():
    from mnas.strategies.controller import Controller

    return Controller(COUNTS, seed=5)


def test_untrained_entropy_is_the_sum_of_the_logs_of_the_choice_counts():
    from mnas.space.files import load_space
    from mnas.strategies.controller import Controller

    counts = [len(decision.choices) for decision in load_space("mnasnet").decisions]
    untrained = Controller(counts)
    log_probs, entropies = untrained.evaluate(untrained.sample(20, 0))
    expected = np.log(counts).sum()
    np.testing.assert_allclose(entropies, expected, rtol=1e-3)
    np.testing.assert_allclose(log_probs, -expected, rtol=1e-2)


def test_probabilities_of_all_index_rows_add_up_to_one(controller):
    rows = list(itertools.product(*map(range, COUNTS)))
    log_probs, _ = controller.evaluate(rows)
    assert np.exp(log_probs.astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)


def test_padding_is_never_sampled_and_every_choice_is(controller):
    rows = controller.sample(500, 0)
    assert rows.shape == (500, len(COUNTS))
    for column, count in zip(rows.T, COUNTS, strict=True):
        assert set(column) == set(range(count))


def test_the_same_draw_is_the_same_and_the_next_is_another(controller):
    assert (controller.sample(20, 3) == controller.sample(20, 3)).all()
    assert (controller.sample(20, 3) != controller.sample(20, 4)).any()


def test_samples_follow_the_probabilities(controller):
    """Sampling and judging are two graphs over the same weights: frequencies of samples must match the latter."""
    from mnas.strategies.controller import Controller

    skewed = Controller((2, 2), seed=0)
    # far from uniform, and the second choice depends on the first
    skewed.weights = [weight * 8 for weight in skewed.weights]
    rows = list(itertools.product(range(2), range(2)))
    log_probs, _ = skewed.evaluate(rows)
    drawn = skewed.sample(20_000, 0)
    frequencies = [(drawn == row).all(axis=1).mean() for row in rows]
    np.testing.assert_allclose(frequencies, np.exp(log_probs), atol=0.015)
    assert np.exp(log_probs).max() > 0.3


def test_a_rewarded_choice_becomes_likelier():
    from mnas.strategies.reinforce import Reinforce
    from mnas.trial import Trial
    from tests.spaces import small_space

    space = small_space(1)
    strategy = Reinforce(space, learning_rate=0.01, entropy_weight=0.0)
    good, bad = space.decode([0] * 6), space.decode([2, 1, 0, 0, 1, 1])
    before, _ = strategy.controller.evaluate([space.encode(good), space.encode(bad)])
    strategy.tell([Trial(0, good, reward=1.0), Trial(1, bad, reward=0.0)])
    after, _ = strategy.controller.evaluate([space.encode(good), space.encode(bad)])
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_advantages_ignore_the_scale_of_rewards():
    from mnas.strategies.policy_gradient import Advantages

    rewards = [[0.1, 0.4, 0.3], [0.5, 0.2, 0.2]]
    plain, scaled = Advantages(0.95), Advantages(0.95)
    for batch in rewards:
        np.testing.assert_allclose(plain(batch), scaled([3 + 0.01 * r for r in batch]), rtol=1e-4)


def test_equal_rewards_teach_nothing():
    from mnas.strategies.policy_gradient import Advantages

    assert Advantages(0.95)([0.5, 0.5, 0.5]).tolist() == [0, 0, 0]
