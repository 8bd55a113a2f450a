"""Where a payload comes from: a path, a URL or stdin, as chunks of 1 MiB with a size.

The first 64 KiB are read when a source is opened, so that what is wrong with it comes to light
before anything is sent.
"""

import contextlib
import io
import os
import select
import stat
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote_to_bytes

from glancectl.errors import (
    GaveUpError,
    IntegrityError,
    RefusedError,
    UsageError,
)
from glancectl.redact import SCHEME

if TYPE_CHECKING:
    from glancectl.transfer.checksum import Checksum

CHUNK = 1 << 20  # bytes; httpx sends blocks of 64 KiB a third slower
HEAD = 1 << 16  # bytes; the last magic number looked for is that of ISO 9660, at 32769
TAIL = 512  # bytes

_LONGEST_POLL = float(2**31 - 1)  # milliseconds, poll(2) takes an int

Tell = Callable[[str, int, int], None]


class Source:
    """An open payload: name to show, size in bytes or None, first and last bytes, chunks.

    name: a path, a URL without secrets, or ``stdin``. file_name: the name of the file in it, None
    for stdin. head: the first bytes, up to 64 KiB. tail: the last 512 bytes of a regular file,
    else empty. restartable: ``chunks`` may be called again; is_local: at no cost to a network.
    checksum: what the bytes must hash to, for whoever takes the chunks to judge. tell: called
    with a reason, the number of the try and how many there may be when a connection is made anew.
    Close it, or use it as a context manager.
    """

    def __init__(
        self,
        name: str,
        *,
        read: Callable[[int], bytes],
        head: bytes,
        size: int | None,
        close: Callable[[], None],
        file_name: str | None = None,
        rewind: Callable[[], object] | None = None,
        tail: bytes = b"",
        is_local: bool = False,
        confirm: Callable[[], object] | None = None,
    ) -> None:
        """Take over a stream from which ``head`` has been read.

        read: at most that many bytes, some if there are any left. rewind: back to the start.
        confirm: called after the last byte; raises when what was read is not one file.
        """
        self.name = name
        self.file_name = file_name
        self.size = size
        self.head = head
        self.tail = tail
        self.restartable = rewind is not None
        self.is_local = is_local
        self.checksum: Checksum | None = None
        self.tell: Tell = _say_nothing
        self._read = read
        self._rewind = rewind
        self._confirm = confirm
        self._close = close
        self._begun = False
        self._most: int | None = None  # bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    @property
    def can_start(self) -> bool:
        """Whether ``chunks`` may be called: for the first time, or again."""
        return self.restartable or not self._begun

    def close(self) -> None:
        """Let go of the file or the connection; stdin stays open."""
        self._close()

    def limit(self, most: int) -> None:
        """Refuse more than ``most`` bytes: now when it is known, else once ``chunks`` meets them.

        Raises RefusedError.
        """
        self._most = most
        self._require_room(max(self.size or 0, len(self.head)))

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole payload from its first byte, in blocks of 1 MiB and a last shorter one.

        Raises IntegrityError when there are more or fewer bytes than ``size`` and, after the last
        block, when the file was written to meanwhile; RefusedError when a file cannot be read on
        or has more than its limit, UnavailableError when a connection breaks.
        """
        ahead = self._from_start()
        sent = 0
        while block := fill(self._read, self._room(sent), ahead):
            ahead = b""
            sent += len(block)
            self._require_room(sent)
            # Before the last block is handed on: a server that has got ``size`` bytes is content.
            if sent == self.size and self._read(1):
                raise _miscounted(self.name, self.size, sent + 1, self.is_local)
            yield block
        if self.size is not None and sent < self.size:
            raise _miscounted(self.name, self.size, sent, self.is_local)
        if self._confirm is not None:
            self._confirm()

    def _from_start(self) -> bytes:
        """Go to the start and return what of the payload has been read already."""
        if not self._begun:
            self._begun = True
            return self.head
        if self._rewind is None:
            raise RuntimeError(f"{self.name} can be read only once")
        self._rewind()
        return b""

    def _require_room(self, count: int) -> None:
        """Raise RefusedError when ``count`` bytes are more than there may be."""
        if self._most is not None and count > self._most:
            known = f"it has {self.size}" if self.size is not None else f"{count} have come so far"
            raise RefusedError(
                f"{self.name} has more than the {self._most} bytes that --max-size allows",
                cause=known,
                hint="a larger --max-size, if it is the right source",
            )

    def _room(self, sent: int) -> int:
        return CHUNK if self.size is None else min(CHUNK, self.size - sent)


def _say_nothing(_reason: str, _attempt: int, _of: int) -> None:
    """Be what ``Source.tell`` is until somebody listens."""


def open_source(
    spec: str,
    *,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    retries: int = 4,
    allow_empty: bool = False,
) -> Source:
    """Open a path, an ``http(s)://`` or ``file://`` URL, or ``-`` for stdin.

    size: bytes the user promises. headers: for the origin of the URL. timeout: seconds to wait
    for the first byte of a pipe, or for any byte of a URL. retries: tries after the first, each
    time that the connection of a URL breaks.
    Raises UsageError for what is no source, RefusedError for one that cannot be read, is empty or
    has another size, GaveUpError for an idle pipe, UnavailableError for a server that cannot be
    reached, IntegrityError for a web page and for a short stream with another size.
    """
    source = _open(spec, headers or {}, timeout, retries)
    try:
        if not source.head and not allow_empty:
            raise RefusedError(
                f"{source.name} is empty", hint="--allow-empty makes an image without data"
            )
        source.size = _settle_size(source, size)
    except BaseException:
        source.close()
        raise
    return source


def repeatable(name: str, size: int, begin: Callable[[], Generator[bytes, None, None]]) -> Source:
    """Return the source of ``size`` bytes that ``begin`` yields from the first on, each time anew.

    Nothing of it is read yet, so that it has no head.
    """
    stream = _Stream(begin)
    return Source(
        name, read=stream.read, head=b"", size=size, close=stream.close, rewind=stream.rewind
    )


class _Stream:
    """The bytes that a generator yields, at most as many at a time as asked for."""

    def __init__(self, begin: Callable[[], Generator[bytes, None, None]]) -> None:
        self._begin = begin
        self._parts = begin()
        self._left = b""

    def read(self, count: int) -> bytes:
        data = self._left or next(self._parts, b"")
        self._left = data[count:]
        return data[:count]

    def rewind(self) -> None:
        self.close()
        self._parts, self._left = self._begin(), b""

    def close(self) -> None:
        self._parts.close()


def _open(spec: str, headers: Mapping[str, str], timeout: float, retries: int) -> Source:
    if spec == "-":
        return _open_file("stdin", _stdin(), timeout)
    match = SCHEME.match(spec)
    scheme = match[1].lower() if match else None
    if scheme in ("http", "https"):
        from glancectl.transfer.web import open_url  # it builds on Source

        return open_url(spec, headers, timeout, retries)
    if scheme == "file":
        path = _path_of_url(spec)
        return _open_file(path, path, timeout)
    if scheme and not os.path.exists(spec):
        raise UsageError(
            f"SOURCE cannot be {scheme}://",
            hint="a path, http://, https://, file://, or - for stdin",
        )
    if not spec:
        raise UsageError("SOURCE is empty", hint="a path, a URL, or - for stdin")
    return _open_file(spec, spec, timeout)


def _stdin() -> int:
    """Return stdin's descriptor; where Python found it closed, 0, which then cannot be read."""
    return sys.stdin.fileno() if sys.stdin else 0


