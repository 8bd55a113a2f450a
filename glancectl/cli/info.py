"""glancectl info: what the cloud you are on can do."""

import typer

from glancectl.cli import connect
from glancectl.cli.options import ColumnsOpt, FormatOpt, view


def info(ctx: typer.Context, output: FormatOpt = None, columns: ColumnsOpt = None) -> None:
    """Show versions, import methods, stores, formats, usage."""
    from glancectl import render
    from glancectl.flows.info import info

    render.record(info(connect(ctx)), view(ctx, output, columns, quiet=False))
