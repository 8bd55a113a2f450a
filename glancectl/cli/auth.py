"""glancectl auth: who is calling, a token for other tools, and forgetting it."""

import sys
from typing import Any

import typer

from glancectl.cli import State, connect
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import ColumnsOpt, FormatOpt, QuietOpt, view

app = new_app(NOUNS["auth"])


@app.command(epilog="Example: glancectl --cloud sandbox auth status -f json")
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
        "auth_url": _without_password(access.auth_url),
        "user": access.user or access.user_id,
        "project": access.project or access.project_id,
        "roles": access.roles,
        "region": access.region,
        "endpoint": _without_password(access.endpoint),
        "expires_at": access.expires_at,
        "cached": login.from_cache,
        "sources": _sources(ctx),
    }
    render.record(result, view(ctx, output, columns, quiet), key="user")


@app.command(epilog='Example: export OS_TOKEN="$(glancectl auth token)"')
def token(ctx: typer.Context, output: FormatOpt = None) -> None:  # noqa: ARG001 - for errors
    """Print a token for curl and other tools."""
    from glancectl.errors import RefusedError

    found = connect(ctx).rest.login.access.token
    if found is None:
        raise RefusedError("this auth type has no token")
    typer.echo(found)


@app.command(epilog="Example: glancectl --cloud sandbox auth logout")
def logout(ctx: typer.Context, output: FormatOpt = None) -> None:  # noqa: ARG001 - for errors
    """Forget the cached token and have Keystone revoke it."""
    from glancectl import render

    had_token = connect(ctx).rest.login.logout()
    render.note("logged out" if had_token else "no token was cached")


def _without_password(url: str | None) -> str | None:
    from glancectl.redact import redact

    return redact(url) if url and "@" in url else url


def _sources(ctx: typer.Context) -> dict[str, Any]:
    """Tell where each setting came from, and the files that were read."""
    from glancectl.clouds import SANDBOX_CLOUDS, cloud_files, sandbox_clouds

    state: State = ctx.obj
    files = [str(path) for path in cloud_files()]
    if state.cloud in SANDBOX_CLOUDS and not files:
        files = [str(sandbox_clouds())]
    if state.config.path is not None:
        files.append(state.config.path)
    return {**state.given, **_origins(ctx), "files": files}


def _origins(ctx: typer.Context) -> dict[str, str]:
    """Return where each setting came from that the config file can make, default ones too."""
    from glancectl.config import KEYS

    state: State = ctx.obj
    origins = {key.name: state.origin(key.name) for key in KEYS if key.name != "clouds"}
    if state.cloud is None:
        del origins["cloud"]
    if ctx.params["output"]:
        origins["format"] = "--format"
    elif not sys.stdout.isatty():
        origins["format"] = "default"  # the file's counts on a terminal only
    return origins
