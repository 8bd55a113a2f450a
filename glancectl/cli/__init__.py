"""The command line: the root of all commands, the global options, the one error boundary."""

import copy
import errno
import functools
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import typer.core
import typer.main
from typer.exceptions import TyperException

from glancectl import __version__
from glancectl.errors import (
    Exit,
    GlancectlError,
    Interrupted,
    RefusedError,
    UsageError,
    sentence,
)

if TYPE_CHECKING:
    from glancectl.api import Glance
    from glancectl.transfer.progress import Progress

FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk that stdout goes to

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
}
MORE_OF = {"image": ("image_data", "image_import", "image_update", "locations")}

# What other clients and habits call our verbs; of several the first that the group has.
SYNONYMS = {
    "save": ("download",),
    "get": ("show",),
    "set": ("update",),
    "unset": ("update --remove-property",),
    "reactivate": ("activate",),
    "rm": ("delete", "remove"),
    "remove": ("delete",),
    "delete": ("remove",),
    "ls": ("list",),
    "new": ("create", "add"),
    "create": ("add",),
    "put": ("upload",),
    "stores": ("store list",),
    "usage": ("info",),
    "explain": ("info",),
}


@dataclass
class State:
    """What the global options say, for the commands and for the boundary.

    json_errors: whether the command's ``--format`` asks for errors as JSON.
    """

    settings: dict[str, Any] = field(default_factory=dict)  # the fields of clouds.Settings
    progress: str = "auto"
    color: str = "auto"
    verbose: bool = False
    debug: bool = False
    json_errors: bool = False


class Group(typer.core.TyperGroup):
    """A group that shows its help when no verb is given, and knows other clients' verbs."""

    # ctx: a Context of the Click inside Typer, whose name is private.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take no arguments at all as a question for help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command; an unknown one that another client has is answered with ours."""
        for ours in SYNONYMS.get(args[0], ()) if args[0] not in self.commands else ():
            if ours.split()[0] in self.commands:
                raise UsageError(f"no such command {args[0]!r}: did you mean {ours!r}?")
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
        if noun in NOUNS:
            return noun, tree(noun, *rest[:1]), rest
        return super().resolve_command(ctx, args)


