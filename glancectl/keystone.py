"""Talk to Keystone: log in, revoke a token, look a project up.

The only importer of keystoneauth1 and keystoneclient, imported itself only when there is something
to ask: a command with a valid cached token is not.
"""

import contextlib
import logging
import ssl
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from glancectl import clouds
from glancectl.clouds import (
    NO_CREDENTIALS_HINT,
    Settings,
    identity_url,
    looks_like_project_id,
    without_version,
)
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

_OWN_PORTS = {"http": ":80", "https": ":443"}
WORDS = 500  # characters of what Keystone says that are repeated
NO_KEYSTONE = "OS_AUTH_URL or auth_url is not a Keystone that answers"

for name in ("keystoneauth", "keystoneclient"):  # else Python prints what they warn of
    logging.getLogger(name).addHandler(logging.NullHandler())


def log_in(settings: Settings) -> Access:
    """Log in once and return the token and the image endpoint.

    Raises AuthError for credentials that do not do, UsageError for settings that cannot, and
    UnavailableError without an answer of a Keystone; ``may_pass`` when another try may help.
    """
    with _keystone_errors():
        region = _region(settings)
        auth_url: str | None = region.get_auth_args().get("auth_url")
        verify, cert = region.get_requests_verify_args()
        if auth_url is not None:
            _require_url(auth_url)
            _require_certificates(auth_url, verify, cert)
        with closing(region.get_session()) as session:
            session.session.hooks["response"].append(_stay_at_origin)
            headers = session.get_auth_headers() or {}
            # Auth types without a catalogue (none, http_basic, admin_token) have no document.
            get_access = getattr(session.auth, "get_access", None)
            document = get_access(session) if get_access else None
        _require_scope(settings, document)
        endpoint = (
            settings.endpoint
            or region.get_endpoint("image")
            or _endpoint(region, settings.region, document)
        )
        return Access(
            headers=dict(headers),
            endpoint=without_version(endpoint),
            auth_url=auth_url,
            region=settings.region or region.get_region_name("image"),
            verify=True if verify is None else verify,
            cert=list(cert) if isinstance(cert, tuple) else cert,
            **_identity(document),
        )


def _require_scope(settings: Settings, document: Any) -> None:
    """Raise AuthError when another project was asked for and the login is not of that."""
    scope = (document.project_id, document.project_name) if document else ()
    if settings.project and settings.project not in scope:
        raise AuthError(
            f"these credentials cannot be used for project {settings.project!r}",
            cause="the login is for " + (f"project {scope[1]!r}" if scope else "no project"),
            hint="name an entry of clouds.yaml that is for that project",
        )


def _region(settings: Settings) -> "CloudRegion":
    """Return openstack.config's view of the cloud. Raises UsageError for an unknown auth type."""
    from keystoneauth1 import exceptions as ks

    try:
        return clouds.cloud_region(settings)
    except ks.NoMatchingPlugin as error:
        where = clouds.origin(settings.cloud, "auth_type")
        raise UsageError(f"{where}: there is no auth type {error.name!r}") from None


def _require_url(auth_url: str) -> None:
    """Raise UsageError for what keystoneauth takes for something else than a URL."""
    try:
        parts = urlsplit(auth_url)
        is_url = parts.scheme in ("http", "https") and bool((parts.hostname or "").encode("idna"))
        is_url = is_url and parts.port != 0
    except ValueError:  # a port that is no number, a label of a host that is empty
        is_url = False
    if not is_url:
        raise UsageError(
            "OS_AUTH_URL or auth_url is not a URL", hint="as in https://keystone.example:5000/v3"
        )


def _require_certificates(
    auth_url: str, verify: object, cert: str | tuple[str, str] | None
) -> None:
    """Raise UsageError for a CA or a certificate that cannot be read; requests does not name it."""
    ca = verify if isinstance(verify, str) else None
    files = [cert] if isinstance(cert, str) else list(cert or ())
    if not auth_url.startswith("https:") or not (ca or files):
        return
    try:
        context = ssl.create_default_context(cafile=ca)
        if files:
            context.load_cert_chain(*files)
    except OSError as error:  # ssl.SSLError is one
        names = ", ".join(filter(None, [ca, *files]))
        cause = error.strerror or str(error)
        raise UsageError(f"no certificates can be read from {names}", cause=cause) from None


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
        "roles": sorted(document.role_names),
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


def revoke(access: Access, timeout: float) -> None:
    """Ask Keystone to revoke the token, if there is one (Identity API v3, DELETE /v3/auth/tokens).

    One that it refuses needs no revoking any more, nor one that it does not find: revoked a moment
    ago, it may pass where Keystone looks who asks, but not where it looks what to revoke.
    """
    from keystoneauth1 import exceptions as ks
    from keystoneauth1.session import Session

    if access.token is None or access.auth_url is None:
        return
    cert: Any = tuple(access.cert) if isinstance(access.cert, list) else access.cert
    session = Session(verify=access.verify, cert=cert, timeout=timeout)
    session.session.hooks["response"].append(_stay_at_origin)
    with _keystone_errors(), closing(session), suppress(ks.Unauthorized):
        try:
            session.delete(
                f"{identity_url(access.auth_url)}/auth/tokens",
                headers={"X-Auth-Token": access.token, "X-Subject-Token": access.token},
                authenticated=False,
            )
        except ks.NotFound as error:
            if "token" not in str(error.message):  # then it is the URL that is not found
                raise


