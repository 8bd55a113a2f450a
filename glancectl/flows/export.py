"""A catalogue written from the images that are there."""

from collections.abc import Iterable
from functools import partial

from glancectl import parallel
from glancectl.api import Glance, Image
from glancectl.flows import Note
from glancectl.flows.catalogue import RECORD_KEYS, properties_of, rank
from glancectl.flows.publish import WITH_DATA
from glancectl.transfer.digest import recorded


def export(
    glance: Glance, images: Iterable[Image], note: Note, *, jobs: int
) -> dict[str, list[dict[str, object]]]:
    """Return the catalogue that ``images`` are, as its file has it.

    An image goes by its name there: left out, and ``note`` hears of each, are those without a
    name, without data, and older ones of a name. Shared ones cost a request each, for the members.
    """
    chosen: dict[str, Image] = {}
    for image in images:
        name = image.get("name")
        if image["status"] not in WITH_DATA:
            note(f"image {image['id']} is left out: its status is {image['status']}")
        elif not name:
            note(f"image {image['id']} is left out: it has no name")
        else:
            older, newer = sorted([image, chosen.get(name, image)], key=rank)
            chosen[name] = newer
            if older is not newer:
                note(f"image {older['id']} is left out: {newer['id']} is newer and named alike")
    return {"images": parallel.each(partial(_entry, glance), list(chosen.values()), jobs)}


def _entry(glance: Glance, image: Image) -> dict[str, object]:
    """Return what a catalogue says of an image that is there; lists are in an order."""
    entry: dict[str, object] = {"name": image["name"]}
    if digest := recorded(image):
        entry["checksum"] = ":".join(digest)
    fields = {key: image.get(field) for key, field in RECORD_KEYS.items()}
    entry |= {key: value for key, value in fields.items() if value is not None}
    entry["tags"] = sorted(image["tags"])
    entry["properties"] = properties_of(image)
    if image["visibility"] == "shared":
        members = glance.list_members(image["id"])
        entry["members"] = sorted(str(member["member_id"]) for member in members)
    return entry
