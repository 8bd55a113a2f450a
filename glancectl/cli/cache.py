"""glancectl cache: what the API host that answers keeps at hand."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glancectl.cli import connect
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import (
    ColumnsOpt,
    FormatOpt,
    ImageArg,
    ImagesArg,
    JobsOpt,
    QuietOpt,
    notes,
    show_each,
    targets,
    view,
)

if TYPE_CHECKING:
    from collections.abc import Callable

app = new_app(NOUNS["cache"])

COLUMNS = ("image_id", "state", "hits", "size", "last_accessed")


@app.command("list", epilog="Example: glancectl cache list -f json")
def list_(
    ctx: typer.Context,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """List what is cached, and what is queued to be."""
    from glancectl import render

    found = connect(ctx).get_cache()
    rows = [{**image, "state": "cached"} for image in found.get("cached_images", ())]
    rows += [{"image_id": queued, "state": "queued"} for queued in found.get("queued_images", ())]
    render.records(rows, view(ctx, output, columns, quiet), columns=COLUMNS, key="image_id")


@app.command(epilog="Example: glancectl cache queue ubuntu-24.04 debian-13")
def queue(
    ctx: typer.Context,
    images: ImagesArg,
    jobs: JobsOpt = 8,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Have active images cached."""
    from glancectl.flows import bulk

    glance = connect(ctx)
    act = _acting(glance.queue_for_cache, "queued")
    outcome = bulk.each_id(glance, targets(images), act, jobs=jobs)
    show_each(images, outcome, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl cache delete ubuntu-24.04")
def delete(
    ctx: typer.Context,
    images: ImagesArg,
    jobs: JobsOpt = 8,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Drop images from the cache and its queue; they stay."""
    from glancectl.flows import bulk

    glance = connect(ctx)
    act = _acting(glance.delete_from_cache, "deleted")
    outcome = bulk.each_id(glance, targets(images), act, jobs=jobs)
    show_each(images, outcome, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl cache clear --target queue")
def clear(
    ctx: typer.Context,
    target: Annotated[
        Literal["cache", "queue", "both"], typer.Option(help="What shall be empty.")
    ] = "both",
    output: FormatOpt = None,  # noqa: ARG001 - shapes the errors
) -> None:
    """Empty the cache, its queue, or both."""
    connect(ctx).clear_cache(None if target == "both" else target)
    emptied = "the cache and its queue are" if target == "both" else f"the {target} is"
    notes(ctx, quiet=False)(f"{emptied} empty")


@app.command(epilog="Example: glancectl cache clean")
def clean(ctx: typer.Context, output: FormatOpt = None) -> None:  # noqa: ARG001 - for errors
    """Drop what is stale or invalid from the cache."""
    connect(ctx).clean_cache()
    notes(ctx, quiet=False)("the cache is clean")


@app.command(epilog="Example: glancectl cache prune")
def prune(ctx: typer.Context, output: FormatOpt = None, columns: ColumnsOpt = None) -> None:
    """Shrink the cache to its limit, and show what went."""
    from glancectl import render

    render.record(connect(ctx).prune_cache(), view(ctx, output, columns, quiet=False))


@app.command(epilog="Example: glancectl cache nodes ubuntu-24.04")
def nodes(
    ctx: typer.Context,
    image: ImageArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print URLs only.")] = False,
) -> None:
    """List the API hosts that have an image in their cache."""
    from glancectl import render, resolve

    glance = connect(ctx)
    rows = [{"node": url} for url in resolve.by_id(glance, image, glance.list_cache_nodes)]
    render.records(rows, view(ctx, output, columns, quiet), columns=("node",), key="node")


def _acting(
    call: "Callable[[str], None]", status: str
) -> "Callable[[str, str | None], dict[str, object]]":
    """Return what calls ``call`` with the id of an image, and tells what became of it."""

    def act(image_id: str, name: str | None) -> dict[str, object]:
        call(image_id)
        return {"id": image_id, "name": name, "status": status}

    return act
