"""Results in order, from several threads, with few of them waiting."""

import threading
from contextlib import closing

import pytest

from mnas.system import threads
from mnas.system.threads import map_in_order


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    monkeypatch.setattr(threads, "num_cpus", lambda: 4)


def test_results_are_in_the_order_of_the_items_whichever_is_done_first():
    second_is_done = threading.Event()

    def wait_for_the_second(item):
        if item == 0:
            assert second_is_done.wait(60)
        if item == 1:
            second_is_done.set()
        return item

    assert list(map_in_order(wait_for_the_second, range(30))) == list(range(30))


def test_few_results_wait_to_be_taken():
    begun = []
    with closing(map_in_order(lambda item: begun.append(item) or item, range(1000))) as results:
        assert next(results) == 0
        assert len(begun) < 30
    assert len(begun) < 30


def test_an_error_is_raised_at_its_place_and_ends_all_threads():
    def fail(item):
        if item == 2:
            raise KeyError(item)
        return item

    before, taken = threading.active_count(), []
    with pytest.raises(KeyError):
        taken.extend(map_in_order(fail, range(100)))
    assert taken == [0, 1]
    assert threading.active_count() == before
