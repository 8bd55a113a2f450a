"""Files of this user's cache: mode 0600 in folders of mode 0700, replaced atomically.

A file that others could read or write, or that belongs to somebody else, is not trusted; symlinks
are not followed, and nobody can put another folder in the place of one that is open.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking: opening a FIFO would wait for somebody to write.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def cache(name: str) -> Path:
    """Return the path of a folder of the cache: ``$XDG_CACHE_HOME/glancectl/NAME``.

    A relative XDG_CACHE_HOME counts as none (XDG Base Directory Specification): it would leave
    files in whatever directory a command runs in.
    """
    given = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "")
    home = given if os.path.isabs(given) else os.path.expanduser("~/.cache")
    return Path(home) / "glancectl" / name


def read(path: Path, *, most: int, within: float | None = None) -> bytes:
    """Return what a file holds, at most ``most`` bytes of it.

    within: seconds since it was written, after which it counts as absent, as one of the future
    does. Raises OSError when it is absent, or not to be trusted.
    """
    with _opened(path.parent) as folder:
        handle = os.open(path.name, _READ, dir_fd=folder)
        try:
            status = os.fstat(handle)
            if not (stat.S_ISREG(status.st_mode) and _is_private(folder) and _is_private(handle)):
                raise PermissionError("not a file of this user alone")
            if within is not None and not 0 <= time.time() - status.st_mtime < within:
                raise FileNotFoundError("too old")
            with open(handle, "rb", closefd=False) as file:
                return file.read(most)
        finally:
            os.close(handle)


def write(path: Path, text: str, *, keep: float) -> None:
    """Write a file, and remove those of its folder that are older than ``keep`` seconds.

    Halves that killed writers left are among them. Raises OSError.
    """
    with _opened(path.parent, make=True) as folder:
        if not _is_private(folder):
            os.fchmod(folder, 0o700)
        part = f"{path.name}.{os.urandom(8).hex()}.tmp"
        handle = os.open(part, _CREATE, 0o600, dir_fd=folder)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(part, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(part, dir_fd=folder)
            raise
        _sweep(folder, keep)


def remove(path: Path) -> None:
    """Remove a file. Raises OSError."""
    with _opened(path.parent) as folder:
        os.unlink(path.name, dir_fd=folder)


@contextlib.contextmanager
def _opened(path: Path, *, make: bool = False) -> Iterator[int]:
    """Open a folder; neither it nor the one it is in may be a symlink.

    make: make what is missing of them. Raises OSError when it cannot be opened or belongs to
    somebody else.
    """
    if not path.is_absolute():
        raise FileNotFoundError("there is no home directory")
    if make:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(path.parent, _FOLDER)
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path.name, 0o700, dir_fd=parent)
        folder = os.open(path.name, _FOLDER, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        if os.fstat(folder).st_uid != os.getuid():
            raise PermissionError("the folder belongs to somebody else")
        yield folder
    finally:
        os.close(folder)


def _is_private(handle: int) -> bool:
    """Tell whether an open file or directory is this user's, and no others may read or write it."""
    status = os.fstat(handle)
    return status.st_uid == os.getuid() and not status.st_mode & 0o077


def _sweep(folder: int, keep: float) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            # OSError: another process was faster, or it is a directory.
            with contextlib.suppress(OSError):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > keep and entry.name.endswith((".json", ".tmp")):
                    os.unlink(entry.name, dir_fd=folder)
