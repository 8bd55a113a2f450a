"""Change records: only what differs is sent, and nothing when nothing does."""

from collections.abc import Callable, Sequence

from glancectl.api import Glance, Image
from glancectl.errors import RefusedError
from glancectl.patch import Change, Operation, operations

Note = Callable[[str], None]


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
        return glance.patch_image(record["id"], todo, repeatable=True)
    except RefusedError as error:
        if error.status == 409 and error.retried:  # a property removed by the try before
            now = glance.get_image(record["id"])
            if not operations(now, wanted):
                return now
        raise


def send(glance: Glance, record: Image, patch: Sequence[Operation]) -> Image:
    """Send operations of the user's own as they are, and return the record that they make."""
    # The second time, a removal fails and an addition to a list may be there twice.
    repeatable = all(
        isinstance(operation, dict) and operation.get("op") == "replace" for operation in patch
    )
    return glance.patch_image(record["id"], patch, repeatable=repeatable)
