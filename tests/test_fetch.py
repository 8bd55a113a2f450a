"""How a download asks for an image in pieces, and what of the answers it takes."""

import time
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glancectl.transfer.fetch import ENOUGH, LARGEST, SMALLEST, _gathered, _is_of, _pieces
from glancectl.transfer.part import Span

ranges = pytest.mark.reliability("ranges of downloads: each byte once, in order")

# Where a whole of up to some GiB is cut into spans that are there or are not.
cuts = st.lists(st.integers(1, 8 << 30), min_size=1, max_size=6, unique=True).map(sorted)


def spans_between(cuts: list[int], first_is_there: bool) -> list[tuple[Span, bool]]:
    """Return the spans from 0 over all ``cuts``, there and not there in turns."""
    begun = zip([0, *cuts], cuts, strict=False)
    return [(span, (number % 2 == 0) == first_is_there) for number, span in enumerate(begun)]


@ranges
@given(cuts, st.booleans(), st.integers(2, 32))
@example([1], False, 4)
def test_pieces_make_up_what_they_were_cut_from(
    cuts: list[int], first_is_there: bool, connections: int
) -> None:
    spans = spans_between(cuts, first_is_there)
    pieces = _pieces(spans, connections)
    places = [0, *(end for (_, end), _ in pieces)]
    assert [start for (start, _), _ in pieces] == places[:-1]
    assert places[-1] == cuts[-1]
    assert [piece for piece in pieces if piece[1]] == [span for span in spans if span[1]]
    borders = {place for span, _ in spans for place in span}
    for (start, end), there in pieces:
        assert there or 0 < end - start <= LARGEST
        assert there or end - start >= SMALLEST or end in borders


@ranges
@given(st.integers(1, 64 << 30), st.integers(2, 32))
def test_pieces_of_a_whole_get_smaller(size: int, connections: int) -> None:
    lengths = [end - start for (start, end), _ in _pieces([((0, size), False)], connections)]
    assert lengths == sorted(lengths, reverse=True)
    # Enough of them that nobody waits long for the last one.
    assert lengths[0] <= max(size // (4 * connections), SMALLEST)


def partial(content_range: str, **headers: str) -> httpx.Response:
    """Return the head of an answer that carries a part."""
    return httpx.Response(206, headers={"Content-Range": content_range, **headers})


@ranges
@given(st.integers(0, 1 << 40), st.integers(1, 1 << 40), st.integers(0, 1 << 40))
def test_the_part_that_was_asked_for_is_taken(start: int, length: int, behind: int) -> None:
    span, size = (start, start + length), start + length + behind
    assert _is_of(partial(f"bytes {start}-{start + length - 1}/{size}"), span, size)
    assert _is_of(partial(f"bytes {start}-{start + length - 1}/*"), span, size)
    assert _is_of(partial(f"bytes {start}-{start}/{size}"), span, size)  # its beginning


@pytest.mark.parametrize(
    "content_range",
    [
        "", "bytes", "bytes 5-9", "bytes 5-9/", "bytes 5-9/101", "bytes 4-9/100", "bytes 6-9/100",
        "bytes 5-10/100", "bytes 5-4/100", "bytes */100", "bytes -5-9/100", "octets 5-9/100",
        "bytes=5-9/100", "bytes 5-9/100, bytes 5-9/100",
    ],
)  # fmt: skip
def test_another_part_is_not_taken(content_range: str) -> None:
    assert not _is_of(partial(content_range), (5, 10), 100)


def test_a_whole_is_no_part() -> None:
    whole = httpx.Response(200, headers={"Content-Range": "bytes 5-9/100"})
    assert not _is_of(whole, (5, 10), 100)


@pytest.mark.parametrize(("length", "is_taken"), [("5", True), ("4", False), ("6", False)])
def test_content_length_has_to_agree(length: str, is_taken: bool) -> None:
    answer = partial("bytes 5-9/100", **{"Content-Length": length})
    assert _is_of(answer, (5, 10), 100) is is_taken


@ranges
@given(st.lists(st.integers(1, 6 * ENOUGH), max_size=6))
def test_small_parts_are_gathered(lengths: list[int]) -> None:
    parts = [bytes([number]) * length for number, length in enumerate(lengths)]
    chunks = list(_gathered(iter(parts)))
    assert b"".join(chunks) == b"".join(parts)
    assert all(len(chunk) >= ENOUGH for chunk in chunks[:-1])
    assert all(chunks)


def test_what_has_come_is_handed_on_before_the_failure() -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        yield b"thing"
        raise ConnectionResetError

    chunks = _gathered(broken())
    assert next(chunks) == b"something"
    with pytest.raises(ConnectionResetError):
        next(chunks)


def test_what_comes_slowly_is_handed_on_in_time() -> None:
    def slow() -> Iterator[bytes]:
        for _ in range(4):
            time.sleep(0.2)
            yield b"1"

    assert list(_gathered(slow())) == [b"111", b"1"]
