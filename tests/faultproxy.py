"""A proxy between glancectl and the real Glance that counts requests and makes faults.

It speaks HTTP/1.1 on raw sockets, one connection a request, so that it can cut, stall and answer
at any byte. What it is not told to break it passes on as it is.
"""

import contextlib
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Fault:
    """One way of failing, for requests that match ``on`` (a regex on "METHOD /path?query").

    Where a request has a Range header, its value follows there: "GET /path bytes=0-9".

    times: how many requests it hits; None: all. status, headers and body: answer that without
    asking Glance (``early``: before the request's body was read). cut: close after this many
    bytes of the answer's body. cut_request: close after this many bytes of the request's body.
    flip: invert the answer's byte at this place. flip_in, flip_too: change the one after these.
    stall: seconds of silence before the answer, or after ``stall_at`` bytes of its body.
    drop_length: send the answer without Content-Length. lose_answer: let Glance carry the request
    out, then close without its answer. carry_out: likewise, then answer with ``status``. reset:
    close with RST instead of FIN.
    no_range: pass the request on without its Range. wrong_range: shift where the answer's
    Content-Range begins. longer: add this to the answer's Content-Length.
    flip_request: invert the byte at this place of the request's body. stall_request: be silent
    for ``stall`` seconds after this many bytes of it. early_at: after as many, answer ``status``
    and end the connection, without reading on if it is to be ``reset``. deaf: refuse connections
    for so many seconds from now on. late: with ``cut_request``: let Glance see the request, as far
    as it came, only so many seconds after the client was cut off, and its end a second later.
    skip: let as many matching requests pass first. drop: hang up, not asking Glance. raw: answer
    these bytes, whatever they are. rewrite: makes another body of Glance's.
    """

    on: str
    times: int | None = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    early: bool = False
    cut: int | None = None
    cut_request: int | None = None
    flip: int | None = None
    flip_in: bytes = b""
    flip_too: bytes = b""
    stall: float = 0.0
    drop_length: bool = False
    lose_answer: bool = False
    carry_out: bool = False
    reset: bool = False
    stall_at: int | None = None
    no_range: bool = False
    wrong_range: int = 0
    longer: int = 0
    flip_request: int | None = None
    stall_request: int | None = None
    early_at: int | None = None
    deaf: float = 0.0
    late: float = 0.0
    skip: int = 0
    drop: bool = False
    raw: bytes = b""
    rewrite: Callable[[bytes], bytes] | None = None


