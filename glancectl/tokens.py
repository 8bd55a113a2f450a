"""The token cache on disk: what a login gave, one file for each way of logging in.

Files are mode 0600 in a directory of mode 0700 and replaced atomically. A cache that others could
read or write is not trusted: it is dropped and made again.
"""

import contextlib
import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

MARGIN = 120.0  # seconds; a token that expires sooner than this is not used


@dataclass(frozen=True)
class Access:
    """What a login gave: how to call Glance, who is calling, and until when.

    headers: sent with each request (``X-Auth-Token``, or what another auth type needs).
    endpoint: base URL of the image service, without ``/v2``. expires_at: ISO 8601 or None.
    verify: True, False, or the path of a CA file. cert: client certificate, or with its key.
    """

    headers: dict[str, str]
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
    """Return where cached tokens live: ``$XDG_CACHE_HOME/glancectl/tokens``."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "glancectl" / "tokens"


def load(key: str) -> Access | None:
    """Return the cached login of ``key``, or None when there is none that may be used."""
    path = directory() / f"{key}.json"
    try:
        if not _private(path.parent.lstat()):
            return None
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            if not _private(os.fstat(file.fileno())):
                return None
            access = Access(**json.load(file))
            return access if access.remaining() > MARGIN else None
    except (OSError, ValueError, TypeError):  # absent, or not what store() writes
        return None


def store(key: str, access: Access) -> None:
    """Keep ``access`` under ``key``; a cache that cannot be written is done without."""
    folder = directory()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not _private(folder.lstat()):
            folder.chmod(0o700, follow_symlinks=False)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")  # mode 0600
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(access), file)
            os.replace(name, folder / f"{key}.json")
        except BaseException:
            os.unlink(name)
            raise


def forget(key: str) -> None:
    """Drop the cached login of ``key``, if there is one."""
    with contextlib.suppress(OSError):
        (directory() / f"{key}.json").unlink()


def _private(status: os.stat_result) -> bool:
    """Tell whether only this user may read or write a file or directory that is no symlink."""
    is_plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return is_plain and status.st_uid == os.getuid() and not status.st_mode & 0o077
