"""Share an image with projects, and see what others share."""

from collections.abc import Callable, Sequence

from glancectl import parallel
from glancectl.api import Glance, Image, Member
from glancectl.errors import GlancectlError, NotFoundError, RefusedError
from glancectl.flows import Note, bulk
from glancectl.flows.listing import with_hidden

JOBS = 8  # requests at once


def share(
    glance: Glance,
    record: Image,
    projects: Sequence[str],
    find: Callable[[str], str],
    note: Note,
) -> tuple[list[Member], GlancectlError | None]:
    """Share an image with each of ``projects``; return the members and what went wrong.

    find: turns what a user calls a project into its id. A private image is made ``shared`` before
    the first is added, and ``note`` hears of it; a public or community image is refused. All are
    tried, one after the other: two writes on one image at once could undo each other.
    """
    if record["visibility"] not in ("shared", "private"):
        raise RefusedError(
            f"image {record['id']} is {record['visibility']}: only shared images have members",
            hint=f"glancectl image update {record['id']} --visibility shared",
        )
    is_shared = record["visibility"] == "shared"

    def add(project_id: str) -> Member:
        nonlocal is_shared
        if not is_shared:
            change = {"op": "replace", "path": "/visibility", "value": "shared"}
            glance.patch_image(record["id"], [change], repeatable=True)
            is_shared = True
            note(f"image {record['id']} was private and is shared now")
        return _add(glance, record, project_id, note)

    return bulk.each_found(projects, find, add, key=str, jobs=1)


def _add(glance: Glance, record: Image, project_id: str, note: Note) -> Member:
    try:
        return glance.add_member(record["id"], project_id)
    except RefusedError as error:
        if error.status != 409:
            raise
        if not error.retried:
            note(f"image {record['id']} is shared with {project_id} already")
        return glance.get_member(record["id"], project_id)


def withdraw(glance: Glance, image_id: str, project_id: str) -> dict[str, object]:
    """Share an image with a project no longer, and return what became of the member."""
    glance.remove_member(image_id, project_id)
    return {"image_id": image_id, "member_id": project_id, "status": "removed"}


def inbox(glance: Glance, project_id: str, *, admin: bool) -> list[dict[str, object]]:
    """Return what others share with a project and it has neither accepted nor rejected.

    admin: the caller sees all images, whoever is a member, so that each has to be asked for.
    """
    offered = [("visibility", "shared"), ("member_status", "pending")]
    found = [image for image in with_hidden(glance, offered) if image.get("owner") != project_id]
    if admin:
        pending = parallel.each(lambda image: _pending(glance, image, project_id), found, JOBS)
        found = [image for image, is_pending in zip(found, pending, strict=True) if is_pending]
    keys = ("name", "owner", "size")
    return [{"image_id": image["id"], **{key: image.get(key) for key in keys}} for image in found]


def _pending(glance: Glance, image: Image, project_id: str) -> bool:
    try:
        return bool(glance.get_member(image["id"], project_id)["status"] == "pending")
    except NotFoundError:
        return False
