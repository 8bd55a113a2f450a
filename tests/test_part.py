"""The ``.part`` of a download: what is written is there, for this process and for the next."""

import fcntl
import itertools
import json
import os
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from hypothesis import given
from hypothesis import strategies as st

from glancectl.transfer.display import Mode
from glancectl.transfer.part import HOLE, Part, Span, _joined, _runs, opened
from glancectl.transfer.progress import Progress

SIZE = 6 * HOLE + 5  # bytes
ranges = pytest.mark.reliability("ranges of downloads: each byte once, in order")


def record_of(size: int) -> dict[str, Any]:
    return {
        "id": "00000000-0000-4000-8000-000000000000",
        "size": size,
        "os_hash_algo": "sha512",
        "os_hash_value": "0" * 128,
    }


@contextmanager
def part_at(path: Path, size: int = SIZE, *, sparse: bool = True) -> Iterator[Part]:
    with opened(path, record_of(size), Progress("x", size, Mode.NONE), sparse=sparse) as part:
        yield part


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".x.00000000.part"


# Zeros and noise, with ends on and beside the borders of what becomes a hole.
runs = st.tuples(st.booleans(), st.sampled_from([1, HOLE - 1, HOLE, HOLE + 1, 2 * HOLE]))
contents = st.lists(runs, max_size=8).map(
    lambda runs: b"".join(b"\1" * count if noisy else bytes(count) for noisy, count in runs)
)


def bytes_of(spans: list[Span]) -> set[int]:
    return {place for start, end in spans for place in range(start, end)}


# spans


ends = st.lists(st.integers(0, 30), min_size=2, max_size=2, unique=True).map(sorted)


@ranges
@given(st.lists(ends.map(tuple), max_size=10))
def test_joined_spans_have_all_bytes_and_a_gap_between_them(added: list[Span]) -> None:
    found: list[Span] = []
    for span in added:
        found = _joined(found, span)
    assert bytes_of(found) == bytes_of(added)
    assert all(start < end for start, end in found)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))


@given(contents)
def test_what_is_outside_of_the_runs_is_zeros(chunk: bytes) -> None:
    found = list(_runs(chunk))
    written = bytearray(len(chunk))
    for start, end in found:
        written[start:end] = chunk[start:end]
    assert written == chunk


@given(contents)
def test_no_block_of_zeros_is_in_a_run(chunk: bytes) -> None:
    found = list(_runs(chunk))
    assert all(start % HOLE == 0 for start, _ in found)
    assert all(end % HOLE == 0 or end == len(chunk) for _, end in found)
    assert all(
        any(chunk[block : block + HOLE])
        for start, end in found
        for block in range(start, end, HOLE)
    )


# what was written


@ranges
@given(contents.filter(bool), st.data(), st.booleans())
def test_what_was_written_is_there_in_the_next_run(
    image: bytes, data: st.DataObject, sparse: bool
) -> None:
    size = len(image)
    written = bytearray(size)  # 1 for each byte that was
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(data.draw(st.integers(1, 3))):
            with part_at(Path(folder, "part"), size, sparse=sparse) as part:
                assert part.kept == part.count() == sum(written)
                for _ in range(data.draw(st.integers(0, 3))):
                    start = data.draw(st.integers(0, size - 1))
                    end = data.draw(st.integers(start + 1, size))
                    part.write(start, image[start:end])
                    written[start:end] = b"\1" * (end - start)
                    assert part.count() == sum(written)
                assert_has(part, image, written)


def assert_has(part: Part, image: bytes, written: bytes) -> None:
    """Assert that the spans are the whole, in order, and tell which bytes were ``written``."""
    place = 0
    for (start, end), there in part.spans():
        assert (start, end > start) == (place, True)
        assert set(written[start:end]) == {there}
        if there:
            assert b"".join(part.read(start, end)) == image[start:end]
        place = end
    assert place == part.size == len(image)


