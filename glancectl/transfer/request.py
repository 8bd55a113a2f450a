"""How a GET is sent: redirects followed with care, credentials, secrets kept out of every text."""

import contextlib
import netrc
import os
import re
import socket
from collections.abc import Iterator, Mapping

import httpx

from glancectl import __version__
from glancectl.errors import (
    GlancectlError,
    IntegrityError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from glancectl.redact import redact, redact_urls

CONNECT_TIMEOUT = 10.0  # seconds
MAX_REDIRECTS = 10

_HTML_TYPES = ("text/html", "application/xhtml+xml")
# What the system says of a connection that no other try will bring about.
_LASTING = ("CERTIFICATE_VERIFY_FAILED", f"[Errno {socket.EAI_NONAME}]")


def open_client(timeout: float) -> httpx.Client:
    """Return a client with the proxies and the CA bundle of the environment.

    timeout: seconds to wait for any byte. Raises UsageError when the environment cannot be used.
    """
    try:
        return httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            headers={"User-Agent": f"glancectl/{__version__}", "Accept": "*/*"},
            follow_redirects=False,
        )
    # Their texts may quote the proxy's password. ImportError: a SOCKS proxy, OSError: no CA bundle.
    except (ImportError, OSError, ValueError, httpx.InvalidURL):
        raise UsageError(
            "a proxy or the CA bundle named in the environment cannot be used",
            hint="see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE",
        ) from None


def parse(url: str) -> httpx.URL:
    """Return a URL taken apart. Raises UsageError for what is none."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):  # its text quotes the part, maybe of a password
        parsed = None
    if parsed is None or not _has_host(parsed):
        raise UsageError(
            f"{redact(url)} is not a valid URL",
            hint="percent-encode what a password has besides letters",
        )
    return parsed


def _has_host(url: httpx.URL) -> bool:
    """Tell whether a URL names a host that may be looked up: not ``a..b`` or a broken ``xn--``."""
    try:
        return bool(url.host) and bool(url.raw_host.decode().encode("idna"))  # as sockets do
    except UnicodeError:
        return False


def get(
    client: httpx.Client, url: httpx.URL, given: Mapping[str, str], own: Mapping[str, str]
) -> httpx.Response:
    """Send GET, follow redirects, and return the answer, its body not read yet.

    given: the user's headers; they and the user's password go to the first origin alone. own:
    headers for whoever answers in the end.
    Raises UsageError for a header that HTTP does not allow and a ~/.netrc that cannot be used,
    RefusedError for a redirect that is not safe, UnavailableError when no answer comes.
    """
    authorized = any(name.lower() == "authorization" for name in given)
    auth = None if authorized else _userinfo(url) or _netrc_login(url.host, typed=True)
    seen = {url.host}
    for _ in range(MAX_REDIRECTS + 1):
        response = _send(client, url, given, own, auth)
        if not response.has_redirect_location:
            return response
        response.close()
        target = _redirect_target(url, response)
        if origin(target) == origin(url):
            auth = _userinfo(target) or auth
        else:
            given = {}
            _forget_own_cookies(client)
            auth = _userinfo(target)
            # A password for a host is not for its other ports, nor for the way back to it.
            if auth is None and target.host not in seen:
                auth = _netrc_login(target.host, typed=False)
        seen.add(target.host)
        url = target
    raise RefusedError(f"{redact(str(url))} is redirected more than {MAX_REDIRECTS} times")


def _send(
    client: httpx.Client,
    url: httpx.URL,
    given: Mapping[str, str],
    own: Mapping[str, str],
    auth: httpx.BasicAuth | None,
) -> httpx.Response:
    request = _build(client, url, given, own)
    if "Authorization" in request.headers:
        auth = None  # what was said outright counts more than the URL
    with _http_errors(redact(str(url)), "cannot be reached"):
        return client.send(request, stream=True, auth=auth)


def _build(
    client: httpx.Client, url: httpx.URL, given: Mapping[str, str], own: Mapping[str, str]
) -> httpx.Request:
    try:
        encoded = [(os.fsencode(key), os.fsencode(value)) for key, value in given.items()]
        request = client.build_request("GET", url.copy_with(userinfo=b""), headers=encoded)
    except UnicodeError:
        raise _bad_header() from None
    # A compressed transfer would have another size and digest than the file.
    request.headers.update({"Accept-Encoding": "identity", **own})
    return request


def _redirect_target(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    name = redact(str(url))
    target = url.join(response.headers["Location"])  # which ``send`` has found to be a URL
    if target.scheme not in ("http", "https") or not _has_host(target):
        raise RefusedError(f"{name} is redirected to something that is not http:// or https://")
    if url.scheme == "https" and target.scheme == "http":
        raise RefusedError(
            f"{name} is redirected from https to http, to {redact(str(target))}",
            hint="give the http:// URL if you trust it, with --checksum",
        )
    return target


# Credentials


def _forget_own_cookies(client: httpx.Client) -> None:
    """Drop the cookies that servers have set for themselves alone.

    Cookies know no ports (RFC 6265, 8.5), and may stand for the password that was given. Those of
    a whole domain are kept: signed cookies for the server that has the file.
    """
    for cookie in list(client.cookies.jar):
        if not cookie.domain_specified:
            client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


def _userinfo(url: httpx.URL) -> httpx.BasicAuth | None:
    return httpx.BasicAuth(url.username, url.password) if url.userinfo else None


def _netrc_login(host: str, *, typed: bool) -> httpx.BasicAuth | None:
    """Return what ~/.netrc has for a host; its ``default`` is only for a host that was typed.

    Raises UsageError when the file cannot be read or others may read it.
    """
    path = os.path.expanduser("~/.netrc")
    if not os.path.exists(path):
        return None
    try:
        logins = netrc.netrc().hosts
    except netrc.NetrcParseError as error:  # its text quotes words, maybe a password
        if error.lineno is None:
            raise UsageError(
                f"{path} belongs to somebody else or may be read by others",
                hint=f"chmod 600 {path}",
            ) from None
        # The line is counted after the word, so that it may be the one behind it.
        raise UsageError(
            f"{path} is not valid at line {error.lineno} or the one before",
            hint="machine HOST login USER password PASSWORD",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: no text; it would quote the bytes
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{path} cannot be read", cause=cause) from None
    default = logins.pop("default", None)
    user, _account, password = logins.get(host) or (typed and default) or ("", "", "")
    return httpx.BasicAuth(user, password or "") if user or password else None


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return what two URLs must agree in to share credentials (RFC 6454)."""
    return url.scheme, url.host, url.port  # httpx drops the scheme's own port


