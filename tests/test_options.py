"""Parsers of what users type, without a server."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from glancectl import errors, resolve, retry
from glancectl.cli import options
from glancectl.terminal import human_size, printable
from glancectl.transfer.download import file_name


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("512", 512), ("1k", 1024), ("10M", 10 << 20), ("2GiB", 2 << 30),
        ("1 TB", 1 << 40), ("3p", 3 << 50),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert options.size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5G", "G", "ten", "1X", "1G2"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a size"):
        options.size(text)


@pytest.mark.parametrize(
    ("text", "pair"), [("a=b", ("a", "b")), ("a=", ("a", "")), ("a=b=c", ("a", "b=c"))]
)
def test_pairs(text: str, pair: tuple[str, str]) -> None:
    assert options.pair(text) == pair


@pytest.mark.parametrize("text", ["", "a", "=b"])
def test_pairs_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected KEY=VALUE"):
        options.pair(text)


@pytest.mark.parametrize(("line", "pair"), [("A: b", ("A", "b")), ("C:d:e", ("C", "d:e"))])
def test_headers(line: str, pair: tuple[str, str]) -> None:
    assert options.header(line) == pair


@pytest.mark.parametrize("line", ["", "a", ": b", "a: b\r\nc: d"])
def test_headers_that_are_none(line: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a header"):
        options.header(line)


@pytest.mark.parametrize(
    "text", ["2026-05-01", "2026-05-01T02:00:00+02:00", "2026-05-01T00:00:00Z"]
)
def test_dates_are_utc_unless_they_say_otherwise(text: str) -> None:
    assert options.date(text) == datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "words"),
    [("- a\n", "no mapping"), ("a: [", "not valid JSON or YAML"), (b"\xff", "not UTF-8")],
)
def test_a_bad_properties_file_is_a_sentence(content: str | bytes, words: str) -> None:
    path = Path("props")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(errors.RefusedError, match=words):
        options.properties(None, "props")


def test_targets_come_from_stdin_where_a_dash_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("id1\tname\n\nid2\n"))
    assert options.targets(["a", "-", "b"]) == ["a", "id1", "id2", "b"]


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("6b1e2d7e-0000-4000-8000-0000000000aa", "6b1e2d7e-0000-4000-8000-0000000000aa"),
        ("6B1E2D7E-0000-4000-8000-0000000000AA", "6b1e2d7e-0000-4000-8000-0000000000aa"),
        ("6b1e2d7e00004000800000000000000a", None),
        ("{6b1e2d7e-0000-4000-8000-0000000000aa}", None),
        ("ubuntu", None),
    ],
)
def test_what_is_a_uuid(ref: str, found: str | None) -> None:
    assert resolve.as_uuid(ref) == found


def test_delays_grow_are_spread_and_obey_retry_after() -> None:
    for attempt in range(1, 12):
        longest = min(0.25 * 2 ** (attempt - 1), 30)
        assert longest / 2 <= retry.delay(attempt) <= longest
    assert retry.delay(1, "7") == 7
    assert retry.delay(1, "9999") == 30
    assert retry.delay(1, "Wed, 21 Oct 2026 07:28:00 GMT") <= 0.25


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), ((1 << 20) - 1, "1.0 MiB"),
        (1536 << 20, "1.5 GiB"), (1 << 60, "1024.0 PiB"),
    ],
)  # fmt: skip
def test_human_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


@given(st.text())
def test_what_is_printable_drives_no_terminal(text: str) -> None:
    shown = printable(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert printable(shown) == shown


@given(
    name=st.none() | st.text(st.characters(codec=None), max_size=400),
    disk_format=st.sampled_from([None, "qcow2", "raw"]),
)
def test_a_made_up_file_name_stays_in_its_folder(name: str | None, disk_format: str | None) -> None:
    made = file_name({"id": "1234", "name": name, "disk_format": disk_format})
    assert Path(made).name == made
    assert made not in ("", ".", "..")
    assert made[0] not in ".-~ "
    assert len(made.encode()) <= 255 - len(".12345678.part") - 1
    assert "\0" not in made
