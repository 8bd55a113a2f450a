"""Values to text: every format whole, what a terminal must not get, errors and warnings."""

import csv
import io
import json
import os
import pty
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glancectl import errors, render
from glancectl.render import Format, View
from glancectl.terminal import human_size

NOBLE: Mapping[str, object] = {
    "status": "active",
    "name": "noble",
    "tags": ["lts", "x86"],
    "container_format": "bare",
    "created_at": "2026-11-23T12:03:04Z",
    "disk_format": "qcow2",
    "size": 2097152,
    "virtual_size": None,
    "visibility": "public",
    "min_disk": 10,
    "protected": False,
    "id": "2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e",
    "os_distro": "ubuntu",
    "stores": {"fast": "é"},
}
EMPTY: Mapping[str, object] = {
    "id": "3c1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e",
    "name": None,
    "status": "queued",
    "visibility": "private",
    "size": None,
    "tags": [],
    "protected": True,
}
COLUMNS = ("id", "name", "status", "visibility", "size")
# Text with everything in it that formats stumble over, lone surrogates among it.
TEXT = st.text(
    st.characters()
    | st.sampled_from("\x1b\x07\x00\x7f\x85\x9b\t\n\r\\\",'\u2028\u202e\ufeff\ud800")
)
ENCODABLE = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x1b\x85\t\n\r\\\",'\u2028\u202e")
)
quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def view(
    format_: str | None = None, *columns: str, quiet: bool = False, color: str = "auto"
) -> View:
    return View(Format(format_) if format_ else None, columns, quiet, color)


def printed(call: Callable[[], object], stream: io.StringIO | None = None) -> str:
    """Return what ``call`` writes to stdout, ``stream`` if given."""
    out = stream or io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        call()
    return out.getvalue()


def listed(*items: Mapping[str, object], how: View, stream: io.StringIO | None = None) -> str:
    return printed(lambda: render.records(iter(items), how, columns=COLUMNS), stream)


def shown(item: Mapping[str, object], how: View, stream: io.StringIO | None = None) -> str:
    return printed(lambda: render.record(item, how), stream)


LISTS = {
    "table": """\
id                                    name   status  visibility     size
────────────────────────────────────────────────────────────────────────
2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e  noble  active  public      2.0 MiB
3c1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e  -      queued  private           -
""",
    "tsv": (
        "2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e\tnoble\tactive\tpublic\t2097152\n"
        "3c1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e\t\tqueued\tprivate\t\n"
    ),
    "value": (
        "2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e noble active public 2097152\n"
        "3c1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e  queued private \n"
    ),
    "csv": """\
id,name,status,visibility,size
2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e,noble,active,public,2097152
3c1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e,,queued,private,
""",
    "json": json.dumps([NOBLE, EMPTY], indent=2, ensure_ascii=False) + "\n",
    "jsonl": "".join(
        json.dumps(item, separators=(",", ":"), ensure_ascii=False) + "\n"
        for item in (NOBLE, EMPTY)
    ),
    "yaml": """\
- status: active
  name: noble
  tags:
  - lts
  - x86
  container_format: bare
  created_at: '2026-11-23T12:03:04Z'
  disk_format: qcow2
  size: 2097152
  virtual_size: null
  visibility: public
  min_disk: 10
  protected: false
  id: 2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e
  os_distro: ubuntu
  stores:
    fast: é
- id: 3c1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e
  name: null
  status: queued
  visibility: private
  size: null
  tags: []
  protected: true
""",
}

