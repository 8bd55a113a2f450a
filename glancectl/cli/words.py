"""What can be typed after ``glancectl``, read from the commands themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from glancectl.cli import _root
from glancectl.cli.nouns import NOUNS, tree

TEXT = "text"  # the kind of what nobody can foresee

# What a value is: a kind that a shell has (file, command, text), that glancectl._suggest has, or of
# SETS; or the values themselves, between bars. By the name of the parameter, else by its metavar.
BY_NAME = {
    "columns": "{noun}-column",
    "cloud": "cloud",
    "container_format": "container-format",
    "disk_format": "disk-format",
    "interface": "public|internal|admin",
    "method": "import-method",
    "remote_interface": "public|internal|admin",
    "status": "{noun}-status",
}
BY_METAVAR = {
    "<image>": "image",
    "<project>": "project",
    "<store>": "store",
    "<tag>": "tag",
    "<task>": "task-id",
    "<cloud>": "cloud",
    "<id>": "{noun}-id",
    "<source>": "file",
    "<file>": "file",
    "FILE": "file",
    "ALGO:HEX|URL|FILE": "file",
    "<file>|-|<json>": "file",
    "<json>|@<file>|-": "at-file",
    "<command>": "command",
    "bash|zsh|fish": "bash|zsh|fish",
}
# What follows the first of several arguments that are one parameter.
REST = {"<image>... [<dest>]": "image-or-file", "<command>...": "file"}

_RECORD = ("id", "name", "status")
SETS = {
    "image-status": (
        *("active", "deactivated", "queued", "uploading", "saving", "importing", "killed"),
        *("pending_delete", "deleted"),
    ),
    "image-column": (
        *(*_RECORD, "visibility", "size", "virtual_size", "disk_format", "container_format"),
        *("min_disk", "min_ram", "protected", "os_hidden", "owner", "created_at", "updated_at"),
        *("tags", "checksum", "os_hash_algo", "os_hash_value", "stores"),
    ),
    "member-column": ("member_id", "status", "created_at", "updated_at", "image_id", "name"),
    "tag-column": ("tag", "images", *_RECORD, "tags"),
    "task-column": (
        *("id", "type", "status", "owner", "created_at", "updated_at", "expires_at", "message"),
        *("input", "result", "image_id"),
    ),
    "store-column": ("id", "default", "read-only", "description", "type", "weight", "properties"),
    "cache-column": ("image_id", "state", "hits", "size", "last_accessed"),
    "info-column": ("versions", "import_methods", "stores", "formats", "usage"),
    "auth-column": (
        *("cloud", "auth_url", "user", "project", "roles", "region", "endpoint", "expires_at"),
        *("cached", "sources"),
    ),
    "sandbox-column": ("keystone", "glance", "clouds", "state", "pids"),
}


@dataclass(frozen=True)
class Option:
    """An option: its names, and the kind of its value, None when it takes none."""

    names: tuple[str, ...]
    help: str
    kind: str | None
    repeats: bool


@dataclass(frozen=True)
class Argument:
    """What stands at a place after the verb, or at all that follow when it repeats."""

    name: str
    kind: str
    repeats: bool


@dataclass(frozen=True)
class Command:
    """The root (no words), a group of commands, or a command; ``path`` are its words."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple["Command", ...]

    def __iter__(self) -> Iterator["Command"]:
        """Yield it and all below it."""
        yield self
        for command in self.commands:
            yield from command


def root() -> Command:
    """Return all that can be typed."""
    nouns = tuple(_command((noun,), tree(noun)) for noun in NOUNS)
    return _command((), _root(), nouns)


def valued(commands: Command) -> list[str]:
    """Return the names of the options that take a value."""
    options = {option for command in commands for option in command.options}
    return sorted({name for option in options if option.kind for name in option.names})


def _command(
    path: tuple[str, ...], found: Any, commands: tuple[Command, ...] | None = None
) -> Command:
    if commands is None:
        below = getattr(found, "commands", {}).items()
        commands = tuple(_command((*path, name), command) for name, command in below)
    noun = path[0] if path else ""
    given = [param for param in found.params if not param.hidden]
    options = [param for param in given if param.param_type_name == "option"]
    arguments = [param for param in given if param.param_type_name == "argument"]
    return Command(
        path,
        found.get_short_help_str(200).rstrip("."),
        (*_options(options, noun), Option(("-h", "--help"), "Show this help.", None, False)),
        tuple(argument for param in arguments for argument in _arguments(param, noun)),
        commands,
    )


def _options(params: list[Any], noun: str) -> Iterator[Option]:
    for param in params:
        kind = None if param.is_flag else _kind(param, noun)
        yield Option(tuple(param.opts), param.help or "", kind, param.multiple)
        if param.secondary_opts:
            yield Option(tuple(param.secondary_opts), param.help or "", None, False)


def _arguments(param: Any, noun: str) -> Iterator[Argument]:
    repeats = param.nargs == -1
    rest = REST.get(param.metavar)
    if rest is not None:
        yield Argument(param.name, _kind(param, noun), repeats=False)
    yield Argument(param.name, rest or _kind(param, noun), repeats)


def _kind(param: Any, noun: str) -> str:
    if choices := getattr(param.type, "choices", None):
        return "|".join(map(str, choices))
    metavar = (param.metavar or "").partition("...")[0].strip("[]")
    kind = BY_NAME.get(param.name) or BY_METAVAR.get(metavar) or TEXT
    return kind.format(noun=noun)
