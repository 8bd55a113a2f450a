"""A proxy between glancectl and the real Glance that counts requests and makes faults.

It speaks HTTP/1.1 on raw sockets, one connection a request, so that it can cut, stall and answer
at any byte. What it is not told to break it passes on as it is.
"""

import contextlib
import re
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

    times: how many requests it hits; None: all. status, headers and body: answer that without
    asking Glance (``early``: before the request's body was read). cut: close after this many
    bytes of the answer's body. cut_request: close after this many bytes of the request's body.
    flip: invert the answer's byte at this place. flip_in, flip_too: change the one after these.
    stall: seconds of silence before the answer. drop_length: send the answer without
    Content-Length. lose_answer: let Glance carry the request out, then close without its answer.
    carry_out: likewise, then answer with ``status``. reset: close with RST instead of FIN.
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
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    def add(self, on: str, **fault: object) -> None:
        """Break the next matching request (see Fault)."""
        self.faults.append(Fault(on, **fault))

    def count(self, pattern: str = "") -> int:
        """Return how many requests matched ``pattern``."""
        return sum(1 for request in self.requests if re.search(pattern, request))

    def close(self) -> None:
        """Stop listening and wait for what is under way."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepter.join(5)
        for thread in self._threads:
            thread.join(5)

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
            self._handle(client, head, rest, fault)

    def _note(self, line: str, head: bytes) -> Fault | None:
        with self._lock:
            self.requests.append(line)
            found = re.search(rb"(?i)x-auth-token: *([^\r]+)", head)
            self.tokens.append(found[1].decode() if found else "")
            for fault in self.faults:
                if re.search(fault.on, line) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def _handle(self, client: socket.socket, head: bytes, rest: bytes, fault: Fault | None) -> None:
        if fault and fault.stall:
            self._closing.wait(fault.stall)
        if fault and fault.early and fault.status is not None:
            client.sendall(_answer(fault))
            time.sleep(0.2)  # the client still sends; closing now would turn this into a reset
            return
        with socket.create_connection(self._upstream, timeout=120) as server:
            limit = fault.cut_request if fault else None
            if fault and fault.status is not None and not fault.carry_out:
                for _ in _body(client, head, rest):
                    pass
                client.sendall(_answer(fault))
                return
            server.sendall(_one_shot(head))
            sent = 0
            for piece in _body(client, head, rest):
                if limit is not None and sent + len(piece) > limit:
                    server.sendall(piece[: limit - sent])
                    _hang_up(client, fault)
                    return
                server.sendall(piece)
                sent += len(piece)
            self._return(client, server, fault)

    def _return(self, client: socket.socket, server: socket.socket, fault: Fault | None) -> None:
        head, rest = _read_head(server)
        if fault and fault.lose_answer:
            _hang_up(client, fault)
            return
        if fault and fault.carry_out:
            client.sendall(_answer(fault))
            return
        if fault and fault.drop_length:
            head = re.sub(rb"(?i)content-length: *\d+\r\n", b"", head)
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


def _one_shot(head: bytes) -> bytes:
    """Ask the upstream to close after the answer: its end is then the connection's."""
    head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)
    return head[:-2] + b"Connection: close\r\n\r\n"


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
