"""glancectl _suggest: what the completion scripts call; no help shows it."""

from typing import Annotated

import typer

from glancectl.cli.nouns import SUGGEST, new_app

app = new_app("Print what a word may be completed with.")


@app.command(SUGGEST)
def suggest(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="<kind>", help="image, tag, cloud, …")],
    prefix: Annotated[str, typer.Argument(metavar="[<prefix>]", help="What is typed of it.")] = "",
) -> None:
    """Print values of a kind, each with a tab and what it is; never logs in."""
    from glancectl.clouds import Settings
    from glancectl.flows import suggestions

    def settings() -> Settings:
        return Settings(**ctx.obj.settings)

    for value, what in suggestions.suggest(kind, prefix, settings):
        typer.echo(f"{value}\t{what}")
