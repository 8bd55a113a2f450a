"""Payload in: a source becomes the data of an image, verified against what Glance stored."""

import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from glancectl.answer import TransportError
from glancectl.api import Glance, Image
from glancectl.errors import (
    GlancectlError,
    IntegrityError,
    Interrupted,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from glancectl.transfer.digest import Checksum, Digests, hashing, recorded
from glancectl.transfer.progress import Progress
from glancectl.transfer.source import Source

# The default of Glance's hashing_algorithm. What a cloud uses is only known from the record after
# the upload; one digest in a thread beside the socket is as much as the fastest disks allow.
LIKELY_HASH = "sha512"


class Sent(NamedTuple):
    """What went over the wire: bytes, and their digest by LIKELY_HASH unless it was not wanted."""

    size: int
    digest: str | None


def create(
    glance: Glance,
    fields: Mapping[str, object],
    source: Source,
    progress: Progress,
    *,
    keep: bool,
    store: str | None,
    checksum: Checksum | None,
    verify: bool,
) -> Image:
    """Create a record, upload ``source`` into it, and return it active and verified.

    A failure removes the record again unless ``keep``; the error says which. Raises what
    ``create_image`` and ``upload`` raise.
    """
    with _new_record(glance, fields, keep=keep) as record:
        return upload(
            glance,
            str(record["id"]),
            source,
            progress,
            store=store,
            checksum=checksum,
            verify=verify,
        )


def reserve(glance: Glance, fields: Mapping[str, object]) -> Image:
    """Create a record without data and return it; interrupted, it leaves none behind."""
    with _new_record(glance, fields, keep=False) as record:
        return record


@contextlib.contextmanager
def _new_record(glance: Glance, fields: Mapping[str, object], *, keep: bool) -> Iterator[Image]:
    """Create a record and hand it out; when the block fails, delete it again unless ``keep``.

    The id is made here, before the request: when no answer to it comes, for a signal or a fault,
    no record is left that nobody knows of. What became of the record is added to the error.
    """
    image_id = str(fields.get("id") or uuid.uuid4())
    own_id = "id" not in fields
    try:
        record = glance.create_image({**fields, "id": image_id}, own_id=own_id)
    except (UnavailableError, Interrupted) as error:
        surely_none = isinstance(error, TransportError) and error.unsent
        if own_id and not surely_none:
            glance.rest.hurry()
            _remove(glance, {**fields, "id": image_id}, error)
        raise
    try:
        yield record
    except (GlancectlError, Interrupted, OSError) as error:
        if keep:
            error.add_note(f"record {image_id} was kept")
        else:
            _remove(glance, record, error)
        raise


def _remove(glance: Glance, record: Mapping[str, object], error: BaseException) -> None:
    """Delete a record after ``error``, and add to it whether that worked."""
    image_id = str(record["id"])
    if isinstance(error, Interrupted):
        glance.rest.hurry()
    try:
        _delete(glance, record)
        error.add_note(f"the record it had made was removed ({image_id})")
    except NotFoundError:
        pass
    except (GlancectlError, Interrupted) as failure:
        why = failure.sentence() if isinstance(failure, GlancectlError) else "interrupted again"
        error.add_note(
            f"record {image_id} was left behind ({why}), "
            f"to be removed with: glancectl image delete {image_id}"
        )


def _delete(glance: Glance, record: Mapping[str, object]) -> None:
    """Delete a record, its protection lifted first.

    More than once if need be: ending a broken upload, Glance writes the record back as it was
    when the upload began, protection included.
    """
    image_id = str(record["id"])
    lift = [{"op": "replace", "path": "/protected", "value": False}]
    for pause in (0.5, 1.5, None):  # seconds
        try:
            if record.get("protected"):
                glance.patch_image(image_id, lift, repeatable=True)
            glance.delete_image(image_id)
            return
        except RefusedError as error:
            if error.status != 403 or pause is None:
                raise
            time.sleep(pause)


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
    glance: Glance,
    image_id: str,
    source: Source,
    progress: Progress,
    *,
    store: str | None,
    checksum: Checksum | None,
    verify: bool,
) -> Image:
    """Send ``source`` as the data of a queued image and return its record, verified.

    checksum: what the source's bytes must hash to; judged before the last of them is sent, so
    that Glance never gets a whole wrong image. verify: compare size and digest of what Glance
    stored with what was sent; an image that differs is deactivated.
    Raises IntegrityError on a mismatch, else what ``put_data`` and the source raise.
    """
    progress.phase("uploading")
    put = partial(glance.put_data, image_id, store=store)
    sent = _send(put, source, progress, checksum=checksum, verify=verify)
    progress.phase("verifying")
    record = glance.get_image(image_id)
    if verify:
        check(glance, record, source, sent, progress)
    progress.done(f"{LIKELY_HASH}:{sent.digest}" if sent.digest else None)
    return record


