"""HTTP to the image service: timeouts, retries, the one renewal of a refused token, pages."""

import contextlib
import json
import logging
import ssl
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from glancectl import __version__, retry
from glancectl.answer import PASSING, TransportError, as_list, check, decode, transport_errors
from glancectl.auth import Login
from glancectl.errors import (
    GlancectlError,
    UnavailableError,
    UsageError,
)
from glancectl.tokens import Access

CONNECT_TIMEOUT = 10.0  # seconds
# After the last byte of an upload Glance may take minutes to store it before it answers.
STORE_TIMEOUT = 1800.0  # seconds
HURRY = 4.0  # seconds for a request of the clean-up after a signal

Params = Sequence[tuple[str, str]]

log = logging.getLogger("glancectl")


class Rest:
    """Requests to one image endpoint with one login; safe to share between threads."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._settings = login.settings
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    @property
    def retries(self) -> int:
        """How often a request that failed may be tried again."""
        return self._settings.retries

    @property
    def timeout(self) -> float:
        """How many seconds a request may take, and Glance to notice that one was broken off."""
        return self._settings.timeout

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def hurry(self) -> None:
        """Keep what follows short: after a signal, cleaning up has seconds, not minutes."""
        self.close()
        self._settings = replace(self._settings, timeout=HURRY, retries=0)

    def request(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        params: Params = (),
        body: object = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """Send one request with a JSON body or none and return the answer, read and checked.

        doing: completes "cannot …" in an error. repeatable: whether sending it twice does no
        harm; GET, PUT and DELETE are, others are when the caller says so. What is not repeatable
        is sent again only when it surely was not carried out.
        Raises what ``check`` raises, and UnavailableError when the service cannot be reached.
        """
        with transport_errors(doing):
            content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        return self._answer(
            method,
            path,
            doing,
            params,
            content,
            {"Accept": "application/json", **_json_type(content), **(headers or {})},
            repeatable=method in ("GET", "PUT", "DELETE") if repeatable is None else repeatable,
        )

    @contextlib.contextmanager
    def stream(
        self, path: str, *, doing: str, params: Params = (), headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        """Send a GET and hand out its checked answer with the body not read yet.

        Once: the caller knows how much has arrived when it breaks, and where to go on. Only a
        refused token is renewed. Raises what ``request`` raises.
        """
        access = self.login.access
        response = self._send(access, "GET", path, doing, params, None, headers, read=False)
        if response.status_code == 401 and self.login.renew(access):
            response.close()
            access = self.login.access
            response = self._send(access, "GET", path, doing, params, None, headers, read=False)
        try:
            check(response, doing)
            yield response
        finally:
            response.close()

    def _answer(
        self,
        method: str,
        path: str,
        doing: str,
        params: Params,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        repeatable: bool,
    ) -> httpx.Response:
        """Send until an answer comes that is final, and return it checked.

        The body belongs to it: when the connection breaks in that, one more try has failed.
        """
        failures = 0
        while True:
            may_retry = failures < self._settings.retries
            access = self.login.access
            try:
                response = self._send(
                    access, method, path, doing, params, content, headers, read=True
                )
            except UnavailableError as error:
                if not (may_retry and _retry_unsent(error, repeatable)):
                    raise
                failures += 1
                self._pause(failures, doing, str(error.cause))
                continue
            if response.status_code == 401 and self.login.renew(access):
                response.close()
            elif may_retry and _retry_answer(response.status_code, repeatable):
                response.close()
                failures += 1
                status = f"{response.status_code} {response.reason_phrase}"
                self._pause(failures, doing, status, response.headers.get("Retry-After"))
            else:
                _check(response, doing, retried=failures > 0)
                return response

    def send_data(
        self, path: str, chunks: Iterable[bytes], *, doing: str, headers: Mapping[str, str]
    ) -> None:
        """PUT a payload as it comes, once: a streamed body cannot be sent a second time.

        An answer that arrives before the last chunk was sent (413 from a proxy, 401, 409) is
        read and raised with its reason. Raises what ``check`` raises, UnavailableError when the
        connection breaks, and whatever ``chunks`` raises.
        """
        access = self.login.access
        with transport_errors(doing):
            response = self._open(access).request(
                "PUT",
                self._url(access, path),
                content=chunks,
                headers={
                    "Accept": "application/json",
                    **access.headers,
                    **_request_id(),
                    **headers,
                },
                timeout=httpx.Timeout(
                    self._settings.timeout, connect=CONNECT_TIMEOUT, read=STORE_TIMEOUT
                ),
            )
        _log_answer(response)
        check(response, doing)

    def pages(
        self,
        path: str,
        key: str,
        *,
        doing: str,
        params: Params = (),
        limit: int | None = None,
        page_size: int = 1000,
        marker: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a list after the one with id ``marker``, at most ``limit`` of them.

        Only the marker is taken from Glance's ``next``: its query keeps just the last of repeated
        parameters, so that a second page with two tags would be another list.
        """
        left = limit
        while left is None or left > 0:
            size = page_size if left is None else min(page_size, left)
            query = [*params, ("limit", str(size)), *([("marker", marker)] if marker else [])]
            response = self.request("GET", path, doing=doing, params=query)
            body = decode(response)
            items = as_list(response, body.get(key), key)
            yield from items
            if left is not None:
                left -= len(items)
            following = parse_qs(urlsplit(body.get("next") or "").query).get("marker")
            if not following:
                return
            marker = following[-1]

    def _send(
        self,
        access: Access,
        method: str,
        path: str,
        doing: str,
        params: Params,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        read: bool,
    ) -> httpx.Response:
        with transport_errors(doing):
            client = self._open(access)
            request = client.build_request(
                method,
                self._url(access, path),
                params=list(params) or None,
                content=content,
                headers={**access.headers, **_request_id(), **headers},
            )
            response = client.send(request, stream=True)
            if read and response.is_success:  # of an error only the first part matters
                response.read()
        _log_answer(response)
        return response

    def _url(self, access: Access, path: str) -> str:
        return f"{access.endpoint}{path}"

    def _open(self, access: Access) -> httpx.Client:
        """Return the client, made once: a TLS context is expensive and only https needs one."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    verify=_tls(access) if access.endpoint.startswith("https:") else False,
                    timeout=httpx.Timeout(self._settings.timeout, connect=CONNECT_TIMEOUT),
                    headers={"User-Agent": f"glancectl/{__version__}"},
                    # --jobs and --connections say how many there are; none shall wait for another.
                    limits=httpx.Limits(max_connections=None),
                )
            return self._client

    def _pause(self, attempt: int, doing: str, why: str, retry_after: str | None = None) -> None:
        seconds = retry.delay(attempt, retry_after)
        tries = f"{attempt} of {self._settings.retries}"
        log.info("cannot %s (%s), retry %s in %.1f s", doing, why, tries, seconds)
        time.sleep(seconds)


def _check(response: httpx.Response, doing: str, *, retried: bool) -> None:
    """Do what ``check`` does, let go of a refused answer, and note whether it was asked before."""
    try:
        check(response, doing)
    except GlancectlError as error:
        response.close()
        error.retried = retried
        raise


def _retry_unsent(error: UnavailableError, repeatable: bool) -> bool:
    return isinstance(error, TransportError) and (repeatable or error.unsent)


def _retry_answer(status: int, repeatable: bool) -> bool:
    """Tell whether an answer is worth another try; 429 means that nothing was carried out."""
    return status == 429 or (repeatable and status in PASSING)


def _tls(access: Access) -> ssl.SSLContext:
    """Return the TLS context that the login's CA and client certificate make.

    Raises UsageError when one of those files cannot be used.
    """
    ca = access.verify if isinstance(access.verify, str) else None
    files = [access.cert] if isinstance(access.cert, str) else access.cert or []
    try:
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
        else:
            context = httpx.create_ssl_context(verify=bool(access.verify))
        if files:
            context.load_cert_chain(*files)
    except OSError as error:  # ssl.SSLError is one
        names = ", ".join(filter(None, [ca, *files]))
        cause = error.strerror or str(error)
        raise UsageError(f"no certificates can be read from {names}", cause=cause) from None
    return context


def _json_type(content: bytes | None) -> dict[str, str]:
    return {} if content is None else {"Content-Type": "application/json"}


def _request_id() -> dict[str, str]:
    """Return a request id of ours: Glance logs it, so that both sides can be matched."""
    return {"X-Openstack-Request-Id": f"req-{uuid.uuid4()}"}


def _log_answer(response: httpx.Response) -> None:
    request = response.request
    answer = f"{response.status_code} {response.headers.get('x-openstack-request-id', '')}"
    log.debug("%s %s -> %s", request.method, request.url, answer.strip())
