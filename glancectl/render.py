"""Values to text: results on stdout in the format asked for, talk and errors on stderr.

What goes to a terminal passes ``printable`` (JSON and YAML escape in their own way); what goes to
a program is the data as it is.
"""

import functools
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from glancectl import table
from glancectl.errors import GlancectlError, PartialError, UsageError
from glancectl.nearest import nearest
from glancectl.redact import redact_urls
from glancectl.terminal import UNSAFE, can_redraw, printable

Item = Mapping[str, object]

# Where a single resource begins, for people and for the formats made of lines.
FIRST = (
    *("id", "member_id", "image_id", "name", "type", "status"),
    *("visibility", "size", "disk_format", "container_format"),
    *("min_disk", "min_ram", "protected", "os_hidden", "owner", "created_at", "updated_at", "tags"),
)
ANY_WIDTH = 10_000  # off a terminal nothing needs to fit
SIGNS = {"listed": "=", "added": "+", "changed": "~", "removed": "-"}  # of events in tsv
# What JSON text shall not have as it is; its own line ends are of the indentation.
_JSON_UNSAFE = re.compile(rf"(?!\n)(?:{UNSAFE.pattern}|[\ud800-\udfff])")
_TSV_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class Format(StrEnum):
    """What a result looks like, as ``--format`` names it."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"
    VALUE = "value"


@dataclass(frozen=True)
class View:
    """How the user wants a result printed.

    format: None is the terminal format on a terminal, else tsv. columns: none are the verb's own
    (a list) or all (a single resource). quiet: the key only. color: auto, always or never.
    table_columns: what tables show when columns are none. pager: the command that shows tables
    which are longer than the screen, empty for none.
    """

    format: Format | None
    columns: Sequence[str]
    quiet: bool
    color: str
    terminal_format: Format = Format.TABLE
    table_columns: Sequence[str] = ()
    pager: str = ""


def records(items: Iterable[Item], view: View, *, columns: Sequence[str], key: str = "id") -> None:
    """Print a list, line by line as ``items`` arrive where the format allows it.

    columns: those shown unless the user named others. key: the column that quiet prints. A named
    column that no item has is empty, and warned of at the end.
    """
    seen: set[str] = set()
    if view.quiet:
        for item in items:
            _out(_line(item.get(key)))
    else:
        _print_list(_noting_keys(items, seen), view, view.columns or columns)
    sys.stdout.flush()
    _warn_of_unknown(view.columns, seen)


def _print_list(items: Iterator[Item], view: View, shown: Sequence[str]) -> None:
    """Print ``items`` with the columns ``shown``; JSON and YAML leave out none unless told to."""
    match _format(view):
        case Format.TABLE:
            _print_table(list(items), view.columns or view.table_columns or shown, view)
        case Format.TSV:
            for item in items:
                _out(_row(item, shown) + "\n")
        case Format.VALUE:
            for item in items:
                _out(_line(" ".join(_plain(_listed(item, name)) for name in shown)))
        case Format.CSV:
            _out(_csv_row(shown))
            for item in items:
                _out(_csv_row([_plain(_listed(item, name)) for name in shown]))
        case Format.JSONL:
            for item in items:
                _out(_json(_chosen(item, view.columns)) + "\n")
                sys.stdout.flush()
        case Format.JSON:
            _out(_json([_chosen(item, view.columns) for item in items], indent=2) + "\n")
        case Format.YAML:
            _out(_yaml([_chosen(item, view.columns) for item in items]))


def record(item: Item, view: View, *, key: str = "id") -> None:
    """Print one resource. key: the field that quiet prints; of a list each item on a line.

    Raises UsageError, with nothing printed, when the user named a column that it does not have.
    """
    unknown = [name for name in view.columns if _key(item, name) is None]
    if unknown:
        near = nearest(unknown[0], item)
        meant = f": did you mean {near!r}?" if near else ""
        raise UsageError(f"no column {unknown[0]!r}{meant}", hint=f"one of: {', '.join(item)}")
    if view.quiet:
        value = item.get(key)
        _out("".join(map(_line, value if isinstance(value, list) else [value])))
    else:
        _print_one(item, view)
    sys.stdout.flush()


def _print_one(item: Item, view: View) -> None:
    whole = _chosen(item, view.columns)
    fields = whole if view.columns else _important_first(whole)
    match _format(view):
        case Format.TABLE:
            only = () if view.columns else view.table_columns
            _print_fields(_chosen(fields, only), view)
        case Format.TSV:
            _out("".join(f"{_tsv(name)}\t{_tsv(value)}\n" for name, value in fields.items()))
        case Format.VALUE:
            _out("".join(_line(value) for value in fields.values()))
        case Format.CSV:
            _out(_csv_row(list(fields)))
            _out(_csv_row([_plain(value) for value in fields.values()]))
        case Format.YAML:
            _out(_yaml(whole))
        case json_format:
            _out(_json(whole, indent=2 if json_format is Format.JSON else None) + "\n")


def results(
    items: Sequence[Item],
    view: View,
    *,
    single: bool,
    columns: Sequence[str] = ("id", "name", "status"),
    key: str = "id",
) -> None:
    """Print what became of a verb's targets: of ``single`` one a record, if any, else a list."""
    if not single:
        records(items, view, columns=columns, key=key)
    elif items:
        record(items[0], view, key=key)


