"""An answer of the service becomes a value, or the error that it means."""

import contextlib
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx

from glancectl.errors import (
    AuthError,
    GlancectlError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from glancectl.shape import LISTED, Shape
from glancectl.terminal import shell_line

ERROR_BODY = 64 * 1024  # bytes read of an error's body; proxies send whole pages
PASSING = (429, 500, 502, 503, 504)  # statuses after which another try may do


_NO_STORE = r"[Ss]tore( for identifier)? \S+ (is )?not (found|available|configured)"


class TransportError(UnavailableError):
    """No answer came, so that another try may help.

    unsent: the request was surely not carried out, since no connection came about.
    """

    unsent = False
    may_pass = True


def decode(response: httpx.Response, shape: Shape | None = None) -> dict[str, Any]:
    """Return the JSON object that ``response`` carries, when it has ``shape``.

    Raises UnavailableError when it is something else: truncated, or from a proxy.
    """
    body = load(response)
    if not isinstance(body, dict):
        raise unusable(response, f"a JSON {type(body).__name__}")
    if shape is not None:
        _require(response, body, shape)
    return body


def decode_list(response: httpx.Response, key: str) -> list[dict[str, Any]]:
    """Return the list of ``key`` in the JSON object that ``response`` carries.

    Raises UnavailableError when there is none.
    """
    return as_list(response, decode(response).get(key), key)


def as_list(response: httpx.Response, items: object, key: str) -> list[dict[str, Any]]:
    """Return ``items``, a part of the body of ``response``, when it is a list of ``key``.

    Raises UnavailableError when it is something else, or one of them is.
    """
    if not isinstance(items, list):
        raise unusable(response, f"it has no list of {key}")
    if shape := LISTED.get(key):
        for item in items:
            _require(response, item, shape)
    return items


def _require(response: httpx.Response, body: object, shape: Shape) -> None:
    """Raise UnavailableError for a ``body`` that has another shape."""
    if (why := shape.misfit(body)) is not None:
        raise unusable(response, why)


def load(response: httpx.Response) -> Any:
    """Return the JSON that ``response`` carries. Raises UnavailableError when it has none."""
    try:
        return response.json()
    except (ValueError, RecursionError) as error:
        raise unusable(response, str(error)) from None


def check_body(response: httpx.Response) -> None:
    """Raise UnavailableError when an answer that is no error has other text than JSON.

    A proxy that wants a login answers with a page and 200. Taken for Glance's own, where that
    answers with nothing, it would say that what was asked for is done.
    """
    if not response.content:
        return
    if "json" not in response.headers.get("Content-Type", "json"):
        raise unusable(response, reason(response))
    if response.request.method != "GET":  # which is read by whoever asked
        load(response)


def check(response: httpx.Response, doing: str) -> None:
    """Raise the error that a status means; the only place where statuses are judged.

    The meanings are Glance's (a 403 can come from the image's own state, a 415 means that the
    data contradict ``disk_format``); ``doing`` completes "cannot …". Reads the body of an error.
    """
    status = response.status_code
    if status < 300:
        return
    cause = reason(response)
    kind, why = _meaning(status, cause)
    error = kind(
        f"cannot {doing}: {why}",
        cause=cause or f"{status} {response.reason_phrase}",
        hint=_hint(status, cause, response),
        status=status,
        request_id=response.headers.get("x-openstack-request-id"),
    )
    if isinstance(error, UnavailableError):
        error.may_pass = status in PASSING
        error.retry_after = response.headers.get("Retry-After")
    raise error


def _meaning(status: int, cause: str) -> tuple[type[GlancectlError], str]:
    """Return the kind of error that ``status`` is, and why in a few words."""
    match status:
        case 401:
            return AuthError, "the token is not accepted"
        case 403 if _about_state(cause):
            return RefusedError, "the image does not allow it"
        case 403:
            return AuthError, "not allowed with these credentials"
        case 404:
            return NotFoundError, "not found"
        case 400 | 409 if re.search(_NO_STORE, cause):
            return NotFoundError, "there is no such store"
        case 409:
            return RefusedError, "it conflicts with the present state"
        case 410:
            return RefusedError, "it is gone"
        case 413:
            return RefusedError, "too large, or over quota"
        case 415:
            return IntegrityError, "the data do not match the format"
        case 429:
            return UnavailableError, "too many requests"
        case _ if status >= 500:
            return UnavailableError, "the service is failing"
        case _ if status < 400:
            return RefusedError, "the endpoint is not an image API v2"
        case _:
            return RefusedError, "the request is not accepted"


def _about_state(cause: str) -> bool:
    """Tell whether a 403 comes from the image or the key itself, not from the caller's rights."""
    words = (
        "protected|status|deactivated|reserved|read-?only|only shared images|only store|"
        "may not be removed|cannot set locations|for a queued image|allowed to \\w+ members"
    )
    return re.search(words, cause, re.IGNORECASE) is not None


# What Glance says when it refuses, and what helps then.
_HINTS = (
    (403, "image .* is protected", "--unprotect lifts the protection first"),
    (403, "deactivated", "its owner can make it active again: glancectl image activate"),
    (409, "needs to be staged", "--file SOURCE, or first: glancectl image stage"),
    (409, "_format' needs to be set", "glancectl image update IMAGE --disk-format …"),
    (409, "active task|prior operation", "an import is under way: glancectl image wait"),
    (400, _NO_STORE, "glancectl store list shows what there is"),
    (409, _NO_STORE, "glancectl store list shows what there is"),
)


def _hint(status: int, cause: str, response: httpx.Response) -> str | None:
    if 300 <= status < 400:
        target = response.headers.get("Location")
        return shell_line(["--endpoint", target.split("?")[0]]) if target else "check --endpoint"
    if "tasks_api_access" in cause and response.request.method == "GET":
        return "--image IMAGE needs no admin: it tells the tasks of that image"
    for code, words, hint in _HINTS:
        if code == status and re.search(words, cause, re.IGNORECASE):
            return hint
    return None


def reason(response: httpx.Response) -> str:
    """Return the server's own words in one clean line, from JSON, HTML or plain text.

    Glance's JSON messages end in ``<br />`` and schema errors quote the schema; keystonemiddleware
    and proxies answer in HTML.
    """
    raw = _body_start(response)
    if token := response.request.headers.get("X-Auth-Token"):
        raw = raw.replace(token, "…")  # some proxies show the whole request
    text = _message_of_json(raw)
    if text is None:
        text = re.sub(r"(?is)<(style|script|title)\b.*?</\1>", " ", raw)
        text = re.sub(rf"^\s*{response.status_code} [^\n<]*\n", "", text)
    text = unescape(re.sub(r"<[^>]*>", " ", text)).partition("Failed validating")[0]
    line = " ".join(text.split())
    line = line.removeprefix(f"{response.status_code} {response.reason_phrase}").strip() or line
    return line if len(line) <= 500 else f"{line[:500]}…"


def _body_start(response: httpx.Response) -> str:
    if response.is_stream_consumed:
        return response.text[:ERROR_BODY]
    body = b""
    with contextlib.suppress(httpx.RequestError):  # the status is known; words are a bonus
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) >= ERROR_BODY:
                break
    return body[:ERROR_BODY].decode("utf-8", "replace")