def _path_of_url(url: str) -> str:
    """Return the path of a ``file`` URL (RFC 8089); ``?`` and ``#`` are part of it."""
    host, slash, path = url[len("file://") :].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise UsageError("a file:// URL names a file of another machine", hint="file:///PATH")
    return os.fsdecode(unquote_to_bytes(slash + path))


def _settle_size(source: Source, asked: int | None) -> int | None:
    """Return the size in bytes if it can be known, after comparing with what was asked."""
    whole = len(source.head) < HEAD  # the stream ended in it
    if source.size is None and asked is None:
        return len(source.head) if whole else None
    if source.size is None:
        size = asked or 0
    elif asked in (None, source.size):
        size = source.size
    else:
        raise RefusedError(
            f"{source.name} has {source.size} bytes, not the {asked} that --size says"
        )
    if len(source.head) > size or (whole and len(source.head) < size):
        raise _miscounted(source.name, size, len(source.head), source.is_local)
    return size


def _miscounted(name: str, size: int, seen: int, is_local: bool) -> IntegrityError:
    what = f"ended after {seen} of {size} bytes" if seen < size else f"goes on after {size} bytes"
    if is_local:
        return IntegrityError(f"{name} {what}", hint="something else writes to it; try again later")
    return IntegrityError(f"{name} {what}", hint="--size must be the exact number of bytes")


