"""The two places that images are copied between, and what of one the other has already."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from glancectl.api import Glance, Image
from glancectl.errors import AuthError, UsageError
from glancectl.flows import Note, unfinished, update
from glancectl.flows.listing import with_hidden
from glancectl.patch import Change
from glancectl.transfer.digest import recorded
from glancectl.transfer.upload import LIKELY_HASH

PAUSE = 0.25  # seconds between two looks at what other jobs make
PATIENCE = 60.0  # seconds to wait for other jobs


@dataclass(frozen=True)
class Ends:
    """From where to where: two image services, which may be the same one.

    find_project: turns what may be a project over there into its id.
    """

    source: Glance
    target: Glance
    find_project: Callable[[str], str]

    def log_in(self) -> None:
        """Log in to both. Raises AuthError when nothing tells the project that gets the copies."""
        if not (self.source.rest.login.access and self.project):
            raise AuthError(
                "nothing tells which project would get the copy",
                hint="log in through clouds.yaml or OS_AUTH_URL: a token alone does not say it",
            )

    def require_region(self) -> None:
        """Raise UsageError when nothing tells the region of the originals."""
        if not self.region:
            raise UsageError("Glance has to be told the region to fetch from", hint="--region NAME")

    @property
    def project(self) -> str:
        """The id of the project that gets the copies, empty when nothing tells it."""
        return self.target.rest.login.access.project_id or ""

    @property
    def region(self) -> str:
        """The region of the originals, empty when nothing tells it."""
        return self.source.rest.login.access.region or ""

    @property
    def is_one_place(self) -> bool:
        """Whether both are the same image service."""
        here, there = self.source.rest.login.access, self.target.rest.login.access
        return here.endpoint == there.endpoint

    @cached_property
    def algorithm(self) -> str:
        """The algorithm that the target hashes with, as its newest image tells; else the usual."""
        for newest in self.target.list_images([("status", "active")], limit=1):
            return (recorded(newest) or (LIKELY_HASH,))[0]
        return LIKELY_HASH


def images_of(ends: Ends, *params: tuple[str, str]) -> list[Image]:
    """Return the images of the target's project that ``params`` let through, hidden ones too."""
    found = with_hidden(ends.target, [*params, ("owner", ends.project), ("visibility", "all")])
    return [image for image in found if image.get("owner") == ends.project]


def with_data_of(ends: Ends, original: Image) -> list[Image]:
    """Return the active images of the target's project that have the data of ``original``.

    Those of its name first, then the oldest.
    """
    size = str(original["size"])
    found = images_of(ends, ("status", "active"), ("size_min", size), ("size_max", size))
    same = [image for image in found if are_same(image, original)]
    return sorted(same, key=lambda one: (one.get("name") != original.get("name"), *_age(one)))


def are_same(one: Image, other: Image) -> bool:
    """Tell whether two images have the same data, as far as their records can tell.

    Clouds may hash differently; an MD5 all of them have.
    """
    ours, theirs = recorded(one), recorded(other)
    if ours and theirs and ours[0] == theirs[0]:
        return ours == theirs
    return one.get("checksum") is not None and one["checksum"] == other.get("checksum")


def finished_copy(ends: Ends, original: Image) -> Image | None:
    """Return an image of the target's project that has the data, and that no job works on."""
    return next(filter(unfinished.is_finished, with_data_of(ends, original)), None)


def _age(image: Image) -> tuple[str, str]:
    """Return what orders images, the oldest first, in the same way for all who look at them."""
    return str(image["created_at"]), str(image["id"])


def made_meanwhile(ends: Ends, original: Image, copy: Image, verb: str, note: Note) -> Image | None:
    """Return the finished image that another job has made of the same data since this one began.

    Of jobs whose copies are whole at once, the one with the oldest goes first. Any other says in
    the record of its copy that it waits, until it sees a finished image, or no older copy any more.
    The first one waits as well, until all others have said so or have finished: one of them may
    have looked before this copy was whole, and go on. So one is left in the end, unless a job stays
    silent here for a minute.
    """
    waits, end = False, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        others = [one for one in with_data_of(ends, original) if one["id"] != copy["id"]]
        finished = next(filter(unfinished.is_finished, others), None)
        if finished is not None:
            return finished
        rivals = [one for one in others if unfinished.is_under_way(one, verb)]
        must_wait = any(_age(rival) < _age(copy) for rival in rivals)
        if must_wait != waits:
            waits = must_wait
            mark = Change(properties=unfinished.mark(verb, waits=waits))
            copy = update.change(ends.target, copy, mark, note)
        elif not must_wait and all(map(unfinished.is_waiting, rivals)):
            return None
        else:
            time.sleep(PAUSE)
    return None
