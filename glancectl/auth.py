"""Log in: clouds.yaml and OS_* become a token and the image endpoint.

The only importer of openstack.config, keystoneauth1 and keystoneclient, and only inside the
functions that log in: a command with a valid cached token imports none of them.
"""

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glancectl import retry, tokens
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

SANDBOX_CLOUDS = ("sandbox", "sandbox-admin", "sandbox-other")
NO_CREDENTIALS_HINT = (
    "name an entry of clouds.yaml with --cloud or OS_CLOUD, or set OS_AUTH_URL and the other OS_* "
    "variables; to try glancectl without a cloud: glancectl sandbox up"
)


log = logging.getLogger("glancectl")


@dataclass(frozen=True)
class Settings:
    """How to reach the cloud, as the global options and their variables say.

    timeout: seconds for one request. retries: tries after the first.
    """

    cloud: str | None = None
    region: str | None = None
    interface: str | None = None
    endpoint: str | None = None
    cacert: str | None = None
    insecure: bool = False
    timeout: float = 60.0
    retries: int = 4
    use_token_cache: bool = True


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

        Only a cached token is worth a second try: one that was issued a moment ago would be
        refused again, and a token given by OS_TOKEN cannot be renewed.
        """
        with self._lock:
            if self._access is refused and self.from_cache:
                tokens.forget(self._key)
                self._access = self._log_in()
            return self._access is not refused

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


def sandbox_clouds() -> Path:
    """Return where a running sandbox leaves the clouds.yaml of its three clouds."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "glancectl" / "sandbox" / "clouds.yaml"


def cloud_files() -> list[Path]:
    """Return the existing files that configure clouds, first those that variables name."""
    named = [os.environ.get("OS_CLIENT_CONFIG_FILE"), os.environ.get("OS_CLIENT_SECURE_FILE")]
    searched = [*_candidates("clouds"), *_candidates("secure"), *_candidates("clouds-public")]
    found = [Path(name) for name in (*named, *searched) if name]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _candidates(stem: str) -> list[str]:
    """Return where a file of openstack.config may be, in its order.

    Worked out here, since the cached token depends on these files too and openstack.config is not
    imported when there is one.
    """
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    site = [Path(d) for d in (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    under = [d / "openstack" for d in (config, Path("~/.config").expanduser(), *site)]
    folders = dict.fromkeys([Path.cwd(), *under, Path("/etc/openstack")])
    return [str(d / f"{stem}{end}") for d in folders for end in (".yaml", ".yml", ".json")]


def find_project(login: Login, project: str) -> str:
    """Return the id of ``project``, an id or a name, as Keystone knows it.

    Ordinary users may not look projects up; then the ones they belong to are searched, and an id
    that is not among them is taken as it is. Raises NotFoundError for what does not exist,
    RefusedError for a name that several projects have, AuthError for a name that cannot be looked
    up.
    """
    from keystoneauth1 import exceptions as ks
    from keystoneclient.v3.client import Client

    if _ready_made(login.settings) is not None:
        return _unchecked_project(project)
    with _keystone_errors(), closing(_cloud_region(login.settings).get_session()) as session:
        keystone = Client(session=session, interface=login.settings.interface or "public")
        try:
            return _one_project(project, _projects(keystone, project))
        except ks.Forbidden:
            mine = [p.id for p in keystone.auth.projects() if project in (p.id, p.name)]
    return _one_project(project, mine) if mine else _unchecked_project(project)


def _projects(keystone: Any, project: str) -> list[str]:
    """Return the ids of the projects that have this id or this name."""
    from keystoneauth1 import exceptions as ks

    if _looks_like_project_id(project):
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
    if _looks_like_project_id(project):
        return project
    raise AuthError(
        f"project names cannot be looked up with these credentials: {project!r}",
        hint="use the project's id",
    )


def _looks_like_project_id(text: str) -> bool:
    """Tell whether ``text`` has the form of Keystone's ids: 32 hex digits, dashes or not."""
    digits = text.replace("-", "")
    return len(digits) == 32 and all(c in "0123456789abcdef" for c in digits.lower())


def _fingerprint(settings: Settings) -> str:
    """Return the cache key: it changes with any identity, scope, cloud file or variable."""
    digest = hashlib.sha256(repr(sorted(asdict(settings).items())).encode())
    relevant = ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "SNAP_REAL_HOME")
    for name, value in sorted(os.environ.items()):
        if name.startswith("OS_") or name in relevant:
            digest.update(os.fsencode(f"\0{name}={value}"))
    for path in [*cloud_files(), sandbox_clouds()]:
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
        region = _cloud_region(settings)
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


def _cloud_region(settings: Settings) -> "CloudRegion":
    """Return openstack.config's view of the chosen cloud, its auth plugin loaded."""
    from openstack.config.loader import OpenStackConfig
    from openstack.exceptions import ConfigException

    options: dict[str, Any] = {"api_timeout": settings.timeout}
    if settings.interface:
        options["interface"] = settings.interface
    if settings.insecure:
        options["verify"] = False
    elif settings.cacert:
        options["cacert"] = settings.cacert
    try:
        config = OpenStackConfig(
            app_name="glancectl",
            config_files=_candidates("clouds"),
            secure_files=_candidates("secure"),
            vendor_files=_candidates("clouds-public"),
        )
        cloud = settings.cloud or config.default_cloud
        if cloud in SANDBOX_CLOUDS and cloud not in config.get_cloud_names():
            config = _sandbox_config(cloud)
        elif cloud and cloud not in config.get_cloud_names():
            raise _no_such_cloud(cloud, config.get_cloud_names())
        with contextlib.suppress(ConfigException):
            return config.get_one(cloud=cloud, region_name=settings.region, **options)
        # openstack.config only knows the regions that the cloud's entry names; the catalogue,
        # which is asked later, knows all.
        return config.get_one(cloud=cloud, **options)
    except ConfigException as error:
        raise UsageError("the cloud configuration cannot be used", cause=str(error)) from None


def _sandbox_config(cloud: str) -> Any:
    from openstack.config.loader import OpenStackConfig

    path = sandbox_clouds()
    if not path.exists():
        raise UsageError(f"no sandbox is running: cloud {cloud!r}", hint="glancectl sandbox up")
    # Only the sandbox's own file: OS_* variables of another cloud must not leak into it.
    return OpenStackConfig(config_files=[str(path)], secure_files=[], load_envvars=False)


def _no_such_cloud(cloud: str, known: list[str]) -> UsageError:
    files = ", ".join(str(path) for path in cloud_files()) or "no clouds.yaml was found"
    names = ", ".join(sorted(set(known) - {"defaults", "envvars"}))
    return UsageError(
        f"no cloud {cloud!r} in clouds.yaml",
        cause=f"files looked at: {files}",
        hint=f"clouds there are: {names}" if names else NO_CREDENTIALS_HINT,
    )


def _revoke(auth_url: str, token: str, verify: bool | str) -> None:
    """Ask Keystone to revoke the token (Identity API v3, DELETE /v3/auth/tokens)."""
    from keystoneauth1.identity import Token
    from keystoneauth1.session import Session

    session = Session(Token(auth_url, token=token), verify=verify)
    with _keystone_errors(), closing(session):
        session.delete(
            f"{auth_url.rstrip('/').removesuffix('/v3')}/v3/auth/tokens",
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
