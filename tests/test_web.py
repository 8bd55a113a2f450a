"""Payloads from the web: real HTTP servers in threads that break, change and redirect at will."""

import base64
import contextlib
import logging
import os
import re
import socket
import ssl
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tls import self_signed

from glancectl.errors import (
    Exit,
    GlancectlError,
    IntegrityError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from glancectl.redact import redact
from glancectl.terminal import human_size
from glancectl.transfer.source import HEAD, open_source
from glancectl.transfer.web import same_origin

MIB = 1 << 20
NOISE = os.urandom(3 * MIB + 7)
OTHER = os.urandom(3 * MIB + 7)
LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"

Answer = Callable[[BaseHTTPRequestHandler], None]


def read(spec: str, *, retries: int = 0, **options) -> bytes:
    with open_source(spec, retries=retries, **options) as source:
        return b"".join(source.chunks())


def failure(spec: str, **options) -> GlancectlError:
    """Return the error with which a URL cannot be opened, or not be read to its end."""
    with pytest.raises(GlancectlError) as caught:
        read(spec, **options)
    return caught.value


def told(spec: str, *, retries: int = 4, **options) -> tuple[bytes, list[tuple[str, int, int]]]:
    """Return the bytes behind a URL, and what its source told while they came."""
    tells: list[tuple[str, int, int]] = []
    with open_source(spec, retries=retries, **options) as source:
        source.tell = lambda *what: tells.append(what)
        return b"".join(source.chunks()), tells


# Servers


class Server:
    """An HTTP server in a thread; ``paths`` says how to answer, ``seen`` what was asked."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.paths: dict[str, Answer] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                self.close_connection = True
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    server.paths[self.path.partition("?")[0]](self)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = False  # so that closing waits for them
        self._server.handle_error = lambda *_: None  # of TLS, with a client that hangs up
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self.port}"

    def asked(self, name: str) -> list[str | None]:
        """Return a header of each request, None where it was missing."""
        return [headers.get(name) for _path, headers in self.seen]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answer(body: bytes = b"", status: int = 200, **headers: object) -> Answer:
    """Return a handler; ``content_length=None`` leaves that header out."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content_length": len(body), **headers}.items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(body)  # until the client has seen enough

    return respond


def file(
    data: bytes = NOISE,
    *,
    ranges: bool = True,
    chunked: bool = False,
    cut: int | None = None,
    then: Callable[[BaseHTTPRequestHandler], object] | None = None,
    largest: int | None = None,
    known: bool = True,
    **headers: str | None,
) -> Answer:
    """Return a handler for a file as RFC 9110 has it, Range and If-Range included.

    ranges: else always answers with the whole. cut: bytes of the body after which the connection
    is closed, ``then`` called before. largest: bytes in one 206. known: tell the length in it.
    """
    headers = {"ETag": '"v1"', "Date": formatdate(usegmt=True), **headers}

    def respond(handler: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        tag, date = headers["ETag"], headers.get("Last-Modified")
        start, end = 0, len(data)
        # The strong comparison: a weak ETag is like none (13.1.5).
        if ranges and asked and condition in (None, date, tag) and condition[:2] != "W/":
            start = int(asked[1])
            end = min(end, start + (largest or end))
            handler.send_response_only(206 if start < end else 416)
            length = str(len(data)) if known else "*"
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{length}")
        else:
            handler.send_response_only(200)
        for name, value in headers.items():
            if value is not None:
                handler.send_header(name, value)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(end - start))
        handler.end_headers()
        body = memoryview(data)[start:end]
        if chunked:
            handler.wfile.write(b"%x\r\n" % len(body))
        handler.wfile.write(body if cut is None else body[:cut])
        if then is not None:
            then(handler)
        if chunked and cut is None:
            handler.wfile.write(b"\r\n0\r\n\r\n")

    return respond


