"""glancectl image: import, and waiting for what Glance does by itself."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.image import COLUMNS, app
from glancectl.cli.options import (
    AllowEmptyOpt,
    ChecksumOpt,
    ColumnsOpt,
    DecompressOpt,
    FormatOpt,
    HeaderOpt,
    ImageArg,
    ImagesArg,
    IntervalOpt,
    LimitRateOpt,
    MaxSizeOpt,
    NoSniffOpt,
    NoVerifyOpt,
    QuietOpt,
    SizeOpt,
    WaitTimeoutOpt,
    given,
    notes,
    show_each,
    targets,
    view,
)
from glancectl.cli.payload import SourceFlags, open_payload, ready_for
from glancectl.errors import UsageError

if TYPE_CHECKING:
    from glancectl.api import Glance, Image
    from glancectl.transfer.source import Source


@app.command(
    "import",
    epilog="Example: glancectl image import web --method web-download --uri https://example.org/web.qcow2",
)
def import_(
    ctx: typer.Context,
    image: ImageArg,
    method: Annotated[
        str,
        typer.Option(metavar="<method>", help="web-download, glance-direct, copy-image, …"),
    ],
    uri: Annotated[
        str | None, typer.Option(metavar="<url>", help="web-download: what Glance shall fetch.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(metavar="<source>", help="glance-direct: stage this first.")
    ] = None,
    remote_region: Annotated[
        str | None, typer.Option(metavar="<region>", help="glance-download: from this region.")
    ] = None,
    remote_image: Annotated[
        str | None, typer.Option(metavar="<uuid>", help="glance-download: its id there.")
    ] = None,
    remote_interface: Annotated[
        str | None, typer.Option(metavar="<interface>", help="glance-download: public, internal.")
    ] = None,
    store: Annotated[
        list[str] | None, typer.Option("--store", metavar="<store>", help="Where to. Repeatable.")
    ] = None,
    all_stores: Annotated[bool, typer.Option("--all-stores", help="To all stores.")] = False,
    allow_failure: Annotated[
        bool, typer.Option("--allow-failure", help="Some of several stores may fail (exit 9).")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it ends.")] = True,
    timeout: WaitTimeoutOpt = 3600.0,
    interval: IntervalOpt = 2.0,
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
    """Have Glance fetch an image's data, or copy them to stores.

    Waits, and tells how the import ended, which the image's status does not. --no-wait prints
    the task instead.
    """
    from glancectl import render
    from glancectl.flows import imports
    from glancectl.transfer.pace import Pace
    from glancectl.transfer.upload import Options

    arguments = given(
        name=method,
        uri=uri,
        glance_region=remote_region,
        glance_image_id=remote_image,
        glance_service_interface=remote_interface,
    )
    _require_fitting(arguments, file)
    _require_stores(store, all_stores, allow_failure)
    flags = SourceFlags(
        file, size, max_size, checksum, header, decompress, allow_empty, sniff=not no_sniff
    )
    flags.require_source()
    options = Options(verify=not no_verify, pace=Pace(limit_rate))
    glance, shown = connect(ctx), view(ctx, output, columns, quiet)
    imports.require_method(glance, method)
    note = notes(ctx, quiet)
    stores = imports.Stores(store or (), all_stores, allow_failure)
    body = imports.request(glance, arguments, stores, note)
    with nullcontext() if file is None else open_payload(ctx, flags) as source:
        record, payload = _target(glance, image, source, flags, note)
        name, total = record.get("name") or image, payload.size if payload else None
        with progress_for(ctx, name, total, quiet) as progress:
            task, sent = imports.begin(glance, record["id"], body, payload, progress, options)
        if task is None and method == "copy-image":
            note("no task was started: all stores have the image already")
        if not wait:
            render.record(task or record, shown)
            return
        with progress_for(ctx, name, None, quiet) as progress:
            done, failure = imports.finish(
                glance, record["id"], task, timeout=timeout, interval=interval, say=progress.phase
            )
            if payload is not None and sent is not None and not no_verify:
                imports.compare(glance, record, done, payload, sent, progress)
            progress.done()
    render.record(done, shown)
    if failure is not None:
        raise failure


# Of each argument: the flag, the method that takes it, and whether that needs it.
_ARGUMENTS = {
    "uri": ("--uri", "web-download", True),
    "glance_region": ("--remote-region", "glance-download", True),
    "glance_image_id": ("--remote-image", "glance-download", True),
    "glance_service_interface": ("--remote-interface", "glance-download", False),
}


def _require_fitting(arguments: dict[str, str], file: str | None) -> None:
    """Raise UsageError for arguments that the method lacks, or that belong to another one."""
    method = arguments["name"]
    missing = []
    for key, (flag, taker, is_needed) in _ARGUMENTS.items():
        if key in arguments and method != taker:
            raise UsageError(f"{flag} goes with --method {taker}")
        if key not in arguments and method == taker and is_needed:
            missing.append(flag)
    if missing:
        raise UsageError(f"--method {method} needs {' and '.join(missing)}")
    if file is not None and method != "glance-direct":
        raise UsageError("--file goes with --method glance-direct")


def _require_stores(store: list[str] | None, all_stores: bool, allow_failure: bool) -> None:
    if store and all_stores:
        raise UsageError("--store and --all-stores exclude each other")
    if allow_failure and not (store or all_stores):
        raise UsageError("--allow-failure goes with --store or --all-stores")


def _target(
    glance: "Glance",
    image: str,
    source: "Source | None",
    flags: SourceFlags,
    note: Callable[[str], None],
) -> "tuple[Image, Source | None]":
    """Return the record of the image, when it can take what is imported, and the payload."""
    from glancectl import resolve
    from glancectl.transfer.upload import ready

    if source is not None:
        return ready_for(glance, image, source, flags, note)
    record = resolve.image(glance, image)
    return (ready(record) if record["status"] == "queued" else record), None


@app.command(
    epilog="Example: glancectl image wait ubuntu-24.04 debian-13 --for active --timeout 600"
)
def wait(
    ctx: typer.Context,
    images: ImagesArg,
    wanted: Annotated[
        Literal["active", "deactivated", "queued", "uploading", "saving", "importing", "deleted"],
        typer.Option("--for", metavar="<status>", help="active, …, or deleted: what to wait for."),
    ] = "active",
    timeout: WaitTimeoutOpt = 3600.0,
    interval: IntervalOpt = 2.0,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Wait until images have a status, or are gone.

    Exit 8 at once when that cannot come any more: deleted, or an import that failed.
    """
    from glancectl import watch
    from glancectl.flows import bulk

    glance, named = connect(ctx), targets(images)
    is_one = len(named) == 1
    what = named[0] if is_one else f"{len(named)} images"
    with progress_for(ctx, what, None, quiet) as progress:

        def say(status: str) -> None:
            progress.phase(status if is_one else f"waiting until they are {wanted}")

        outcome = bulk.each(
            named,
            lambda ref: watch.image(
                glance, ref, wanted, timeout=timeout, interval=interval, say=say
            ),
            jobs=len(named),
        )
        if outcome[1] is None:
            progress.done()
    show_each(images, outcome, view(ctx, output, columns, quiet), columns=COLUMNS)
