"""glancectl image: prune."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from glancectl.cli import connect
from glancectl.cli.image import app
from glancectl.cli.options import (
    ColumnsOpt,
    FormatOpt,
    JobsOpt,
    NoCheckOpt,
    OwnerOpt,
    QuietOpt,
    TagsOpt,
    journal,
    nonempty,
    notes,
    own_project,
    project,
    show_each,
    view,
)
from glancectl.errors import UsageError

PLAN_COLUMNS = ("id", "name", "status", "size", "created_at", "reason")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Return the time that ``30d`` is, or ``90s``, ``15m``, ``24h``, ``2w``."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text, re.ASCII)
    if not found:
        raise typer.BadParameter(f"expected a time like 30d, 24h or 2w, got {text!r}")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


@app.command(
    epilog="Example: glancectl image prune --match 'ci-*' --older-than 30d --keep 3\n"
    "glancectl image prune --match 'ci-*' --older-than 30d --keep 3 --yes\n"
    "glancectl image prune --stuck 24h --yes"
)
def prune(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Option(parser=nonempty, metavar="<name>", help="Exact name.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(parser=nonempty, metavar="<glob>", help="Name pattern like 'ci-*'."),
    ] = None,
    tag: TagsOpt = None,
    older_than: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="<time>", help="Age, as in 30d: s, m, h, d or w."),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Let the newest N active ones of each name stay, however old."
        ),
    ] = None,
    stuck: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration,
            metavar="<time>",
            help="Only those never finished that have not changed for so long, as in 24h.",
        ),
    ] = None,
    owner: OwnerOpt = None,
    all_projects: Annotated[
        bool, typer.Option("--all-projects", help="Those of all projects (admin).")
    ] = False,
    no_check: NoCheckOpt = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Delete them.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted, as without --yes.")
    ] = False,
    jobs: JobsOpt = 8,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Delete images that are no longer wanted; without --yes, print which and why.

    Those of your own project go for which all holds that is given, hidden ones too. Protected
    ones stay, and with --keep those without a name.
    """
    from glancectl import render
    from glancectl.flows import prune as prune_flow

    if not tag and all(part is None for part in (name, match, older_than, keep, stuck)):
        raise UsageError(
            "nothing says which images are to go",
            hint="--name, --match, --tag, --older-than, --keep or --stuck",
        )
    _require_agreement(yes and dry_run, "--yes", "--dry-run")
    _require_agreement(all_projects and owner is not None, "--all-projects", "--owner")
    _require_agreement(stuck is not None and keep is not None, "--stuck", "--keep")
    glance, note, now = connect(ctx), notes(ctx, quiet), datetime.now(UTC)
    login = glance.rest.login
    rule = prune_flow.Rule(
        owner=None if all_projects else project(login, owner, no_check) or own_project(login),
        name=name,
        match=match,
        tags=tag or (),
        older_than=older_than,
        keep=keep,
        stuck=stuck,
    )
    planned = prune_flow.plan(glance, rule, now, note)
    shown = view(ctx, output, columns, quiet)
    if yes:
        tell = journal(ctx, quiet=True)  # the result says the same
        outcome = prune_flow.delete(glance, planned, rule, now, note, tell, jobs=jobs)
        show_each((), outcome, shown)
    else:
        render.records(planned, shown, columns=PLAN_COLUMNS)
        note(_what_would_be_done(len(planned)))


def _require_agreement(both: bool, one: str, other: str) -> None:
    if both:
        raise UsageError(f"{one} and {other} cannot both be asked for")


def _what_would_be_done(count: int) -> str:
    if not count:
        return "no image is to be deleted"
    return f"{count} image{'s' if count > 1 else ''} would be deleted; --yes does it"
