"""What users type becomes what the API wants: IMAGE -> record or id, PROJECT -> id."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from glancectl import auth, parallel
from glancectl.api import Glance, Image
from glancectl.clouds import looks_like_project_id
from glancectl.errors import GlancectlError, NotFoundError, RefusedError, UsageError
from glancectl.nearest import nearest
from glancectl.terminal import human_size, shell_line

T = TypeVar("T")

FRESH = 1.0  # seconds that a record counts as just read
NAMES = 1000  # images among whose names the nearest to an unknown one is looked for


class NoSuchNameError(NotFoundError):
    """No image has the name ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_pattern = not {"*", "?"}.isdisjoint(name)
        hint = "glancectl image list shows what there is"
        if self.is_pattern:
            lists = shell_line(["glancectl", "image", "list", "--match", name])
            hint = f"patterns are for lists: {lists}"
        super().__init__(f"no image is named {name!r}", hint=hint)


def image(glance: Glance, ref: str) -> Image:
    """Return the record that ``ref``, a UUID or an exact name, names.

    Raises NotFoundError, and RefusedError with the candidates when several have that name.
    """
    return by_id_or_name(glance, ref, glance.get_image, lambda record: record)


def by_id_or_name(
    glance: Glance,
    ref: str,
    with_id: Callable[[str], T],
    with_record: Callable[[Image], T],
) -> T:
    """Call ``with_id`` when ``ref`` is a UUID, else ``with_record`` with the image of that name.

    A UUID costs no request of its own; when it turns out to be unknown it is tried as a name.
    """
    image_id = as_uuid(ref)
    if image_id is None:
        return with_record(by_name(glance, ref))
    try:
        return with_id(image_id)
    except NotFoundError as unknown:
        try:
            record = by_name(glance, ref)
        except NotFoundError:
            raise unknown from None
    return with_record(record)


def by_id(glance: Glance, ref: str, with_id: Callable[[str], T]) -> T:
    """Call ``with_id`` with the id of the image that ``ref``, a UUID or an exact name, names."""
    return by_id_or_name(glance, ref, with_id, lambda record: with_id(str(record["id"])))


@dataclass(frozen=True)
class Target:
    """An image that was named: its id, and if it was by its name, its record.

    read: when the record was read, in seconds of the monotonic clock.
    """

    ref: str
    id: str
    record: Image | None = None
    read: float = 0.0


def target(glance: Glance, ref: str) -> Target:
    """Return what ``ref`` names; a UUID costs no request, and is not known to exist."""
    image_id = as_uuid(ref)
    if image_id is not None:
        return Target(ref, image_id)
    named = by_name(glance, ref)
    return Target(ref, str(named["id"]), named, time.monotonic())


def record(glance: Glance, found: Target) -> Image:
    """Return the record of what was named, as it is now; one read just now is not read again."""
    if found.record is None:
        return image(glance, found.ref)
    if time.monotonic() - found.read < FRESH:
        return found.record
    return glance.get_image(found.id)


def with_target(glance: Glance, found: Target, action: Callable[[str, str | None], T]) -> T:
    """Call ``action`` with the id and, if known, the name of what was named.

    A UUID that turns out to be unknown is tried as a name.
    """
    if found.record is not None:
        return action(found.id, found.record.get("name"))
    return by_id_or_name(
        glance,
        found.ref,
        lambda image_id: action(image_id, None),
        lambda record: action(str(record["id"]), record.get("name")),
    )


def as_uuid(ref: str) -> str | None:
    """Return ``ref`` in Glance's spelling when it is a UUID with dashes, else None.

    Raises UsageError when it is empty, before anything reaches the server.
    """
    if not ref:
        raise UsageError("an image's name or id cannot be empty")
    try:
        canonical = str(uuid.UUID(ref))
    except ValueError:
        return None
    return canonical if canonical == ref.lower() else None


def by_name(glance: Glance, name: str) -> Image:
    """Return the only image with exactly this name, others' community images included.

    Hidden images are in no list that does not ask for them alone, hence two lists, sent at once;
    a visible match hides the hidden ones. Names are compared again here: a database may ignore
    case. Raises NotFoundError or RefusedError.
    """
    visible, hidden = parallel.each(lambda hidden: _named(glance, name, hidden), (False, True), 2)
    found = visible or hidden
    match found:
        case [only]:
            return only
        case []:
            raise NoSuchNameError(name)
        case _:
            candidates = "; ".join(map(_describe, found))
            raise RefusedError(
                f"{len(found)} images are named {name!r}",
                cause=candidates,
                hint="use the id of the one you mean",
            )


def suggest(glance: Glance, error: NotFoundError) -> None:
    """Let the hint of an error about an unknown name say which name is nearest, if one is near.

    That takes one request; when it fails, the error stays as it is.
    """
    if not isinstance(error, NoSuchNameError) or error.is_pattern:
        return
    try:
        names = {str(found.get("name")) for found in glance.list_images(limit=NAMES)}
    except GlancectlError:
        return
    if near := nearest(error.name, names):
        error.hint = f"did you mean {near!r}?"


def _named(glance: Glance, name: str, hidden: bool) -> list[Image]:
    # eq: is needed: a plain name with a colon is read as an operator and refused.
    params = [("name", f"eq:{name}"), ("visibility", "all"), ("member_status", "all")]
    if hidden:
        params.append(("os_hidden", "true"))
    return [found for found in glance.list_images(params) if found.get("name") == name]


def _describe(record: Image) -> str:
    size = record.get("size")
    return " ".join(
        [
            str(record.get("id")),
            str(record.get("status")),
            f"owner {record.get('owner')}",
            f"created {record.get('created_at')}",
            "no data" if size is None else human_size(size),
        ]
    )


def project(login: auth.Login, ref: str, *, check: bool) -> str:
    """Return the id of PROJECT, an id or a name; with ``check`` False it is taken as it is.

    Raises what ``auth.find_project`` raises, UsageError when ``ref`` is empty.
    """
    if not ref:
        raise UsageError("a project's name or id cannot be empty")
    return auth.find_project(login, ref) if check else ref


def member(login: auth.Login, ref: str, *, check: bool) -> str:
    """Return the id of a project that an image is shared with already, as ``project`` does.

    What has the form of an id is not looked up: Glance knows its members, and one whose project
    was deleted meanwhile must still be removable.
    """
    return project(login, ref, check=check and not looks_like_project_id(ref))