class FaultProxy:
    """A listening proxy; ``url`` is its address, ``requests`` what came, in order."""

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        self.requests: list[str] = []
        self.tokens: list[str] = []
        self.faults: list[Fault] = []
        self._listen()

    def add(self, on: str, **fault: object) -> None:
        """Break the next matching request (see Fault)."""
        self.faults.append(Fault(on, **fault))

    def count(self, pattern: str = "") -> int:
        """Return how many requests matched ``pattern``."""
        return sum(1 for request in self.requests if re.search(pattern, request))

    def close(self) -> None:
        """Stop listening and wait for what is under way."""
        self._closing.set()
        self._stop_listening()
        for thread in self._threads:
            thread.join(5)

    def _listen(self) -> None:
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepter.join(5)

    def _be_deaf(self, seconds: float) -> None:
        """Refuse connections for so long, as a service that is started anew does."""
        address = self._socket.getsockname()
        self._stop_listening()

        def listen_again() -> None:
            if not self._closing.wait(seconds):
                self._socket = socket.create_server(address)
                self._listen()

        thread = threading.Thread(target=listen_again, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(client.close)
            client.settimeout(120)
            if self._tls:
                client = stack.enter_context(self._tls.wrap_socket(client, server_side=True))
            head, rest = _read_head(client)
            if not head:
                return
            line = head.split(b"\r\n")[0].decode("latin-1").rsplit(" ", 1)[0]
            fault = self._note(line, head)
            if fault and fault.deaf:
                self._be_deaf(fault.deaf)
            self._handle(client, head, rest, fault)

    def _note(self, line: str, head: bytes) -> Fault | None:
        if asked := re.search(rb"(?i)\r\nrange: *([^\r]+)", head):
            line += f" {asked[1].decode()}"
        with self._lock:
            self.requests.append(line)
            found = re.search(rb"(?i)x-auth-token: *([^\r]+)", head)
            self.tokens.append(found[1].decode() if found else "")
            for fault in self.faults:
                if re.search(fault.on, line) and fault.times != 0:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def _handle(self, client: socket.socket, head: bytes, rest: bytes, fault: Fault | None) -> None:
        if fault and fault.stall and fault.stall_at is None and fault.stall_request is None:
            self._closing.wait(fault.stall)
        if fault and fault.early and fault.status is not None:
            client.sendall(_answer(fault))
            time.sleep(0.2)  # the client still sends; closing now would turn this into a reset
            return
        if fault and (fault.drop or fault.raw):
            for _ in _body(client, head, rest):
                pass
            client.sendall(fault.raw)
            _hang_up(client, fault)
            return
        with socket.create_connection(self._upstream, timeout=120) as server:
            limit = fault.cut_request if fault else None
            is_asked = fault and (fault.carry_out or fault.early_at is not None)
            if fault and fault.status is not None and not is_asked:
                for _ in _body(client, head, rest):
                    pass
                client.sendall(_answer(fault))
                return
            if fault and fault.no_range:
                head = re.sub(rb"(?i)\r\nrange:[^\r]*", b"", head)
            if fault and fault.late:
                self._pass_on_late(client, server, _one_shot(head), fault)
                return
            server.sendall(_one_shot(head))
            sent = 0
            for piece in _parted(_body(client, head, rest), fault):
                if fault and fault.flip_request is not None:
                    piece = _flipped(piece, fault.flip_request - sent)
                if limit is not None and sent + len(piece) > limit:
                    server.sendall(piece[: limit - sent])
                    _hang_up(client, fault)
                    return
                try:
                    server.sendall(piece)
                except OSError:
                    break  # Glance has answered early, which is to be passed on as well
                sent += len(piece)
                if fault and sent == fault.stall_request:
                    _stay_silent(client, fault.stall, server)
                if fault and sent == fault.early_at:
                    _answer_early(client, fault)
                    return
            self._return(client, server, fault)

    def _pass_on_late(
        self, client: socket.socket, server: socket.socket, head: bytes, fault: Fault
    ) -> None:
        client.close()
        self._closing.wait(fault.late)
        server.sendall(head + bytes(fault.cut_request or 0))
        self._closing.wait(1)

    def _return(self, client: socket.socket, server: socket.socket, fault: Fault | None) -> None:
        head, rest = _read_head(server)
        if fault and fault.lose_answer:
            _hang_up(client, fault)
            return
        if fault and fault.carry_out:
            client.sendall(_answer(fault))
            return
        if fault and fault.rewrite:
            body = fault.rewrite(rest + _rest(server))
            head = re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head)
            client.sendall(head + body)
            return
        if fault and fault.drop_length:
            head = re.sub(rb"(?i)content-length: *\d+\r\n", b"", head)
        if fault and fault.wrong_range:
            head = _changed(head, rb"content-range: *bytes ", fault.wrong_range)
        if fault and fault.longer:
            head = _changed(head, rb"content-length: *", fault.longer)
        client.sendall(head)
        done = 0
        while rest or (rest := server.recv(1 << 16)):
            if fault and fault.flip is not None and done <= fault.flip < done + len(rest):
                place = fault.flip - done
                rest = rest[:place] + bytes([rest[place] ^ 0xFF]) + rest[place + 1 :]
            for mark in (fault.flip_in, fault.flip_too) if fault else ():
                if mark and mark in rest:
                    before, _, after = rest.partition(mark)
                    rest = before + mark + (b"1" if after[:1] != b"1" else b"2") + after[1:]
            if fault and fault.stall_at is not None and done + len(rest) > fault.stall_at:
                client.sendall(rest[: fault.stall_at - done])
                done, rest = fault.stall_at, rest[fault.stall_at - done :]
                _stay_silent(client, fault.stall)
                fault.stall_at = None
            if fault and fault.cut is not None and done + len(rest) > fault.cut:
                client.sendall(rest[: fault.cut - done])
                _hang_up(client, fault)
                return
            client.sendall(rest)
            done += len(rest)
            rest = b""


