"""glancectl image: publish."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.image import app
from glancectl.cli.options import (
    AllowEmptyOpt,
    ChecksumOpt,
    ColumnsOpt,
    ContainerFormatOpt,
    DecompressOpt,
    DiskFormatOpt,
    FormatOpt,
    HeaderOpt,
    HiddenOpt,
    LimitRateOpt,
    MaxSizeOpt,
    MinDiskOpt,
    MinRamOpt,
    NoCheckOpt,
    NoSniffOpt,
    NoVerifyOpt,
    OwnerOpt,
    PropertiesFileOpt,
    PropertyOpt,
    ProtectedOpt,
    QuietOpt,
    SizeOpt,
    SourceArg,
    StoreOpt,
    TagsOpt,
    VisibilityOpt,
    given,
    journal,
    nonempty,
    notes,
    own_project,
    project,
    properties,
    view,
)
from glancectl.cli.payload import SourceFlags, fit, open_payload

if TYPE_CHECKING:
    from glancectl.flows import Note
    from glancectl.flows.publish import Report
    from glancectl.render import View

WHOLE = ("json", "jsonl", "yaml")  # formats that have room for more than the record
OLDER = "Older ones: hide (default), deactivate, delete, none; N stay."


@app.command(
    epilog="Example: glancectl image publish ubuntu-24.04 noble.qcow2 --keep 2 --property ci=main"
)
def publish(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(parser=nonempty, metavar="<name>", help="Any text.")],
    source: SourceArg,
    retire: Annotated[
        Literal["hide", "deactivate", "delete", "none"],
        typer.Option("--retire", metavar="<how>", help=OLDER, show_default=False),
    ] = "hide",
    keep: Annotated[
        int | None, typer.Option("--keep", min=0, metavar="N", help=OLDER, show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, change nothing.")
    ] = False,
    disk_format: DiskFormatOpt = None,
    container_format: ContainerFormatOpt = None,
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
    """Make a name stand for this content: upload it if it is new, then retire older images.

    Nothing is done when it is there already; a stream without --checksum is sent to be compared.
    """
    from glancectl.flows import publish as publish_flow
    from glancectl.flows.content import Content
    from glancectl.patch import Change, require_names
    from glancectl.transfer.pace import Pace
    from glancectl.transfer.upload import Options

    flags = SourceFlags(
        source, size, max_size, checksum, header, decompress, allow_empty, sniff=not no_sniff
    )
    options = Options(verify=not no_verify, store=store, pace=Pace(limit_rate))
    custom = properties(property_, properties_file)
    require_names(custom, tag or ())
    publish_flow.require_free(custom)
    glance, note = connect(ctx), notes(ctx, quiet)
    given_owner = project(glance.rest.login, owner, no_check)
    fields = given(
        disk_format=disk_format,
        container_format=container_format,
        min_disk=min_disk,
        min_ram=min_ram,
        visibility=visibility,
        protected=protected,
        os_hidden=hidden,
        owner=given_owner,
        tags=tag or None,
    )
    with open_payload(ctx, flags) as opened:
        missing, payload = fit(fields, opened, flags, note)
        content = Content(
            payload, opened.checksum, payload is not opened, missing.get("disk_format")
        )
        wanted = publish_flow.Wanted(
            name,
            given_owner or own_project(glance.rest.login),
            Change(fields=fields, properties=custom),
            retire,
            keep,
        )
        with progress_for(ctx, name, payload.size, quiet) as progress:
            report = publish_flow.publish(
                glance,
                wanted,
                content,
                progress,
                options,
                note=note,
                journal=journal(ctx, quiet),
                dry_run=dry_run,
            )
    _tell(report, note, dry_run=dry_run)
    _show(report, view(ctx, output, columns, quiet))


def _tell(report: "Report", note: "Note", *, dry_run: bool) -> None:
    """Let ``note`` hear what the record does not show."""
    if report.action != "created":
        note(f"image {report.image['id']} has this content already")
    if dry_run and report.action != "unchanged":
        what = "an image" if report.action == "created" else f"image {report.image['id']}"
        note(f"{what} would be {report.action}")
    for one in report.retired if dry_run else ():
        note(f"image {one.id} would be {one.action}")


def _show(report: "Report", how: "View") -> None:
    """Print what was done, or the record alone; then raise what went wrong with older images."""
    from glancectl import render

    is_whole = how.format in WHOLE and not (how.columns or how.quiet)
    render.record(report.as_dict() if is_whole else report.image, how)
    if report.failure is not None:
        raise report.failure
