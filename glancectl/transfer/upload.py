"""Payload in: a source becomes the data of an image, verified against what Glance stored."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from glancectl import retry
from glancectl.api import Glance, Image
from glancectl.errors import (
    AuthError,
    GlancectlError,
    IntegrityError,
    Interrupted,
    RefusedError,
    UnavailableError,
)
from glancectl.transfer.digest import Digests, hashing, judged, recorded
from glancectl.transfer.pace import Pace
from glancectl.transfer.progress import Progress
from glancectl.transfer.source import Source

# The default of Glance's hashing_algorithm. What a cloud uses is only known from the record after
# the upload; one digest in a thread beside the socket is as much as the fastest disks allow.
LIKELY_HASH = "sha512"
SLOW = 10 << 20  # bytes per second that a token is made to last for
UNKNOWN = 1800.0  # seconds that a transfer of unknown size may take
HURRIED = 3.0  # seconds that Glance has to notice a broken upload, for a word in a message
LOOKS = 0.25  # seconds between two looks at the record meanwhile


class Sent(NamedTuple):
    """What went over the wire: bytes, and their digest by LIKELY_HASH unless it was not wanted."""

    size: int
    digest: str | None


@dataclass(frozen=True)
class Options:
    """How to upload. verify: compare size and digest of what Glance stored with what was sent.

    store: where to; None: where the cloud puts images. pace: how fast. removes: an image that
    differs is removed by the caller, so it is not deactivated first: of one that is, Glance leaves
    the data in the store when it is deleted (observed, Glance 33).
    """

    verify: bool = True
    store: str | None = None
    pace: Pace = field(default_factory=lambda: Pace(None))
    removes: bool = False


def ready(record: Image) -> Image:
    """Return ``record`` when it can take data. Raises RefusedError when it has some already.

    A queued record can have some: a location that did not hold. Glance would add new data to it,
    call the image active, and hand out the old ones.
    """
    image_id, status = record["id"], record["status"]
    if status == "queued" and record.get("stores"):
        raise RefusedError(
            f"image {image_id} takes no data: a location that did not hold is left in it",
            hint=f"glancectl image delete {image_id}, and make another",
        )
    if status == "queued":
        return record
    hint = "only a queued record takes data: glancectl image create makes one"
    if status == "uploading":
        hint = f"if it is staged: glancectl image import {image_id} --method glance-direct"
    raise RefusedError(f"image {image_id} takes no data: its status is {status}", hint=hint)


def upload(
    glance: Glance, image_id: str, source: Source, progress: Progress, options: Options
) -> Image:
    """Send ``source`` as the data of a queued image and return its record, verified.

    The source's own checksum is judged before the last of its bytes is sent, so that Glance never
    gets a whole wrong image. One that differs from what was sent is deactivated, but for what
    ``options`` say.
    Raises IntegrityError on a mismatch, else what ``put_data`` and the source raise.
    """
    put = partial(glance.put_data, image_id, store=options.store)
    sent = _send(glance, image_id, put, source, progress, options, phase="uploading")
    progress.phase("verifying")
    record = glance.get_image(image_id)
    if options.verify:
        check(glance, record, source, sent, progress, deactivates=not options.removes)
    progress.done(_named(sent))
    return record


def stage(
    glance: Glance, image_id: str, source: Source, progress: Progress, options: Options
) -> tuple[Image, Sent]:
    """Send ``source`` to where an import takes it from; return the record and what was sent.

    Of staged data Glance tells the size only: ``check`` can compare the digest after the import.
    Raises IntegrityError when the size differs, else what ``upload`` raises.
    """
    put = partial(glance.stage_data, image_id)
    sent = _send(glance, image_id, put, source, progress, options, phase="staging")
    record = glance.get_image(image_id)
    if options.verify and record.get("size") not in (None, sent.size):
        raise IntegrityError(
            f"what was staged for image {image_id} is not what was sent",
            cause=f"{sent.size} bytes were sent, {record['size']} are staged",
            hint=f"glancectl image delete {image_id}, and once more",
        )
    progress.done(_named(sent))
    return record, sent


@contextlib.contextmanager
def telling_what_is_left(glance: Glance, image_id: str) -> Iterator[None]:
    """Add to an error, or a signal, in which state it leaves the record of an image."""
    try:
        yield
    except (GlancectlError, Interrupted) as error:
        if isinstance(error, Interrupted):
            glance.rest.hurry()
        with contextlib.suppress(GlancectlError, Interrupted):
            status = _settled(glance, image_id, within=HURRIED)["status"]
            what_now = {
                "queued": "queued again, so the command can be run again",
                "saving": f"saving; if it stays so: glancectl image delete {image_id}",
            }
            if status != "deactivated":  # which was said when it was done
                error.add_note(f"the image is {what_now.get(status, status)}")
        raise


class _Put(Protocol):
    def __call__(self, chunks: Iterable[bytes], *, size: int | None) -> None: ...


def _send(
    glance: Glance,
    image_id: str,
    put: _Put,
    source: Source,
    progress: Progress,
    options: Options,
    *,
    phase: str,
) -> Sent:
    """Send ``source`` by ``put``, hashed on its way; again when a failure may pass.

    Glance sets the record back to ``queued`` when an upload breaks off; only then, and only a
    source that can start again, is sent again. An upload whose answer alone was lost is done.
    """
    failures = 0
    done: Sent | None = None
    source.tell = progress.retry
    glance.rest.login.ensure_lasts(_seconds(source, options.pace))
    while True:
        progress.phase(phase)
        attempt = _Attempt(source, progress, options)
        try:
            put(attempt, size=source.size)
            return attempt.sent()
        except (UnavailableError, AuthError, RefusedError) as error:
            retries = glance.rest.retries
            if not _may_pass(glance, error, failures):
                raise
            failures += 1
            done = attempt.sent() if attempt.whole else done
            record = _left_behind(glance, image_id, progress)
            if done and _is_there(record, done.size):
                # After a 409, or a try that was cut short while an earlier one may have come
                # through, it may be another's upload, which is none of our business.
                stored, ours = recorded(record), (LIKELY_HASH, done.digest)
                if isinstance(error, RefusedError) and stored != ours:
                    raise
                if not attempt.whole and done.digest and stored not in (None, ours):
                    raise RefusedError(
                        f"cannot upload to image {image_id}: it conflicts with the present state",
                        cause="another upload has filled it",
                    ) from None
                return done
            if failures > retries or record.get("status") != "queued":
                raise
            if not source.can_start:
                error.add_note(f"{source.name} cannot be read again, so it was not tried again")
                raise
            progress.retry(
                f"{error.cause or error.message}, from the start again", failures, retries
            )
            time.sleep(retry.delay(failures, getattr(error, "retry_after", None)))
            progress.restart()
        finally:
            attempt.close()


def _may_pass(glance: Glance, error: GlancectlError, failures: int) -> bool:
    """Tell whether another try may do after ``error``; a refused token is renewed for it.

    After a failure a 409 may come from the try before, of which Glance has heard late.
    """
    if isinstance(error, UnavailableError):
        return error.may_pass
    if isinstance(error, RefusedError):
        return error.status == 409 and failures > 0
    return error.status == 401 and glance.rest.login.renew(glance.rest.login.access)


def _left_behind(glance: Glance, image_id: str, progress: Progress) -> Image:
    """Return the record that an upload which broke off leaves; empty when it cannot be had."""
    progress.phase("looking at what became of the image")
    try:
        return _settled(glance, image_id, within=glance.rest.timeout)
    except UnavailableError:
        return {}


def _is_there(record: Image, size: int) -> bool:
    """Tell whether all data were taken: uploaded, or staged, which is told by the size alone."""
    status = record.get("status")
    return status == "active" or (status == "uploading" and record.get("size") == size)


def _settled(glance: Glance, image_id: str, *, within: float) -> Image:
    """Return the record once Glance has noticed that an upload is over, or after so many seconds.

    ``queued`` has to be seen twice: what broke off early Glance may not even have begun.
    Raises what ``get_image`` raises when there is no answer until then.
    """
    end = time.monotonic() + within
    was_queued = False
    while True:
        try:
            record = glance.get_image(image_id)
            is_queued = record["status"] == "queued"
            is_over = was_queued if is_queued else not _is_busy(record)
            if is_over or time.monotonic() > end:
                return record
            was_queued = is_queued
        except UnavailableError:
            if time.monotonic() > end:
                raise
        time.sleep(LOOKS)


def _is_busy(record: Image) -> bool:
    """Tell whether Glance takes data in; what is staged stays ``uploading`` and has a size."""
    status = record["status"]
    return status == "saving" or (status == "uploading" and record.get("size") is None)


def _seconds(source: Source, pace: Pace) -> float:
    """Return how long sending ``source`` may take where the network is slow."""
    return UNKNOWN if source.size is None else source.size / min(pace.rate or SLOW, SLOW)


class _Attempt:
    """The chunks of a source on their way to the socket, once: hashed, judged, counted."""

    def __init__(self, source: Source, progress: Progress, options: Options) -> None:
        checksum = source.checksum
        algorithms = {LIKELY_HASH} if options.verify else set()
        if checksum is not None:
            algorithms.add(checksum.algorithm)
        self._digests = Digests(algorithms)
        chunks = judged(hashing(source.chunks(), self._digests), self._digests, checksum)
        self._chunks = options.pace.held(chunks)
        self._progress = progress
        self._verify = options.verify
        self._count = 0
        self.whole = False  # the source has ended, and nothing was wrong with it

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._progress.wrap(self._chunks):
            self._count += len(chunk)
            yield chunk
        self.whole = True
        self._progress.phase("server is storing")

    def sent(self) -> Sent:
        return Sent(self._count, self._digests.results()[LIKELY_HASH] if self._verify else None)

    def close(self) -> None:
        self._digests.close()


def _named(sent: Sent) -> str | None:
    return f"{LIKELY_HASH}:{sent.digest}" if sent.digest else None


def check(
    glance: Glance,
    record: Image,
    source: Source,
    sent: Sent,
    progress: Progress,
    *,
    deactivates: bool = True,
) -> None:
    """Compare what Glance says it stored with what was sent.

    Raises IntegrityError for an image that differs, once it is deactivated if that is wanted.
    """
    problem = None
    expected = recorded(record)
    if record.get("size") != sent.size:
        problem = f"{sent.size} bytes were sent, {record.get('size')} are stored"
    elif expected is None:
        progress.note("only the size was verified: the record has no digest")
    else:
        algorithm, stored = expected
        digest = sent.digest
        if algorithm != LIKELY_HASH:
            digest = _digest_again(source, algorithm, progress)
        if digest and digest != stored:
            problem = f"{algorithm} of what was sent: {digest}, stored: {stored}"
    if problem is None:
        return
    error = IntegrityError(f"image {record['id']} is not what was sent", cause=problem)
    if deactivates:
        try:
            glance.deactivate_image(str(record["id"]))
            error.add_note("it was deactivated")
        except GlancectlError as failure:
            error.add_note(f"it could not be deactivated: {failure.sentence()}")
    raise error


def _digest_again(source: Source, algorithm: str, progress: Progress) -> str:
    """Read the source once more for a cloud that hashes otherwise; "" when it cannot be."""
    if not (source.is_local and source.restartable):
        progress.note(f"only the size was verified: this cloud hashes with {algorithm}")
        return ""
    with Digests([algorithm]) as digests:
        for chunk in source.chunks():
            digests.update(chunk)
        return digests.results()[algorithm]
