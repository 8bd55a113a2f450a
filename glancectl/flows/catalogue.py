"""A catalogue: the images that a project should have, as a file in YAML says it.

The file is read from its nodes: what is wrong is told by its line, and a text is what is written,
be it ``24.10`` or ``no``, which YAML takes for a number and for false. JSON is YAML, too.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, get_args

from glancectl.flows.publish import Retire
from glancectl.nearest import nearest
from glancectl.patch import FIELDS, READ_ONLY, TAKEN, TRANSIENT, custom
from glancectl.transfer.checksum import Checksum, is_digest, parse_checksum

if TYPE_CHECKING:
    from yaml import MappingNode, Node, SafeLoader

OURS = "glancectl_"  # how the properties begin that we set ourselves
MARK = "glancectl_catalogue"  # holds the name of the catalogue that an image was created for

# Fields of a record that a catalogue may set, by its keys for them and in its order.
RECORD_KEYS = {
    "disk_format": "disk_format",
    "container_format": "container_format",
    "min_disk": "min_disk",
    "min_ram": "min_ram",
    "visibility": "visibility",
    "protected": "protected",
    "hidden": "os_hidden",
    "tags": "tags",
}
VISIBILITIES = ("private", "shared", "community", "public")
SCHEMES = ("http", "https", "file")
MOST = (1 << 31) - 1  # Glance's database has no room for more GB or MB

_YAML = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Entry:
    """What a catalogue says of one image; what it does not say may be anything.

    source: a path or URL; None: an image of that name is there. checksum: of the source, or the
    file or URL that has it; without a source, that of the image. fields: of the record, as Glance
    names them. properties: all that the image has. members: all projects that it is shared with,
    by name or id. retire, keep: what becomes of older images of that name.
    """

    name: str
    source: str | None = None
    checksum: Checksum | str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, str] | None = None
    members: Sequence[str] | None = None
    retire: Retire | None = None
    keep: int | None = None


@dataclass(frozen=True)
class Catalogue:
    """The images that should be there.

    name: marks those that are created for it; None: they get no mark. takes_over: those that are
    marked for another one are marked for this one from now on.
    """

    name: str | None
    entries: Sequence[Entry]
    takes_over: bool = False


def read(text: str, path: str | None) -> tuple[Catalogue, list[str]]:
    """Return the catalogue that a file holds, and all that is wrong with it, each with its line.

    path: what the file is called by, and where relative paths in it start; None for stdin. When
    anything is wrong the catalogue may lack parts.
    """
    import yaml

    problems = _Problems(path or "stdin")
    try:
        catalogue = _Reader(yaml.SafeLoader(text), path, problems).catalogue()
    except yaml.reader.ReaderError as error:
        problems.add(text.count("\n", 0, error.position), f"not valid YAML: {error.reason}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        text = ": ".join(filter(None, (error.context, error.problem)))
        problems.add(mark.line if mark else 0, f"not valid YAML: {text}")
    except RecursionError:
        problems.add(0, "nested too deep")
    else:
        return catalogue, problems.in_order()
    return Catalogue(None, ()), problems.in_order()


def properties_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the custom properties of an image that a catalogue has a say in, in an order.

    Not ours, nor those that are null, as ``kernel_id`` can be: no file can say that.
    """
    return {
        key: record[key]
        for key in sorted(custom(record))
        if not key.startswith(OURS) and record[key] is not None
    }


def rank(image: Mapping[str, Any], *, hidden: bool = False) -> tuple[bool, bool, str, str]:
    """Return what orders images of one name: the last of them is the one that the name stands for.

    hidden: that is one that lists leave out, if there is any.
    """
    return (
        image["status"] == "active",
        bool(image.get("os_hidden")) is hidden,
        str(image["created_at"]),
        str(image["id"]),
    )


