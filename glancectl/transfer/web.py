"""A payload from the web, read on over a new connection wherever one breaks."""

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from glancectl import body, retry
from glancectl.errors import IntegrityError, RefusedError, UnavailableError, UsageError
from glancectl.redact import redact
from glancectl.terminal import human_size
from glancectl.transfer import request, sniff
from glancectl.transfer.source import HEAD, Source, Tell, fill

if TYPE_CHECKING:
    import httpx

PROGRESS = 1 << 20  # bytes; a connection that brought so many was a good one
# By then the clocks of the server and of whoever wrote the file need not agree.
SETTLED = timedelta(seconds=60)

log = logging.getLogger("glancectl")


def open_url(url: str, headers: Mapping[str, str], timeout: float, retries: int) -> Source:
    """Open a URL; nothing but its first bytes is read.

    headers: for its origin alone. timeout: seconds to wait for any byte. retries: how many tries
    in a row may fail after the first, here and whenever the connection breaks.
    Raises UsageError for what is no URL, RefusedError for an answer that is no file, IntegrityError
    for a web page, UnavailableError for a server that cannot be reached.
    """
    parsed, name = request.parse(url), redact(url)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(request.open_client(timeout))
        file = _File(partial(request.get, client, parsed, headers), name, retries)
        stack.callback(file.close)
        head = file.head = fill(file.read, HEAD)
        if sniff.kind(head) == "html":
            raise request.web_page(name)
        source = Source(
            name,
            read=file.read,
            head=head,
            size=file.size,
            close=stack.pop_all().close,
            file_name=_file_name(parsed),
            rewind=file.rewind,
        )
        file.tell = lambda *what: source.tell(*what)
        return source


def same_origin(one: str, other: str) -> bool:
    """Tell whether two URLs agree in scheme, host and port; what is no URL agrees with none."""
    try:
        return request.origin(request.parse(one)) == request.origin(request.parse(other))
    except UsageError:
        return False


