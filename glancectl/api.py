"""The Image API v2, one method a call: dicts in and out, nothing printed.

Facts about Glance's answers are from observation of Glance 33 where no source is named.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from glancectl.answer import decode
from glancectl.errors import NotFoundError, RefusedError
from glancectl.rest import Params, Rest

if TYPE_CHECKING:
    import httpx

Image = dict[str, Any]  # free properties stand beside Glance's own keys
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"


class Glance:
    """The image service of one cloud, reached with one login."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest

    def close(self) -> None:
        """Close the connections."""
        self.rest.close()

    def list_images(
        self,
        params: Params = (),
        *,
        limit: int | None = None,
        page_size: int = 1000,
        marker: str | None = None,
    ) -> Iterator[Image]:
        """Yield the images that match ``params``, as Glance names and spells its filters.

        limit: images in all. page_size: images a request; Glance clips it (1000 by default).
        marker: id of the image after which to begin.
        """
        return self.rest.pages(
            "/v2/images",
            "images",
            doing="list images",
            params=params,
            limit=limit,
            page_size=page_size,
            marker=marker,
        )

    def get_image(self, image_id: str) -> Image:
        """Return the record of an image. Raises NotFoundError also when it may not be seen."""
        doing = f"show image {image_id}"
        return decode(self.rest.request("GET", f"/v2/images/{image_id}", doing=doing))

    def create_image(self, fields: Mapping[str, object], *, own_id: bool) -> Image:
        """Create a record (status ``queued``) and return it; ``fields`` must hold an ``id``.

        own_id: the id was made for this call. That makes it safe to send twice: a 409 then means
        that the first try was carried out and only its answer was lost.
        """
        try:
            response = self.rest.request(
                "POST", "/v2/images", doing="create the image", body=dict(fields), repeatable=own_id
            )
        except RefusedError as error:
            if own_id and error.status == 409:
                return self.get_image(str(fields["id"]))
            raise
        return decode(response)

    def patch_image(
        self, image_id: str, operations: Sequence[Mapping[str, object]], *, repeatable: bool
    ) -> Image:
        """Apply RFC 6902 operations to a record, all or none, and return the new record.

        repeatable: whether applying them twice gives the same; true of replace, and of add
        where the key is a property.
        """
        response = self.rest.request(
            "PATCH",
            f"/v2/images/{image_id}",
            doing=f"update image {image_id}",
            body=list(operations),
            headers={"Content-Type": PATCH_TYPE},
            repeatable=repeatable,
        )
        return decode(response)

    def delete_image(self, image_id: str) -> None:
        """Delete an image, whatever its status. Raises RefusedError when it is protected."""
        try:
            self.rest.request("DELETE", f"/v2/images/{image_id}", doing=f"delete image {image_id}")
        except NotFoundError as error:
            if not error.retried:  # else the try before this one deleted it
                raise

    def deactivate_image(self, image_id: str) -> None:
        """Make the data of an active image unreadable for all but admins."""
        path = f"/v2/images/{image_id}/actions/deactivate"
        self.rest.request("POST", path, doing=f"deactivate image {image_id}", repeatable=True)

    def put_data(
        self,
        image_id: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        store: str | None = None,
    ) -> None:
        """Upload the data of a ``queued`` image in one pass.

        size: bytes, sent ahead whenever known, so that quotas are judged before the transfer and
        stores need not grow the image step by step. On failure Glance sets the status back to
        ``queued``. Raises RefusedError, IntegrityError (415) or UnavailableError.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if size is not None:
            headers |= {"Content-Length": str(size), "x-openstack-image-size": str(size)}
        if store is not None:
            headers["X-Image-Meta-Store"] = store
        path = f"/v2/images/{image_id}/file"
        self.rest.send_data(path, chunks, doing=f"upload to image {image_id}", headers=headers)

    @contextlib.contextmanager
    def open_data(self, image_id: str) -> Iterator["httpx.Response"]:
        """Open the data of an image and hand out the answer, its body not read yet.

        Content-Length may be missing: the record's ``size`` is the measure. Raises RefusedError
        when the image has no data (Glance answers 204).
        """
        doing = f"download image {image_id}"
        with self.rest.stream(f"/v2/images/{image_id}/file", doing=doing) as response:
            if response.status_code == 204:
                raise RefusedError(
                    f"image {image_id} has no data yet",
                    status=204,
                    request_id=response.headers.get("x-openstack-request-id"),
                )
            yield response
