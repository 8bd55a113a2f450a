"""Tables for people: lists as rows, or as blocks where a terminal is narrow; single resources.

The only user of Rich. What is drawn is returned as lines, which are safe on a terminal.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from glancectl.terminal import human_size, printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

SIZES = ("size", "virtual_size")
NUMBERS = (*SIZES, "min_disk", "min_ram", "hits", "images")
EPOCHS = ("last_accessed", "last_modified")  # the image cache tells seconds since 1970
FOLDABLE = ("name", "tags", "description", "reason")  # an id in pieces could not be copied
NARROWEST = 12  # columns that a folded cell keeps
ID_WIDTH = 36  # what is longer may fold, but for ids
LONGEST_ID = 128  # beside a longer one, what folds would fill the memory with spaces
STATUS_STYLES = {
    **dict.fromkeys(("active", "accepted", "success", "cached"), "green"),
    **dict.fromkeys(("queued", "saving", "uploading", "importing"), "yellow"),
    **dict.fromkeys(("pending", "processing"), "yellow"),
    **dict.fromkeys(("deactivated", "killed", "rejected", "failure"), "red"),
    **dict.fromkeys(("deleted", "pending_delete"), "dim"),
}
STATUSES = ("status", "state")  # columns; the second is the image cache's
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)?")


def of_rows(
    shown: Sequence[str], values: Sequence[Sequence[object]], width: int, *, colored: bool
) -> list[str]:
    """Return the lines of a list: a row an item; on a terminal too narrow for that, a block each.

    shown: the columns, of each of which each item has a value.
    """
    heads = [_text(name, "bold") for name in shown]
    rows = [
        [_value(name.casefold(), value) for name, value in zip(shown, item, strict=True)]
        for item in values
    ]
    table = _row_table(shown, heads, rows)
    if _least(table) > width and sys.stdout.isatty():
        gap = (_text("", ""), _text("", ""))
        blocks = [pair for row in rows for pair in (gap, *zip(heads, row, strict=True))]
        table = _grid(blocks[1:])
    return _drawn(table, width, colored)


def of_fields(fields: Mapping[str, object], width: int, *, colored: bool) -> list[str]:
    """Return the lines of a single resource: the names of its fields, and their values."""
    rows = [(_text(name, "bold"), _field(name, value)) for name, value in fields.items()]
    return _drawn(_grid(rows), width, colored)


def _row_table(
    shown: Sequence[str], heads: "Sequence[Text]", rows: "Sequence[Sequence[Text]]"
) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.header_style = ""
    for index, (name, head) in enumerate(zip(shown, heads, strict=True)):
        width = max(text.cell_len for text in (head, *(row[index] for row in rows)))
        folds = _may_fold(name.casefold(), width)
        table.add_column(
            head,
            justify="right" if name.casefold() in NUMBERS else "left",
            min_width=min(width, NARROWEST) if folds else width,
            no_wrap=not folds,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _may_fold(column: str, width: int) -> bool:
    is_id = column in ("id", "owner") or column.endswith("_id")
    if is_id:
        return width > LONGEST_ID
    return column in FOLDABLE or width > ID_WIDTH


def _grid(rows: "Sequence[tuple[Text, Text]]") -> "Table":
    """Return names and their values, one below the other."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=max((name.cell_len for name, _ in rows), default=0))
    table.add_column(min_width=min(ID_WIDTH, max((v.cell_len for _, v in rows), default=0)))
    for row in rows:
        table.add_row(*row)
    return table


def _drawn(table: "Table", width: int, colored: bool) -> list[str]:
    """Return the lines of a table, which are longer than ``width`` where its ids do not fit."""
    from rich.console import Console

    console = Console(
        file=sys.stdout,
        color_system="standard" if colored else None,
        no_color=False,
        width=max(width, _least(table)),
        height=1,  # only that it does not ask the terminal
        markup=False,
        emoji=False,
        highlight=False,
    )
    with console.capture() as drawn:  # Rich fills lines up with spaces
        console.print(table, crop=False)
    return [line.rstrip() for line in drawn.get().splitlines()]


def _least(table: "Table") -> int:
    """Return the columns that a table needs; with fewer Rich would leave out some of its own."""
    return sum((column.min_width or 0) + 2 for column in table.columns) - 2


def _cell(column: str, value: object) -> str:
    """Return a value as a table shows it: human sizes and dates."""
    match value:
        case None:
            return "-"
        case int() if column in SIZES:
            return human_size(value)
        case str() if (column.endswith("_at") or column in EPOCHS) and (
            date := _DATE.fullmatch(value)
        ):
            return f"{date[1]} {date[2]}Z"
        case list() | tuple():
            separator = "; " if any(isinstance(item, Mapping) for item in value) else ", "
            return separator.join(_cell("", item) for item in value)
        case Mapping():
            is_nested = any(isinstance(item, Mapping | list) for item in value.values())
            separator = "; " if is_nested else ", "
            return separator.join(f"{key} {_cell('', item)}" for key, item in value.items())
        case True | False:
            return str(value).lower()
        case _:
            return str(value)


def _text(text: str, style: str) -> "Text":
    from rich.text import Text

    cell = Text(printable(text), overflow="fold")
    cell.stylize(style)  # unlike the style of a Text, not of the spaces that fill its cell
    return cell


def _value(column: str, value: object) -> "Text":
    style = STATUS_STYLES.get(str(value), "") if column in STATUSES else ""
    return _text(_cell(column, value), style)


def _field(name: str, value: object) -> "Text":
    """Return a value as a single resource shows it: what is in a mapping, each on its own line."""
    from rich.text import Text

    if not isinstance(value, Mapping) or not value:
        return _value(name, value)
    lines = [_text(f"{key} {_cell(str(key), item)}", "") for key, item in value.items()]
    return Text("\n", overflow="fold").join(lines)
