"""Delete images: by id without looking them up, unprotected first when asked."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from glancectl import resolve
from glancectl.api import Glance
from glancectl.errors import GlancectlError, NotFoundError, RefusedError
from glancectl.flows import bulk
from glancectl.resolve import Target

T = TypeVar("T")


def delete_images(
    glance: Glance, refs: Sequence[str], *, if_exists: bool, unprotect: bool, jobs: int
) -> tuple[list[dict[str, object]], GlancectlError | None]:
    """Delete the images that ``refs`` name; return what went, and what went wrong.

    Of each its id, its name if known, and ``status``. if_exists: an absent one is no failure.
    unprotect: the protection of those that have it is lifted, else they are refused.
    """

    def unless_absent(call: Callable[[], T]) -> T | None:
        try:
            return call()
        except NotFoundError:
            if if_exists:
                return None
            raise

    def delete(image_id: str, name: str | None) -> dict[str, object]:
        _delete(glance, image_id, unprotect)
        return {"id": image_id, "name": name, "status": "deleted"}

    def act(target: Target | None) -> dict[str, object] | None:
        if target is None:
            return None
        return unless_absent(lambda: resolve.with_target(glance, target, delete))

    return bulk.each_found(
        refs,
        lambda ref: unless_absent(lambda: resolve.target(glance, ref)),
        act,
        key=lambda target: target.id if target else "",
        jobs=jobs,
    )


def _delete(glance: Glance, image_id: str, unprotect: bool) -> None:
    try:
        glance.delete_image(image_id)
    except RefusedError as error:
        if not (unprotect and error.status == 403):
            raise
        lift = [{"op": "replace", "path": "/protected", "value": False}]
        glance.patch_image(image_id, lift, repeatable=True)
        glance.delete_image(image_id)
