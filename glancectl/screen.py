"""The whole screen of a terminal, drawn over and over; what stood there before comes back."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

# Escape sequences of xterm that the terminals of today know: another screen, without a cursor,
# where lines that are too long are cut.
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME, ERASE_LINE, ERASE_BELOW = "\x1b[H", "\x1b[2K", "\x1b[J"
# A terminal that knows this shows all that is between at once; others pass over it.
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"

Layout = Callable[[int, int], Sequence[str]]  # makes lines for so many columns and so many lines


class Screen:
    """A screen to draw on, within ``with``; drawn anew when the terminal changes its size."""

    def __init__(self) -> None:
        self._layout: Layout = lambda _columns, _lines: ()
        self._is_drawing = False
        self._is_stale = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Screen":
        for signum, handler in (
            (signal.SIGWINCH, self._resized),
            (signal.SIGTSTP, self._suspended),
        ):
            self._before[signum] = signal.signal(signum, handler)
        _write(ENTER)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        with contextlib.suppress(OSError):  # the terminal itself is gone
            _write(LEAVE)

    def show(self, layout: Layout) -> None:
        """Draw what ``layout`` makes, now and whenever the size changes."""
        self._layout = layout
        self._draw()

    def _resized(self, _signum: int, _frame: FrameType | None) -> None:
        self._draw()

    def _suspended(self, signum: int, _frame: FrameType | None) -> None:
        """Give the terminal back for as long as the user has us stopped (Ctrl-Z)."""
        _write(LEAVE)
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        signal.signal(signum, self._suspended)
        _write(ENTER)
        self._draw()

    def _draw(self) -> None:
        # A signal may come in the middle of a frame; the next one begins when that has ended.
        self._is_stale = True
        if self._is_drawing:
            return
        self._is_drawing = True
        try:
            while self._is_stale:
                self._is_stale = False
                lines = self._layout(*_size())
                drawn = "\r\n".join(f"{ERASE_LINE}{line}" for line in lines)
                _write(f"{BEGIN_FRAME}{HOME}{drawn}{ERASE_BELOW}{END_FRAME}")
        finally:
            self._is_drawing = False


def _size() -> tuple[int, int]:
    """Return the columns and lines of the terminal; COLUMNS would not change with them."""
    size = os.get_terminal_size(sys.stdout.fileno())
    return size.columns or 80, size.lines or 24


def _write(text: str) -> None:
    """Write to the terminal past the buffer of stdout, which a signal's handler must not touch."""
    data = text.encode(sys.stdout.encoding, "replace")
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
