"""A list that is read again and again: what it holds, and what has changed in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from glancectl.errors import UnavailableError

Item = Mapping[str, object]
# What a list held when it was last read, and why it could not be read since, if so.
Look = tuple[Sequence[Item], UnavailableError | None]
Event = Literal["listed", "added", "changed", "removed"]


def looks(read: Callable[[], Iterable[Item]], pause: Callable[[], object]) -> Iterator[Look]:
    """Yield what ``read`` finds, for ever, with a pause after each time.

    Once it has been read, a failure that may pass does not end it: the next time is a new try.
    """
    found = list(read())
    trouble = None
    while True:
        yield found, trouble
        pause()
        try:
            found, trouble = list(read()), None
        except UnavailableError as error:
            trouble = error


def events(
    found: Iterable[Look],
    shown: Callable[[Item], object],
    tell: Callable[[UnavailableError], object],
) -> Iterator[tuple[Event, Item]]:
    """Yield the items of the first look as ``listed``, then what each later one finds otherwise.

    shown: what of an item is shown; when only more than that is another, nothing has changed.
    tell: hears of a failure, once for all looks that fail in the same way. An item that was
    removed is as it was.
    """
    known: dict[object, tuple[object, Item]] | None = None
    told = ""
    for items, trouble in found:
        if trouble is not None:
            if str(trouble) != told:
                tell(trouble)
            told = str(trouble)
            continue
        told = ""
        now = {item.get("id"): (shown(item), item) for item in items}
        yield from _differences(known, now)
        known = now


def _differences(
    before: Mapping[object, tuple[object, Item]] | None,
    now: Mapping[object, tuple[object, Item]],
) -> Iterator[tuple[Event, Item]]:
    for key, (face, item) in now.items():
        if before is None:
            yield "listed", item
        elif key not in before:
            yield "added", item
        elif before[key][0] != face:
            yield "changed", item
    for key, (_, item) in (before or {}).items():
        if key not in now:
            yield "removed", item
