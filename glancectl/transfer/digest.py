"""Digests: computed in a thread beside the transfer, read from the command line, of files."""

import hashlib
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from glancectl.errors import RefusedError

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK = 1 << 20  # bytes
_WAITING = 4  # chunks between the transfer and the hashing thread

# What users may name, with the length of the digest in hex digits.
_CHECKSUMS = {
    "md5": 32,
    "sha1": 40,
    "sha224": 56,
    "sha256": 64,
    "sha384": 96,
    "sha512": 128,
    "sha3_224": 56,
    "sha3_256": 64,
    "sha3_384": 96,
    "sha3_512": 128,
    "blake2b": 128,
    "blake2s": 64,
}
_SPELLINGS = {name.replace("_", ""): name for name in _CHECKSUMS}


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


@dataclass(frozen=True)
class Checksum:
    """An expected digest: the algorithm as hashlib names it, and lower-case hex digits."""

    algorithm: str
    hex: str


def parse_checksum(text: str) -> Checksum:
    """Read ``ALGO:HEX``, in any case and with ``sha-256`` or ``sha3-256`` spelled either way.

    Raises ValueError with a sentence that says what is wrong.
    """
    spelled, colon, digits = text.strip().partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not ALGO:HEX, such as sha256:9f86d0…")
    algorithm = _SPELLINGS.get(spelled.strip().lower().replace("-", "").replace("_", ""))
    if algorithm is None:
        raise ValueError(f"{spelled!r} is not one of {', '.join(_CHECKSUMS)}")
    digits = digits.strip().lower()
    if len(digits) != _CHECKSUMS[algorithm]:
        raise ValueError(
            f"a {algorithm} digest has {_CHECKSUMS[algorithm]} hex digits, not {len(digits)}"
        )
    if not set(digits) <= set("0123456789abcdef"):
        raise ValueError(f"{digits!r} is not hexadecimal")
    return Checksum(algorithm, digits)


def recorded(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return algorithm and hex digest that an image's record gives for its data, the best it has.

    Clouds older than Glance 17 have the MD5 ``checksum`` alone; None when there is neither.
    """
    if record.get("os_hash_algo") and record.get("os_hash_value"):
        return str(record["os_hash_algo"]), str(record["os_hash_value"])
    return ("md5", str(record["checksum"])) if record.get("checksum") else None


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
            hint="--no-verify does without",
        )
    return hash_
