"""glancectl member: the projects that an image is shared with."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glancectl.cli import connect
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import (
    ColumnsOpt,
    FormatOpt,
    ImageArg,
    NoCheckOpt,
    ProjectArg,
    ProjectsArg,
    notes,
    own_project,
    show_each,
    view,
)

if TYPE_CHECKING:
    from glancectl.api import Glance
    from glancectl.render import View

app = new_app(NOUNS["member"])

COLUMNS = ("member_id", "status", "created_at", "updated_at")
INBOX_COLUMNS = ("image_id", "name", "owner", "size")

Status = Literal["accepted", "rejected", "pending"]
MemberQuietOpt = Annotated[bool, typer.Option("-q", "--quiet", help="Print project ids only.")]


@app.command("list", epilog="Example: glancectl member list ubuntu-24.04 --status accepted")
def list_(
    ctx: typer.Context,
    image: ImageArg,
    status: Annotated[
        Status | None, typer.Option(metavar="<answer>", help="accepted, rejected or pending.")
    ] = None,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: MemberQuietOpt = False,
) -> None:
    """List the projects that an image is shared with.

    As one of them you see yourself only.
    """
    from glancectl import render, resolve

    glance = connect(ctx)
    members = resolve.by_id(glance, image, glance.list_members)
    found = [member for member in members if status in (None, member["status"])]
    render.records(found, view(ctx, output, columns, quiet), columns=COLUMNS, key="member_id")


@app.command(epilog="Example: glancectl member show ubuntu-24.04 other")
def show(
    ctx: typer.Context,
    image: ImageArg,
    project: ProjectArg,
    no_check: NoCheckOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: MemberQuietOpt = False,
) -> None:
    """Show one project that an image is shared with, and its answer."""
    from glancectl import render, resolve

    glance = connect(ctx)
    member = resolve.member(glance.rest.login, project, check=not no_check)
    found = resolve.by_id(glance, image, lambda image_id: glance.get_member(image_id, member))
    render.record(found, view(ctx, output, columns, quiet), key="member_id")


@app.command(epilog="Example: glancectl member add ubuntu-24.04 other")
def add(
    ctx: typer.Context,
    image: ImageArg,
    projects: ProjectsArg,
    no_check: NoCheckOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: MemberQuietOpt = False,
) -> None:
    """Share an image with projects.

    A private one is made shared first. They can use it at once, by its id; once they accept, it is
    in their lists too.
    """
    from glancectl import resolve
    from glancectl.flows import sharing

    glance = connect(ctx)
    login = glance.rest.login
    outcome = sharing.share(
        glance,
        resolve.image(glance, image),
        projects,
        lambda ref: resolve.project(login, ref, check=not no_check),
        notes(ctx, quiet),
    )
    shown = view(ctx, output, columns, quiet)
    show_each(projects, outcome, shown, columns=COLUMNS, key="member_id")


@app.command(epilog="Example: glancectl member update ubuntu-24.04 other --status pending")
def update(
    ctx: typer.Context,
    image: ImageArg,
    project: ProjectArg,
    status: Annotated[
        Status, typer.Option(metavar="<answer>", help="accepted, rejected or pending.")
    ],
    no_check: NoCheckOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: MemberQuietOpt = False,
) -> None:
    """Set the answer of your own project, or of any as admin."""
    from glancectl import resolve

    glance = connect(ctx)
    member = resolve.member(glance.rest.login, project, check=not no_check)
    _answer(glance, image, member, status, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl member accept ubuntu-24.04")
def accept(
    ctx: typer.Context,
    image: ImageArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: MemberQuietOpt = False,
) -> None:
    """Accept an image for your own project, into its lists."""
    glance = connect(ctx)
    own = own_project(glance.rest.login)
    _answer(glance, image, own, "accepted", view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl member reject ubuntu-24.04")
def reject(
    ctx: typer.Context,
    image: ImageArg,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: MemberQuietOpt = False,
) -> None:
    """Reject an image for your own project, out of its lists."""
    glance = connect(ctx)
    own = own_project(glance.rest.login)
    _answer(glance, image, own, "rejected", view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl member remove ubuntu-24.04 other")
def remove(
    ctx: typer.Context,
    image: ImageArg,
    projects: ProjectsArg,
    no_check: NoCheckOpt = False,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: MemberQuietOpt = False,
) -> None:
    """Share an image with projects no longer."""
    from glancectl import resolve
    from glancectl.flows import bulk, sharing

    glance = connect(ctx)
    login = glance.rest.login

    def withdraw(member: str) -> dict[str, object]:
        return resolve.by_id(
            glance, image, lambda image_id: sharing.withdraw(glance, image_id, member)
        )

    outcome = bulk.each_found(
        projects,
        lambda ref: resolve.member(login, ref, check=not no_check),
        withdraw,
        key=str,
        jobs=1,  # two writes on one image at once could undo each other
    )
    shown = view(ctx, output, columns, quiet)
    show_each(projects, outcome, shown, columns=("member_id", "status"), key="member_id")


@app.command(epilog="Example: glancectl member inbox -q | xargs -n 1 glancectl member accept")
def inbox(
    ctx: typer.Context,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print image ids only.")] = False,
) -> None:
    """List what others offer you and you have not answered."""
    from glancectl import render
    from glancectl.flows import sharing

    glance = connect(ctx)
    login = glance.rest.login
    offers = sharing.inbox(glance, own_project(login), admin="admin" in login.access.roles)
    shown = view(ctx, output, columns, quiet)
    render.records(offers, shown, columns=INBOX_COLUMNS, key="image_id")


def _answer(glance: "Glance", image: str, member: str, status: Status, shown: "View") -> None:
    """Set what a project answers, and print its membership."""
    from glancectl import render, resolve

    found = resolve.by_id(
        glance, image, lambda image_id: glance.set_member_status(image_id, member, status)
    )
    render.record(found, shown, key="member_id")
