"""Log in: the credentials of a cloud become a token and the image endpoint.

The only importer of keystoneauth1 and keystoneclient, and only inside the functions that log in: a
command with a valid cached token imports neither of them, nor openstack.config.
"""

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glancectl import clouds, retry, tokens
from glancectl.clouds import NO_CREDENTIALS_HINT, Settings
from glancectl.errors import (
    AuthError,
    GlancectlError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from glancectl.tokens import Access

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion

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

    def logout(self) -> None:
        """Forget the cached token of these settings and ask Keystone to revoke it."""
        access = tokens.load(self._key)
        tokens.forget(self._key)
        if access is not None and access.token and access.auth_url:
            _revoke(access.auth_url, access.token, access.verify)

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


def find_project(login: Login, project: str) -> str:
    """Return the id of ``project``, an id or a name, as Keystone knows it.

    Ordinary users may not look projects up; then the ones they belong to are searched, and an id
    that is not among them is taken as it is. Uses the token there is: no login for a lookup.
    Raises NotFoundError for what does not exist, RefusedError for a name that several projects
    have, AuthError for a name that cannot be looked up.
    """
    from keystoneauth1 import exceptions as ks

    with _keystone_errors():
        access = login.access
        try:
            return _find_project(access, project)
        except ks.Unauthorized:  # a cached token that was revoked meanwhile
            if not login.renew(access):
                raise
            return _find_project(login.access, project)


def _find_project(access: Access, project: str) -> str:
    from keystoneauth1 import exceptions as ks
    from keystoneauth1.session import Session
    from keystoneauth1.token_endpoint import Token
    from keystoneclient.v3.client import Client

    if access.token is None or access.auth_url is None:  # there is no Keystone to ask
        return _unchecked_project(project)
    plugin = Token(_identity_url(access.auth_url), access.token)
    cert: Any = tuple(access.cert) if isinstance(access.cert, list) else access.cert
    with closing(Session(plugin, verify=access.verify, cert=cert)) as session:
        keystone = Client(session=session)
        try:
            return _one_project(project, _projects(keystone, project))
        except ks.Forbidden:
            mine = [p.id for p in keystone.auth.projects() if project in (p.id, p.name)]
    return _one_project(project, mine) if mine else _unchecked_project(project)


def _identity_url(auth_url: str) -> str:
    """Return the URL of the Identity API v3 below ``auth_url``, which may have its version."""
    return f"{auth_url.rstrip('/').removesuffix('/v3')}/v3"


def _projects(keystone: Any, project: str) -> list[str]:
    """Return the ids of the projects that have this id or this name."""
    from keystoneauth1 import exceptions as ks

    if looks_like_project_id(project):
        try:
            return [keystone.projects.get(project).id]
        except ks.NotFound:
            pass
    return [found.id for found in keystone.projects.list(name=project)]


def _one_project(project: str, ids: list[str]) -> str:
    match ids:
        case [only]:
            return only
        case []:
            raise NotFoundError(f"no project {project!r}", hint="check: openstack project list")
        case _:
            names = ", ".join(ids)
            raise RefusedError(
                f"{len(ids)} projects are named {project!r}: {names}", hint="use the id"
            )


def _unchecked_project(project: str) -> str:
    if looks_like_project_id(project):
        return project
    raise AuthError(
        f"project names cannot be looked up with these credentials: {project!r}",
        hint="use the project's id",
    )


def looks_like_project_id(text: str) -> bool:
    """Tell whether ``text`` has the form of Keystone's ids: 32 hex digits, dashes or not."""
    digits = text.replace("-", "")
    return len(digits) == 32 and all(c in "0123456789abcdef" for c in digits.lower())


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
    if not token or not settings.endpoint:
        return None
    verify: bool | str = False if settings.insecure else (settings.cacert or True)
    return Access({"X-Auth-Token": token}, _without_version(settings.endpoint), verify=verify)


def _without_version(endpoint: str) -> str:
    """Strip a trailing ``/v2``: catalogues have the endpoint in both forms."""
    import re

    return re.sub(r"/v\d+(\.\d+)?/?$", "", endpoint.rstrip("/")).rstrip("/")


def _log_in(settings: Settings) -> Access:
    """Log in at Keystone, trying again where that can help."""
    for attempt in range(1, settings.retries + 1):
        try:
            return _log_in_once(settings)
        except UnavailableError:
            time.sleep(retry.delay(attempt))
    return _log_in_once(settings)


def _log_in_once(settings: Settings) -> Access:
    with _keystone_errors():
        region = clouds.cloud_region(settings)
        with closing(region.get_session()) as session:
            headers = session.get_auth_headers() or {}
            # Auth types without a catalogue (none, http_basic, admin_token) have no document.
            get_access = getattr(session.auth, "get_access", None)
            document = get_access(session) if get_access else None
        endpoint = (
            settings.endpoint
            or region.get_endpoint("image")
            or _endpoint(region, settings.region, document)
        )
    verify, cert = region.get_requests_verify_args()
    return Access(
        headers=dict(headers),
        endpoint=_without_version(endpoint),
        auth_url=region.get_auth_args().get("auth_url"),
        region=settings.region or region.get_region_name("image"),
        verify=True if verify is None else verify,
        cert=list(cert) if isinstance(cert, tuple) else cert,
        **_identity(document),
    )


def _identity(document: Any) -> dict[str, Any]:
    """Return the fields of Access that tell who logged in, from keystoneauth's AccessInfo."""
    if document is None:
        return {}
    return {
        "expires_at": document.expires.isoformat(),
        "user_id": document.user_id,
        "user": document.username,
        "project_id": document.project_id,
        "project": document.project_name,
        "roles": list(document.role_names),
    }


def _endpoint(region: "CloudRegion", name: str | None, document: Any) -> str:
    """Return the image endpoint that the catalogue has for the region and interface wanted.

    name: the region, when it is not the one of the cloud's entry.
    """
    from keystoneauth1 import exceptions as ks

    if document is None:
        raise UsageError("this auth type has no catalogue", hint="give --endpoint URL")
    catalog = document.service_catalog
    wanted = {"region_name": name or region.get_region_name("image"), "service_type": "image"}
    try:
        url: str = catalog.url_for(interface=region.get_interface("image"), **wanted)
    except ks.EndpointNotFound as error:
        elsewhere = catalog.get_endpoints_data(service_type="image").get("image", [])
        regions = sorted({e.raw_endpoint.get("region") or "?" for e in elsewhere})
        raise NotFoundError(
            "the catalogue has no image endpoint for this region and interface",
            cause=str(error),
            hint=f"regions that have one: {', '.join(regions)}"
            if regions
            else "give --endpoint URL",
        ) from None
    return url


def _revoke(auth_url: str, token: str, verify: bool | str) -> None:
    """Ask Keystone to revoke the token (Identity API v3, DELETE /v3/auth/tokens)."""
    from keystoneauth1.identity import Token
    from keystoneauth1.session import Session

    session = Session(Token(auth_url, token=token), verify=verify)
    with _keystone_errors(), closing(session):
        session.delete(
            f"{_identity_url(auth_url)}/auth/tokens",
            headers={"X-Auth-Token": token, "X-Subject-Token": token},
            authenticated=False,
        )


@contextlib.contextmanager
def _keystone_errors() -> Iterator[None]:
    """Turn keystoneauth's exceptions into ours."""
    from keystoneauth1 import exceptions as ks

    try:
        yield
    except ks.ClientException as error:
        raise _from_keystone(error) from None


def _from_keystone(error: Any) -> GlancectlError:
    from keystoneauth1 import exceptions as ks

    cause = str(error)
    match error:
        case ks.MissingRequiredOptions() | ks.MissingAuthPlugin() | ks.NoMatchingPlugin():
            return AuthError("no credentials to log in with", cause=cause, hint=NO_CREDENTIALS_HINT)
        case ks.HttpError():
            return _from_http(error)
        case ks.SSLError():
            return UnavailableError(
                "Keystone's certificate cannot be verified",
                cause=cause,
                hint="--cacert FILE names the CA that signed it",
            )
        case ks.ConnectTimeout() | ks.ConnectFailure() | ks.ConnectionError():
            return UnavailableError("Keystone cannot be reached", cause=cause)
        case ks.DiscoveryFailure():
            return UnavailableError(
                "OS_AUTH_URL or auth_url is not a Keystone that answers", cause=cause
            )
        case _:
            return AuthError("cannot log in", cause=cause)


def _from_http(error: Any) -> GlancectlError:
    status: int | None = error.http_status
    details = {"cause": str(error), "status": status, "request_id": error.request_id}
    if status == 401:
        return AuthError(
            "Keystone refuses these credentials",
            hint="glancectl auth status shows where they come from",
            **details,
        )
    if status == 403:
        return AuthError("Keystone does not allow this", **details)
    if status is not None and status >= 500:
        return UnavailableError("Keystone is failing", **details)
    return AuthError("Keystone refuses the login", **details)
