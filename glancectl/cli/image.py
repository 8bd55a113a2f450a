"""glancectl image: list, show, create, delete. The files image_*.py add the other verbs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import (
    AllowEmptyOpt,
    BytesOpt,
    ChecksumOpt,
    ColumnsOpt,
    ContainerFormatOpt,
    DateOpt,
    DecompressOpt,
    DiskFormatOpt,
    FormatOpt,
    HashFilterOpt,
    HeaderOpt,
    HiddenFilterOpt,
    HiddenOpt,
    IdFilterOpt,
    ImageArg,
    ImagesArg,
    IntervalOpt,
    JobsOpt,
    LimitOpt,
    LimitRateOpt,
    MatchOpt,
    MaxSizeOpt,
    Md5FilterOpt,
    MemberStatusOpt,
    MinDiskOpt,
    MinRamOpt,
    NameFilterOpt,
    NoCheckOpt,
    NoSniffOpt,
    NoVerifyOpt,
    OwnerOpt,
    Pair,
    PropertiesFileOpt,
    PropertyFilterOpt,
    PropertyOpt,
    ProtectedOpt,
    QuietOpt,
    RawFilterOpt,
    SizeOpt,
    SortOpt,
    StatusFilterOpt,
    StoreOpt,
    TagsOpt,
    VisibilityFilterOpt,
    VisibilityOpt,
    WatchOpt,
    confirm,
    given,
    list_view,
    may_ask,
    notes,
    project,
    properties,
    show_each,
    show_list,
    targets,
    view,
)
from glancectl.cli.payload import SourceFlags, fit, open_payload

if TYPE_CHECKING:
    from glancectl.api import Glance, Image

app = new_app(NOUNS["image"])

COLUMNS = ("id", "name", "status", "visibility", "size")
LONG_COLUMNS = (
    *COLUMNS,
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "protected",
    "os_hidden",
    "owner",
    "created_at",
    "updated_at",
    "tags",
)


@app.command(
    "list", epilog="Example: glancectl image list --status active --match 'ubuntu-*' --long"
)
def list_(
    ctx: typer.Context,
    name: NameFilterOpt = None,
    match: MatchOpt = None,
    status: StatusFilterOpt = None,
    visibility: VisibilityFilterOpt = None,
    owner: OwnerOpt = None,
    no_check: NoCheckOpt = False,
    tag: TagsOpt = None,
    property_: PropertyFilterOpt = None,
    disk_format: DiskFormatOpt = None,
    container_format: ContainerFormatOpt = None,
    member_status: MemberStatusOpt = None,
    hidden: HiddenFilterOpt = False,
    protected: ProtectedOpt = None,
    size_min: BytesOpt = None,
    size_max: BytesOpt = None,
    created_after: DateOpt = None,
    created_before: DateOpt = None,
    updated_after: DateOpt = None,
    updated_before: DateOpt = None,
    checksum: Md5FilterOpt = None,
    hash_: HashFilterOpt = None,
    id_: IdFilterOpt = None,
    filter_: RawFilterOpt = None,
    sort: SortOpt = None,
    limit: LimitOpt = None,
    marker: Annotated[str | None, typer.Option(metavar="<id>", help="Begin after it.")] = None,
    page_size: Annotated[int, typer.Option(min=1, metavar="N", help="Images a request.")] = 1000,
    long: Annotated[bool, typer.Option("--long", help="More columns.")] = False,
    watch: WatchOpt = False,
    interval: IntervalOpt = 2.0,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """List images: all that Glance shows by default, in its order."""
    how = list_view(ctx, output, columns, quiet, is_watched=watch)
    glance = connect(ctx)
    read = listing(
        glance,
        given(
            name=name,
            status=status,
            visibility=visibility,
            owner=project(glance.rest.login, owner, no_check),
            disk_format=disk_format,
            container_format=container_format,
            member_status=member_status,
            os_hidden=hidden or None,
            protected=protected,
            size_min=size_min,
            size_max=size_max,
            checksum=checksum,
            os_hash_value=hash_,
            sort=sort,
        ),
        tags=tag or (),
        ids=id_ or (),
        properties=property_ or (),
        raw=filter_ or (),
        match=match,
        created=(created_after, created_before),
        updated=(updated_after, updated_before),
        limit=limit,
        marker=marker,
        page_size=page_size,
    )
    shown = LONG_COLUMNS if long else COLUMNS
    show_list(read, how, columns=shown, noun="image", every=interval if watch else None)


def listing(
    glance: "Glance",
    fields: Mapping[str, Any],
    *,
    tags: Sequence[str],
    ids: Sequence[str],
    properties: Sequence[Pair],
    raw: Sequence[Pair],
    match: str | None,
    created: tuple[datetime | None, datetime | None],
    updated: tuple[datetime | None, datetime | None],
    limit: int | None,
    marker: str | None = None,
    page_size: int = 1000,
) -> "Callable[[], Iterator[Image]]":
    """Return what reads the images that the filters of ``image list`` let through.

    fields: Glance's own filters, and ``sort``. created, updated: after and before what.
    """
    from glancectl import query

    return partial(
        query.images,
        glance,
        query.image_params(fields, tags=tags, ids=ids, properties=properties, raw=raw),
        name=fields.get("name"),
        tags=tags,
        properties=properties,
        match=match,
        windows=[query.Window("created_at", *created), query.Window("updated_at", *updated)],
        limit=limit,
        marker=marker,
        page_size=page_size,
    )


@app.command(
    epilog="Example: glancectl image show ubuntu-24.04\n"
    "glancectl image show ubuntu-24.04 -c os_hash_value -f value"
)
def show(
    ctx: typer.Context,
    image: ImageArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Show an image's record."""
    from glancectl import render, resolve

    record = resolve.image(connect(ctx), image)
    render.record(record, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl image create ubuntu-24.04 --file noble.qcow2")
def create(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[<name>]", help="Any text.")] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="<source>", help="Path, URL, - for stdin. Without: just a record."),
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="<uuid>", help="Its id.")] = None,
    disk_format: DiskFormatOpt = None,
    container_format: ContainerFormatOpt = "bare",
    min_disk: MinDiskOpt = None,
    min_ram: MinRamOpt = None,
    visibility: VisibilityOpt = None,
    protected: ProtectedOpt = None,
    hidden: HiddenOpt = None,
    owner: OwnerOpt = None,
    no_check: NoCheckOpt = False,
    tag: TagsOpt = None,
    property_: PropertyOpt = None,
    properties_file: PropertiesFileOpt = None,
    keep_on_failure: Annotated[
        bool, typer.Option("--keep-on-failure", help="Keep the record when its data fail.")
    ] = False,
    size: SizeOpt = None,
    max_size: MaxSizeOpt = None,
    checksum: ChecksumOpt = None,
    header: HeaderOpt = None,
    decompress: DecompressOpt = "auto",
    store: StoreOpt = None,
    limit_rate: LimitRateOpt = None,
    no_verify: NoVerifyOpt = False,
    allow_empty: AllowEmptyOpt = False,
    no_sniff: NoSniffOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Create an image from file, URL or stdin, or just a record.

    With --file the image is active and verified at the end, or its record is removed again.
    """
    from glancectl import render
    from glancectl.flows import create as create_flow
    from glancectl.patch import require_names
    from glancectl.transfer.pace import Pace
    from glancectl.transfer.upload import Options

    flags = SourceFlags(
        file, size, max_size, checksum, header, decompress, allow_empty, sniff=not no_sniff
    )
    flags.require_source(store)
    custom = properties(property_, properties_file)
    require_names(custom, tag or ())
    glance = connect(ctx)
    fields = {
        **custom,
        **given(
            id=id_,
            name=name,
            disk_format=disk_format,
            container_format=container_format,
            min_disk=min_disk,
            min_ram=min_ram,
            visibility=visibility,
            protected=protected,
            os_hidden=hidden,
            owner=project(glance.rest.login, owner, no_check),
            tags=tag or None,
        ),
    }
    if file is None:
        record = create_flow.reserve(glance, fields)
    else:
        options = Options(verify=not no_verify, store=store, pace=Pace(limit_rate))
        with open_payload(ctx, flags) as source:
            missing, payload = fit(fields, source, flags, notes(ctx, quiet))
            with progress_for(ctx, name or source.name, payload.size, quiet) as progress:
                record = create_flow.create(
                    glance, fields | missing, payload, progress, options, keep=keep_on_failure
                )
    render.record(record, view(ctx, output, columns, quiet))


@app.command(
    epilog="Example: glancectl image delete ubuntu-24.04 --yes\n"
    "glancectl image list --match 'ci-*' -q | glancectl image delete -"
)
def delete(
    ctx: typer.Context,
    images: ImagesArg,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    if_exists: Annotated[
        bool, typer.Option("--if-exists", help="Absent images are no failure.")
    ] = False,
    unprotect: Annotated[
        bool, typer.Option("--unprotect", help="Lift the protection of protected ones.")
    ] = False,
    jobs: JobsOpt = 8,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Delete images for good.

    All are tried, whatever becomes of the others. Asks on a terminal when an image is named by
    its name, or more than one is.
    """
    from glancectl.flows.delete import delete_images
    from glancectl.resolve import as_uuid

    named = targets(images)
    if may_ask() and not yes and (len(named) > 1 or any(as_uuid(ref) is None for ref in named)):
        confirm(f"Delete {', '.join(named)}?")
    glance = connect(ctx)
    outcome = delete_images(glance, named, if_exists=if_exists, unprotect=unprotect, jobs=jobs)
    show_each(images, outcome, view(ctx, output, columns, quiet))
