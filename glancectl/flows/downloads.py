"""Several images into one folder, each as ``transfer.download`` does it."""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from glancectl import resolve
from glancectl.api import Glance, Image
from glancectl.errors import GlancectlError, Interrupted, RefusedError
from glancectl.flows import bulk
from glancectl.transfer.download import Options, part_of, target, to_file
from glancectl.transfer.progress import Progress


def download_images(
    glance: Glance,
    refs: Sequence[str],
    folder: str,
    progress: Progress,
    options: Options,
    *,
    jobs: int,
) -> tuple[list[dict[str, object]], GlancectlError | None]:
    """Download the images that ``refs`` name into ``folder``, ``jobs`` at once.

    Returns what ``to_file`` does for each, and what went wrong with the others. Two images whose
    names make one file name are refused, the second of them.
    """
    taken: dict[Path, str] = {}
    lock = threading.Lock()

    def find(ref: str) -> Image:
        record = resolve.image(glance, ref)
        progress.add(0, total=record.get("size") or 0)
        return record

    def get(record: Image) -> dict[str, object]:
        path, image_id = target(record, folder), str(record["id"])
        with lock:
            other = taken.setdefault(path, image_id)
        if other != image_id:
            raise RefusedError(
                f"{path} is where image {other} goes", hint="download it to a name of its own"
            )
        with progress.of(record.get("name") or image_id, record.get("size")) as one:
            return to_file(glance, record, path, one, options)

    try:
        return bulk.each_found(refs, find, get, key=lambda record: str(record["id"]), jobs=jobs)
    except Interrupted as stop:
        if options.resume:
            stop.add_note("what has arrived is kept; running the command again goes on from there")
        else:
            for path, image_id in taken.items():  # their threads are not waited for
                with contextlib.suppress(OSError):  # none there, or none of ours
                    part_of(path, image_id).unlink()
        raise