SINGLES = {
    "table": """\
id                2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e
name              noble
status            active
visibility        public
size              2.0 MiB
disk_format       qcow2
container_format  bare
min_disk          10
protected         false
created_at        2026-11-23 12:03:04Z
tags              lts, x86
virtual_size      -
os_distro         ubuntu
stores            fast é
""",
    "tsv": (
        "id\t2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e\n"
        "name\tnoble\nstatus\tactive\nvisibility\tpublic\nsize\t2097152\ndisk_format\tqcow2\n"
        "container_format\tbare\nmin_disk\t10\nprotected\tfalse\n"
        "created_at\t2026-11-23T12:03:04Z\ntags\tlts,x86\nvirtual_size\t\n"
        'os_distro\tubuntu\nstores\t{"fast":"é"}\n'
    ),
    "value": (
        "2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e\nnoble\nactive\npublic\n2097152\nqcow2\nbare\n10\n"
        'false\n2026-11-23T12:03:04Z\nlts,x86\n\nubuntu\n{"fast":"é"}\n'
    ),
    "csv": (
        "id,name,status,visibility,size,disk_format,container_format,min_disk,protected,created_at,"
        "tags,virtual_size,os_distro,stores\n"
        "2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e,noble,active,public,2097152,qcow2,bare,10,false,"
        '2026-11-23T12:03:04Z,"lts,x86",,ubuntu,"{""fast"":""é""}"\n'
    ),
    "json": json.dumps(NOBLE, indent=2, ensure_ascii=False) + "\n",
    "jsonl": json.dumps(NOBLE, separators=(",", ":"), ensure_ascii=False) + "\n",
    "yaml": yaml.safe_dump(dict(NOBLE), sort_keys=False, allow_unicode=True),
}


@pytest.mark.parametrize("format_", Format)
def test_list(format_: Format) -> None:
    assert listed(NOBLE, EMPTY, how=view(format_)) == LISTS[format_]


@pytest.mark.parametrize("format_", Format)
def test_single(format_: Format) -> None:
    assert shown(NOBLE, view(format_)) == SINGLES[format_]


def test_default_is_a_table_on_a_terminal_and_tsv_elsewhere() -> None:
    assert listed(NOBLE, EMPTY, how=view(), stream=Terminal()) == LISTS["table"]
    assert listed(NOBLE, EMPTY, how=view()) == LISTS["tsv"]
    assert shown(NOBLE, view(), Terminal()) == SINGLES["table"]
    assert shown(NOBLE, view()) == SINGLES["tsv"]


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("table", ""),
        ("tsv", ""),
        ("value", ""),
        ("jsonl", ""),
        ("json", "[]\n"),
        ("yaml", "[]\n"),
        ("csv", "id,name,status,visibility,size\n"),
    ],
)
def test_empty_list(format_: str, text: str) -> None:
    assert listed(how=view(format_)) == text


def test_quiet_prints_keys_only() -> None:
    assert listed(NOBLE, EMPTY, how=view("json", quiet=True)) == f"{NOBLE['id']}\n{EMPTY['id']}\n"
    assert shown(NOBLE, view(quiet=True)) == f"{NOBLE['id']}\n"
    path = {"id": "x", "path": "/tmp/x.raw"}
    assert printed(lambda: render.record(path, view(quiet=True), key="path")) == "/tmp/x.raw\n"


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("tsv", "10\tnoble\tubuntu\n\t\t\n"),
        ("value", "10 noble ubuntu\n  \n"),
        ("csv", "MIN_DISK,name,os_Distro\n10,noble,ubuntu\n,,\n"),
        (
            "jsonl",
            '{"min_disk":10,"name":"noble","os_distro":"ubuntu"}\n'
            '{"MIN_DISK":null,"name":null,"os_Distro":null}\n',
        ),
    ],
)
def test_columns_in_any_case_and_in_the_order_given(format_: str, text: str) -> None:
    how = view(format_, "MIN_DISK", "name", "os_Distro")
    assert listed(NOBLE, EMPTY, how=how) == text


def test_columns_of_a_single_resource() -> None:
    assert shown(NOBLE, view("tsv", "SIZE", "name")) == "size\t2097152\nname\tnoble\n"
    assert json.loads(shown(NOBLE, view("json", "Tags"))) == {"tags": ["lts", "x86"]}


