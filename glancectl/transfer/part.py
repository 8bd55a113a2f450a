"""The ``.part`` file of a download: what has arrived of which image, for this run or the next.

Each byte of the image is at its own place. Behind them is a note in JSON that says which image they
belong to and which of them are there; it is cut off before the file gets its name.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from glancectl.api import Image
from glancectl.errors import RefusedError
from glancectl.transfer.digest import recorded
from glancectl.transfer.progress import Progress

CHUNK = 1 << 20  # bytes
HOLE = 1 << 15  # bytes; a shorter run of zeros is not worth a hole
WRITE_BACK = 64 << 20  # bytes after which the disk is told to begin
_NOTE = 4096  # bytes that the note takes, unless it needs more
_NOTE_MOST = 1 << 20  # bytes; what is behind an image and longer is no note
_ZEROS = bytes(HOLE)
_IN_THE_WAY = "remove it, or choose another folder"

Span = tuple[int, int]  # from the first byte up to, not with, the last


class Part:
    """An open ``.part`` that this process alone has; threads may write to it.

    path: where it is. kept: how many bytes of the image were in it when it was opened.
    """

    def __init__(self, file: FileIO, path: Path, record: Image, *, sparse: bool) -> None:
        """Take over a file with what it has of this image. sparse: zeros become holes."""
        self.path = path
        self.size = int(record.get("size") or 0)
        self._file = file
        self._sparse = sparse
        digest = recorded(record)
        self._identity = {
            "id": str(record["id"]),
            "size": self.size,
            "digest": ":".join(digest) if digest else None,
        }
        self._lock = threading.Lock()
        self._finished = False
        self._note_length = 0  # bytes
        self._write_back = _WriteBack(file)
        self._spans = self._load()
        self.kept = self.count()
        if not self.kept:
            self.clear()

    def close(self) -> None:
        """Let go of the file; a thread that still writes gets a ValueError."""
        with self._lock:  # its number may soon mean another file
            self._write_back.end()
            self._file.close()

    def count(self) -> int:
        """Return how many bytes of the image are there."""
        return sum(end - start for start, end in self._spans)

    def clear(self) -> None:
        """Forget all bytes."""
        with self._lock:
            self._spans, self.kept = [], 0
            self._file.truncate(0)
            self._save()

    def spans(self) -> list[tuple[Span, bool]]:
        """Return the spans that make up the whole, in order, each with whether it is there."""
        found: list[tuple[Span, bool]] = []
        place = 0
        for start, end in [*self._spans, (self.size, self.size)]:
            if place < start:
                found.append(((place, start), False))
            if start < end:
                found.append(((start, end), True))
            place = end
        return found

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``, in chunks of 1 MiB."""
        while start < end:
            chunk = os.pread(self._file.fileno(), min(CHUNK, end - start), start)
            if not chunk:
                raise OSError(0, f"{self.path} was cut short by something else")
            start += len(chunk)
            yield chunk

    def write(self, start: int, chunk: bytes) -> None:
        """Put ``chunk`` in its place. Raises OSError, ValueError once it is finished."""
        with self._lock:
            if self._finished:
                raise ValueError("the file is finished")
            place = 0
            for begin, end in _runs(chunk) if self._sparse else [(0, len(chunk))]:
                _clear(self._file, start + place, start + begin)
                _write_at(self._file, chunk[begin:end], start + begin)
                place = end
            _clear(self._file, start + place, start + len(chunk))
            self._spans = _joined(self._spans, (start, start + len(chunk)))
            self._save()
        self._write_back.wrote(len(chunk))

    def finish(self) -> None:
        """Leave nothing but the image in the file, and all of it on the disk."""
        with self._lock:
            self._finished = True
        self._write_back.end()
        os.fsync(self._file.fileno())  # while the note is there: it may take long
        self._file.truncate(self.size)
        os.fsync(self._file.fileno())

    def keep(self) -> bool:
        """Write down again what is there, for another run, though it was finished.

        Not once the file has its name, when a note would be part of it; tell whether it was done.
        """
        with self._lock:
            alone = os.fstat(self._file.fileno()).st_nlink == 1
            if alone and _is_still(self._file, self.path):
                self._save()
                return True
            return False

    def _load(self) -> list[Span]:
        """Return the spans of this very image that are there; none when they may be another's."""
        length = self._file.seek(0, os.SEEK_END) - self.size
        if not 0 < length <= _NOTE_MOST:
            return []
        try:
            note = json.loads(os.pread(self._file.fileno(), length, self.size))
            spans = [(int(start), int(end)) for start, end in note.pop("spans")]
        # No note, or none of ours.
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return []
        places = [place for span in spans for place in span]
        in_order = places == sorted(set(places)) and all(0 <= p <= self.size for p in places)
        return spans if in_order and note == self._identity else []

    def _save(self) -> None:
        note = json.dumps({**self._identity, "spans": self._spans}).encode()
        _write_at(self._file, note.ljust(_NOTE), self.size)
        if max(len(note), _NOTE) != self._note_length:  # seldom: it would wait for the disk
            self._note_length = max(len(note), _NOTE)
            self._file.truncate(self.size + self._note_length)


