"""Imports: start one, and tell from its task, not from the image's status, how it ended."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from glancectl.answer import TransportError
from glancectl.api import Glance, Image, Task
from glancectl.errors import (
    Exit,
    FailedError,
    FailedTarget,
    GaveUpError,
    GlancectlError,
    Interrupted,
    NotFoundError,
    PartialError,
    RefusedError,
    UnavailableError,
)
from glancectl.flows import Note
from glancectl.transfer import upload
from glancectl.transfer.progress import Progress
from glancectl.transfer.source import Source
from glancectl.transfer.upload import Options, Sent
from glancectl.watch import ENDED, Say, image_tasks, import_failure, progress_of, until

LOCK_LINGERS = 5.0  # seconds that an image may stay locked after its task has ended


def require_method(glance: Glance, method: str) -> None:
    """Raise RefusedError when this cloud does not import by ``method``."""
    methods = glance.import_methods()
    if method not in methods:
        raise RefusedError(
            f"this cloud cannot import by {method!r}",
            hint=f"it can by {', '.join(methods)}" if methods else "it has no imports at all",
        )


@dataclass(frozen=True)
class Stores:
    """Where an import shall go: to some stores, to all, or where the cloud puts images.

    may_fail: what one store refuses does not undo the others.
    """

    some: Sequence[str] = ()
    every: bool = False
    may_fail: bool = False


def request(
    glance: Glance, method: Mapping[str, str], stores: Stores, note: Note
) -> dict[str, object]:
    """Return the body of an import. method: its name and arguments.

    A cloud with a single store refuses some keys about stores and ignores others: there none is
    sent, and ``note`` hears of it. Raises NotFoundError for a store that it cannot have.
    """
    body: dict[str, object] = {"method": dict(method)}
    is_copy = method["name"] == "copy-image"
    if not (stores.some or stores.every or is_copy):
        return body
    found = glance.list_stores()
    if found is None and is_copy:  # Glance would answer with a 500
        raise RefusedError("this cloud has a single store, so there is nowhere to copy to")
    known = [store["id"] for store in found or ()]
    for store in stores.some:
        if store not in known:
            names = f"there are {', '.join(known)}" if known else "there is one, without a name"
            raise NotFoundError(f"this cloud has no store {store!r}", hint=names)
    if found is None:
        note("this cloud has a single store, so that all of them are one")
        return body
    if not (stores.some or stores.every):
        return body
    body |= {"stores": list(stores.some)} if stores.some else {"all_stores": True}
    if stores.may_fail:
        body["all_stores_must_succeed"] = False
    return body


def begin(
    glance: Glance,
    image_id: str,
    body: Mapping[str, object],
    source: Source | None,
    progress: Progress,
    options: Options,
) -> tuple[Task | None, Sent | None]:
    """Stage ``source``, if there is one, and start the import; return its task and what was sent.

    The error of either says what it leaves: an import that cannot be started the staged data. The
    task is None when none can be seen (see ``start``).
    """
    post = partial(glance.import_image, image_id, body)
    if source is None:
        return start(glance, image_id, post), None
    with upload.telling_what_is_left(glance, image_id):
        _, sent = upload.stage(glance, image_id, source, progress, options)
    command = f"glancectl image import {image_id} --method glance-direct"
    staged = f"its data stay staged, to be imported with: {command}"
    return start(glance, image_id, post, not_begun=staged), sent


def compare(
    glance: Glance, before: Image, after: Image, source: Source, sent: Sent, progress: Progress
) -> None:
    """Compare what was staged with what the import made of it.

    Clouds may convert on import; such an image cannot be compared, which is told. Raises
    IntegrityError for any other difference, the image being deactivated then.
    """
    if any(before.get(key) != after.get(key) for key in ("disk_format", "container_format")):
        progress.note("not verified: the cloud converted the image on import")
        return
    upload.check(glance, after, source, sent, progress)


def start(
    glance: Glance, image_id: str, post: Callable[[], None], *, not_begun: str = ""
) -> Task | None:
    """Call ``post``, which has Glance start a task without telling its id, and return the task.

    None when there is none to be seen: nothing was left to copy, or a Glance that does not tell
    the tasks of an image. A task that has begun though no answer said so is found as well.
    not_begun: added to an error after which there is surely none.
    """
    with _noting(not_begun):
        known = {task["id"] for task in image_tasks(glance, image_id)}
    lost = _post(post, not_begun)
    if isinstance(lost, Interrupted):
        glance.rest.hurry()
    try:
        new = [task for task in image_tasks(glance, image_id) if task["id"] not in known]
        begun = bool(new) or lost is None or _is_locked(_record(glance, image_id))
    except (GlancectlError, Interrupted) as error:
        with _noting(f"it may have begun: {_wait_command(image_id)}"):
            raise lost or error from None
    if lost is not None and (not begun or isinstance(lost, Interrupted)):
        with _noting(f"it has begun: {_wait_command(image_id)}" if begun else not_begun):
            raise lost
    return max(new, key=lambda task: str(task["created_at"]), default=None)


def _post(post: Callable[[], None], not_begun: str) -> BaseException | None:
    """Call ``post``; return the error that leaves it open whether it was carried out."""
    try:
        post()
    except UnavailableError as error:
        if not (isinstance(error, TransportError) and error.unsent):
            return error
        with _noting(not_begun):
            raise
    except Interrupted as error:
        return error
    except GlancectlError:
        with _noting(not_begun):
            raise
    return None


@contextlib.contextmanager
def _noting(note: str) -> Iterator[None]:
    """Add ``note``, if any, to an error or a signal that passes."""
    try:
        yield
    except (GlancectlError, Interrupted) as error:
        if note and not isinstance(error, GaveUpError):  # whose hint says it
            error.add_note(note)
        raise


def _wait_command(image_id: str) -> str:
    return f"glancectl image wait {image_id} --for active"


def finish(
    glance: Glance,
    image_id: str,
    task: Task | None,
    *,
    timeout: float,
    interval: float,
    say: Say,
) -> tuple[Image, GlancectlError | None]:
    """Wait until an import has ended; return the record, and what went wrong with some stores.

    Raises FailedError when it failed or the image was deleted meanwhile, GaveUpError after
    ``timeout`` seconds. interval: seconds between two looks.
    """
    locked_until = 0.0

    def look() -> tuple[Image | None, Task | None] | None:
        nonlocal locked_until
        now = _task_now(glance, image_id, task)
        if now is not None and now["status"] not in ENDED:
            say(f"importing, {progress_of(now)}")
            return None
        record = _record(glance, image_id)
        if _is_locked(record):
            # Without a task the lock is all there is to see. With one, it is about to go; until
            # then the next import would be refused.
            locked_until = locked_until or time.monotonic() + LOCK_LINGERS
            if now is None or time.monotonic() < locked_until:
                say("importing")
                return None
        return record, now

    with _noting(f"the import goes on: {_wait_command(image_id)}"):
        record, ended = until(
            look,
            timeout=timeout,
            interval=interval,
            waiting_for=f"the import of image {image_id}",
            hint=f"it goes on: {_wait_command(image_id)}",
        )
    if record is None:
        raise FailedError(f"image {image_id} was deleted while it was imported")
    failed = ended is not None and ended["status"] == "failure"
    if failed or record["status"] != "active":
        raise import_failure(record, ended)
    return record, _failed_stores(record, ended)


def _task_now(glance: Glance, image_id: str, task: Task | None) -> Task | None:
    """Return ``task`` as it is now; None when it is not told any more."""
    if task is None:
        return None
    return next((t for t in image_tasks(glance, image_id) if t["id"] == task["id"]), None)


def _record(glance: Glance, image_id: str) -> Image | None:
    try:
        return glance.get_image(image_id)
    except NotFoundError:
        return None


def _is_locked(record: Image | None) -> bool:
    """Tell whether an import of the image is under way; Glance takes no other until it ends."""
    return record is not None and "os_glance_import_task" in record


def _failed_stores(record: Image, task: Task | None) -> GlancectlError | None:
    """Return the error that stores without the image are, though the import succeeded.

    The record may still name stores of an import before; the task tells which ones were meant.
    """
    failed = list(filter(None, str(record.get("os_glance_failed_import") or "").split(",")))
    meant = ((task or {}).get("input") or {}).get("backend") or failed
    failed = [store for store in failed if store in meant]
    if not failed:
        return None
    targets: list[FailedTarget] = [
        {
            "target": store,
            "exit": int(Exit.FAILED),
            "message": "the store did not take the image",
            "status": None,
        }
        for store in failed
    ]
    return PartialError(
        f"image {record['id']} is not in {len(failed)} of {len(meant)} stores",
        targets,
        all_failed=len(failed) == len(meant),
    )
