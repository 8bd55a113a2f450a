"""A login: the credentials of a cloud, and the token and image endpoint that they have become.

Keystone is asked, and what that needs is imported, when nothing that is there does.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from glancectl import clouds, retry, tokens
from glancectl.clouds import Settings, identity_url, without_version
from glancectl.errors import AuthError, GlancectlError, UnavailableError
from glancectl.tokens import Access

T = TypeVar("T")

log = logging.getLogger("glancectl")


class Login:
    """Credentials that turn into an Access once it is needed, and again when it is refused."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.from_cache = False
        self._key = _fingerprint(settings)
        self._access: Access | None = None
        self._lock = threading.Lock()  # several transfers share one login

    @property
    def access(self) -> Access:
        """The current access: given by variables, cached, or from a login made now."""
        with self._lock:
            if self._access is None:
                self._access = _ready_made(self.settings) or self._load() or self._log_in()
            return self._access

    def renew(self, refused: Access) -> bool:
        """Log in again after a 401 on ``refused``; tell whether there is another token now.

        Worth a second try is a token that was cached or that a long transfer has outlived: one
        issued a moment ago would be refused again, and one given by OS_TOKEN cannot be renewed.
        """
        with self._lock:
            is_old = self.from_cache or refused.remaining() < tokens.MARGIN
            if self._access is refused and is_old:
                tokens.forget(self._key)
                self._access = self._log_in()
            return self._access is not refused

    def ensure_lasts(self, seconds: float) -> None:
        """Log in again when the token would expire within ``seconds`` and a new one would not.

        For what cannot be repeated once it has begun. A token from this process is as new as can
        be, one that was given by OS_TOKEN cannot be renewed.
        """
        access = self.access
        if self.from_cache and access.remaining() < seconds:
            # When nobody can log in right now, the token still does for a while.
            with self._lock, suppress(UnavailableError):
                if self._access is access:
                    self._access = self._log_in()

    def logout(self) -> bool:
        """Forget the cached token of these settings and ask Keystone to revoke it.

        Returns whether there was one. What Keystone may not have done is added to the error.
        """
        from glancectl import keystone

        access = tokens.load(self._key, lasting=0)
        tokens.forget(self._key)
        if access is None:
            return False
        try:
            keystone.revoke(access, self.settings.timeout)
        except GlancectlError as error:
            until = f" until {access.expires_at}" if access.expires_at else ""
            error.add_note(f"the cached token is forgotten, but may still be valid{until}")
            raise
        return True

    def _load(self) -> Access | None:
        access = tokens.load(self._key) if self.settings.use_token_cache else None
        self.from_cache = access is not None
        return access

    def _log_in(self) -> Access:
        log.info("logging in")
        access = _log_in(self.settings)
        self.from_cache = False
        if self.settings.use_token_cache and access.token is not None:
            tokens.store(self._key, access)
        return access


class CachedLogin(Login):
    """A login that never logs in: the token that is there, or an AuthError.

    identity: whether its endpoint is the Identity API instead of the image service.
    """

    def __init__(self, settings: Settings, *, identity: bool = False) -> None:
        super().__init__(settings)
        self._identity = identity

    @property
    def key(self) -> str:
        """What the token is cached under: another one for any other identity or scope."""
        return self._key

    def renew(self, refused: Access) -> bool:  # noqa: ARG002 - there is nothing to renew it with
        """Leave a refused token as it is."""
        return False

    def _log_in(self) -> Access:
        raise AuthError("no token is cached")

    @property
    def access(self) -> Access:
        """The access that is there without a login. Raises AuthError when there is none."""
        found = super().access
        if not self._identity:
            return found
        if found.auth_url is None:
            raise AuthError("there is no Keystone to ask")
        return replace(found, endpoint=identity_url(found.auth_url))


def find_project(login: Login, project: str) -> str:
    """Return the id of ``project``, an id or a name, as Keystone knows it.

    Ordinary users may not look projects up; then the ones they belong to are searched, and an id
    that is not among them is taken as it is. Uses the token there is: no login for a lookup.
    Raises NotFoundError for what does not exist, RefusedError for a name that several projects
    have, AuthError for a name that cannot be looked up.
    """
    from glancectl import keystone

    access = login.access

    def ask() -> str:
        return keystone.find_project(login.access, project, login.settings.timeout)

    try:
        return _patiently(login.settings, ask)
    except AuthError as error:
        if error.status != 401:
            raise
        refused = error
    if not login.renew(access):
        raise refused
    return _patiently(login.settings, ask)  # that was a cached token, revoked meanwhile


def _fingerprint(settings: Settings) -> str:
    """Return the cache key: it changes with any identity, scope, cloud file or variable."""
    patience = {"timeout": None, "retries": None, "use_token_cache": None}
    digest = hashlib.sha256(repr(asdict(settings) | patience).encode())
    relevant = ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "SNAP_REAL_HOME")
    for name, value in sorted(os.environ.items()):
        if name.startswith("OS_") or name in relevant:
            digest.update(os.fsencode(f"\0{name}={value}"))
    sandbox = [clouds.sandbox_clouds()] if settings.cloud in clouds.SANDBOX_CLOUDS else []
    for path in [*clouds.cloud_files(), *sandbox]:
        digest.update(b"\0" + os.fsencode(path) + b"\0" + _content(path))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _ready_made(settings: Settings) -> Access | None:
    """Return the access that OS_TOKEN and --endpoint give without Keystone, if both are there."""
    token = os.environ.get("OS_TOKEN")
    if not token or not settings.endpoint or settings.project:
        return None
    if not tokens.is_sendable(token):
        raise AuthError("OS_TOKEN is no token: it has a line break, a space at an end, or the like")
    verify: bool | str = False if settings.insecure else (settings.cacert or True)
    return Access({"X-Auth-Token": token}, without_version(settings.endpoint), verify=verify)


def _log_in(settings: Settings) -> Access:
    """Log in at Keystone, trying again where that can help."""
    from glancectl import keystone

    try:
        return _patiently(settings, lambda: keystone.log_in(settings))
    except AuthError as error:
        if settings.project and error.status == 401:  # as for an unknown project
            error.hint = f"check that the user has a role in project {settings.project!r}"
        raise


def _patiently(settings: Settings, ask: Callable[[], T]) -> T:
    """Return what ``ask`` has of Keystone, asking again while that can help."""
    for attempt in range(1, settings.retries + 1):
        try:
            return ask()
        except UnavailableError as error:
            if not error.may_pass:
                raise
            seconds = retry.delay(attempt, error.retry_after)
            tries = f"{attempt} of {settings.retries}"
            log.info("%s (%s), retry %s in %.1f s", error.message, error.cause, tries, seconds)
            time.sleep(seconds)
    return ask()
