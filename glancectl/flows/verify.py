"""Compare data with the record of an image: those of a source, or those that the cloud has."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from glancectl import resolve
from glancectl.answer import TransportError, transport_errors
from glancectl.api import Glance, Image
from glancectl.errors import (
    DiffersError,
    GlancectlError,
    IntegrityError,
    RefusedError,
)
from glancectl.flows import bulk
from glancectl.transfer import sniff
from glancectl.transfer.digest import Digests, recorded
from glancectl.transfer.fetch import Fetch, NoRangesError
from glancectl.transfer.pace import Pace
from glancectl.transfer.progress import Progress
from glancectl.transfer.source import Source
from glancectl.watch import BEFORE_DATA

# id, name, status (ok, differs or corrupt), and the size and digest that the data turned out to
# have.
Report = dict[str, object]
Outcome = tuple[Report, GlancectlError | None]


@dataclass(frozen=True)
class Found:
    """What data turned out to be: bytes, and their digest by the algorithm of the record.

    None is what is not known: of data that were not read to their end, neither is.
    """

    size: int | None = None
    digest: str | None = None


def compare(record: Image, source: Source, progress: Progress, pace: Pace) -> Outcome:
    """Compare ``source`` with the record of an image; nothing of the image is downloaded.

    Returns the report, and a DiffersError when it is something else. Raises RefusedError when the
    image has no data yet, and what ``Source.chunks`` raises.
    """
    _require_data(record)
    progress.phase("verifying")
    found = _measured(progress.wrap(pace.held(source.chunks())), record)
    differences = _differences(record, found)
    if not differences:
        return _well(record, found, progress)
    return _report(record, "differs", found), DiffersError(
        f"{source.name} is not the data of image {record['id']}",
        cause=differences,
        hint=_about_compressed(source),
    )


def stored(glance: Glance, record: Image, progress: Progress, pace: Pace) -> Outcome:
    """Compare the data that the cloud has of an image with its record; they are kept nowhere.

    Returns the report, and an IntegrityError when the data are others, or some are missing. Raises
    RefusedError when the image has no data yet or they may not be had, and UnavailableError when
    they do not come, though the store may have them.
    """
    _require_data(record)
    found = Found()
    progress.phase("downloading")
    try:
        if _is_cut_off(glance, record):
            damage = f"the store does not have all of its {record['size']} bytes"
        else:
            found = _measured(_from_store(Fetch(glance, record, progress, (), pace)), record)
            damage = _differences(record, found)
    except IntegrityError as error:  # a proxy sends more than there is
        damage = str(error.cause)
    except RefusedError as error:
        if error.status != 204:
            raise
        damage = "the store has no data of it"
    if not damage:
        return _well(record, found, progress)
    return _report(record, "corrupt", found), IntegrityError(
        f"the data of image {record['id']} do not match its record",
        cause=damage,
        hint=f"glancectl image deactivate {record['id']} keeps it from being used",
    )


def stored_images(
    glance: Glance, refs: Sequence[str], progress: Progress, pace: Pace, *, jobs: int
) -> tuple[list[Report], GlancectlError | None]:
    """Do what ``stored`` does for the images that ``refs`` name, ``jobs`` at once.

    Returns the reports, those of corrupt images too, and what went wrong with any.
    """
    ids: dict[str, str] = {}  # by ref
    reports: dict[str, Report] = {}  # by id

    def find(ref: str) -> Image:
        record = resolve.image(glance, ref)
        ids[ref] = str(record["id"])
        progress.add(0, total=record.get("size") or 0)
        return record

    def judge(record: Image) -> None:
        image_id = str(record["id"])
        with progress.of(record.get("name") or image_id, record.get("size")) as one:
            reports[image_id], failure = stored(glance, record, one, pace)
        if failure is not None:
            raise failure

    _, failure = bulk.each_found(refs, find, judge, key=lambda image: str(image["id"]), jobs=jobs)
    in_order = dict.fromkeys(ids[ref] for ref in refs if ref in ids)
    return [reports[image_id] for image_id in in_order if image_id in reports], failure


def _require_data(record: Image) -> None:
    if record.get("size") is None:
        is_to_come = record["status"] in BEFORE_DATA
        what = "no data yet" if is_to_come else "no size in its record"
        raise RefusedError(
            f"image {record['id']} has {what}", cause=f"its status is {record['status']}"
        )


def _measured(chunks: Iterable[bytes], record: Image) -> Found:
    """Exhaust ``chunks`` and return what they turned out to be."""
    expected = recorded(record)
    size = 0
    with Digests([expected[0]] if expected else []) as digests:
        for chunk in chunks:
            size += len(chunk)
            digests.update(chunk)
        return Found(size, digests.results()[expected[0]] if expected else None)


def _from_store(fetch: Fetch) -> Iterator[bytes]:
    """Yield all bytes of an image from its store, whatever the image cache has of it.

    The cache answers, and keeps, what is asked for as a whole. So the first byte is asked for
    alone: where a store hands out no parts, the whole is all there is to ask for.
    """
    place = 0
    spans = [(0, 1), (1, fetch.size)] if fetch.size > 1 else [(0, fetch.size)]
    try:
        for start, end in spans:
            for chunk in fetch.part(start, end):
                place += len(chunk)
                yield chunk
    except NoRangesError:
        yield from fetch.rest(place)


def _is_cut_off(glance: Glance, record: Image) -> bool:
    """Tell whether a store promises the last byte of an image and does not hand it out, twice.

    Asked at once, since reading up to where the data end tells less, and takes longer: Glance
    says nothing there, so that it looks like a network that breaks, and is tried again and again.
    """
    last = int(record["size"]) - 1
    return last >= 0 and not any(_may_have(glance, str(record["id"]), last) for _ in range(2))


def _may_have(glance: Glance, image_id: str, place: int) -> bool:
    """Tell whether a byte comes, or nothing was promised."""
    try:
        with glance.open_data(image_id, span=(place, place + 1)) as response:
            try:
                with transport_errors(f"download image {image_id}"):
                    return any(response.iter_raw())
            except TransportError:
                return False
    except GlancectlError:  # reading all of it says what that is, after some more tries
        return True


def _differences(record: Image, found: Found) -> str:
    """Return in what way data are not those of the record, empty when they are."""
    algorithm, digest = recorded(record) or ("digest", None)
    pairs = (("size", record["size"], found.size), (algorithm, digest, found.digest))
    return "; ".join(
        f"{what} expected {expected}, got {got}" for what, expected, got in pairs if expected != got
    )


def _well(record: Image, found: Found, progress: Progress) -> Outcome:
    """Return the report of data that are right, and tell that they are."""
    if recorded(record) is None:
        progress.note("only the size was verified: the record has no digest")
    report = _report(record, "ok", found)
    progress.done(str(report["digest"]) if report["digest"] else None)
    return report, None


def _report(record: Image, status: str, found: Found) -> Report:
    expected = recorded(record)
    return {
        "id": record["id"],
        "name": record.get("name"),
        "status": status,
        "size": found.size,
        "digest": f"{expected[0]}:{found.digest}" if expected and found.digest else None,
    }


def _about_compressed(source: Source) -> str | None:
    """Return what may be meant by a file that is compressed, where most records are of disks."""
    kind = sniff.kind(source.head, source.tail)
    if kind not in sniff.COMPRESSED:
        return None
    return f"it is compressed; unpacked: {kind} -dc FILE | glancectl image verify IMAGE -"
