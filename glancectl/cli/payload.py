"""The SOURCE that a command's options name, and the record that is to take it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from glancectl.cli.options import Decompress, Pair
from glancectl.errors import GlancectlError, RefusedError, UsageError

if TYPE_CHECKING:
    from glancectl.api import Glance, Image
    from glancectl.transfer.checksum import Checksum
    from glancectl.transfer.source import Source

CHECKSUM_FILE = 1 << 20  # bytes that a checksum file may have


@dataclass(frozen=True)
class SourceFlags:
    """What the options of a command say of its SOURCE; spec None: there is none."""

    spec: str | None
    size: int | None
    # None, the default: no limit. Disks that are mostly empty pack 1000:1 and better, as bombs do,
    # and neither fills anything here: what is unpacked goes to the cloud, which has its quotas.
    max_size: int | None
    checksum: "Checksum | str | None"  # str: the file or URL that has it
    headers: Sequence[Pair] | None
    decompress: Decompress
    allow_empty: bool
    sniff: bool

    def require_source(self, store: str | None = None) -> None:
        """Raise UsageError for options about data where no data are given."""
        about = (self.checksum, self.headers, self.allow_empty, store)
        sizes = (self.size, self.max_size)
        given = any(about) or sizes != (None, None) or self.decompress != "auto"
        if self.spec is None and given:
            raise UsageError("options about the data need the data", hint="--file SOURCE")


def open_payload(ctx: typer.Context, flags: SourceFlags) -> "Source":
    """Open the SOURCE of a command; nothing but its first bytes, and its checksum, is read."""
    source = _open(ctx, flags)
    try:
        if isinstance(flags.checksum, str):
            source.checksum = _look_up(ctx, flags.checksum, source, flags)
        else:
            source.checksum = flags.checksum
    except BaseException:
        source.close()
        raise
    return source


def _open(ctx: typer.Context, flags: SourceFlags) -> "Source":
    from glancectl.transfer.source import open_source

    return open_source(
        flags.spec or "",
        size=flags.size,
        headers=dict(flags.headers or ()),
        timeout=ctx.obj.settings["timeout"],
        retries=ctx.obj.settings["retries"],
        allow_empty=flags.allow_empty,
    )


def _look_up(ctx: typer.Context, where: str, source: "Source", flags: SourceFlags) -> "Checksum":
    """Return the checksum that a file or URL has of ``source``."""
    from glancectl.transfer.checksum import find_checksum
    from glancectl.transfer.web import same_origin

    headers = flags.headers if same_origin(where, flags.spec or "") else None
    plain = SourceFlags(where, None, None, None, headers, "none", allow_empty=False, sniff=False)
    text = b""
    with _open(ctx, plain) as file:
        for chunk in file.chunks():
            text += chunk
            if len(text) > CHECKSUM_FILE:
                raise RefusedError(f"{file.name} is too large for a file of checksums")
        return find_checksum(text.decode("utf-8", "surrogateescape"), source.file_name, file.name)


def fit(
    fields: Mapping[str, Any], source: "Source", flags: SourceFlags, note: Callable[[str], None]
) -> "tuple[dict[str, str], Source]":
    """Return the ``disk_format`` that a record lacks and the first bytes tell, and the payload.

    That is ``source``, or what it unpacks to. Raises IntegrityError when the first bytes contradict
    the record, or need another file to be read; RefusedError when nothing says what they are, or
    leaves a choice (an OVA, a fixed VHD), or when there are too many of them.
    """
    container = fields.get("container_format") or "bare"
    payload = _unpacked(source, flags, container, note)
    if flags.max_size is not None:
        payload.limit(flags.max_size)
    if not flags.sniff:
        return {}, payload
    return _missing_format(fields.get("disk_format"), container, payload), payload


def _unpacked(
    source: "Source", flags: SourceFlags, container: str, note: Callable[[str], None]
) -> "Source":
    from glancectl.transfer import sniff

    may_guess = flags.sniff and container == "bare"
    if flags.decompress == "none" or (flags.decompress == "auto" and not may_guess):
        return source
    kind = sniff.kind(source.head, source.tail)
    if flags.decompress not in ("auto", kind):
        raise RefusedError(
            f"{source.name} is not compressed with {flags.decompress}",
            cause=f"it looks like {kind}" if kind else None,
        )
    if kind not in sniff.COMPRESSED:
        return source
    from glancectl.transfer.packed import unpacked_source

    note(f"{source.name} is unpacked on its way ({kind}); --decompress none sends it as it is")
    return unpacked_source(source, kind, allow_empty=flags.allow_empty)


def _missing_format(asked: str | None, container: str, payload: "Source") -> dict[str, str]:
    from glancectl.transfer import sniff

    if container == "bare":
        sniff.refuse_unsafe(payload.head)
    found = sniff.choose_format(asked, payload.head, payload.tail, container_format=container)
    if container == "bare" and found is None:
        seen = sniff.kind(payload.head, payload.tail)
        raise RefusedError(
            f"{payload.name} is no disk image that is known by its first bytes",
            cause=f"it looks like {seen}" if seen else None,
            hint="--disk-format says what it is, as in --disk-format raw",
        )
    return {"disk_format": found} if asked is None and found is not None else {}


def ready_for(
    glance: "Glance",
    image: str,
    source: "Source",
    flags: SourceFlags,
    note: Callable[[str], None],
) -> "tuple[Image, Source]":
    """Return the record that is to take ``source``, its ``disk_format`` filled in, and the payload.

    Raises RefusedError when it takes no data, and what ``fit`` raises.
    """
    from glancectl import resolve
    from glancectl.transfer import upload as upload_flow

    record = upload_flow.ready(resolve.image(glance, image))
    try:
        missing, payload = fit(record, source, flags, note)
    except GlancectlError as error:
        if error.hint and re.match("--(disk|container)-format", error.hint):
            error.hint = f"for glancectl image update {record['id']}: {error.hint}"
        raise
    if not missing:
        return record, payload
    operations = [{"op": "replace", "path": f"/{k}", "value": v} for k, v in missing.items()]
    return glance.patch_image(record["id"], operations, repeatable=True), payload
