"""Pass bytes on between a client and a service, and count the requests among them."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

# The first line of a request; no body that a client sends here has a line like it.
REQUEST = re.compile(rb"^[A-Z]+ \S+ HTTP/1\.[01]\r$", re.MULTILINE)


class Counter:
    """A port of this machine that stands for a service. url: what clients are told instead of it.

    count: the requests so far.
    """

    def __init__(self, service: str, listener: socket.socket) -> None:
        parts = urlsplit(service)
        self._address = (parts.hostname, parts.port or 80)
        self._listener = listener
        self.url = parts._replace(netloc=f"127.0.0.1:{listener.getsockname()[1]}").geturl()
        self.count = 0

    def serve(self) -> None:
        """Take connections until the port is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                service = socket.create_connection(self._address)
                for ends in ((client, service), (service, client)):
                    counts = ends[0] is client
                    threading.Thread(
                        target=self._pass_on, args=(*ends, counts), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, to: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if counts:
                    self.count += len(REQUEST.findall(data))
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def counted(service: str) -> Iterator[Counter]:
    """Stand for the service at a URL until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        counter = Counter(service, listener)
        threading.Thread(target=counter.serve, daemon=True).start()
        yield counter
        listener.shutdown(socket.SHUT_RDWR)
