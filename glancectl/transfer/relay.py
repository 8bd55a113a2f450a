"""The data of an image of one Glance into an image of another, hashed on their way, kept nowhere.

What was stored is compared with what was sent, and that with what the record of the original says.
The two Glances may hash differently.
"""

from collections.abc import Collection, Generator
from dataclasses import replace
from functools import partial

from glancectl.api import Glance, Image
from glancectl.errors import IntegrityError, UnavailableError
from glancectl.transfer.digest import Digests, hashing, recorded
from glancectl.transfer.display import Mode
from glancectl.transfer.fetch import Fetch, whole
from glancectl.transfer.pace import Pace
from glancectl.transfer.progress import Progress
from glancectl.transfer.source import repeatable
from glancectl.transfer.upload import LIKELY_HASH, Options, upload


def relay(
    source: Glance,
    original: Image,
    target: Glance,
    image_id: str,
    progress: Progress,
    options: Options,
    *,
    algorithm: str,
) -> Image:
    """Send the data of ``original`` into a queued image of ``target`` and return its record.

    Reading goes on wherever it breaks; what breaks in writing starts with reading anew. algorithm:
    what the target hashes with, as far as known; for any other the data are read twice.
    Raises IntegrityError when the data are not what the record of ``original`` says, or what was
    stored is not what was sent; else what ``Fetch.part`` and ``upload`` raise.
    """
    is_usual = algorithm == LIKELY_HASH  # what ``upload`` computes, and compares
    wanted = {algorithm, (recorded(original) or (algorithm,))[0]}
    reading = _Reading(source, original, wanted - {LIKELY_HASH} if is_usual else wanted)
    begin = partial(reading.chunks, progress)
    with repeatable(f"image {original['id']}", original["size"], begin) as payload:
        made = upload(target, image_id, payload, progress, replace(options, verify=is_usual))
    _compare(original, made, reading, progress, is_compared=is_usual)
    return made


class _Reading:
    """The data of an image on their way, as often as they are wanted.

    digests: of the data when they were last read to the end, by algorithm.
    """

    def __init__(self, glance: Glance, original: Image, algorithms: Collection[str]) -> None:
        self.digests: dict[str, str] = {}
        self._glance = glance
        self._original = original
        self._algorithms = algorithms

    def chunks(self, progress: Progress) -> Generator[bytes, None, None]:
        """Yield the data, going on wherever a connection breaks.

        Raises IntegrityError at the end when their digest is not that of the record.
        """
        fetch = Fetch(self._glance, self._original, _Told(progress), (), Pace(None))
        with Digests(self._algorithms) as digests:
            try:
                yield from hashing(whole(fetch), digests)
            except UnavailableError as error:
                error.may_pass = False  # it has been tried as often as it may
                raise
            self.digests = digests.results()
        expected = recorded(self._original)
        if expected is not None and expected[0] in self.digests:
            _require_as_recorded(self._original, self.digests[expected[0]])

    def digest(self, algorithm: str, progress: Progress) -> str:
        """Return another digest of the data, which are read once more for it."""
        progress.note(f"reading the image once more: the other cloud hashes with {algorithm}")
        self._algorithms = {algorithm}
        for _ in self.chunks(progress):
            pass
        return self.digests[algorithm]


class _Told(Progress):
    """The progress of reading. Writing counts the bytes: only what goes wrong is told."""

    def __init__(self, progress: Progress) -> None:
        super().__init__("", None, Mode.NONE)
        self._progress = progress

    def note(self, text: str) -> None:
        """Tell something worth knowing."""
        self._progress.note(text)

    def retry(self, reason: str, attempt: int, of: int) -> None:
        """Tell that another try begins, and why."""
        self._progress.retry(f"reading: {reason}", attempt, of)


def _compare(
    original: Image, made: Image, reading: _Reading, progress: Progress, *, is_compared: bool
) -> None:
    """Compare what was stored with what was sent, and that with what the original has.

    is_compared: the former was done, by LIKELY_HASH. Raises IntegrityError for a difference.
    """
    expected, stored = recorded(original), recorded(made)
    if expected is None or stored is None:
        which = original if expected is None else made
        progress.note(f"only its size was verified: image {which['id']} has no digest")
    if made.get("size") != original["size"]:
        raise _not_what_was_sent(made, f"{original['size']} bytes, stored: {made.get('size')}")
    if stored is None:
        return
    algorithm, digest = stored
    if is_compared and algorithm == LIKELY_HASH:
        sent = digest
    else:
        sent = reading.digests.get(algorithm) or reading.digest(algorithm, progress)
    if sent != digest:
        raise _not_what_was_sent(made, f"{algorithm} of what was sent: {sent}, stored: {digest}")
    if expected is not None and expected[0] == algorithm:
        _require_as_recorded(original, sent)


def _require_as_recorded(original: Image, found: str) -> None:
    """Raise IntegrityError when data that were read have another digest than the record says."""
    algorithm, expected = recorded(original) or ("", found)
    if found != expected:
        raise IntegrityError(
            f"the data of image {original['id']} do not match its record",
            cause=f"{algorithm} expected {expected}, got {found}",
            hint=f"glancectl image verify {original['id']}",
        )


def _not_what_was_sent(made: Image, cause: str) -> IntegrityError:
    return IntegrityError(f"image {made['id']} is not what was sent", cause=cause)
