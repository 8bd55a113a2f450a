"""glancectl image locations: where the data of an image are."""

from functools import partial
from typing import Annotated

import typer

from glancectl.cli import connect, image, progress_for
from glancectl.cli.nouns import new_app
from glancectl.cli.options import (
    ChecksumOpt,
    ColumnsOpt,
    FormatOpt,
    ImageArg,
    IntervalOpt,
    QuietOpt,
    WaitTimeoutOpt,
    view,
)

app = new_app("See where the data of an image are, or make a URL its data.")
image.app.add_typer(app, name="locations")


@app.command("list", epilog="Example: glancectl image locations list ubuntu-24.04")
def list_(
    ctx: typer.Context,
    image: ImageArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print URLs only.")] = False,
) -> None:
    """List where an image's data are: URLs and stores (admin)."""
    from glancectl import render, resolve

    glance = connect(ctx)
    found = resolve.by_id(glance, image, glance.list_locations)
    shown = view(ctx, output, columns, quiet)
    render.records(found, shown, columns=("url", "metadata"), key="url")


@app.command(epilog="Example: glancectl image locations add web https://example.org/web.raw")
def add(
    ctx: typer.Context,
    image: ImageArg,
    url: Annotated[str, typer.Argument(metavar="<url>", help="http(s)://, where the data stay.")],
    checksum: ChecksumOpt = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")] = True,
    timeout: WaitTimeoutOpt = 3600.0,
    interval: IntervalOpt = 2.0,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Make what a URL names an image's data, not copying them."""
    from glancectl import render, resolve
    from glancectl.flows import imports
    from glancectl.transfer.upload import ready

    glance, shown = connect(ctx), view(ctx, output, columns, quiet)
    record = ready(resolve.image(glance, image))
    expected = checksum and {"os_hash_algo": checksum.algorithm, "os_hash_value": checksum.hex}
    post = partial(glance.add_location, record["id"], url, expected)
    task = imports.start(glance, record["id"], post)
    if not wait:
        render.record(task or record, shown)
        return
    with progress_for(ctx, record.get("name") or image, None, quiet) as progress:
        done, _ = imports.finish(
            glance, record["id"], task, timeout=timeout, interval=interval, say=progress.phase
        )
        progress.done()
    render.record(done, shown)
