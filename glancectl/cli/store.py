"""glancectl store: where a cloud keeps its images."""

from typing import Annotated

import typer

from glancectl.cli import connect
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import ColumnsOpt, FormatOpt, ImageArg, QuietOpt, notes, view

app = new_app(NOUNS["store"])

COLUMNS = ("id", "default", "read-only", "description")


@app.command("list", epilog="Example: glancectl store list")
def list_(
    ctx: typer.Context,
    detail: Annotated[
        bool, typer.Option("--detail", help="Types and properties too (admin).")
    ] = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """List the stores of this cloud."""
    from glancectl import render

    stores = connect(ctx).list_stores(detail=detail)
    if stores is None:
        notes(ctx, quiet)("this cloud has a single store, without a name")
    shown = (*COLUMNS, "type", "weight") if detail else COLUMNS
    render.records(stores or [], view(ctx, output, columns, quiet), columns=shown)


@app.command(epilog="Example: glancectl store delete slow ubuntu-24.04")
def delete(
    ctx: typer.Context,
    store: Annotated[str, typer.Argument(metavar="<store>", help="Its id.")],
    image: ImageArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Delete the copy of an image in one store (admin).

    The last copy is refused.
    """
    from glancectl import render, resolve

    glance = connect(ctx)

    def act(image_id: str, name: str | None) -> dict[str, object]:
        glance.delete_from_store(store, image_id)
        return {"id": image_id, "name": name, "status": "deleted", "store": store}

    deleted = resolve.with_target(glance, resolve.target(glance, image), act)
    render.record(deleted, view(ctx, output, columns, quiet))
