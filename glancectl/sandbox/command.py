"""Run a command with a sandbox around it, and take down afterwards what was started for it."""

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from glancectl.sandbox import lifecycle, processes
from glancectl.sandbox import settings as own

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # as shells say it


def run(command: Sequence[str], note: Callable[[str], None]) -> int:
    """Run ``command`` with OS_CLOUD=sandbox; return its exit code, 128 + signal if that ended it.

    A sandbox that was running stays as it is; one started for this is taken down after, by the
    last of several such commands to end.
    """
    with borrowed(note):
        return foreground(command, client_environment() | {"OS_CLOUD": "sandbox"}, note)


@contextlib.contextmanager
def borrowed(note: Callable[[str], None]) -> Iterator[bool]:
    """Have a sandbox inside the block; yields whether it was started for it."""
    state = own.folder()
    lock = state.with_name(state.name + ".users")
    own.make_private_folder(lock.parent)
    with open(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # all who borrow it hold this together
        try:
            yield lifecycle.begin(note, temporary=True)[1]
        finally:
            with _signals(lambda _signum, _frame: None):  # bounded, so it may finish
                _give_back(users.fileno())


def _give_back(users: int) -> None:
    """Take the sandbox down if it was started for borrowers and we are the last of them."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    lifecycle.down_if_temporary()


def client_environment() -> dict[str, str]:
    """Return our environment with the sandbox's clouds.yaml in place of any other cloud."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    clouds = {"OS_CLIENT_CONFIG_FILE": str(own.folder() / "clouds.yaml")}
    return kept | processes.without_proxy(excepted) | clouds


def foreground(
    command: Sequence[str],
    environment: Mapping[str, str],
    note: Callable[[str], None],
    folder: Path | None = None,
) -> int:
    """Run ``command`` on our terminal and return its exit code as a shell would.

    Signals that reach us are passed on, and it is waited for all the same.
    """
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []  # signals that came before there was anybody to pass them on to

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        if not children:
            early.append(signum)
        # A terminal's Ctrl-C has gone to the whole foreground group, so to the child already.
        elif not (signum == signal.SIGINT and _is_foreground()):
            children[0].send_signal(signum)

    with _signals(pass_on):
        try:
            child = subprocess.Popen(command, env=environment, cwd=folder)
        except OSError as error:
            note(f"cannot run {command[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        with child:
            children.append(child)
            for signum in early:
                child.send_signal(signum)
            code = child.wait()
    return code if code >= 0 else 128 - code


def _is_foreground() -> bool:
    """Tell whether we belong to the process group that our terminal sends its signals to."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # no terminal
        return False


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let ``handler`` have the signals that would end us, but those that are ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread only
        return
    before = {s: signal.getsignal(s) for s in SIGNALS if signal.getsignal(s) != signal.SIG_IGN}
    for signum in before:
        signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)
