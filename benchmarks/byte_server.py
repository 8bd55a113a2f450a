"""Serve one file as an image, with as little work for each byte as the kernel allows.

The floor under ``transfers.py``, no test: it speaks just as much of the Image API v2 as glancectl,
glance, openstack and curl need for a transfer, takes any token, drops what is uploaded unread and
says of it the digests it was started with. What clients do right is tested with the real Glance.

The first line on stdout is the URL; the end of stdin ends the process.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import parse_qs, urlsplit

IMAGE_ID = "00000000-0000-4000-8000-000000000001"  # of the file that is served
BLOCK = 1 << 20  # bytes
LINES = 1 << 12  # bytes asked for when a line is wanted; what comes after it is better dropped
SLICES = 50  # a second, when the rate is limited

Record = dict[str, object]


class Served(NamedTuple):
    """What all connections share. rate: bytes a second for each of them, None without limit."""

    file: BinaryIO
    records: dict[str, Record]
    digests: Record
    rate: float | None


class Request(NamedTuple):
    """The head of a request; the names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class Connection:
    """One connection: lines in, bytes dropped, parts of a file out, at no more than its rate."""

    def __init__(self, sock: socket.socket, rate: float | None) -> None:
        self.sock = sock
        self._ahead = b""  # received, from ``_at`` on not used yet
        self._at = 0
        self._block = memoryview(bytearray(BLOCK))
        self.is_tls = isinstance(sock, ssl.SSLSocket)
        self._slice = int(rate / SLICES) if rate else 1 << 30
        self._rate = rate
        self._due = 0.0

    def line(self) -> str:
        """Return the next line without its end. Raises ConnectionError when there is none."""
        while (end := self._ahead.find(b"\n", self._at)) < 0:
            more = self.sock.recv(LINES)
            if not more:
                raise ConnectionError("the client is gone")
            self._ahead = self._ahead[self._at :] + more
            self._at = 0
        line = self._ahead[self._at : end]
        self._at = end + 1
        return line.decode("latin-1").rstrip("\r")

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes, a small body."""
        while len(self._ahead) - self._at < count and (more := self.sock.recv(LINES)):
            self._ahead += more
        data = self._ahead[self._at : self._at + count]
        self._at += len(data)
        return data

    def drop(self, count: int) -> None:
        """Receive ``count`` bytes and drop them, over TCP without copying (tcp(7), MSG_TRUNC)."""
        ahead = min(count, len(self._ahead) - self._at)
        self._at += ahead
        left = count - ahead
        flags = 0 if self.is_tls else socket.MSG_TRUNC
        while left:
            got = self.sock.recv_into(self._block, min(left, BLOCK, self._slice), flags)
            if not got:
                raise ConnectionError("the client is gone")
            left -= got
            self._pace(got)

    def send_part(self, file: BinaryIO, start: int, end: int) -> None:
        """Send the bytes of ``file`` from ``start`` up to ``end``, without copying but for TLS."""
        while start < end:
            if self.is_tls:
                count = os.preadv(
                    file.fileno(), [self._block[: min(end - start, self._slice)]], start
                )
                self.sock.sendall(self._block[:count])
            else:
                count = min(end - start, self._slice)
                count = os.sendfile(self.sock.fileno(), file.fileno(), start, count)
            start += count
            self._pace(count)

    def _pace(self, count: int) -> None:
        """Wait until ``count`` more bytes are due; an idle time earns nothing."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._due = max(self._due, now - 1 / SLICES) + count / self._rate
        if self._due > now:
            time.sleep(self._due - now)


def serve(connection: Connection, served: Served) -> None:
    """Answer the requests of one connection until the client leaves."""
    while True:
        request = _request(connection)
        if request.headers.get("expect", "").lower() == "100-continue":
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        _answer(connection, served, request)


def _request(connection: Connection) -> Request:
    method, target, _version = connection.line().split(" ")
    headers = {}
    while line := connection.line():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, target, headers)


def _answer(connection: Connection, served: Served, request: Request) -> None:
    url = urlsplit(request.path)
    match request.method, url.path.strip("/").split("/"):
        case "PUT", ["v2", "images", image_id, "file"]:
            size = _drop_body(connection, request)
            record = served.records.setdefault(image_id, _record(image_id))
            record |= {**served.digests, "size": size, "status": "active"}
            _reply(connection, 204)
        case "GET", ["v2", "images", image_id, "file"] if image_id == IMAGE_ID:
            _send_file(connection, served, request)
        case "GET", ["v2", "images", image_id] if image_id in served.records:
            _reply(connection, 200, served.records[image_id])
        case "GET", ["v2", "images"]:
            _reply(connection, 200, {"images": _named(served, url.query)})
        case "POST", ["v2", "images"]:
            fields = json.loads(connection.read(int(request.headers["content-length"])))
            record = _record(str(fields.get("id") or uuid.uuid4())) | fields
            served.records[str(record["id"])] = record
            _reply(connection, 201, record)
        case "GET", ["v2", "schemas", "image"]:
            _reply(connection, 200, _schema())
        case "GET", ["" | "versions"] | ["v2"]:
            _reply(connection, 300, _versions(connection, request))
        case _:
            _drop_body(connection, request)
            _reply(connection, 404, {"message": "not served by the byte server"})


