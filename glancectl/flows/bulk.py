"""One verb over many targets: all tried, in parallel, each failure kept with its reason."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from glancectl.errors import FailedTarget, GlancectlError, PartialError

T = TypeVar("T")


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
    return results, _summary(unique, failures)


def _outcome(
    action: Callable[[str], T | None], target: str
) -> tuple[T | None, GlancectlError | None]:
    try:
        return action(target), None
    except GlancectlError as error:
        return None, error


def _summary(
    targets: Sequence[str], failures: Sequence[tuple[str, GlancectlError]]
) -> GlancectlError | None:
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
