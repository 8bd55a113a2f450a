"""One verb over many targets: all tried, in parallel, each failure kept with its reason."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from glancectl import parallel, resolve
from glancectl.api import Glance, Image
from glancectl.errors import FailedTarget, GlancectlError, Interrupted, PartialError

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
    return each_found(targets, str, action, key=str, jobs=jobs)


def each_image(
    glance: Glance, refs: Sequence[str], action: Callable[[Image], T | None], *, jobs: int
) -> tuple[list[T], GlancectlError | None]:
    """Do what ``each`` does, with the records of the images that ``refs`` name."""
    return each_found(
        refs, partial(resolve.image, glance), action, key=lambda record: record["id"], jobs=jobs
    )


def each_id(
    glance: Glance, refs: Sequence[str], action: Callable[[str, str | None], T | None], *, jobs: int
) -> tuple[list[T], GlancectlError | None]:
    """Do what ``each`` does, with the ids of the images, and their names if those were given."""
    return each_found(
        refs,
        partial(resolve.target, glance),
        lambda target: resolve.with_target(glance, target, action),
        key=lambda target: target.id,
        jobs=jobs,
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

    What is named twice, by its name and by its id, is one target. key: returns the id.
    """
    named = list(dict.fromkeys(refs))
    keys: dict[str, str] = {}  # of the refs that were found
    begun: set[str] = set()
    lock = threading.Lock()

    def act(ref: str) -> tuple[bool, T | None]:
        """Return whether it was done here, and the result."""
        found = find(ref)
        with lock:
            keys[ref] = key(found)
            if keys[ref] in begun:
                return False, None
            begun.add(keys[ref])
        return True, action(found)

    ends = {}
    for ref, (done, error) in zip(named, _try_all(act, named, jobs), strict=True):
        if error is not None or (done is not None and done[0]):
            ends[keys.get(ref, ref)] = (done[1] if done else None, error)
    targets: dict[str, str] = {}  # the first ref of each key
    for ref in named:
        targets.setdefault(keys.get(ref, ref), ref)
    results = [ends[key][0] for key in targets]
    failures = [(ref, ends[key][1]) for key, ref in targets.items()]
    return (
        [result for result in results if result is not None],
        summary(list(targets.values()), [(ref, error) for ref, error in failures if error]),
    )


def _try_all(
    act: Callable[[str], T], refs: Sequence[str], jobs: int
) -> list[tuple[T | None, GlancectlError | None]]:
    """Call ``act`` with each of ``refs``, ``jobs`` at once; return each result or error.

    A signal ends it; how far it came is added to that.
    """
    ended: list[str] = []

    def outcome(ref: str) -> tuple[T | None, GlancectlError | None]:
        try:
            return act(ref), None
        except GlancectlError as error:
            return None, error
        finally:
            ended.append(ref)

    try:
        return parallel.each(outcome, refs, jobs)
    except Interrupted as stop:
        if len(refs) > 1:
            under_way = min(jobs, len(refs) - len(ended))
            stop.add_note(
                f"{len(ended)} of {len(refs)} targets had been tried, "
                f"up to {under_way} more were under way"
            )
        raise


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
