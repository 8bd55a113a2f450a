"""Parsers of what users type, without a server."""

import contextlib
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import typer
from conftest import run
from hypothesis import example, given
from hypothesis import strategies as st

from glancectl import errors, resolve, retry
from glancectl.cli import options
from glancectl.terminal import human_size, printable
from glancectl.transfer.download import file_name

typed = pytest.mark.reliability("sizes, rates, seconds and dates as users type them")
MOST = (1 << 63) - 1  # bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("512", 512), ("1k", 1024), ("10M", 10 << 20), ("2GiB", 2 << 30),
        ("1 TB", 1 << 40), ("3p", 3 << 50),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert options.size(text) == size


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5G", "G", "ten", "1X", "1G2", "1\u212a", "1M\u0131B", "٣", "9" * 5000]
)
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a size"):
        options.size(text)


@pytest.mark.parametrize("text", ["8192P", "9" * 19 + "K", str(MOST + 1)])
def test_sizes_that_are_too_large(text: str) -> None:
    assert options.size(str(MOST)) == MOST
    with pytest.raises(typer.BadParameter, match="more than any store can hold"):
        options.size(text)


UNITS = [
    (prefix + tail, 1024**power)
    for power, prefix in enumerate(("", "K", "M", "G", "T", "P"))
    for tail in ("", "B", "iB")
]
SPACE = st.sampled_from(["", " ", "\t", "  "])
SHORT_TEXT = st.text(max_size=30) | st.text("0123456789.,-+eE_ \t\nKMGTPiBs/:=nanif\u212a\u0131٣²")


@typed
@given(st.integers(0, MOST), st.sampled_from(UNITS), st.booleans(), SPACE, SPACE)
def test_a_size_is_read_as_it_was_written(
    size: int, unit: tuple[str, int], capitals: bool, between: str, around: str
) -> None:
    name, factor = unit[0] if capitals else unit[0].lower(), unit[1]
    count = size // factor
    text = f"{around}{count}{between}{name}{around}"
    assert options.size(text) == count * factor
    if count:
        assert options.rate(text) == options.rate(f"{text.rstrip()}/s") == count * factor


@typed
@given(st.floats(0, options.LONGEST), st.sampled_from([0.0, 0.05]))
def test_seconds_are_read_as_they_were_written(seconds: float, least: float) -> None:
    for text in (repr(seconds), f" {seconds!r}"):
        if seconds < least:
            with pytest.raises(typer.BadParameter):
                options.seconds(least)(text)
        else:
            assert options.seconds(least)(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "-inf", "1e300", "1 h"])
def test_seconds_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="seconds"):
        options.seconds(0)(text)


ZONES = st.none() | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))


@typed
@given(st.datetimes(timezones=ZONES), st.sampled_from(["T", " "]))
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "T")
@example(datetime.max, "T")
def test_a_date_is_read_as_it_was_written(moment: datetime, between: str) -> None:
    whole = moment.replace(microsecond=0)
    expected = whole if whole.tzinfo else whole.replace(tzinfo=UTC)
    try:
        expected = expected.astimezone(UTC)
    except OverflowError:  # in UTC it is before the year 1 or after 9999
        with pytest.raises(typer.BadParameter):
            options.date(moment.isoformat(between))
        return
    found = options.date(moment.isoformat(between))
    assert (found, found.tzinfo) == (expected, UTC)


@typed
@pytest.mark.parametrize(
    "parser",
    [
        options.size, options.rate, options.seconds(0), options.date, options.pair,
        options.header, options.checksum, options.nonempty,
    ],
    ids=["size", "rate", "seconds", "date", "pair", "header", "checksum", "nonempty"],
)  # fmt: skip
@given(SHORT_TEXT)
def test_any_other_text_is_a_usage_error(parser: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(typer.BadParameter):
        parser(text)


WRONG = ["nan", "inf", "-inf", "1e400", "1e300", "-1", "x", "", "1h", "\u221e"]
TOO_MUCH = ["-1", "1.5", "x", "", str(1 << 31), "9" * 5000]


@typed
@pytest.mark.parametrize(
    ("argv", "option", "values"),
    [
        (["--timeout", "{}", "image", "list"], "--timeout", WRONG),
        (["--retries", "{}", "image", "list"], "--retries", ["-1", "1.5", "x", "", "9" * 5000]),
        (["image", "wait", "x", "--timeout", "{}"], "--timeout", WRONG),
        (["image", "wait", "x", "--interval", "{}"], "--interval", [*WRONG, "0", "0.01"]),
        (["task", "wait", "x", "--interval", "{}"], "--interval", WRONG),
        (["image", "list", "--limit", "{}"], "--limit", ["-1", "1.5", "x", "", "9" * 5000]),
        (["image", "list", "--page-size", "{}"], "--page-size", ["0", "x", "", "9" * 5000]),
        (["image", "list", "--size-min", "{}"], "--size-min", ["-1", "1.5G", "x", "", "8192P"]),
        (["image", "list", "--created-after", "{}"], "--created-after", ["x", "", "2026-13-01"]),
        (["image", "create", "x", "--min-disk", "{}"], "--min-disk", TOO_MUCH),
        (["image", "create", "x", "--min-ram", "{}"], "--min-ram", TOO_MUCH),
        (["image", "create", "x", "--size", "{}"], "--size", ["-1", "x", "", "9" * 5000]),
        (["image", "create", "x", "--limit-rate", "{}"], "--limit-rate", ["0", "x", "", "-1"]),
    ],
    ids=lambda value: " ".join(value).replace(" {}", "") if "{}" in value else "",
)
def test_a_wrong_number_never_reaches_a_server(
    record_property: Callable[[str, object], None],
    argv: list[str],
    option: str,
    values: list[str],
) -> None:
    """There is no cloud here, which would be another exit code."""
    record_property("tried", len(values))
    for value in values:
        result = run(*(word.format(value) for word in argv), code=2)
        assert option in result.err, value
        assert result.out == ""


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


@pytest.mark.reliability("names of images made names of files")
@given(
    name=st.none()
    | st.text(st.characters(codec=None), max_size=400)
    | st.text("./\\-~ \n\0\x85\u3000\u202eaé漢\ud800", max_size=80)
    | st.sampled_from([".raw", "x.raw", "x.raw ", " .raw", "..", "-.raw", "\u3000", "漢" * 100]),
    disk_format=st.sampled_from([None, "qcow2", "raw"]),
)
def test_a_made_up_file_name_stays_in_its_folder(name: str | None, disk_format: str | None) -> None:
    record = {"id": "1234", "name": name, "disk_format": disk_format}
    made = file_name(record)
    assert Path(made).name == made
    assert made not in ("", ".", "..")
    assert made[0] not in ".-~ "
    assert len(made.encode()) <= 255 - len(".12345678.part") - 1
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "/\\" for char in made)
    assert made == made.rstrip()
    assert made.endswith(f".{disk_format}" if disk_format else "")
    assert file_name(record | {"name": made}) == made
