"""Which paths are trained."""

from collections import Counter

import pytest

from mnas.errors import InputError
from mnas.oneshot.path_sampling import PathSampler
from tests.spaces import small_space


def _drawn(kind, steps, num_paths=1, seed=0):
    sampler = PathSampler(small_space(), kind, num_paths=num_paths, seed=seed)
    return [sampler(step) for step in range(steps)]


@pytest.mark.parametrize("kind", ["uniform", "fair", "sandwich"])
def test_a_pure_function_of_seed_and_step(kind):
    first, again, other = (_drawn(kind, 9, 2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_fair_sampling_uses_every_choice_equally_often():
    space = small_space()
    codes = [space.encode(architecture) for (architecture,) in _drawn("fair", 60)]
    for position, decision in enumerate(space.decisions):
        counts = Counter(code[position] for code in codes)
        assert set(counts.values()) == {60 // len(decision.choices)}
    assert len(set(codes)) > 40


def test_the_sandwich_holds_the_largest_and_the_smallest_sizes():
    for first, _, last in _drawn("sandwich", 5, 3):
        assert {(s.block.kernel_size, s.block.filters, s.repeats) for s in first.stages} == {(5, 12, 2)}
        assert {(s.block.kernel_size, s.block.filters, s.repeats) for s in last.stages} == {(3, 8, 1)}


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="no sampling is called 'lucky'"):
        _drawn("lucky", 1)
    with pytest.raises(InputError, match="2 or more for the sandwich rule"):
        _drawn("sandwich", 1, 1)
