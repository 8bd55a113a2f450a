"""The body of a large answer: what its headers say of it, and its bytes from the socket itself.

httpx hands a body out in blocks of 64 KiB (16 KiB over TLS), each through several buffers; for an
image of some GiB that takes longer than the digest does.
"""

import re
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

# Bytes asked for at once: Python makes room for all of them before it knows how many come.
BLOCK = 1 << 19
TLS_BLOCK = 1 << 14  # a record of TLS has no more (RFC 8446, 5.1)

_NUMBER = "([0-9]{1,19})"
_CONTENT_RANGE = re.compile(rf"bytes {_NUMBER}-{_NUMBER}/(?:{_NUMBER}|\*)", re.IGNORECASE)


def length(response: httpx.Response) -> int | None:
    """Return Content-Length, which means nothing in a chunked answer (RFC 9112, 6.3)."""
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdecimal() and "Transfer-Encoding" not in response.headers else None


def part(response: httpx.Response) -> tuple[int, int, int | None] | None:
    """Return the places of the first and last byte that a 206 carries, and the size of the whole.

    size: in bytes, None when the answer does not tell. Returns None for any other answer, and when
    Content-Range (RFC 9110, 14.4) names no part, or one that cannot be, or another one than
    Content-Length.
    """
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if response.status_code != 206 or match is None:
        return None
    first, last = int(match[1]), int(match[2])
    size = int(match[3]) if match[3] else None
    agrees = length(response) in (None, last - first + 1)
    can_be = first <= last and (size is None or last < size)
    return (first, last, size) if agrees and can_be else None


def blocks(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body of ``response`` as it comes, and leave the connection unfit for another one.

    Where Content-Length says how much there is, what httpx has not read yet is taken from the
    socket that its ``network_stream`` extension gives; any other body goes the usual way.
    Raises what httpx would: httpx.ReadTimeout, ReadError, RemoteProtocolError.
    """
    parts = response.iter_raw()
    stream = response.extensions.get("network_stream")
    size = length(response)
    # An SSLObject is TLS within a proxy's TLS: the socket then gives what is still encrypted.
    if stream is None or size is None or _is_layered(stream):
        yield from parts
        return
    first = next(parts, b"")  # all that was read together with the headers
    yield first
    left = size - len(first)
    sock = stream.get_extra_info("socket")
    most = TLS_BLOCK if isinstance(sock, ssl.SSLSocket) else BLOCK
    if left:
        sock.settimeout(response.request.extensions["timeout"]["read"])
    while left:
        try:
            block = sock.recv(min(left, most))
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=response.request) from None
        except OSError as error:
            raise httpx.ReadError(str(error), request=response.request) from None
        if not block:
            why = "the connection was closed before the end"
            raise httpx.RemoteProtocolError(why, request=response.request)
        left -= len(block)
        yield block


def _is_layered(stream: Any) -> bool:
    return isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject)
