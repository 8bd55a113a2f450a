"""The user's config file: what options are when nobody types them, for all clouds or for one.

A start without a file costs one look whether there is one.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glancectl.errors import UsageError
from glancectl.nearest import nearest

VARIABLE = "GLANCECTL_CONFIG"  # names another file; empty: none is read


@dataclass(frozen=True)
class Key:
    """A key of the file, checked and documented from here; all but the tables are an option.

    type: string, integer, number or table. default: in words. per_cloud: may stand in the table
    of a cloud too. has_option: false where no option has its values.
    """

    name: str
    type: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = math.inf
    per_cloud: bool = True
    has_option: bool = True

    @property
    def option(self) -> str | None:
        """The option that the key stands for."""
        return f"--{self.name}" if self.has_option and self.type != "table" else None

    @property
    def values(self) -> str:
        """What the key may be, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type in ("string", "table"):
            return f"a {self.type}" + (" that is not empty" if self.type == "string" else "")
        article = "an" if self.type == "integer" else "a"
        limits = f"{self.least:g} or more"
        if self.most != math.inf:
            limits = f"{self.least:g} to {self.most:.0f}"
        return f"{article} {self.type}, {limits}"

    def takes(self, value: object) -> bool:
        """Tell whether ``value`` is one of those."""
        match self.type:
            case "string":
                return isinstance(value, str) and value in (self.choices or (value or None,))
            case "table":
                return isinstance(value, dict)
            case _:
                return self._is_within_limits(value)

    def _is_within_limits(self, value: object) -> bool:
        numbers = (int,) if self.type == "integer" else (int, float)
        if not isinstance(value, numbers) or isinstance(value, bool):
            return False
        return self.least <= value <= self.most  # nor is nan


KEYS = (
    Key(
        "cloud",
        "string",
        "none",
        "Entry of clouds.yaml to use. The variables of an openrc file (OS_AUTH_URL, OS_AUTH_TYPE, "
        "OS_TOKEN) win over it.",
        per_cloud=False,
    ),
    Key(
        "format",
        "string",
        "table",
        "What results look like on a terminal. Elsewhere they are tsv unless --format says "
        "otherwise, whatever is in the file: scripts depend on it.",
        choices=("table", "tsv", "json", "jsonl", "yaml", "csv", "value"),
    ),
    Key(
        "progress",
        "string",
        "auto",
        "How transfers show where they are. --quiet wins over it.",
        choices=("auto", "bar", "plain", "json", "none"),
    ),
    Key(
        "color",
        "string",
        "auto",
        "Colours in tables. NO_COLOR, FORCE_COLOR and TERM=dumb win over it.",
        choices=("auto", "always", "never"),
    ),
    Key(
        "pager",
        "string",
        "less",
        "Program that shows tables which are longer than the screen, on a terminal only; cat is "
        "none. --no-pager and GLANCECTL_PAGER win over it, and it over PAGER.",
        per_cloud=False,
        has_option=False,
    ),
    Key("timeout", "number", "60", "Limit of one request, in seconds.", least=0.1, most=2e6),
    Key("retries", "integer", "4", "Tries after the first."),
    Key(
        "jobs",
        "integer",
        "8, of image download 4",
        "Images at once, where a command takes several.",
        least=1,
        most=64,
    ),
    Key(
        "columns",
        "table",
        "those of each command",
        'What tables show, by command: "image list" = ["name", "size"]. Of tables only: the '
        "columns of tsv and csv are fixed, since scripts count them.",
        per_cloud=False,
    ),
    Key(
        "clouds",
        "table",
        "none",
        "A table for each cloud, [clouds.NAME], with the keys that shall be other for it, where "
        "--cloud, OS_CLOUD or the key cloud name it. There may be some of clouds that this "
        "machine does not have.",
        per_cloud=False,
    ),
)
OF_A_CLOUD = tuple(key for key in KEYS if key.per_cloud)
# The commands that may have columns: those that only show what there is.
COMMANDS = (
    *("image list", "image show", "image locations list"),
    *("member list", "member show", "member inbox"),
    *("tag list", "task list", "task show", "store list", "cache list"),
    *("info", "auth status", "sandbox status"),
)