def test_unknown_column_of_a_single_resource_is_a_usage_error() -> None:
    with pytest.raises(errors.UsageError) as caught:
        shown({"id": "1", "size": 2}, view("json", "id", "sise"))
    message = "no column 'sise': did you mean 'size'?"
    assert (caught.value.message, caught.value.hint) == (message, "one of: id, size")


def test_unknown_column_of_a_list_is_empty_and_warned_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert listed(NOBLE, how=view("tsv", "sise", "name", "zzz")) == "\tnoble\t\n"
    assert capsys.readouterr().err == (
        "glancectl: warning: nothing listed has a column 'sise'; did you mean 'size'?\n"
        "glancectl: warning: nothing listed has a column 'zzz'\n"
    )


def test_no_warning_about_columns_of_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    listed(how=view("tsv", "sise"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("format_", ["tsv", "csv", "value", "jsonl"])
def test_lines_are_written_before_the_next_item_is_asked_for(format_: str) -> None:
    out = io.StringIO()
    lines: list[int] = []

    def items() -> Iterator[Mapping[str, object]]:
        for number in range(3):
            lines.append(out.getvalue().count("\n"))
            yield {"id": str(number)}

    printed(lambda: render.records(items(), view(format_), columns=("id",)), out)
    assert lines == ([1, 2, 3] if format_ == "csv" else [0, 1, 2])


def test_results_of_one_target_and_of_several() -> None:
    how, one = view("jsonl"), {"id": "1", "name": "a", "status": "deleted"}

    def text(*items: Mapping[str, object], how: View = how, single: bool) -> str:
        return printed(lambda: render.results(items, how, single=single))

    assert text(one, single=True, how=view("json")).startswith("{")
    assert text(one, single=False, how=view("json")).startswith("[")
    assert text(single=True, how=view("json")) == ""
    assert text(one, single=False, how=view("tsv")) == "1\ta\tdeleted\n"
    assert text(one, single=False, how=view("csv", "status")) == "status\ndeleted\n"


# Tables


def test_table_folds_names_and_keeps_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    image = {**NOBLE, "name": "ubuntu-24.04-server-cloudimg", "visibility": "community"}
    assert (
        listed(image, how=view("table"))
        == """\
id                                    name           status  visibility     size
────────────────────────────────────────────────────────────────────────────────
2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e  ubuntu-24.04-  active  community   2.0 MiB
                                      server-cloudi
                                      mg
"""
    )


@pytest.mark.parametrize("width", [1, 20, 60, 79])
def test_table_on_a_narrow_terminal_keeps_all_columns(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = listed(NOBLE, EMPTY, how=view("table"))
    assert text.splitlines()[0].split() == list(COLUMNS)
    assert str(NOBLE["id"]) in text
    assert str(NOBLE["id"]) in shown(NOBLE, view("table"))


def test_list_on_a_terminal_too_narrow_for_a_row_is_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    image = {**NOBLE, "name": "ubuntu-24.04-server-cloudimg-amd64-20261124"}
    assert (
        listed(image, EMPTY, how=view("table"), stream=Terminal())
        == """\
id          2b1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e
name        ubuntu-24.04-server-cloudimg-amd64-20261124
status      active
visibility  public
size        2.0 MiB

id          3c1f6f0e-6f0e-4b1f-8f0e-2b1f6f0e6f0e
name        -
status      queued
visibility  private
size        -
"""
    )
    monkeypatch.setenv("COLUMNS", "79")
    rows = listed(image, EMPTY, how=view("table"), stream=Terminal()).splitlines()
    assert rows[0].split() == list(COLUMNS)
    assert max(map(len, rows)) <= 79


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("status", "active", 32),
        ("status", "processing", 33),
        ("status", "failure", 31),
        ("status", "pending_delete", 2),
        ("state", "cached", 32),
        ("state", "queued", 33),
        ("name", "active", None),
        ("status", "of-tomorrow", None),
    ],
)
def test_colour_by_status(column: str, value: str, code: int | None) -> None:
    text = shown({column: value}, view("table", color="always"))
    colored = f"\x1b[{code}m{value}\x1b[0m" if code else value
    assert text == f"\x1b[1m{column}\x1b[0m  {colored}\n"


def test_table_cells_hold_no_markup_and_no_emoji_codes() -> None:
    text = listed({**NOBLE, "name": "[red]x[/red] :smile: [link=file:///]"}, how=view("table"))
    assert "[red]x[/red] :smile: [link=file:///]" in text


def test_table_without_unicode_is_drawn_in_ascii() -> None:
    data = io.BytesIO()
    out = io.TextIOWrapper(data, encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        render.records([{"id": "1", "name": "é"}], view("table"), columns=("id", "name"))
    assert data.getvalue() == b"id |name\n---+----\n1  |?\n"


GREEN = "\x1b[32mactive\x1b[0m"


@pytest.mark.parametrize(
    ("color", "env", "terminal", "colored"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1", "TERM": "dumb"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_color(
    color: str,
    env: dict[str, str],
    terminal: bool,
    colored: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if terminal else io.StringIO()
    text = listed(NOBLE, how=view("table", color=color), stream=stream)
    assert (GREEN in text) == colored
    assert ("\x1b" in text) == colored


# Data

there_and_back = pytest.mark.reliability("texts through TSV, CSV, JSON and YAML and back")


def unescaped_tsv(text: str) -> str:
    """Undo the escapes of tsv, in the way a script would."""
    out, chars = "", iter(text)
    for char in chars:
        if char == "\\":
            char = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}[next(chars)]
        out += char
    return out


@there_and_back
@quick
@given(st.lists(ENCODABLE, min_size=1, max_size=3))
def test_tsv_round_trip(names: list[str]) -> None:
    item = {str(number): name for number, name in enumerate(names)}
    text = printed(lambda: render.records([item, item], view("tsv"), columns=list(item)))
    lines = text.removesuffix("\n").split("\n")
    assert [[unescaped_tsv(cell) for cell in line.split("\t")] for line in lines] == [names, names]


@there_and_back
@quick
@given(st.lists(ENCODABLE, min_size=1, max_size=3))
def test_csv_round_trip(names: list[str]) -> None:
    item = {str(number): name for number, name in enumerate(names)}
    text = printed(lambda: render.records([item], view("csv"), columns=list(item)))
    assert list(csv.reader(io.StringIO(text, newline=""))) == [list(item), names]


@there_and_back
@quick
@given(st.dictionaries(TEXT, TEXT), st.booleans())
def test_json_round_trip(item: dict[str, str], terminal: bool) -> None:
    for format_ in ("json", "jsonl"):
        text = shown(item, view(format_), Terminal() if terminal else None)
        assert json.loads(text) == json.loads(json.dumps(item))  # two surrogates may be a pair
        text.encode()


@there_and_back
@quick
@given(st.dictionaries(ENCODABLE, ENCODABLE), st.booleans())
def test_yaml_round_trip(item: dict[str, str], terminal: bool) -> None:
    text = shown(item, view("yaml"), Terminal() if terminal else None)
    assert yaml.safe_load(text) == item


on_a_terminal = pytest.mark.reliability("hostile text on a terminal, in every format")
# Formatting characters (category Cf) with a form of their own: Arabic, Syriac and Kaithi signs of
# numbers, hieroglyphs; and the joiners, without which some scripts cannot be read.
FORMED = {
    *map(chr, (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)),
    *map(chr, range(0x13430, 0x13440)),
    *"\u200c\u200d",
}


def assert_safe(text: str) -> None:
    """Assert that ``text`` is lines of visible characters, by what Unicode says they are."""
    hidden = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert not hidden - FORMED - {"\n", "\t"}


@on_a_terminal
@quick
@given(TEXT, TEXT, st.sampled_from(Format))
def test_nothing_drives_a_terminal(key: str, name: str, format_: Format) -> None:
    item = {"id": name, "name": name, key: [name, {name: name}]}
    assert_safe(listed(item, how=view(format_), stream=Terminal()))
    assert_safe(listed(item, how=view(format_, quiet=True), stream=Terminal()))
    assert_safe(shown(item, view(format_), Terminal()))
    assert_safe(printed(lambda: render.records([item], view(format_), columns=[key]), Terminal()))


@on_a_terminal
@pytest.mark.parametrize("format_", Format)
def test_nothing_drives_a_real_terminal(format_: Format) -> None:
    evil = {"id": "\x1b[2J\x9b\x07", "name": "a\u202eb\r\x00", "\x1b]0;x\x07": "\ud800"}
    controller, worker = pty.openpty()
    data = b""
    with os.fdopen(worker, "w", encoding="utf-8", closefd=True) as stream:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            render.records([evil], view(format_), columns=[*evil])
            render.record(evil, view(format_))
        data = os.read(controller, 65536)
    os.close(controller)
    assert data
    assert_safe(data.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize("format_", Format)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_what_an_encoding_cannot_say_crashes_nothing(format_: Format, encoding: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        data = io.BytesIO()
        patch.setattr(sys, "stdout", io.TextIOWrapper(data, encoding=encoding))
        render.records([{"id": "x\ud800€"}], view(format_), columns=["id"])
        render.record({"\udcff": "x\ud800€"}, view(format_))
        assert data.getvalue().count(b"x") == 2


@pytest.mark.parametrize("format_", Format)
def test_a_reader_that_went_away_is_not_swallowed(format_: Format) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        with pytest.raises(BrokenPipeError):
            render.record(NOBLE, view(format_))
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2 << 20, "2.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_human_size(size: int, text: str) -> None:
    assert human_size(size) == text


# Talk and errors


def told(call: Callable[[], object]) -> str:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", out)
        call()
    return out.getvalue()


def test_notes_and_warnings_are_one_line() -> None:
    assert told(lambda: render.note("a\x1b[1m\nb")) == "a\\x1b[1m\\nb\n"
    assert told(lambda: render.warning("careful")) == "glancectl: warning: careful\n"


FULL = errors.NotFoundError(
    "no image 'x'",
    cause="404 Not Found\n  <b>gone\x1b\n",
    hint="glancectl image list",
    status=404,
    request_id="req-1",
)


def test_error_block() -> None:
    assert told(lambda: render.error(FULL, as_json=False)) == (
        "glancectl: error: no image 'x'\n"
        "  cause: 404 Not Found <b>gone\\x1b\n"
        "  hint: glancectl image list\n"
        "  request id: req-1\n"
    )
    bare = errors.RefusedError("no")
    assert told(lambda: render.error(bare, as_json=False)) == "glancectl: error: no\n"


def test_error_object() -> None:
    text = told(lambda: render.error(FULL, as_json=True))
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "error": {
            "exit": 4,
            "kind": "not_found",
            "message": "no image 'x'",
            "cause": "404 Not Found <b>gone\x1b",
            "hint": "glancectl image list",
            "status": 404,
            "request_id": "req-1",
        }
    }
    assert_safe(text)


def test_error_of_several_targets() -> None:
    failed: list[errors.FailedTarget] = [
        {"target": "a\n", "exit": 4, "message": "no image 'a'", "status": 404},
        {"target": "b", "exit": 1, "message": "protected", "status": 403},
    ]
    error = errors.PartialError("2 of 3 failed", failed, all_failed=False)
    assert told(lambda: render.error(error, as_json=False)) == (
        "glancectl: error: 2 of 3 failed\n  a\\n: no image 'a'\n  b: protected\n"
    )
    found = json.loads(told(lambda: render.error(error, as_json=True)))["error"]
    assert (found["exit"], found["kind"], found["targets"]) == (9, "partial", failed)


def test_usage_errors_stay_text() -> None:
    error = errors.UsageError("no such option: --x", hint="glancectl --help")
    assert told(lambda: render.error(error, as_json=True)) == (
        "glancectl: error: no such option: --x\n  hint: glancectl --help\n"
    )
