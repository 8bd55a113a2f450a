"""Wait for Glance: until an image has a status or is gone, until a task has ended.

The status alone lies: an image whose import failed says ``queued`` again or ``importing`` for
ever, and why it failed only its task tells.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from glancectl import resolve
from glancectl.api import Glance, Image, Task
from glancectl.errors import FailedError, GaveUpError, NotFoundError

T = TypeVar("T")
Say = Callable[[str], None]  # hears where what is waited for stands, again and again

FIRST_PAUSE = 0.1  # seconds; pauses grow from it to the interval
ENDED = ("success", "failure")
IMPORTS = ("api_image_import", "location_import")
# Once an image has its data, it does not go back to where it had none.
BEFORE_DATA = ("queued", "saving", "uploading", "importing")
WITH_DATA = ("active", "deactivated")
GONE = ("killed", "deleted", "pending_delete")


def until(
    look: Callable[[], T | None], *, timeout: float, interval: float, waiting_for: str, hint: str
) -> T:
    """Call ``look`` until it returns something, and return that.

    timeout: seconds, after which GaveUpError is raised with ``hint``; one look there is always.
    interval: the longest pause in seconds. waiting_for: completes "gave up waiting for …".
    """
    deadline = time.monotonic() + timeout
    pause = min(FIRST_PAUSE, interval)
    while (found := look()) is None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise GaveUpError(f"gave up waiting for {waiting_for} after {timeout:g} s", hint=hint)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, interval)
    return found


def image(
    glance: Glance, ref: str, wanted: str, *, timeout: float, interval: float, say: Say
) -> Image:
    """Wait until the image that ``ref`` names has the status ``wanted``, and return its record.

    Of a deleted image, which nothing is known of, the record has ``id``, ``name``, ``status``.
    Raises FailedError when that status cannot be reached any more, GaveUpError after ``timeout``.
    """
    try:
        record = resolve.image(glance, ref)
    except NotFoundError:
        if wanted != "deleted":
            raise
        image_id = resolve.as_uuid(ref)
        return {"id": image_id, "name": None if image_id else ref, "status": "deleted"}
    image_id = record["id"]
    hint = f"to wait on: glancectl image wait {image_id} --for {wanted}"

    def look() -> Image | None:
        try:
            now = glance.get_image(image_id)
        except NotFoundError:
            if wanted == "deleted":
                return {"id": image_id, "name": record.get("name"), "status": "deleted"}
            raise FailedError(f"image {image_id} was deleted, so it cannot be {wanted}") from None
        if now["status"] == wanted:
            return now
        _refuse_unreachable(glance, now, wanted)
        say(now["status"])
        return None

    return until(
        look,
        timeout=timeout,
        interval=interval,
        waiting_for=f"image {image_id} to be {wanted}",
        hint=hint,
    )


def _refuse_unreachable(glance: Glance, record: Image, wanted: str) -> None:
    """Raise FailedError when ``record`` can have the status ``wanted`` no more."""
    status = record["status"]
    if wanted == "deleted":
        return
    if status in GONE or (status in WITH_DATA and wanted in BEFORE_DATA):
        raise FailedError(f"image {record['id']} is {status}, so it cannot be {wanted}")
    # Any other status before the data says that somebody has begun anew since.
    after_import = status in ("queued", "importing") and "os_glance_import_task" not in record
    if wanted in WITH_DATA and after_import:
        tasks = [task for task in image_tasks(glance, record["id"]) if task["type"] in IMPORTS]
        newest = max(tasks, key=lambda task: str(task["created_at"]), default=None)
        if newest is not None and newest["status"] == "failure":
            raise import_failure(record, newest)


def image_tasks(glance: Glance, image_id: str) -> list[Task]:
    """Return the tasks of an image, none where this version of Glance does not tell them."""
    try:
        return glance.list_image_tasks(image_id)
    except NotFoundError:
        return []


def import_failure(record: Image, task: Task | None) -> FailedError:
    """Return the error that a failed import is: why, what is left, and what to do about it.

    A location whose digest does not fit stays with the image, which says ``queued`` all the same.
    """
    image_id, status = record["id"], record["status"]
    delete = f"only deleting is left: glancectl image delete {image_id}"
    if status == "queued" and record.get("stores"):
        left, hint = "the image keeps a location that does not hold", delete
    elif status == "queued":
        left = "the image is queued again"
        hint = f"check what was to be imported, or: glancectl image upload {image_id} SOURCE"
    elif status in WITH_DATA:
        left, hint = f"the image is {status} as before", "the cloud's operators can see why"
    else:
        left, hint = f"the image stays {status} for good", delete
    is_location = task is not None and task["type"] == "location_import"
    what = "adding a location to" if is_location else "the import of"
    cause = task.get("message") if task else None
    return FailedError(
        f"{what} image {image_id} failed; {left}",
        cause=cause or "the cloud tells no reason",
        hint=hint,
    )


def task(
    get: Callable[[], Task], task_id: str, *, timeout: float, interval: float, say: Say
) -> Task:
    """Wait until a task has ended well, and return it. get: reads it anew.

    Raises FailedError with the task's own message when it failed, GaveUpError after ``timeout``.
    """

    def look() -> Task | None:
        now = get()
        if now["status"] in ENDED:
            return now
        say(progress_of(now))
        return None

    ended = until(
        look,
        timeout=timeout,
        interval=interval,
        waiting_for=f"task {task_id}",
        hint=f"to wait on: glancectl task wait {task_id}",
    )
    if ended["status"] == "failure":
        raise FailedError(f"task {task_id} failed", cause=ended.get("message") or None)
    return ended


def progress_of(task: Task) -> str:
    """Return where a task stands, in Glance's words: ``processing: Copied 12 MiB``."""
    return ": ".join(filter(None, [task["status"], task.get("message")]))
