"""What a shell may complete a word with: images, tags and the like of the cloud one is on.

Never logs in, never waits long, never complains: what is not there in a moment is not suggested.
"""

import contextlib
import json
import os
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glancectl import clouds, private
from glancectl.auth import CachedLogin
from glancectl.clouds import SANDBOX_CLOUDS, Settings
from glancectl.errors import GlancectlError
from glancectl.terminal import human_size, printable

if TYPE_CHECKING:
    from glancectl.rest import Rest

LIMIT = 0.3  # seconds for the one request
FRESH = 60.0  # seconds that its answer is used again
# Images that are asked for, the newest: Glance takes about a millisecond for each, and an answer
# that comes too late is none.
MOST = 250
LARGEST = 1 << 22  # bytes that are read of a kept answer

Record = dict[str, Any]
Suggestion = tuple[str, str]  # a value, and what it is


def suggest(kind: str, prefix: str, settings: Callable[[], Settings]) -> list[Suggestion]:
    """Return the values of ``kind`` and what each is; none when they cannot be had at once.

    prefix: what has been typed of it. Ids come after four hexadecimal digits; otherwise it is left
    to the shell, which may match without regard to case, which values begin with it. settings: what
    returns them, or raises.
    """
    try:
        found = _clouds() if kind == "cloud" else _of_cloud(kind, prefix, settings())
        return [(value, what) for value, what in found if value and printable(value) == value]
    # An unknown kind; an answer or a file of another form; no folder to work in.
    except (AttributeError, LookupError, OSError, TypeError, ValueError, GlancectlError):
        return []


def _of_cloud(kind: str, prefix: str, settings: Settings) -> Iterator[Suggestion]:
    source, suggestions = _KINDS[kind]
    is_id = re.fullmatch("[0-9a-f-]{4,}", prefix) is not None
    return suggestions(_records(source, settings), is_id)


def _records(source: str, settings: Settings) -> list[Record]:
    """Return what the cloud has of ``source``, from a moment ago or from one request now."""
    at_keystone = source == "projects"
    login = CachedLogin(replace(settings, timeout=LIMIT, retries=0), identity=at_keystone)
    login.access  # noqa: B018 - raises AuthError: nothing is shown to who has logged out
    path = private.cache("completion") / f"{login.key}.{source}.json"
    kept = _kept(path)
    if kept is not None:
        return kept

    from glancectl.rest import Rest

    def ask() -> list[Record]:
        with contextlib.closing(Rest(login)) as rest:
            return _SOURCES[source](rest)

    answer = _within(LIMIT, ask)
    if answer is None:
        return []
    with contextlib.suppress(OSError):  # where it cannot be kept, it is asked for each time
        private.write(path, json.dumps(answer), keep=FRESH)
    return answer


def _kept(path: Path) -> list[Record] | None:
    """Return the answer that a file holds, or None when there is none that may be used."""
    try:
        found = json.loads(private.read(path, most=LARGEST, within=FRESH))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _within(seconds: float, ask: Callable[[], list[Record]]) -> list[Record] | None:
    """Return what ``ask`` does, or None when it fails or takes longer.

    In a thread that is left behind then: the search for a host's address cannot be broken off.
    """
    answers: list[list[Record]] = []

    def work() -> None:
        with contextlib.suppress(GlancectlError):
            answers.append(ask())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None


# What is asked for, each with one request.


def _images(rest: "Rest") -> list[Record]:
    from glancectl.api import Glance

    keys = ("id", "name", "status", "size", "tags")
    return [
        {key: image.get(key) for key in keys}
        for image in Glance(rest).list_images(limit=MOST, page_size=MOST)
    ]


def _stores(rest: "Rest") -> list[Record]:
    from glancectl.api import Glance

    return list(Glance(rest).list_stores() or [])


def _tasks(rest: "Rest") -> list[Record]:
    from glancectl.api import Glance

    newest = [("sort_key", "created_at"), ("sort_dir", "desc")]
    return list(Glance(rest).list_tasks(newest, limit=100))


