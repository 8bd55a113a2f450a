"""What a record should become, as operations of a JSON patch (RFC 6902).

Glance's own fields are changed with ``replace``: ``add /owner`` by somebody who is no admin is
answered with 403, and stored all the same. Custom properties are set with ``add``, which Glance
takes for both new and existing ones; ``replace`` of a missing one is a 409.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glancectl.errors import RefusedError, UsageError

OPERATIONS = ("add", "remove", "replace")  # Glance knows no others

Operation = Mapping[str, Any]
Record = Mapping[str, Any]

# Fields of a record that can be changed, and the flags that do it.
FIELDS = {
    "name": "--name",
    "visibility": "--visibility",
    "tags": "--tag",
    "min_disk": "--min-disk",
    "min_ram": "--min-ram",
    "protected": "--protected",
    "os_hidden": "--hidden",
    "owner": "--owner",
    "disk_format": "--disk-format",
    "container_format": "--container-format",
}
# Fields that Glance fills in; together with those above, all that is no custom property.
READ_ONLY = (
    *("id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"),
    *("created_at", "updated_at", "direct_url", "self", "file", "schema", "stores", "locations"),
)
TRANSIENT = "os_glance_"  # Glance's notes on an import; nobody else may touch them
# Names that Glance takes for parts of itself when they are set: the first makes it write the
# record over that of another image, the others end in a 500.
TAKEN = ("image_id", "base", "extra_properties")


@dataclass(frozen=True)
class Change:
    """What should become of records: fields and properties by name, tags added and removed.

    purge: every custom property that is not in ``properties`` goes. Raises UsageError for a
    property that is a field or has a name that Glance cannot set, and for an empty tag.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    remove_properties: Sequence[str] = ()
    add_tags: Sequence[str] = ()
    remove_tags: Sequence[str] = ()
    purge: bool = False

    def __post_init__(self) -> None:
        for key in (*self.properties, *self.remove_properties):
            if key in FIELDS:
                raise UsageError(f"{key!r} is no custom property", hint=FIELDS[key])
        require_names((*self.properties, *self.remove_properties), self.add_tags)
        for key in self.properties:
            if key in TAKEN:
                raise RefusedError(f"Glance would take the property {key!r} for a part of itself")


def require_names(properties: Iterable[str], tags: Iterable[str]) -> None:
    """Raise UsageError for names that Glance takes and nobody could change or address again.

    From the name of a property that is changed it strips the spaces around it.
    """
    for key in properties:
        if not key:
            raise UsageError("the name of a property cannot be empty")
        if key != key.strip():
            raise UsageError(f"Glance would strip the spaces of {key!r}, another property")
    if "" in tags:
        raise UsageError("a tag cannot be empty")


def operations(record: Record, change: Change) -> list[Operation]:
    """Return what makes ``record`` what ``change`` wants; nothing for what it is already.

    Raises RefusedError for a property to be purged whose name Glance would strip to another's.
    """
    fields = dict(change.fields)
    if change.add_tags or change.remove_tags:
        fields["tags"] = changed_tags(record, change.add_tags, change.remove_tags)
    gone = set(change.remove_properties) | (custom(record) if change.purge else set())
    for key in gone:
        if key != key.strip():
            raise RefusedError(f"Glance cannot remove {key!r} from image {record['id']}")
    return [
        *({"op": "remove", "path": pointer(key)} for key in sorted(gone - {*change.properties})
          if key in record),
        *({"op": "add", "path": pointer(key), "value": value}
          for key, value in change.properties.items() if record.get(key) != value),
        *({"op": "replace", "path": pointer(key), "value": value}
          for key, value in fields.items() if not _same(key, record.get(key), value)),
    ]  # fmt: skip


def changed_tags(record: Record, add: Sequence[str], remove: Sequence[str]) -> list[str]:
    """Return the tags of ``record`` with some added behind and some left out."""
    tags = dict.fromkeys([*record.get("tags", ()), *add])
    return [tag for tag in tags if tag not in remove]


def custom(record: Record) -> set[str]:
    """Return the names of a record's custom properties."""
    own = {key for key in record if not key.startswith(TRANSIENT)}
    return own - {*FIELDS, *READ_ONLY}


def pointer(key: str) -> str:
    """Return the JSON pointer (RFC 6901) to a key of a record."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def differences(record: Record, patch: Any) -> list[dict[str, object]]:
    """Return what a patch would change: ``id``, ``name``, ``field``, ``old``, ``new`` of each.

    patch: any JSON. Raises RefusedError when it does not fit the record.
    """
    import jsonpatch
    import jsonpointer

    try:
        _require_operations(patch)
        after = jsonpatch.apply_patch(record, patch)
    # The library leaves values of the wrong shape to Python.
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        cause = str(error) or type(error).__name__
        raise RefusedError(f"the patch does not fit image {record['id']}", cause=cause) from None
    return [
        {
            "id": record["id"],
            "name": record.get("name"),
            "field": key,
            "old": record.get(key),
            "new": after.get(key),
        }
        for key in dict.fromkeys([*record, *after])
        if record.get(key) != after.get(key) or (key in record) != (key in after)
    ]


def _require_operations(patch: Any) -> None:
    """Raise ValueError for what is no list of operations that Glance takes."""
    if not isinstance(patch, list):
        raise ValueError("a patch is an array of operations")
    for operation in patch:
        if not isinstance(operation, dict) or operation.get("op") not in OPERATIONS:
            raise ValueError(f"an operation is an object with op {', '.join(OPERATIONS)}")
        if not operation.get("path"):
            raise ValueError("an operation needs a path into the record")


def _same(key: str, old: object, new: object) -> bool:
    """Compare two values of a field; the order of tags says nothing."""
    if key == "tags" and isinstance(old, list) and isinstance(new, list):
        return set(old) == set(new)
    return old == new
