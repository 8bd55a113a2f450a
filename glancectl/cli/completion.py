"""glancectl completion: the scripts that complete its words in bash, zsh and fish."""

from typing import Annotated, Literal

import typer

from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import FormatOpt

app = new_app(NOUNS["completion"])


@app.command(epilog="Example: source <(glancectl completion bash)")
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="Which shell.")
    ],
    output: FormatOpt = None,  # noqa: ARG001 - shapes the errors
) -> None:
    """Print the script that completes glancectl's words in a shell.

    bash: source <(glancectl completion bash) in ~/.bashrc; zsh: likewise in ~/.zshrc, after
    compinit; fish: glancectl completion fish > ~/.config/fish/completions/glancectl.fish.
    Names of images and the like are those of the cloud, from a cached token: no login is made.
    """
    from glancectl.cli.shells import script

    typer.echo(script(shell), nl=False)
