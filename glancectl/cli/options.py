"""Options and parsers that more than one command uses."""

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glancectl.errors import AuthError, GlancectlError, RefusedError, UsageError

if TYPE_CHECKING:
    from glancectl.auth import Login
    from glancectl.flows import Journal
    from glancectl.render import View
    from glancectl.transfer.checksum import Checksum
    from glancectl.transfer.progress import Progress

Pair = tuple[str, str]
FormatName = Literal["table", "tsv", "json", "jsonl", "yaml", "csv", "value"]
Decompress = Literal["auto", "none", "gzip", "bzip2", "xz", "zstd"]
Visibility = Literal["private", "shared", "community", "public"]

LARGEST = (1 << 63) - 1  # bytes; Glance's database has no room for more
MOST = (1 << 31) - 1  # GB or MB of a record, likewise
LONGEST = 10 * 365 * 86400.0  # seconds; the system can wait for centuries, but not for ever
LONGEST_REQUEST = 2e6  # seconds; poll(2) takes milliseconds, of 31 bits

# Parsers of one value; Typer says which option a typer.BadParameter is about.


def pair(text: str) -> tuple[str, str]:
    """Split ``K=V``; the value may hold more equals signs.

    Raises typer.BadParameter without an equals sign or with an empty key, which Glance would take.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"expected KEY=VALUE, got {text!r}")
    return key, value


def size(text: str) -> int:
    """Return bytes from ``512``, ``10M`` or ``2GiB``; suffixes are powers of 1024."""
    # Of ASCII alone: else the sign for Kelvin would be a K as well.
    flags = re.IGNORECASE | re.ASCII
    found = re.fullmatch(r"(\d{1,19})\s*([KMGTP]?)(?:i?B)?", text.strip(), flags)
    if not found:
        raise typer.BadParameter(f"expected a size like 512, 10M or 2GiB, got {text!r}")
    factor: int = 1024 ** " KMGTP".index(found[2].upper() or " ")
    count = int(found[1]) * factor
    if count > LARGEST:
        raise typer.BadParameter(f"{text!r} is more than any store can hold")
    return count


def rate(text: str) -> int:
    """Return bytes per second from what ``size`` takes, with or without ``/s``; at least 1."""
    found = size(text.strip().removesuffix("/s"))
    if not found:
        raise typer.BadParameter("a transfer at 0 bytes a second would never end")
    return found


def seconds(least: float, most: float = LONGEST) -> Callable[[str], float]:
    """Return a parser of a number of seconds from ``least`` to ``most``."""

    def parse(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            raise typer.BadParameter(f"expected a number of seconds, got {text!r}") from None
        if not least <= found <= most:  # nor is nan
            raise typer.BadParameter(f"expected {least:g} to {most:.0f} seconds, got {text!r}")
        return found

    return parse


def date(text: str) -> datetime:
    """Return the moment that an ISO 8601 date or time names, UTC when it names no zone.

    Without parts of a second, which the dates of a record do not have.
    """
    try:
        moment = datetime.fromisoformat(text).replace(microsecond=0)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter: not within the years 1 to 9999 in UTC
        raise typer.BadParameter(f"expected a date like 2026-01-31, got {text!r}") from None


def header(line: str) -> tuple[str, str]:
    """Split ``K: V``."""
    key, colon, value = line.partition(":")
    if not colon or not key.strip() or "\n" in line or "\r" in line:
        raise typer.BadParameter("expected a header like 'Accept: text/plain'")
    return key.strip(), value.strip()


def checksum(text: str) -> "Checksum | str":
    """Return the checksum that ``ALGO:HEX`` names, or the file or URL that has it as it is."""
    from glancectl.transfer.checksum import is_digest, parse_checksum

    if not is_digest(text):
        return text
    try:
        return parse_checksum(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def nonempty(text: str) -> str:
    """Refuse an empty IMAGE or PROJECT before anything is done: an unset variable, most likely."""
    if not text:
        raise typer.BadParameter("a name or id cannot be empty")
    return text


ImageArg = Annotated[
    str, typer.Argument(parser=nonempty, metavar="<image>", help="UUID or exact name.")
]
ImagesArg = Annotated[
    list[str],
    typer.Argument(
        parser=nonempty, metavar="<image>...", help="UUIDs or exact names; - reads stdin."
    ),
]
ProjectArg = Annotated[
    str, typer.Argument(parser=nonempty, metavar="<project>", help="Project id or name.")
]
ProjectsArg = Annotated[
    list[str], typer.Argument(parser=nonempty, metavar="<project>...", help="Project ids or names.")
]
SourceArg = Annotated[
    str, typer.Argument(metavar="<source>", help="Path, http(s):// or file:// URL, - for stdin.")
]


def _remember_format(ctx: typer.Context, value: str | None) -> str | None:
    """Let the error boundary know whether errors are wanted as JSON."""
    ctx.obj.json_errors = value in ("json", "jsonl")
    return value


def _remember_columns(ctx: typer.Context, value: list[str] | None) -> list[str] | None:
    """Look up the columns that the config file has for the tables of this command.

    So early that nothing is done yet when the file turns out to be wrong.
    """
    command = ctx.command_path.removeprefix("glancectl ")
    ctx.obj.table_columns = ctx.obj.config.columns(command)
    return value


def _configured_jobs(ctx: typer.Context, value: int) -> int:
    """Return what ``--jobs`` says, or the config file when nobody typed it."""
    origin = ctx.get_parameter_source("jobs")
    is_typed = origin is not None and origin.name == "COMMANDLINE"
    return value if is_typed else int(ctx.obj.option("jobs", value))


FormatOpt = Annotated[
    FormatName | None,
    typer.Option(
        "-f",
        "--format",
        callback=_remember_format,
        metavar="<format>",
        help="table, tsv, json, jsonl, yaml, csv, value.",
        show_default=False,
    ),
]
CatalogueFormatOpt = Annotated[
    Literal["yaml", "json"],
    typer.Option(
        "-f", "--format", callback=_remember_format, metavar="<format>", help="yaml or json."
    ),
]
ColumnsOpt = Annotated[
    list[str] | None,
    typer.Option(
        "-c",
        "--column",
        callback=_remember_columns,
        metavar="<key>",
        help="Only this field; repeatable.",
    ),
]
QuietOpt = Annotated[bool, typer.Option("-q", "--quiet", help="Print ids only.")]
NoCheckOpt = Annotated[
    bool, typer.Option("--no-check", help="Do not ask Keystone whether a project exists.")
]
JobsOpt = Annotated[
    int,
    typer.Option(
        "--jobs", callback=_configured_jobs, min=1, max=64, metavar="N", help="Images at once."
    ),
]
WaitTimeoutOpt = Annotated[
    float,
    typer.Option(
        "--timeout", parser=seconds(0), metavar="SECONDS", help="How long to wait at most."
    ),
]
IntervalOpt = Annotated[
    float,
    typer.Option(
        "--interval", parser=seconds(0.05), metavar="SECONDS", help="Pause between two looks."
    ),
]

WatchOpt = Annotated[
    bool,
    typer.Option("--watch", help="Go on: redraw on a terminal, else print what changes."),
]

DateOpt = Annotated[
    datetime | None,
    typer.Option(parser=date, metavar="<date>", help="ISO 8601, UTC unless it says otherwise."),
]
BytesOpt = Annotated[
    int | None, typer.Option(parser=size, metavar="<size>", help="Bytes, or as in 10M.")
]
PropertyFilterOpt = Annotated[
    list[Any] | None,
    typer.Option("--property", parser=pair, metavar="K=V", help="With this value. Repeatable."),
]
NameFilterOpt = Annotated[str | None, typer.Option("--name", metavar="<name>", help="Exact name.")]
MatchOpt = Annotated[
    str | None, typer.Option("--match", metavar="<glob>", help="Name pattern like 'ubuntu-*'.")
]
StatusFilterOpt = Annotated[
    str | None,
    typer.Option("--status", metavar="<status>", help="active, queued, deactivated, …"),
]
VisibilityFilterOpt = Annotated[
    Literal["private", "shared", "community", "public", "all"] | None,
    typer.Option(
        "--visibility", metavar="<who>", help="private, shared, community, public or all."
    ),
]
MemberStatusOpt = Annotated[
    Literal["accepted", "pending", "rejected", "all"] | None,
    typer.Option(
        "--member-status",
        metavar="<answer>",
        help="Of shared ones: accepted, pending, rejected or all.",
    ),
]
HiddenFilterOpt = Annotated[bool, typer.Option("--hidden", help="Hidden images only.")]
Md5FilterOpt = Annotated[
    str | None,
    typer.Option("--checksum", metavar="<md5>", help="MD5, os_hash_value of the data."),
]
HashFilterOpt = Annotated[
    str | None, typer.Option("--hash", metavar="<hex>", help="MD5, os_hash_value of the data.")
]
IdFilterOpt = Annotated[
    list[str] | None, typer.Option("--id", metavar="<id>", help="This image. Repeatable.")
]
RawFilterOpt = Annotated[
    list[Any] | None,
    typer.Option("--filter", parser=pair, metavar="K=V", help="For Glance, as it is. Repeatable."),
]
SortOpt = Annotated[
    str | None, typer.Option("--sort", metavar="key[:asc|desc],…", help="Order, by Glance.")
]
LimitOpt = Annotated[int | None, typer.Option("--limit", min=0, metavar="N", help="Images in all.")]

# Fields of a record.
LEAST = "Least disk and memory of a server."
DiskFormatOpt = Annotated[
    str | None, typer.Option("--disk-format", metavar="<format>", help="qcow2, raw, iso, …")
]
ContainerFormatOpt = Annotated[
    str | None, typer.Option("--container-format", metavar="<format>", help="bare, ova, …")
]
MinDiskOpt = Annotated[
    int | None, typer.Option("--min-disk", min=0, max=MOST, metavar="<GB>", help=LEAST)
]
MinRamOpt = Annotated[
    int | None, typer.Option("--min-ram", min=0, max=MOST, metavar="<MB>", help=LEAST)
]
VisibilityOpt = Annotated[
    Visibility | None,
    typer.Option("--visibility", metavar="<who>", help="private, shared, community or public."),
]
ProtectedOpt = Annotated[
    bool | None, typer.Option("--protected/--unprotected", help="Whether it cannot be deleted.")
]
HiddenOpt = Annotated[
    bool | None, typer.Option("--hidden/--visible", help="Whether default lists leave it out.")
]
OwnerOpt = Annotated[
    str | None,
    typer.Option(
        "--owner", parser=nonempty, metavar="<project>", help="Project id or name (admin)."
    ),
]
TagsOpt = Annotated[
    list[str] | None, typer.Option("--tag", metavar="<tag>", help="A tag. Repeatable.")
]
PropertyOpt = Annotated[
    list[Any] | None,
    typer.Option(
        "--property",
        parser=pair,
        metavar="K=V",
        help="Custom property; K=@FILE reads its value. Repeatable.",
    ),
]
PropertiesFileOpt = Annotated[
    str | None,
    typer.Option("--properties-file", metavar="<file>", help="JSON or YAML mapping of properties."),
]

# Payloads on their way in and out.
LimitRateOpt = Annotated[
    int | None,
    typer.Option("--limit-rate", parser=rate, metavar="<size>", help="Bytes a second, as in 20M."),
]
SizeOpt = Annotated[
    int | None,
    typer.Option("--size", parser=size, metavar="<size>", help="Bytes to come, as in 512M."),
]
MaxSizeOpt = Annotated[
    int | None,
    typer.Option(
        "--max-size", parser=size, metavar="<size>", help="Refuse more data, unpacked, as in 20G."
    ),
]
ChecksumOpt = Annotated[
    Any,
    typer.Option(
        "--checksum",
        parser=checksum,
        metavar="ALGO:HEX|URL|FILE",
        help="What the source must hash to, or what says it.",
    ),
]
HeaderOpt = Annotated[
    list[Any] | None,
    typer.Option("--header", parser=header, metavar="'K: V'", help="Sent to a URL source."),
]
StoreOpt = Annotated[str | None, typer.Option("--store", metavar="<store>", help="Where to store.")]
NoVerifyOpt = Annotated[
    bool, typer.Option("--no-verify", help="Do not compare size and digest at the end.")
]
DecompressOpt = Annotated[
    Decompress,
    typer.Option(
        "--decompress",
        metavar="<how>",
        help="auto (default, when bare), none, gzip, bzip2, xz, zstd.",
        show_default=False,
    ),
]
AllowEmptyOpt = Annotated[bool, typer.Option("--allow-empty", help="Accept a source of 0 bytes.")]
NoSniffOpt = Annotated[bool, typer.Option("--no-sniff", help="Do not look at the first bytes.")]


def view(
    ctx: typer.Context, output: str | None, columns: Sequence[str] | None, quiet: bool
) -> "View":
    """Return how the user wants results printed."""
    from glancectl.render import Format, View

    # Options that choose the columns, like -c.
    is_wide = ctx.params.get("long") or ctx.params.get("detail")
    return View(
        format=Format(output) if output else None,
        columns=tuple(columns or ()),
        quiet=quiet,
        color=ctx.obj.color,
        terminal_format=Format(ctx.obj.option("format", Format.TABLE)),
        table_columns=() if is_wide else tuple(ctx.obj.table_columns),
        pager=ctx.obj.pager,
    )


def list_view(
    ctx: typer.Context,
    output: str | None,
    columns: Sequence[str] | None,
    quiet: bool,
    *,
    is_watched: bool,
) -> "View":
    """Return how the user wants a list printed. Raises UsageError when it cannot be watched so."""
    from glancectl import render

    how = view(ctx, output, columns, quiet)
    if is_watched:
        render.require_watchable(how)
    return how


def show_list(
    read: "Callable[[], Iterable[Mapping[str, object]]]",
    how: "View",
    *,
    columns: Sequence[str],
    noun: str,
    every: float | None,
) -> None:
    """Print what ``read`` lists: once, or ``every`` so many seconds until a signal comes.

    noun: what is listed, one of them.
    """
    from glancectl import render

    if every is None:
        render.records(read(), how, columns=columns)
        return
    from glancectl.flows import watching
    from glancectl.terminal import pause

    looks = watching.looks(read, partial(pause, every))
    if render.has_screen(how):
        render.screen(looks, how, columns=columns, noun=noun)
    else:
        face = partial(render.face, view=how, columns=columns)
        events = watching.events(looks, face, lambda trouble: render.note(_passing(trouble)))
        render.events(events, how, columns=columns)


def _passing(trouble: GlancectlError) -> str:
    from glancectl import render

    return f"glancectl: {render.in_words(trouble)}; trying again"


def properties(pairs: Sequence[Pair] | None, file: str | None) -> dict[str, str]:
    """Return custom properties from a file and from ``K=V``, the latter winning.

    ``K=@FILE`` takes the value from a file without its last newline, ``K=@@x`` is the text ``@x``.
    """
    found = _properties_file(file) if file else {}
    for key, value in pairs or ():
        if value.startswith("@@"):
            found[key] = value[1:]
        elif value.startswith("@"):
            found[key] = read_text(value[1:]).removesuffix("\n")
        else:
            found[key] = value
    return found


def _properties_file(path: str) -> dict[str, str]:
    import yaml

    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise RefusedError(f"{path} is not valid JSON or YAML", cause=str(error)) from None
    if not isinstance(content, dict):
        raise RefusedError(f"{path} holds no mapping of properties")
    return {str(key): _as_text(path, key, value) for key, value in content.items()}


def _as_text(path: str, key: object, value: object) -> str:
    """Return a property's value as Glance wants it, a string; true and false in lower case."""
    if value is None or isinstance(value, list | dict):
        raise RefusedError(f"{path}: the value of {key!r} is no text")
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_text(path: str) -> str:
    """Return a UTF-8 file's text. Raises RefusedError when it cannot be read."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise RefusedError(f"cannot read {path}", cause=error.strerror) from None
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is not UTF-8 text", cause=str(error)) from None


def targets(refs: Sequence[str]) -> list[str]:
    """Return the targets named, ``-`` replaced by what stdin has: one a line, before any tab.

    So that the rows of ``image list`` can be piped in as they are.
    """
    found: list[str] = []
    for ref in refs:
        if ref == "-":
            lines = (line.rstrip("\n").partition("\t")[0] for line in sys.stdin)
            found += [line for line in lines if line.strip()]
        else:
            found.append(ref)
    return found


def show_each(
    refs: Sequence[str],
    outcome: "tuple[Sequence[Mapping[str, object]], GlancectlError | None]",
    view: "View",
    *,
    columns: Sequence[str] = ("id", "name", "status"),
    key: str = "id",
) -> None:
    """Print what became of the targets ``refs``, then raise what went wrong with the others.

    outcome: as ``bulk.each`` returns it. One target named is printed as a record, else a list.
    """
    from glancectl import render

    done, failure = outcome
    single = len(refs) == 1 and refs[0] != "-"
    render.results(done, view, single=single, columns=columns, key=key)
    if failure is not None:
        raise failure


def notes(
    ctx: typer.Context, quiet: bool, progress: "Progress | None" = None
) -> Callable[[str], None]:
    """Return what tells a note on stderr: as a line, or as an event under ``--progress json``.

    progress: what may draw a bar meanwhile.
    """
    line = _line_beside(progress)
    if quiet:
        return lambda _: None
    if ctx.obj.progress == "json":
        return lambda text: line(json.dumps({"event": "note", "message": text}))
    return line


def journal(ctx: typer.Context, quiet: bool, progress: "Progress | None" = None) -> "Journal":
    """Return what tells each change on stderr: as a line, or an event under ``--progress json``.

    The events are there under ``--quiet`` too: a job's log has to say what the job did. For people
    an image that is made is the result, or an error says what became of it; no line does.
    """
    line = _line_beside(progress)
    made = set()

    def tell(action: str, image: Mapping[str, object]) -> None:
        image_id, name = image.get("id"), image.get("name")
        if action == "created":
            made.add(image_id)
        if ctx.obj.progress == "json":
            line(json.dumps({"event": "change", "action": action, "id": image_id, "name": name}))
        elif not quiet and image_id not in made:
            line(f"{action} {image_id}" + (f" ({name})" if name else ""))

    return tell


def _line_beside(progress: "Progress | None") -> Callable[[str], None]:
    """Return what writes a line to stderr, above the bar of ``progress``."""
    from glancectl import render

    def line(text: str) -> None:
        with progress.aside() if progress else contextlib.nullcontext():
            render.note(text)

    return line


def image_count(count: int) -> str:
    """Return how many images, in words."""
    return f"{count} image" if count == 1 else f"{count} images"


def json_input(text: str) -> Any:
    """Return the JSON that ``text`` is, or that ``@FILE``, or stdin for ``-``, holds.

    Raises UsageError when it is not JSON, RefusedError when the file cannot be read.
    """
    where = "the argument"
    if text == "-":
        if sys.stdin.isatty():
            raise UsageError("stdin is a terminal, not JSON", hint="pipe the JSON in")
        where, text = "stdin", sys.stdin.read()
    elif text.startswith("@"):
        where, text = text[1:], read_text(text[1:])
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is not JSON", cause=str(error)) from None


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given, for a record: None means that an option is absent."""
    return {key: value for key, value in fields.items() if value is not None}


def project(login: "Login", ref: str | None, no_check: bool) -> str | None:
    """Return the id of the project that an option names, None when it was not given."""
    if ref is None:
        return None
    from glancectl import resolve

    return resolve.project(login, ref, check=not no_check)


def own_project(login: "Login") -> str:
    """Return the id of the caller's project. Raises AuthError when a bare token hides it."""
    project_id = login.access.project_id
    if project_id is None:
        raise AuthError(
            "which project is yours cannot be told from OS_TOKEN alone",
            hint="log in through Keystone: --cloud NAME, or the other OS_* variables",
        )
    return project_id


def may_ask() -> bool:
    """Tell whether a person is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> None:
    """Ask on the terminal and go on only after a yes. Raises RefusedError on a no."""
    from glancectl.terminal import printable

    try:
        agreed = typer.confirm(printable(question), err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise RefusedError("not confirmed, nothing was changed")