def require_watchable(view: View) -> None:
    """Raise UsageError when a list that is watched cannot be printed so."""
    if view.quiet:
        raise UsageError("--watch prints more than ids", hint="-c id")
    if not has_screen(view) and _event_format(view) not in (Format.TSV, Format.JSONL):
        raise UsageError(
            f"--watch cannot print {_event_format(view)} here",
            hint="-f tsv or -f jsonl; a table on a terminal",
        )


def has_screen(view: View) -> bool:
    """Tell whether a list that is watched is a table which is drawn over and over."""
    return _format(view) is Format.TABLE and can_redraw(sys.stdout)


def screen(
    looks: Iterable[tuple[Sequence[Item], GlancectlError | None]],
    view: View,
    *,
    columns: Sequence[str],
    noun: str,
) -> None:
    """Show a list on the whole screen, drawn anew at each of ``looks``.

    looks: what the list held when it was last read, and why it cannot be read now, if so.
    noun: what it lists, one of them.
    """
    from glancectl.screen import Screen

    shown = view.columns or view.table_columns or columns
    read = ""
    with Screen() as drawn:
        for items, trouble in looks:
            if trouble is None:
                read = datetime.now(UTC).strftime("%H:%M:%SZ")
            state = f"at {read}" + (f"; since then: {in_words(trouble)}" if trouble else "")
            count = f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
            drawn.show(functools.partial(_screenful, items, shown, view, count, state))


def events(found: Iterable[tuple[str, Item]], view: View, *, columns: Sequence[str]) -> None:
    """Print what happens to the items of a list: one line each, at once.

    In tsv a row as in the list, behind a sign; in jsonl an object of ``event`` and ``record``.
    """
    for event, item in found:
        line = face(item, view, columns=columns)
        if _event_format(view) is Format.JSONL:
            _out(f'{{"event":"{event}","record":{line}}}\n')
        else:
            _out(f"{SIGNS[event]}\t{line}\n")
        sys.stdout.flush()


def face(item: Item, view: View, *, columns: Sequence[str]) -> str:
    """Return an item as ``events`` prints it: what is not in there is nothing to tell of."""
    if _event_format(view) is Format.JSONL:
        return _json(_chosen(item, view.columns))
    return _row(item, view.columns or columns)


def in_words(err: GlancectlError) -> str:
    """Return an error as one sentence with its cause, for where it ends nothing."""
    return f"{err.sentence()} ({' '.join(err.cause.split())})" if err.cause else err.sentence()


def note(text: str) -> None:
    """Tell ``text`` on stderr, as one line."""
    sys.stderr.write(printable(redact_urls(text)) + "\n")


def warning(text: str) -> None:
    """Warn of ``text`` on stderr, as one line."""
    note(f"glancectl: warning: {text}")


def error(err: GlancectlError, *, as_json: bool) -> None:
    """Tell on stderr what went wrong: as a block of lines, or as one JSON object.

    Usage errors are always text.
    """
    cause = " ".join(err.cause.split()) if err.cause else None  # one line, whatever came
    if as_json and not isinstance(err, UsageError):
        fields = {**err.as_dict(), "cause": cause}
        told = {k: redact_urls(v) if isinstance(v, str) else v for k, v in fields.items()}
        sys.stderr.write(json.dumps({"error": told}) + "\n")
        return
    note(f"glancectl: error: {err.sentence()}")
    if isinstance(err, PartialError):
        for target in err.targets:
            note(f"  {target['target']}: {target['message']}")
    for label, text in (("cause", cause), ("hint", err.hint), ("request id", err.request_id)):
        if text:
            note(f"  {label}: {text}")


def _format(view: View) -> Format:
    return view.format or (view.terminal_format if sys.stdout.isatty() else Format.TSV)


def _event_format(view: View) -> Format:
    """Return the format of what is told line by line, which a terminal without a screen needs."""
    is_table = view.format is None and _format(view) is Format.TABLE
    return Format.TSV if is_table else _format(view)


def _out(text: str) -> None:
    """Write to stdout; what its encoding cannot say (lone surrogates) becomes ``?``."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def _for_terminal(text: str) -> str:
    return printable(text) if sys.stdout.isatty() else text


def _key(item: Item, name: str) -> str | None:
    """Return the key of ``item`` that ``name`` means in any case, None when there is none."""
    if name in item:
        return name
    folded = name.casefold()
    return next((key for key in item if key.casefold() == folded), None)


def _get(item: Item, name: str) -> object:
    key = _key(item, name)
    return None if key is None else item[key]


def _listed(item: Item, name: str) -> object:
    """Return a value as lists show it: moments as ISO 8601, whatever the API has."""
    value = _get(item, name)
    if name.casefold() in table.EPOCHS and isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def _chosen(item: Item, columns: Sequence[str]) -> dict[str, object]:
    """Return the item's own body, or only ``columns`` of it, null where it has none."""
    if not columns:
        return dict(item)
    return {_key(item, name) or name: _get(item, name) for name in columns}


