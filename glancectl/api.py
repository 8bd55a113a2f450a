"""The Image API v2, one method a call: dicts in and out, nothing printed.

Facts about Glance's answers are from observation of Glance 33 where no source is named.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from glancectl.answer import as_list, decode, decode_list, load, unusable
from glancectl.errors import NotFoundError, RefusedError
from glancectl.rest import Params, Rest
from glancectl.shape import CACHE, IMAGE, MEMBER, METHODS, SCHEMA, TASK, USAGE

if TYPE_CHECKING:
    import httpx

Image = dict[str, Any]  # free properties stand beside Glance's own keys
Member = dict[str, Any]  # member_id image_id status created_at updated_at
Task = dict[str, Any]  # id type status owner …; a list of all tasks leaves input and message out
Store = dict[str, Any]  # id description? default? read-only?; the last two are the text "true"
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
# How Glance answers one of two requests at once that delete an image.
DELETED_TWICE = ("transition from deleted to", "transition from pending_delete to")
IN_DOUBT = "it may have been carried out"


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
        ahead: bool = True,
    ) -> Iterator[Image]:
        """Yield the images that match ``params``, as Glance names and spells its filters.

        limit: images in all. page_size: images a request; Glance clips it (1000 by default).
        marker: id of the image after which to begin. ahead: ask for the next page while the last
        one is taken; not when it may turn out to be one too many.
        """
        return self.rest.pages(
            "/v2/images",
            "images",
            doing="list images",
            params=params,
            limit=limit,
            page_size=page_size,
            marker=marker,
            ahead=ahead,
        )

    def get_image(self, image_id: str) -> Image:
        """Return the record of an image. Raises NotFoundError also when it may not be seen."""
        doing = f"show image {image_id}"
        return decode(self.rest.request("GET", f"/v2/images/{image_id}", doing=doing), IMAGE)

    def create_image(self, fields: Mapping[str, object], *, own_id: bool) -> Image:
        """Create a record (status ``queued``) and return it; ``fields`` must hold an ``id``.

        own_id: the id was made for this call. That makes it safe to send twice: a 409 then means
        that the first try was carried out and only its answer was lost.
        """
        try:
            response = self.rest.request(
                "POST",
                "/v2/images",
                doing="create the image",
                body=dict(fields),
                repeatable=own_id,
                in_doubt="" if own_id else IN_DOUBT,
            )
        except RefusedError as error:
            if own_id and error.status == 409:
                return self.get_image(str(fields["id"]))
            raise
        return decode(response, IMAGE)

    def patch_image(
        self, image_id: str, operations: Sequence[Mapping[str, object]], *, repeatable: bool
    ) -> Image:
        """Apply RFC 6902 operations to a record, all or none, and return the new record.

        repeatable: whether applying them twice gives the same; true of replace, and of add
        where the key is a property. Removing a second time is a 409.
        """
        response = self.rest.request(
            "PATCH",
            f"/v2/images/{image_id}",
            doing=f"update image {image_id}",
            body=operations,
            headers={"Content-Type": PATCH_TYPE},
            repeatable=repeatable,
            in_doubt="" if repeatable else IN_DOUBT,
        )
        return decode(response, IMAGE)

    def delete_image(self, image_id: str) -> None:
        """Delete an image, whatever its status.

        Raises RefusedError when it is protected, NotFoundError when it is gone, just now perhaps.
        """
        doing = f"delete image {image_id}"
        try:
            self.rest.request("DELETE", f"/v2/images/{image_id}", doing=doing)
        except NotFoundError as error:
            if not error.retried:  # else the try before this one deleted it
                raise
        except RefusedError as error:
            if error.status != 400 or not any(t in str(error.cause) for t in DELETED_TWICE):
                raise
            raise NotFoundError(
                f"cannot {doing}: not found",
                cause=error.cause,
                status=error.status,
                request_id=error.request_id,
            ) from None

    def deactivate_image(self, image_id: str) -> None:
        """Make the data of an active image unreadable for all but admins."""
        self._act(image_id, "deactivate")

    def reactivate_image(self, image_id: str) -> None:
        """Make the data of a deactivated image readable again."""
        self._act(image_id, "reactivate")

    def _act(self, image_id: str, action: Literal["deactivate", "reactivate"]) -> None:
        """Call an action; it does nothing when the image is so already.

        Raises RefusedError (a 403, surprisingly) when the image has no data to be activated.
        """
        path = f"/v2/images/{image_id}/actions/{action}"
        self.rest.request("POST", path, doing=f"{action} image {image_id}", repeatable=True)

    # Data

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
        headers = _data_headers(size)
        if store is not None:
            headers["X-Image-Meta-Store"] = store
        path = f"/v2/images/{image_id}/file"
        self.rest.send_data(path, chunks, doing=f"upload to image {image_id}", headers=headers)

    def stage_data(
        self, image_id: str, chunks: Iterable[bytes], *, size: int | None = None
    ) -> None:
        """Put the data of a ``queued`` image where ``import_image`` with glance-direct finds them.

        The status becomes ``uploading``. size: bytes, as for ``put_data``.
        """
        path = f"/v2/images/{image_id}/stage"
        doing = f"stage data for image {image_id}"
        self.rest.send_data(path, chunks, doing=doing, headers=_data_headers(size))

    @contextlib.contextmanager
    def open_data(
        self, image_id: str, prefer: Sequence[str] = (), span: tuple[int, int] | None = None
    ) -> Iterator["httpx.Response"]:
        """Open the data of an image and hand out the answer, its body not read yet.

        prefer: stores to read from if they have it; Glance before 2026 ignores it. span: only the
        bytes from the first up to, not with, the second; what comes then is for the caller to
        judge: 206 and that part, 200 and the whole (from a proxy), or RefusedError with status 400
        (most stores cannot) or 416. Content-Length may be missing: the record's ``size`` is the
        measure. Sent once. Raises RefusedError when the image has no data (Glance answers 204).
        """
        doing = f"download image {image_id}"
        params = [("prefer", ",".join(prefer))] if prefer else []
        headers = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        path = f"/v2/images/{image_id}/file"
        with self.rest.stream(path, doing=doing, params=params, headers=headers) as response:
            if response.status_code == 204:
                raise RefusedError(
                    f"image {image_id} has no data yet",
                    status=204,
                    request_id=response.headers.get("x-openstack-request-id"),
                )
            yield response

    # Import and tasks

    def import_methods(self) -> list[str]:
        """Return the import methods of this cloud; none where Glance has no import."""
        try:
            response = self.rest.request("GET", "/v2/info/import", doing="list the import methods")
        except NotFoundError as error:
            if error.status is None:  # of the catalogue, not of Glance
                raise
            return []
        methods: list[str] = decode(response, METHODS)["import-methods"]["value"]
        return methods

    def import_image(self, image_id: str, request: Mapping[str, object]) -> None:
        """Start an import (API reference: "Import an image"); the answer names no task.

        request: ``method`` with its name and arguments, and the stores. Not sent twice: the
        second would find the import under way, a 409.
        """
        path = f"/v2/images/{image_id}/import"
        self.rest.request("POST", path, doing=f"import image {image_id}", body=dict(request))

    def list_image_tasks(self, image_id: str) -> list[Task]:
        """Return the tasks of an image that the caller's project has started, with messages.

        Needs no admin, unlike all else about tasks; gone two days after they ended.
        """
        path, doing = f"/v2/images/{image_id}/tasks", f"list the tasks of image {image_id}"
        return self._list(path, "tasks", doing)

    def list_tasks(self, params: Params = (), *, limit: int | None = None) -> Iterator[Task]:
        """Yield the tasks that match ``params``, at most ``limit``, without their messages."""
        return self.rest.pages("/v2/tasks", "tasks", doing="list tasks", params=params, limit=limit)

    def get_task(self, task_id: str) -> Task:
        """Return a task with its input, result and message."""
        path = f"/v2/tasks/{quote(task_id, safe='')}"
        return decode(self.rest.request("GET", path, doing=f"show task {task_id}"), TASK)

    def create_task(self, kind: str, task_input: object) -> Task:
        """Start a task (deprecated by Glance since 2016, but there)."""
        body = {"type": kind, "input": task_input}
        response = self.rest.request(
            "POST", "/v2/tasks", doing="create the task", body=body, in_doubt=IN_DOUBT
        )
        return decode(response, TASK)

    # Tags

    def add_tag(self, image_id: str, tag: str) -> None:
        """Add a tag, if its text survives in a URL (see flows.tags)."""
        self._tag("PUT", image_id, tag, "add")

    def remove_tag(self, image_id: str, tag: str) -> None:
        """Remove a tag, if its text survives in a URL. Raises NotFoundError without such a tag."""
        try:
            self._tag("DELETE", image_id, tag, "remove")
        except NotFoundError as error:
            if not error.retried:
                raise

    def _tag(self, method: str, image_id: str, tag: str, verb: str) -> None:
        path = f"/v2/images/{image_id}/tags/{quote(tag, safe='')}"
        self.rest.request(method, path, doing=f"{verb} tag {tag!r} of image {image_id}")

    # Members

    def list_members(self, image_id: str) -> list[Member]:
        """Return the projects that an image is shared with; a member sees itself only.

        Raises RefusedError when the image's visibility is not ``shared``.
        """
        path = f"/v2/images/{image_id}/members"
        return self._list(path, "members", f"list the members of image {image_id}")

    def get_member(self, image_id: str, project_id: str) -> Member:
        """Return one member of an image."""
        doing = f"show member {project_id} of image {image_id}"
        return decode(self.rest.request("GET", _member(image_id, project_id), doing=doing), MEMBER)

    def add_member(self, image_id: str, project_id: str) -> Member:
        """Share an image with a project. Glance takes any text for its id.

        Raises RefusedError, with status 409 when it is a member already.
        """
        response = self.rest.request(
            "POST",
            f"/v2/images/{image_id}/members",
            doing=f"share image {image_id} with {project_id}",
            body={"member": project_id},
            repeatable=True,  # the second time is a 409, which tells that it is a member
        )
        return decode(response, MEMBER)

    def set_member_status(self, image_id: str, project_id: str, status: str) -> Member:
        """Accept, reject or postpone what is offered to a project; for the owner it is a 403."""
        response = self.rest.request(
            "PUT",
            _member(image_id, project_id),
            doing=f"set the status of member {project_id} of image {image_id}",
            body={"status": status},
        )
        return decode(response, MEMBER)

    def remove_member(self, image_id: str, project_id: str) -> None:
        """Share an image with a project no longer."""
        doing = f"remove member {project_id} of image {image_id}"
        try:
            self.rest.request("DELETE", _member(image_id, project_id), doing=doing)
        except NotFoundError as error:
            if not error.retried:
                raise

    # Stores, locations, cache, discovery

    def list_stores(self, *, detail: bool = False) -> list[Store] | None:
        """Return the stores of a cloud, None when it has a single one without a name.

        detail: their types and properties too (admin).
        """
        path = "/v2/info/stores/detail" if detail else "/v2/info/stores"
        try:
            return self._list(path, "stores", "list the stores")
        except NotFoundError as error:  # how Glance says that enabled_backends is not set
            if error.status is None:  # of the catalogue, not of Glance
                raise
            return None

    def delete_from_store(self, store: str, image_id: str) -> None:
        """Delete the copy of an image's data in one of several stores (admin).

        Raises RefusedError for the last copy and for an unknown store, NotFoundError when the
        image has no copy there.
        """
        path = f"/v2/stores/{quote(store, safe='')}/{image_id}"
        doing = f"delete image {image_id} from store {store}"
        try:
            self.rest.request("DELETE", path, doing=doing)
        except NotFoundError as error:
            if not error.retried:
                raise

    def list_locations(self, image_id: str) -> list[dict[str, Any]]:
        """Return where the data of an image are: ``url`` and ``metadata`` (admin)."""
        path = f"/v2/images/{image_id}/locations"
        response = self.rest.request("GET", path, doing=f"list the locations of image {image_id}")
        return as_list(response, load(response), "locations")

    def add_location(
        self, image_id: str, url: str, validation_data: Mapping[str, str] | None
    ) -> None:
        """Make what ``url`` names the data of a ``queued`` image; a task does it later.

        validation_data: ``os_hash_algo`` and ``os_hash_value`` that the data must have.
        """
        body: dict[str, object] = {"url": url}
        if validation_data is not None:
            body["validation_data"] = dict(validation_data)
        path = f"/v2/images/{image_id}/locations"
        doing = f"add a location to image {image_id}"
        self.rest.request("POST", path, doing=doing, body=body)

    def get_cache(self) -> dict[str, Any]:
        """Return ``cached_images`` and ``queued_images`` of the API host that answers (admin).

        Raises NotFoundError where caching is off.
        """
        try:
            response = self.rest.request("GET", "/v2/cache", doing="list the image cache")
        except NotFoundError as error:
            if error.status is None:  # of the catalogue, not of Glance
                raise
            raise NotFoundError(
                "this cloud keeps no image cache: /v2/cache is not found",
                cause=error.cause,
                status=error.status,
                request_id=error.request_id,
            ) from None
        return decode(response, CACHE)

    def queue_for_cache(self, image_id: str) -> None:
        """Have an active image cached (admin)."""
        doing = f"queue image {image_id} for the cache"
        self.rest.request("PUT", f"/v2/cache/{image_id}", doing=doing)

    def delete_from_cache(self, image_id: str) -> None:
        """Drop an image from the cache and its queue; being in neither is no failure (admin)."""
        doing = f"delete image {image_id} from the cache"
        self.rest.request("DELETE", f"/v2/cache/{image_id}", doing=doing)

    def clear_cache(self, target: Literal["cache", "queue"] | None) -> None:
        """Empty the cache, its queue, or both when ``target`` is None (admin)."""
        headers = {"x-image-cache-clear-target": target} if target else {}
        self.rest.request("DELETE", "/v2/cache", doing="clear the image cache", headers=headers)

    def clean_cache(self) -> None:
        """Drop what is stale or invalid from the cache (admin, 2.18)."""
        doing = "clean the image cache"
        self.rest.request("POST", "/v2/cache/clean", doing=doing, repeatable=True)

    def prune_cache(self) -> dict[str, Any]:
        """Shrink the cache to its limit; return what went, files and bytes (admin, 2.18)."""
        doing = "prune the image cache"
        return decode(self.rest.request("POST", "/v2/cache/prune", doing=doing, repeatable=True))

    def list_cache_nodes(self, image_id: str) -> list[str]:
        """Return the URLs of the API hosts that have an image in their cache (admin, 2.18).

        Raises RefusedError where the hosts do not know of each other's cache.
        """
        doing = f"list the cache nodes of image {image_id}"
        response = self.rest.request("GET", f"/v2/cache/nodes/{image_id}", doing=doing)
        nodes: list[Any] = as_list(response, load(response), "nodes")
        if not all(isinstance(url, str) for url in nodes):
            raise unusable(response, "a node is no text")
        return nodes

    def list_versions(self) -> list[dict[str, Any]]:
        """Return the versions that the endpoint announces: id, status, links; none if hidden."""
        try:
            return self._list("/versions", "versions", "list the API versions")
        except NotFoundError as error:
            if error.status is None:  # of the catalogue, not of Glance
                raise
            return []

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON schema of an image; its enums are the valid formats of this cloud."""
        response = self.rest.request("GET", "/v2/schemas/image", doing="show the schema")
        return decode(response, SCHEMA)

    def get_usage(self) -> dict[str, Any]:
        """Return limit and usage of each quota; none where unified limits are off."""
        try:
            response = self.rest.request("GET", "/v2/info/usage", doing="show the usage")
        except NotFoundError as error:
            if error.status is None:  # of the catalogue, not of Glance
                raise
            return {}
        return decode(response, USAGE).get("usage") or {}

    def _list(self, path: str, key: str, doing: str) -> list[dict[str, Any]]:
        """Return the list that an unpaged answer has under ``key``."""
        return decode_list(self.rest.request("GET", path, doing=doing), key)


def _data_headers(size: int | None) -> dict[str, str]:
    headers = {"Content-Type": "application/octet-stream"}
    if size is not None:
        headers |= {"Content-Length": str(size), "x-openstack-image-size": str(size)}
    return headers


def _member(image_id: str, project_id: str) -> str:
    return f"/v2/images/{image_id}/members/{quote(project_id, safe='')}"