# Answers


def check(response: httpx.Response, *, going_on: bool) -> None:
    """Refuse an answer that does not carry the file as it is.

    going_on: the rest of a file is asked for, so that 206 will do.
    Raises UnavailableError for 429 and 5xx, IntegrityError for a web page, else RefusedError.
    """
    name = redact(str(response.url))
    if response.status_code != 200 and not (going_on and response.status_code == 206):
        raise _status_error(name, response, going_on)
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type in _HTML_TYPES:
        raise web_page(name)
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise RefusedError(
            f"{name} is sent with Content-Encoding {coding}, though asked for as it is",
            hint="fetch it with another program and give the file",
        )


def _status_error(name: str, response: httpx.Response, going_on: bool) -> GlancectlError:
    status = response.status_code
    message = f"{name} does not answer with a file"
    # Not the server's own phrase, which may repeat what it was sent.
    cause = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
    if status != 429 and status < 500:
        return RefusedError(message, cause=cause, status=status)
    error = UnavailableError(message, cause=cause, status=status)
    error.may_pass = going_on or status in (429, 502, 503, 504)
    error.retry_after = response.headers.get("Retry-After")
    return error


def web_page(name: str) -> IntegrityError:
    return IntegrityError(
        f"{name} answers with an HTML page, not an image",
        hint="give the address behind the download link",
    )


def body(response: httpx.Response, name: str) -> Iterator[bytes]:
    """Yield the body as it comes. Raises UnavailableError when it breaks off."""
    with _http_errors(name, "broke off"):
        yield from response.iter_raw()


# Errors


@contextlib.contextmanager
def _http_errors(name: str, what: str) -> Iterator[None]:
    """Turn httpx's exceptions into ours; URLs in their texts lose their secrets."""
    try:
        yield
    except httpx.LocalProtocolError:
        raise _bad_header() from None
    except httpx.TimeoutException as error:
        kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
        raise passing(f"{name} {what}: no answer in time", kind) from None
    # Of a redirect: httpx reads it even when it does not follow it. UnicodeError: a host's name.
    except (httpx.InvalidURL, UnicodeError):
        raise UnavailableError(f"{name} {what}", cause="it is redirected to no URL") from None
    except httpx.RequestError as error:
        raise _request_error(f"{name} {what}", error) from None


def _bad_header() -> UsageError:
    """Return an error that does not quote the header as httpx does: it may be a token."""
    return UsageError("a --header is not valid in HTTP", hint="--header 'NAME: VALUE'")


def _request_error(message: str, error: httpx.RequestError) -> UnavailableError:
    text = redact_urls(str(error))
    text = text.partition(": bytearray")[0]  # h11 quotes what came, maybe an echo of the request
    text, redirect, _quoted = text.partition(" in location header")  # a part of the URL
    ours = passing(message, text or type(error).__name__)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        ours.hint = "SSL_CERT_FILE names the CA that signed its certificate"
    ours.may_pass = not redirect and not any(words in text for words in _LASTING)
    return ours


def passing(message: str, cause: str) -> UnavailableError:
    """Return an error after which another try may do."""
    error = UnavailableError(message, cause=cause)
    error.may_pass = True
    return error
