"""The nouns and their verbs, as commands of Typer; what is called is imported, and no more."""

import copy
import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

import typer
import typer.core
import typer.main

F = TypeVar("F", bound=Callable[..., Any])

# What there is, and what for. The commands of each are in the module of that name, which is
# imported when one is called.
NOUNS = {
    "image": "Create, upload, download and query images.",
    "member": "Share images with other projects, and answer what others share.",
    "tag": "List, add, remove and replace tags.",
    "task": "List, show, create and await tasks: imports, mostly.",
    "store": "List stores, and delete the copy of an image in one of them.",
    "cache": "See and steer the image cache (admin); each API host has its own.",
    "info": "Show versions, import methods, stores, formats, usage.",
    "auth": "See who you are, get a token, log out.",
    "sandbox": "Run a real Keystone and Glance on this machine, to try things and for CI.",
    "completion": "Print the script that completes glancectl's words in bash, zsh or fish.",
}
SUGGEST = "_suggest"  # what those scripts call for words that only the cloud knows; in no help
MORE_OF = {  # in the order in which help lists their verbs
    "image": (
        *("image_data", "image_update", "image_import", "image_verify", "image_copy"),
        *("image_publish", "image_catalogue", "image_prune", "locations"),
    )
}


class Command(typer.core.TyperCommand):
    """A command whose help is one screen."""

    # ctx: a Context of the Click inside Typer, whose name is private, as that of formatter is.
    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help to ``formatter``."""
        from glancectl.cli import helptext

        helptext.write(self, ctx, formatter)


class Group(typer.core.TyperGroup):
    """A group that shows its help when no verb is given, and knows other clients' verbs."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help to ``formatter``."""
        from glancectl.cli import helptext

        helptext.write(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take no arguments at all as a question for help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command; an unknown one that another client has is answered with ours."""
        if not (args[0] in self.commands or args[0].startswith("-") or ctx.resilient_parsing):
            from glancectl.cli import synonyms

            raise synonyms.unknown_command(ctx, args, self.commands)
        return super().resolve_command(ctx, args)


class Root(Group):
    """The group of all nouns.

    Making the options of all commands takes longer than most of the commands; so what is called
    is made, and for the others stands what help and suggestions need.
    """

    def __init__(self, **attributes: Any) -> None:
        """Begin with no commands but the stand-ins."""
        super().__init__(**attributes)
        self.commands = {noun: typer.core.TyperCommand(noun, help=NOUNS[noun]) for noun in NOUNS}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the noun, with the one verb that is called or, if there is no such, with all."""
        noun, *rest = args
        if noun in NOUNS or noun == SUGGEST:
            return noun, tree(noun, *rest[:1]), rest
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """A Typer app whose commands are of our own class."""

    def command(self, *args: Any, **settings: Any) -> Callable[[F], F]:
        """Return the decorator that makes a function a command."""
        return super().command(*args, cls=Command, **settings)


def new_app(help_text: str, cls: type[Group] = Group) -> App:
    """Return a Typer app with this tool's settings: plain help (fast), our own error boundary."""
    return App(
        cls=cls,
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


@functools.cache
def tree(noun: str, verb: str | None = None) -> Any:
    """Return a noun as a Click group of its verbs, or of ``verb`` alone if it has that.

    A noun without verbs is a Click command.
    """
    found: typer.Typer = importlib.import_module(f"glancectl.cli.{noun}").app
    verbs = _verbs(found)
    for module in MORE_OF.get(noun, ()) if verb not in verbs else ():
        importlib.import_module(f"glancectl.cli.{module}")
        verbs = _verbs(found)
    if list(verbs) == [noun]:
        return typer.main.get_command_from_info(
            verbs[noun], pretty_exceptions_short=False, rich_markup_mode=None
        )
    if verb in verbs:
        found = copy.copy(found)
        found.registered_commands, found.registered_groups = [verbs[verb]], []
    return typer.main.get_group(found)


def _verbs(app: typer.Typer) -> dict[str, Any]:
    commands: list[Any] = app.registered_commands
    name_of = typer.main.get_command_name
    return {command.name or name_of(command.callback.__name__): command for command in commands}
