"""The SOURCE that a command's options name, and the record that is to take it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from glancectl.cli.options import Pair
from glancectl.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from glancectl.api import Glance, Image
    from glancectl.transfer.source import Source


def require_source(
    file: str | None,
    size: int | None,
    checksum: object,
    headers: Sequence[Pair] | None,
    allow_empty: bool,
    store: str | None = None,
) -> None:
    """Raise UsageError for options about data where no data are given."""
    if file is None and (size is not None or checksum or headers or store or allow_empty):
        raise UsageError("options about the data need the data", hint="--file SOURCE")


def open_payload(
    ctx: typer.Context,
    spec: str,
    size: int | None,
    headers: Sequence[Pair] | None,
    allow_empty: bool,
) -> "Source":
    """Open a SOURCE as the options say; nothing but its first bytes is read."""
    from glancectl.transfer.source import open_source

    return open_source(
        spec,
        size=size,
        headers=dict(headers or ()),
        timeout=ctx.obj.settings["timeout"],
        allow_empty=allow_empty,
    )


def sniffed(fields: Mapping[str, Any], source: "Source") -> dict[str, str]:
    """Return the ``disk_format`` that a record lacks and the first bytes tell.

    Raises IntegrityError when they contradict the record, or need another file to be read;
    RefusedError when nothing says what format the data have.
    """
    from glancectl.transfer import sniff

    asked = fields.get("disk_format")
    container = fields.get("container_format") or "bare"
    found = sniff.choose_format(asked, source.head, source.tail, container_format=container)
    if container == "bare":
        sniff.refuse_unsafe(source.head)
        if found is None:
            seen = sniff.kind(source.head, source.tail)
            raise RefusedError(
                f"{source.name} is no disk image that is known by its first bytes",
                cause=f"it looks like {seen}" if seen else None,
                hint="--disk-format says what it is, as in --disk-format raw",
            )
    return {"disk_format": found} if asked is None and found is not None else {}


def ready_for(glance: "Glance", image: str, payload: "Source", *, sniff: bool) -> "Image":
    """Return the record that is to take ``payload``, its ``disk_format`` filled in if missing.

    Raises RefusedError when it takes no data, IntegrityError when the first bytes contradict it.
    """
    from glancectl import resolve
    from glancectl.transfer import upload as upload_flow

    record = upload_flow.ready(resolve.image(glance, image))
    if not sniff or not (missing := sniffed(record, payload)):
        return record
    operations = [{"op": "replace", "path": f"/{k}", "value": v} for k, v in missing.items()]
    return glance.patch_image(record["id"], operations, repeatable=True)
