"""Copy: an image of one cloud, region or project becomes an image of another one.

The data are read from there and written to here, and kept nowhere in between. The copy stays
hidden, and marked as unfinished, until its data are compared with the record of the original: what
a run that was killed leaves of it is removed by the next one (see ``unfinished``).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from glancectl import resolve
from glancectl.api import Glance, Image
from glancectl.errors import (
    GlancectlError,
    IntegrityError,
    Interrupted,
    RefusedError,
    UsageError,
)
from glancectl.flows import Journal, Note, bulk, imports, sharing, unfinished, update
from glancectl.flows.create import new_record, remove
from glancectl.flows.places import Ends, are_same, finished_copy, images_of, made_meanwhile
from glancectl.patch import TAKEN, Change, custom
from glancectl.transfer.digest import recorded
from glancectl.transfer.pace import Pace
from glancectl.transfer.progress import Progress
from glancectl.transfer.relay import relay
from glancectl.transfer.upload import Options as UploadOptions

VERB = "copy"
DOWNLOAD, INTO_STORE = "glance-download", "copy-image"  # import methods
COPIED = ("disk_format", "container_format", "min_disk", "min_ram")
OURS = "glancectl_"  # how properties begin that say what glancectl did with one image
# Properties that a copy cannot have, or must not: with the last one, deleting it would delete the
# key that the original is encrypted with.
LEFT_OUT = (*TAKEN, "location", "deleted", "deleted_at", "cinder_encryption_key_deletion_policy")


@dataclass(frozen=True)
class Options:
    """What the copies become.

    name: not that of the original. visibility: None: private. members: share it with whom the
    original is shared with. if_missing: only where the project has no image with these data.
    store: where to; None: where the cloud puts images. server_side: Glance fetches the data from
    the region of the original; it is looked at each ``interval`` seconds for ``timeout`` at most.
    """

    name: str | None = None
    visibility: str | None = None
    protected: bool = False
    members: bool = False
    if_missing: bool = False
    store: str | None = None
    pace: Pace = field(default_factory=lambda: Pace(None))
    server_side: bool = False
    timeout: float = 3600.0
    interval: float = 2.0


class _Run:
    """What all images of one run are copied with."""

    def __init__(
        self,
        ends: Ends,
        options: Options,
        progress: Progress,
        note: Note,
        journal: Journal,
        *,
        is_several: bool,
    ) -> None:
        self.ends = ends
        self.options = options
        self.note = note
        self.journal = journal
        self.under_way: dict[str, Image] = {}  # unfinished copies, by id
        self._progress = progress
        self._is_several = is_several

    def expect(self, original: Image) -> None:
        """Count what is going to come."""
        if self._is_several:
            self._progress.phase("copying")
        if self.options.server_side:
            return
        if self._is_several:
            self._progress.add(0, total=original["size"])
        else:
            self._progress.total = original["size"]

    def progress_of(self, original: Image) -> contextlib.AbstractContextManager[Progress]:
        """Return the progress of one image."""
        size = None if self.options.server_side else original["size"]
        return _progress_of(self._progress, original, size, is_several=self._is_several)

    @contextlib.contextmanager
    def holding(self, record: Image) -> Iterator[None]:
        """Know a copy as unfinished, for a signal that comes meanwhile."""
        self.under_way[str(record["id"])] = record
        try:
            yield
        finally:
            self.under_way.pop(str(record["id"]), None)


def _progress_of(
    progress: Progress, image: Image, size: int | None, *, is_several: bool
) -> contextlib.AbstractContextManager[Progress]:
    """Return the progress of one image: that of the run, or one of several."""
    if not is_several:
        return contextlib.nullcontext(progress)
    return progress.of(image.get("name") or str(image["id"]), size)


def copy_images(
    ends: Ends,
    refs: Sequence[str],
    options: Options,
    progress: Progress,
    note: Note,
    journal: Journal,
    *,
    jobs: int,
) -> tuple[list[Image], GlancectlError | None]:
    """Copy the images that ``refs`` name, ``jobs`` at once.

    Returns the copies, or what is there already where ``if_missing`` finds it, and what went wrong
    with the others. A copy that fails, or that a signal comes in the middle of, is removed again.
    """
    ends.log_in()
    if options.server_side:
        ends.require_region()
        imports.require_method(ends.target, DOWNLOAD)
    is_several = len(set(refs)) > 1
    run = _Run(ends, options, progress, note, journal, is_several=is_several)

    def find(ref: str) -> tuple[Image, Image | None]:
        original = resolve.image(ends.source, ref)
        _require_data(original)
        _require_other_place(ends, original, options)
        there = finished_copy(ends, original) if options.if_missing else None
        if there is None:
            run.expect(original)
        return original, there

    try:
        return bulk.each_found(
            refs,
            find,
            lambda found: _copy(run, *found),
            key=lambda found: str(found[0]["id"]),
            jobs=jobs,
        )
    except Interrupted as stop:
        begun = list(run.under_way.values())  # before the threads hear of it, and clean up too
        ends.source.rest.hurry()
        for record in begun:
            remove(ends.target, record, stop)
        raise


def _require_data(original: Image) -> None:
    """Raise RefusedError for an image without data, which would make one without."""
    image_id, size = original["id"], original.get("size")
    if size is None:
        raise RefusedError(
            f"image {image_id} has no data yet", cause=f"its status is {original['status']}"
        )
    if size == 0:
        raise RefusedError(
            f"image {image_id} is empty", hint="the data of a volume's snapshot are in the volume"
        )


def _require_other_place(ends: Ends, original: Image, options: Options) -> None:
    """Raise UsageError when a copy would be the image once more."""
    is_ours = ends.is_one_place and original.get("owner") == ends.project
    same_name = options.name in (None, original.get("name"))
    same_visibility = options.visibility in (None, original["visibility"])
    if is_ours and same_name and same_visibility:
        raise UsageError(
            f"image {original['id']} would be copied onto itself",
            hint="--to-cloud, --to-region or --to-project say where to, --name makes it another "
            "image; for another store: --server-side --store",
        )


# One image


def _copy(run: _Run, original: Image, there: Image | None) -> Image:
    """Copy one image, unless it is ``there``, and return what is in the target then."""
    ends, options = run.ends, run.options
    name = original.get("name") if options.name is None else options.name
    _remove_abandoned(run, name)
    if there is not None:
        run.note(f"the data of image {original['id']} are there already, as image {there['id']}")
        return there
    members = _members(ends, original) if options.members else []
    fields = _fields(original, name, options, run.note)
    fill = _import if options.server_side else _stream
    with (
        run.progress_of(original) as progress,
        new_record(ends.target, fields, keep=False) as record,
        run.holding(record),
    ):
        run.journal("created", record)
        made = fill(run, original, record, progress)
        _share(run, made, members)
        other = None
        if options.if_missing:
            other = made_meanwhile(ends, original, made, VERB, run.note)
    if other is None:
        return _finish(run, original, made)
    ends.target.delete_image(made["id"])
    run.journal("deleted", made)
    run.note(f"another job has copied image {original['id']} meanwhile, as image {other['id']}")
    return other


def _remove_abandoned(run: _Run, name: str | None) -> None:
    """Remove what killed runs have left under this name."""
    params = [("name", f"eq:{name}")] if name else []
    found = [image for image in images_of(run.ends, *params) if image.get("name") == name]
    unfinished.remove_abandoned(run.ends.target, found, VERB, run.note, run.journal)


def _fields(original: Image, name: str | None, options: Options, note: Note) -> dict[str, object]:
    """Return the record to begin with: hidden, not protected, and marked as unfinished.

    Glance's own keys are left out: it fills them in, or they say where the original is.
    """
    is_shared = options.members and original["visibility"] == "shared"
    return {
        **_properties(original, note),
        **{key: original[key] for key in COPIED if original.get(key) is not None},
        **({} if name is None else {"name": name}),
        "tags": original["tags"],
        "visibility": options.visibility or ("shared" if is_shared else "private"),
        "os_hidden": True,
        **unfinished.mark(VERB),
    }


def _properties(original: Image, note: Note) -> dict[str, str]:
    """Return the custom properties that a copy gets; ``note`` hears of those it cannot have."""
    found = {}
    for key in sorted(custom(original)):
        if key in LEFT_OUT:
            note(f"property {key!r} of image {original['id']} is not copied")
        elif isinstance(original[key], str) and not key.startswith(OURS):
            found[key] = original[key]
    return found


def _members(ends: Ends, original: Image) -> list[str]:
    """Return the ids of the projects that the copy shall be shared with, as the target has them."""
    if original["visibility"] != "shared":
        return []
    ids = [str(member["member_id"]) for member in ends.source.list_members(original["id"])]
    return [ends.find_project(member) for member in ids if member != ends.project]


def _share(run: _Run, made: Image, members: Sequence[str]) -> None:
    """Share a copy with the projects of these ids."""
    if not members:
        return
    done, failure = sharing.share(run.ends.target, made, members, str, run.note)
    for _ in done:
        run.journal("shared", made)
    if failure is not None:
        raise failure


def _finish(run: _Run, original: Image, made: Image) -> Image:
    """Let a copy that is whole be seen, and return its record.

    When no answer comes it may be seen, and other jobs may have removed theirs for it: so it is
    not removed.
    """
    change = Change(
        fields={
            "os_hidden": bool(original.get("os_hidden")),
            "protected": run.options.protected,
        },
        remove_properties=[unfinished.MARK],
    )
    try:
        finished = update.change(run.ends.target, made, change, run.note)
    except GlancectlError as error:
        error.add_note(
            f"image {made['id']} is whole, but may be unfinished and hidden; "
            "the same command again sets that right"
        )
        raise
    run.journal("finished", finished)
    return finished


def _stream(run: _Run, original: Image, record: Image, progress: Progress) -> Image:
    """Send the data of ``original`` into ``record`` and return it, compared from end to end."""
    ends, options = run.ends, run.options
    return relay(
        ends.source,
        original,
        ends.target,
        str(record["id"]),
        progress,
        UploadOptions(store=options.store, pace=options.pace, removes=True),
        algorithm=ends.algorithm,
    )


# Without the data passing here


def _import(run: _Run, original: Image, record: Image, progress: Progress) -> Image:
    """Have Glance fetch the data of ``original`` from its region into ``record``.

    Returns the record once the task has ended well, compared with that of the original.
    """
    ends, options, image_id = run.ends, run.options, str(record["id"])
    method = {
        "name": DOWNLOAD,
        "glance_region": ends.region,
        "glance_image_id": str(original["id"]),
        "glance_service_interface": ends.source.rest.login.settings.interface or "public",
    }
    stores = imports.Stores((options.store,) if options.store else ())
    body = imports.request(ends.target, method, stores, run.note)
    made = _imported(ends.target, image_id, body, progress, options)
    if made.get("size") != original["size"] or not are_same(original, made):
        raise IntegrityError(
            f"what Glance has fetched into image {image_id} is not image {original['id']}",
            cause=f"{recorded(original)} expected, got {recorded(made)}",
        )
    return made


def _imported(
    glance: Glance,
    image_id: str,
    body: Mapping[str, object],
    progress: Progress,
    options: Options,
) -> Image:
    """Start an import, wait until its task has ended, and return the record."""
    task, _ = imports.begin(glance, image_id, body, None, progress, UploadOptions())
    made, failure = imports.finish(
        glance,
        image_id,
        task,
        timeout=options.timeout,
        interval=options.interval,
        say=progress.phase,
    )
    if failure is not None:
        raise failure
    progress.done()
    return made


def add_store(
    glance: Glance,
    refs: Sequence[str],
    options: Options,
    progress: Progress,
    note: Note,
    journal: Journal,
    *,
    jobs: int,
) -> tuple[list[Image], GlancectlError | None]:
    """Have Glance copy the data of images to one more of its stores, ``jobs`` at once.

    They stay the same images. Returns their records, and what went wrong with the others.
    """
    store = options.store or ""
    imports.require_method(glance, INTO_STORE)
    body = imports.request(glance, {"name": INTO_STORE}, imports.Stores((store,)), note)
    is_several = len(set(refs)) > 1

    def add(record: Image) -> Image:
        if store in str(record.get("stores")).split(","):
            note(f"image {record['id']} is in store {store!r} already")
            return record
        with _progress_of(progress, record, None, is_several=is_several) as one:
            made = _imported(glance, str(record["id"]), body, one, options)
        journal("updated", made)
        return made

    return bulk.each_image(glance, refs, add, jobs=jobs)
