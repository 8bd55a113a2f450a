"""Lists of tasks: filters and orders that Glance applies, and those applied here."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from glancectl.api import Glance, Task
from glancectl.errors import NotFoundError, RefusedError

# Glance filters by these columns, and silently by nothing else.
COLUMNS = ("id", "type", "status", "owner", "image_id", "user_id", "request_id")
# Of the types it knows it takes only this one in a filter; the others are a 400.
FILTERED_TYPE = "import"

Pair = tuple[str, str]


def tasks(
    glance: Glance,
    filters: Sequence[Pair],
    *,
    sort: str | None,
    limit: int | None,
) -> Iterator[Task]:
    """Yield the tasks of the cloud that pass all ``filters`` (admin), at most ``limit`` of them.

    sort: ``key[:asc|desc],…``; Glance sorts by one key, so several are sorted here.
    """
    there = [(key, value) for key, value in filters if _is_glances(key, value)]
    here = [pair for pair in filters if pair not in there]
    keys = parse_sort(sort)
    order = [("sort_key", keys[0][0]), ("sort_dir", keys[0][1])] if len(keys) == 1 else []
    cut = None if here or len(keys) > 1 else limit
    found: Iterable[Task] = glance.list_tasks([*there, *order], limit=cut)
    found = _passing(found, here)
    return islice(sort_here(found, keys) if len(keys) > 1 else found, limit)


def image_tasks(
    glance: Glance, image_id: str, filters: Sequence[Pair], *, sort: str | None, limit: int | None
) -> Iterator[Task]:
    """Yield the tasks of one image likewise: all is done here, since Glance has no filter there."""
    found = _passing(glance.list_image_tasks(image_id), filters)
    return islice(sort_here(found, parse_sort(sort) or [("created_at", "desc")]), limit)


def image_task(glance: Glance, image_id: str, task_id: str) -> Task:
    """Return one task of an image. Raises NotFoundError when it is none of the caller's there."""
    for task in glance.list_image_tasks(image_id):
        if task["id"] == task_id:
            return task
    raise NotFoundError(
        f"image {image_id} has no task {task_id}", hint=f"glancectl task list --image {image_id}"
    )


def parse_sort(text: str | None) -> list[Pair]:
    """Return keys and directions of ``key[:asc|desc],…``; descending where none is given.

    Raises RefusedError for another direction.
    """
    keys = []
    for part in (text or "").split(",") if text else ():
        key, _, direction = part.strip().partition(":")
        if direction not in ("", "asc", "desc"):
            raise RefusedError(f"cannot sort {direction!r}", hint="asc or desc")
        keys.append((key, direction or "desc"))
    return keys


def sort_here(found: Iterable[Task], keys: Sequence[Pair]) -> list[Task]:
    """Return tasks in the order of ``keys``. Raises RefusedError for a key that they have not."""
    ordered = list(found)
    for key, direction in reversed(keys):
        if any(key not in task for task in ordered):
            raise RefusedError(f"tasks cannot be sorted by {key!r}")
        values = {id(task): str(task[key] or "") for task in ordered}
        ordered.sort(key=lambda task: values[id(task)], reverse=direction == "desc")
    return ordered


def _is_glances(key: str, value: str) -> bool:
    return value == FILTERED_TYPE if key == "type" else key in COLUMNS


def _passing(found: Iterable[Task], filters: Sequence[Pair]) -> Iterator[Task]:
    return (task for task in found if all(_has(task, key, value) for key, value in filters))


def _has(task: Task, key: str, value: str) -> bool:
    if key not in task:
        raise RefusedError(f"tasks cannot be filtered by {key!r}", hint=f"by {', '.join(task)}")
    found = task[key]
    text = "" if found is None else str(found)
    return value == (text.lower() if isinstance(found, bool) else text)
