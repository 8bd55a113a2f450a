"""HTTP to the image service: timeouts, retries, the one renewal of a refused token, pages."""

import contextlib
import json
import logging
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx

from glancectl import __version__, retry
from glancectl.answer import (
    PASSING,
    TransportError,
    as_list,
    check,
    check_body,
    decode,
    transport_errors,
    unusable,
)
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

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Params = Sequence[tuple[str, str]]
Page = tuple[httpx.Response, list[dict[str, Any]], str | None]

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
        in_doubt: str = "",
    ) -> httpx.Response:
        """Send one request with a JSON body or none and return the answer, read and checked.

        doing: completes "cannot …" in an error. repeatable: whether sending it twice does no
        harm; GET, PUT and DELETE are, others are when the caller says so. What is not repeatable
        is sent again only when it surely was not carried out. in_doubt: added to an error that
        leaves it open whether it was.
        Raises what ``check`` raises, and UnavailableError when the service cannot be reached.
        """
        with transport_errors(doing):
            content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        try:
            response = self._answer(
                method,
                path,
                doing,
                params,
                content,
                {"Accept": "application/json", **_json_type(content), **(headers or {})},
                repeatable=method in ("GET", "PUT", "DELETE") if repeatable is None else repeatable,
            )
            check_body(response)
        except UnavailableError as error:
            if in_doubt and _is_open(error):
                error.add_note(in_doubt)
            raise
        return response

    @contextlib.contextmanager
    def stream(
        self, path: str, *, doing: str, params: Params = (), headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        """Send a GET and hand out its checked answer with the body not read yet.

        Once: the caller knows how much has arrived when it breaks, and where to go on. Only a
        refused token is renewed. Raises what ``request`` raises.
        """
        access = self._log_in()
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
        renewed = False
        while True:
            may_retry = failures < self._settings.retries
            access = self._log_in()
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
            # Once: where the clocks differ by more than a token lasts, each new one looks old.
            if response.status_code == 401 and not renewed and self.login.renew(access):
                renewed = True
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
        access = self._log_in()
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
                timeout=self._patience(read=STORE_TIMEOUT),
            )
        _log_answer(response)
        check(response, doing)
        check_body(response)

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
        ahead: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a list after the one with id ``marker``, at most ``limit`` of them.

        ahead: the next page is asked for while the items of the last one are taken; not for a
        caller who may stop before the end.
        """
        fetch = partial(self._page, path, key, doing, params)
        left = limit
        seen: set[str | None] = {marker} if marker else set()
        with contextlib.ExitStack() as stack:
            pool = None
            following: Callable[[], Page] = partial(fetch, _least(page_size, left), marker)
            while left is None or left > 0:
                response, items, marker = following()
                left = None if left is None else left - len(items)
                circular = marker in seen  # a proxy, say, drops the query of a URL
                seen.add(marker)
                following = partial(fetch, _least(page_size, left), marker)
                if marker is not None and ahead and left != 0 and not circular:
                    pool = pool or _thread(stack)
                    following = pool.submit(following).result
                yield from items
                if marker is None:
                    return
                if circular:
                    raise unusable(response, f"the pages of {key} go round in a circle")

    def _page(
        self, path: str, key: str, doing: str, params: Params, size: int, marker: str | None
    ) -> Page:
        """Return the answer that is the page after ``marker``, its items, and the next marker.

        Only the marker is taken from Glance's ``next``: its query keeps just the last of repeated
        parameters, so that a second page with two tags would be another list.
        """
        query = [*params, ("limit", str(size)), *([("marker", marker)] if marker else [])]
        response = self.request("GET", path, doing=doing, params=query)
        body = decode(response)
        return response, as_list(response, body.get(key), key), _next_marker(response, body)

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

    def _patience(self, **longer: float) -> httpx.Timeout:
        seconds = self._settings.timeout
        return httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT), **longer)

    def _log_in(self) -> Access:
        """Return the login; the error of one that fails says that nothing was sent to Glance."""
        try:
            return self.login.access
        except UnavailableError as error:
            ours = TransportError(
                error.message,
                cause=error.cause,
                hint=error.hint,
                status=error.status,
                request_id=error.request_id,
            )
            ours.unsent, ours.may_pass = True, error.may_pass
            raise ours from None

    def _url(self, access: Access, path: str) -> str:
        return f"{access.endpoint}{path}"

    def _open(self, access: Access) -> httpx.Client:
        """Return the client, made once: a TLS context is expensive and only https needs one."""
        with self._lock:
            if self._client is None:
                self._client = self._new_client(access)
            return self._client

    def _new_client(self, access: Access) -> httpx.Client:
        """Return a client. Raises UsageError when a proxy in the environment cannot be used."""
        verify = _tls(access) if access.endpoint.startswith("https:") else False
        try:
            return httpx.Client(
                verify=verify,
                timeout=self._patience(),
                headers={"User-Agent": f"glancectl/{__version__}"},
                # --jobs and --connections say how many there are; none shall wait for another.
                limits=httpx.Limits(max_connections=None),
            )
        # Their texts may quote the proxy's password. ImportError: a SOCKS proxy.
        except (ImportError, ValueError, httpx.InvalidURL):
            raise UsageError(
                "a proxy named in the environment cannot be used",
                hint="see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY",
            ) from None

    def _pause(self, attempt: int, doing: str, why: str, retry_after: str | None = None) -> None:
        seconds = retry.delay(attempt, retry_after)
        tries = f"{attempt} of {self._settings.retries}"
        log.info("cannot %s (%s), retry %s in %.1f s", doing, why, tries, seconds)
        time.sleep(seconds)


def _least(page_size: int, left: int | None) -> int:
    return page_size if left is None else min(page_size, left)


def _thread(stack: contextlib.ExitStack) -> "ThreadPoolExecutor":
    """Return a thread to give work to; nobody waits for what it has not done in the end."""
    from concurrent.futures import ThreadPoolExecutor  # seldom needed, and slow to import

    pool = ThreadPoolExecutor(1)
    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    return pool


def _next_marker(response: httpx.Response, body: Mapping[str, Any]) -> str | None:
    """Return the marker of the page after the one that ``body`` is, None when it is the last."""
    following = body.get("next")
    if following is None:
        return None
    if not isinstance(following, str):
        raise unusable(response, f"its next page is {following!r}")
    try:
        markers = parse_qs(urlsplit(following).query).get("marker")
    except ValueError as error:
        raise unusable(response, f"its next page is no URL: {error}") from None
    return markers[-1] if markers else None


def _check(response: httpx.Response, doing: str, *, retried: bool) -> None:
    """Do what ``check`` does, let go of a refused answer, and note whether it was asked before."""
    try:
        check(response, doing)
    except GlancectlError as error:
        response.close()
        error.retried = retried
        raise


def _is_open(error: UnavailableError) -> bool:
    """Tell whether a request may have been carried out though it ended with ``error``."""
    return error.status != 429 and not (isinstance(error, TransportError) and error.unsent)


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
    url = request.url.copy_with(userinfo=b"")
    log.debug("%s %s -> %s", request.method, url, answer.strip())
