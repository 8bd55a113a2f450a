"""Tags of an image, whatever their text; and which tags there are."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from glancectl.api import Glance, Image
from glancectl.errors import GlancectlError, NotFoundError
from glancectl.flows import Note, bulk
from glancectl.patch import changed_tags

# What Glance finds in a URL as it was sent: a slash ends the tag there, other scripts come out
# mangled ("é" becomes "Ã©"), and dots alone are parts of a path.
_FITS_A_URL = re.compile(r"(?!\.+$)[ -.0-~]+")


def count(images: Iterable[Image]) -> list[dict[str, object]]:
    """Return each tag that ``images`` have and how many have it, in the order of the tags."""
    counted = Counter(tag for image in images for tag in image["tags"])
    return [{"tag": tag, "images": times} for tag, times in sorted(counted.items())]


def add(glance: Glance, record: Image, tags: Sequence[str], note: Note) -> dict[str, object]:
    """Add ``tags`` to an image and return it; ``note`` hears of those it has already."""
    for tag in tags:
        if tag in record["tags"]:
            note(f"image {record['id']} has tag {tag!r} already")
    wanted = changed_tags(record, tags, ())
    new = [tag for tag in wanted if tag not in record["tags"]]
    match new:
        case []:
            return tagged(record)
        case [only] if _FITS_A_URL.fullmatch(only):  # leaves the least room for another's change
            glance.add_tag(record["id"], only)
            return tagged({**record, "tags": wanted})
        case _:
            return replace(glance, record, wanted)


def remove(
    glance: Glance, record: Image, tags: Sequence[str]
) -> tuple[list[dict[str, object]], GlancectlError | None]:
    """Remove ``tags`` from an image, those that it has; return it, and what went wrong.

    The image is left out when it had none of them, so that nothing was changed.
    """
    named = list(dict.fromkeys(tags))
    absent = [tag for tag in named if tag not in record["tags"]]
    failure = bulk.summary(
        named,
        [(tag, NotFoundError(f"image {record['id']} has no tag {tag!r}")) for tag in absent],
    )
    left = changed_tags(record, (), named)
    match [tag for tag in named if tag in record["tags"]]:
        case []:
            return [], failure
        case [only] if _FITS_A_URL.fullmatch(only):
            glance.remove_tag(record["id"], only)
            return [tagged({**record, "tags": left})], failure
        case _:
            return [replace(glance, record, left)], failure


def replace(glance: Glance, record: Image, tags: Sequence[str]) -> dict[str, object]:
    """Give an image ``tags`` and no others, and return it."""
    if set(tags) == set(record["tags"]):
        return tagged(record)
    operation = {"op": "replace", "path": "/tags", "value": list(dict.fromkeys(tags))}
    return tagged(glance.patch_image(record["id"], [operation], repeatable=True))


def tagged(record: Image) -> dict[str, object]:
    """Return what the tag verbs show of an image."""
    return {"id": record["id"], "name": record.get("name"), "tags": record["tags"]}
