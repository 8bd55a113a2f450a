"""What a job that was killed leaves behind: found again by its mark, and removed.

An image that a job makes carries the property ``glancectl_job`` from its creation until its data
are whole and verified: the verb that makes it, and which process runs that. It is removed by the
next run of the same verb for the same name when nobody works on it any more:

- its process ran on this machine and is gone, which can be told for sure (on Linux); or
- it ran elsewhere, and nothing has become of the image for half a day. Its status would not tell:
  behind a proxy that takes the whole upload in before it passes it on, an image stays ``queued``
  for as long as that takes. A job that still runs elsewhere is thus never disturbed.

Glance has no leases, and none can be made of a record: a PATCH beside an upload can write the
status back to what it was before.
"""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from glancectl.api import Glance, Image
from glancectl.errors import NotFoundError, RefusedError
from glancectl.flows import Journal, Note

MARK = "glancectl_job"
FORGOTTEN = timedelta(hours=12)


def mark(verb: str, *, waits: bool = False) -> dict[str, str]:
    """Return the property of an image that this process makes for ``verb``.

    waits: the process lets that of an older image go first.
    """
    words = [verb, _machine(), str(os.getpid()), _start(os.getpid()), *(["waits"] * waits)]
    return {MARK: " ".join(words)}


def is_finished(record: Image) -> bool:
    """Tell whether no job is at work on an image, and none has left it behind."""
    return MARK not in record


def is_under_way(record: Image, verb: str) -> bool:
    """Tell whether a job of ``verb`` makes this image, as far as anybody can tell."""
    return _words(record)[0] == verb and not _is_abandoned(record, verb)


def is_waiting(record: Image) -> bool:
    """Tell whether the job that makes this image lets that of an older one go first."""
    return _words(record)[4:] == ["waits"]


def remove_abandoned(
    glance: Glance, records: Sequence[Image], verb: str, note: Note, journal: Journal
) -> None:
    """Delete those of ``records`` that a job of ``verb`` has begun and nobody will finish.

    records: of the name and the project that the caller works on. ``note`` hears of one that
    Glance does not delete.
    """
    for record in records:
        if not _is_abandoned(record, verb):
            continue
        try:
            glance.delete_image(record["id"])
        except NotFoundError:
            continue
        except RefusedError as error:
            note(f"what a killed job has left stays: {error.sentence()}")
            continue
        journal("deleted", record)


def _words(record: Image) -> list[str]:
    """Return the verb, the machine, the process and its start, and perhaps that it waits."""
    return str(record.get(MARK, "")).split(" ")


def _is_abandoned(record: Image, verb: str) -> bool:
    words = _words(record)
    if words[0] != verb:
        return False
    if len(words) >= 4 and words[1] == _machine() != "-":
        return not _lives(words[2], words[3])
    changed = datetime.fromisoformat(str(record["updated_at"]))
    return datetime.now(UTC) - changed > FORGOTTEN


def _lives(pid: str, start: str) -> bool:
    """Tell whether a process is there still, and not another one that got its id."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:  # somebody else's, so it is there
        pass
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    return _start(int(pid)) in (start, "-")


def _machine() -> str:
    """Return what stands for all processes that can see each other, ``-`` where nothing does.

    A digest, since records are read by others: of the machine's name, its start, and the
    container or other space that the ids of its processes belong to.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            start = file.read().strip()
        seen = " ".join([os.uname().nodename, start, os.readlink("/proc/self/ns/pid")])
    except OSError:
        return "-"
    return hashlib.sha256(seen.encode()).hexdigest()[:16]


def _start(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; ``-`` where that cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name, in parentheses, which may hold any others.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return "-"
    # A zombie has ended; only its parent does not know yet.
    return "ended" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")