def _methods(rest: "Rest") -> list[Record]:
    from glancectl.api import Glance

    return [{"name": name} for name in Glance(rest).import_methods()]


def _formats(rest: "Rest") -> list[Record]:
    from glancectl.api import Glance
    from glancectl.flows.info import formats

    found = formats(Glance(rest))
    return [{"of": of, "name": name} for of, names in found.items() for name in names]


def _projects(rest: "Rest") -> list[Record]:
    """Return all projects for an admin, for others those they belong to; they may see no more."""
    from glancectl.answer import decode_list

    path = "/projects" if "admin" in rest.login.access.roles else "/auth/projects"
    found = decode_list(rest.request("GET", path, doing="list projects"), "projects")
    return [{"id": project["id"], "name": project["name"]} for project in found]


_SOURCES: dict[str, Callable[["Rest"], list[Record]]] = {
    "images": _images,
    "stores": _stores,
    "tasks": _tasks,
    "methods": _methods,
    "formats": _formats,
    "projects": _projects,
}

# What becomes of the answers. ids: whether an id has been begun.


def _image(images: list[Record], ids: bool) -> Iterator[Suggestion]:
    named = defaultdict(list)
    for image in images:
        named[image["name"] or ""].append(image)
    for name, same in named.items():
        yield name, _about(same[0]) if len(same) == 1 else f"{len(same)} images"
    if ids:
        yield from _image_id(images, ids)


def _image_id(images: list[Record], ids: bool) -> Iterator[Suggestion]:  # noqa: ARG001
    for image in images:
        yield image["id"], printable(image["name"] or image["status"])


def _about(image: Record) -> str:
    size = image["size"]
    return image["status"] if size is None else f"{image['status']}, {human_size(size)}"


def _tag(images: list[Record], ids: bool) -> Iterator[Suggestion]:  # noqa: ARG001
    for tag, times in sorted(Counter(tag for image in images for tag in image["tags"]).items()):
        yield tag, f"{times} images" if times > 1 else "1 image"


def _store_id(stores: list[Record], ids: bool) -> Iterator[Suggestion]:  # noqa: ARG001
    for store in stores:
        yield store["id"], store.get("description") or ""


def _task_id(tasks: list[Record], ids: bool) -> Iterator[Suggestion]:  # noqa: ARG001
    for task in tasks:
        yield task["id"], f"{task['type']}, {task['status']}, {task['created_at']}"


def _project(projects: list[Record], ids: bool) -> Iterator[Suggestion]:
    for project in projects:
        yield project["name"], project["id"]
        if ids:
            yield project["id"], project["name"]


def _name(records: list[Record], ids: bool) -> Iterator[Suggestion]:  # noqa: ARG001
    for record in records:
        yield record["name"], ""


def _format_of(of: str) -> Callable[[list[Record], bool], Iterator[Suggestion]]:
    return lambda records, ids: _name([record for record in records if record["of"] == of], ids)


_KINDS: dict[str, tuple[str, Callable[[list[Record], bool], Iterator[Suggestion]]]] = {
    "image": ("images", _image),
    "image-id": ("images", _image_id),
    "tag": ("images", _tag),
    "store": ("stores", _store_id),
    "task-id": ("tasks", _task_id),
    "project": ("projects", _project),
    "import-method": ("methods", _name),
    "disk-format": ("formats", _format_of("disk")),
    "container-format": ("formats", _format_of("container")),
}
KINDS = ("cloud", *_KINDS)


def _clouds() -> Iterator[Suggestion]:
    """Return the clouds of the clouds.yaml that openstack.config reads, and the sandbox's."""
    import yaml

    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    files = [path for path in clouds.cloud_files() if str(path) == named or path.stem == "clouds"]
    for path in files[:1]:
        with contextlib.suppress(OSError, ValueError, AttributeError, yaml.YAMLError):
            entries = yaml.safe_load(path.read_text("utf-8")).get("clouds", {})
            yield from [(str(name), str(path)) for name in entries]
    if clouds.sandbox_clouds().exists():
        yield from ((name, "the sandbox on this machine") for name in SANDBOX_CLOUDS)
