"""Make images active or deactivated."""

from glancectl.api import Glance, Image
from glancectl.flows import Note


def activate(glance: Glance, record: Image, note: Note) -> Image:
    """Make the data of an image readable again and return its record; ``note`` hears if it is."""
    if record["status"] == "active":
        note(f"image {record['id']} is active already")
        return record
    glance.reactivate_image(record["id"])
    return glance.get_image(record["id"])


def deactivate(glance: Glance, record: Image, note: Note) -> Image:
    """Make the data of an image unreadable for all but admins and return its record."""
    if record["status"] == "deactivated":
        note(f"image {record['id']} is deactivated already")
        return record
    glance.deactivate_image(record["id"])
    return glance.get_image(record["id"])
