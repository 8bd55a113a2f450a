"""The data of one image from Glance, from any place on, whatever breaks on the way.

Image data never change, so a download may go on with a Range request wherever it broke off. Only
stores that can read at random answer those (file, cinder); rbd, swift, s3 and http answer 400.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from glancectl import body, retry
from glancectl.answer import transport_errors
from glancectl.api import Glance, Image
from glancectl.errors import IntegrityError, RefusedError, UnavailableError
from glancectl.terminal import human_size
from glancectl.transfer.pace import Pace
from glancectl.transfer.part import Part, Span
from glancectl.transfer.progress import Progress

if TYPE_CHECKING:
    import httpx

PROGRESS = 1 << 20  # bytes; after so many the tries are counted anew
ENOUGH = 1 << 19  # bytes that are worth being handed on: joining more, or noting less, is slower
FLUSH = 0.5  # seconds after which less than a chunk is handed on
SMALLEST, LARGEST = 4 << 20, 64 << 20  # bytes of a piece when there are several connections


class NoRangesError(Exception):
    """The store does not hand out a part of an image; no error that a user ever sees."""


class Fetch:
    """What is needed to get bytes of one image; threads may share it."""

    def __init__(
        self, glance: Glance, record: Image, progress: Progress, prefer: Sequence[str], pace: Pace
    ) -> None:
        """Prepare; nothing is sent. prefer: stores to read from if they can."""
        self.image_id = str(record["id"])
        self.size = int(record.get("size") or 0)
        self._glance = glance
        self.progress = progress
        self._prefer = prefer
        self._pace = pace

    def part(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``, going on wherever a connection breaks.

        Raises NoRangesError as soon as the store turns out to hand out the whole only,
        UnavailableError after as many failures in a row as there may be retries, IntegrityError
        for more bytes than there should be, and what ``open_data`` raises.
        """
        return self._trying(lambda place: self._ranged(place, end), start, end)

    def rest(self, start: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to the end where a store hands out the whole only.

        All of it is fetched and what comes before ``start`` dropped, after each break again.
        Raises what ``part`` raises.
        """
        return self._trying(self._whole, start, self.size)

    def _trying(
        self, once: Callable[[int], Iterator[bytes]], start: int, end: int
    ) -> Iterator[bytes]:
        """Yield what ``once(place)`` yields, called again from wherever it broke off."""
        place = landmark = start
        failures = 0
        while True:
            try:
                for chunk in once(place):
                    place += len(chunk)
                    if place > end:
                        raise self._too_long()
                    yield chunk
                if place < end:
                    raise self._too_short(place)
                return
            except UnavailableError as error:
                if start < place == end:
                    return  # more was promised than there is
                if place - landmark >= PROGRESS:
                    landmark, failures = place, 0  # it does get on
                failures += 1
                retries = self._glance.rest.retries
                if failures > retries or not error.may_pass:
                    raise
                reason = f"{error.cause or error.message}, going on at {human_size(place)}"
                self.progress.retry(reason, failures, retries)
                time.sleep(retry.delay(failures, error.retry_after))

    def _ranged(self, start: int, end: int) -> Iterator[bytes]:
        """Ask for the bytes from ``start`` up to ``end`` once, and yield what comes of them."""
        if (start, end) == (0, self.size):
            yield from self._read(0, None)
            return
        try:
            yield from self._read(start, end)
        except RefusedError as error:
            if error.status in (400, 416):
                raise NoRangesError from None
            raise

    def _whole(self, start: int) -> Iterator[bytes]:
        """Ask for the whole once, and yield what comes from ``start`` on."""
        self.progress.restart()
        place = 0
        for chunk in self._read(0, None):
            place += len(chunk)
            if place > start:
                yield chunk[-(place - start) :]
                start = place

    def _read(self, start: int, end: int | None) -> Iterator[bytes]:
        span = None if end is None else (start, end)
        opened = self._glance.open_data(self.image_id, self._prefer, span)
        with opened as response, transport_errors(f"download image {self.image_id}"):
            if span is not None and not _is_of(response, span, self.size):
                raise NoRangesError
            # A connection serves several parts, one after another, but only one whole.
            parts = body.blocks(response) if span is None else response.iter_raw()
            yield from self.progress.wrap(self._pace.held(_gathered(parts)))

    def _too_short(self, place: int) -> UnavailableError:
        error = UnavailableError(
            f"the download of image {self.image_id} broke off",
            cause=f"{place} of {self.size} bytes arrived",
        )
        error.may_pass = True
        return error

    def _too_long(self) -> IntegrityError:
        return IntegrityError(
            f"image {self.image_id} is not what its record says",
            cause=f"more bytes arrive than the {self.size} of the record",
        )


def whole(fetch: Fetch, part: Part | None = None, connections: int = 1) -> Iterator[bytes]:
    """Yield all bytes of an image in their order: those in ``part``, the others as they come.

    What comes is written to ``part`` before it is yielded. connections: how many fetch at once
    what lies ahead, for which there has to be a ``part``. Raises what ``Fetch.part`` raises, but
    where a store hands out no parts, all is fetched from the start again, over one connection.
    """
    place = 0
    spans = part.spans() if part else [((0, fetch.size), False)]
    if part and connections > 1:
        chunks = _side_by_side(fetch, part, _pieces(spans, connections), connections)
    else:
        chunks = _one_by_one(fetch, part, spans)
    try:
        for chunk in chunks:
            place += len(chunk)
            yield chunk
    except NoRangesError:
        fetch.progress.note("the store hands out no part of an image: from the start again")
        yield from _written(fetch.rest(place), part, place)


def _one_by_one(
    fetch: Fetch, part: Part | None, spans: Sequence[tuple[Span, bool]]
) -> Iterator[bytes]:
    for (start, end), there in spans:
        if part and there:
            yield from part.read(start, end)
        else:
            yield from _written(fetch.part(start, end), part, start)


def _side_by_side(
    fetch: Fetch, part: Part, spans: Sequence[tuple[Span, bool]], connections: int
) -> Iterator[bytes]:
    stop = threading.Event()

    def get(start: int, end: int) -> None:
        for _ in _written(fetch.part(start, end), part, start):
            if stop.is_set():
                return

    pool = ThreadPoolExecutor(connections)
    try:
        jobs = [None if there else pool.submit(get, *span) for span, there in spans]
        for (span, _), job in zip(spans, jobs, strict=True):
            if job:
                job.result()
            yield from part.read(*span)
    except NoRangesError:
        # Nothing shall be written any more that is not hashed.
        stop.set()
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        # Else nobody waits for what is under way: it ends when ``part`` is closed.
        pool.shutdown(wait=False, cancel_futures=True)


def _written(chunks: Iterator[bytes], part: Part | None, place: int) -> Iterator[bytes]:
    """Yield ``chunks``, each after it was written to ``part`` from ``place`` on."""
    for chunk in chunks:
        if part:
            part.write(place, chunk)
        place += len(chunk)
        yield chunk


def _pieces(spans: Sequence[tuple[Span, bool]], connections: int) -> list[tuple[Span, bool]]:
    """Cut the spans that are not there into pieces, smaller ones towards the end.

    So that all connections end at about the same time, with little left to hash by then.
    """
    left = sum(end - start for (start, end), there in spans if not there)
    pieces: list[tuple[Span, bool]] = []
    for (start, end), there in spans:
        if there:
            pieces.append(((start, end), True))
        while not there and start < end:
            size = min(max(left // (4 * connections), SMALLEST), LARGEST, end - start)
            pieces.append(((start, start + size), False))
            start, left = start + size, left - size
    return pieces


def _is_of(response: "httpx.Response", span: Span, size: int) -> bool:
    """Tell whether an answer carries that part of so many bytes, or the start of it."""
    found = body.part(response)
    return found is not None and (
        found[0] == span[0] and found[1] < span[1] and found[2] in (size, None)
    )


def _gathered(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of ``parts`` in chunks of some 512 KiB, or what came in half a second.

    What had arrived before a connection broke is yielded before that is raised.
    """
    held: list[bytes] = []
    count = 0
    began = time.monotonic()
    try:
        for part in parts:
            held.append(part)
            count += len(part)
            if count >= ENOUGH or time.monotonic() - began > FLUSH:
                yield b"".join(held)
                held, count, began = [], 0, time.monotonic()
    except Exception:
        if held:
            yield b"".join(held)
        raise
    if held:
        yield b"".join(held)
