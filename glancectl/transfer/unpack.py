"""Unpacking of gzip, bzip2, xz and zstd data on the way, in bounded memory.

Formats: gzip (RFC 1952), xz ("The .xz File Format" 1.2.1), zstd (RFC 8878), bzip2 (by its
program). In each of them members (streams, frames) may follow one another, as pigz, pbzip2, pixz
and pzstd write them.
"""

import bz2
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

from glancectl.errors import GlancectlError, IntegrityError, RefusedError

KINDS = ("gzip", "bzip2", "xz", "zstd")  # as ``sniff.kind`` names them

_PIECE = 1 << 20  # bytes that come out at once, at most
# Bytes that go in at once. A member's end copies the rest of them: were they more, a block full
# of tiny members would take forever.
_SLICE = 1 << 16
_XZ_MEMORY = 256 << 20  # bytes; what xz -9 packs needs 65 MiB
_ZSTD_WINDOW_LOG = 27  # 128 MiB, as much as zstd(1) takes unless told otherwise

# What a member begins with.
_START = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9]"),
    # The last byte is the type of the check: liblzma verifies nothing when it does not know it.
    "xz": re.compile(rb"\xfd7zXZ\x00\x00[\x00\x01\x04\x0a]"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # the second: to be skipped
}
_LONGEST_START = 8  # bytes
# Zero bytes may follow a member, in multiples of so many: xz, section 2.2; gzip(1) ignores any.
_PADDING = {"gzip": 1, "xz": 4}


class _Decompressor(Protocol):
    """What unpacks one member: of bz2, lzma and zstd their own."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """What unpacks one gzip member, with the face of the others."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)  # with gzip's header and trailer
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.eof = self._inflate.eof
        self.unused_data = self._inflate.unused_data
        self.needs_input = not self._inflate.unconsumed_tail
        return piece


class _Packed:
    """The compressed bytes, a slice at a time, of which the unused can be given back."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._slices = (
            chunk[at : at + _SLICE] for chunk in chunks for at in range(0, len(chunk), _SLICE)
        )
        self._back = b""

    def take(self) -> bytes:
        """Return some bytes, none at the end."""
        data, self._back = self._back, b""
        return data or next(self._slices, b"")

    def give_back(self, data: bytes) -> None:
        self._back = data

    def peek(self, count: int) -> bytes:
        """Return the next ``count`` bytes, fewer at the end, and leave them here."""
        data = self.take()
        while len(data) < count and (more := self.take()):
            data += more
        self.give_back(data)
        return data[:count]

    def skip_zeros(self) -> int:
        """Take the zero bytes that come next and return how many there were."""
        count = 0
        while data := self.take():
            rest = data.lstrip(b"\x00")
            count += len(data) - len(rest)
            if rest:
                self.give_back(rest)
                break
        return count


def unpacked(chunks: Iterable[bytes], kind: str, name: str) -> Iterator[bytes]:
    """Yield what the compressed ``chunks`` unpack to, in pieces of at most 1 MiB.

    kind: one of KINDS. name: of the source, for messages. A checksum comes after what it covers:
    until the end nothing that was yielded is known to be right.
    Raises IntegrityError for data of another kind, corrupt or truncated, and trailing garbage;
    RefusedError when unpacking takes more than 256 MiB of memory (xz) or a window of more than
    128 MiB (zstd). What ``chunks`` raises passes through.
    """
    new, failure = _library(kind)
    packed = _Packed(chunks)
    start = packed.peek(_LONGEST_START)
    if start and not _START[kind].match(start):
        raise IntegrityError(
            f"{name} is not {kind} data that can be unpacked and verified",
            hint="--decompress none sends it as it is",
        )
    good = 0  # bytes
    more = True
    while more:
        member = new()
        while not member.eof:
            data = packed.take() if member.needs_input else b""
            if member.needs_input and not data:
                raise IntegrityError(
                    f"{name} ended in the middle of its {kind} data, {good} bytes unpacked",
                    hint="copy or download it again",
                )
            try:
                piece = member.decompress(data, _PIECE)
            except failure as error:
                raise _failed(error, kind, name, good) from None
            if piece:
                good += len(piece)
                yield piece
        packed.give_back(member.unused_data)
        more = _has_member(packed, kind, name, good)


def _library(kind: str) -> tuple[Callable[[], _Decompressor], type[Exception]]:
    """Return what makes a decompressor, and what that raises for bad data."""
    if kind == "gzip":
        return _Gzip, zlib.error
    if kind == "bzip2":
        return bz2.BZ2Decompressor, OSError
    if kind == "xz":
        return partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, _XZ_MEMORY), lzma.LZMAError
    if sys.version_info >= (3, 14):
        from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
    else:
        from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
    options: dict[int, int] = {DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return partial(ZstdDecompressor, options=options), ZstdError


def _has_member(packed: _Packed, kind: str, name: str, good: int) -> bool:
    """Skip padding and tell whether a member follows; IntegrityError for anything else."""
    zeros = packed.skip_zeros() if kind in _PADDING else 0
    start = packed.peek(_LONGEST_START)
    # Padding of gzip ends the file: gzip(1) would leave out a member that comes after it.
    follows = _START[kind].match(start) and not (kind == "gzip" and zeros)
    if (start and not follows) or (zeros and zeros % _PADDING[kind]):
        raise IntegrityError(
            f"{name} has trailing garbage after its {kind} data, {good} bytes unpacked",
            hint="unpack it first and pipe it in",
        )
    return bool(start)


def _failed(error: Exception, kind: str, name: str, good: int) -> GlancectlError:
    # The libraries tell it in words only: "Memory usage limit exceeded" (lzma), "Frame requires
    # too much memory for decoding" (libzstd).
    if "memory" in str(error).lower():
        return RefusedError(
            f"{name} needs more memory to unpack than is allowed",
            cause=str(error),
            hint="unpack it first and pipe it in",
        )
    return IntegrityError(
        f"{name} has corrupt {kind} data, {good} bytes unpacked",
        cause=str(error),
        hint="copy or download it again",
    )
