"""How fast a transfer may go."""

import threading
import time
from collections.abc import Iterable, Iterator

PIECES = 8  # a second: what is handed on at once is this part of a second's bytes


class Pace:
    """Hold transfers to ``rate`` bytes per second in all; None: as fast as it goes.

    Several threads may share one.
    """

    def __init__(self, rate: int | None) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0  # when all that was let through is paid for, by the monotonic clock

    def wait(self, count: int) -> None:
        """Sleep until ``count`` more bytes are allowed."""
        if self.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self.rate
            pause = self._free_at - now
        time.sleep(pause)

    def held(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what ``chunks`` hold at that rate, in pieces small enough to flow evenly."""
        if self.rate is None:
            yield from chunks
            return
        most = max(self.rate // PIECES, 1)
        for chunk in chunks:
            for start in range(0, len(chunk), most):
                piece = chunk[start : start + most]
                self.wait(len(piece))
                yield piece
