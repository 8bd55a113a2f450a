"""The body of a large answer, read from the socket itself.

httpx hands a body out in blocks of 64 KiB (16 KiB over TLS), each through several buffers; for an
image of some GiB that takes longer than the digest does.
"""

import ssl
from collections.abc import Iterator
from typing import Any

import httpx

# Bytes asked for at once: Python makes room for all of them before it knows how many come.
BLOCK = 1 << 19
TLS_BLOCK = 1 << 14  # a record of TLS has no more (RFC 8446, 5.1)


def blocks(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body of ``response`` as it comes, and leave the connection unfit for another one.

    Where Content-Length says how much there is, what httpx has not read yet is taken from the
    socket that its ``network_stream`` extension gives; any other body goes the usual way.
    Raises what httpx would: httpx.ReadTimeout, ReadError, RemoteProtocolError.
    """
    parts = response.iter_raw()
    stream = response.extensions.get("network_stream")
    length = response.headers.get("Content-Length", "")
    known = length.isdecimal() and "Transfer-Encoding" not in response.headers
    # An SSLObject is TLS within a proxy's TLS: the socket then gives what is still encrypted.
    if stream is None or not known or _is_layered(stream):
        yield from parts
        return
    first = next(parts, b"")  # all that was read together with the headers
    yield first
    left = int(length) - len(first)
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
