"""The token cache on disk: what a login gave, one file for each way of logging in."""

import contextlib
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from glancectl import private

MARGIN = 120.0  # seconds; a token that expires sooner than this is not used
LARGEST = 1 << 20  # bytes that are read of a file; tokens have some hundred, with PKI some thousand
OLD = 24 * 3600.0  # seconds after which a file that no login has renewed is of no more use


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
    """Return where cached tokens live."""
    return private.cache("tokens")


def load(key: str, *, lasting: float = MARGIN) -> Access | None:
    """Return the cached login of ``key``, or None when there is none that may be used.

    lasting: the seconds that it must still be valid for.
    """
    try:
        access = _parsed(private.read(_path(key), most=LARGEST))
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
    with contextlib.suppress(OSError):
        private.write(_path(key), json.dumps(asdict(access)), keep=OLD)


def forget(key: str) -> None:
    """Drop the cached login of ``key``, if there is one."""
    with contextlib.suppress(OSError):
        private.remove(_path(key))


def _path(key: str) -> Path:
    return directory() / f"{key}.json"


def is_sendable(value: object) -> bool:
    """Tell whether ``value`` is a text that a header may carry (RFC 9110, 5.5), in ASCII.

    httpx would quote any other in the text of its exception.
    """
    return isinstance(value, str) and re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", value) is not None


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
