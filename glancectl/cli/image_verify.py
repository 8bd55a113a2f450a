"""glancectl image: verify."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from glancectl.cli import connect, progress_for
from glancectl.cli.image import app
from glancectl.cli.options import (
    ColumnsOpt,
    FormatOpt,
    JobsOpt,
    LimitRateOpt,
    image_count,
    nonempty,
    show_each,
    targets,
    view,
)
from glancectl.cli.payload import SourceFlags, open_payload
from glancectl.errors import GlancectlError, UsageError

if TYPE_CHECKING:
    from glancectl.transfer.pace import Pace

COLUMNS = ("id", "name", "status", "size")

Outcome = tuple[Sequence[Mapping[str, object]], GlancectlError | None]


@app.command(
    epilog="Example: glancectl image verify ubuntu-24.04 noble.qcow2\n"
    "xz -dc noble.qcow2.xz | glancectl image verify ubuntu-24.04 -\n"
    "glancectl image list --status active -q | glancectl image verify -"
)
def verify(
    ctx: typer.Context,
    image: Annotated[
        str,
        typer.Argument(
            parser=nonempty,
            metavar="<image>",
            help="UUID or exact name; - reads several from stdin.",
        ),
    ],
    file: Annotated[
        str | None,
        typer.Argument(metavar="[<file>]", help="Path, URL, or - for stdin: what it should be."),
    ] = None,
    limit_rate: LimitRateOpt = None,
    jobs: JobsOpt = 4,
    output: FormatOpt = None,
    columns: ColumnsOpt = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print ids only, of those that are ok.")
    ] = False,
) -> None:
    """Verify a file, or the data that the cloud has, against an image's record.

    With a file, nothing is downloaded; one that differs is exit 10. Without, the data are read
    from the store, not from a cache, and kept nowhere; corrupt ones are exit 6.
    """
    from glancectl.transfer.pace import Pace

    if image == "-" and file is not None:
        raise UsageError(
            "a file is compared with one image, not with those on stdin",
            hint="glancectl image verify IMAGE FILE",
        )
    shown, pace = view(ctx, output, columns, quiet), Pace(limit_rate)
    if image == "-":
        done, failure = _verify_several(ctx, pace, jobs, quiet)
    elif file is None:
        done, failure = _verify_stored(ctx, image, pace, quiet)
    else:
        done, failure = _verify_file(ctx, image, file, pace, quiet)
    if quiet:
        done = [report for report in done if report["status"] == "ok"]
    show_each([image], (done, failure), shown, columns=COLUMNS)


def _verify_file(ctx: typer.Context, image: str, file: str, pace: "Pace", quiet: bool) -> Outcome:
    from glancectl import resolve
    from glancectl.flows.verify import compare

    flags = SourceFlags(file, None, None, None, None, "none", allow_empty=True, sniff=False)
    glance = connect(ctx)
    with open_payload(ctx, flags) as source:
        record = resolve.image(glance, image)
        with progress_for(ctx, source.name, source.size, quiet) as progress:
            report, failure = compare(record, source, progress, pace)
    return [report], failure


def _verify_stored(ctx: typer.Context, image: str, pace: "Pace", quiet: bool) -> Outcome:
    from glancectl import resolve
    from glancectl.flows.verify import stored

    glance = connect(ctx)
    record = resolve.image(glance, image)
    with progress_for(ctx, record.get("name") or image, record.get("size"), quiet) as progress:
        report, failure = stored(glance, record, progress, pace)
    return [report], failure


def _verify_several(ctx: typer.Context, pace: "Pace", jobs: int, quiet: bool) -> Outcome:
    from glancectl.flows.verify import stored_images

    glance, named = connect(ctx), targets(["-"])
    with progress_for(ctx, image_count(len(set(named))), None, quiet) as progress:
        outcome = stored_images(glance, named, progress, pace, jobs=jobs)
        if outcome[1] is None:
            progress.done()
    return outcome