@ranges
@given(contents, st.booleans())
def test_a_finished_part_is_the_image(image: bytes, sparse: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part")
        with part_at(path, len(image), sparse=sparse) as part:
            for start in range(0, len(image), HOLE + 7):
                part.write(start, image[start : start + HOLE + 7])
            part.finish()
        assert path.read_bytes() == image


def test_zeros_take_the_place_of_what_was_there(path: Path) -> None:
    with part_at(path) as part:
        part.write(0, b"\1" * SIZE)
        part.write(0, bytes(SIZE))
        assert b"".join(part.read(0, SIZE)) == bytes(SIZE)


def test_nothing_is_kept_of_what_was_cleared(path: Path) -> None:
    with part_at(path) as part:
        part.write(0, b"\1" * SIZE)
        part.clear()
        assert (part.kept, part.count()) == (0, 0)
        part.write(0, b"\2")
    with part_at(path) as part:
        assert part.spans() == [((0, 1), True), ((1, SIZE), False)]


def test_a_note_may_need_more_room_than_most(path: Path) -> None:
    size = 4_000
    with part_at(path, size) as part:
        for place in range(0, size, 2):
            part.write(place, b"\1")
    assert path.stat().st_size > size + 8_192
    with part_at(path, size) as part:
        assert part.kept == size // 2
        part.write(0, b"\1" * size)
    with part_at(path, size) as part:
        assert part.spans() == [((0, size), True)]
        part.finish()
    assert path.read_bytes() == b"\1" * size


def test_several_threads_may_write(path: Path) -> None:
    chance = random.Random(7)
    image = chance.randbytes(SIZE)
    starts = list(range(0, SIZE, 1000))
    chance.shuffle(starts)

    def write(part: Part, mine: list[int]) -> None:
        for start in mine:
            part.write(start, image[start : start + 1000])

    with part_at(path) as part:
        threads = [threading.Thread(target=write, args=(part, starts[i::4])) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert part.spans() == [((0, SIZE), True)]
        part.finish()
    assert path.read_bytes() == image


@pytest.mark.parametrize("end", [Part.finish, Part.close])
def test_a_thread_that_is_late_changes_nothing(path: Path, end: Any) -> None:
    # It still fetches a part of the image when all has come over another connection.
    with part_at(path) as part:
        part.write(0, b"\1" * SIZE)
        end(part)
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"closed|finished"):
            part.write(0, b"\2")
    assert path.read_bytes() == before


def test_what_something_else_cuts_short_is_no_data(path: Path) -> None:
    with part_at(path) as part:
        part.write(0, b"\1" * SIZE)
        os.truncate(path, 5)
        with pytest.raises(OSError, match="cut short"):
            list(part.read(0, SIZE))


# one process at a time


def test_another_process_has_to_wait(path: Path) -> None:
    with part_at(path), path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def another_waiting(path: Path) -> Iterator[list[int]]:
    """Let another thread wait for the ``.part``; hand out how many bytes it finds in the end."""
    counts: list[int] = []

    def wait_and_look() -> None:
        with part_at(path) as part:
            counts.append(part.count())

    thread = threading.Thread(target=wait_and_look)
    thread.start()
    wait_for(is_waiting_for_a_lock)
    yield counts
    thread.join(10)


@pytest.mark.parametrize("what", ["renamed", "removed", "left"])
def test_who_waits_gets_the_file_that_is_there_then(path: Path, what: str) -> None:
    with ExitStack() as stack, part_at(path) as part:
        part.write(0, b"\1" * 5)
        counts = stack.enter_context(another_waiting(path))
        if what == "renamed":
            path.rename(path.with_name("x"))
        elif what == "removed":
            path.unlink()
    assert counts == [5 if what == "left" else 0]


def test_who_gives_the_file_its_name_is_waited_for(path: Path) -> None:
    # For a moment it has both names, as one has for good whose process was killed just then.
    with ExitStack() as stack, part_at(path) as part:
        part.write(0, b"\1" * SIZE)
        part.finish()
        path.with_name("x").hardlink_to(path)
        counts = stack.enter_context(another_waiting(path))
        path.unlink()
    assert counts == [0]
    assert path.with_name("x").read_bytes() == b"\1" * SIZE


def test_a_file_that_has_its_name_already_is_not_touched(path: Path) -> None:
    path.with_name("x").write_bytes(b"\1" * SIZE)
    path.hardlink_to(path.with_name("x"))
    with part_at(path) as part:
        assert part.count() == 0
    assert path.with_name("x").read_bytes() == b"\1" * SIZE


def is_waiting_for_a_lock() -> bool:
    """Tell whether a thread of ours waits: its line in /proc/locks (proc(5)) has ``->``."""
    waiting = [line for line in Path("/proc/locks").read_text().splitlines() if " -> " in line]
    return any(f" {os.getpid()} " in line for line in waiting)


def test_the_note_says_which_image_it_is(path: Path) -> None:
    with part_at(path) as part:
        part.write(5, b"\1\1")
    assert json.loads(path.read_bytes()[SIZE:]) == {
        "id": "00000000-0000-4000-8000-000000000000",
        "size": SIZE,
        "digest": f"sha512:{'0' * 128}",
        "spans": [[5, 7]],
    }
