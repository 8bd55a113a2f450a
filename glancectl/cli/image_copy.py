"""glancectl image: copy."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from glancectl.cli import connect, connect_to, progress_for
from glancectl.cli.image import COLUMNS, app
from glancectl.cli.options import (
    ColumnsOpt,
    FormatOpt,
    ImagesArg,
    IntervalOpt,
    JobsOpt,
    LimitRateOpt,
    NoCheckOpt,
    ProtectedOpt,
    QuietOpt,
    StoreOpt,
    VisibilityOpt,
    WaitTimeoutOpt,
    image_count,
    journal,
    nonempty,
    notes,
    show_each,
    targets,
    view,
)
from glancectl.errors import UsageError

if TYPE_CHECKING:
    from glancectl.flows.copy import Options


@app.command(
    epilog="Example: glancectl image copy ubuntu-24.04 --to-cloud other --if-missing\n"
    "glancectl image list --tag golden -q | glancectl image copy - --to-cloud other --if-missing\n"
    "glancectl image copy ubuntu-24.04 --to-region west --server-side"
)
def copy(
    ctx: typer.Context,
    images: ImagesArg,
    to_cloud: Annotated[
        str | None,
        typer.Option(parser=nonempty, metavar="<cloud>", help="To this entry of clouds.yaml."),
    ] = None,
    to_region: Annotated[
        str | None,
        typer.Option(parser=nonempty, metavar="<region>", help="To this region of the cloud."),
    ] = None,
    to_project: Annotated[
        str | None,
        typer.Option(
            parser=nonempty, metavar="<project>", help="To this project, with the same login."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="<name>", help="Another name for the copy.")
    ] = None,
    visibility: VisibilityOpt = None,
    protected: ProtectedOpt = None,
    members: Annotated[
        bool, typer.Option("--members", help="Share with whom the original is shared with.")
    ] = False,
    no_check: NoCheckOpt = False,
    if_missing: Annotated[
        bool,
        typer.Option("--if-missing", help="Nothing is sent where an image has these data already."),
    ] = False,
    store: StoreOpt = None,
    server_side: Annotated[
        bool,
        typer.Option(
            "--server-side", help="Glance copies by itself: to a region, or to one more store."
        ),
    ] = False,
    timeout: WaitTimeoutOpt = 3600.0,
    interval: IntervalOpt = 2.0,
    limit_rate: LimitRateOpt = None,
    jobs: JobsOpt = 2,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Copy images to another cloud, region or project, verified.

    The data pass through here and are kept nowhere. A copy has the name, formats, properties and
    tags of its original, is private, and is seen once it is whole; what fails is removed.
    """
    from glancectl import resolve
    from glancectl.flows import copy as copy_flow
    from glancectl.flows.places import Ends
    from glancectl.transfer.pace import Pace

    options = copy_flow.Options(
        name=name,
        visibility=visibility,
        protected=bool(protected),
        members=members,
        if_missing=if_missing,
        store=store,
        pace=Pace(limit_rate),
        server_side=server_side,
        timeout=timeout,
        interval=interval,
    )
    named = targets(images)
    is_several = len(set(named)) > 1
    _require_fitting(options, is_several=is_several)
    if server_side:
        _require_one_cloud(options, to_cloud, to_region, to_project)
    glance = target = connect(ctx)
    if to_cloud or to_region or to_project:
        target = connect_to(ctx, cloud=to_cloud, region=to_region, project=to_project)
    what = named[0] if len(named) == 1 else image_count(len(set(named)))
    with progress_for(ctx, what, None, quiet) as progress:
        told = notes(ctx, quiet, progress), journal(ctx, quiet, progress)
        if server_side and to_region is None:
            outcome = copy_flow.add_store(glance, named, options, progress, *told, jobs=jobs)
        else:
            check = partial(resolve.project, target.rest.login, check=not no_check)
            ends = Ends(glance, target, check)
            outcome = copy_flow.copy_images(ends, named, options, progress, *told, jobs=jobs)
        if is_several and outcome[1] is None:
            progress.done()
    show_each(images, outcome, view(ctx, output, columns, quiet), columns=COLUMNS)


def _require_fitting(options: "Options", *, is_several: bool) -> None:
    """Raise UsageError for options that do not go together."""
    if options.name is not None and is_several:
        raise UsageError("--name names one copy, not several")
    if options.members and options.visibility not in (None, "shared"):
        raise UsageError("--members goes with --visibility shared, or without --visibility")


def _require_one_cloud(
    options: "Options", to_cloud: str | None, to_region: str | None, to_project: str | None
) -> None:
    """Raise UsageError for what Glance cannot do itself, within one cloud and project."""
    if to_cloud or to_project or not (to_region or options.store):
        raise UsageError(
            "--server-side goes with --to-region or --store: Glance copies within one cloud and "
            "project"
        )
    if options.pace.rate is not None:
        raise UsageError("--limit-rate is of data that pass through here, and none will")
    of_another = (options.name, options.visibility, options.protected, options.members)
    if not to_region and any(of_another):
        raise UsageError("--server-side --store makes no other image, it adds a store to this one")