def reset(handler: BaseHTTPRequestHandler) -> None:
    """End the connection with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def in_turn(*answers: Answer) -> Answer:
    """Return a handler that gives one answer after the other, the last for ever."""
    left = list(answers)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return respond


@pytest.fixture
def new_server() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(*arguments: object) -> Server:
        made.append(Server(*arguments))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(new_server) -> Server:
    return new_server()


@pytest.fixture
def neighbour(new_server) -> Server:
    """A server on the same host, on another port."""
    return new_server()


@pytest.fixture
def elsewhere(new_server) -> Server:
    """A server on another host."""
    return new_server("127.0.0.2")


@pytest.fixture
def retried(caplog) -> Callable[[], list[str]]:
    """Return what was logged: tries made while there is no source yet that could tell."""
    caplog.set_level(logging.INFO, "glancectl")
    return lambda: [record.getMessage() for record in caplog.records]


# One answer


def test_a_url(server):
    server.paths["/image"] = answer(NOISE)
    with open_source(f"{server.url}/image") as source:
        assert (source.name, source.size) == (f"{server.url}/image", len(NOISE))
        assert (source.restartable, source.is_local, source.tail) == (True, False, b"")
        assert source.head == NOISE[:HEAD]
        blocks = list(source.chunks())
    assert b"".join(blocks) == NOISE
    assert [len(block) for block in blocks] == [MIB, MIB, MIB, 7]
    path, headers = server.seen[0]
    assert path == "/image"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("glancectl/")
    assert "authorization" not in headers


def test_a_url_in_pieces_without_a_length(server):
    pieces = b"100000\r\n" + NOISE[:MIB] + b"\r\n5\r\nhello\r\n0\r\n\r\n"
    server.paths["/image"] = answer(pieces, content_length=None, transfer_encoding="chunked")
    with open_source(f"{server.url}/image") as source:
        assert source.size is None
        assert b"".join(source.chunks()) == NOISE[:MIB] + b"hello"
    assert read(f"{server.url}/image", size=MIB + 5) == NOISE[:MIB] + b"hello"
    assert type(failure(f"{server.url}/image", size=MIB + 4)) is IntegrityError
    assert type(failure(f"{server.url}/image", size=MIB + 6)) is IntegrityError


def test_a_url_that_ends_with_the_connection(server):
    server.paths["/image"] = answer(NOISE, content_length=None)
    assert read(f"{server.url}/image") == NOISE


def test_a_url_of_another_size(server):
    server.paths["/image"] = answer(NOISE)
    error = failure(f"{server.url}/image", size=5)
    assert type(error) is RefusedError
    assert error.message == f"{server.url}/image has {len(NOISE)} bytes, not the 5 that --size says"


def test_an_empty_url(server):
    server.paths["/image"] = answer()
    assert failure(f"{server.url}/image").message == f"{server.url}/image is empty"
    with open_source(f"{server.url}/image", allow_empty=True) as source:
        assert source.size == 0
        assert list(source.chunks()) == []


@pytest.mark.parametrize("length", [10, 2 * MIB])
def test_a_url_that_breaks_off(server, length):
    server.paths["/image"] = answer(NOISE[:length], content_length=length + 1)
    error = failure(f"{server.url}/image?key=s3cret")
    assert type(error) is UnavailableError
    assert error.message == f"{server.url}/image broke off after {length} of {length + 1} bytes"
    assert "s3cret" not in str(error.cause)


def test_a_chunked_url_that_breaks_off(server):
    cut = b"100000\r\n" + NOISE[:100]
    server.paths["/image"] = answer(cut, content_length=None, transfer_encoding="chunked")
    assert type(failure(f"{server.url}/image")) is UnavailableError


@pytest.mark.parametrize(
    ("status", "kind", "cause"),
    [
        (404, RefusedError, "404 Not Found"),
        (401, RefusedError, "401 Unauthorized"),
        (206, RefusedError, "206 Partial Content"),
        (304, RefusedError, "304 Not Modified"),
        (302, RefusedError, "302 Found"),
        (500, UnavailableError, "500 Internal Server Error"),
        (503, UnavailableError, "503 Service Unavailable"),
    ],
)
def test_a_url_that_answers_otherwise(server, status, kind, cause):
    server.paths["/image"] = answer(b"<html>", status, content_type="text/html")
    error = failure(f"{server.url}/image?key=s3cret")
    assert type(error) is kind
    assert error.message == f"{server.url}/image does not answer with a file"
    assert (error.cause, error.status) == (cause, status)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"Please log in", "text/html; charset=utf-8"),
        (b"Please log in", "Application/XHTML+XML"),
        (b"<!doctype html><title>Log in</title>", "application/octet-stream"),
        (b"\n<html>", None),
    ],
)
def test_a_web_page_is_no_image(server, body, media_type):
    server.paths["/image"] = answer(body, content_type=media_type)
    error = failure(f"{server.url}/image")
    assert error.exit == Exit.INTEGRITY
    assert error.message == f"{server.url}/image answers with an HTML page, not an image"


def test_an_encoded_answer_is_refused(server):
    server.paths["/image"] = answer(b"x", content_encoding="gzip")
    error = failure(f"{server.url}/image")
    assert type(error) is RefusedError
    assert "Content-Encoding gzip" in error.message
    server.paths["/image"] = answer(b"x", content_encoding="identity")
    assert read(f"{server.url}/image") == b"x"


def closed_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def test_a_url_that_cannot_be_reached():
    url = f"http://user:s3cret@127.0.0.1:{closed_port()}/image"
    error = failure(url)
    assert type(error) is UnavailableError
    assert error.message == f"{redact(url)} cannot be reached"
    assert error.cause == "[Errno 111] Connection refused"


def test_a_host_that_has_no_address():
    error = failure("http://nowhere.invalid/image")
    assert type(error) is UnavailableError
    assert error.cause


def test_a_server_that_speaks_no_tls(server):
    error = failure(f"https://127.0.0.1:{server.port}/image")
    assert type(error) is UnavailableError
    assert "SSL" in str(error.cause)


def test_a_url_that_stalls(server):
    done = threading.Event()
    server.paths["/image"] = lambda _handler: done.wait(10) and None
    error = failure(f"{server.url}/image", timeout=0.1)
    done.set()
    assert type(error) is UnavailableError
    assert error.message == f"{server.url}/image cannot be reached: no answer in time"
    assert error.cause == "read timeout"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://", "http://"),
        ("http://:80/x", "http://:80/x"),
        ("http://user:s3cret?x@host/image", "http://…/…"),
        ("http://user:s3cret/x@host/image", "http://…/…"),
        ("http://[::1/image", "http://[::1/image"),
        ("http://user:s3cret@host:port/image", "http://host:port/image"),
        ("http://user:s3cret@host/im\nage", "http://host/im\nage"),
    ],
)
def test_a_url_that_is_none(url, shown):
    error = failure(url)
    assert error.exit == Exit.USAGE
    assert error.message == f"{shown} is not a valid URL"
    assert "s3cret" not in f"{error.cause} {error.hint}"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_userinfo_becomes_basic_auth(server):
    server.paths["/image"] = answer(b"data")
    url = f"http://us%40er:p%2Fw@127.0.0.1:{server.port}/image?key=s3cret#part"
    with open_source(url) as source:
        assert source.name == f"{server.url}/image"
        assert b"".join(source.chunks()) == b"data"
    path, headers = server.seen[0]
    assert path == "/image?key=s3cret"
    assert headers["authorization"] == basic("us@er", "p/w")
    assert headers["host"] == f"127.0.0.1:{server.port}"


def test_given_headers_are_sent(server):
    server.paths["/image"] = answer(b"data")
    url = f"http://user:pw@127.0.0.1:{server.port}/image"
    headers = {
        "Authorization": "Bearer t",
        "X-Näme".replace("ä", "a"): "ü",
        "Accept-Encoding": "gzip",
    }
    assert read(url, headers=headers) == b"data"
    seen = server.seen[0][1]
    assert seen["authorization"] == "Bearer t"
    assert seen["accept-encoding"] == "identity"
    assert seen["x-name"].encode("latin-1").decode() == "ü"


@pytest.mark.parametrize(
    "headers", [{"X-Token": "s3cret\r\nX: y"}, {"": "s3cret"}, {"ä": "s3cret"}]
)
def test_a_header_that_http_does_not_allow(server, headers):
    server.paths["/image"] = answer(b"data")
    error = failure(f"{server.url}/image", headers=headers)
    assert error.exit == Exit.USAGE
    assert "s3cret" not in f"{error.message} {error.cause} {error.hint}"
    assert server.seen == []


def test_a_redirect_on_the_same_server_keeps_what_was_given(server):
    server.paths["/old"] = answer(status=301, location="new")
    server.paths["/new"] = answer(status=307, location=f"{server.url}/newest?key=1")
    server.paths["/newest"] = answer(b"data")
    url = f"http://user:pw@127.0.0.1:{server.port}/old"
    with open_source(url, headers={"X-Token": "t"}) as source:
        assert source.name == f"{server.url}/old"
        assert b"".join(source.chunks()) == b"data"
    assert [path for path, _headers in server.seen] == ["/old", "/new", "/newest?key=1"]
    for _path, headers in server.seen:
        assert (headers["authorization"], headers["x-token"]) == (basic("user", "pw"), "t")


def test_a_redirect_to_another_server_drops_what_was_given(server, elsewhere):
    server.paths["/image"] = answer(status=302, location=f"{elsewhere.url}/image")
    elsewhere.paths["/image"] = answer(status=302, location=f"{server.url}/back")
    server.paths["/back"] = answer(b"data")
    url = f"http://user:pw@127.0.0.1:{server.port}/image"
    given = {"X-Token": "t", "Cookie": "c=1", "Authorization": "Bearer t"}
    assert read(url, headers=given) == b"data"
    first, back = server.seen
    assert {"x-token", "cookie", "authorization"} <= first[1].keys()
    for _path, headers in (*elsewhere.seen, back):
        assert not {"x-token", "cookie", "authorization"} & headers.keys()


def test_userinfo_of_a_redirect_is_for_its_own_server(server, elsewhere):
    target = f"http://other:secret@127.0.0.2:{elsewhere.port}/image"
    server.paths["/image"] = answer(status=302, location=target)
    elsewhere.paths["/image"] = answer(b"", 404)
    error = failure(f"http://user:pw@127.0.0.1:{server.port}/image")
    assert elsewhere.seen[0][1]["authorization"] == basic("other", "secret")
    assert error.message == f"{elsewhere.url}/image does not answer with a file"


def test_too_many_redirects(server):
    server.paths["/image"] = answer(status=302, location="/image?key=s3cret")
    error = failure(f"{server.url}/image")
    assert type(error) is RefusedError
    assert error.message == f"{server.url}/image is redirected more than 10 times"
    assert len(server.seen) == 11


@pytest.mark.parametrize(
    "location",
    ["ftp://host/s3cret", "file:///etc/passwd"],
)
def test_a_redirect_to_what_is_no_web_address(server, location):
    server.paths["/image"] = answer(status=302, location=location)
    error = failure(f"{server.url}/image")
    assert type(error) is RefusedError
    assert error.message.startswith(f"{server.url}/image is redirected to something that is not ")
    assert "s3cret" not in error.message


@pytest.mark.parametrize("location", ["http://user:s3cret?@host/", "data:s3cret"])
def test_a_redirect_to_what_is_no_url(server, retried, location):
    server.paths["/image"] = answer(status=302, location=location)
    error = failure(f"{server.url}/image", retries=4)
    assert retried() == []
    assert type(error) is UnavailableError
    assert error.message == f"{server.url}/image cannot be reached"
    assert error.cause in ("Invalid URL", "it is redirected to no URL")


def test_a_proxy_that_cannot_be_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "nonsense://user:s3cret@proxy")
    error = failure("http://127.0.0.1/image")
    assert error.exit == Exit.USAGE
    assert "s3cret" not in f"{error.message} {error.cause} {error.hint}"


def test_a_proxy_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.paths["http://images.invalid/image"] = answer(b"data")
    assert read("http://images.invalid/image") == b"data"


SECRET = st.text("abcXYZ0189-._~!$&'()*+,;=%:", min_size=1, max_size=12).map(lambda s: f"Q9q{s}q9Q")
NAME = st.from_regex(r"\A[a-z0-9.-]{1,20}\Z")


@pytest.mark.reliability("URLs without their secrets")
@given(st.sampled_from(["http", "https"]), SECRET, SECRET, NAME, SECRET, NAME)
def test_redact_keeps_no_secret(scheme, user, password, host, query, path):
    for userinfo in (user, f"{user}:{password}", f":{password}", f"{user}@x:{password}"):
        for end in (f"?{query}", f"#{query}", f"?a={query}#{password}", f"?a@b={query}"):
            for middle in ("", f"/{path}", f":8080/{path}"):
                shown = redact(f"{scheme}://{userinfo}@{host}{middle}{end}")
                assert "Q9q" not in shown
                assert shown.startswith(f"{scheme}://")


@pytest.mark.reliability("URLs without their secrets")
@given(st.text(max_size=60), SECRET)
def test_redact_of_any_text(text, secret):
    redact(text)
    assert secret not in redact(f"{text}?{secret}")
    assert secret not in redact(f"https://{secret}@{text}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a/b.img", "https://host/a/b.img"),
        ("https://user:pw@host:8443/b.img?sig=1#x", "https://host:8443/b.img"),
        ("https://host/blobs/@sha256/x", "https://host/…"),
        ("https://[::1]:80/x?y", "https://[::1]:80/x"),
        ("not a url", "…"),
    ],
)
def test_redact(url, shown):
    assert redact(url) == shown


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "xn--"])
def test_a_host_that_cannot_be_looked_up(server, host):
    error = failure(f"http://{host}/image")
    assert error.exit == Exit.USAGE
    assert error.message == f"http://{host}/image is not a valid URL"
    server.paths["/image"] = answer(status=302, location=f"http://{host}/")
    assert failure(f"{server.url}/image").exit in (Exit.REFUSED, Exit.UNAVAILABLE)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/images/noble.img", "noble.img"),
        ("/noble%20server.img?name=other#part", "noble server.img"),
        ("/%C3%BC.img", "ü.img"),
        ("/images/", None),
        ("", None),
        ("/images/?file=noble.img", None),
    ],
)
def test_the_name_of_the_file(server, path, name):
    asked = re.split("[?#]", path)[0] or "/"
    server.paths[asked] = answer(status=302, location="/blob/17")
    server.paths["/blob/17"] = answer(b"data")
    with open_source(f"{server.url}{path}") as source:
        assert source.file_name == name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://host/a?b", "https://user:pw@HOST:443/c#d", True),
        ("http://host:80", "http://host/", True),
        ("http://[::1]:8080/a", "http://[::1]:8080/b", True),
        ("https://host/", "http://host/", False),
        ("https://host/", "https://host:8443/", False),
        ("https://host/", "https://host.example/", False),
        ("https://host/", "SHA256SUMS", False),
        ("SHA256SUMS", "SHA256SUMS", False),
        ("http://host:port/", "http://host:port/", False),
        ("", "https://host/", False),
    ],
)
def test_same_origin(one, other, same):
    assert same_origin(one, other) is same
    assert same_origin(other, one) is same


# The first answer, tried again


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_busy_at_first(server, retried, status):
    server.paths["/image"] = in_turn(answer(b"<html>", status), answer(b"data"))
    assert read(f"{server.url}/image?key=s3cret", retries=1) == b"data"
    [line] = retried()
    assert line.startswith(f"{server.url}/image does not answer with a file: {status} ")
    assert line.endswith(", retry 1 of 1")


def test_a_server_that_breaks_off_before_it_answers(server, retried):
    server.paths["/image"] = in_turn(reset, answer(b"data"))
    assert read(f"{server.url}/image", retries=1) == b"data"
    assert retried() == [
        f"{server.url}/image cannot be reached: [Errno 104] Connection reset by peer, retry 1 of 1"
    ]


def test_a_server_that_stays_busy(server, retried):
    server.paths["/image"] = answer(b"", 503, retry_after=0)
    error = failure(f"{server.url}/image", retries=2)
    assert type(error) is UnavailableError
    assert error.message == f"{server.url}/image does not answer with a file"
    assert (error.cause, error.status) == ("503 Service Unavailable", 503)
    assert not error.may_pass
    assert len(server.seen) == 3
    assert [line.rpartition(", ")[2] for line in retried()] == ["retry 1 of 2", "retry 2 of 2"]


def test_the_server_says_when_to_come_back(server):
    server.paths["/image"] = in_turn(answer(b"", 503, retry_after=1), answer(b"data"))
    began = time.monotonic()
    assert read(f"{server.url}/image", retries=1) == b"data"
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("status", [401, 404, 410, 500])
def test_what_is_not_asked_for_again(server, retried, status):
    server.paths["/image"] = answer(b"", status)
    assert failure(f"{server.url}/image", retries=4).status == status
    assert len(server.seen) == 1
    assert retried() == []


def test_a_host_without_an_address_is_not_asked_for_again(retried):
    """What the resolver itself calls a name that no server has: nothing is sent for it."""
    error = failure("http://ex%20ample/image", retries=4)
    assert type(error) is UnavailableError
    assert retried() == []


@pytest.fixture
def secure(new_server, tmp_path, monkeypatch) -> Server:
    """A server with TLS whose CA is trusted."""
    certificate = self_signed(tmp_path, "127.0.0.1", 1)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return new_server("127.0.0.1", context)


def test_an_unknown_ca_is_not_asked_again(secure, retried, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    error = failure(f"{secure.url}/image", retries=4)
    assert type(error) is UnavailableError
    assert "CERTIFICATE_VERIFY_FAILED" in str(error.cause)
    assert error.hint == "SSL_CERT_FILE names the CA that signed its certificate"
    assert retried() == []


def test_a_redirect_from_https_to_http_is_refused(secure, server):
    server.paths["/image"] = answer(b"data")
    target = f"http://user:s3cret@127.0.0.1:{server.port}/image?key=s3cret"
    secure.paths["/image"] = answer(status=302, location=target)
    error = failure(f"{secure.url}/image", retries=4)
    assert type(error) is RefusedError
    assert error.message == (
        f"{secure.url}/image is redirected from https to http, to {server.url}/image"
    )
    assert server.seen == []


# Connections that break


@pytest.mark.parametrize(
    ("cut", "chunked"),
    [
        *((cut, False) for cut in (0, 1, HEAD - 1, HEAD, len(NOISE) // 2, len(NOISE) - 1)),
        *((cut, True) for cut in (0, 1, HEAD, len(NOISE) - 1)),
    ],
)
def test_a_broken_connection_is_gone_on_with(server, cut, chunked):
    server.paths["/image"] = in_turn(file(cut=cut, chunked=chunked), file(chunked=chunked))
    with open_source(f"{server.url}/image", retries=1) as source:
        told_later = chunked and not 0 < cut < HEAD
        assert source.size == (None if told_later else len(NOISE))
        assert b"".join(source.chunks()) == NOISE
    assert server.asked("range") == [None, f"bytes={cut}-" if cut else None]
    assert server.asked("if-range") == [None, '"v1"' if cut else None]
    assert server.asked("accept-encoding") == ["identity", "identity"]


@pytest.mark.parametrize("cut", [0, 1, MIB, len(NOISE) - 1])
def test_a_connection_that_is_reset(server, cut):
    server.paths["/image"] = in_turn(file(cut=cut, then=reset), file())
    assert read(f"{server.url}/image", retries=1) == NOISE


@pytest.mark.parametrize("cut", [0, 1, MIB + 1])
def test_a_connection_that_stalls(server, cut):
    stalled = file(cut=cut, then=lambda _handler: server.closing.wait(10))
    server.paths["/image"] = in_turn(stalled, file())
    assert read(f"{server.url}/image", retries=1, timeout=0.2) == NOISE
    assert server.asked("range") == [None, f"bytes={cut}-" if cut else None]


def test_a_tls_connection_that_breaks(secure):
    secure.paths["/image"] = in_turn(file(cut=MIB), file())
    assert read(f"{secure.url}/image", retries=1) == NOISE
    assert secure.asked("range") == [None, f"bytes={MIB}-"]


def test_each_try_is_told_of_without_secrets(server):
    server.paths["/image"] = in_turn(file(cut=MIB + MIB // 2), answer(b"", 503), file())
    data, tells = told(f"http://user:s3cret@127.0.0.1:{server.port}/image?key=s3cret")
    assert data == NOISE
    (broke, *first), busy = tells
    assert broke.startswith("the connection broke after 1.5 MiB, going on from there: peer closed ")
    assert first == [1, 4]
    assert busy == (
        "the connection broke after 1.5 MiB, going on from there: 503 Service Unavailable",
        2,
        4,
    )
    assert "s3cret" not in broke


def test_a_connection_that_breaks_in_the_first_bytes_is_logged(server, retried):
    server.paths["/image"] = in_turn(file(cut=1), file())
    data, tells = told(f"{server.url}/image")
    assert (data, tells) == (NOISE, [])
    [line] = retried()
    assert line.startswith("the connection broke after 1 B, going on from there: peer closed ")


def test_the_count_of_tries_starts_again_with_each_mib(server):
    server.paths["/image"] = file(cut=MIB)
    data, tells = told(f"{server.url}/image", retries=1)
    assert data == NOISE
    assert [(attempt, of) for _reason, attempt, of in tells] == [(1, 1)] * 3
    assert server.asked("range") == [None] + [f"bytes={count * MIB}-" for count in (1, 2, 3)]


@pytest.mark.parametrize(
    ("cut", "sizes"), [(HEAD, [HEAD, 2 * HEAD, 3 * HEAD]), (MIB - 1, [MIB - 1, 2 * MIB - 2])]
)
def test_a_connection_that_brings_too_little_each_time(server, cut, sizes):
    retries = len(sizes) - 1
    server.paths["/image"] = file(cut=cut)
    error = failure(f"{server.url}/image?key=s3cret", retries=retries)
    assert type(error) is UnavailableError
    assert error.message == (
        f"{server.url}/image broke off after {sizes[-1]} of {len(NOISE)} bytes"
    )
    assert "peer closed connection" in str(error.cause)
    assert not error.may_pass
    assert server.asked("range")[1:] == [f"bytes={size}-" for size in sizes[:-1]]


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (500, "500 Internal Server Error"),
        (503, "503 Service Unavailable"),
    ],
)
def test_a_server_that_fails_for_a_while(server, status, cause):
    failing = answer(b"", status, retry_after=0)
    server.paths["/image"] = in_turn(file(cut=HEAD), failing, failing, file())
    assert read(f"{server.url}/image", retries=3) == NOISE
    server.paths["/image"] = in_turn(file(cut=HEAD), failing)
    error = failure(f"{server.url}/image", retries=2)
    assert type(error) is UnavailableError
    assert error.message == f"{server.url}/image broke off after {HEAD} of {len(NOISE)} bytes"
    assert (error.cause, error.status) == (cause, status)


def test_a_server_that_goes_away(new_server):
    server = new_server()
    server.paths["/image"] = file(cut=2 * MIB, then=lambda _handler: server.closing.wait(10))
    tells: list[tuple[str, int, int]] = []
    with open_source(f"{server.url}/image", retries=2) as source:
        source.tell = lambda *what: tells.append(what)
        chunks = source.chunks()
        assert next(chunks) + next(chunks) == NOISE[: 2 * MIB]
        server.close()
        with pytest.raises(UnavailableError, match=r"broke off after 2097152 of ") as caught:
            next(chunks)
    assert caught.value.cause == "[Errno 111] Connection refused"
    assert [attempt for _reason, attempt, _of in tells] == [1, 2]


def test_a_server_that_sends_a_part_of_the_rest(server):
    server.paths["/image"] = in_turn(file(cut=MIB), file(largest=MIB))
    assert read(f"{server.url}/image", retries=1) == NOISE
    assert server.asked("range") == [None] + [f"bytes={count * MIB}-" for count in (1, 2, 3)]


def test_a_length_that_a_later_answer_tells(server):
    """A part that just ends, with neither length nor chunks, is not taken for the rest."""
    short = answer(
        NOISE[MIB : 2 * MIB],
        206,
        content_length=None,
        content_range=f"bytes {MIB}-{len(NOISE) - 1}/{len(NOISE)}",
        ETag='"v1"',
    )
    server.paths["/image"] = in_turn(file(cut=MIB, chunked=True), short, file())
    assert read(f"{server.url}/image", retries=1) == NOISE
    assert server.asked("range") == [None, f"bytes={MIB}-", f"bytes={2 * MIB}-"]


def test_a_length_that_nobody_tells(server):
    first = file(cut=MIB, chunked=True)
    server.paths["/image"] = in_turn(first, file(known=False, chunked=True))
    assert read(f"{server.url}/image", retries=1) == NOISE


def test_memory_stays_flat(server):
    data = os.urandom(MIB) * 48
    server.paths["/image"] = in_turn(file(data, cut=20 * MIB + 1), file(data, ranges=False))
    tracemalloc.start()
    try:
        with open_source(f"{server.url}/image") as source:
            assert sum(len(chunk) for chunk in source.chunks()) == len(data)
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * MIB


# Whether it is the same file


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"ETag": '"v1"'}, '"v1"'),
        ({"ETag": '"v1"', "Last-Modified": LONG_AGO}, '"v1"'),
        ({"ETag": '""'}, '""'),
        ({"ETag": None, "Last-Modified": LONG_AGO}, LONG_AGO),
        (
            {
                "ETag": None,
                "Last-Modified": LONG_AGO,
                "Date": "Mon, 01 Jan 2024 00:01:00 GMT",
            },
            LONG_AGO,
        ),
        ({"ETag": "not-quoted", "Last-Modified": LONG_AGO}, LONG_AGO),
    ],
)
def test_what_if_range_carries(server, headers, condition):
    server.paths["/image"] = in_turn(file(cut=MIB, **headers), file(**headers))
    assert read(f"{server.url}/image", retries=1) == NOISE
    assert server.asked("range") == [None, f"bytes={MIB}-"]
    assert server.asked("if-range") == [None, condition]


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": None},
        {"ETag": 'W/"v1"'},
        {"ETag": 'W/"v1"', "Last-Modified": LONG_AGO},
        {"ETag": "not-quoted"},
        {"ETag": None, "Last-Modified": "long ago"},
        {"ETag": None, "Last-Modified": LONG_AGO, "Date": None},
        {"ETag": None, "Last-Modified": LONG_AGO, "Date": LONG_AGO},
        {"ETag": None, "Last-Modified": LONG_AGO, "Date": "Mon, 01 Jan 2024 00:00:59 GMT"},
        {"ETag": None, "Last-Modified": LONG_AGO, "Date": "Sun, 31 Dec 2023 00:00:00 GMT"},
        {"ETag": None, "Last-Modified": LONG_AGO, "Date": "Tue, 02 Jan 2024 00:00:00 -0000"},
    ],
)
def test_a_file_whose_version_is_not_known(server, headers):
    server.paths["/image"] = file(cut=MIB, **headers)
    error = failure(f"{server.url}/image?key=s3cret", retries=4)
    assert type(error) is UnavailableError
    assert error.message == (
        f"{server.url}/image broke off after {MIB} of {len(NOISE)} bytes, and the server gives "
        "neither ETag nor a usable Last-Modified, so that it cannot be continued safely"
    )
    assert "peer closed connection" in str(error.cause)
    assert len(server.seen) == 1


def test_a_file_of_no_known_version_may_break_before_its_first_byte(server):
    server.paths["/image"] = in_turn(file(OTHER, cut=0, ETag=None), file(NOISE[:-1], ETag=None))
    assert read(f"{server.url}/image", retries=1) == NOISE[:-1]


def lost(server: Server, *answers: Answer) -> GlancectlError:
    """Return the error when a file breaks after 1 MiB and these answers follow."""
    first = file(cut=MIB, **{"Last-Modified": LONG_AGO})
    server.paths["/image"] = in_turn(first, *answers)
    server.seen.clear()
    error = failure(f"{server.url}/image?key=s3cret", retries=4)
    assert type(error) is UnavailableError
    assert error.message == (
        f"{server.url}/image broke off after {MIB} of {len(NOISE)} bytes and cannot be continued"
    )
    assert not error.may_pass
    assert "s3cret" not in str(error.cause)
    assert len(server.seen) == 1 + len(answers)
    return error


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_was_changed(server, ranges):
    changed = file(OTHER, ETag='"v2"', ranges=ranges)
    assert lost(server, changed).cause == "its ETag is another now"
    longer = file(OTHER + b"x", ETag='"v2"', ranges=ranges)
    assert lost(server, longer).cause == f"it has {len(NOISE) + 1} bytes now, not {len(NOISE)}"
    weak = file(ETag='W/"v1"', ranges=ranges)
    assert lost(server, weak).cause == "its ETag is another now"


def test_a_file_that_was_changed_by_its_date(server):
    headers = {"ETag": None, "Last-Modified": LONG_AGO}
    later = {"ETag": None, "Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}
    server.paths["/image"] = in_turn(file(cut=MIB, **headers), file(OTHER, **later))
    error = failure(f"{server.url}/image", retries=4)
    assert error.exit == Exit.UNAVAILABLE
    assert error.cause == "its Last-Modified is another now"


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({"ETag": '"v2"'}, "its ETag is another now"),
        ({"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}, "its Last-Modified is another now"),
    ],
)
def test_a_server_that_minds_no_if_range(server, headers, cause):
    place = f"bytes {MIB}-{len(NOISE) - 1}/{len(NOISE)}"
    other = answer(OTHER[MIB:], 206, content_range=place, **headers)
    assert lost(server, other).cause == cause


def test_a_part_that_does_not_name_its_version(server):
    """If-Range has answered for it already (RFC 9110, 15.3.7)."""
    place = f"BYTES {MIB}-{len(NOISE) - 1}/{len(NOISE)}"
    rest = answer(NOISE[MIB:], 206, content_range=place)
    server.paths["/image"] = in_turn(file(cut=MIB), rest)
    assert read(f"{server.url}/image", retries=1) == NOISE


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        (f"bytes {MIB - 1}-{len(NOISE) - 1}/{len(NOISE)}", "another part"),
        (f"bytes 0-{len(NOISE) - 1}/{len(NOISE)}", "another part"),
        (f"bytes {MIB}-{len(NOISE)}/{len(NOISE)}", "another part"),
        (f"bytes {MIB}-{MIB - 1}/{len(NOISE)}", "another part"),
        (f"items {MIB}-{len(NOISE) - 1}/{len(NOISE)}", "another part"),
        (f"bytes {MIB}-{'9' * 5000}/{'9' * 5000}", "another part"),
        ("s3cret", "another part"),
        (None, "another part"),
        (f"bytes {MIB}-{len(NOISE) - 1}/{len(NOISE) + 5}", f"{len(NOISE) + 5} bytes now, not "),
        (f"bytes {MIB}-{len(NOISE) - 1}/*", "of how many bytes"),
    ],
)
def test_a_part_that_was_not_asked_for(server, place, cause):
    other = answer(NOISE[MIB:], 206, content_length=None, content_range=place, ETag='"v1"')
    assert cause in str(lost(server, other).cause)


def test_a_part_of_another_length_than_it_says(server):
    place = f"bytes {MIB}-{len(NOISE) - 2}/{len(NOISE)}"
    other = answer(NOISE[MIB:], 206, content_range=place, ETag='"v1"')
    assert lost(server, other).cause == "it answers with another part than the one asked for"


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (404, "404 Not Found"),
        (412, "412 Precondition Failed"),
        (416, "416 Requested Range Not Satisfiable"),
        (204, "204 No Content"),
    ],
)
def test_an_answer_without_the_rest(server, status, cause):
    assert lost(server, answer(b"", status, content_length=None)).cause == cause


@pytest.mark.parametrize("status", [200, 206])
def test_the_rest_as_something_else(server, status):
    place = f"bytes {MIB}-{len(NOISE) - 1}/{len(NOISE)}"
    rest = {"body": NOISE[MIB:], "status": status, "content_range": place, "ETag": '"v1"'}
    page = lost(server, answer(**rest, content_type="text/html; charset=utf-8"))
    assert page.cause == f"{server.url}/image answers with an HTML page, not an image"
    packed = lost(server, answer(**rest, content_encoding="gzip"))
    assert "is sent with Content-Encoding gzip" in str(packed.cause)


# Servers without ranges


@pytest.mark.parametrize(
    ("cut", "chunked"), [(HEAD, False), (MIB + 1, True), (len(NOISE) - 1, False)]
)
def test_a_server_without_ranges_is_asked_for_the_whole(server, cut, chunked):
    kind = {"ranges": False, "chunked": chunked}
    server.paths["/image"] = in_turn(file(cut=cut, **kind), file(**kind))
    data, tells = told(f"{server.url}/image", retries=1)
    assert data == NOISE
    assert server.asked("range") == [None, f"bytes={cut}-"]
    assert tells[-1] == (
        f"the server sends no parts, passing over the first {human_size(cut)}",
        1,
        1,
    )


def test_a_server_without_ranges_that_no_longer_names_the_version(server):
    unnamed = file(ranges=False, ETag=None, **{"Last-Modified": LONG_AGO})
    assert lost(server, unnamed).cause == "it no longer says which version it sends"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_without_ranges_that_breaks_in_what_was_there(server, chunked):
    kind = {"ranges": False, "chunked": chunked}
    again = file(cut=MIB, **kind)
    server.paths["/image"] = in_turn(file(cut=2 * MIB, **kind), again, file(**kind))
    data, tells = told(f"{server.url}/image", retries=2)
    assert data == NOISE
    broken = [attempt for reason, attempt, _of in tells if reason.startswith("the connection")]
    assert broken == [1, 2]
    server.paths["/image"] = in_turn(file(cut=2 * MIB, **kind), again)
    assert failure(f"{server.url}/image", retries=1).exit == Exit.UNAVAILABLE


def test_a_server_without_ranges_whose_part_ends_where_the_first_broke(server):
    """A chunk comes as a part of its own, of which nothing is left to hand on."""
    pieces = b"a\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (NOISE[:10], len(NOISE) - 10, NOISE[10:])
    whole = answer(pieces, content_length=None, transfer_encoding="chunked", ETag='"v1"')
    server.paths["/image"] = in_turn(file(cut=10, chunked=True), whole)
    assert read(f"{server.url}/image", retries=1) == NOISE


def test_a_server_without_ranges_that_ends_in_what_was_there(server):
    """Chunks that end well, yet before the bytes that came already."""
    first = file(cut=2 * MIB, chunked=True, ranges=False)
    server.paths["/image"] = in_turn(first, file(NOISE[:MIB], chunked=True, ranges=False))
    error = failure(f"{server.url}/image", retries=1)
    assert error.message == f"{server.url}/image broke off after {2 * MIB} bytes"
    assert error.cause == f"the answer ended after {MIB} bytes"


# From the start again


def again(spec: str) -> tuple[bytes, bytes]:
    """Return what a source gives the first time and the second."""
    with open_source(spec, retries=2) as source:
        assert source.restartable
        return b"".join(source.chunks()), b"".join(source.chunks())


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"v1"'}, {"ETag": None, "Last-Modified": LONG_AGO}, {"ETag": None}],
)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [5, HEAD, len(NOISE)])
def test_a_url_can_be_read_again(server, headers, chunked, size):
    data = NOISE[:size]
    server.paths["/image"] = file(data, chunked=chunked, **headers)
    assert again(f"{server.url}/image") == (data, data)
    assert server.asked("range") == [None, None]


def test_a_url_can_be_read_again_from_anywhere(server):
    server.paths["/image"] = file()
    with open_source(f"{server.url}/image") as source:
        for count in (0, 1, 3, 4):
            chunks = source.chunks()
            assert b"".join(next(chunks) for _ in range(count)) == NOISE[: count * MIB]
    assert len(server.seen) == 3  # one that gives no chunk asks for nothing, the first is open


def test_an_empty_url_can_be_read_again(server):
    server.paths["/image"] = file(b"")
    with open_source(f"{server.url}/image", allow_empty=True) as source:
        assert (list(source.chunks()), list(source.chunks())) == ([], [])


def test_a_url_that_breaks_when_it_is_read_again(server):
    breaks = [file(cut=cut) for cut in (10, MIB, 0)]
    server.paths["/image"] = in_turn(file(), *breaks, file())
    assert again(f"{server.url}/image") == (NOISE, NOISE)
    later = f"bytes={MIB + 10}-"
    assert server.asked("range") == [None, None, "bytes=10-", later, later]


def test_what_cannot_be_gone_on_with_can_be_read_again(server):
    server.paths["/image"] = in_turn(file(cut=MIB, ETag=None), file(ETag=None))
    with open_source(f"{server.url}/image") as source:
        with pytest.raises(UnavailableError, match="neither ETag nor"):
            list(source.chunks())
        assert b"".join(source.chunks()) == NOISE


def test_the_count_of_tries_starts_again_with_each_reading(server):
    server.paths["/image"] = in_turn(*[file(cut=cut) for cut in (HEAD, MIB // 2)], file())
    with open_source(f"{server.url}/image", retries=1) as source:
        with pytest.raises(UnavailableError, match="broke off after"):
            list(source.chunks())
        server.paths["/image"] = in_turn(file(cut=HEAD), file())
        assert b"".join(source.chunks()) == NOISE


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        (file(), file(OTHER, ETag='"v2"'), "its ETag is another now"),
        (file(), file(ETag='"v2"'), "its ETag is another now"),
        (file(), file(OTHER), "its first bytes differ"),
        (file(), file(ETag=None), "it no longer says which version it sends"),
        (file(ETag='W/"v1"'), file(ETag='W/"v2"'), "its ETag is another now"),
        (file(ETag=None), file(OTHER, ETag=None), "its first bytes differ"),
        (
            file(ETag=None),
            file(NOISE[:-1], ETag=None),
            f"it has {len(NOISE) - 1} bytes now, not {len(NOISE)}",
        ),
        (
            file(chunked=True, ETag=None),
            file(NOISE[:9], chunked=True, ETag=None),
            "its first bytes differ",
        ),
    ],
)
def test_another_file_when_it_is_read_again(server, first, second, cause):
    server.paths["/image"] = in_turn(first, second)
    with open_source(f"{server.url}/image?key=s3cret") as source:
        assert b"".join(source.chunks()) == NOISE
        with pytest.raises(IntegrityError) as caught:
            next(source.chunks())
    assert caught.value.message == f"{server.url}/image is another file now"
    assert caught.value.cause == cause


def test_no_file_when_it_is_read_again(server):
    server.paths["/image"] = in_turn(file(), answer(b"", 404))
    with open_source(f"{server.url}/image") as source:
        list(source.chunks())
        with pytest.raises(RefusedError, match="does not answer with a file") as caught:
            next(source.chunks())
    assert caught.value.cause == "404 Not Found"


# Credentials of a connection made anew


def test_redirects_are_followed_anew_each_time(server, elsewhere):
    """Signed addresses expire; what was given goes to the server that signs, not to the other."""
    signed = [f"{elsewhere.url}/blob?key=s3cret{count}" for count in range(3)]
    server.paths["/image"] = in_turn(*[answer(status=302, location=url) for url in signed])
    elsewhere.paths["/blob"] = file(cut=MIB + HEAD)
    url = f"http://user:s3cret@127.0.0.1:{server.port}/image"
    data, tells = told(url, headers={"X-Token": "s3cret"})
    assert data == NOISE
    assert [path for path, _headers in elsewhere.seen] == [
        f"/blob?key=s3cret{count}" for count in range(3)
    ]
    assert elsewhere.asked("range") == server.asked("range")
    assert elsewhere.asked("range") == [None, f"bytes={MIB + HEAD}-", f"bytes={2 * (MIB + HEAD)}-"]
    assert elsewhere.asked("if-range") == [None, '"v1"', '"v1"']
    assert server.asked("authorization") == [basic("user", "s3cret")] * 3
    assert server.asked("x-token") == ["s3cret"] * 3
    assert elsewhere.asked("authorization") == elsewhere.asked("x-token") == [None] * 3
    assert "s3cret" not in str(tells)


def test_a_redirect_to_another_server_after_a_break(server, elsewhere):
    moved = answer(status=302, location=f"{elsewhere.url}/image")
    server.paths["/image"] = in_turn(file(cut=MIB), moved)
    elsewhere.paths["/image"] = file()
    url = f"http://user:pw@127.0.0.1:{server.port}/image"
    assert read(url, headers={"Cookie": "c=1"}, retries=1) == NOISE
    assert server.asked("cookie") == ["c=1"] * 2
    [(_path, headers)] = elsewhere.seen
    assert headers["range"] == f"bytes={MIB}-"
    assert not {"authorization", "cookie"} & headers.keys()


def test_a_redirect_from_https_to_http_after_a_break(secure, server):
    server.paths["/image"] = file()
    target = f"{server.url}/image?key=s3cret"
    error = lost(secure, answer(status=302, location=target))
    assert error.cause == (
        f"{secure.url}/image is redirected from https to http, to {server.url}/image"
    )
    assert server.seen == []


# ~/.netrc


def netrc(text: str, mode: int = 0o600) -> Path:
    path = Path.home() / ".netrc"
    path.write_text(text)
    path.chmod(mode)
    return path


OF_THE_HOST = "machine 127.0.0.1 login ned password n1\n"
DEFAULT = "default login dora password d1\n"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (OF_THE_HOST, basic("ned", "n1")),
        (DEFAULT + OF_THE_HOST, basic("ned", "n1")),
        (DEFAULT, basic("dora", "d1")),
        ("machine 127.0.0.2 login x password y\n", None),
        ("machine 127.0.0.1 login ned\n", basic("ned", "")),
        ("machine 127.0.0.1 password n1\n", basic("", "n1")),
        ("machine 127.0.0.1\n" + DEFAULT, None),
        ("machine 127.0.0.1\n  login ned\n  account a\n  password n1\n", basic("ned", "n1")),
        ("", None),
    ],
)
def test_netrc(server, text, sent):
    netrc(text)
    server.paths["/image"] = answer(b"data")
    assert read(f"{server.url}/image") == b"data"
    assert server.asked("authorization") == [sent]


def test_netrc_of_a_connection_made_anew(server):
    netrc(OF_THE_HOST)
    server.paths["/image"] = in_turn(file(cut=MIB), file())
    assert read(f"{server.url}/image", retries=1) == NOISE
    assert server.asked("authorization") == [basic("ned", "n1")] * 2


@pytest.mark.parametrize("text", [OF_THE_HOST, DEFAULT, "machine 127.0.0.1 s3cret"])
def test_a_header_or_userinfo_counts_more_than_netrc(server, text):
    netrc(text)
    server.paths["/image"] = answer(b"data")
    url = f"http://user:pw@127.0.0.1:{server.port}/image"
    assert read(url) == b"data"
    assert read(f"{server.url}/image", headers={"authorization": "Bearer t"}) == b"data"
    assert read(url, headers={"Authorization": "Bearer t"}) == b"data"
    assert server.asked("authorization") == [basic("user", "pw"), "Bearer t", "Bearer t"]


def test_other_headers_leave_netrc_in_use(server):
    netrc(OF_THE_HOST)
    server.paths["/image"] = answer(b"data")
    assert read(f"{server.url}/image", headers={"X-Token": "t"}) == b"data"
    assert server.asked("authorization") == [basic("ned", "n1")]
    assert server.asked("x-token") == ["t"]


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer t"}])
@pytest.mark.parametrize(
    ("entry", "sent"),
    [("", None), ("machine 127.0.0.2 login eve password e1\n", basic("eve", "e1"))],
)
def test_netrc_of_the_host_that_a_redirect_leads_to(server, elsewhere, given, entry, sent):
    """Never the password of the first host, nor the ``default``."""
    netrc(OF_THE_HOST + entry + DEFAULT)
    server.paths["/image"] = answer(status=302, location=f"{elsewhere.url}/there")
    elsewhere.paths["/there"] = answer(status=302, location="/image")
    elsewhere.paths["/image"] = answer(b"data")
    assert read(f"{server.url}/image", headers=given) == b"data"
    assert server.asked("authorization") == [given.get("Authorization", basic("ned", "n1"))]
    assert elsewhere.asked("authorization") == [sent, sent]


def test_netrc_is_not_for_another_port_nor_for_the_way_back(server, neighbour, elsewhere):
    netrc(OF_THE_HOST + DEFAULT)
    server.paths["/image"] = answer(status=302, location=f"{neighbour.url}/image")
    neighbour.paths["/image"] = answer(status=302, location=f"{elsewhere.url}/image")
    elsewhere.paths["/image"] = answer(status=302, location=f"{server.url}/back")
    server.paths["/back"] = answer(b"data")
    assert read(f"{server.url}/image") == b"data"
    assert server.asked("authorization") == [basic("ned", "n1"), None]
    assert neighbour.asked("authorization") == elsewhere.asked("authorization") == [None]


def test_netrc_of_a_redirect_is_not_for_another_port_of_its_host(server, elsewhere, new_server):
    netrc("machine 127.0.0.2 login eve password e1\n")
    beside = new_server("127.0.0.2")
    server.paths["/image"] = answer(status=302, location=f"{elsewhere.url}/image")
    elsewhere.paths["/image"] = answer(status=302, location=f"{beside.url}/image")
    beside.paths["/image"] = answer(b"data")
    assert read(f"{server.url}/image") == b"data"
    assert elsewhere.asked("authorization") == [basic("eve", "e1")]
    assert beside.asked("authorization") == [None]


def test_netrc_on_the_same_server(server):
    netrc(DEFAULT)
    server.paths["/old"] = answer(status=302, location="/new")
    server.paths["/new"] = answer(b"data")
    assert read(f"{server.url}/old") == b"data"
    assert server.asked("authorization") == [basic("dora", "d1")] * 2


def test_the_default_of_netrc_is_no_host_of_that_name(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    netrc("machine images.invalid login ned password n1\n" + DEFAULT)
    moved = answer(status=302, location="http://default/image")
    server.paths["http://images.invalid/image"] = moved
    server.paths["http://default/image"] = answer(b"data")
    assert read("http://images.invalid/image") == b"data"
    assert server.asked("authorization") == [basic("ned", "n1"), None]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("s3cret", 1),
        ("machine 127.0.0.1 login ned s3cret", 1),
        ("\n\nmachine 127.0.0.1 login ned passwort s3cret # s3cret", 3),
        ("machine 127.0.0.1 login ned password a s3cret", 1),
        ("macdef init\n  s3cret\n", 2),
    ],
)
def test_netrc_that_is_not_valid(server, text, line):
    path = netrc(text)
    error = failure(f"{server.url}/image")
    assert type(error) is UsageError
    assert error.message == f"{path} is not valid at line {line} or the one before"
    assert "s3cret" not in f"{error.message} {error.cause} {error.hint}"
    assert server.seen == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_netrc_that_others_may_read(server, mode):
    path = netrc("machine elsewhere login ned password s3cret", mode)
    error = failure(f"{server.url}/image")
    assert type(error) is UsageError
    assert error.message == f"{path} belongs to somebody else or may be read by others"
    assert error.hint == f"chmod 600 {path}"
    assert "s3cret" not in str(error.cause)
    assert server.seen == []


def test_netrc_that_cannot_be_read(server):
    path = netrc("")
    path.unlink()
    path.mkdir()
    error = failure(f"{server.url}/image")
    assert type(error) is UsageError
    assert (error.message, error.cause) == (f"{path} cannot be read", "Is a directory")


def test_netrc_that_is_no_text(server):
    path = netrc("")
    path.write_bytes(b"machine 127.0.0.1 password s3cret\xff")
    error = failure(f"{server.url}/image")
    assert type(error) is UsageError
    assert (error.message, error.cause) == (f"{path} cannot be read", "it is not text")
