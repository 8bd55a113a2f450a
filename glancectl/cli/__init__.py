"""The command line: the root of all commands, the global options, the one error boundary."""

import errno
import functools
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import typer.main
from typer.exceptions import TyperException

from glancectl import __version__
from glancectl.cli.nouns import Root, new_app
from glancectl.errors import (
    Exit,
    GlancectlError,
    Interrupted,
    NotFoundError,
    RefusedError,
    UsageError,
    sentence,
)

if TYPE_CHECKING:
    from glancectl.api import Glance
    from glancectl.config import Config
    from glancectl.transfer.progress import Progress

# The disk that stdout goes to is full, or stdout was closed before we began.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EBADF)
# With one of them the environment says how to log in, not the config file.
LOGIN_VARIABLES = ("OS_AUTH_URL", "OS_AUTH_TYPE", "OS_TOKEN")

PAGER = "GLANCECTL_PAGER"  # wins over the config file, which wins over PAGER


@dataclass
class State:
    """What the global options and the config file say, for the commands and for the boundary.

    options: the global options. given: the flag or variable of each that somebody set.
    table_columns: what the config file has for the tables of this command. json_errors: whether
    the command's ``--format`` asks for errors as JSON.
    """

    options: dict[str, Any] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    table_columns: Sequence[str] = ()
    verbose: bool = False
    debug: bool = False
    json_errors: bool = False

    @functools.cached_property
    def config(self) -> "Config":
        """The config file, read when a command asks: help comes whatever is in it."""
        from glancectl import config

        return config.read()

    @property
    def cloud(self) -> str | None:
        """The cloud in use; none when variables say how to log in."""
        if "cloud" in self.given or any(map(os.environ.get, LOGIN_VARIABLES)):
            return self.options.get("cloud")
        found = self.config.find("cloud")
        return found.value if found else None

    def option(self, name: str, default: Any = None, *, cloud: str | None = None) -> Any:
        """Return an option: as given, else as the config file has it, else its default.

        cloud: the one that the file is asked about, when it is not the one in use.
        """
        found = None if name in self.given else self.config.find(name, cloud or self.cloud)
        return found.value if found else self.options.get(name, default)

    def origin(self, name: str) -> str:
        """Return where a setting comes from: a flag, a variable, the config file or ``default``."""
        if name in self.given:
            return self.given[name]
        found = self.config.find(name, self.cloud)
        if found:
            return found.where
        return "PAGER" if name == "pager" and "PAGER" in os.environ else "default"

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of clouds.Settings."""
        names = ("region", "interface", "endpoint", "cacert", "insecure", "use_token_cache")
        return {
            **{name: self.options[name] for name in names},
            "cloud": self.cloud,
            "timeout": self.option("timeout"),
            "retries": self.option("retries"),
        }

    def settings_of(
        self, *, cloud: str | None, region: str | None, project: str | None
    ) -> dict[str, Any]:
        """Return the fields of clouds.Settings for another cloud, region or project.

        Another cloud is reached as its entry in clouds.yaml says: what the global options say of
        endpoints and certificates is of the cloud in use.
        """
        if cloud is None:
            changed = {"region": region, "endpoint": None} if region else {}
            return {**self.settings, **changed, "project": project}
        return {
            "cloud": cloud,
            "region": region,
            "project": project,
            "timeout": self.option("timeout", cloud=cloud),
            "retries": self.option("retries", cloud=cloud),
            "use_token_cache": self.options["use_token_cache"],
        }

    @property
    def progress(self) -> str:
        """The value of ``--progress``."""
        return str(self.option("progress"))

    @property
    def color(self) -> str:
        """The value of ``--color``."""
        return str(self.option("color"))

    @property
    def pager(self) -> str:
        """The command that shows long tables, empty for none."""
        return "" if self.options["no_pager"] else str(self.option("pager"))


app = new_app("Work with images of an OpenStack cloud: every transfer streamed and verified.", Root)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"glancectl {__version__}")
        raise typer.Exit


def _timeout(text: str | float) -> float:
    """Return the seconds of ``--timeout``: no more than a socket can wait."""
    if isinstance(text, float):  # the default, for which nothing more is imported
        return text
    from glancectl.cli.options import LONGEST_REQUEST, seconds

    return seconds(0.1, LONGEST_REQUEST)(text)


@app.callback()
def root(
    ctx: typer.Context,
    cloud: Annotated[
        str | None,
        typer.Option(envvar="OS_CLOUD", metavar="<name>", help="Entry of clouds.yaml to use."),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(envvar="OS_REGION_NAME", metavar="<name>", help="Region of the catalogue."),
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option(
            envvar="OS_INTERFACE", metavar="<kind>", help="public, internal or admin endpoint."
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="OS_ENDPOINT_OVERRIDE",
            metavar="<url>",
            help="Image endpoint, not the catalogue's.",
        ),
    ] = None,
    cacert: Annotated[
        str | None,
        typer.Option(envvar="OS_CACERT", metavar="<file>", help="CA that signed the certificates."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Verify no certificate.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            envvar="GLANCECTL_TIMEOUT",
            metavar="<seconds>",
            parser=_timeout,
            help="Limit of one request.",
        ),
    ] = 60.0,
    retries: Annotated[
        int,
        typer.Option(envvar="GLANCECTL_RETRIES", metavar="N", min=0, help="Tries after the first."),
    ] = 4,
    progress: Annotated[
        Literal["auto", "bar", "plain", "json", "none"],
        typer.Option(
            envvar="GLANCECTL_PROGRESS", metavar="<how>", help="auto, bar, plain, json or none."
        ),
    ] = "auto",
    color: Annotated[
        Literal["auto", "always", "never"],
        typer.Option(metavar="<when>", help="Colours in tables: auto, always or never."),
    ] = "auto",
    no_pager: Annotated[
        bool,
        typer.Option("--no-pager", help="No pager for long tables, as with GLANCECTL_PAGER=cat."),
    ] = False,
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
    state.verbose, state.debug = verbose or debug, debug
    state.given = _given(ctx)
    state.options = {
        "cloud": cloud,
        "region": region,
        "interface": interface,
        "endpoint": endpoint,
        "cacert": cacert,
        "insecure": insecure,
        "timeout": timeout,
        "retries": retries,
        "progress": progress,
        "color": color,
        "no_pager": no_pager,
        "pager": os.environ.get(PAGER, os.environ.get("PAGER", "less")),
        "use_token_cache": not no_token_cache,
    }
    if state.verbose:
        _log_to_stderr(ctx, debug)


def _given(ctx: typer.Context) -> dict[str, str]:
    """Return the flag or the variable that set a global option, for each that one did."""
    found = {}
    if variable := _color_variable():
        found["color"] = variable
    if PAGER in os.environ:
        found["pager"] = PAGER
    for param in ctx.command.params:
        origin = ctx.get_parameter_source(param.name or "")
        if origin is not None and origin.name == "COMMANDLINE":
            found[str(param.name)] = param.opts[0]
        elif origin is not None and origin.name == "ENVIRONMENT":
            found[str(param.name)] = str(getattr(param, "envvar", ""))
    return found


def _color_variable() -> str | None:
    """Return the variable that decides about colours when no flag does."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        if os.environ.get(name):
            return name
    return "TERM" if os.environ.get("TERM") == "dumb" else None