def _message_of_json(raw: str) -> str | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if isinstance(body, dict) and isinstance(body.get("error"), dict):  # Keystone's form
        body = body["error"]
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else None


def unusable(response: httpx.Response, cause: str) -> UnavailableError:
    return UnavailableError(
        "the answer is not what an image API v2 sends",
        cause=cause,
        hint="check --endpoint",
        status=response.status_code,
        request_id=response.headers.get("x-openstack-request-id"),
    )


@contextlib.contextmanager
def transport_errors(doing: str) -> Iterator[None]:
    """Turn httpx's exceptions into ours; their texts name no secrets (no token, no query)."""
    try:
        yield
    except UnicodeEncodeError:  # bytes of the command line that are no text
        raise RefusedError(f"cannot {doing}: a value is not UTF-8 text") from None
    # UnicodeError: what a name of a host with an empty or too long label ends in.
    # The text of InvalidURL quotes what it takes for the port, maybe a part of a password.
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        cause = None if isinstance(error, httpx.InvalidURL) else str(error)
        raise UsageError(
            "the image endpoint is not a URL", cause=cause, hint="check --endpoint"
        ) from None
    except httpx.DecodingError as error:
        raise UnavailableError(
            f"cannot {doing}: the answer cannot be unpacked",
            cause=str(error),
            hint="check --endpoint",
        ) from None
    except httpx.TimeoutException as error:
        kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
        raise _unavailable(f"cannot {doing}: no answer in time", kind, error) from None
    except httpx.TransportError as error:
        cause = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in cause:
            raise UnavailableError(
                "the image service's certificate cannot be verified",
                cause=cause,
                hint="--cacert FILE names the CA that signed it",
            ) from None
        unsent = isinstance(error, httpx.ConnectError)
        why = "the service cannot be reached" if unsent else "the connection broke"
        raise _unavailable(f"cannot {doing}: {why}", cause, error) from None


def _unavailable(message: str, cause: str, error: Exception) -> TransportError:
    ours = TransportError(message, cause=cause)
    ours.unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return ours
