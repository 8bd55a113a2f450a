"""How many requests a command makes: what its speed hangs on, asserted without a clock."""

import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Project, run
from faultproxy import FaultProxy

# With a cached token. {id} and {name} are an active image of 3 MiB, {queued} a record without data,
# {file} a file, {project} the id of another project.
REQUESTS = {
    "image show {id}": 1,
    "image show {name}": 2,
    "image list": 1,
    "image list --long --sort name --tag a --property os_distro=x": 1,
    "image list --limit 2": 1,
    "image list --page-size 2": 3,  # of five: the last page is not full
    "image list --page-size 2 --match 'listed *' --limit 1": 1,
    "image create new": 1,
    "image create new --file {file} --disk-format raw": 3,
    "image upload {queued} {file}": 3,  # its record says what kind of disk may be in it
    "image download {id} out": 2,
    "image delete {id}": 1,
    "image delete {id} {queued}": 2,
    "image delete {name}": 3,
    "image update {id} --name other": 2,
    "image update {name} --property a=b": 3,
    "image update {id} --name this": 1,  # nothing to change
    "image deactivate {id}": 3,  # it may be so already; and what became of it is shown
    "image activate {id}": 1,
    "tag list": 1,
    "tag list {id}": 1,
    "tag add {id} one": 2,  # it may have it already
    "tag add {id} one two three": 2,
    "tag remove {id} t": 2,
    "tag replace {id} one two": 2,
    "member list {id}": 1,
    "member add {shared} {project}": 2,  # a private one has to be shared first
    "member inbox": 2,  # hidden images are in a list of their own
    "task list --image {id}": 1,
    "store list": 1,
    "auth token": 0,
    "auth status": 0,
}


def world(command: str, raw: Path) -> dict[str, str]:
    """Make what a command names, and a token in the cache."""
    making = {
        "id": ["this", "--disk-format", "raw", "--tag", "t", "--file", raw],
        "queued": ["empty", "--disk-format", "raw"],
        "shared": ["offered", "--visibility", "shared"],
    }
    words = command.replace("{name}", "{name}{id}")
    wanted = [key for key in making if f"{{{key}}}" in words]
    made = {key: run("image", "create", "-q", *making[key]).out.strip() for key in wanted}
    for number in range(5 if command.startswith("image list") else 0):
        run("image", "create", f"listed {number}")
    run("auth", "token")
    return {**made, "name": "this", "file": str(raw), "project": "f" * 32}


@pytest.mark.parametrize(("command", "count"), REQUESTS.items(), ids=REQUESTS)
def test_a_warm_command_makes_the_fewest_requests(
    proxy: FaultProxy, raw: Path, command: str, count: int
) -> None:
    argv = shlex.split(command.format(**world(command, raw)))
    proxy.requests.clear()
    run(*argv, *(["--no-check"] if "{project}" in command else []))
    assert len(proxy.requests) == count, proxy.requests


class Relay:
    """Pass connections on to Glance as they are, and count them."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(self._upstream)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with source:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def relay(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    made = Relay(project.sandbox.glance)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", made.url)
    yield made
    made.close()


def test_a_command_keeps_its_connection(relay: Relay, raw: Path) -> None:
    run("image", "create", "x", "--file", raw, "--disk-format", "raw")
    assert relay.connections == 1
    run("image", "create", "y")
    run("image", "list", "--page-size", "1")
    assert relay.connections == 3