@contextlib.contextmanager
def opened(path: Path, record: Image, progress: Progress, *, sparse: bool) -> Iterator[Part]:
    """Open the ``.part`` at ``path`` for this process alone; wait for another one that has it.

    Raises RefusedError when something else is there, or none can be made.
    """
    while True:
        with _open(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.note(f"waiting for another download of {path.name}")
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink > 1:
                # Who had it was killed while it gave the file its name, which that now has.
                path.unlink(missing_ok=True)
            elif _is_still(file, path):
                with contextlib.closing(Part(file, path, record, sparse=sparse)) as part:
                    yield part
                return
        # The one before renamed or removed it while this one waited: begin again.


def _open(path: Path) -> FileIO:
    """Open the file at ``path``, made now or there already; not one that another user put there.

    Who may write to the folder, as all may to /tmp, could else keep a hand on what becomes the
    image. The owner of the folder is trusted, as the kernel does (sysctl fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        while True:
            with contextlib.suppress(FileExistsError):
                return FileIO(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), "r+")
            with contextlib.suppress(FileNotFoundError):  # it has just been removed
                return _trusted(FileIO(os.open(path, flags), "r+"), path)
    except OSError as error:
        raise _unusable(path, error) from None


def _trusted(file: FileIO, path: Path) -> FileIO:
    """Return ``file``, or close it and raise RefusedError for what nobody shall write to."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        problem = "is no regular file"
    elif status.st_uid not in (os.geteuid(), path.parent.stat().st_uid):
        problem = "belongs to another user"
    else:
        return file
    file.close()
    raise RefusedError(f"{path} {problem}", hint=_IN_THE_WAY)


def _unusable(path: Path, error: OSError) -> RefusedError:
    """Return what it means that ``path`` cannot be opened."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return RefusedError(f"no space left for {path}", cause=error.strerror)
        case errno.ELOOP | errno.EISDIR | errno.ENXIO:  # a symbolic link, a directory, a socket
            return RefusedError(f"{path} is no regular file", hint=_IN_THE_WAY)
        case _:
            return RefusedError(f"cannot write {path}", cause=error.strerror)


def _is_still(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


class _WriteBack:
    """Have the disk work while the network does, so that the last fsync has little left to do."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._waiting = 0  # bytes
        self._due = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    def wrote(self, count: int) -> None:
        """Count bytes that were written; every 64 MiB the disk is told."""
        self._waiting += count
        if self._waiting < WRITE_BACK:
            return
        self._waiting = 0
        self._due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="write-back", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Let the thread end; nobody waits for it."""
        self._ended = True
        self._due.set()

    def _work(self) -> None:
        # What cannot be written is told by the last fsync, or by the file being closed.
        with contextlib.suppress(OSError, ValueError):
            while self._due.wait() and not self._ended:
                self._due.clear()
                os.fdatasync(self._file.fileno())


def _runs(chunk: bytes) -> Iterator[Span]:
    """Yield the parts of ``chunk`` that hold more than zeros."""
    begin = None
    for at in range(0, len(chunk), HOLE):
        length = len(chunk) - at
        empty = chunk.startswith(_ZEROS if length >= HOLE else _ZEROS[:length], at)
        if begin is not None and empty:
            yield begin, at
            begin = None
        elif begin is None and not empty:
            begin = at
    if begin is not None:
        yield begin, len(chunk)


def _clear(file: FileIO, start: int, end: int) -> None:
    """Leave zeros from ``start`` up to ``end``: holes where nothing was ever written."""
    while start < end:
        try:
            start = os.lseek(file.fileno(), start, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # there is no data from there on
        if start < end:
            stop = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), end)
            _write_at(file, bytes(stop - start), start)
            start = stop


def _joined(spans: list[Span], new: Span) -> list[Span]:
    """Return ``spans``, in order, with ``new`` and what it touches made one."""
    start, end = new
    apart = []
    for span in spans:
        if span[1] < start or end < span[0]:
            apart.append(span)
        else:
            start, end = min(start, span[0]), max(end, span[1])
    return sorted([*apart, (start, end)])


def _write_at(file: FileIO, data: bytes, place: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(file.fileno(), left, place)
        left, place = left[written:], place + written