def _log_to_stderr(ctx: typer.Context, debug: bool) -> None:
    import logging

    from glancectl.terminal import printable

    class Printable(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Printable())
    log = logging.getLogger("glancectl")
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.addHandler(handler)
    ctx.call_on_close(lambda: log.removeHandler(handler))


def connect(ctx: typer.Context) -> "Glance":
    """Return the image service that the global options name; the one door to ``api``."""
    return ctx.with_resource(_closing(_glance(ctx.obj.settings)))


def connect_to(
    ctx: typer.Context,
    *,
    cloud: str | None = None,
    region: str | None = None,
    project: str | None = None,
) -> "Glance":
    """Return the image service of another cloud, or of another region or project of this one."""
    settings = ctx.obj.settings_of(cloud=cloud, region=region, project=project)
    return ctx.with_resource(closing(_glance(settings)))


def _glance(settings: Mapping[str, Any]) -> "Glance":
    """Return the image service that the fields of clouds.Settings name; nothing is sent."""
    from glancectl import collector
    from glancectl.api import Glance
    from glancectl.auth import Login
    from glancectl.clouds import Settings
    from glancectl.rest import Rest

    glance = Glance(Rest(Login(Settings(**settings))))
    collector.resume()  # what a start imports is there, but for what a login needs
    return glance


@contextmanager
def _closing(glance: "Glance") -> "Iterator[Glance]":
    """Close ``glance`` at the end; a name that no image has is answered with the nearest one.

    Here, so that a request more is made only when the whole command ends with that error.
    """
    try:
        yield glance
    except NotFoundError as error:
        from glancectl import resolve

        resolve.suggest(glance, error)
        raise
    finally:
        glance.close()


def progress_for(ctx: typer.Context, target: str, total: int | None, quiet: bool) -> "Progress":
    """Return the progress display that ``--progress`` asks for; none under ``--quiet``."""
    from glancectl.transfer.display import Mode
    from glancectl.transfer.progress import Progress

    state: State = ctx.obj
    mode = Mode(state.progress)
    if mode == Mode.AUTO or "progress" not in state.given:
        if quiet:
            mode = Mode.NONE
        elif state.verbose and mode in (Mode.AUTO, Mode.BAR):
            mode = Mode.PLAIN  # a bar would be torn by the lines of the log
    return Progress(target, total, mode)


def main(argv: Sequence[str]) -> int:
    """Run the command line ``argv`` (without the program's name) and return the exit code.

    The one place where exceptions become text: below it everything raises. A bug of ours passes
    through, with its traceback.
    """
    command = _root()
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
            _show_traceback(error)
        return _fail(error, state)
    except Interrupted as error:
        return _interrupted(error)
    except BrokenPipeError:
        _abandon_stdout()
        return Exit.READER_GONE
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _abandon_stdout()
        return _fail(RefusedError("the output cannot be written", cause=error.strerror), state)
    return Exit.OK


@functools.cache
def _root() -> Any:
    return typer.main.get_command(app)


def _fail(error: GlancectlError, state: State) -> int:
    from glancectl import render

    with _reader_may_be_gone():
        sys.stdout.flush()
        render.error(error, as_json=state.json_errors)
    return error.exit


def _show_traceback(error: GlancectlError) -> None:
    import traceback

    from glancectl import render

    for line in "".join(traceback.format_exception(error)).splitlines():
        render.note(line)


def _interrupted(error: Interrupted) -> int:
    from glancectl import render

    name = signal.Signals(error.signum).name
    with _reader_may_be_gone():
        render.note(sentence(f"glancectl: stopped by {name}", error))
    return 128 + error.signum


def _usage_error(error: TyperException) -> UsageError:
    """Turn Typer's complaint into ours: one sentence, and what to type instead."""
    message = error.format_message().rstrip(".")
    if message.endswith(" int range"):  # the name of a class
        message = message.removesuffix(" int range") + " integer"
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
    if option and hasattr(error, "possibilities"):
        from glancectl.cli import synonyms

        message = synonyms.unknown_option(ctx, option)
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
