"""Publish: a name stands for this content, and older images of that name are retired.

Of the images that a project has of a name, the newest active one that lists show is what the name
stands for: the current image. When that has the content already, nothing is sent. Else another
image is made, which stays hidden until its data are verified: nobody meets it before, and the name
is not ambiguous for as long as an upload takes.

Several jobs may publish a name at once. All of them order the images in the same way, by when
their records were made, and retire only what is older than the current image, be it what they have
published themselves. So the newest is retired by nobody, and whoever looks last sees all.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from glancectl.api import Glance, Image
from glancectl.errors import GlancectlError, Interrupted, UsageError
from glancectl.flows import Journal, Note, retirement, unfinished, update
from glancectl.flows.content import SOURCE, Content, Seen, claim
from glancectl.flows.create import new_record
from glancectl.flows.listing import with_hidden
from glancectl.patch import Change, operations
from glancectl.transfer.digest import recorded
from glancectl.transfer.progress import Progress
from glancectl.transfer.upload import Options, upload

Retire = retirement.How
Action = Literal["unchanged", "updated", "created"]

WITH_DATA = ("active", "deactivated")
FORMATS = ("disk_format", "container_format")  # Glance changes neither once there are data
TICK = 1.0  # seconds; ``created_at`` has no parts of one
AHEAD = 5.0  # seconds that the cloud's clock may be before ours


@dataclass(frozen=True)
class Wanted:
    """What a name shall stand for in a project, and what becomes of what it stood for.

    owner: the project's id. change: what the image has to have; what is not in it may be anything,
    but for hidden it has to be asked. retire: what is done to older images. keep: so many of them
    stay, the newest, whatever ``delete`` says, and the others are deleted; None: no such limit.
    verb: who makes the image, as ``unfinished`` marks it. born_with: properties that only an image
    that is made here gets.
    """

    name: str
    owner: str
    change: Change
    retire: Retire = "hide"
    keep: int | None = None
    verb: str = "publish"
    born_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def hidden(self) -> bool:
        """Whether lists shall leave the image out."""
        return bool(self.change.fields.get("os_hidden"))


@dataclass(frozen=True)
class Report:
    """What was done, or would be; what went wrong with older images of the name, if anything."""

    action: Action
    image: Image
    retired: Sequence[retirement.Retired]
    failure: GlancectlError | None = None

    def as_dict(self) -> dict[str, object]:
        """Return what was done, as the structured formats print it."""
        retired = [asdict(one) for one in self.retired]
        return {"action": self.action, "image": self.image, "retired": retired}


def require_free(properties: Collection[str]) -> None:
    """Raise UsageError for a property that is set here."""
    for key in (unfinished.MARK, SOURCE):
        if key in properties:
            raise UsageError(f"the property {key!r} is set by glancectl itself")


def publish(
    glance: Glance,
    wanted: Wanted,
    content: Content,
    progress: Progress,
    options: Options,
    *,
    note: Note,
    journal: Journal,
    dry_run: bool = False,
) -> Report:
    """Let a name stand for ``content``, with the record that is wanted, and retire older images.

    dry_run: nothing is changed. Raises what ``create.create`` and ``update.change`` raise; what
    goes wrong with older images is in the report, since the new one is there.
    """
    found = named(glance, wanted.name, wanted.owner)
    if not dry_run:
        unfinished.remove_abandoned(glance, found, wanted.verb, note, journal)
    seen = Seen(content, progress)
    there = _with_content(found, wanted, seen)
    if dry_run or there is not None:
        seen.done()
    if dry_run:
        if seen.unsure and there is None:
            note(f"what {content.payload.name} holds is known only after an upload")
        return _foreseen(found, there, wanted, content)
    if there is not None:
        action, image = _settle(glance, there, wanted, content, note, journal)
    else:
        _outwait(found)
        action, image = _upload(glance, wanted, content, progress, options, note, journal)
    with _telling_that_it_is_published(image):
        if there is None:  # the upload took its time
            found = named(glance, wanted.name, wanted.owner)
        newest = max(image, current(found, hidden=wanted.hidden) or image, key=_rank)
        if newest["id"] != image["id"]:
            note(f"image {newest['id']} is newer: another job has published it meanwhile")
            if _are_same(newest, image):
                action, image = "unchanged", newest
        retired, failure = retirement.retire(
            glance, _older(found, newest), wanted.retire, wanted.keep, note=note, journal=journal
        )
    if failure is not None:
        failure.add_note(f"{wanted.name!r} is published all the same")
    return Report(action, image, retired, failure)


@contextmanager
def _telling_that_it_is_published(image: Image) -> Iterator[None]:
    """Add to an error, or a signal, that only the older images are not as they should be."""
    try:
        yield
    except (GlancectlError, Interrupted) as error:
        error.add_note(
            f"image {image['id']} is published, but older ones of its name may not be retired; "
            "the same command again does that"
        )
        raise


def named(glance: Glance, name: str, owner: str) -> list[Image]:
    """Return the images of this name in a project, whatever their status, hidden ones included."""
    params = [("name", f"eq:{name}"), ("owner", owner), ("visibility", "all")]
    found = with_hidden(glance, params)
    return [r for r in found if (r.get("name"), r.get("owner")) == (name, owner)]


def current(found: Iterable[Image], *, hidden: bool = False) -> Image | None:
    """Return the newest active image, one that lists show if there is any; None without images.

    hidden: hidden ones count as others do. What a job has not finished yet is not there.
    """
    active = [r for r in found if r["status"] == "active" and unfinished.is_finished(r)]
    shown = [record for record in active if hidden or not record.get("os_hidden")]
    return max(shown or active, key=_rank, default=None)


def _rank(record: Image) -> tuple[str, str]:
    """Return what orders images, the newest last, in the same way for all who look at them."""
    return str(record["created_at"]), str(record["id"])


def _older(found: Iterable[Image], newest: Image | None) -> list[Image]:
    """Return the images with data that are older than ``newest``, the last made first."""
    older = [
        record
        for record in found
        if record["status"] in WITH_DATA
        and unfinished.is_finished(record)
        and (newest is None or _rank(record) < _rank(newest))
    ]
    return sorted(older, key=_rank, reverse=True)


# Whether the content is there already


def _with_content(found: Sequence[Image], wanted: Wanted, seen: Seen) -> Image | None:
    """Return the image that has the content: the current one, or a newer one that is hidden.

    Not one of other formats than those wanted: they cannot be changed any more.
    """
    candidates = [current(found, hidden=wanted.hidden), current(found, hidden=True)]
    for record in candidates:
        if record is not None and _fits(record, wanted) and seen.is_in(record):
            return record
    return None


def _fits(record: Image, wanted: Wanted) -> bool:
    fields = wanted.change.fields
    return all(record.get(key) == fields[key] for key in FORMATS if key in fields)


# Making it so


def _change(there: Image, wanted: Wanted, content: Content) -> Change:
    """Return what is wanted of an image that has the content."""
    return replace(
        wanted.change,
        fields={**wanted.change.fields, "os_hidden": wanted.hidden},
        properties={**wanted.change.properties, **claim(content, there)},
    )


def _settle(
    glance: Glance, there: Image, wanted: Wanted, content: Content, note: Note, journal: Journal
) -> tuple[Action, Image]:
    """Let the image that has the content have the record that is wanted."""
    changed = update.change(glance, there, _change(there, wanted, content), note)
    if changed is there:
        return "unchanged", there
    journal("updated", changed)
    return "updated", changed


def _outwait(found: Sequence[Image]) -> None:
    """Wait until a record that is made now is newer than all images that are finished."""
    for record in filter(unfinished.is_finished, found):
        made = datetime.fromisoformat(str(record["created_at"]))
        left = TICK - (datetime.now(UTC) - made).total_seconds()
        if 0 < left < AHEAD:
            time.sleep(left)


def _upload(
    glance: Glance,
    wanted: Wanted,
    content: Content,
    progress: Progress,
    options: Options,
    note: Note,
    journal: Journal,
) -> tuple[Action, Image]:
    """Make another image; not when it turns out to be what is there, by now perhaps."""
    progress.restart()
    with new_record(glance, _fields(wanted, content), keep=False) as record:
        journal("created", record)
        options = replace(options, removes=True)
        made = upload(glance, str(record["id"]), content.payload, progress, options)
        found = named(glance, wanted.name, wanted.owner)
    there = current(found, hidden=wanted.hidden)
    if there is None or not _fits(there, wanted) or not _are_same(there, made):
        return "created", _finish(glance, made, wanted, content, note, journal)
    glance.delete_image(made["id"])
    journal("deleted", made)
    return _settle(glance, there, wanted, content, note, journal)


def _fields(wanted: Wanted, content: Content) -> dict[str, object]:
    """Return the record to begin with: hidden, not protected, and marked as unfinished."""
    fields = {"container_format": "bare", **wanted.change.fields}
    if content.disk_format is not None:
        fields.setdefault("disk_format", content.disk_format)
    fields |= {"name": wanted.name, "os_hidden": True}
    fields.pop("protected", None)
    properties = {**wanted.born_with, **wanted.change.properties}
    return {**properties, **fields, **unfinished.mark(wanted.verb)}


def _are_same(one: Image, other: Image) -> bool:
    """Tell whether two images surely have the same data."""
    return recorded(one) == recorded(other) is not None


def _finish(
    glance: Glance,
    made: Image,
    wanted: Wanted,
    content: Content,
    note: Note,
    journal: Journal,
) -> Image:
    """Let an image whose data are verified be seen, and return its record.

    When no answer comes it may be seen, and other jobs may have retired theirs for it: so it is
    not deleted.
    """
    late = {key: wanted.change.fields[key] for key in ("protected",) if key in wanted.change.fields}
    change = Change(
        fields={"os_hidden": wanted.hidden, **late},
        properties=claim(content, made),
        remove_properties=[unfinished.MARK],
    )
    try:
        finished = update.change(glance, made, change, note)
    except (GlancectlError, Interrupted) as error:
        error.add_note(
            f"image {made['id']} is whole, but may be unfinished and hidden; "
            "the same command again sets that right"
        )
        raise
    journal("finished", finished)
    return finished


def _foreseen(
    found: Sequence[Image], there: Image | None, wanted: Wanted, content: Content
) -> Report:
    """Return what would be done. there: the image that has the content."""
    retired = retirement.planned(_older(found, there), wanted.retire, wanted.keep)
    if there is not None:
        change = _change(there, wanted, content)
        action: Action = "updated" if operations(there, change) else "unchanged"
        return Report(action, {**there, **change.properties, **change.fields}, retired)
    fields = {**_fields(wanted, content), **wanted.change.fields, "os_hidden": wanted.hidden}
    del fields[unfinished.MARK]
    known = {"status": "active", "owner": wanted.owner, "size": content.payload.size}
    return Report("created", {"id": None, **known, **fields}, retired)
