"""Several calls at once, in threads: each waits for the network, none for another."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def each(call: Callable[[A], T], items: Sequence[A], jobs: int) -> list[T]:
    """Return what ``call`` makes of each of ``items``, ``jobs`` at once, in their order.

    Raises the first error. After a signal nobody waits for what is under way.
    """
    pool = ThreadPoolExecutor(max(1, min(jobs, len(items))))
    try:
        return list(pool.map(call, items))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
