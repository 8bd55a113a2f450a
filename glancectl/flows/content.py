"""What shall be published, and whether an image has it already, told before anything is sent."""

from dataclasses import dataclass

from glancectl.api import Image
from glancectl.transfer.checksum import Checksum
from glancectl.transfer.digest import Digests, all_recorded, hashing, judged, recorded
from glancectl.transfer.display import HASHING
from glancectl.transfer.progress import Progress
from glancectl.transfer.source import Source

SOURCE = "glancectl_source"  # what the source hashed to, where Glance records another digest


@dataclass(frozen=True)
class Content:
    """What shall be published.

    payload: the data. checksum: of the source, if known before it is read. is_unpacked: the
    payload is not that source itself, but what it unpacks to. disk_format: what the first bytes
    tell, for a record that is not told.
    """

    payload: Source
    checksum: Checksum | None = None
    is_unpacked: bool = False
    disk_format: str | None = None


class Seen:
    """What can be told of a content before it is sent. unsure: an image may have it or not."""

    def __init__(self, content: Content, progress: Progress) -> None:
        self.unsure = False
        self._content = content
        self._progress = progress
        self._read: dict[str, str] = {}  # digests of the payload, by algorithm

    def is_in(self, record: Image) -> bool:
        """Tell whether an image surely has the content.

        A payload that can be read twice, and at no cost, is read. Of any other the checksum tells,
        which is believed: it is what the user says that the content has to be.
        """
        payload, stored = self._content.payload, recorded(record)
        if stored is None or payload.size not in (None, record.get("size")):
            return False
        if payload.is_local and payload.restartable:
            return self._hashed(stored[0]) == stored[1]
        checksum = self._content.checksum
        if checksum is not None and _is_recorded(self._content, record):
            return all_recorded(record)[checksum.algorithm] == checksum.hex
        claimed = claim(self._content, record)
        is_known = bool(claimed) and record.get(SOURCE) == claimed[SOURCE]
        self.unsure |= not is_known
        return is_known

    def done(self) -> None:
        """Tell that nothing is sent after all, if the payload had to be read to know."""
        for algorithm, digest in self._read.items():
            self._progress.done(f"{algorithm}:{digest}")

    def _hashed(self, algorithm: str) -> str:
        if algorithm not in self._read:
            self._read[algorithm] = _digest(self._content.payload, algorithm, self._progress)
        return self._read[algorithm]


def _digest(payload: Source, algorithm: str, progress: Progress) -> str:
    """Read a payload and return its digest. Raises IntegrityError when its checksum differs."""
    checksum = payload.checksum
    progress.phase(HASHING)
    with Digests({algorithm} | ({checksum.algorithm} if checksum else set())) as digests:
        for _ in progress.wrap(judged(hashing(payload.chunks(), digests), digests, checksum)):
            pass
        return digests.results()[algorithm]


def _is_recorded(content: Content, record: Image) -> bool:
    """Tell whether the checksum is one that the record has of its data, too."""
    checksum = None if content.is_unpacked else content.checksum
    return checksum is not None and checksum.algorithm in all_recorded(record)


def claim(content: Content, record: Image) -> dict[str, str]:
    """Return the property that says from which source the data of ``record`` came.

    Nothing where the record's digests say it. The digest of the data is in it as well: a property
    can get to other data, as to a snapshot of a server that was started from the image.
    """
    checksum, stored = content.checksum, recorded(record)
    if checksum is None or stored is None or _is_recorded(content, record):
        return {}
    how = "unpacks to" if content.is_unpacked else "is"
    return {SOURCE: f"{checksum.algorithm}:{checksum.hex} {how} {':'.join(stored)}"}
