"""The token cache on disk: what a login gave, one file for each way of logging in.

Files are mode 0600 in a directory of mode 0700 and replaced atomically. A cache that others could
read or write, or that belongs to somebody else, is not trusted; symlinks are not followed.
"""

import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

MARGIN = 120.0  # seconds; a token that expires sooner than this is not used
LARGEST = 1 << 20  # bytes that are read of a file; tokens have some hundred, with PKI some thousand
OLD = 24 * 3600.0  # seconds after which a file that no login has renewed is of no more use

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking: opening a FIFO would wait for somebody to write.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Access:
    """What a login gave: how to call Glance, who is calling, and until when.

    headers: sent with each request (``X-Auth-Token``, or what another auth type needs).
    endpoint: base URL of the image service, without ``/v2``. expires_at: ISO 8601 or None.
    verify: True, False, or the path of a CA file. cert: client certificate, or with its key.
    """

    headers: dict[str, str] = field(repr=False)
    endpoint: str
    expires_at: str | None = None
    auth_url: str | None = None
    region: str | None = None
    user_id: str | None = None
    user: str | None = None
    project_id: str | None = None
    project: str | None = None
    roles: list[str] = field(default_factory=list)
    verify: bool | str = True
    cert: str | list[str] | None = None

    @property
    def token(self) -> str | None:
        """The Keystone token, or None where the auth type has none."""
        return self.headers.get("X-Auth-Token")

    def remaining(self) -> float:
        """Return how many seconds the token is still valid; infinite when unknown."""
        if self.expires_at is None:
            return float("inf")
        return (datetime.fromisoformat(self.expires_at) - datetime.now(UTC)).total_seconds()


def directory() -> Path:
    """Return where cached tokens live: ``$XDG_CACHE_HOME/glancectl/tokens``.

    A relative XDG_CACHE_HOME counts as none (XDG Base Directory Specification): it would leave
    tokens in whatever directory a command runs in.
    """
    given = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "")
    cache = given if os.path.isabs(given) else os.path.expanduser("~/.cache")
    return Path(cache) / "glancectl" / "tokens"


def load(key: str, *, lasting: float = MARGIN) -> Access | None:
    """Return the cached login of ``key``, or None when there is none that may be used.

    lasting: the seconds that it must still be valid for.
    """
    try:
        with _folder() as folder, _opened(f"{key}.json", folder) as file:
            if not (_is_private(folder) and _is_private(file.fileno())):
                return None
            access = _parsed(file.read(LARGEST))
            return access if access.remaining() > lasting else None
    # Absent, or not what store() writes.
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def store(key: str, access: Access) -> None:
    """Keep ``access`` under ``key``; a cache that cannot be written is done without.

    So it is where a URL has a password, which would outlive the token.
    """
    if "@" in f"{access.endpoint} {access.auth_url}":
        return
    with contextlib.suppress(OSError), _folder(make=True) as folder:
        if not _is_private(folder):
            os.fchmod(folder, 0o700)
        part = f"{key}.{os.urandom(8).hex()}.tmp"
        handle = os.open(part, _CREATE, 0o600, dir_fd=folder)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(access), file)
            os.replace(part, f"{key}.json", src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(part, dir_fd=folder)
            raise
        _sweep(folder)


def forget(key: str) -> None:
    """Drop the cached login of ``key``, if there is one."""
    with contextlib.suppress(OSError), _folder() as folder:
        os.unlink(f"{key}.json", dir_fd=folder)


def is_sendable(value: object) -> bool:
    """Tell whether ``value`` is a text that a header may carry (RFC 9110, 5.5), in ASCII.

    httpx would quote any other in the text of its exception.
    """
    return isinstance(value, str) and re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", value) is not None


@contextlib.contextmanager
def _folder(*, make: bool = False) -> Iterator[int]:
    """Open the directory of cached tokens, so that nobody can put another in its place.

    Neither it nor the one it is in may be a symlink. make: make what is missing of them. Raises
    OSError when it cannot be opened or belongs to somebody else.
    """
    path = directory()
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
            raise PermissionError("the token cache belongs to somebody else")
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def _opened(name: str, folder: int) -> Iterator[BinaryIO]:
    """Open a regular file in ``folder``. Raises OSError when it is anything else."""
    handle = os.open(name, _READ, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("no regular file")
        with open(handle, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(handle)


def _is_private(handle: int) -> bool:
    """Tell whether an open file or directory is this user's, and no others may read or write it."""
    status = os.fstat(handle)
    return status.st_uid == os.getuid() and not status.st_mode & 0o077


def _parsed(content: bytes) -> Access:
    """Return the login that a file holds.

    Raises ValueError, TypeError or RecursionError when it holds something else.
    """
    access = Access(**json.loads(content))
    names = (access.auth_url, access.region, access.user_id, access.user, access.project_id)
    certs = access.cert if isinstance(access.cert, list) else [access.cert]
    is_sound = (
        isinstance(access.headers, dict)
        and all(re.fullmatch("[A-Za-z0-9-]+", name) for name in access.headers)
        and all(map(is_sendable, access.headers.values()))
        and isinstance(access.endpoint, str)
        and all(name is None or isinstance(name, str) for name in (*names, access.project, *certs))
        and isinstance(access.roles, list)
        and all(isinstance(role, str) for role in access.roles)
        and isinstance(access.verify, bool | str)
    )
    if not is_sound:
        raise TypeError("not what a login gives")
    return access


def _sweep(folder: int) -> None:
    """Remove what no login has renewed for long: expired tokens, and halves of killed writers."""
    with os.scandir(folder) as entries:
        for entry in entries:
            # OSError: another process was faster, or it is a directory.
            with contextlib.suppress(OSError):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > OLD and entry.name.endswith((".json", ".tmp")):
                    os.unlink(entry.name, dir_fd=folder)
