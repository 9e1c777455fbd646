"""Work in several threads, for functions that leave the interpreter's lock: reading files, decoding images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mnas.system.environment import num_cpus

_AHEAD = 4  # results for each thread that wait to be taken

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yield the function's results in the order of the items, from as many threads as there are CPUs for this process.

    Only a few results are computed before they are taken, so memory does not grow with the number of items. Close the
    iterator where it may not be read to its end: what has not begun is dropped, and what has is waited for.
    """
    threads = num_cpus()
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
