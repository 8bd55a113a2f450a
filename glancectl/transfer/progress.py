"""Where a transfer is, counted and told on stderr.

``Progress`` counts and keeps the time; a display says it. It takes values only and knows nothing
of images.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TextIO

from glancectl.terminal import human_size
from glancectl.transfer.display import Bar, Count, Json, Mode, Plain, Share, make


class Progress:
    """Show where one transfer is. Use as a context manager; leaving it without ``done`` is failure.

    target: its name, any text. total: bytes, None when unknown; may be set later.
    stream: where to, stderr if None. quiet: show nothing. clock: seconds, for tests.
    The methods may be called from several threads.
    """

    def __init__(
        self,
        target: str,
        total: int | None,
        mode: Mode = Mode.AUTO,
        *,
        stream: TextIO | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = Count(target, total, clock)
        self._lock = threading.RLock()
        self._stream = stream or sys.stderr
        self._display = make(Mode.NONE if quiet else mode, self._count, self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        if self._display:
            self._display.close()

    @property
    def total(self) -> int | None:
        """Bytes in all, None when unknown."""
        return self._count.total

    @total.setter
    def total(self, total: int | None) -> None:
        with self._lock:
            self._count.total = total
            self._moved()

    def wrap(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield ``chunks`` unchanged; each counts once its taker comes back for the next."""
        self._begin()
        for chunk in chunks:
            yield chunk
            with self._lock:
                self._count.bytes += len(chunk)
                self._moved()

    def of(self, target: str, total: int | None) -> "Progress":
        """Return the progress of one of several transfers that go on at once.

        A bar is one for all of them; lines and events are of each.
        """
        one = Progress(target, total, Mode.NONE, clock=self._count.clock)
        match self._display:
            case Bar() as bar:
                one._display = Share(one._count, self.add, bar)
            case Plain() | Json():
                one._display = type(self._display)(one._count, self._stream)
        return one

    def add(self, count: int, total: int = 0) -> None:
        """Count ``count`` bytes more, or fewer where a transfer starts anew, of ``total`` more."""
        with self._lock:
            if count:
                self._begin("downloading")
            self._count.bytes += count
            if isinstance(self._display, Bar):  # any other says nothing of all together
                self._count.total = (self._count.total or 0) + total
            self._moved()

    def phase(self, name: str) -> None:
        """Tell what happens from now on, or still: ``uploading``, ``server is storing``, …"""
        with self._lock:
            self._begin(name)
            if name == self._count.phase:
                self._moved()  # nothing has, but time
            elif self._display:
                self._display.phase(name)
            self._count.phase = name

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Make room, above a bar if there is one, for lines that are not of this transfer."""
        with self._lock:
            bar = self._display if isinstance(self._display, Bar) else None
            with bar.hidden() if bar else contextlib.nullcontext():
                yield

    def note(self, text: str) -> None:
        """Tell something worth knowing."""
        self._message("note", text)

    def retry(self, reason: str, attempt: int, of: int) -> None:
        """Tell that try ``attempt`` of ``of`` begins, and why."""
        self._message("retry", reason, attempt=attempt, of=of)

    def resume(self, offset: int) -> None:
        """Tell that the transfer goes on behind the ``offset`` bytes that are there already."""
        with self._lock:
            self._begin()
            self._count.bytes = self._count.kept = offset
            self._moved()
            self._message("resume", f"resuming at {human_size(offset)}")

    def restart(self) -> None:
        """Count from 0 again: the transfer starts anew."""
        with self._lock:
            self._count.bytes = self._count.kept = 0
            self._moved()

    def done(self, digest: str | None = None) -> None:
        """End well, with one last line. digest: ``algorithm:hex`` of the bytes, if known.

        What nothing moved for and nobody waited for ends silently.
        """
        with self._lock:
            if self._count.began is None and self._count.is_wait:
                self._display = None
            self._begin()
            if self._display:
                self._display.done(digest)
            self._display = None

    def _begin(self, phase: str = "") -> None:
        # Not when it is entered: looking things up and waiting for a lock is no transfer.
        with self._lock:
            if self._count.began is None:
                self._count.began = self._count.clock()
                self._count.phase = phase
                if self._display:
                    self._display.begin()

    def _moved(self) -> None:
        if self._display and self._count.began is not None:
            self._display.moved()

    def _message(self, event: str, text: str, **fields: int) -> None:
        with self._lock:
            if self._display:
                self._display.message(event, text, **fields)