def _read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1 << 16)
        if not piece:
            return b"", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _rest(sock: socket.socket) -> bytes:
    """Return all that still comes until the other end closes."""
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def _body(client: socket.socket, head: bytes, rest: bytes) -> Iterator[bytes]:
    """Yield the request's body as it is on the wire, chunked framing included."""
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    chunked = re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head)
    left = int(length[1]) if length else 0
    tail = b""
    is_whole: Callable[[int], bool] = lambda done: done >= left  # noqa: E731
    done = 0
    while True:
        if rest:
            yield rest
            done += len(rest)
            tail = (tail + rest)[-5:]
        if tail == b"0\r\n\r\n" if chunked else is_whole(done):
            return
        rest = client.recv(1 << 16)
        if not rest:
            raise ConnectionResetError("the client has gone")  # upstream shall see it go, too


def _parted(pieces: Iterator[bytes], fault: Fault | None) -> Iterator[bytes]:
    """Yield the same bytes, one piece ending at the place where the fault stalls or answers."""
    place = None if fault is None else fault.stall_request or fault.early_at
    for piece in pieces:
        if place is not None and 0 < place < len(piece):
            yield piece[:place]
            yield piece[place:]
        else:
            yield piece
        place = None if place is None else place - len(piece)


def _flipped(piece: bytes, place: int) -> bytes:
    if not 0 <= place < len(piece):
        return piece
    return piece[:place] + bytes([piece[place] ^ 0xFF]) + piece[place + 1 :]


def _stay_silent(
    client: socket.socket, seconds: float, server: socket.socket | None = None
) -> None:
    """Do nothing for so long, but notice as any proxy does when one of the ends goes away.

    server: None once it has answered.
    """
    end = time.monotonic() + seconds
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    if server is not None:
        poll.register(server, select.POLLIN)
    while found := poll.poll(max(end - time.monotonic(), 0) * 1000):
        if server is None or found[0][0] != server.fileno() or not server.recv(1, socket.MSG_PEEK):
            raise ConnectionResetError("one of the ends has gone")
        poll.unregister(server)  # it has answered


def _answer_early(client: socket.socket, fault: Fault) -> None:
    """Answer in the middle of the request's body; then close, as nginx does, or break off.

    nginx (lingering_close) sends FIN and reads on for a while; others close at once, which makes
    the kernel answer what still comes with RST.
    """
    client.sendall(_answer(fault))
    if fault.reset:
        _hang_up(client, fault)
        return
    client.shutdown(socket.SHUT_WR)
    while client.recv(1 << 20):
        pass


def _one_shot(head: bytes) -> bytes:
    """Ask the upstream to close after the answer: its end is then the connection's."""
    head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)
    return head[:-2] + b"Connection: close\r\n\r\n"


def _changed(head: bytes, before: bytes, by: int) -> bytes:
    """Return a head with ``by`` added to the number that follows ``before``."""
    return re.sub(
        b"(?i)(" + before + rb")(\d+)", lambda found: found[1] + b"%d" % (int(found[2]) + by), head
    )


def _answer(fault: Fault) -> bytes:
    headers = {"Content-Length": str(len(fault.body)), "Connection": "close", **fault.headers}
    lines = [f"HTTP/1.1 {fault.status} Fault", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + fault.body


def _hang_up(client: socket.socket, fault: Fault | None) -> None:
    if fault and fault.reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
