"""A record, and the data that go into it: both, or neither is left."""

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace

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
from glancectl.transfer.progress import Progress
from glancectl.transfer.source import Source
from glancectl.transfer.upload import Options, upload


def create(
    glance: Glance,
    fields: Mapping[str, object],
    source: Source,
    progress: Progress,
    options: Options,
    *,
    keep: bool,
) -> Image:
    """Create a record, upload ``source`` into it, and return it active and verified.

    A failure removes the record again unless ``keep``; the error says which. Raises what
    ``create_image`` and ``upload`` raise.
    """
    with new_record(glance, fields, keep=keep) as record:
        options = replace(options, removes=not keep)
        return upload(glance, str(record["id"]), source, progress, options)


def reserve(glance: Glance, fields: Mapping[str, object]) -> Image:
    """Create a record without data and return it; interrupted, it leaves none behind."""
    with new_record(glance, fields, keep=False) as record:
        return record


@contextlib.contextmanager
def new_record(glance: Glance, fields: Mapping[str, object], *, keep: bool) -> Iterator[Image]:
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
            remove(glance, {**fields, "id": image_id}, error)
        raise
    try:
        yield record
    except (GlancectlError, Interrupted, OSError) as error:
        if keep:
            error.add_note(f"record {image_id} was kept")
        else:
            remove(glance, record, error)
        raise


def remove(glance: Glance, record: Mapping[str, object], error: BaseException) -> None:
    """Delete a record after ``error``, and add to it whether that worked."""
    image_id = str(record["id"])
    if isinstance(error, Interrupted):
        glance.rest.hurry()
    removed = f"the record it had made was removed ({image_id})"
    try:
        _delete(glance, record)
        error.add_note(removed)
    except NotFoundError:
        if "created_at" in record:  # else no answer came to its creation, and it was never made
            error.add_note(removed)
    except (GlancectlError, Interrupted) as failure:
        why = failure.sentence() if isinstance(failure, GlancectlError) else "interrupted again"
        error.add_note(
            f"record {image_id} was left behind ({why}), "
            f"to be removed with: glancectl image delete {image_id}"
        )
        if isinstance(error, IntegrityError):
            with contextlib.suppress(GlancectlError):  # without data there is nothing to use
                glance.deactivate_image(image_id)
                error.add_note("it was deactivated")


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
