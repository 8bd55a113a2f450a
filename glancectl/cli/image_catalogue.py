"""glancectl image: apply, export."""

import contextlib
import functools
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.image import app, listing
from glancectl.cli.options import (
    BytesOpt,
    CatalogueFormatOpt,
    ColumnsOpt,
    ContainerFormatOpt,
    DateOpt,
    DiskFormatOpt,
    FormatOpt,
    HashFilterOpt,
    HiddenFilterOpt,
    IdFilterOpt,
    JobsOpt,
    LimitOpt,
    LimitRateOpt,
    MatchOpt,
    Md5FilterOpt,
    MemberStatusOpt,
    NameFilterOpt,
    NoCheckOpt,
    NoVerifyOpt,
    OwnerOpt,
    PropertyFilterOpt,
    ProtectedOpt,
    QuietOpt,
    RawFilterOpt,
    SortOpt,
    StatusFilterOpt,
    TagsOpt,
    VisibilityFilterOpt,
    given,
    image_count,
    journal,
    notes,
    own_project,
    project,
    read_text,
    view,
)
from glancectl.cli.payload import SourceFlags, fit, open_payload
from glancectl.errors import DiffersError, RefusedError, UsageError

if TYPE_CHECKING:
    from glancectl.flows import Note
    from glancectl.flows.apply import Row, Work
    from glancectl.flows.catalogue import Catalogue, Entry
    from glancectl.flows.content import Content
    from glancectl.render import View
    from glancectl.transfer.progress import Progress

DONE_COLUMNS = ("id", "name", "action")
PLAN_COLUMNS = ("action", "name", "field", "old", "new")


@app.command(
    epilog="Example: glancectl image apply images.yaml --dry-run\n"
    "glancectl --progress json image apply images.yaml --prune\n"
    "glancectl image export | glancectl image apply - --dry-run --exit-code"
)
def apply(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="<file>", help="A catalogue in YAML; - for stdin.")
    ],
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Delete images that were created for it and have left it."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change, change nothing.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --dry-run: exit 10 if anything would.")
    ] = False,
    no_check: NoCheckOpt = False,
    limit_rate: LimitRateOpt = None,
    no_verify: NoVerifyOpt = False,
    jobs: JobsOpt = 4,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: QuietOpt = False,
) -> None:
    """Make the images of a catalogue what it says.

    Each with a source is published as image publish does it, one without has to be there; what
    the catalogue does not say of an image stays as it is. All are tried, whatever becomes of the
    others.
    """
    from glancectl import render
    from glancectl.flows import apply as apply_flow

    if exit_code and not dry_run:
        raise UsageError("--exit-code goes with --dry-run")
    catalogue = _read(file)
    if prune and catalogue.name is None:
        raise UsageError(
            "--prune has to know whose images those of stdin are", hint="a line 'catalogue: NAME'"
        )
    shown = view(ctx, output, columns, quiet)
    with progress_for(ctx, image_count(len(catalogue.entries)), None, quiet) as progress:
        work = _work(ctx, progress, quiet, no_check, limit_rate, verify=not no_verify)
        act = apply_flow.plan if dry_run else apply_flow.apply
        rows, failure = act(work, catalogue, prune=prune, jobs=jobs)
        if failure is None:
            progress.done()
    if rows or failure is None:
        if dry_run:
            _show_plan(rows, shown)
        else:
            render.records(rows, shown, columns=DONE_COLUMNS)
    if failure is not None:
        raise failure
    changed = {row["name"] for row in rows if row["action"] != "unchanged"}
    if exit_code and changed:
        raise DiffersError(f"{len(changed)} of {len({row['name'] for row in rows})} images differ")


def _show_plan(rows: "Sequence[Row]", shown: "View") -> None:
    """Print what would change; quietly the ids of the images that are there, each once."""
    from glancectl import render

    if shown.quiet:
        changed = (row for row in rows if row["id"] and row["action"] != "unchanged")
        rows = list({row["id"]: row for row in changed}.values())
    render.records(rows, shown, columns=PLAN_COLUMNS)


def _read(file: str) -> "Catalogue":
    """Return the catalogue of a file. Raises UsageError once all that is wrong is told."""
    from glancectl import render
    from glancectl.flows import catalogue

    path = None if file == "-" else file
    found, problems = catalogue.read(_stdin() if path is None else read_text(path), path)
    for problem in problems:
        render.note(problem)
    if problems:
        errors = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        raise UsageError(f"{errors} in {path or 'stdin'}, nothing was changed")
    return found


