"""What a list of images is asked for: filters that Glance applies, and those applied here."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice

from glancectl.api import Glance, Image
from glancectl.errors import RefusedError, UsageError

# Glance reads any other key that ends so as a range over a column it does not have: a 500.
RANGES = ("size", "virtual_size", "min_ram", "min_disk")
# Keys that Glance takes for something else than a property when it filters: its own parameters,
# and attributes of its image model. It answers with a 500, or with a list of other images.
NO_FILTERS = frozenset((
    *("tag", "sort", "sort_key", "sort_dir", "member_status", "changes-since"),
    *("tags", "members", "locations", "properties", "metadata", "registry"),
    *("get", "save", "update", "delete", "keys", "values", "items", "iteritems", "to_dict"),
))  # fmt: skip

# Glance reads the last value of any other parameter that is given twice.
REPEATABLE = ("tag", "sort_key", "sort_dir")
OWN_OPTIONS = ("limit", "marker")  # pages are made with them


def image_params(
    fields: Mapping[str, object],
    *,
    tags: Sequence[str] = (),
    ids: Sequence[str] = (),
    properties: Iterable[tuple[str, str]] = (),
    raw: Iterable[tuple[str, str]] = (),
) -> list[tuple[str, str]]:
    """Return the query parameters of ``GET /v2/images``.

    fields: Glance's own keys; a name is matched exactly. tags: all of them must be there.
    properties: custom properties, matched exactly. raw: passed as they are, operators included.
    Raises RefusedError for a property that Glance cannot filter on, UsageError for what it would
    silently leave out.
    """
    params = [(key, _spelled(key, value)) for key, value in fields.items()]
    params += [("tag", tag) for tag in tags if _survives(tag)]
    if ids:
        params.append(("id", f"in:{','.join(ids)}"))
    for key, value in properties:
        stem, _, end = key.rpartition("_")
        if end in ("min", "max") and stem not in RANGES:
            raise RefusedError(f"Glance cannot filter on properties that end in _{end}: {key!r}")
        if key in NO_FILTERS:
            raise RefusedError(f"Glance cannot filter on a property with the name {key!r}")
        params.append((key, value))
    params += raw
    _require_once(params)
    return params


def _survives(tag: str) -> bool:
    """Tell whether Glance can filter by a tag: it strips the spaces around it, in filters only."""
    return tag == tag.strip()


def _require_once(params: Sequence[tuple[str, str]]) -> None:
    for key, times in Counter(key for key, _ in params).items():
        if key in OWN_OPTIONS:
            raise UsageError(f"{key!r} is no filter", hint=f"--{key}")
        if times > 1 and key not in REPEATABLE:
            raise UsageError(
                f"two filters on {key!r}: Glance would apply the last one only",
                hint="for dates: --created-after with --created-before, and the like",
            )


def _spelled(key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # Glance refuses "True" for protected
    # A plain name with a colon would be read as an operator and refused.
    return f"eq:{value}" if key == "name" else str(value)


@dataclass(frozen=True)
class Window:
    """A span of time that a date column must lie in, from ``after`` on and before ``before``."""

    column: str
    after: datetime | None
    before: datetime | None

    def param(self) -> list[tuple[str, str]]:
        """Return the bound that Glance applies: it reads the last of repeated parameters only."""
        if self.after is not None:
            return [(self.column, f"gte:{_iso(self.after)}")]
        return [(self.column, f"lt:{_iso(self.before)}")] if self.before is not None else []

    def holds(self, image: Image) -> bool:
        """Tell whether an image lies in the span."""
        found = datetime.fromisoformat(str(image[self.column]))
        too_early = self.after is not None and found < self.after
        return not too_early and (self.before is None or found < self.before)


def images(
    glance: Glance,
    params: Sequence[tuple[str, str]],
    *,
    name: str | None = None,
    tags: Sequence[str] = (),
    properties: Sequence[tuple[str, str]] = (),
    match: str | None = None,
    windows: Sequence[Window] = (),
    limit: int | None = None,
    marker: str | None = None,
    page_size: int = 1000,
) -> Iterator[Image]:
    """Yield the images that pass all filters, at most ``limit`` of them, as pages arrive.

    name, tags, properties: what ``params`` ask for, compared again here: a database may ignore
    case.
    match: a glob that the name must match, case counting.
    """
    params = [*params, *(param for window in windows for param in window.param())]
    _require_once(params)
    is_left_to_us = match is not None or any(w.after and w.before for w in windows)
    if limit is not None and not is_left_to_us and all(map(_survives, tags)):
        page_size = min(page_size, max(limit, 1))  # else more has to be read than is shown
    found = glance.list_images(params, page_size=page_size, marker=marker, ahead=limit is None)
    passed = (
        image
        for image in found
        if (name is None or image.get("name") == name)
        and set(tags) <= set(image["tags"])
        and all(image.get(key) == value for key, value in properties)
        and (match is None or fnmatchcase(image.get("name") or "", match))
        and all(window.holds(image) for window in windows)
    )
    return islice(passed, None if limit is None else min(limit, sys.maxsize))


def _iso(moment: datetime) -> str:
    """Return a moment as Glance reads it, the year in four digits, which strftime does not do."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
