"""glancectl sandbox: a real Keystone and a real Glance on this machine."""

import sys
from typing import Annotated

import typer

from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import ColumnsOpt, FormatOpt, QuietOpt, view

app = new_app(NOUNS["sandbox"])


@app.command(epilog="Example: glancectl sandbox up && glancectl --cloud sandbox image list")
def up(
    ctx: typer.Context,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Start the sandbox, or find it running; adds the clouds sandbox, -admin and -other.

    Needs the extra: pip install 'glancectl[sandbox]'.
    """
    from glancectl import render, sandbox

    status = sandbox.up(render.note)
    render.record(status, view(ctx, output, columns, quiet), key="glance")


@app.command(epilog="Example: glancectl sandbox down --purge")
def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Forget its images and users too.")
    ] = False,
    output: FormatOpt = None,  # noqa: ARG001 - shapes the errors
) -> None:
    """Stop the sandbox; its images are kept for the next up."""
    from glancectl import render, sandbox

    stopped = sandbox.down(purge=purge)
    render.note("the sandbox is stopped" if stopped else "no sandbox was running")


@app.command(epilog="Example: glancectl sandbox status -f json")
def status(
    ctx: typer.Context,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Show where the running sandbox answers."""
    from glancectl import render, sandbox
    from glancectl.errors import NotFoundError

    found = sandbox.status()
    if found is None:
        raise NotFoundError("no sandbox is running", hint="glancectl sandbox up")
    render.record(found, view(ctx, output, columns, quiet), key="glance")


@app.command(epilog='Example: eval "$(glancectl sandbox env)" && openstack image list')
def env(
    cloud: Annotated[
        str, typer.Argument(metavar="[<cloud>]", help="sandbox, sandbox-admin or sandbox-other.")
    ] = "sandbox",
    output: FormatOpt = None,  # noqa: ARG001 - shapes the errors
) -> None:
    """Print shell exports of OS_* variables for other clients."""
    import shlex

    from glancectl import sandbox

    for name, value in sandbox.environment(cloud).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: glancectl sandbox run -- pytest",
)
def run(
    command: Annotated[list[str], typer.Argument(metavar="<command>...", help="What to run.")],
    output: FormatOpt = None,  # noqa: ARG001 - shapes the errors
) -> None:
    """Give a command a sandbox (OS_CLOUD=sandbox) and take it down after.

    Ends with the command's exit code. A sandbox that was running before is left running.
    """
    from glancectl import render, sandbox

    raise typer.Exit(sandbox.run(command, render.note))


@app.command(epilog="Example: glancectl sandbox demo noble.qcow2")
def demo(
    file: Annotated[
        str | None, typer.Argument(metavar="[<file>]", help="Default: a small qcow2 made here.")
    ] = None,
    output: FormatOpt = None,  # noqa: ARG001 - shapes the errors
) -> None:
    """Walk the main job: create, list, show, download, compare, delete.

    Prints each command before it runs it.
    """
    from pathlib import Path

    from glancectl import render, sandbox

    path = Path(file) if file is not None else None
    glancectl = [sys.executable, "-m", "glancectl"]
    raise typer.Exit(sandbox.demo(path, render.note, glancectl=glancectl))