def find_project(access: Access, project: str, timeout: float) -> str:
    """Return the id of a project, an id or a name. timeout: seconds for a request.

    Raises what ``auth.find_project`` says, and the errors of ``log_in``.
    """
    from keystoneauth1 import exceptions as ks
    from keystoneauth1.session import Session
    from keystoneauth1.token_endpoint import Token
    from keystoneclient.v3.client import Client

    if access.token is None or access.auth_url is None:  # there is no Keystone to ask
        return _unchecked_project(project)
    plugin = Token(identity_url(access.auth_url), access.token)
    cert: Any = tuple(access.cert) if isinstance(access.cert, list) else access.cert
    with (
        _keystone_errors(),
        closing(Session(plugin, verify=access.verify, cert=cert, timeout=timeout)) as session,
    ):
        session.session.hooks["response"].append(_stay_at_origin)
        keystone = Client(session=session)
        try:
            return _one_project(project, _projects(keystone, project))
        except ks.Forbidden:
            mine = [p.id for p in keystone.auth.projects() if project in (p.id, p.name)]
    return _one_project(project, mine) if mine else _unchecked_project(project)


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


def _stay_at_origin(response: Any, *_args: object, **_options: object) -> None:
    """Raise RefusedError when Keystone redirects to another origin (RFC 6454).

    A hook of requests. keystoneauth would send the same there: the password, or the token.
    """
    location = response.headers.get("Location")
    if location is None or not 300 < response.status_code < 400:
        return
    target = urljoin(response.url, location)
    if _origin(target) != _origin(response.url):
        response.close()
        raise RefusedError(
            "Keystone redirects to another place, where no credentials are sent",
            hint=f"if you trust it, name it in OS_AUTH_URL or auth_url: {_origin(target)}",
        )


def _origin(url: str) -> str:
    """Return scheme, host and port of a URL, without the user and password it may have."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host.removesuffix(_OWN_PORTS.get(parts.scheme, ' '))}"


@contextlib.contextmanager
def _keystone_errors() -> Iterator[None]:
    """Turn what keystoneauth and keystoneclient raise into our errors; hide what they warn of."""
    from keystoneauth1 import exceptions as ks

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in Python's form, of no use to our users
            yield
    except ks.ClientException as error:
        raise _from_keystone(error) from None
    except OSError as error:  # the files of a CA or a certificate; the network's come as above
        raise UsageError("no certificates can be read", cause=str(error)) from None
    # They leave an answer of another shape to Python.
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise _unusable(f"a part of it is missing or of another kind: {error}") from None


def _unusable(cause: str, status: int | None = None) -> UnavailableError:
    return UnavailableError(
        "the answer is not what an identity API v3 sends",
        cause=cause,
        hint="check OS_AUTH_URL, or auth_url in clouds.yaml",
        status=status,
    )


def _from_keystone(error: Any) -> GlancectlError:
    from keystoneauth1 import exceptions as ks

    cause = _words(error)
    match error:
        case ks.MissingRequiredOptions() | ks.MissingAuthPlugin():
            return AuthError("no credentials to log in with", cause=cause, hint=NO_CREDENTIALS_HINT)
        case ks.HttpError():
            return _from_http(error, cause)
        case ks.InvalidResponse():
            answer = error.response
            kind = answer.headers.get("Content-Type", "no type")
            return _unusable(f"{answer.status_code} {answer.reason}, {kind}", answer.status_code)
        case ks.ConnectionError() | ks.DiscoveryFailure():
            return _unreachable(error)
        case _:
            return AuthError("cannot log in", cause=cause)


def _words(error: Any) -> str:
    """Return what Keystone says, without the passwords that it was sent, should it repeat them."""
    import json
    import re

    words = " ".join(str(error).split())
    request = getattr(getattr(error, "response", None), "request", None)
    sent = str(getattr(request, "body", None))
    for secret in re.findall(r'"(?:password|secret|passcode)": ("(?:[^"\\]|\\.)+")', sent):
        words = words.replace(json.loads(secret), "…")
    return words[:WORDS]


def _unreachable(error: BaseException) -> UnavailableError:
    """Return the error that no answer is, or none of Keystone.

    What the network or the system said is at the bottom of what keystoneauth makes of it.
    """
    while below := error.__cause__ or error.__context__:
        error = below
    cause = " ".join(str(error).split())[:WORDS]
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnavailableError(
            "Keystone's certificate cannot be verified",
            cause=cause,
            hint="--cacert FILE names the CA that signed it",
        )
    if isinstance(error, OSError):
        return _passing(UnavailableError("Keystone cannot be reached", cause=cause))
    return _passing(UnavailableError(NO_KEYSTONE, cause=cause))


def _from_http(error: Any, cause: str) -> GlancectlError:
    status: int | None = error.http_status
    details = {"cause": cause, "status": status, "request_id": error.request_id}
    if status == 401:
        return AuthError(
            "Keystone refuses these credentials",
            hint="glancectl auth status shows where they come from",
            **details,
        )
    if status == 403:
        return AuthError("Keystone does not allow this", **details)
    if status == 404:
        return UnavailableError(NO_KEYSTONE, **details)
    if status == 429:
        return _passing(UnavailableError("Keystone has too many requests", **details), error)
    if status is not None and status >= 500:
        return _passing(UnavailableError("Keystone is failing", **details), error)
    return AuthError("Keystone refuses the login", **details)


def _passing(ours: UnavailableError, error: Any = None) -> UnavailableError:
    """Return ``ours``, noted as one after which another try may do. error: the answer's, if any."""
    ours.may_pass = True
    if error is not None and error.response is not None:
        ours.retry_after = error.response.headers.get("Retry-After")
    return ours
