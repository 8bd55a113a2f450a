"""What other clients, and habits, call our commands and options; what is near to one of ours."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from glancectl.cli.nouns import NOUNS, tree
from glancectl.errors import UsageError
from glancectl.nearest import nearest

# The words after the program's name, and what that is here; of several rows the first that fits.
# A word with dashes before it may stand anywhere. The client ``glance`` joins its first two words
# with a dash, ``openstack`` has ``image`` before nearly everything: ``_readings`` sees to both.
COMMANDS = (
    ("image save", "image download"),
    ("image get", "image show"),
    ("image set --accept", "member accept"),
    ("image set --reject", "member reject"),
    ("image set --pending", "member update --status pending"),
    ("image set --membership", "member update --status"),
    ("image set --activate", "image activate"),
    ("image set --deactivate", "image deactivate"),
    ("image set --tag", "tag add"),
    ("image set", "image update"),
    ("image unset --tag", "tag remove"),
    ("image unset", "image update --remove-property"),
    ("image reactivate", "image activate"),
    ("image add project", "member add"),
    ("image remove project", "member remove"),
    ("image remove", "image delete"),
    ("image tag-update", "tag add"),
    ("image tag-delete", "tag remove"),
    ("image tasks", "task list --image"),
    ("image create-via-import", "image import"),
    ("image stores", "store list"),
    ("image stores-info", "store list"),
    ("image location", "image locations"),
    ("image new", "image create"),
    ("image put", "image upload"),
    ("image push", "image upload"),
    ("image pull", "image download"),
    ("image rm", "image delete"),
    ("image ls", "image list"),
    ("image clone", "image copy"),
    ("image cp", "image copy"),
    ("image share", "member add"),
    ("image unshare", "member remove"),
    ("image lock", "image update --protected"),
    ("image unlock", "image update --unprotected"),
    ("image rename", "image update --name"),
    ("image rollback", "image activate"),
    ("member create", "member add"),
    ("member delete", "member remove"),
    ("member get", "member show"),
    ("member rm", "member remove"),
    ("member ls", "member list"),
    ("member new", "member add"),
    ("member set", "member update"),
    ("tag create", "tag add"),
    ("tag update", "tag add"),
    ("tag delete", "tag remove"),
    ("tag set", "tag replace"),
    ("tag rm", "tag remove"),
    ("tag ls", "tag list"),
    ("task get", "task show"),
    ("task ls", "task list"),
    ("store info", "store list"),
    ("store rm", "store delete"),
    ("store ls", "store list"),
    ("stores delete", "store delete"),
    ("stores", "store list"),
    ("cache add", "cache queue"),
    ("cache rm", "cache delete"),
    ("cache ls", "cache list"),
    ("cached image list", "cache list"),
    ("cached image queue", "cache queue"),
    ("cached image delete", "cache delete"),
    ("cached image clear", "cache clear"),
    ("location delete", "image delete"),
    ("location add", "image locations add"),
    ("location", "image locations"),
    ("add location", "image locations add"),
    ("get locations", "image locations list"),
    ("import info", "info"),
    ("usage", "info"),
    ("explain", "info"),
    ("version", "--version"),
    ("versions", "info"),
    ("quota", "info"),
    ("limits", "info"),
    ("login", "auth status"),
    ("logout", "auth logout"),
    ("whoami", "auth status"),
    ("token issue", "auth token"),
    ("token revoke", "auth logout"),
    ("token", "auth token"),
    ("complete", "completion"),
)
METADEFS = ("md", "metadef")

# Options of other clients, and ours.
OPTIONS = {
    **{f"--{word}": f"--visibility {word}" for word in ("public", "private", "community")},
    "--shared": "--visibility shared",
    "--is-public": "--visibility public",
    "--project": "--owner",
    "--project-id": "--owner",
    "--unhidden": "--visible",
    "--os-hidden": "--hidden",
    "--sort-key": "--sort",
    "--sort-dir": "--sort",
    "--property-filter": "--property",
    "--disk": "--disk-format",
    "--all": "--visibility all",
    "--force": "--yes",
    "-o": "--format",
    "--output": "--format",
    "--json": "--format json",
    "--yaml": "--format yaml",
    "--csv": "--format csv",
    "-V": "--version",
    "--import-method": "--method",
    "--os-cloud": "--cloud",
    "--os-region-name": "--region",
    "--os-interface": "--interface",
    "--os-endpoint-override": "--endpoint",
    "--os-cacert": "--cacert",
}
# Options that are arguments here, where a command has such a one.
ARGUMENTS = {
    "--name": ("<name>", "<image>"),
    "--file": ("<source>", "<dest>", "<file>"),
    "--url": ("<source>", "<url>"),
    "--uri": ("<source>",),
    "--image": ("<image>",),
    "--image-id": ("<image>",),
    "--id": ("<image>", "<task>"),
    "--tag": ("<tag>",),
    "--project": ("<project>",),
    "--member": ("<project>",),
    "--member-id": ("<project>",),
    "--store": ("<store>",),
}


# ctx: a Context of the Click inside Typer, whose name is private.


def unknown_command(ctx: Any, args: Sequence[str], known: Iterable[str]) -> UsageError:
    """Return the error for a command that does not exist: with ours for it, or the nearest."""
    path = ctx.command_path.split()[1:]
    message = f"no such command {args[0]!r}"
    if any(words[0] in METADEFS for words in _readings([*path, *args])):
        return UsageError(f"{message}: metadata definitions are not covered")
    if args[0] == "help":
        words = ["glancectl", *_asked([*path, *args[1:]]), "--help"]
        return UsageError(message, hint=" ".join(words))
    ours = _command([*path, *args])
    if ours is None:
        ours = " ".join(filter(None, [*path, nearest(args[0], known)]))
    if ours == " ".join(path):
        return UsageError(message, hint=f"{ctx.command_path} --help")
    near = ours.removeprefix(" ".join([*path, ""]))
    hint = f"glancectl {ours}" if ours[0] == "-" else f"glancectl {ours.partition(' -')[0]} --help"
    return UsageError(f"{message}: did you mean {near!r}?", hint=hint)


def unknown_option(ctx: Any, option: str) -> str:
    """Return what to say of an option that does not exist: with ours for it, or the nearest."""
    message = f"no such option {option}"
    params = ctx.command.params
    arguments = " ".join(p.metavar for p in params if p.param_type_name == "argument")
    for place in ARGUMENTS.get(option, ()):
        if place in arguments:
            return f"{message}: {place} is an argument, as in {ctx.command_path} {arguments}"
    names = {name for p in params for name in (*p.opts, *p.secondary_opts)}
    names.update(name for p in ctx.find_root().command.params for name in p.opts)
    ours = OPTIONS.get(option, "")
    if ours.partition(" ")[0] not in names:
        known = {name[2:]: name for name in names if name.startswith("--")}
        ours = known.get(nearest(option.lstrip("-"), known) or "", "")
    return f"{message}: did you mean {ours!r}?" if ours else message


def _asked(words: Sequence[str]) -> list[str]:
    """Return our command that ``words`` name, or as much of it as there is."""
    if _exists(words):
        return list(words[:2])
    if words and (ours := _command(words)):
        return ours.partition(" -")[0].split()
    return [noun for noun in words[:1] if noun in NOUNS]


def _command(typed: Sequence[str]) -> str | None:
    """Return our command for the words typed after ``glancectl``, None when there is none."""
    for words in _readings(typed):
        given = {word.partition("=")[0] for word in words}
        for theirs, ours in COMMANDS:
            fixed = [word for word in theirs.split() if not word.startswith("--")]
            if words[: len(fixed)] == fixed and given.issuperset(theirs.split()):
                return ours
        if words != list(typed) and _exists(words):
            return " ".join(words[:2])
    return None


def _exists(words: Sequence[str]) -> bool:
    """Tell whether ``words`` begin with a noun and one of its verbs."""
    noun, verb = [*words, "", ""][:2]
    return noun in NOUNS and verb in getattr(tree(noun), "commands", {})


def _readings(typed: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words as they are, and as they would be here."""
    words = list(typed)
    yield words
    first, dash, second = words[0].partition("-")
    if dash and first and second:
        yield [first, second, *words[1:]]
        yield [first, *second.split("-"), *words[1:]]
    if words[0] == "image" and words[1:]:
        yield words[1:]
    yield ["image", *words]
