"""Digests: computed in a thread beside the transfer, read from the command line, of files."""

import hashlib
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from glancectl.errors import IntegrityError, RefusedError

if TYPE_CHECKING:
    from hashlib import _Hash

    from glancectl.transfer.checksum import Checksum

_CHUNK = 1 << 20  # bytes
_WAITING = 4  # chunks between the transfer and the hashing thread


class Digests:
    """Hash chunks in one thread of their own, several algorithms at once.

    hashlib releases the GIL, so the transfer goes on meanwhile. Both queues are SimpleQueue,
    which is reentrant: an exception out of a signal handler leaves no lock held behind.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        """Start the thread. Raises RefusedError for an algorithm that hashlib does not have."""
        self._hashes = {name: _new(name) for name in algorithms}
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # None: the end
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()  # one to take for each chunk
        for _ in range(_WAITING):
            self._slots.put(None)
        self._failure: BaseException | None = None
        self._ended = False  # no more chunks are accepted
        self._abandoned = False  # what waits need not be hashed
        self._thread = threading.Thread(target=self._work, name="digests", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def update(self, chunk: bytes) -> None:
        """Hand a chunk to the thread; blocks while as many wait as may.

        Raises what went wrong in the thread, and RuntimeError after ``results`` or ``close``.
        """
        if self._ended:
            raise RuntimeError("Digests.update() after results() or close()")
        self._slots.get()
        if self._failure is not None:
            raise self._failure
        self._chunks.put(chunk)

    def results(self) -> dict[str, str]:
        """Wait for the thread and return algorithm -> hex digest; may be called again.

        Raises what went wrong in the thread, and RuntimeError when ``close`` came first.
        """
        if self._abandoned:
            raise RuntimeError("Digests.results() after close()")
        self._end()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return {name: hash_.hexdigest() for name, hash_ in self._hashes.items()}

    def close(self) -> None:
        """Let the thread end without hashing what still waits; after ``results`` a no-op."""
        if self._thread.is_alive():
            self._abandoned = True
            self._end()

    def _end(self) -> None:
        if not self._ended:
            # Flag and sentinel may both be repeated by a caller that was interrupted between them.
            self._chunks.put(None)
            self._ended = True

    def _work(self) -> None:
        """Hash until the end; after a failure go on taking chunks, so that no update blocks."""
        while (chunk := self._chunks.get()) is not None:
            if self._failure is None and not self._abandoned:
                try:
                    for hash_ in self._hashes.values():
                        hash_.update(chunk)
                except BaseException as error:
                    self._failure = error
            self._slots.put(None)


def hashing(chunks: Iterable[bytes], digests: Digests) -> Iterator[bytes]:
    """Pass chunks through and have each one hashed on the way."""
    for chunk in chunks:
        digests.update(chunk)
        yield chunk


def judged(
    chunks: Iterable[bytes], digests: Digests, checksum: "Checksum | None"
) -> Iterator[bytes]:
    """Pass ``chunks`` on, the last one only after all have come and their checksum holds.

    digests: have hashed the chunks. Raises IntegrityError when it does not.
    """
    held = b""
    for chunk in chunks:
        if held:
            yield held
        held = chunk
    if checksum is not None:
        found = digests.results()[checksum.algorithm]
        if found != checksum.hex:
            raise IntegrityError(
                f"the source does not match --checksum {checksum.algorithm}",
                cause=f"expected {checksum.hex}, got {found}",
            )
    if held:
        yield held


def recorded(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return algorithm and hex digest that an image's record gives for its data, the best it has.

    Clouds older than Glance 17 have the MD5 ``checksum`` alone; None when there is neither.
    """
    if record.get("os_hash_algo") and record.get("os_hash_value"):
        return str(record["os_hash_algo"]), str(record["os_hash_value"])
    return ("md5", str(record["checksum"])) if record.get("checksum") else None


def all_recorded(record: Mapping[str, Any]) -> dict[str, str]:
    """Return all digests that a record has of its data, by algorithm."""
    found = dict(filter(None, [recorded(record)]))
    return found | ({"md5": str(record["checksum"])} if record.get("checksum") else {})


def file_digest(path: str | PathLike[str], algorithm: str) -> str:
    """Return the hex digest of a file, read in blocks of 1 MiB.

    Raises RefusedError for a file that cannot be read or an algorithm that hashlib lacks.
    """
    hash_ = _new(algorithm)
    block = memoryview(bytearray(_CHUNK))
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(block):
                hash_.update(block[:count])
    except OSError as error:
        raise RefusedError(f"cannot read {path}", cause=error.strerror) from None
    return hash_.hexdigest()


def _new(algorithm: str) -> "_Hash":
    """Return a new hash; MD5 too where the system's policy forbids it for security."""
    try:
        hash_ = hashlib.new(algorithm, usedforsecurity=False)
    except ValueError:
        hash_ = None
    if hash_ is None or not hash_.digest_size:  # SHAKE has no length of its own
        raise RefusedError(
            f"the digest algorithm {algorithm!r} is not known here",
            hint="transfers do without it: --no-verify",
        )
    return hash_