def new_app(help_text: str, cls: type[Group] = Group) -> typer.Typer:
    """Return a Typer app with this tool's settings: plain help (fast), our own error boundary."""
    return typer.Typer(
        cls=cls,
        help=help_text,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


app = new_app("Work with images of an OpenStack cloud: every transfer streamed and verified.", Root)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"glancectl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    cloud: Annotated[
        str | None, typer.Option(envvar="OS_CLOUD", help="Entry of clouds.yaml to use.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(envvar="OS_REGION_NAME", help="Region of the catalogue.")
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option(envvar="OS_INTERFACE", help="public, internal or admin endpoint."),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="OS_ENDPOINT_OVERRIDE",
            metavar="URL",
            help="Image endpoint instead of the catalogue's; with OS_TOKEN no Keystone is needed.",
        ),
    ] = None,
    cacert: Annotated[
        str | None,
        typer.Option(envvar="OS_CACERT", metavar="FILE", help="CA that signed the certificates."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Verify no certificate.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            envvar="GLANCECTL_TIMEOUT", metavar="SECONDS", min=0.1, help="Limit of one request."
        ),
    ] = 60.0,
    retries: Annotated[
        int,
        typer.Option(envvar="GLANCECTL_RETRIES", metavar="N", min=0, help="Tries after the first."),
    ] = 4,
    progress: Annotated[
        Literal["auto", "bar", "plain", "json", "none"],
        typer.Option(envvar="GLANCECTL_PROGRESS", help="How transfers show where they are."),
    ] = "auto",
    color: Annotated[
        Literal["auto", "always", "never"], typer.Option(help="Colours in tables.")
    ] = "auto",
    no_token_cache: Annotated[
        bool,
        typer.Option(
            "--no-token-cache",
            envvar="GLANCECTL_NO_TOKEN_CACHE",
            help="Log in afresh, store nothing.",
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell each step.")] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", envvar="GLANCECTL_DEBUG", help="Tell each request, secrets left out."
        ),
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Keep the global options for ``connect`` and the boundary."""
    state: State = ctx.obj
    state.progress, state.color = progress, color
    state.verbose, state.debug = verbose or debug, debug
    state.settings = {
        "cloud": cloud,
        "region": region,
        "interface": interface,
        "endpoint": endpoint,
        "cacert": cacert,
        "insecure": insecure,
        "timeout": timeout,
        "retries": retries,
        "use_token_cache": not no_token_cache,
    }
    if state.verbose:
        _log_to_stderr(ctx, debug)


def _log_to_stderr(ctx: typer.Context, debug: bool) -> None:
    import logging

    handler = logging.StreamHandler()
    log = logging.getLogger("glancectl")
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.addHandler(handler)
    ctx.call_on_close(lambda: log.removeHandler(handler))


def connect(ctx: typer.Context) -> "Glance":
    """Return the image service that the global options name; the one door to ``api``."""
    from glancectl.api import Glance
    from glancectl.auth import Login
    from glancectl.clouds import Settings
    from glancectl.rest import Rest

    glance = Glance(Rest(Login(Settings(**ctx.obj.settings))))
    ctx.call_on_close(glance.close)
    return glance


def progress_for(ctx: typer.Context, target: str, total: int | None, quiet: bool) -> "Progress":
    """Return the progress display that ``--progress`` asks for; none under ``--quiet``."""
    from glancectl.transfer.display import Mode
    from glancectl.transfer.progress import Progress

    mode = Mode(ctx.obj.progress)
    if mode == Mode.AUTO and quiet:
        mode = Mode.NONE
    elif mode == Mode.AUTO and ctx.obj.verbose:
        mode = Mode.PLAIN  # a bar would be torn by the lines of the log
    return Progress(target, total, mode)


def main(argv: Sequence[str]) -> int:
    """Run the command line ``argv`` (without the program's name) and return the exit code.

    The one place where exceptions become text: below it everything raises. A bug of ours passes
    through, with its traceback.
    """
    command = _root()
    if "_GLANCECTL_COMPLETE" in os.environ:
        command.main(list(argv), prog_name="glancectl")
    state = State()
    try:
        with _signals(), command.make_context("glancectl", list(argv), obj=state) as ctx:
            command.invoke(ctx)
            sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except TyperException as error:
        return _fail(_usage_error(error), state)
    except GlancectlError as error:
        if state.debug:
            sys.excepthook(type(error), error, error.__traceback__)
        return _fail(error, state)
    except Interrupted as error:
        return _interrupted(error)
    except BrokenPipeError:
        _abandon_stdout()
        return Exit.READER_GONE
    except OSError as error:
        if error.errno not in FULL:
            raise
        _abandon_stdout()
        return _fail(RefusedError("the output cannot be written", cause=error.strerror), state)
    return Exit.OK


@functools.cache
def _root() -> Any:
    return typer.main.get_command(app)


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


def _fail(error: GlancectlError, state: State) -> int:
    from glancectl import render

    with _reader_may_be_gone():
        sys.stdout.flush()
        render.error(error, as_json=state.json_errors)
    return error.exit


def _interrupted(error: Interrupted) -> int:
    from glancectl import render

    name = signal.Signals(error.signum).name
    with _reader_may_be_gone():
        render.note(sentence(f"glancectl: stopped by {name}", error))
    return 128 + error.signum


def _usage_error(error: TyperException) -> UsageError:
    """Turn Typer's complaint into ours: one sentence, and what to type instead."""
    message = error.format_message().rstrip(".")
    ctx = getattr(error, "ctx", None)
    if ctx is None:
        return UsageError(message)
    option = getattr(error, "option_name", None)
    root_options = {name for param in ctx.find_root().command.params for name in param.opts}
    if option in root_options and ctx.parent is not None:
        verb = ctx.command_path.removeprefix("glancectl ")
        return UsageError(
            f"{option} is a global option and goes before the group",
            hint=f"glancectl {option} … {verb}",
        )
    return UsageError(message, hint=f"{ctx.command_path} --help")


@contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into Interrupted, so that every clean-up runs.

    A signal that the parent had ignored (nohup) stays ignored.
    """

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    def stop_again(lost: "sys.UnraisableHookArgs") -> None:
        # It came while Python ran a destructor, out of which no exception gets. Nor does one get
        # out of here, so the signal has to come once more in a moment.
        if not isinstance(lost.exc_value, Interrupted):
            hook(lost)
            return
        import threading

        main_thread = threading.main_thread().ident or 0
        threading.Timer(0.05, signal.pthread_kill, (main_thread, lost.exc_value.signum)).start()

    hook, sys.unraisablehook = sys.unraisablehook, stop_again
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {s: signal.getsignal(s) for s in wanted if signal.getsignal(s) != signal.SIG_IGN}
    for signum in before:
        signal.signal(signum, stop)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def _reader_may_be_gone() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _abandon_stdout()


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that Python's own flush at exit does not complain."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
