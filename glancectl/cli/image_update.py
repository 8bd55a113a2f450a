"""glancectl image: update, activate, deactivate."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from glancectl.cli import connect
from glancectl.cli.image import COLUMNS, app
from glancectl.cli.options import (
    ColumnsOpt,
    ContainerFormatOpt,
    DiskFormatOpt,
    FormatOpt,
    HiddenOpt,
    ImagesArg,
    JobsOpt,
    MinDiskOpt,
    MinRamOpt,
    NoCheckOpt,
    OwnerOpt,
    PropertiesFileOpt,
    PropertyOpt,
    ProtectedOpt,
    QuietOpt,
    VisibilityOpt,
    given,
    json_input,
    notes,
    project,
    properties,
    show_each,
    targets,
    view,
)
from glancectl.errors import GlancectlError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from glancectl.api import Glance, Image
    from glancectl.render import View

DIFFERENCE_COLUMNS = ("id", "field", "old", "new")


@app.command(
    epilog="Example: glancectl image update ubuntu-24.04 --property os_distro=ubuntu --tag lts\n"
    "glancectl image update ubuntu-24.04 --name noble --dry-run"
)
def update(
    ctx: typer.Context,
    images: ImagesArg,
    name: Annotated[str | None, typer.Option(metavar="<name>", help="Any text.")] = None,
    disk_format: DiskFormatOpt = None,
    container_format: ContainerFormatOpt = None,
    min_disk: MinDiskOpt = None,
    min_ram: MinRamOpt = None,
    visibility: VisibilityOpt = None,
    protected: ProtectedOpt = None,
    hidden: HiddenOpt = None,
    owner: OwnerOpt = None,
    no_check: NoCheckOpt = False,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="<tag>", help="Add, remove a tag. Repeatable."),
    ] = None,
    remove_tag: Annotated[
        list[str] | None,
        typer.Option("--remove-tag", metavar="<tag>", help="Add, remove a tag. Repeatable."),
    ] = None,
    property_: PropertyOpt = None,
    properties_file: PropertiesFileOpt = None,
    remove_property: Annotated[
        list[str] | None,
        typer.Option("--remove-property", metavar="<key>", help="Remove it. Repeatable."),
    ] = None,
    purge_properties: Annotated[
        bool,
        typer.Option("--purge-properties", help="Remove all properties but those given."),
    ] = False,
    patch: Annotated[
        str | None,
        typer.Option(metavar="<file>|-|<json>", help="Send these RFC 6902 operations instead."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change, change nothing.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --dry-run: exit 10 if anything would.")
    ] = False,
    jobs: JobsOpt = 8,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Change records: the same change to each image.

    Only what differs is sent; nothing to change is exit 0 without a request.
    """
    from glancectl import patch as patches
    from glancectl.flows import bulk
    from glancectl.flows import update as update_flow

    glance, note = connect(ctx), notes(ctx, quiet)
    wanted = patches.Change(
        fields=given(
            name=name,
            disk_format=disk_format,
            container_format=container_format,
            min_disk=min_disk,
            min_ram=min_ram,
            visibility=visibility,
            protected=protected,
            os_hidden=hidden,
            owner=project(glance.rest.login, owner, no_check),
        ),
        properties=properties(property_, properties_file),
        remove_properties=remove_property or (),
        add_tags=tag or (),
        remove_tags=remove_tag or (),
        purge=purge_properties,
    )
    if exit_code and not dry_run:
        raise UsageError("--exit-code goes with --dry-run")
    raw = _patch_input(patch, images, alone=wanted == patches.Change())

    def plan(record: "Image") -> Any:
        return patches.operations(record, wanted) if patch is None else raw

    def act(record: "Image") -> "Image":
        if patch is None:
            return update_flow.change(glance, record, wanted, note)
        return update_flow.send(glance, record, raw)

    shown = view(ctx, output, columns, quiet)
    if dry_run:
        found = bulk.each_image(
            glance,
            targets(images),
            lambda record: patches.differences(record, plan(record)),
            jobs=jobs,
        )
        _show_differences(*found, shown, exit_code)
    else:
        _on_each(glance, images, act, jobs, shown)


def _patch_input(text: str | None, images: list[str], *, alone: bool) -> Any:
    """Return the JSON of ``--patch``, if any: the argument itself, a file's, or stdin's.

    alone: no other change was asked for.
    """
    if text is None:
        return None
    if not alone:
        raise UsageError("--patch goes without other changes")
    if text == "-" and "-" in images:
        raise UsageError("stdin cannot hold both the images and the patch")
    is_json = text.lstrip().startswith(("[", "{"))
    return json_input(text if is_json or text.startswith(("@", "-")) else f"@{text}")


def _show_differences(
    found: list[list[dict[str, object]]],
    failure: GlancectlError | None,
    shown: "View",
    exit_code: bool,
) -> None:
    """Print what would change in which image; raise what went wrong, or DiffersError if asked."""
    from glancectl import render
    from glancectl.errors import DiffersError

    printed = [rows[:1] if shown.quiet else rows for rows in found]  # quiet: each id once
    render.records([row for rows in printed for row in rows], shown, columns=DIFFERENCE_COLUMNS)
    if failure is not None:
        raise failure
    changed = sum(map(bool, found))
    if exit_code and changed:
        raise DiffersError(f"{changed} of {len(found)} images would change")


@app.command(epilog="Example: glancectl image activate ubuntu-24.04")
def activate(
    ctx: typer.Context,
    images: ImagesArg,
    jobs: JobsOpt = 8,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Make the data of deactivated images readable again."""
    from glancectl.flows import activation

    glance, note = connect(ctx), notes(ctx, quiet)
    _on_each(
        glance,
        images,
        lambda record: activation.activate(glance, record, note),
        jobs,
        view(ctx, output, columns, quiet),
    )


@app.command(epilog="Example: glancectl image deactivate ubuntu-24.04")
def deactivate(
    ctx: typer.Context,
    images: ImagesArg,
    jobs: JobsOpt = 8,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Make the data of images unreadable for all but admins."""
    from glancectl.flows import activation

    glance, note = connect(ctx), notes(ctx, quiet)
    _on_each(
        glance,
        images,
        lambda record: activation.deactivate(glance, record, note),
        jobs,
        view(ctx, output, columns, quiet),
    )


def _on_each(
    glance: "Glance",
    images: list[str],
    act: "Callable[[Image], Image]",
    jobs: int,
    shown: "View",
) -> None:
    """Call ``act`` with the record of each image, and print the records that come of it."""
    from glancectl.flows import bulk

    outcome = bulk.each_image(glance, targets(images), act, jobs=jobs)
    show_each(images, outcome, shown, columns=COLUMNS)
