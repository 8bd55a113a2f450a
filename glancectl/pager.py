"""The user's pager: the program that shows what is longer than the screen, as git has it."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

from glancectl.errors import Interrupted

DEFAULT = "less"
NONE = ("", "cat")  # commands that say that no pager is wanted
# Of less, where its user has not chosen: it ends by itself when all fits the screen (F), passes
# colours (R), and leaves what was shown on the screen (X).
LESS = "FRX"
GRACE = 2.0  # seconds that it has to end after a signal


def is_wanted(command: str) -> bool:
    """Tell whether ``command`` may show what goes to stdout: a person sees it and has the keys."""
    on_terminal = sys.stdout.isatty() and sys.stdin.isatty()
    return command not in NONE and on_terminal and os.environ.get("TERM") != "dumb"


def show(text: str, command: str) -> None:
    """Show ``text`` in the pager ``command`` until its user has seen enough.

    Raises OSError when it cannot be started, ValueError when the command is no words of a shell.
    """
    words = shlex.split(command)
    environment = {"LESS": LESS, "LV": "-c", **os.environ}
    if (encoding := sys.stdout.encoding.lower()) == "utf-8":
        environment.setdefault("LESSCHARSET", encoding)
    sys.stdout.flush()
    with (
        _terminal_is_the_pagers(),
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=sys.stdout.fileno(), env=environment
        ) as process,
    ):
        try:
            process.communicate(text.encode(encoding, "replace"))
        except Interrupted:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            process.kill()
            raise


@contextlib.contextmanager
def _terminal_is_the_pagers() -> Iterator[None]:
    """Leave Ctrl-C to the pager, and restore the terminal's settings, however the pager ends."""
    settings = termios.tcgetattr(sys.stdin)
    # A function, not SIG_IGN: what is ignored is ignored by the pager too.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        with contextlib.suppress(termios.error):  # the terminal itself is gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
