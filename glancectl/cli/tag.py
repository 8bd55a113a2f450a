"""glancectl tag: the tags of an image."""

from typing import Annotated

import typer

from glancectl.cli import connect
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import ColumnsOpt, FormatOpt, ImageArg, nonempty, notes, show_each, view

app = new_app(NOUNS["tag"])

COLUMNS = ("id", "name", "tags")

TagsArg = Annotated[list[str], typer.Argument(metavar="<tag>...", help="Any text.")]
TagQuietOpt = Annotated[bool, typer.Option("-q", "--quiet", help="Print tags only.")]


@app.command("list", epilog="Example: glancectl tag list ubuntu-24.04")
def list_(
    ctx: typer.Context,
    image: Annotated[
        str | None,
        typer.Argument(
            parser=nonempty, metavar="[<image>]", help="Default: all that image list shows."
        ),
    ] = None,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TagQuietOpt = False,
) -> None:
    """List the tags of an image, or all and how many have each."""
    from glancectl import render, resolve
    from glancectl.flows import tags as tag_flow

    glance = connect(ctx)
    images = glance.list_images() if image is None else [resolve.image(glance, image)]
    shown = view(ctx, output, columns, quiet)
    render.records(tag_flow.count(images), shown, columns=("tag", "images"), key="tag")


@app.command(epilog="Example: glancectl tag add ubuntu-24.04 lts 'built by ci'")
def add(
    ctx: typer.Context,
    image: ImageArg,
    tags: TagsArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TagQuietOpt = False,
) -> None:
    """Add tags to an image."""
    from glancectl import render, resolve
    from glancectl.flows import tags as tag_flow
    from glancectl.patch import require_names

    require_names((), tags)
    glance = connect(ctx)
    record = resolve.image(glance, image)
    tagged = tag_flow.add(glance, record, tags, notes(ctx, quiet))
    render.record(tagged, view(ctx, output, columns, quiet), key="tags")


@app.command(epilog="Example: glancectl tag remove ubuntu-24.04 lts")
def remove(
    ctx: typer.Context,
    image: ImageArg,
    tags: TagsArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TagQuietOpt = False,
) -> None:
    """Remove tags from an image.

    Absent ones are exit 4, or 9 if others were there.
    """
    from glancectl import resolve
    from glancectl.flows import tags as tag_flow

    glance = connect(ctx)
    outcome = tag_flow.remove(glance, resolve.image(glance, image), tags)
    shown = view(ctx, output, columns, quiet)
    show_each([image], outcome, shown, columns=COLUMNS, key="tags")


@app.command(epilog="Example: glancectl tag replace ubuntu-24.04 lts production")
def replace(
    ctx: typer.Context,
    image: ImageArg,
    tags: TagsArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TagQuietOpt = False,
) -> None:
    """Give an image these tags and no others."""
    from glancectl import render, resolve
    from glancectl.flows import tags as tag_flow
    from glancectl.patch import require_names

    require_names((), tags)
    glance = connect(ctx)
    tagged = tag_flow.replace(glance, resolve.image(glance, image), tags)
    render.record(tagged, view(ctx, output, columns, quiet), key="tags")
