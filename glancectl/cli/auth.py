"""glancectl auth: who is calling, a token for other tools, and forgetting it."""

from typing import Any

import typer

from glancectl.cli import NOUNS, connect, new_app
from glancectl.cli.options import ColumnsOpt, FormatOpt, QuietOpt, view

app = new_app(NOUNS["auth"])


@app.command(epilog="Example: glancectl --cloud prod auth status")
def status(
    ctx: typer.Context,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Show who is logged in, where, until when.

    ``sources`` tells where each setting came from.
    """
    from glancectl import render

    login = connect(ctx).rest.login
    access = login.access
    result = {
        "cloud": login.settings.cloud,
        "auth_url": access.auth_url,
        "user": access.user or access.user_id,
        "project": access.project or access.project_id,
        "roles": access.roles,
        "region": access.region,
        "endpoint": access.endpoint,
        "expires_at": access.expires_at,
        "cached": login.from_cache,
        "sources": _sources(ctx),
    }
    render.record(result, view(ctx, output, columns, quiet), key="user")


@app.command(epilog='Example: curl -H "X-Auth-Token: $(glancectl auth token)" …')
def token(ctx: typer.Context, output: FormatOpt = None) -> None:  # noqa: ARG001 - for errors
    """Print a token for curl and other tools."""
    from glancectl.errors import RefusedError

    found = connect(ctx).rest.login.access.token
    if found is None:
        raise RefusedError("this auth type has no token")
    typer.echo(found)


@app.command(epilog="Example: glancectl --cloud prod auth logout")
def logout(ctx: typer.Context, output: FormatOpt = None) -> None:  # noqa: ARG001 - for errors
    """Forget the cached token and have Keystone revoke it."""
    from glancectl import render

    connect(ctx).rest.login.logout()
    render.note("logged out")


def _sources(ctx: typer.Context) -> dict[str, Any]:
    """Tell for each global option and cloud file where its value came from."""
    from glancectl.clouds import SANDBOX_CLOUDS, cloud_files, sandbox_clouds

    root = ctx.find_root()
    sources: dict[str, Any] = {}
    for param in root.command.params:
        name = param.name or ""
        origin = root.get_parameter_source(name)
        if name not in root.params or root.params[name] is None or origin is None:
            continue
        if origin.name == "COMMANDLINE":
            sources[name] = param.opts[0]
        elif origin.name == "ENVIRONMENT":
            sources[name] = str(getattr(param, "envvar", ""))
    files = [str(path) for path in cloud_files()]
    if root.params.get("cloud") in SANDBOX_CLOUDS and not files:
        files = [str(sandbox_clouds())]
    return {**sources, "files": files}
