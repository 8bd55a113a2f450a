"""One verb over many targets: all tried, in parallel, each failure kept with its reason."""

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
    """Do what ``each`` does, with the records of the images that ``refs`` name.

    Each is read just before its turn, so that little can change between reading and writing.
    """
    return each_found(
        refs,
        partial(resolve.target, glance),
        lambda target: action(resolve.record(glance, target)),
        key=lambda target: target.id,
        jobs=jobs,
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

    All are found before the first is changed: a name means what it meant when it was typed, and
    what is named twice, by its name and by its id, is one target. key: returns the id.
    """
    named = list(dict.fromkeys(refs))
    failures: dict[str, GlancectlError] = {}
    found: dict[str, tuple[str, F]] = {}  # by id: the first ref that names it, and what it is
    for ref, outcome in zip(named, parallel.each(_trying(find), named, jobs), strict=True):
        if isinstance(outcome, GlancectlError):
            failures[ref] = outcome
        else:
            found.setdefault(key(outcome), (ref, outcome))
    acting = dict(found.values())
    results = []
    for ref, done in zip(acting, _all(action, list(acting.values()), jobs), strict=True):
        if isinstance(done, GlancectlError):
            failures[ref] = done
        elif done is not None:
            results.append(done)
    targets = [ref for ref in named if ref in acting or ref in failures]
    return results, summary(targets, [(ref, failures[ref]) for ref in targets if ref in failures])


def _trying(call: Callable[[F], T]) -> Callable[[F], T | GlancectlError]:
    """Return ``call`` with its errors as results."""

    def tried(item: F) -> T | GlancectlError:
        try:
            return call(item)
        except GlancectlError as error:
            return error

    return tried


def _all(action: Callable[[F], T], things: Sequence[F], jobs: int) -> list[T | GlancectlError]:
    """Call ``action`` with each of ``things``, ``jobs`` at once; return each result or error.

    A signal ends it; how far it came is added to that.
    """
    ended = []
    try_one = _trying(action)

    def act(thing: F) -> T | GlancectlError:
        outcome = try_one(thing)
        ended.append(thing)
        return outcome

    try:
        return parallel.each(act, things, jobs)
    except Interrupted as stop:
        if len(things) > 1:
            under_way = min(jobs, len(things) - len(ended))
            stop.add_note(
                f"{len(ended)} of {len(things)} targets had been tried, "
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
