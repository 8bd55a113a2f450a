"""glancectl info: what the cloud you are on can do."""

import typer

from glancectl.cli import connect
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import ColumnsOpt, FormatOpt, view

app = new_app(NOUNS["info"])


@app.command(epilog="Example: glancectl info -f json")
def info(ctx: typer.Context, output: FormatOpt = None, columns: ColumnsOpt = None) -> None:
    """Show versions, import methods, stores, formats, usage."""
    from glancectl import render
    from glancectl.flows.info import info

    render.record(info(connect(ctx)), view(ctx, output, columns, quiet=False))