class _Problems:
    """What is wrong with a file, by line."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, text: str) -> None:
        """Take one. line: counted from 0, as YAML does."""
        self._found.append((line, text))

    def at(self, node: "Node", text: str) -> None:
        """Take one of what stands at a node."""
        self.add(node.start_mark.line, text)

    def in_order(self) -> list[str]:
        """Return them as ``FILE:LINE: TEXT``."""
        found = sorted(self._found, key=itemgetter(0))
        return [f"{self._where}:{line + 1}: {text}" for line, text in found]


class _Reader:
    """The nodes of a document become entries.

    The methods for values take the key, for messages, and the node; they return None for what is
    wrong, once it is told.
    """

    def __init__(self, loader: "SafeLoader", path: str | None, problems: _Problems) -> None:
        self._loader = loader
        self._path = path
        self._problems = problems
        self._mappings: dict[int, dict[str, tuple[Node, Node]]] = {}  # by id of the node
        self._values: dict[str, Callable[[str, Node], object]] = {
            "name": self._text,
            "source": self._source,
            "checksum": self._checksum,
            "disk_format": self._text,
            "container_format": self._text,
            "min_disk": self._count,
            "min_ram": self._count,
            "visibility": lambda key, node: self._one_of(VISIBILITIES, key, node),
            "protected": self._flag,
            "hidden": self._flag,
            "tags": self._texts,
            "properties": self._properties,
            "members": self._texts,
            "retire": lambda key, node: self._one_of(get_args(Retire), key, node),
            "keep": self._count,
        }

    def catalogue(self) -> Catalogue:
        """Return what the document says."""
        root = self._loader.get_single_node()
        if root is None:
            self._problems.add(0, "there is nothing in it; expected a list under 'images'")
            return Catalogue(None, ())
        nodes = self._known_keys(root, ("catalogue", "images"))
        name = os.path.basename(self._path) if self._path else None
        if "catalogue" in nodes:
            name = self._text("catalogue", nodes["catalogue"])
        entries: dict[str, tuple[Entry, Node]] = {}
        for node in self._items("images", nodes["images"]) if "images" in nodes else ():
            entry = self._entry(node)
            if entry.name in entries:
                line = entries[entry.name][1].start_mark.line + 1
                text = f"a second image named {entry.name!r}, the first is in line {line}"
                self._problems.at(node, text)
            elif entry.name:
                entries[entry.name] = entry, node
        if "images" not in nodes:
            self._problems.at(root, "expected a list under 'images'")
        found = [entry for entry, _ in entries.values()]
        return Catalogue(name, found, takes_over="catalogue" in nodes)

    def _entry(self, node: "Node") -> Entry:
        """Return what the file says of an image, its name empty when it has none."""
        nodes = self._known_keys(node, self._values)
        found: dict[str, Any] = {key: self._values[key](key, nodes[key]) for key in nodes}
        if "name" not in nodes:
            self._problems.at(node, "an image needs a name")
        if "source" not in nodes:
            self._refuse_without_source(nodes, found)
        fields = {RECORD_KEYS[key]: found[key] for key in RECORD_KEYS if key in found}
        if found.get("members"):
            visibility = fields.setdefault("visibility", "shared")
            if visibility not in ("shared", None):
                text = f"a {visibility} image has no members, only a shared one"
                self._problems.at(nodes["members"], text)
        more = {key: value for key, value in found.items() if key not in RECORD_KEYS}
        return Entry(**{**more, "name": found.get("name") or "", "fields": fields})

    def _refuse_without_source(self, nodes: "dict[str, Node]", found: dict[str, Any]) -> None:
        if isinstance(found.get("checksum"), str):
            self._problems.at(nodes["checksum"], "without a source, checksum must be ALGO:HEX")
        for key in ("retire", "keep"):
            if key in nodes:
                text = f"{key} goes with a source: it says what becomes of older images"
                self._problems.at(nodes[key], text)

    def _known_keys(self, node: "Node", known: Collection[str]) -> "dict[str, Node]":
        """Return the values of the keys that are known."""
        found = {}
        for key, (key_node, value) in self._mapping(node).items():
            if key in known:
                found[key] = value
                continue
            near = nearest(key, known)
            meant = f", did you mean {near!r}?" if near else f"; known are {', '.join(known)}"
            self._problems.at(key_node, f"unknown key {key!r}{meant}")
        return found

    def _mapping(self, node: "Node") -> "dict[str, tuple[Node, Node]]":
        """Return the keys and values of a mapping, those that ``<<`` brings in included."""
        import yaml

        if not isinstance(node, yaml.MappingNode):
            self._problems.at(node, "expected KEY: VALUE lines")
            return {}
        if id(node) not in self._mappings:  # else it is an alias, checked and merged before
            self._refuse_twins(node)
            self._loader.flatten_mapping(node)
            self._mappings[id(node)] = {
                text: (key, value)
                for key, value in node.value
                if (text := self._any_text("a key", key)) is not None
            }
        return self._mappings[id(node)]

    def _refuse_twins(self, node: "MappingNode") -> None:
        seen = set()
        for key, _ in node.value:
            text = str(key.value)
            if text in seen:
                self._problems.at(key, f"the key {text!r} is there twice")
            seen.add(text)

    def _items(self, key: str, node: "Node") -> "Sequence[Node]":
        import yaml

        if isinstance(node, yaml.SequenceNode):
            items: list[Node] = node.value
            return items
        self._problems.at(node, f"{key} must be a list")
        return ()

    def _text(self, key: str, node: "Node") -> str | None:
        """Return a text that is not empty."""
        found = self._any_text(key, node)
        if found == "":
            self._problems.at(node, f"{key} cannot be empty")
        return found or None

    def _any_text(self, key: str, node: "Node") -> str | None:
        import yaml

        if not isinstance(node, yaml.ScalarNode) or node.tag == f"{_YAML}null":
            self._problems.at(node, f"{key} must be text")
            return None
        try:
            # JSON writes what is beyond U+FFFF as two halves, which YAML does not put together.
            return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problems.at(node, f"{key} has half a character (a lone surrogate)")
            return None

    def _texts(self, key: str, node: "Node") -> list[str]:
        """Return a list of texts, each once."""
        found = [self._text(f"each of {key}", item) for item in self._items(key, node)]
        return list(dict.fromkeys(text for text in found if text))

    def _one_of(self, choices: Sequence[str], key: str, node: "Node") -> str | None:
        found = self._text(key, node)
        if found and found not in choices:
            self._problems.at(node, f"{key} must be one of {', '.join(choices)}, not {found!r}")
        return found

    def _count(self, key: str, node: "Node") -> int | None:
        import yaml

        # YAML reads 010 as 8 and 1:30 as 90.
        digits = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        is_number = digits.isascii() and digits.isdecimal() and len(digits) < 11
        if is_number and int(digits) <= MOST:
            return int(digits)
        self._problems.at(node, f"{key} must be a whole number from 0 to {MOST}")
        return None

    def _flag(self, key: str, node: "Node") -> bool | None:
        found = None
        if node.tag == f"{_YAML}bool":
            found = self._loader.bool_values.get(str(node.value).lower())
        if found is None:
            self._problems.at(node, f"{key} must be true or false")
        return found

    def _source(self, key: str, node: "Node") -> str | None:
        found = self._text(key, node)
        if found == "-":
            self._problems.at(node, "a source in a catalogue cannot be stdin")
            return None
        return self._located(key, node, found) if found else None

    def _checksum(self, key: str, node: "Node") -> Checksum | str | None:
        found = self._text(key, node)
        if not found or not is_digest(found):
            return self._located(key, node, found) if found else None
        try:
            return parse_checksum(found)
        except ValueError as error:
            self._problems.at(node, str(error))
            return None

    def _located(self, key: str, node: "Node", where: str) -> str:
        """Return a URL as it is, and a path from where the file is."""
        scheme, mark, _ = where.partition("://")
        if not mark:
            return os.path.join(os.path.dirname(self._path or ""), where)
        if scheme.lower() not in SCHEMES:
            self._problems.at(node, f"{key} cannot be {scheme}://, only a path, http, https, file")
        return where

    def _properties(self, key: str, node: "Node") -> dict[str, str]:
        found = {}
        for name, (name_node, value) in self._mapping(node).items():
            text = self._any_text(f"property {name!r}", value)
            if name in (*FIELDS, *READ_ONLY, *TAKEN) or name.startswith((TRANSIENT, OURS)):
                self._problems.at(name_node, f"{name!r} cannot be in {key}: it has another meaning")
            elif text is not None:
                found[name] = text
        return found