def _drop_body(connection: Connection, request: Request) -> int:
    """Drop the body, chunked (RFC 9112, 7.1) or of a given length; return its size in bytes."""
    if request.headers.get("transfer-encoding", "").lower() != "chunked":
        size = int(request.headers.get("content-length", 0))
        connection.drop(size)
        return size
    size = 0
    while count := int(connection.line().partition(";")[0], 16):
        connection.drop(count)
        connection.line()
        size += count
    while connection.line():  # trailers
        pass
    return size


def _send_file(connection: Connection, served: Served, request: Request) -> None:
    """Send the image's data, or the one range that is asked for (RFC 9110, 14)."""
    size = os.fstat(served.file.fileno()).st_size
    common = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        checksum = served.digests.get("checksum")
        headers = {"Content-MD5": str(checksum)} if checksum else {}
        _head(connection, 200, size, {**common, **headers})
        connection.send_part(served.file, 0, size)
        return
    start = int(asked[1])
    end = min(int(asked[2]) + 1, size) if asked[2] else size
    if start >= end:
        _head(connection, 416, 0, {**common, "Content-Range": f"bytes */{size}"})
        return
    content_range = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
    _head(connection, 206, end - start, {**common, **content_range})
    connection.send_part(served.file, start, end)


def _reply(connection: Connection, status: int, body: Record | None = None) -> None:
    if body is None:
        _head(connection, status, 0, {})
        return
    content = json.dumps(body).encode()
    _head(connection, status, len(content), {"Content-Type": "application/json"}, content)


def _head(
    connection: Connection, status: int, length: int, headers: dict[str, str], content: bytes = b""
) -> None:
    """Send the head of an answer and, in the same packet, a small body."""
    lines = [f"HTTP/1.1 {status} -"]
    if status != 204:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    connection.sock.sendall("\r\n".join([*lines, "", ""]).encode() + content)


def _record(image_id: str) -> Record:
    """Return a queued record with the keys that Glance gives to each one."""
    now = "2026-01-01T00:00:00Z"
    return {
        "id": image_id,
        "name": None,
        "status": "queued",
        "visibility": "shared",
        "disk_format": None,
        "container_format": None,
        "size": None,
        "virtual_size": None,
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "os_hidden": False,
        "protected": False,
        "min_disk": 0,
        "min_ram": 0,
        "owner": "benchmark",
        "tags": [],
        "created_at": now,
        "updated_at": now,
        "self": f"/v2/images/{image_id}",
        "file": f"/v2/images/{image_id}/file",
        "schema": "/v2/schemas/image",
    }


def _named(served: Served, query: str) -> list[Record]:
    name = parse_qs(query).get("name", [None])[0]
    return [r for r in list(served.records.values()) if name is None or r["name"] == name]


def _schema() -> Record:
    """Return as much of Glance's schema of an image as glance makes its options from."""
    settable = {"id": "string", "name": "string", "disk_format": "string", "tags": "array"}
    settable |= {"container_format": "string", "visibility": "string", "min_disk": "integer"}
    properties: Record = {name: {"readOnly": name not in settable} for name in _record("")}
    for name, kind in settable.items():
        properties[name] = {"type": ["null", kind], "items": {"type": "string"}}
    return {"name": "image", "properties": properties, "additionalProperties": {"type": "string"}}


def _versions(connection: Connection, request: Request) -> Record:
    """Return the version list of Glance, which openstack asks for."""
    scheme = "https" if connection.is_tls else "http"
    link = {"rel": "self", "href": f"{scheme}://{request.headers['host']}/v2/"}
    return {"versions": [{"id": "v2.17", "status": "CURRENT", "links": [link]}]}


def _connections(listener: socket.socket) -> Iterator[socket.socket]:
    while True:
        sock, _address = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


def _handle(sock: socket.socket, served: Served, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):  # the client is gone
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True)
        with sock:
            serve(Connection(sock, served.rate), served)


def _accept(listener: socket.socket, served: Served, tls: ssl.SSLContext | None) -> None:
    for sock in _connections(listener):
        threading.Thread(target=_handle, args=(sock, served, tls), daemon=True).start()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="the data of the image")
    parser.add_argument("--sha512", required=True, help="their digest, in hex")
    parser.add_argument("--md5", help="their MD5, which openstack verifies")
    parser.add_argument("--rate", type=float, metavar="BYTES", help="a second, each connection")
    parser.add_argument("--tls", type=Path, metavar="PEM", help="certificate and key in one file")
    return parser.parse_args()


def main() -> None:
    """Serve until stdin ends."""
    arguments = _arguments()
    tls = None
    if arguments.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.tls)
    digests: Record = {
        "os_hash_algo": "sha512",
        "os_hash_value": arguments.sha512,
        "checksum": arguments.md5,
    }
    formats = {"name": "benchmark", "disk_format": "raw", "container_format": "bare"}
    size = arguments.file.stat().st_size
    active = {**_record(IMAGE_ID), **formats, **digests, "size": size, "status": "active"}
    with open(arguments.file, "rb", buffering=0) as file:
        served = Served(file, {IMAGE_ID: active}, digests, arguments.rate)
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=_accept, args=(listener, served, tls), daemon=True).start()
        scheme = "https" if tls else "http"
        sys.stdout.write(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
