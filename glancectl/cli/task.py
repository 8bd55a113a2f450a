"""glancectl task: what Glance does in the background."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.nouns import NOUNS, new_app
from glancectl.cli.options import (
    ColumnsOpt,
    FormatOpt,
    IntervalOpt,
    WaitTimeoutOpt,
    WatchOpt,
    json_input,
    list_view,
    nonempty,
    pair,
    show_list,
    view,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from glancectl.api import Glance, Task

app = new_app(NOUNS["task"])

COLUMNS = ("id", "type", "status", "owner", "created_at", "updated_at")

TaskArg = Annotated[str, typer.Argument(metavar="<task>", help="Its id.")]
TaskQuietOpt = Annotated[bool, typer.Option("-q", "--quiet", help="Print task ids only.")]
OfImageOpt = Annotated[
    str | None,
    typer.Option(
        "--image", parser=nonempty, metavar="<image>", help="Whose it is: needs no admin."
    ),
]


@app.command(
    "list", epilog="Example: glancectl task list --image ubuntu-24.04 -c status -c message"
)
def list_(
    ctx: typer.Context,
    image: Annotated[
        str | None,
        typer.Option(parser=nonempty, metavar="<image>", help="Its tasks only: needs no admin."),
    ] = None,
    status: Annotated[
        Literal["pending", "processing", "success", "failure"] | None,
        typer.Option(metavar="<status>", help="pending, processing, success or failure."),
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="<type>", help="import, api_image_import, location_import, …"
        ),
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="<id>", help="Only this one.")] = None,
    filter_: Annotated[
        list[Any] | None,
        typer.Option(
            "--filter", parser=pair, metavar="K=V", help="A key has this value. Repeatable."
        ),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="key[:asc|desc],…", help="Default: newest first.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, metavar="N", help="Tasks in all.")] = None,
    watch: WatchOpt = False,
    interval: IntervalOpt = 2.0,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TaskQuietOpt = False,
) -> None:
    """List the tasks of the cloud, or of one image.

    Those of the cloud are for admins, and have no messages; of an image you see your own.
    """
    from glancectl import resolve
    from glancectl.flows import tasks as task_flow

    how = list_view(ctx, output, columns, quiet, is_watched=watch)
    glance = connect(ctx)
    named = [("status", status), ("type", type_), ("id", id_)]
    filters = [(key, value) for key, value in named if value is not None] + (filter_ or [])
    if image is None:
        read = partial(task_flow.tasks, glance, filters, sort=sort, limit=limit)
    else:
        # Looked up once: what is watched stays the same image, at one request a time.
        ref = resolve.image(glance, image)["id"] if watch else image
        of_image = partial(task_flow.image_tasks, glance, filters=filters, sort=sort, limit=limit)
        read = partial(resolve.by_id, glance, ref, of_image)
    show_list(read, how, columns=COLUMNS, noun="task", every=interval if watch else None)


@app.command(
    epilog="Example: glancectl task list --image web -q"
    " | xargs -n 1 glancectl task show --image web"
)
def show(
    ctx: typer.Context,
    task: TaskArg,
    image: OfImageOpt = None,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TaskQuietOpt = False,
) -> None:
    """Show a task, its input, result and message."""
    from glancectl import render

    found = _reader(connect(ctx), task, image)()
    render.record(found, view(ctx, output, columns, quiet))


@app.command(epilog="Example: glancectl task create --type import --input @import.json")
def create(
    ctx: typer.Context,
    type_: Annotated[
        str, typer.Option("--type", metavar="<type>", help="What Glance shall do: import.")
    ],
    input_: Annotated[
        str, typer.Option("--input", metavar="<json>|@<file>|-", help="What the task needs.")
    ],
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TaskQuietOpt = False,
) -> None:
    """Create a task (admin).

    For imports, image import does more, and waits.
    """
    from glancectl import render

    created = connect(ctx).create_task(type_, json_input(input_))
    render.record(created, view(ctx, output, columns, quiet))


@app.command(
    epilog="Example: glancectl task list --image web -q"
    " | xargs -n 1 glancectl task wait --image web"
)
def wait(
    ctx: typer.Context,
    task: TaskArg,
    image: OfImageOpt = None,
    timeout: WaitTimeoutOpt = 3600.0,
    interval: IntervalOpt = 2.0,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: TaskQuietOpt = False,
) -> None:
    """Wait until a task has ended.

    One that failed is exit 8, with its message.
    """
    from glancectl import render, watch

    get = _reader(connect(ctx), task, image)
    with progress_for(ctx, f"task {task}", None, quiet) as progress:
        ended = watch.task(get, task, timeout=timeout, interval=interval, say=progress.phase)
        progress.done()
    render.record(ended, view(ctx, output, columns, quiet))


def _reader(glance: "Glance", task: str, image: str | None) -> "Callable[[], Task]":
    """Return what reads a task anew each time it is called."""
    from glancectl import resolve
    from glancectl.flows import tasks as task_flow

    if image is None:
        return lambda: glance.get_task(task)
    image_id = resolve.image(glance, image)["id"]
    return lambda: task_flow.image_task(glance, image_id, task)