def _stdin() -> str:
    if sys.stdin.isatty():
        raise UsageError("stdin is a terminal, not a catalogue", hint="pipe it in, or name a file")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise RefusedError("stdin is not UTF-8 text", cause=str(error)) from None


def _work(
    ctx: typer.Context,
    progress: "Progress",
    quiet: bool,
    no_check: bool,
    limit_rate: int | None,
    *,
    verify: bool,
) -> "Work":
    from glancectl import resolve
    from glancectl.flows.apply import Work
    from glancectl.transfer.pace import Pace
    from glancectl.transfer.upload import Options

    glance = connect(ctx)
    login = glance.rest.login
    note = notes(ctx, quiet, progress)
    return Work(
        glance,
        own_project(login),
        opened=lambda entry: _opened(ctx, entry, note),
        project=functools.cache(lambda ref: resolve.project(login, ref, check=not no_check)),
        progress=progress,
        options=Options(verify=verify, pace=Pace(limit_rate)),
        note=note,
        journal=journal(ctx, quiet, progress),
    )


@contextlib.contextmanager
def _opened(ctx: typer.Context, entry: "Entry", note: "Note") -> "Iterator[Content]":
    """Open the source of an entry, as ``image publish`` does without further options."""
    from glancectl.flows.content import Content

    flags = SourceFlags(
        entry.source, None, None, entry.checksum, None, "auto", allow_empty=False, sniff=True
    )
    with open_payload(ctx, flags) as source:
        missing, payload = fit(entry.fields, source, flags, note)
        yield Content(
            payload,
            source.checksum,
            is_unpacked=payload is not source,
            disk_format=missing.get("disk_format"),
        )


@app.command(
    epilog="Example: glancectl image export > images.yaml\n"
    "glancectl image export --tag ci --sort name:asc -f json"
)
def export(
    ctx: typer.Context,
    name: NameFilterOpt = None,
    match: MatchOpt = None,
    status: StatusFilterOpt = None,
    visibility: VisibilityFilterOpt = None,
    owner: OwnerOpt = None,
    no_check: NoCheckOpt = False,
    tag: TagsOpt = None,
    property_: PropertyFilterOpt = None,
    disk_format: DiskFormatOpt = None,
    container_format: ContainerFormatOpt = None,
    member_status: MemberStatusOpt = None,
    hidden: HiddenFilterOpt = False,
    protected: ProtectedOpt = None,
    size_min: BytesOpt = None,
    size_max: BytesOpt = None,
    created_after: DateOpt = None,
    created_before: DateOpt = None,
    updated_after: DateOpt = None,
    updated_before: DateOpt = None,
    checksum: Md5FilterOpt = None,
    hash_: HashFilterOpt = None,
    id_: IdFilterOpt = None,
    filter_: RawFilterOpt = None,
    sort: SortOpt = None,
    limit: LimitOpt = None,
    jobs: JobsOpt = 8,
    output: CatalogueFormatOpt = "yaml",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notes on stderr.")] = False,
) -> None:
    """Write a catalogue of your project's images for image apply, in YAML or JSON.

    Without sources: applying it changes back what was changed since. An image without a name or
    data is left out, as are older ones of a name.
    """
    from glancectl import render
    from glancectl.flows import export as export_flow

    glance = connect(ctx)
    login = glance.rest.login
    read = listing(
        glance,
        given(
            name=name,
            status=status,
            visibility=visibility,
            owner=project(login, owner, no_check) or own_project(login),
            disk_format=disk_format,
            container_format=container_format,
            member_status=member_status,
            os_hidden=hidden or None,
            protected=protected,
            size_min=size_min,
            size_max=size_max,
            checksum=checksum,
            os_hash_value=hash_,
            sort=sort,
        ),
        tags=tag or (),
        ids=id_ or (),
        properties=property_ or (),
        raw=filter_ or (),
        match=match,
        created=(created_after, created_before),
        updated=(updated_after, updated_before),
        limit=limit,
    )
    found = export_flow.export(glance, read(), notes(ctx, quiet), jobs=jobs)
    render.record(found, view(ctx, output, (), False))