@dataclass(frozen=True)
class Setting:
    """The value that the file has for a key, and where: the file's path, and the table if any."""

    value: Any
    where: str


@dataclass(frozen=True)
class Config:
    """What the file holds, checked. path: None when there is none."""

    path: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)

    def find(self, name: str, cloud: str | None = None) -> Setting | None:
        """Return what the file says of a key, in the table of ``cloud`` or else for all."""
        of_cloud = self.content.get("clouds", {}).get(cloud, {})
        if name in of_cloud:
            return Setting(of_cloud[name], f"{self.path} [clouds.{cloud}]")
        if name not in self.content:
            return None
        table = f" [{name}]" if isinstance(self.content[name], dict) else ""
        return Setting(self.content[name], f"{self.path}{table}")

    def columns(self, command: str) -> Sequence[str]:
        """Return the columns of the tables of ``command``, none when the file says nothing."""
        found: Sequence[str] = self.content.get("columns", {}).get(command, ())
        return found


def read() -> Config:
    """Return what the config file holds; where there is none, nothing.

    Raises UsageError when it cannot be read, is not TOML, or has a key or a value that does not
    exist.
    """
    path = _path()
    if path is None:
        return Config()
    text = _text(path)
    content = _parsed(path, text)
    for place, problem in _misfits(content, KEYS):
        raise UsageError(f"{path}, line {_line(text, place)}: {problem}")
    return Config(path, content)


def _path() -> str | None:
    """Return the file to read: the one that the variable names, or the usual one if it is there.

    A link that leads nowhere is there, too: whoever made it believes that it is read. What is in
    a folder that may not be entered is not, as for a service that runs with another's HOME.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return named or None
    folder = os.path.expanduser(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    path = os.path.join(folder, "glancectl", "config.toml")
    return path if os.path.lexists(path) else None


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read()
        return content.decode()
    except OSError as error:
        raise UsageError(
            f"cannot read {path}",
            cause=error.strerror,
            hint=f"to go without: {VARIABLE}= glancectl …",
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8 text") from None


def _parsed(path: str, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the latter: brackets in brackets
        found = re.search(r" \(at line (\d+), column \d+\)", str(error))
        where = f"{path}, line {found[1]}" if found else path
        raise UsageError(f"{where}: not TOML", cause=str(error)) from None


Place = tuple[str, ...]  # the keys that lead to a value


def _misfits(
    table: Mapping[str, Any], keys: Iterable[Key], place: Place = ()
) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong in a table that may have ``keys``, and where."""
    known = {key.name: key for key in keys}
    for name, value in table.items():
        here = (*place, name)
        if name not in known:
            yield here, _unknown("key", name, known)
        elif not known[name].takes(value):
            yield here, f"{name!r} must be {known[name].values}"
        elif name == "columns":
            yield from _misfit_columns(value, here)
        elif name == "clouds":
            yield from _misfit_clouds(value, here)


def _misfit_columns(table: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    for command, columns in table.items():
        if command not in COMMANDS:
            yield (*place, command), _unknown("command", command, COMMANDS)
        elif not (columns and isinstance(columns, list) and all(map(_is_name, columns))):
            yield (*place, command), f"{command!r} must be a list of names of columns"


def _misfit_clouds(table: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    for cloud, settings in table.items():
        if isinstance(settings, dict):
            yield from _misfits(settings, OF_A_CLOUD, (*place, cloud))
        else:
            yield (*place, cloud), f"{cloud!r} must be a table, as in [clouds.NAME]"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    instead = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
    return f"unknown {what} {name!r}; {instead}"


def _line(text: str, place: Place) -> int:
    """Return the line where the value at ``place`` begins, which tomllib does not tell.

    It is the first one with which, and not before which, the text so far has that value.
    """
    import tomllib

    lines = text.split("\n")
    read = 0
    for end in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("\n".join(lines[:end]) + "\n")
        except ValueError:  # in the middle of a value of several lines
            continue
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            break
        read = end
    return read + 1
