"""What glancectl takes for granted in what the service answers, and whether it is so."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

# Values, as JSON has them.


def _text(value: object) -> bool:
    return isinstance(value, str)


def _text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


def _id(value: object) -> bool:
    """Tell whether ``value`` may stand in the path of a URL and in the name of a file."""
    return isinstance(value, str) and re.fullmatch(r"[0-9A-Za-z_-]+", value) is not None


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number_or_null(value: object) -> bool:
    return value is None or _number(value)


def _moment(value: object) -> bool:
    """Tell whether ``value`` is a date and time with its zone, in ISO 8601."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _epoch(value: object) -> bool:
    """Tell whether ``value`` is a moment in seconds since 1970, of a year with four digits."""
    return value is None or (isinstance(value, int | float) and 0 <= value < 253_402_300_800)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _cached(value: object) -> bool:
    """Tell whether ``value`` is a list of cached images, as far as it says when each was used."""
    return isinstance(value, list) and all(
        isinstance(item, dict) and _id(item.get("image_id")) and _epoch(item.get("last_accessed"))
        for item in value
    )


def _object_or_null(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _methods(value: object) -> bool:
    return isinstance(value, dict) and _texts(value.get("value"))


def _fields(value: object) -> bool:
    """Tell whether ``value`` describes the fields of a record: a schema each, perhaps an enum."""
    return isinstance(value, dict) and all(
        isinstance(schema, dict) and isinstance(schema.get("enum", []), list)
        for schema in value.values()
    )


@dataclass(frozen=True)
class Shape:
    """What glancectl takes for granted in a record.

    name: what it is. needs: the keys that are there, and what their values are; may_have: likewise
    of keys that may be absent. Anything else is passed on as it is.
    """

    name: str
    needs: Mapping[str, Callable[[object], bool]] = field(default_factory=dict)
    may_have: Mapping[str, Callable[[object], bool]] = field(default_factory=dict)

    def misfit(self, body: object) -> str | None:
        """Return what keeps ``body`` from having this shape, if something does."""
        if not isinstance(body, dict):
            return f"{self.name} is {_excerpt(body)}"
        for key in self.needs:
            if key not in body:
                return f"{self.name} has no {key!r}"
        for key, fits in {**self.needs, **self.may_have}.items():
            if key in body and not fits(body[key]):
                return f"{self.name} has {key!r}: {_excerpt(body[key])}"
        return None


def _excerpt(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


IMAGE = Shape(
    "an image",
    needs={
        "id": _id,
        "status": _text,
        "visibility": _text,
        "tags": _texts,
        "created_at": _moment,
        "updated_at": _moment,
    },
    may_have={
        **dict.fromkeys(("name", "owner", "disk_format", "container_format"), _text_or_null),
        **dict.fromkeys(("checksum", "os_hash_algo", "os_hash_value", "stores"), _text_or_null),
        **dict.fromkeys(("size", "virtual_size", "min_disk", "min_ram"), _number_or_null),
    },
)
MEMBER = Shape("a member", needs={"member_id": _text, "status": _text})
TASK = Shape(
    "a task",
    needs={"id": _text, "type": _text, "status": _text, "created_at": _text},
    may_have={"message": _text_or_null, "input": _object_or_null},
)
STORE = Shape("a store", needs={"id": _text})
VERSION = Shape("a version", needs={"id": _text})
LOCATION = Shape("a location", needs={"url": _text})
CACHE = Shape("the cache", may_have={"cached_images": _cached, "queued_images": _texts})
METHODS = Shape("the import methods", needs={"import-methods": _methods})
SCHEMA = Shape("a schema", may_have={"properties": _fields})
USAGE = Shape("the usage", may_have={"usage": _object_or_null})
# What the lists are lists of, by their keys.
LISTED = {
    "images": IMAGE,
    "members": MEMBER,
    "tasks": TASK,
    "stores": STORE,
    "versions": VERSION,
    "locations": LOCATION,
}
