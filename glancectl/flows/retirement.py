"""What becomes of the older images of a name when another one has taken their place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from glancectl.api import Glance, Image
from glancectl.errors import GlancectlError, NotFoundError, RefusedError
from glancectl.flows import Journal, Note, bulk

How = Literal["hide", "deactivate", "delete", "none"]

JOBS = 8  # images at once


@dataclass(frozen=True)
class Retired:
    """An older image, and what was done: hidden, deactivated, deleted; kept: it could not be."""

    id: str
    name: str | None
    action: str


def planned(older: Sequence[Image], how: How, keep: int | None) -> list[Retired]:
    """Return what has to be done to which of ``older`` images, the last made first.

    keep: so many of them stay, whatever ``delete`` says, and the others are deleted; None: no
    such limit.
    """
    due = [(record, _due(record, place, how, keep)) for place, record in enumerate(older)]
    return [Retired(record["id"], record.get("name"), action) for record, action in due if action]


def _due(record: Image, place: int, how: How, keep: int | None) -> str | None:
    """Return what has to be done to an image, the ``place``-th; None when it is so."""
    stays = place < keep if keep is not None else how != "delete"
    if not stays:
        return "kept" if record.get("protected") else "deleted"
    if how == "hide" and not record.get("os_hidden"):
        return "hidden"
    if how == "deactivate" and record["status"] == "active":
        return "deactivated"
    return None


def retire(
    glance: Glance,
    older: Sequence[Image],
    how: How,
    keep: int | None,
    *,
    note: Note,
    journal: Journal,
) -> tuple[list[Retired], GlancectlError | None]:
    """Do what is planned; return what was done, and what went wrong with others.

    An image that is protected or in use is not deleted, which ``note`` hears of and is no failure:
    the next job tries it again.
    """
    todo = {one.id: one for one in planned(older, how, keep)}

    def act(image_id: str) -> Retired | None:
        one = todo[image_id]
        if one.action == "kept":
            note(f"image {image_id} is protected, so it was not deleted")
            return one
        try:
            _carry_out(glance, one)
        except NotFoundError:  # another job was here
            return None
        except RefusedError as error:
            if one.action != "deleted" or error.status not in (403, 409):
                raise
            note(f"image {image_id} was not deleted: {error.cause or error.message}")
            return replace(one, action="kept")
        journal(one.action, {"id": one.id, "name": one.name})
        return one

    return bulk.each(list(todo), act, jobs=JOBS)


def _carry_out(glance: Glance, one: Retired) -> None:
    match one.action:
        case "hidden":
            hide = [{"op": "replace", "path": "/os_hidden", "value": True}]
            glance.patch_image(one.id, hide, repeatable=True)
        case "deactivated":
            glance.deactivate_image(one.id)
        case "deleted":
            glance.delete_image(one.id)