def stage(
    glance: Glance,
    image_id: str,
    source: Source,
    progress: Progress,
    *,
    checksum: Checksum | None,
    verify: bool,
) -> tuple[Image, Sent]:
    """Send ``source`` to where an import takes it from; return the record and what was sent.

    checksum: as for ``upload``. verify: hash it, so that ``check`` can compare after the import;
    of staged data Glance tells the size only. Raises IntegrityError when that differs.
    """
    progress.phase("staging")
    put = partial(glance.stage_data, image_id)
    sent = _send(put, source, progress, checksum=checksum, verify=verify)
    record = glance.get_image(image_id)
    if verify and record.get("size") not in (None, sent.size):
        raise IntegrityError(
            f"what was staged for image {image_id} is not what was sent",
            cause=f"{sent.size} bytes were sent, {record['size']} are staged",
            hint=f"glancectl image delete {image_id}, and once more",
        )
    progress.done(f"{LIKELY_HASH}:{sent.digest}" if sent.digest else None)
    return record, sent


class _Put(Protocol):
    def __call__(self, chunks: Iterable[bytes], *, size: int | None) -> None: ...


def _send(
    put: _Put,
    source: Source,
    progress: Progress,
    *,
    checksum: Checksum | None,
    verify: bool,
) -> Sent:
    """Send ``source`` by ``put``, hashed on its way."""
    algorithms = {LIKELY_HASH} if verify else set()
    if checksum is not None:
        algorithms.add(checksum.algorithm)
    with Digests(algorithms) as digests:
        chunks = _judged(hashing(source.chunks(), digests), digests, checksum)
        counted = _Counted(chunks, progress)
        put(counted, size=source.size)
        return Sent(counted.sent, digests.results()[LIKELY_HASH] if verify else None)


class _Counted:
    """The chunks on their way to the socket, counted, the phase after the last one shown."""

    def __init__(self, chunks: Iterator[bytes], progress: Progress) -> None:
        self._chunks = chunks
        self._progress = progress
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._progress.wrap(self._chunks):
            self.sent += len(chunk)
            yield chunk
        self._progress.phase("server is storing")


def _judged(
    chunks: Iterator[bytes], digests: Digests, checksum: Checksum | None
) -> Iterator[bytes]:
    """Pass ``chunks`` on, the last one only after the checksum of all of them holds."""
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


def check(glance: Glance, record: Image, source: Source, sent: Sent, progress: Progress) -> None:
    """Compare what Glance says it stored with what was sent; deactivate an image that differs.

    Raises IntegrityError when it does.
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
    try:
        glance.deactivate_image(str(record["id"]))
        error.add_note("it was deactivated")
    except GlancectlError as failure:
        error.add_note(f"it could not be deactivated: {failure.sentence()}")
    raise error


def _digest_again(source: Source, algorithm: str, progress: Progress) -> str:
    """Read the source once more for a cloud that hashes otherwise; "" when it cannot be."""
    if not source.restartable:
        progress.note(f"only the size was verified: this cloud hashes with {algorithm}")
        return ""
    with Digests([algorithm]) as digests:
        for chunk in source.chunks():
            digests.update(chunk)
        return digests.results()[algorithm]
