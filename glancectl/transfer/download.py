"""Payload out: the data of an image into a file or a stream, verified.

A file appears under its name only when it is whole and its digest holds; until then the bytes are
in ``.NAME.<first 8 of the id>.part`` beside it.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from glancectl.answer import transport_errors
from glancectl.api import Glance, Image
from glancectl.errors import IntegrityError, RefusedError, UnavailableError
from glancectl.terminal import human_size
from glancectl.transfer.digest import Digests, file_digest, hashing, recorded
from glancectl.transfer.progress import Progress

CHUNK = 1 << 20  # bytes
NAME_MAX = 200  # bytes of a made-up file name; file systems allow 255, and the .part needs some


def target(record: Image, dest: str | None) -> Path:
    """Return the path that DEST, a file, a directory or nothing, means for this image.

    Without a file name in it, the name is made from the image's own. Raises RefusedError when the
    folder does not exist.
    """
    path = Path(dest or ".")
    if path.is_dir():
        path = path / file_name(record)
    elif dest and dest.endswith("/"):
        raise RefusedError(f"no such directory: {dest}")
    if not path.parent.is_dir():
        raise RefusedError(f"no such directory: {path.parent}")
    return path


def file_name(record: Image) -> str:
    """Return a name for the image's data that stays in its folder and surprises nobody.

    Path separators, control characters and leading dots and dashes become ``_``; the disk format
    is the suffix.
    """
    name = str(record.get("name") or record["id"])
    name = re.sub(r"[\x00-\x1f\x7f-\x9f/\\\u200e\u200f\u2028-\u202e\u2066-\u2069]", "_", name)
    name = re.sub(r"^[.\-~ ]+", lambda found: "_" * len(found.group()), name)
    disk_format = record.get("disk_format")
    suffix = f".{disk_format}" if disk_format else ""
    stem = name.removesuffix(suffix) if suffix else name
    cut = stem.encode("utf-8", "replace")[: NAME_MAX - len(suffix)].decode("utf-8", "ignore")
    return (cut.rstrip() or str(record["id"])) + suffix


def to_stream(
    glance: Glance,
    record: Image,
    out: BinaryIO,
    progress: Progress,
    *,
    verify: bool,
    prefer: Sequence[str] = (),
) -> None:
    """Write the image's data to ``out`` and judge it at the end.

    prefer: stores to read from. Raises IntegrityError after the fact: a reader of a pipe has the
    bytes already.
    """
    with _file_errors("standard output"):
        digest = _receive(glance, record, out, progress, verify=verify, prefer=prefer)
        out.flush()
    progress.done(digest)


def to_file(
    glance: Glance,
    record: Image,
    path: Path,
    progress: Progress,
    *,
    overwrite: bool = False,
    verify: bool = True,
    prefer: Sequence[str] = (),
) -> dict[str, object]:
    """Download into ``path`` and return what was done, ``status`` downloaded or unchanged.

    A file that is there already and has the right digest is left as it is. prefer: stores to read
    from. Raises RefusedError when another file is in the way or the disk is full, IntegrityError
    when the data do not match the record; then nothing is left under ``path``, and no ``.part``.
    """
    part = path.with_name(f".{path.name}.{str(record['id'])[:8]}.part")
    with _file_errors(str(path)):
        if _already_there(record, path, overwrite):
            return _result(record, path, "unchanged")
        with _locked(part, progress) as file:
            # Whoever held the lock before may have finished the job.
            if _already_there(record, path, overwrite):
                part.unlink()
                return _result(record, path, "unchanged")
            try:
                file.truncate(0)
                _check_space(record, path.parent)
                digest = _receive(glance, record, file, progress, verify=verify, prefer=prefer)
                file.flush()
                os.fsync(file.fileno())
                _publish(part, path, overwrite)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
    progress.done(digest)
    return _result(record, path, "downloaded")


def _receive(
    glance: Glance,
    record: Image,
    out: BinaryIO,
    progress: Progress,
    *,
    verify: bool,
    prefer: Sequence[str],
) -> str | None:
    """Stream the data into ``out``, then compare size and digest with the record.

    Returns the digest that holds, as ``algorithm:hex``; None when there was none to compare.
    """
    expected = recorded(record) if verify else None
    progress.phase("downloading")
    received = 0
    with Digests([expected[0]] if expected else []) as digests:
        image_id = str(record["id"])
        doing = f"download image {image_id}"
        with glance.open_data(image_id, prefer) as response, transport_errors(doing):
            for chunk in progress.wrap(hashing(response.iter_raw(CHUNK), digests)):
                received += len(chunk)
                out.write(chunk)
        progress.phase("verifying")
        _check_size(record, received)
        if expected:
            _check_digest(record, expected, digests.results()[expected[0]])
        elif verify:
            progress.note("only the size was verified: the record has no digest")
        return ":".join(expected) if expected else None


def _check_size(record: Image, received: int) -> None:
    size = record.get("size")
    if size is None or received == size:
        return
    if received < size:
        raise UnavailableError(
            f"the download of image {record['id']} broke off",
            cause=f"{received} of {size} bytes arrived",
        )
    raise IntegrityError(
        f"image {record['id']} is not what its record says",
        cause=f"{received} bytes arrived, the record says {size}",
    )


def _check_digest(record: Image, expected: tuple[str, str], found: str) -> None:
    if found != expected[1]:
        raise IntegrityError(
            f"the data of image {record['id']} do not match its record",
            cause=f"{expected[0]} expected {expected[1]}, got {found}",
        )


def _already_there(record: Image, path: Path, overwrite: bool) -> bool:
    """Tell whether ``path`` has the image's data already.

    Raises RefusedError when something else is there and may not be overwritten.
    """
    if not os.path.lexists(path):
        return False
    expected = recorded(record)
    same_size = path.is_file() and path.stat().st_size == record.get("size")
    if same_size and expected and file_digest(path, expected[0]) == expected[1]:
        return True
    if not (path.is_file() or path.is_symlink()):
        # Renaming over a device or a pipe would destroy it, not write to it.
        raise RefusedError(f"{path} is no regular file", hint="- writes the data to stdout")
    if overwrite:
        return False
    raise RefusedError(f"{path} exists and is another file", hint="--overwrite replaces it")


@contextlib.contextmanager
def _locked(part: Path, progress: Progress) -> Iterator[BinaryIO]:
    """Open the ``.part`` for this process alone; wait for another one that has it."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(part, flags, 0o666), "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.note(f"waiting for another download of {part.name}")
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(file, part):
                yield file
                return
        # The one before renamed or removed it while this one waited: begin again.


def _is_still(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give the verified file its name; without ``overwrite`` never in place of another."""
    if overwrite:
        os.replace(part, path)
    else:
        try:
            os.link(part, path)
            part.unlink()
        except FileExistsError:
            raise RefusedError(
                f"{path} appeared during the download", hint="--overwrite replaces it"
            ) from None
        except OSError:  # a file system without hard links
            os.rename(part, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_space(record: Image, folder: Path) -> None:
    size = record.get("size") or 0
    free = shutil.disk_usage(folder).free
    if size > free:
        raise RefusedError(
            f"not enough space in {folder}",
            cause=f"the image has {human_size(size)}, {human_size(free)} are free",
        )


@contextlib.contextmanager
def _file_errors(path: str) -> Iterator[None]:
    """Turn what the file system says into a sentence; a reader gone is no failure of a file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        message = f"no space left for {path}" if full else f"cannot write {path}"
        raise RefusedError(message, cause=error.strerror) from None


def _result(record: Image, path: Path, status: str) -> dict[str, object]:
    expected = recorded(record)
    return {
        "id": record["id"],
        "name": record.get("name"),
        "path": str(path),
        "size": record.get("size"),
        "digest": ":".join(expected) if expected else None,
        "status": status,
    }
