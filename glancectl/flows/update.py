"""Change records: only what differs is sent, and nothing when nothing does."""

from typing import Any

from glancectl.api import Glance, Image
from glancectl.errors import RefusedError
from glancectl.flows import Note
from glancectl.patch import Change, operations


def change(glance: Glance, record: Image, wanted: Change, note: Note) -> Image:
    """Make ``record`` what ``wanted`` says, in one request or none, and return it as it is now.

    ``note`` hears of what was there to be removed no longer. Raises what ``patch_image`` raises.
    """
    for key in wanted.remove_properties:
        if key not in record:
            note(f"image {record['id']} has no property {key!r}")
    for tag in wanted.remove_tags:
        if tag not in record.get("tags", ()):
            note(f"image {record['id']} has no tag {tag!r}")
    todo = operations(record, wanted)
    if not todo:
        return record
    try:
        changed = glance.patch_image(record["id"], todo, repeatable=True)
    except RefusedError as error:
        if error.status != 409 or not error.retried:
            raise
        changed = glance.get_image(record["id"])  # removed by the try before, perhaps
        if operations(changed, wanted):
            raise
    if left := operations(changed, wanted):  # the name of a property means something to Glance
        paths = ", ".join(operation["path"] for operation in left)
        raise RefusedError(f"Glance changed image {record['id']}, but silently left out {paths}")
    return changed


def send(glance: Glance, record: Image, patch: Any) -> Image:
    """Send a patch of the user's own as it is, any JSON, and return the record that it makes."""
    # The second time, a removal fails and an addition to a list may be there twice.
    repeatable = isinstance(patch, list) and all(
        isinstance(operation, dict) and operation.get("op") == "replace" for operation in patch
    )
    return glance.patch_image(record["id"], patch, repeatable=repeatable)