def _important_first(item: Item) -> dict[str, object]:
    return {name: item[name] for name in (*FIRST, *item) if name in item}


def _noting_keys(items: Iterable[Item], seen: set[str]) -> Iterator[Item]:
    for item in items:
        seen.update(item)
        yield item


def _warn_of_unknown(columns: Sequence[str], seen: set[str]) -> None:
    known = {key.casefold() for key in seen}
    for name in columns:
        if known and name.casefold() not in known:
            near = nearest(name, seen)
            instead = f"; did you mean {near!r}?" if near else ""
            warning(f"nothing listed has a column {name!r}{instead}")


def _plain(value: object) -> str:
    """Return a value as tsv, csv and ``value`` print it."""
    match value:
        case None:
            return ""
        case True | False:
            return str(value).lower()
        case list() | tuple():
            return ",".join(map(_plain, value))
        case Mapping():
            return _json(value)
        case _:
            return str(value)


def _line(value: object) -> str:
    return _for_terminal(_plain(value)) + "\n"


def _tsv(value: object) -> str:
    return _for_terminal(_plain(value).translate(_TSV_ESCAPES))


def _row(item: Item, shown: Sequence[str]) -> str:
    return "\t".join(_tsv(_listed(item, name)) for name in shown)


def _csv_row(cells: Sequence[str]) -> str:
    import csv

    row = io.StringIO()
    # Only characters of the line end are quoted, and a bare \r must be: so \r\n, then cut.
    csv.writer(row, lineterminator="\r\n").writerow([_for_terminal(cell) for cell in cells])
    return row.getvalue().removesuffix("\r\n") + "\n"


def _json(value: object, indent: int | None = None) -> str:
    r"""Return JSON in UTF-8, but for what is unsafe on a terminal, which becomes ``\uXXXX``."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False, default=str)
    return _JSON_UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _yaml(value: object) -> str:
    import yaml

    text = json.dumps(value, ensure_ascii=False, default=str)
    # Only to ASCII does yaml escape all that printable objects to. The way through JSON leaves
    # plain dicts and lists, which is all that safe_dump knows.
    readable, data = printable(text) == text, json.loads(text)
    return yaml.safe_dump(data, allow_unicode=readable, sort_keys=False, width=sys.maxsize)


def _print_table(items: Sequence[Item], shown: Sequence[str], view: View) -> None:
    """Print a list for people; an empty one is nothing at all."""
    if items:
        _print_drawn(functools.partial(_rows, items, shown, view), view)


def _rows(items: Sequence[Item], shown: Sequence[str], view: View, width: int) -> list[str]:
    values = [[_listed(item, name) for name in shown] for item in items]
    return table.of_rows(shown, values, width, colored=_colored(view.color))


def _print_fields(fields: Item, view: View) -> None:
    _print_drawn(lambda width: table.of_fields(fields, width, colored=_colored(view.color)), view)


def _print_drawn(draw: Callable[[int], list[str]], view: View) -> None:
    """Print the lines that ``draw`` makes for the columns of the terminal.

    A table that is longer than the screen goes to the pager, if there is one.
    """
    size = shutil.get_terminal_size((ANY_WIDTH, 24))
    lines = draw(size.columns)
    text = "".join(f"{line}\n" for line in lines)
    if len(lines) < size.lines:
        _out(text)
    else:
        _show_long(text, view.pager)


def _show_long(text: str, command: str) -> None:
    """Show ``text`` in the pager, or just print it when there is none."""
    from glancectl import pager

    if not pager.is_wanted(command):
        _out(text)
        return
    try:
        pager.show(text, command)
    except (OSError, ValueError) as error:
        _out(text)
        sys.stdout.flush()
        if command != pager.DEFAULT:  # not everyone has less
            reason = getattr(error, "strerror", None) or str(error)
            warning(f"the pager {command!r} cannot be started: {reason}")


def _screenful(
    items: Sequence[Item],
    shown: Sequence[str],
    view: View,
    count: str,
    state: str,
    width: int,
    height: int,
) -> list[str]:
    """Return the lines of a screen: as much of a list as there is room for, and what it is."""
    room = max(height - 2, 0)
    lines = _rows(items[:room], shown, view, width) if items else []
    if len(lines) > room or len(items) > room:
        count += ", not all shown,"
    return [*lines[:room], "", printable(f"{count} {state}")][-height:]


def _colored(color: str) -> bool:
    """Tell whether stdout gets colours; the flag wins over NO_COLOR, that over FORCE_COLOR."""
    if color != "auto" or os.environ.get("NO_COLOR"):
        return color == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
