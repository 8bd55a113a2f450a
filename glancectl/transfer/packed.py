"""A compressed source as the payload that it unpacks to."""

from collections.abc import Iterator

from glancectl.errors import RefusedError
from glancectl.transfer.digest import Digests, hashing, judged
from glancectl.transfer.source import HEAD, Source, fill
from glancectl.transfer.unpack import unpacked


def unpacked_source(packed: Source, kind: str, *, allow_empty: bool) -> Source:
    """Return the source of what ``packed``, compressed as ``kind``, unpacks to.

    The checksum of ``packed`` is of its compressed bytes and judged here, before the last of what
    they unpack to is handed on. Raises what ``unpacked`` raises, and RefusedError when nothing
    comes out of it.
    """
    stream = _Unpacking(packed, kind)
    head = fill(stream.read, HEAD)
    if not head and not allow_empty:
        raise RefusedError(
            f"{packed.name} unpacks to nothing", hint="--allow-empty makes an image without data"
        )
    source = Source(
        packed.name,
        read=stream.read,
        head=head,
        size=len(head) if len(head) < HEAD else None,
        close=packed.close,
        file_name=packed.file_name,
        rewind=stream.rewind if packed.restartable else None,
        is_local=packed.is_local,
    )
    # Who listens is known later, to the source that is sent.
    packed.tell = lambda reason, attempt, of: source.tell(reason, attempt, of)
    return source


class _Unpacking:
    """The bytes that a source unpacks to, at most as many at a time as asked for."""

    def __init__(self, packed: Source, kind: str) -> None:
        self._packed = packed
        self._kind = kind
        self.rewind()

    def rewind(self) -> None:
        """Go to the start."""
        self._pieces = self._unpacked()
        self._left = b""

    def read(self, count: int) -> bytes:
        """Return some bytes, none at the end."""
        data = self._left or next(self._pieces, b"")
        self._left = data[count:]
        return data[:count]

    def _unpacked(self) -> Iterator[bytes]:
        checksum = self._packed.checksum
        with Digests([checksum.algorithm] if checksum else []) as digests:
            chunks = judged(hashing(self._packed.chunks(), digests), digests, checksum)
            yield from unpacked(chunks, self._kind, self._packed.name)
