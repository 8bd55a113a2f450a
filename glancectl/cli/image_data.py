"""glancectl image: verbs on data."""

import sys
from typing import Annotated

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.image import app
from glancectl.cli.options import (
    AllowEmptyOpt,
    ChecksumOpt,
    ColumnsOpt,
    FormatOpt,
    HeaderOpt,
    ImageArg,
    NoSniffOpt,
    NoVerifyOpt,
    QuietOpt,
    SizeOpt,
    SourceArg,
    StoreOpt,
    view,
)
from glancectl.cli.payload import open_payload, ready_for
from glancectl.errors import UsageError


@app.command(epilog="Example: xz -dc disk.raw.xz | glancectl image upload my-image -")
def upload(
    ctx: typer.Context,
    image: ImageArg,
    source: SourceArg,
    size: SizeOpt = None,
    checksum: ChecksumOpt = None,
    header: HeaderOpt = None,
    store: StoreOpt = None,
    no_verify: NoVerifyOpt = False,
    allow_empty: AllowEmptyOpt = False,
    no_sniff: NoSniffOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Upload data into a reserved image.

    After a failure the record is queued again, and running the command again is safe.
    """
    from glancectl import render
    from glancectl.transfer import upload as upload_flow

    glance = connect(ctx)
    with open_payload(ctx, source, size, header, allow_empty) as payload:
        record = ready_for(glance, image, payload, sniff=not no_sniff)
        with progress_for(ctx, record.get("name") or image, payload.size, quiet) as progress:
            record = upload_flow.upload(
                glance,
                record["id"],
                payload,
                progress,
                store=store,
                checksum=checksum,
                verify=not no_verify,
            )
    render.record(record, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl image stage ubuntu-24.04 noble.qcow2")
def stage(
    ctx: typer.Context,
    image: ImageArg,
    source: SourceArg,
    size: SizeOpt = None,
    checksum: ChecksumOpt = None,
    header: HeaderOpt = None,
    no_verify: NoVerifyOpt = False,
    allow_empty: AllowEmptyOpt = False,
    no_sniff: NoSniffOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Stage data for an import by glance-direct.

    image import --file does both.
    """
    from glancectl import render
    from glancectl.transfer import upload as upload_flow

    glance = connect(ctx)
    with open_payload(ctx, source, size, header, allow_empty) as payload:
        record = ready_for(glance, image, payload, sniff=not no_sniff)
        with progress_for(ctx, record.get("name") or image, payload.size, quiet) as progress:
            record, _ = upload_flow.stage(
                glance, record["id"], payload, progress, checksum=checksum, verify=not no_verify
            )
    render.record(record, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl image download ubuntu-24.04 noble.qcow2")
def download(
    ctx: typer.Context,
    image: ImageArg,
    dest: Annotated[
        str | None,
        typer.Argument(metavar="[<dest>]", help="File or directory, - for stdout. Default: ./NAME"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another file of that name.")
    ] = False,
    prefer: Annotated[
        list[str] | None,
        typer.Option("--prefer", metavar="<store>", help="Read from it if it can. Repeatable."),
    ] = None,
    no_verify: NoVerifyOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the path only.")] = False,
) -> None:
    """Download an image's data, verified.

    The file appears only when it is whole and its digest right.
    """
    from glancectl import render, resolve
    from glancectl.transfer import download as download_flow

    if dest == "-" and sys.stdout.isatty():
        raise UsageError(
            "image data would go to the terminal", hint="redirect stdout, or name a file"
        )
    glance = connect(ctx)
    record = resolve.image(glance, image)
    with progress_for(ctx, record.get("name") or image, record.get("size"), quiet) as progress:
        if dest == "-":
            out = sys.stdout.buffer
            download_flow.to_stream(
                glance, record, out, progress, verify=not no_verify, prefer=prefer or ()
            )
            return
        path = download_flow.target(record, dest)
        result = download_flow.to_file(
            glance,
            record,
            path,
            progress,
            overwrite=overwrite,
            verify=not no_verify,
            prefer=prefer or (),
        )
    render.record(result, view(ctx, output, columns, quiet), key="path")
