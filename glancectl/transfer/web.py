"""A payload from the web: GET, redirects followed with care, secrets kept out of every text."""

import contextlib
import os
import re
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
from glancectl.transfer import sniff
from glancectl.transfer.source import HEAD, SCHEME, Source, fill

CONNECT_TIMEOUT = 10.0  # seconds
MAX_REDIRECTS = 10

_HTML_TYPES = ("text/html", "application/xhtml+xml")


def open_url(url: str, headers: Mapping[str, str], timeout: float) -> Source:
    name = redact(url)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(timeout))
        response = _follow(client, _parsed(url), headers)
        stack.callback(response.close)
        _check(response)
        body = _Body(response, name)
        head = fill(body.read, HEAD)
        if sniff.kind(head) == "html":
            raise _web_page(name)
        return Source(
            name,
            read=body.read,
            head=head,
            size=_content_length(response),
            close=stack.pop_all().close,
        )


class _Body:
    """The bytes of an answer, at most as many at a time as asked for."""

    def __init__(self, response: httpx.Response, name: str) -> None:
        self._parts = response.iter_raw()
        self._name = name
        self._left = b""

    def read(self, count: int) -> bytes:
        with _http_errors(self._name, "broke off"):
            data = self._left or next(self._parts, b"")
        self._left = data[count:]
        return data[:count]


def _client(timeout: float) -> httpx.Client:
    """Return a client with the proxies and the CA bundle of the environment."""
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


def _follow(client: httpx.Client, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
    """Send GET and follow redirects; headers and password go to the first origin alone."""
    auth = _basic_auth(url)
    for _ in range(MAX_REDIRECTS + 1):
        response = _get(client, url, headers, auth)
        if not response.has_redirect_location:
            return response
        response.close()
        target = _redirect_target(url, response)
        if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
            headers, auth = {}, None
        url, auth = target, _basic_auth(target) or auth
    raise RefusedError(f"{redact(str(url))} is redirected more than {MAX_REDIRECTS} times")


def _get(
    client: httpx.Client,
    url: httpx.URL,
    headers: Mapping[str, str],
    auth: httpx.BasicAuth | None,
) -> httpx.Response:
    own = [(os.fsencode(key), os.fsencode(value)) for key, value in headers.items()]
    with _http_errors(redact(str(url)), "cannot be reached"):
        request = client.build_request("GET", url.copy_with(userinfo=b""), headers=own)
        # A compressed transfer would have another size and digest than the file.
        request.headers["Accept-Encoding"] = "identity"
        if "Authorization" in request.headers:
            auth = None  # what was said outright counts more than the URL
        return client.send(request, stream=True, auth=auth)


def _redirect_target(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    name = redact(str(url))
    target = url.join(response.headers["Location"])  # which ``send`` has found to be a URL
    if target.scheme not in ("http", "https") or not target.host:
        raise RefusedError(f"{name} is redirected to something that is not http:// or https://")
    if url.scheme == "https" and target.scheme == "http":
        raise RefusedError(
            f"{name} is redirected from https to http, to {redact(str(target))}",
            hint="give the http:// URL if you trust it, with --checksum",
        )
    return target


def _check(response: httpx.Response) -> None:
    """Refuse an answer that does not carry the file as it is."""
    name = redact(str(response.url))
    status = response.status_code
    if status != 200:
        kind: type[GlancectlError] = UnavailableError if status >= 500 else RefusedError
        cause = f"{status} {response.reason_phrase}".strip()
        raise kind(f"{name} does not answer with a file", cause=cause, status=status)
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type in _HTML_TYPES:
        raise _web_page(name)
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise RefusedError(
            f"{name} is sent with Content-Encoding {coding}, though asked for as it is",
            hint="fetch it with another program and give the file",
        )


def _web_page(name: str) -> IntegrityError:
    return IntegrityError(
        f"{name} answers with an HTML page, not an image",
        hint="give the address behind the download link",
    )


def _content_length(response: httpx.Response) -> int | None:
    """Return Content-Length, which means nothing in a chunked answer (RFC 9112, 6.3)."""
    length = response.headers.get("Content-Length", "")
    return (
        int(length) if length.isdecimal() and "Transfer-Encoding" not in response.headers else None
    )


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):  # its text quotes the part, maybe of a password
        parsed = None
    if parsed is None or not parsed.host:
        raise UsageError(
            f"{redact(url)} is not a valid URL",
            hint="percent-encode what a password has besides letters",
        )
    return parsed


def _basic_auth(url: httpx.URL) -> httpx.BasicAuth | None:
    return httpx.BasicAuth(url.username, url.password) if url.userinfo else None


@contextlib.contextmanager
def _http_errors(name: str, what: str) -> Iterator[None]:
    """Turn httpx's exceptions into ours; URLs in their texts lose their secrets."""
    try:
        yield
    except (httpx.LocalProtocolError, UnicodeError):  # the text quotes the header, maybe a token
        raise UsageError("a --header is not valid in HTTP", hint="--header 'NAME: VALUE'") from None
    except httpx.TimeoutException as error:
        kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
        raise UnavailableError(f"{name} {what}: no answer in time", cause=kind) from None
    except httpx.InvalidURL:  # of a redirect: httpx reads it even when it does not follow it
        raise UnavailableError(f"{name} {what}", cause="it is redirected to no URL") from None
    except httpx.RequestError as error:
        text = re.sub(r"[A-Za-z]+://\S*", lambda match: redact(match[0]), str(error))
        text = text.partition(" in location header")[0]  # what follows quotes a part of it
        untrusted = "CERTIFICATE_VERIFY_FAILED" in text
        raise UnavailableError(
            f"{name} {what}",
            cause=text or type(error).__name__,
            hint="SSL_CERT_FILE names the CA that signed its certificate" if untrusted else None,
        ) from None


def redact(url: str) -> str:
    """Return a URL without user, password, query and fragment, for people to read.

    A ``/`` or ``?`` in a password that is not percent-encoded ends the authority too early. So
    where an ``@`` comes later, nothing is shown but a plain host name.
    """
    scheme, rest = SCHEME.match(url), SCHEME.sub("", url, count=1)
    if scheme is None:
        return "…"
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    host = authority.rpartition("@")[2]
    if "@" in rest[len(authority) :]:
        return f"{scheme[0]}{'…' if ':' in host else host}/…"
    return f"{scheme[0]}{host}{slash}{path}"
