"""glancectl image: verbs on data."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.image import app
from glancectl.cli.options import (
    AllowEmptyOpt,
    ChecksumOpt,
    ColumnsOpt,
    DecompressOpt,
    FormatOpt,
    HeaderOpt,
    ImageArg,
    JobsOpt,
    LimitRateOpt,
    MaxSizeOpt,
    NoSniffOpt,
    NoVerifyOpt,
    QuietOpt,
    SizeOpt,
    SourceArg,
    StoreOpt,
    image_count,
    nonempty,
    notes,
    show_each,
    targets,
    view,
)
from glancectl.cli.payload import SourceFlags, open_payload, ready_for
from glancectl.errors import UsageError

if TYPE_CHECKING:
    from glancectl.render import View
    from glancectl.transfer.download import Options


@app.command(
    epilog="Example: glancectl image upload my-image noble.qcow2\n"
    "xz -dc noble.qcow2.xz | glancectl image upload my-image -"
)
def upload(
    ctx: typer.Context,
    image: ImageArg,
    source: SourceArg,
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
    """Upload data into a reserved image.

    After a failure the record is queued again, and running the command again is safe.
    """
    from glancectl import render
    from glancectl.transfer import upload as upload_flow
    from glancectl.transfer.pace import Pace

    flags = SourceFlags(
        source, size, max_size, checksum, header, decompress, allow_empty, sniff=not no_sniff
    )
    options = upload_flow.Options(verify=not no_verify, store=store, pace=Pace(limit_rate))
    glance = connect(ctx)
    with open_payload(ctx, flags) as opened:
        record, payload = ready_for(glance, image, opened, flags, notes(ctx, quiet))
        with (
            progress_for(ctx, record.get("name") or image, payload.size, quiet) as progress,
            upload_flow.telling_what_is_left(glance, record["id"]),
        ):
            record = upload_flow.upload(glance, record["id"], payload, progress, options)
    render.record(record, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl image stage my-image noble.qcow2")
def stage(
    ctx: typer.Context,
    image: ImageArg,
    source: SourceArg,
    size: SizeOpt = None,
    max_size: MaxSizeOpt = None,
    checksum: ChecksumOpt = None,
    header: HeaderOpt = None,
    decompress: DecompressOpt = "auto",
    limit_rate: LimitRateOpt = None,
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
    from glancectl.transfer.pace import Pace

    flags = SourceFlags(
        source, size, max_size, checksum, header, decompress, allow_empty, sniff=not no_sniff
    )
    options = upload_flow.Options(verify=not no_verify, pace=Pace(limit_rate))
    glance = connect(ctx)
    with open_payload(ctx, flags) as opened:
        record, payload = ready_for(glance, image, opened, flags, notes(ctx, quiet))
        with (
            progress_for(ctx, record.get("name") or image, payload.size, quiet) as progress,
            upload_flow.telling_what_is_left(glance, record["id"]),
        ):
            record, _ = upload_flow.stage(glance, record["id"], payload, progress, options)
    render.record(record, view(ctx, output, columns, quiet))


@app.command(
    epilog="Example: glancectl image download ubuntu-24.04 noble.qcow2\n"
    "glancectl image download ubuntu-24.04 - | sha512sum"
)
def download(
    ctx: typer.Context,
    images: Annotated[
        list[str],
        typer.Argument(
            parser=nonempty,
            metavar="<image>... [<dest>]",
            help="UUID or exact name, and a file, a directory, or - for stdout. Default: ./NAME. "
            "Several images go into a directory.",
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another file of that name.")
    ] = False,
    no_resume: Annotated[
        bool, typer.Option("--no-resume", help="Begin at the start, leave no .part behind.")
    ] = False,
    connections: Annotated[
        int, typer.Option(min=1, max=32, metavar="N", help="Fetch parts of an image at once.")
    ] = 1,
    sparse: Annotated[
        Literal["auto", "never"], typer.Option(help="Make holes of zeros in a raw image.")
    ] = "auto",
    limit_rate: LimitRateOpt = None,
    prefer: Annotated[
        list[str] | None,
        typer.Option("--prefer", metavar="<store>", help="Read from it if it can. Repeatable."),
    ] = None,
    no_verify: NoVerifyOpt = False,
    jobs: JobsOpt = 4,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the path only.")] = False,
) -> None:
    """Download an image's data, verified.

    The file appears only when it is whole and its digest right. What broke off goes on where it
    stopped when the command is run again.
    """
    from glancectl.transfer.download import Options
    from glancectl.transfer.pace import Pace

    options = Options(
        verify=not no_verify,
        prefer=prefer or (),
        pace=Pace(limit_rate),
        overwrite=overwrite,
        resume=not no_resume,
        connections=connections,
        sparse=sparse == "auto",
    )
    shown = view(ctx, output, columns, quiet)
    if len(images) > 2 or images[0] == "-":
        _download_several(ctx, images, options, shown, jobs)
    elif images[1:] == ["-"]:
        _download_to_stdout(ctx, images[0], options, quiet)
    else:
        _download_one(ctx, images[0], images[1] if images[1:] else None, options, shown)


def _download_one(
    ctx: typer.Context, image: str, dest: str | None, options: "Options", shown: "View"
) -> None:
    from glancectl import render, resolve
    from glancectl.transfer.download import target, to_file

    glance = connect(ctx)
    record = resolve.image(glance, image)
    name, size = record.get("name") or image, record.get("size")
    with progress_for(ctx, name, size, shown.quiet) as progress:
        result = to_file(glance, record, target(record, dest), progress, options)
    render.record(result, shown, key="path")


def _download_to_stdout(ctx: typer.Context, image: str, options: "Options", quiet: bool) -> None:
    from glancectl import resolve
    from glancectl.transfer.download import to_stream

    if sys.stdout.isatty():
        raise UsageError(
            "image data would go to the terminal", hint="redirect stdout, or name a file"
        )
    if options.connections > 1:
        raise UsageError("--connections needs a file to put the parts in", hint="name a file")
    glance = connect(ctx)
    record = resolve.image(glance, image)
    with progress_for(ctx, record.get("name") or image, record.get("size"), quiet) as progress:
        to_stream(glance, record, sys.stdout.buffer, progress, options)


def _download_several(
    ctx: typer.Context, images: list[str], options: "Options", shown: "View", jobs: int
) -> None:
    """Download all but the last of ``images`` into the directory that the last one is."""
    from glancectl.flows.downloads import download_images

    *refs, folder = images if len(images) > 1 else [*images, "."]
    if not os.path.isdir(folder):
        raise UsageError(
            f"several images need a directory to go to, and {folder} is none",
            hint="glancectl image download IMAGE… DIRECTORY",
        )
    glance, named = connect(ctx), targets(refs)
    with progress_for(ctx, image_count(len(set(named))), None, shown.quiet) as progress:
        outcome = download_images(glance, named, folder, progress, options, jobs=jobs)
        if outcome[1] is None:
            progress.done()
    show_each(refs, outcome, shown, columns=("id", "name", "path", "status"), key="path")
