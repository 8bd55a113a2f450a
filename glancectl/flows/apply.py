"""Make what a catalogue says true: publish, update, share, and delete what has left it.

An image that is created for a catalogue with a name carries that as a property of its own
(``catalogue.MARK``). By it ``prune`` knows what was in the catalogue before; images that were there
already have no mark and are never pruned. One that is marked for another catalogue is taken over
by a catalogue with a name of its own, so that it can move from file to file; not by one that goes
by the name of its file, as what was exported does: to apply that changes nothing.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from glancectl.api import Glance, Image
from glancectl.errors import (
    GlancectlError,
    IntegrityError,
    Interrupted,
    NotFoundError,
    RefusedError,
)
from glancectl.flows import Journal, Note, bulk, sharing, unfinished, update
from glancectl.flows.catalogue import MARK, Catalogue, Entry, properties_of, rank
from glancectl.flows.content import Content
from glancectl.flows.create import remove
from glancectl.flows.listing import with_hidden
from glancectl.flows.publish import WITH_DATA, Report, Wanted, named, publish
from glancectl.patch import READ_ONLY, Change
from glancectl.transfer.checksum import Checksum
from glancectl.transfer.digest import all_recorded, recorded
from glancectl.transfer.progress import Progress
from glancectl.transfer.upload import Options

VERB = "apply"  # marks images as unfinished

Row = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """With what and where a catalogue is applied.

    owner: the project's id. opened: opens the source of an entry. project: turns what a user calls
    a project into its id. progress: of all together.
    """

    glance: Glance
    owner: str
    opened: Callable[[Entry], AbstractContextManager[Content]]
    project: Callable[[str], str]
    progress: Progress
    options: Options
    note: Note
    journal: Journal


def apply(
    work: Work, catalogue: Catalogue, *, prune: bool, jobs: int
) -> tuple[list[Row], GlancectlError | None]:
    """Let the images be what ``catalogue`` says; return what was done, and what went wrong.

    Of each image ``id``, ``name``, ``action`` (created, updated, unchanged, pruned) and what was
    ``retired`` for it. All are tried, whatever becomes of the others, ``jobs`` at once.
    prune: those go that were created for the catalogue and are not in it any more. What a signal
    comes in the middle of is removed again.
    """
    under_way: dict[str, Mapping[str, object]] = {}

    def journal(action: str, record: Mapping[str, object]) -> None:
        under_way.pop(str(record["id"]), None)
        if action == "created":
            under_way[str(record["id"])] = record
        work.journal(action, record)

    told = replace(work, journal=journal)
    tasks = _tasks(catalogue, lambda entry: _make_true(told, catalogue, entry))
    if prune:
        left = _left(work, catalogue)
        unfinished.remove_abandoned(work.glance, left, VERB, work.note, work.journal)
        finished = filter(unfinished.is_finished, left)
        tasks |= {image["id"]: partial(_prune, work, catalogue, image) for image in finished}
    try:
        return bulk.each(list(tasks), lambda target: tasks[target](), jobs=jobs)
    except Interrupted as stop:
        begun = list(under_way.values())  # before the threads hear of it, and clean up too
        work.glance.rest.hurry()
        for record in begun:
            remove(work.glance, record, stop)
        raise


def plan(
    work: Work, catalogue: Catalogue, *, prune: bool, jobs: int
) -> tuple[list[Row], GlancectlError | None]:
    """Return what ``apply`` would do: a row for each field that would be another, else one row.

    Each has ``action``, ``id``, ``name``, ``field``, ``old`` and ``new``.
    """
    tasks = _tasks(catalogue, lambda entry: _foresee(work, catalogue, entry))
    if prune:
        finished = filter(unfinished.is_finished, _left(work, catalogue))
        tasks |= {image["id"]: partial(_foresee_prune, work, image) for image in finished}
    planned, failure = bulk.each(list(tasks), lambda target: tasks[target](), jobs=jobs)
    return [row for rows in planned for row in rows], failure


def _tasks(catalogue: Catalogue, call: Callable[[Entry], Any]) -> dict[str, Callable[[], Any]]:
    """Return what is to be called for each image of the catalogue, by its name."""
    return {entry.name: partial(call, entry) for entry in catalogue.entries}


# One image


def _make_true(work: Work, catalogue: Catalogue, entry: Entry) -> Row:
    members = _members(work, entry)
    report = _publish(work, catalogue, entry, dry_run=False)
    change = _change(report.image, catalogue, entry)
    image = update.change(work.glance, report.image, change, work.note)
    is_changed = image is not report.image
    if is_changed:
        work.journal("updated", image)
    is_changed |= _share(work, image, members)
    if report.failure is not None:
        raise report.failure
    action = "updated" if is_changed and report.action == "unchanged" else report.action
    retired = [vars(one) for one in report.retired]
    return {"id": image["id"], "name": entry.name, "action": action, "retired": retired}


def _foresee(work: Work, catalogue: Catalogue, entry: Entry) -> list[Row]:
    members = _members(work, entry)
    report = _publish(work, catalogue, entry, dry_run=True)
    retired = [_row(one.action, one.id, one.name) for one in report.retired]
    if report.action == "created":
        return [_row("created", None, entry.name), *retired]
    image = work.glance.get_image(report.image["id"])  # in the report it is as it would be
    change = _change(report.image, catalogue, entry)
    after = {**report.image, **change.fields, **change.properties}
    changes = _differences(image, {k: after[k] for k in after if k not in change.remove_properties})
    if members is not None and (there := _shared_with(work, image)) != members:
        changes.append(("members", sorted(there), sorted(members)))
    updated = [_row("updated", image["id"], entry.name, *change) for change in changes]
    return [*(updated or [_row("unchanged", image["id"], entry.name)]), *retired]


def _row(
    action: str,
    image_id: str | None,
    name: str | None,
    field: str | None = None,
    old: object = None,
    new: object = None,
) -> Row:
    return {"action": action, "id": image_id, "name": name, "field": field, "old": old, "new": new}


def _differences(before: Image, after: Image) -> list[tuple[str, object, object]]:
    """Return field, old and new value of what is another afterwards; tags are in an order."""
    both = [{**image, "tags": sorted(image["tags"])} for image in (before, after)]
    fields = [key for key in dict.fromkeys([*before, *after]) if key not in READ_ONLY]
    values = [(key, both[0].get(key), both[1].get(key)) for key in fields]
    return [(key, old, new) for key, old, new in values if old != new]


def _publish(work: Work, catalogue: Catalogue, entry: Entry, *, dry_run: bool) -> Report:
    """Let the name stand for the source; without one, return the image that it stands for."""
    if entry.source is None:
        return Report("unchanged", _there(work, entry), ())
    wanted = Wanted(
        entry.name,
        work.owner,
        Change(fields=entry.fields, properties=entry.properties or {}),
        retire=entry.retire or "hide",
        keep=entry.keep,
        verb=VERB,
        born_with={MARK: catalogue.name} if catalogue.name else {},
    )
    with work.opened(entry) as content, work.progress.of(entry.name, content.payload.size) as one:
        work.progress.phase("publishing")
        work.progress.add(0, total=content.payload.size or 0)
        return publish(
            work.glance,
            wanted,
            content,
            one,
            work.options,
            note=work.note,
            journal=work.journal,
            dry_run=dry_run,
        )


def _there(work: Work, entry: Entry) -> Image:
    """Return the image that an entry without a source is about.

    Raises NotFoundError when no image of that name has data, IntegrityError when all have others.
    """
    hidden = entry.fields.get("os_hidden", False)
    found = [
        image
        for image in named(work.glance, entry.name, work.owner)
        if image["status"] in WITH_DATA and unfinished.is_finished(image)
    ]
    if not found:
        raise NotFoundError(
            f"no image of this project is named {entry.name!r}",
            hint="with a source, it would be created",
        )
    same = [image for image in found if _has(image, entry.checksum)]
    if not same:
        newest = recorded(max(found, key=partial(rank, hidden=hidden)))
        raise IntegrityError(
            f"no image named {entry.name!r} has the content that the catalogue says",
            cause=f"expected {_spelled(entry.checksum)}, got {':'.join(newest or ('no digest',))}",
            hint="with a source, it would be published",
        )
    return max(same, key=partial(rank, hidden=hidden))


def _has(image: Image, checksum: Checksum | str | None) -> bool:
    """Tell whether an image has the content that a checksum is of; any, when there is none."""
    if not isinstance(checksum, Checksum):
        return True
    return all_recorded(image).get(checksum.algorithm) == checksum.hex


def _spelled(checksum: Checksum | str | None) -> str:
    return f"{checksum.algorithm}:{checksum.hex}" if isinstance(checksum, Checksum) else "any"


def _change(image: Image, catalogue: Catalogue, entry: Entry) -> Change:
    """Return what an image has to become, in what the catalogue says of its record."""
    there, wanted = properties_of(image), entry.properties
    properties = {} if wanted is None else {k: v for k, v in wanted.items() if there.get(k) != v}
    name = catalogue.name if catalogue.takes_over else None
    if name and image.get(MARK, name) != name:
        properties[MARK] = name
    return Change(
        fields=entry.fields,
        properties=properties,
        remove_properties=[] if wanted is None else [key for key in there if key not in wanted],
    )


# Members


def _members(work: Work, entry: Entry) -> set[str] | None:
    """Return the ids of the projects that an image is to be shared with, None: as it is."""
    return None if entry.members is None else set(map(work.project, entry.members))


def _shared_with(work: Work, image: Image) -> set[str]:
    if image["visibility"] != "shared":
        return set()
    return {str(member["member_id"]) for member in work.glance.list_members(image["id"])}


def _share(work: Work, image: Image, members: set[str] | None) -> bool:
    """Share an image with ``members`` and nobody else; tell whether that was another set.

    One after the other: two writes on one image at once could undo each other.
    """
    if members is None:
        return False
    there = _shared_with(work, image)
    for project in sorted(members - there):
        _, failure = sharing.share(work.glance, image, [project], str, work.note)
        if failure is not None:
            raise failure
        work.journal("shared", image)
    for project in sorted(there - members):
        try:
            sharing.withdraw(work.glance, image["id"], project)
        except NotFoundError:  # another job was faster
            continue
        work.journal("withdrawn", image)
    return there != members


# What has left the catalogue


def _left(work: Work, catalogue: Catalogue) -> list[Image]:
    """Return the images that were created for a catalogue, and are not in it any more."""
    if catalogue.name is None:
        return []
    names = {entry.name for entry in catalogue.entries}
    params = [("owner", work.owner), ("visibility", "all"), (MARK, catalogue.name)]
    return [
        image
        for image in with_hidden(work.glance, params)
        if (image["owner"], image.get(MARK)) == (work.owner, catalogue.name)
        and image.get("name") not in names
    ]


def _prune(work: Work, catalogue: Catalogue, listed: Image) -> Row | None:
    """Delete an image; not when it has gone, or moved to another catalogue, since it was listed."""
    try:
        image = work.glance.get_image(listed["id"])
        if image.get(MARK) != catalogue.name or _is_kept(work, image):
            return None
        work.glance.delete_image(image["id"])
    except NotFoundError:
        return None
    except RefusedError as error:
        if error.status not in (403, 409):
            raise
        work.note(f"image {image['id']} has left the catalogue, but stays: {error.sentence()}")
        return None
    work.journal("deleted", image)
    return {"id": image["id"], "name": image.get("name"), "action": "pruned", "retired": []}


def _foresee_prune(work: Work, image: Image) -> list[Row]:
    if _is_kept(work, image):
        return []
    return [_row("pruned", image["id"], image.get("name"))]


def _is_kept(work: Work, image: Image) -> bool:
    """Tell whether an image is protected, and so stays."""
    if image["protected"]:
        work.note(f"image {image['id']} has left the catalogue, but is protected and stays")
    return bool(image["protected"])
