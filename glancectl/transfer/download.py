"""Payload out: the data of an image into a file or a stream, verified.

A file appears under its name only when it is whole and its digest holds; until then the bytes are
in ``.NAME.<first 8 of the id>.part`` beside it.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from glancectl.api import Glance, Image
from glancectl.errors import IntegrityError, NotFoundError, RefusedError
from glancectl.terminal import UNSAFE, human_size, shell_line
from glancectl.transfer.digest import Digests, file_digest, recorded
from glancectl.transfer.fetch import Fetch, whole
from glancectl.transfer.pace import Pace
from glancectl.transfer.part import Part, opened
from glancectl.transfer.progress import Progress

NAME_MAX = 200  # bytes of a made-up file name; file systems allow 255, and the .part needs some
SUFFIX_MAX = 20  # characters of it that the disk format takes
DEVICES = Path("/dev")
# What a file name shall not have: separators, and what cannot be shown or encoded.
_UNFIT = re.compile(rf"{UNSAFE.pattern}|[/\\\ud800-\udfff]")
_END = re.compile(r"[.\s]+$")
# Names of devices wherever Windows looks, which may open a shared folder.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)


def target(record: Image, dest: str | None) -> Path:
    """Return the path that DEST, a file, a directory or nothing, means for this image.

    Without a file name in it, the name is made from the image's own. Raises RefusedError when the
    folder does not exist, or cannot be looked into.
    """
    path = Path(dest or ".")
    with _file_errors(str(path)):
        if path.is_dir():
            path = path / file_name(record)
        elif dest and dest.endswith(("/", "/.")):
            raise RefusedError(f"no such directory: {dest}")
        if not path.parent.is_dir():
            raise RefusedError(f"no such directory: {path.parent}")
    return path


def file_name(record: Image) -> str:
    """Return a name for the image's data that stays in its folder and surprises nobody.

    Path separators, control characters and leading dots, dashes and spaces become ``_``; the disk
    format is the suffix. No dots or spaces are at the end, where some file systems drop them.
    """
    suffix = _UNFIT.sub("_", f".{record.get('disk_format') or ''}")[:SUFFIX_MAX]
    suffix = _END.sub("", suffix)
    name = _UNFIT.sub("_", record.get("name") or record["id"])
    name = re.sub(r"^[.\-~\s]+", lambda found: "_" * len(found.group()), name)
    if _RESERVED.match(name):
        name = f"_{name}"
    stem = name.removesuffix(suffix).encode()[: NAME_MAX - len(suffix.encode())]
    return _END.sub("", stem.decode("utf-8", "ignore").rstrip() + suffix)


@dataclass(frozen=True)
class Options:
    """How to download.

    verify: compare the digest with the record. prefer: stores to read from if they can. pace: how
    fast. For files: overwrite another one; resume what an earlier run has left, and leave it for
    the next; connections: how many at once; sparse: make holes of zeros in a raw image.
    """

    verify: bool = True
    prefer: Sequence[str] = ()
    pace: Pace = field(default_factory=lambda: Pace(None))
    overwrite: bool = False
    resume: bool = True
    connections: int = 1
    sparse: bool = True


def part_of(path: Path, image_id: str) -> Path:
    """Return where the data of an image are until they are whole and get the name ``path``."""
    return path.with_name(f".{path.name}.{image_id[:8]}.part")


def to_stream(
    glance: Glance, record: Image, out: BinaryIO, progress: Progress, options: Options
) -> None:
    """Write the image's data to ``out`` and judge it at the end.

    Raises IntegrityError after the fact: a reader of a pipe has the bytes already.
    """
    fetch = Fetch(glance, record, progress, options.prefer, options.pace)

    def written() -> Iterator[bytes]:
        for chunk in whole(fetch):
            out.write(chunk)
            yield chunk

    with _file_errors("standard output"):
        _require_data(glance, record)
        digest = _judge(record, written(), progress, verify=options.verify)
        out.flush()
    progress.done(digest)


def to_file(
    glance: Glance, record: Image, path: Path, progress: Progress, options: Options
) -> dict[str, object]:
    """Download into ``path`` and return what was done: status downloaded, resumed or unchanged.

    A file that is there already and has the right digest is left as it is. What has arrived when
    something breaks, or a signal comes, stays in the ``.part`` for the next run, and the error
    says so. Raises RefusedError when another file is in the way or the disk is full,
    IntegrityError when the data do not match the record; then no ``.part`` is left.
    """
    sparse = options.sparse and record.get("disk_format") == "raw"
    with _file_errors(str(path)):
        unfinished = part_of(path, str(record["id"]))
        if not unfinished.exists() and _already_there(record, path, options.overwrite):
            return _result(record, path, "unchanged")
        _require_data(glance, record)
        with opened(unfinished, record, progress, sparse=sparse) as part:
            # Whoever held the lock before may have finished the job.
            if _already_there(record, path, options.overwrite):
                part.path.unlink()
                return _result(record, path, "unchanged")
            with _leaving(part, record, path, options):
                digest = _fill(glance, record, part, progress, options)
                part.finish()
                _publish(part.path, path, options.overwrite)
            status = "resumed" if part.kept else "downloaded"
    progress.done(digest)
    return _result(record, path, status)


@contextlib.contextmanager
def _leaving(part: Part, record: Image, path: Path, options: Options) -> Iterator[None]:
    """Keep the ``.part`` after an error that another run can mend, and say how; else remove it."""
    try:
        yield
    except BaseException as error:
        hopeless = isinstance(error, IntegrityError | NotFoundError)
        if hopeless or not options.resume or not part.count() or not part.keep():
            part.path.unlink(missing_ok=True)
        else:
            dest = f"./{path}" if str(path).startswith("-") else str(path)
            overwrite = ["--overwrite"] if options.overwrite else []
            words = ["glancectl", "image", "download", str(record["id"]), dest, *overwrite]
            command = shell_line(words)
            error.add_note(
                f"{human_size(part.count())} of {human_size(part.size)} are kept in {part.path}, "
                f"to be continued with: {command}"
            )
        raise


def _fill(
    glance: Glance, record: Image, part: Part, progress: Progress, options: Options
) -> str | None:
    """Get what the ``.part`` lacks and return the digest that then holds, as ``_judge`` does."""
    if not options.resume:
        part.clear()
    _check_space(part, part.path.parent)
    fetch = Fetch(glance, record, progress, options.prefer, options.pace)
    if part.kept:
        progress.resume(part.kept)
    try:
        return _judge(
            record, whole(fetch, part, options.connections), progress, verify=options.verify
        )
    except IntegrityError:
        if not part.kept:
            raise
    progress.note("what was kept of an earlier download does not fit: from the start again")
    progress.restart()
    part.clear()
    return _judge(record, whole(fetch, part, options.connections), progress, verify=options.verify)


def _judge(
    record: Image, chunks: Iterator[bytes], progress: Progress, *, verify: bool
) -> str | None:
    """Exhaust ``chunks``, all of an image's data, and compare their digest with the record.

    Returns the digest that holds, as ``algorithm:hex``; None when there was none to compare.
    """
    expected = recorded(record) if verify else None
    progress.phase("downloading")
    with Digests([expected[0]] if expected else []) as digests:
        for chunk in chunks:
            digests.update(chunk)
        progress.phase("verifying")
        if expected:
            _check_digest(record, expected, digests.results()[expected[0]])
    if expected is None and verify:
        progress.note("only the size was verified: the record has no digest")
    return ":".join(expected) if expected else None


def _require_data(glance: Glance, record: Image) -> None:
    """Let Glance say why an image that has no size has no data."""
    if record.get("size") is None:
        with glance.open_data(str(record["id"])):
            raise RefusedError(f"image {record['id']} has no size in its record")


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
    if (path.exists() and not path.is_file()) or path.parent.resolve() == DEVICES:
        # Renaming over a device or a pipe, or a link to one (/dev/stdout), would destroy it, not
        # write to it.
        raise RefusedError(f"{path} is no regular file", hint="- writes the data to stdout")
    if overwrite:
        return False
    raise RefusedError(f"{path} exists and is another file", hint="--overwrite replaces it")


def _publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give the verified file its name; without ``overwrite`` never in place of another."""
    if overwrite:
        os.replace(part, path)
    else:
        try:
            os.link(part, path)
        except FileExistsError:
            raise RefusedError(
                f"{path} appeared during the download", hint="--overwrite replaces it"
            ) from None
        except OSError:  # a file system without hard links
            os.rename(part, path)
        part.unlink(missing_ok=True)
    # The file is there; a folder that one may write to but not read cannot be asked for more.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _check_space(part: Part, folder: Path) -> None:
    missing = part.size - part.count()
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise RefusedError(
            f"not enough space in {folder}",
            cause=f"{human_size(missing)} are to come, {human_size(free)} are free",
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
        refused = RefusedError(message, cause=error.strerror)
        for note in getattr(error, "__notes__", ()):
            refused.add_note(note)
        raise refused from None


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