class _File:
    """The file behind a URL. A connection that breaks is made anew, from where it broke.

    size: the file's bytes, None as long as no server says. head: its first bytes, once a source
    is made of them. tell: called as ``Source.tell`` is.
    """

    def __init__(
        self, get: Callable[[Mapping[str, str]], "httpx.Response"], name: str, retries: int
    ) -> None:
        """Prepare; nothing is sent. get: ask for the URL with these headers besides."""
        self.size: int | None = None
        self.head: bytes | None = None
        self.tell: Tell = _log
        self._get = get
        self._name = name
        self._retries = retries
        self._first: Mapping[str, str] = {}  # the headers of the answer that all others must match
        self._response: httpx.Response | None = None
        self._parts: Iterator[bytes] | None = None  # None: there is no connection
        self._left = b""
        self._offset = 0  # bytes of the file that came so far
        self._landmark = 0  # where the present connection began
        self._failures = 0  # tries in a row

    def close(self) -> None:
        """Let go of the connection."""
        self._parts = None
        if self._response is not None:
            self._response.close()

    def read(self, count: int) -> bytes:
        """Return at most ``count`` bytes, none at the end.

        Raises UnavailableError when the file cannot be read on.
        """
        data = self._left or self._next_part()
        self._left = data[count:]
        return data[:count]

    def rewind(self) -> None:
        """Go back to the first byte, for a whole new upload.

        Raises IntegrityError when the server has another file by now, as far as it tells and the
        first bytes show.
        """
        self.close()
        self._left = b""
        self._offset = self._landmark = self._failures = 0
        head = self.head or b""
        if fill(self.read, len(head)) != head:
            raise self._another_file("its first bytes differ")
        self._left = head + self._left

    def _next_part(self) -> bytes:
        """Return what comes next, over a new connection if need be."""
        while True:
            try:
                if self._parts is None:
                    self._parts = self._connect()
                if part := next(self._parts, b""):
                    self._offset += len(part)
                elif self.size is not None and self._offset < self.size:
                    raise self._ended_early(self._offset)
                return part
            except UnavailableError as error:
                self.close()
                self._await_next_try(error)

    def _await_next_try(self, error: UnavailableError) -> None:
        """Tell of a failed try and sleep before the next; raise when there is none to be."""
        if self._offset - self._landmark >= PROGRESS:
            self._failures = 0
        self._landmark = self._offset
        self._failures += 1
        if not error.may_pass:
            raise error
        if self._failures > self._retries:
            raise UnavailableError(
                self._broke_off() if self._offset else error.message,
                cause=error.cause,
                status=error.status,
            )
        if self._offset and _validator(self._first) is None:
            raise UnavailableError(
                f"{self._broke_off()}, and the server gives neither ETag nor a usable "
                "Last-Modified, so that it cannot be continued safely",
                cause=error.cause,
            )
        what = f"the connection broke after {human_size(self._offset)}, going on from there"
        reason = f"{what if self._offset else error.message}: {error.cause}"
        self.tell(reason, self._failures, self._retries)
        time.sleep(retry.delay(self._failures, error.retry_after))

    def _connect(self) -> Iterator[bytes]:
        """Ask for the bytes from the present place on."""
        if self._offset == 0:
            return self._from_start()
        try:
            return self._from_offset()
        except (RefusedError, IntegrityError) as error:
            why = error.message if error.status is None else error.cause
            raise self._lost(why, error.hint) from None

    def _from_start(self) -> Iterator[bytes]:
        response = self._response = self._get({})
        request.check(response, going_on=False)
        size = body.length(response)
        if self.head is None:
            self._first, self.size = response.headers, size
        elif why := self._difference(response, size):
            raise self._another_file(why)
        return request.body(response, self._name)

    def _from_offset(self) -> Iterator[bytes]:
        """Ask for the rest of the file (RFC 9110, 13.1.5 and 14.2).

        A server that sends the whole file knows no ranges, or has another file.
        """
        conditions = {"Range": f"bytes={self._offset}-", "If-Range": _validator(self._first) or ""}
        response = self._response = self._get(conditions)
        request.check(response, going_on=True)
        parts = request.body(response, self._name)
        if response.status_code == 206:
            self._expect_rest(response)
            return parts
        if why := self._difference(response, body.length(response)):
            raise self._lost(why)
        reason = f"the server sends no parts, passing over the first {human_size(self._offset)}"
        self.tell(reason, self._failures, self._retries)
        return self._behind(parts, self._offset)

    def _expect_rest(self, response: "httpx.Response") -> None:
        """Raise UnavailableError unless a 206 carries what is missing of the same file."""
        found = body.part(response)
        if found is None or found[0] != self._offset:
            raise self._lost("it answers with another part than the one asked for")
        if found[2] is None and self.size is not None:
            raise self._lost("it does not say of how many bytes its part is one")
        if why := self._contradiction(response, found[2]):
            raise self._lost(why)
        self.size = found[2]

    def _difference(self, response: "httpx.Response", size: int | None) -> str | None:
        """Say why a whole file is not the one begun; None when nothing speaks against it."""
        validator = _validator(self._first)
        tags = (response.headers.get("ETag"), response.headers.get("Last-Modified"))
        return self._contradiction(response, size) or (
            "it no longer says which version it sends" if validator not in (None, *tags) else None
        )

    def _contradiction(self, response: "httpx.Response", size: int | None) -> str | None:
        """Say what in an answer contradicts the first one. size: of the whole file, in bytes."""
        if None not in (self.size, size) and size != self.size:
            return f"it has {size} bytes now, not {self.size}"
        for name in ("ETag", "Last-Modified"):  # the first that both have decides
            before, now = self._first.get(name), response.headers.get(name)
            if before and now:
                return f"its {name} is another now" if before != now else None
        return None

    def _behind(self, parts: Iterator[bytes], count: int) -> Iterator[bytes]:
        """Yield what follows the first ``count`` bytes."""
        missing = count
        for part in parts:
            if len(part) > missing:
                yield part[missing:]
            missing = max(0, missing - len(part))
        if missing:
            raise self._ended_early(count - missing)

    def _ended_early(self, count: int) -> UnavailableError:
        return request.passing(f"{self._name} broke off", f"the answer ended after {count} bytes")

    def _broke_off(self) -> str:
        of_all = "" if self.size is None else f" of {self.size}"
        return f"{self._name} broke off after {self._offset}{of_all} bytes"

    def _lost(self, why: str | None, hint: str | None = None) -> UnavailableError:
        return UnavailableError(
            f"{self._broke_off()} and cannot be continued", cause=why, hint=hint
        )

    def _another_file(self, why: str) -> IntegrityError:
        return IntegrityError(f"{self._name} is another file now", cause=why)


def _validator(headers: Mapping[str, str]) -> str | None:
    """Return what If-Range may carry: a strong ETag, else a Last-Modified that is strong.

    A date is strong where the answer is younger by enough that a second change cannot have got
    the same date (RFC 9110, 8.8.2.2), and only to be used where there is no ETag, not even a weak
    one (13.1.5).
    """
    if tag := re.fullmatch(r'(W/)?"[^"]*"', headers.get("ETag", "")):
        return None if tag[1] else tag[0]
    try:
        modified, sent = (parsedate_to_datetime(headers[key]) for key in ("Last-Modified", "Date"))
        return headers["Last-Modified"] if sent - modified >= SETTLED else None
    except (KeyError, TypeError, ValueError):  # TypeError: only one of them has a time zone
        return None


def _file_name(url: "httpx.URL") -> str | None:
    """Return the last segment of the path, as a server's file name, None when it is empty."""
    segment = url.raw_path.partition(b"?")[0].rpartition(b"/")[2]
    return os.fsdecode(unquote_to_bytes(segment)) or None


def _log(reason: str, attempt: int, of: int) -> None:
    log.info("%s, retry %d of %d", reason, attempt, of)
