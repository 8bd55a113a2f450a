"""Delete an image: by id without looking it up, unprotected first when asked."""

from glancectl import resolve
from glancectl.api import Glance, Image
from glancectl.errors import NotFoundError, RefusedError


def delete_image(
    glance: Glance, ref: str, *, if_exists: bool = False, unprotect: bool = False
) -> dict[str, object] | None:
    """Delete the image that ``ref`` names and return its id, its name if known, and ``status``.

    Returns None when there is none and ``if_exists``. Raises RefusedError when it is protected
    and not to be unprotected.
    """

    def with_id(image_id: str) -> dict[str, object]:
        return {"id": _delete(glance, image_id, unprotect), "name": None, "status": "deleted"}

    def with_record(record: Image) -> dict[str, object]:
        return {**with_id(str(record["id"])), "name": record.get("name")}

    try:
        return resolve.by_id_or_name(glance, ref, with_id, with_record)
    except NotFoundError:
        if if_exists:
            return None
        raise


def _delete(glance: Glance, image_id: str, unprotect: bool) -> str:
    try:
        glance.delete_image(image_id)
    except RefusedError as error:
        if not (unprotect and error.status == 403):
            raise
        lift = [{"op": "replace", "path": "/protected", "value": False}]
        glance.patch_image(image_id, lift, repeatable=True)
        glance.delete_image(image_id)
    return image_id
