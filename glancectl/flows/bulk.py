"""One verb over many targets: all tried, in parallel, each failure kept with its reason."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from glancectl import resolve
from glancectl.api import Glance, Image
from glancectl.errors import FailedTarget, GlancectlError, PartialError

T = TypeVar("T")
F = TypeVar("F")


def each(
    targets: Sequence[str], action: Callable[[str], T | None], *, jobs: int
) -> tuple[list[T], GlancectlError | None]:
    """Call ``action`` for each target, ``jobs`` at once; return the results and what went wrong.

    A target given twice is done once, since two writes on one image could undo each other. The
    results keep the order of the targets; an action that returns None had nothing to do. The error
    of a single target is its own; several make a PartialError. A signal stops what has not begun.
    """
    unique = list(dict.fromkeys(targets))
    pool = ThreadPoolExecutor(max(1, min(jobs, len(unique))))
    try:
        outcomes = list(pool.map(lambda target: _outcome(action, target), unique))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after a signal nobody waits
    results = [result for result, _ in outcomes if result is not None]
    failures = [
        (target, error) for target, (_, error) in zip(unique, outcomes, strict=True) if error
    ]
    return results, summary(unique, failures)


def each_image(
    glance: Glance, refs: Sequence[str], action: Callable[[Image], T | None], *, jobs: int
) -> tuple[list[T], GlancectlError | None]:
    """Do what ``each`` does, with the records of the images that ``refs`` name."""
    return each_found(
        refs, partial(resolve.image, glance), action, key=lambda record: record["id"], jobs=jobs
    )


def each_found(
    refs: Sequence[str],
    find: Callable[[str], F],
    action: Callable[[F], T | None],
    *,
    key: Callable[[F], str],
    jobs: int,
) -> tuple[list[T], GlancectlError | None]:
    """Do what ``each`` does, with what ``find`` makes of each of ``refs``.

    What is named twice, by its name and by its id, is done once as well. key: returns the id.
    """
    begun: set[str] = set()
    lock = threading.Lock()

    def act(ref: str) -> T | None:
        found = find(ref)
        with lock:
            if key(found) in begun:
                return None
            begun.add(key(found))
        return action(found)

    return each(refs, act, jobs=jobs)


def _outcome(
    action: Callable[[str], T | None], target: str
) -> tuple[T | None, GlancectlError | None]:
    try:
        return action(target), None
    except GlancectlError as error:
        return None, error


def summary(
    targets: Sequence[str], failures: Sequence[tuple[str, GlancectlError]]
) -> GlancectlError | None:
    """Return the one error that the failures of some of ``targets`` are, None without any."""
    if not failures:
        return None
    if len(targets) == 1:
        return failures[0][1]
    failed = [_failed(target, error) for target, error in failures]
    all_failed = len(failed) == len(targets)
    message = f"{len(failed)} of {len(targets)} targets failed"
    return PartialError(message, failed, all_failed=all_failed)


def _failed(target: str, error: GlancectlError) -> FailedTarget:
    because = f": {error.cause}" if error.cause else ""
    return {
        "target": target,
        "exit": int(error.exit),
        "message": f"{error.sentence()}{because}",
        "status": error.status,
    }
