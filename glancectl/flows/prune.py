"""Find the images that are no longer wanted, and delete them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from glancectl import query
from glancectl.api import Glance, Image
from glancectl.errors import GlancectlError, NotFoundError
from glancectl.flows import Journal, Note, bulk
from glancectl.flows.listing import with_hidden
from glancectl.flows.unfinished import is_finished
from glancectl.watch import BEFORE_DATA


@dataclass(frozen=True)
class Rule:
    """Which images go: those for which all holds that is set. Protected ones never do.

    owner: the project that has them, None for any. older_than: the time since they were made.
    keep: so many stay of those with the same owner and name for which owner, name, match and tags
    hold: the newest that are active, whatever their age. An image without a name stays then: it
    is no other version of anything.
    stuck: those that were begun and never finished go, and only those: nothing has become of them
    for so long. A rule without it leaves them alone, since somebody may be at work on them.
    """

    owner: str | None
    name: str | None = None
    match: str | None = None
    tags: Sequence[str] = ()
    older_than: timedelta | None = None
    keep: int | None = None
    stuck: timedelta | None = None


def plan(glance: Glance, rule: Rule, now: datetime, note: Note) -> list[Image]:
    """Return the images that go by ``rule`` at the moment ``now``, the oldest first.

    Each is its record with a ``reason``. ``note`` hears of those that stay since they are
    protected.
    """
    described = [image for image in _listed(glance, rule) if _is_described(image, rule)]
    kept = _newest(described, rule.keep) if rule.keep is not None else set()
    going = [i for i in described if i["id"] not in kept and _is_due(i, rule, now)]
    for image in going:
        if image.get("protected"):
            note(f"image {_called(image)} is protected, so it stays")
    return [
        {**image, "reason": _reason(image, rule, now)}
        for image in sorted(going, key=_age_order)
        if not image.get("protected")
    ]


def delete(
    glance: Glance,
    planned: Sequence[Image],
    rule: Rule,
    now: datetime,
    note: Note,
    journal: Journal,
    *,
    jobs: int,
) -> tuple[list[dict[str, object]], GlancectlError | None]:
    """Delete the images of a plan, ``jobs`` at once; return what went, and what went wrong.

    Each is read again just before: one that was changed so that the rule lets it be, or is gone
    since another job has deleted it, is no failure; ``note`` hears of it.
    """
    images = {str(image["id"]): image for image in planned}

    def act(image_id: str) -> dict[str, object] | None:
        before = images[image_id]
        try:
            record = glance.get_image(image_id)
            if not _still_goes(record, before, rule, now):
                note(f"image {_called(record)} was changed meanwhile, so it stays")
                return None
            glance.delete_image(image_id)
        except NotFoundError:
            note(f"image {_called(before)} is gone already")
            return None
        journal("deleted", record)
        return {"id": image_id, "name": record.get("name"), "status": "deleted"}

    return bulk.each(list(images), act, jobs=jobs)


def _listed(glance: Glance, rule: Rule) -> list[Image]:
    fields = {"visibility": "all", "owner": rule.owner, "name": rule.name}
    given = {key: value for key, value in fields.items() if value is not None}
    return with_hidden(glance, query.image_params(given, tags=rule.tags))


def _is_described(image: Image, rule: Rule) -> bool:
    """Tell whether an image is one of those that the rule is about, whatever its age."""
    return (
        (rule.owner is None or image.get("owner") == rule.owner)
        and (rule.name is None or image.get("name") == rule.name)
        and (rule.match is None or fnmatchcase(image.get("name") or "", rule.match))
        and set(rule.tags) <= set(image["tags"])
    )


def _is_due(image: Image, rule: Rule, now: datetime) -> bool:
    """Tell whether an image may go by its age and its state."""
    if rule.older_than is not None and _since(image, "created_at", now) <= rule.older_than:
        return False
    if rule.stuck is None:
        return _is_whole(image) and (rule.keep is None or bool(image.get("name")))
    return not _is_whole(image) and _since(image, "updated_at", now) > rule.stuck


def _still_goes(record: Image, planned: Image, rule: Rule, now: datetime) -> bool:
    # Another name makes it one of other versions; activated again, it may be one to keep.
    is_same = all(record.get(key) == planned.get(key) for key in ("name", "owner", "status"))
    is_meant = _is_described(record, rule) and _is_due(record, rule, now)
    return is_same and is_meant and not record.get("protected")


def _is_whole(image: Image) -> bool:
    return image["status"] not in BEFORE_DATA and is_finished(image)


def _newest(images: Iterable[Image], count: int) -> set[str]:
    """Return the ids of the newest ``count`` active images of each owner and name."""
    versions = defaultdict(list)
    for image in sorted(images, key=_age_order, reverse=True):
        if image["status"] == "active" and is_finished(image):
            versions[image.get("owner"), image.get("name")].append(str(image["id"]))
    return {image_id for ids in versions.values() for image_id in ids[:count]}


def _age_order(image: Image) -> tuple[str, str]:
    return str(image["created_at"]), str(image["id"])


def _since(image: Image, moment: str, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(str(image[moment]))


def _reason(image: Image, rule: Rule, now: datetime) -> str:
    """Return why an image goes, as in ``matches ci-*, 45d old, not among the newest 3``."""
    state = image["status"] if image["status"] in BEFORE_DATA else "unfinished"
    parts = (
        (rule.name, f"named {rule.name}"),
        (rule.match, f"matches {rule.match}"),
        (rule.tags or None, f"tagged {', '.join(rule.tags)}"),
        (rule.older_than, f"{_spelled(_since(image, 'created_at', now))} old"),
        (rule.keep, f"not among the newest {rule.keep}"),
        (rule.stuck, f"{state} for {_spelled(_since(image, 'updated_at', now))}"),
    )
    return ", ".join(text for part, text in parts if part is not None)


def _spelled(span: timedelta) -> str:
    """Return a span of time in its largest unit, as it is typed: ``45d``."""
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _called(image: Image) -> str:
    return f"{image['id']} ({image['name']})" if image.get("name") else str(image["id"])