def fill(read: Callable[[int], bytes], count: int, ahead: bytes = b"") -> bytes:
    """Return ``ahead`` and what follows it, ``count`` bytes in all or fewer at the end."""
    parts = [ahead] if ahead else []
    missing = count - len(ahead)
    while missing > 0 and (part := read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)  # of one part: that part, not a copy


# Files and pipes


def _open_file(name: str, where: str | int, timeout: float) -> Source:
    """Open a path, or a descriptor that stays open; ``timeout`` seconds for the first byte."""
    with contextlib.ExitStack() as stack:
        with _file_errors(name):
            file = stack.enter_context(
                open(where, "rb", buffering=0, opener=_opener, closefd=isinstance(where, str))
            )
            status = os.fstat(file.fileno())
        if file.isatty():
            raise UsageError(
                f"{name} is a terminal, not an image", hint="name a file, or pipe the data in"
            )
        read = partial(_read_file, file, name)
        if stat.S_ISREG(status.st_mode):
            return _seekable(name, file, read, stack, end=status.st_size, since=status)
        if stat.S_ISBLK(status.st_mode):
            return _seekable(name, file, read, stack, end=None, since=None)
        if isinstance(where, str):
            os.set_blocking(file.fileno(), True)
        if not _readable(file, timeout):
            raise GaveUpError(
                f"nothing arrived on {name} within {timeout:g} seconds, so nothing was done",
                hint="--timeout SECONDS waits longer",
            )
        head = fill(read, HEAD)
        return Source(
            name,
            read=read,
            head=head,
            size=None,
            close=stack.pop_all().close,
            file_name=os.path.basename(where) if isinstance(where, str) else None,
        )


def _seekable(
    name: str,
    file: io.FileIO,
    read: Callable[[int], bytes],
    stack: contextlib.ExitStack,
    *,
    end: int | None,
    since: os.stat_result | None,
) -> Source:
    """Return a source for a file or a block device, from where it stands now to its end.

    Descriptor 0 may stand anywhere: ``(read line; glancectl …) < FILE``. end: the size in bytes
    of a regular file, None for a device, which tells it by seeking only. since: the state that a
    regular file shall keep while it is read.
    """
    with _file_errors(name):
        start = file.tell()
        size = (file.seek(0, os.SEEK_END) if end is None else end) - start
        file.seek(start)
        head = fill(read, HEAD)
        tail = b""
        if end is not None and size > 0:
            tail = os.pread(file.fileno(), TAIL, max(start, end - TAIL))
    return Source(
        name,
        read=read,
        head=head,
        # Files of /proc and /sys have bytes and say that they have none.
        size=None if head and size <= 0 else max(size, 0),
        close=stack.pop_all().close,
        file_name=None if name == "stdin" else os.path.basename(name),
        rewind=partial(file.seek, start),
        tail=tail,
        is_local=True,
        confirm=partial(_refuse_changed, file, name, since) if since else None,
    )


def _refuse_changed(file: io.FileIO, name: str, since: os.stat_result) -> None:
    """Raise IntegrityError when a file is not what it was at ``since``."""
    now = os.fstat(file.fileno())
    if (now.st_mtime_ns, now.st_size) != (since.st_mtime_ns, since.st_size):
        raise IntegrityError(
            f"{name} was changed while it was read",
            hint="something else writes to it; try again later",
        )


def _opener(path: str, flags: int) -> int:
    """Open without waiting for the writer of a FIFO, and without adopting a terminal."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _read_file(file: io.FileIO, name: str, count: int) -> bytes:
    with _file_errors(name):
        # None: a stdin that another program (ssh, node) has left non-blocking has nothing now.
        while (data := file.read(count)) is None:
            _readable(file, None)
        return data


def _readable(file: io.FileIO, timeout: float | None) -> bool:
    """Wait until there are bytes or the end; timeout in seconds. Tell whether that came."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(None if timeout is None else min(timeout * 1000, _LONGEST_POLL)))


@contextlib.contextmanager
def _file_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        cause = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"cannot read {name}", cause=cause) from None
