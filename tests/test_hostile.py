"""Hostile names and data: no terminal is driven, scripts still parse, files stay where they belong.

What Glance takes is put into it by plain HTTP; what it refuses, a service might still answer with,
and comes from the fault proxy.
"""

import bz2
import contextlib
import csv
import fcntl
import gzip
import io
import json
import lzma
import os
import pty
import re
import shlex
import socket
import socketserver
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from conftest import HTTP, Project, Result, Sandbox, log_in, password_token, run, wait_for
from faultproxy import Fault, FaultProxy
from test_render import assert_safe, unescaped_tsv

from glancectl.cli import main
from glancectl.render import Format
from glancectl.terminal import shell_line

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
ID = "5eed0000-0000-4000-8000-000000000000"  # of images that are in the proxy's answers only
MOMENT = "2026-11-24T12:00:00Z"
RECORD = "^GET /v2/images/[^/]+$"
FILE = "^GET .*/file"

HOSTILE = {
    "csi": "\x1b[5;41mfake\x1b[2J\x1b[1;1H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "dcs": '\x1bP$q"p\x1b\\',
    "reset": "\x1bc",
    "c1": "\x9b31m\x9d0;owned\x9c\x90q\x85",
    "bidi-override": "a\u202egnp.exe\u202c",
    "bidi-isolates": "\u2066user\u2069\u2067\u2068",
    "marks": "\u200e\u200f\u061c",
    "zero-width": "ub\u200bun\u2060tu\u00ad\ufeff",
    "annotation": "\ufff9a\ufffab\ufffb",
    "joiners": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "newline": "one\ntwo",
    "crlf": "one\r\n\r\ntwo\n",
    "return": "good\rglancectl: error: evil",
    "tabs": "\ta\t\tb",
    "backspace": "abc\b\b\bxyz\x7f",
    "separators": "\u2028a\u2029b\x0b\x0c\x1c\x1d\x1e\x1f",
    "backslashes": "C:\\new\\table\\",
    "escaped": "\\n\\t\\\\n\\x1b[31m\\u202e",
    "quotes": '"it\'s" ""',
    "commas": "a,b;c,,",
    "formula": '=HYPERLINK("https://evil.example","x")',
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-1",
    "at": "@SUM(A1)",
    "markup": "[red]x[/red] [link=file:///]y[/link] [/] :smile:",
    "percent": "%s%n%(x)s",
    "braces": "{0} {x} {bar} {desc} ${x}",
    "html": "<script>alert(1)</script> &amp; <br />",
    "shell": "$(touch owned) `touch owned`; touch owned & | > <",
    "spaces": "  two  spaces  ",
    "right-to-left": "\u05e9\u05dc\u05d5\u05dd",
    "stacked": "Z" + "\u0353" * 60,
    "json": '{"a": [1, null]}',
    "yaml": "- a: !!python/name:os.system\n  b: *c",
    "null": "null",
    "nul": "a\x00b",
}
# What Glance refuses in a name: characters of four bytes and what is no text.
REFUSED = {
    "emoji": "\U0001f4a9",
    "tag-characters": "\U000e0041\U000e007f",
    "surrogate": "a\ud800b",
}
# What it has room for in the value of a property.
LONG = {
    "long": "x" * 65_536,
    "long-wide": "\u6f22" * 21_846,
    "long-escapes": "\x1b[2J" * 16_384,
    "long-lines": "a\n" * 32_768,
}


# a terminal, and the cloud


class Terminal:
    """A pseudo-terminal that changes no byte and keeps all that is written to it."""

    def __init__(self) -> None:
        self._controller, self._worker = pty.openpty()
        tty.setraw(self._worker)
        fcntl.ioctl(self._worker, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self._data = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has it open any more
            while data := os.read(self._controller, 65_536):
                self._data += data

    def type(self, data: bytes) -> None:
        """Be the person at the keyboard."""
        os.write(self._controller, data)

    def stream(self, mode: str) -> TextIO:
        """Open it, as Python opens its standard streams."""
        errors = "strict" if mode == "r" else "backslashreplace"
        return open(os.dup(self._worker), mode, encoding="utf-8", errors=errors)

    def close(self) -> str:
        """Return all that was written, once every stream is closed."""
        os.close(self._worker)
        self._reader.join(10)
        os.close(self._controller)
        return self._data.decode()


@dataclass
class Shown:
    """What two terminals, one for each stream, were sent."""

    out: str
    err: str


def on_terminal(*argv: object, code: int | None = 0, typed: bytes = b"") -> Shown:
    """Run ``glancectl ARGV`` through main() here, with each stream on a terminal of its own."""
    out, err = Terminal(), Terminal()
    if typed:
        err.type(typed)
    with (
        pytest.MonkeyPatch.context() as patch,
        err.stream("r") as stdin,
        out.stream("w") as stdout,
        err.stream("w") as stderr,
    ):
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", stderr)
        found = main([str(arg) for arg in argv])
    shown = Shown(out.close(), err.close())
    assert code in (None, found), f"exit {found}, expected {code}\n{shown!r}"
    return shown


@dataclass(frozen=True)
class Cloud:
    """A project whose images are hostile. everything: the one that has all texts at once."""

    project: Project
    token: str
    images: list[dict[str, Any]]
    everything: dict[str, Any]

    def list(self) -> list[dict[str, Any]]:
        """Return the records as Glance lists them."""
        url, headers = f"{self.project.sandbox.glance}/v2/images", {"X-Auth-Token": self.token}
        images: list[dict[str, Any]] = HTTP.get(
            url, params={"limit": "200"}, headers=headers
        ).json()["images"]
        return images


def make_record(glance: str, token: str, **fields: object) -> dict[str, Any]:
    """Make an image's record without any of our code."""
    record = {"disk_format": "raw", "container_format": "bare", **fields}
    made = HTTP.post(f"{glance}/v2/images", json=record, headers={"X-Auth-Token": token})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def put_data(glance: str, token: str, image_id: str, data: bytes) -> None:
    """Upload, and read once: from Glance's cache later answers come with a Content-Length."""
    headers = {"X-Auth-Token": token, "Content-Type": "application/octet-stream"}
    url = f"{glance}/v2/images/{image_id}/file"
    assert HTTP.put(url, content=data, headers=headers).status_code == 204
    assert HTTP.get(url, headers=headers).content == data


@pytest.fixture(scope="module")
def cloud(sandbox: Sandbox) -> Cloud:
    """Put each text into a name, a tag, the key and the value of a property, a member."""
    project = Project(sandbox)
    token = password_token(project.env)
    images = [
        make_record(
            sandbox.glance,
            token,
            **{"name": text, "tags": [text], "hostile": text, f"key {text} key": text},
            visibility="shared",
        )
        for text in HOSTILE.values()
    ]
    everything = make_record(
        sandbox.glance,
        token,
        name="everything",
        tags=list(HOSTILE.values()),
        visibility="shared",
        **{f"key {text} key": text for text in HOSTILE.values()},
        **LONG,
    )
    for text in HOSTILE.values():
        shared = HTTP.post(
            f"{sandbox.glance}/v2/images/{everything['id']}/members",
            json={"member": text},
            headers={"X-Auth-Token": token},
        )
        assert shared.status_code == 200, shared.text
    return Cloud(project, token, images, everything)


@pytest.fixture
def front(sandbox: Sandbox, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A fault proxy in front of Glance; ``run`` goes through it, with the cloud's token."""
    made = FaultProxy(sandbox.glance)
    monkeypatch.setenv("OS_TOKEN", cloud.token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", made.url)
    yield made
    made.close()


def answer(proxy: FaultProxy, answers: Mapping[str, object]) -> None:
    """Let the proxy answer these requests with these bodies, always."""
    proxy.faults.clear()
    for on, body in answers.items():
        headers = {"Content-Type": "application/json"}
        proxy.add(on, times=None, status=200, headers=headers, body=json.dumps(body).encode())


def cells(data: bytes) -> list[list[str]]:
    """Return the rows of tsv, each cell as a script would unescape it."""
    lines = data.decode().removesuffix("\n").split("\n")
    return [[unescaped_tsv(cell) for cell in line.split("\t")] for line in lines]


def rows(data: bytes) -> list[list[str]]:
    """Return the rows of csv behind the header."""
    return list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]


def cell(value: object) -> str:
    """Return a value as tsv and csv have it."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return ",".join(map(cell, value))
        case dict():
            return json.dumps(value, separators=(",", ":"))
        case _:
            return str(value).encode("utf-8", "replace").decode()


LOAD: Mapping[str, Callable[[bytes], Any]] = {
    "json": json.loads,
    "jsonl": lambda data: [json.loads(line) for line in data.decode().split("\n")[:-1]],
    "yaml": lambda data: yaml.safe_load(data.decode()),
}

printed = pytest.mark.reliability("hostile names and data, by each command in each format")
told = pytest.mark.reliability("hostile text in errors, notes, progress and commands to paste")
named = pytest.mark.reliability("hostile names as file names, and what others left in the way")
bounded = pytest.mark.reliability("bombs, trailing garbage, more data than --max-size")

Count = Callable[[str, object], None]


# results: what Glance holds


@printed
def test_a_list_is_what_glance_has(cloud: Cloud, front: FaultProxy, record_property: Count) -> None:
    images = cloud.list()
    assert len(images) > len(HOSTILE)
    for format_, load in LOAD.items():
        assert load(run("image", "list", "-f", format_).data) == images
    columns = ("id", "name", "tags", "hostile", "protected", "long-escapes", "owner")
    expected = [[cell(image.get(column)) for column in columns] for image in images]
    argv = ("image", "list", *(arg for column in columns for arg in ("-c", column)))
    assert cells(run(*argv, "-f", "tsv").data) == expected
    assert rows(run(*argv, "-f", "csv").data) == expected
    record_property("tried", 5 * len(images))


@printed
def test_a_record_is_what_glance_has(
    cloud: Cloud, front: FaultProxy, record_property: Count
) -> None:
    [record] = [image for image in cloud.list() if image["id"] == cloud.everything["id"]]
    show = ("image", "show", record["id"], "-f")
    for format_ in ("json", "yaml"):
        assert LOAD[format_](run(*show, format_).data) == record
    expected = {key: cell(value) for key, value in record.items()}
    assert dict(cells(run(*show, "tsv").data)) == expected
    header, values = csv.reader(io.StringIO(run(*show, "csv").out, newline=""))
    assert dict(zip(header, values, strict=True)) == expected
    record_property("tried", 4 * len(record))


@printed
def test_tags_and_members_are_what_glance_has(cloud: Cloud, front: FaultProxy) -> None:
    image_id = cloud.everything["id"]
    for argv in (("tag", "list"), ("tag", "list", image_id)):
        assert {row["tag"] for row in run(*argv, "-f", "json").json} == {*HOSTILE.values()}
        assert {row[0] for row in cells(run(*argv, "-f", "tsv").data)} == {*HOSTILE.values()}
        assert {row[0] for row in rows(run(*argv, "-f", "csv").data)} == {*HOSTILE.values()}
    found = run("member", "list", image_id, "-f", "json").json
    assert {member["member_id"] for member in found} == {*HOSTILE.values()}
    found = cells(run("member", "list", image_id, "-f", "tsv").data)
    assert {row[0] for row in found} == {*HOSTILE.values()}


# {id}: of the image that has everything.
SHOWN = {
    "image-list": "image list --long",
    "image-list-column": "image list -c hostile -c long-lines -c tags",
    "image-list-quiet": "image list -q -c name",
    "image-show": "image show {id}",
    "tag-list": "tag list",
    "tag-list-quiet": "tag list -q",
    "tag-list-image": "tag list {id}",
    "member-list": "member list {id}",
    "member-list-quiet": "member list {id} -q",
    "dry-run": "image update {id} --purge-properties --remove-tag null --dry-run",
    "update": "image update {id} --min-disk 0",
}


@printed
@pytest.mark.parametrize("command", SHOWN.values(), ids=SHOWN.keys())
def test_nothing_that_glance_has_drives_a_terminal(
    cloud: Cloud, front: FaultProxy, command: str, record_property: Count
) -> None:
    argv = command.format(id=cloud.everything["id"]).split()
    for format_ in Format:
        shown = on_terminal(*argv, "-f", format_)
        assert shown.out
        assert_safe(shown.out)
        assert shown.err == ""
    record_property("tried", len(Format) * len(HOSTILE))


def test_colours_are_all_that_a_table_adds(cloud: Cloud, front: FaultProxy) -> None:
    shown = on_terminal("--color", "always", "image", "list", "--long")
    assert "\x1b[1mid\x1b[0m" in shown.out
    assert_safe(re.sub(r"\x1b\[(?:0|1|2|3[123])m", "", shown.out))


@printed
def test_who_is_logged_in_drives_no_terminal(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, record_property: Count
) -> None:
    project = Project(sandbox)
    name = f"\x1b[2J\x1b]0;owned\x07\x9b5m\u202e\u2066\u200b\ufeff\r\n\t{project.name}"
    headers = {"X-Auth-Token": sandbox.admin_token}
    for kind, path in (("project", f"projects/{project.id}"), ("user", f"users/{project.user_id}")):
        url = f"{sandbox.keystone}/{path}"
        assert HTTP.patch(url, json={kind: {"name": name}}, headers=headers).status_code == 200
    project.name = name
    log_in(project, monkeypatch)
    status = run("auth", "status", "-f", "json").json
    assert (status["user"], status["project"]) == (name, name)
    for format_ in Format:
        assert_safe(on_terminal("auth", "status", "-f", format_).out)
    record_property("tried", len(Format))


# results: what no Glance has, but a service may answer with


def image(number: int, text: str) -> dict[str, object]:
    """Return a record with ``text`` wherever one may be."""
    return {
        **dict.fromkeys(("name", "status", "visibility", "owner", "disk_format"), text),
        **dict.fromkeys(("container_format", "checksum", "stores", "os_hash_algo"), text),
        f"key {text[:80]}": text,
        "nested": {text[:80]: [text]},
        "id": f"{ID[:-4]}{number:04}",
        "tags": [text],
        "size": number,
        "protected": False,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }


TEXTS = [*HOSTILE.values(), *REFUSED.values()]
ALL = [*TEXTS, *LONG.values()]
IMAGES = [
    *(image(number, text) for number, text in enumerate(TEXTS)),
    image(1000, "x") | {"name": LONG["long-wide"], "owner": LONG["long-escapes"]},
]
EVERYTHING = {**image(0, "x"), **{text[:80]: text for text in ALL}}
TASKS = [
    {
        **dict.fromkeys(("type", "status", "owner", "created_at", "updated_at"), text[:80]),
        "id": text[:80],
        "message": text,
        "input": {text[:80]: [text]},
        "result": {text[:80]: text},
    }
    for text in ALL
]
MEMBERS = [{"image_id": ID, **dict.fromkeys(("member_id", "status"), text)} for text in TEXTS]
STORES = [
    {**dict.fromkeys(("id", "description", "type"), text), "properties": {text[:80]: text}}
    for text in TEXTS
]
LOCATIONS = [{"url": text, "metadata": {text[:80]: text}} for text in TEXTS]
# Of each command: what the service answers to which request, and what that is in JSON.
ANSWERED: Mapping[str, tuple[dict[str, object], Any]] = {
    "image list --long": ({r"^GET /v2/images\?": {"images": IMAGES}}, IMAGES),
    f"image show {ID}": ({RECORD: EVERYTHING}, EVERYTHING),
    "tag list": (
        {r"^GET /v2/images\?": {"images": IMAGES}},
        [{"tag": tag, "images": 1} for tag in sorted([*TEXTS, "x"])],
    ),
    f"member list {ID}": ({"/members$": {"members": MEMBERS}}, MEMBERS),
    "task list": ({"^GET /v2/tasks": {"tasks": TASKS}}, TASKS),
    f"task list --image {ID} --sort id -c message": (
        {"/tasks$": {"tasks": TASKS}},
        [{"message": text} for text in sorted(ALL, reverse=True)],
    ),
    "task show x": ({"^GET /v2/tasks/x": TASKS[0] | EVERYTHING}, TASKS[0] | EVERYTHING),
    "store list --detail": ({"/info/stores/detail": {"stores": STORES}}, STORES),
    f"image locations list {ID}": ({"/locations$": LOCATIONS}, LOCATIONS),
    "cache list": (
        {"^GET /v2/cache": {"cached_images": [], "queued_images": TEXTS}},
        [{"image_id": text, "state": "queued"} for text in TEXTS],
    ),
    "info": (
        {
            "^GET /versions": {"versions": [{"id": text} for text in TEXTS]},
            "^GET /v2/info/import": {"import-methods": {"value": TEXTS}},
            "^GET /v2/info/stores": {"stores": STORES},
            "^GET /v2/schemas/image": {"properties": {"disk_format": {"enum": TEXTS}}},
            "^GET /v2/info/usage": {"usage": {text[:80]: {"limit": text} for text in TEXTS}},
        },
        {
            "versions": TEXTS,
            "import_methods": TEXTS,
            "stores": STORES,
            "formats": {"disk": TEXTS, "container": []},
            "usage": {text[:80]: {"limit": text} for text in TEXTS},
        },
    ),
}


@printed
@pytest.mark.parametrize("command", ANSWERED)
def test_nothing_that_is_answered_drives_a_terminal(
    front: FaultProxy, command: str, record_property: Count
) -> None:
    answers, _ = ANSWERED[command]
    answer(front, answers)
    for format_ in Format:
        shown = on_terminal(*command.split(), "-f", format_)
        assert shown.out
        assert_safe(shown.out)
        assert shown.err == ""
    record_property("tried", len(Format) * len(TEXTS))


@printed
@pytest.mark.parametrize("command", ANSWERED)
def test_what_is_answered_can_be_parsed(
    front: FaultProxy, command: str, record_property: Count
) -> None:
    answers, expected = ANSWERED[command]
    answer(front, answers)
    argv = (*command.split(), "-f")
    for format_ in ("json", "yaml"):
        assert LOAD[format_](run(*argv, format_).data) == expected
    if isinstance(expected, dict):
        fields = cells(run(*argv, "tsv").data)
        assert [len(field) for field in fields] == [2] * len(expected)
        [values] = rows(run(*argv, "csv").data)
        assert values == [value for _, value in fields]
    else:
        assert LOAD["jsonl"](run(*argv, "jsonl").data) == expected
        header, *_ = csv.reader(io.StringIO(run(*argv, "csv").out, newline=""))
        table = [[cell(item.get(column)) for column in header] for item in expected]
        found = rows(run(*argv, "csv").data)
        assert cells(run(*argv, "tsv").data) == found
        if "metadata" not in header:  # of objects each has its own way to write them
            assert found == table
    record_property("tried", 5 * len(TEXTS))


@printed
def test_an_inbox_drives_no_terminal(project: Project, proxy: FaultProxy) -> None:
    answer(proxy, {r"^GET /v2/images\?.*os_hidden=false": {"images": IMAGES}})
    found = run("member", "inbox", "-f", "json").json
    assert [offer["name"] for offer in found] == [image["name"] for image in IMAGES]
    for format_ in Format:
        assert_safe(on_terminal("member", "inbox", "-f", format_).out)


# errors, notes, progress

# Of each form of an error's body: a status that comes with it, and what it is made of a text.
BODIES: Mapping[str, tuple[int, Callable[[str], bytes]]] = {
    "json": (409, lambda text: json.dumps({"message": text, "title": text}).encode()),
    "keystone": (403, lambda text: json.dumps({"error": {"message": text}}).encode()),
    "text": (503, lambda text: text.encode("utf-8", "surrogatepass")),
    "html": (400, lambda text: f"<html><body>{text}</html>".encode("utf-8", "surrogatepass")),
}
BLOCK = re.compile(
    r"glancectl: error: [^\n]+\n(  cause: [^\n]+\n)?(  hint: [^\n]+\n)?(  request id: [^\n]+\n)?"
)
# What a header can carry.
HEADERS = [text.strip() for text in TEXTS if not set(text) & {*"\n\r\x00\x0b\x0c\ud800"}]


@told
@pytest.mark.parametrize(("status", "body"), BODIES.values(), ids=BODIES.keys())
def test_an_error_is_its_lines_and_no_more(
    front: FaultProxy, status: int, body: Callable[[str], bytes], record_property: Count
) -> None:
    """In a file as well: the log of a CI job is read on a terminal."""
    argv = ("--retries", 0, "image", "show", ID)
    for text in ALL:
        front.add(RECORD, times=3, status=status, body=body(text))
        in_file = run(*argv, code=None)
        assert BLOCK.fullmatch(in_file.err)
        assert_safe(in_file.err)
        assert on_terminal(*argv, code=in_file.code).err == in_file.err
        as_json = run(*argv, "-f", "json", code=in_file.code).err
        assert_safe(as_json)
        assert json.loads(as_json)["error"]["status"] == status
    record_property("tried", 3 * len(ALL))


@told
def test_headers_drive_no_terminal(front: FaultProxy, record_property: Count) -> None:
    for text in HEADERS:
        headers = {"Location": f"http://127.0.0.1/{text}", "x-openstack-request-id": text}
        for status in (300, 302, 307, 404, 500):
            front.add(RECORD, status=status, headers=headers)
            shown = on_terminal("--retries", 0, "image", "show", ID, code=None)
            assert BLOCK.fullmatch(shown.err)
            assert_safe(shown.err)
    record_property("tried", 5 * len(HEADERS))


@told
def test_the_log_drives_no_terminal(front: FaultProxy, record_property: Count) -> None:
    """It has the answer's status line and request id."""
    for text in HEADERS:
        front.add(RECORD, status=404, headers={"x-openstack-request-id": text})
        shown = on_terminal("--debug", "image", "show", ID, code=4)
        assert "GET http" in shown.err
        assert_safe(shown.err)
    record_property("tried", len(HEADERS))


class _Answering(socketserver.StreamRequestHandler):
    """Answer each request with the server's ``answer``, byte by byte."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(self.server.answer)  # type: ignore[attr-defined]


@pytest.fixture
def answering(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Have a server answer these very bytes to whatever ``run`` asks for."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answering) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("OS_TOKEN", cloud.token)
        monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", f"http://127.0.0.1:{server.server_address[1]}")
        yield lambda data: setattr(server, "answer", data)
        server.shutdown()
        thread.join(5)


@told
@pytest.mark.parametrize("level", [(), ("-v",), ("--debug",)], ids=["", "verbose", "debug"])
def test_a_reason_phrase_drives_no_terminal(
    answering: Callable[[bytes], None], level: Sequence[str], record_property: Count
) -> None:
    for text in HEADERS:
        head = f"HTTP/1.1 503 {text}\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
        answering(head.encode())
        shown = on_terminal("--retries", 1, *level, "image", "show", ID, code=5)
        assert "glancectl: error: cannot show image" in shown.err
        assert_safe(shown.err)
    record_property("tried", len(HEADERS))


@told
def test_what_a_task_says_drives_no_terminal(front: FaultProxy, record_property: Count) -> None:
    task = TASKS[0] | {"id": "x", "type": "import"}
    for text in ALL:
        for mode in ("plain", "json"):
            said = {"^GET /v2/tasks/x": task | {"status": "failure", "message": text}}
            answer(front, said)
            argv = ("--progress", mode, "task", "wait", "x")
            assert_safe(on_terminal(*argv, code=8).err)
    record_property("tried", 2 * len(ALL))


@told
@pytest.mark.parametrize("mode", ["bar", "json"])
def test_where_a_task_stands_drives_no_terminal(
    front: FaultProxy, mode: str, record_property: Count
) -> None:
    task = TASKS[0] | {"id": "x", "status": "success"}
    argv = ("--progress", mode, "task", "wait", "x", "--interval", 0.05, "-q")
    for text in ALL:
        answer(front, {"^GET /v2/tasks/x": task})
        going_on = task | {"status": text, "message": text}
        front.faults.insert(0, Fault("/x$", status=200, body=json.dumps(going_on).encode()))
        assert_drawn(on_terminal(*argv).err)
    record_property("tried", len(ALL))


def assert_drawn(text: str) -> None:
    """Assert that ``text`` is lines and lines drawn over them, with nothing of ``HOSTILE``."""
    assert "\rglancectl: error: evil" not in text
    assert_safe(text.replace("\x1b[K", "").replace("\r", "\n"))


@told
@pytest.mark.parametrize("mode", ["bar", "plain", "json"])
def test_a_download_of_a_hostile_name_drives_no_terminal(
    sandbox: Sandbox, cloud: Cloud, front: FaultProxy, mode: str, record_property: Count
) -> None:
    image_id = make_record(sandbox.glance, cloud.token)["id"]
    put_data(sandbox.glance, cloud.token, image_id, b"data")
    record = run("image", "show", image_id, "-f", "json").json
    for text in ALL:
        answer(front, {RECORD: record | {"name": text}})
        began = time.process_time()
        shown = on_terminal("--progress", mode, "image", "download", image_id, "out")
        assert time.process_time() - began < 10  # seconds; not the square of the name's length
        assert Path("out").read_bytes() == b"data"
        Path("out").unlink()
        assert_drawn(shown.err)
        assert_safe(shown.out)
    record_property("tried", len(ALL))


@told
def test_notes_and_candidates_drive_no_terminal(
    cloud: Cloud, front: FaultProxy, sandbox: Sandbox, record_property: Count
) -> None:
    texts = [text for text in HOSTILE.values() if "\x00" not in text]
    image_id = cloud.everything["id"]
    already = on_terminal("tag", "add", image_id, "--", *texts)
    assert already.err.count(" already\n") == len(texts)
    assert_safe(already.err)
    absent = [f"{text} gone" for text in texts]
    assert_safe(on_terminal("tag", "remove", image_id, "--", *absent, code=4).err)
    options = [f"--remove-tag={text}" for text in absent]
    assert_safe(on_terminal("image", "update", image_id, *options).err)
    assert_safe(on_terminal("image", "list", "-c", "".join(texts)).err)
    assert_safe(on_terminal("image", "show", image_id, "-c", "x", code=2).err)
    twins = texts[::3]
    for text in twins:
        for _ in range(2):
            make_record(sandbox.glance, cloud.token, name=f"{text} twin")
        shown = on_terminal("image", "show", "--", f"{text} twin", code=1)
        assert "2 images are named" in shown.err
        assert_safe(shown.err)
    record_property("tried", 4 * len(texts) + len(twins))


@told
def test_a_prompt_drives_no_terminal(front: FaultProxy, record_property: Count) -> None:
    texts = [text for text in HOSTILE.values() if "\x00" not in text]
    for text in texts:
        shown = on_terminal("image", "delete", "--", text, "x", code=1, typed=b"n\n")
        assert "not confirmed, nothing was changed" in shown.err
        assert_safe(shown.err)
    assert front.requests == []
    record_property("tried", len(texts))


# commands that can be pasted


def pasted(command: str) -> list[bytes]:
    """Return the words that a shell makes of a command."""
    script = f"printf '%s\\0' {command}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.removesuffix(b"\0").split(b"\0")


WORDS = [text for text in (*HOSTILE.values(), *REFUSED.values()) if not set(text) & {"\x00"}]


@told
def test_a_command_line_is_pasted_as_it_was_meant(record_property: Count) -> None:
    words = [text.replace("\ud800", "\udcff\udc80") for text in WORDS]
    line = shell_line(words)
    assert_safe(line)
    assert pasted(line) == [os.fsencode(word) for word in words]
    harmless = [word for word in words if word.isprintable()]
    assert shlex.split(shell_line(harmless)) == harmless
    assert not Path("owned").exists()
    record_property("tried", len(words))


@told
def test_the_command_that_goes_on_can_be_pasted(
    sandbox: Sandbox, cloud: Cloud, front: FaultProxy, record_property: Count
) -> None:
    image_id = make_record(sandbox.glance, cloud.token)["id"]
    put_data(sandbox.glance, cloud.token, image_id, b"data")
    names = [text.replace("/", "_") for text in HOSTILE.values() if "\x00" not in text]
    for name in [*names, "\udcff", "~", "-rf", "*", "!x", "a'b"]:
        front.add(FILE, cut=2)
        argv = ("--retries", 0, "--progress", "none", "image", "download", "--", image_id, name)
        shown = on_terminal(*argv, code=5)
        assert_safe(shown.err)
        line = shown.err.partition("to be continued with: ")[2].partition("\n  cause: ")[0]
        dest = f"./{name}" if name.startswith("-") else name
        words = ["glancectl", "image", "download", image_id, dest]
        assert pasted(line) == [os.fsencode(word) for word in words]
        if name.isprintable():
            assert shlex.split(line) == words
    assert not Path("owned").exists()
    record_property("tried", len(names) + 6)


@told
def test_a_hint_with_an_endpoint_can_be_pasted(front: FaultProxy, record_property: Count) -> None:
    targets = ["http://a/$(touch owned)", "http://a/;touch owned", "http://a/`id`", "http://a/'"]
    for target in targets:
        front.add(RECORD, status=301, headers={"Location": target})
        err = run("image", "show", ID, code=1).err
        [hint] = re.findall(r"  hint: (--endpoint .*)\n", err)
        assert shlex.split(hint) == ["--endpoint", target]
    record_property("tried", len(targets))


# names as file names

Stored = dict[str, Any]


@pytest.fixture(scope="module")
def stored(sandbox: Sandbox, cloud: Cloud) -> Stored:
    """The record of an image that has data."""
    record = make_record(sandbox.glance, cloud.token, name="x", protected=False)
    put_data(sandbox.glance, cloud.token, record["id"], b"data")
    url = f"{sandbox.glance}/v2/images/{record['id']}"
    found: Stored = HTTP.get(url, headers={"X-Auth-Token": cloud.token}).json()
    return found


def here(folder: Path = Path()) -> list[str]:
    return sorted(os.listdir(folder))


# name -> the file that it becomes; disk_format is raw.
NAMES = {
    "x": "x.raw",
    "x.raw": "x.raw",
    "..": "__.raw",
    ".": "_.raw",
    "../x": "___x.raw",
    "/etc/x": "_etc_x.raw",
    "..\\x": "___x.raw",
    "a/../../b": "a_.._.._b.raw",
    ".bashrc": "_bashrc.raw",
    ".raw": "_raw.raw",
    "-rf": "_rf.raw",
    "--help": "__help.raw",
    "~": "_.raw",
    "~root/x": "_root_x.raw",
    " x": "_x.raw",
    "\u3000": "_.raw",
    "   ": "___.raw",
    "con": "_con.raw",
    "NUL.txt": "_NUL.txt.raw",
    "com1": "_com1.raw",
    "aux .x": "_aux .x.raw",
    "console": "console.raw",
    "a\nb\r\tc": "a_b__c.raw",
    "a\x00b": "a_b.raw",
    "\x1b[2J": "_[2J.raw",
    "\x9b2J\x7f": "_2J_.raw",
    "a\u202egnp": "a_gnp.raw",
    "a\u200bb\ufeff": "a_b_.raw",
    "\u2028": "_.raw",
    "\U000e0041": "_.raw",
    "a\ud800": "a_.raw",
    "x.": "x..raw",
    "x ": "x.raw",
    "n" * 255: "n" * 196 + ".raw",
    "\u6f22" * 255: "\u6f22" * 65 + ".raw",
    "n" * 195 + "\u6f22": "n" * 195 + ".raw",
    "$(touch owned)": "$(touch owned).raw",
    "a:b*?": "a:b*?.raw",
    "caf\u00e9": "caf\u00e9.raw",
}


@named
@pytest.mark.parametrize(("name", "file"), NAMES.items(), ids=map(ascii, NAMES))
def test_a_name_becomes_a_file_here(
    stored: Stored, front: FaultProxy, tmp_path: Path, name: str, file: str
) -> None:
    answer(front, {RECORD: stored | {"name": name}})
    around = here(tmp_path)
    assert run("image", "download", stored["id"], "-q").out == f"{file}\n"
    assert (here(), here(tmp_path)) == ([file], around)
    assert Path(file).read_bytes() == b"data"
    run("image", "download", stored["id"], ".", "-q")  # it is the same again
    assert here() == [file]


@named
@pytest.mark.parametrize(
    ("disk_format", "file"),
    [
        (None, "x"),
        ("", "x"),
        ("../../evil", "x..._.._evil"),
        ("d/../../evil", "x.d_.._.._evil"),
        ("a\nb", "x.a_b"),
        ("...", "x"),
        ("f. ", "x.f"),
        ("f" * 300, "x." + "f" * 19),
    ],
)
def test_a_disk_format_is_no_way_out(
    stored: Stored, front: FaultProxy, tmp_path: Path, disk_format: str | None, file: str
) -> None:
    Path("x.d").mkdir()
    answer(front, {RECORD: stored | {"disk_format": disk_format}})
    around = here(tmp_path)
    assert run("image", "download", stored["id"], "-q").out == f"{file}\n"
    assert (here(), here(tmp_path)) == (sorted([file, "x.d"]), around)


@named
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("names", [("a/b", "a_b"), (".x", "-x"), ("y", "y.raw"), ("z", "z ")])
def test_of_images_with_one_file_name_the_second_is_refused(
    sandbox: Sandbox,
    cloud: Cloud,
    front: FaultProxy,
    names: Sequence[str],
    overwrite: list[str],
) -> None:
    ids = [make_record(sandbox.glance, cloud.token, name=name)["id"] for name in names]
    for image_id in ids:
        put_data(sandbox.glance, cloud.token, image_id, image_id.encode())
    Path("dir").mkdir()
    result = run("image", "download", *ids, "dir", "--jobs", 1, *overwrite, code=9)
    [file] = Path("dir").iterdir()
    assert file.read_bytes() == ids[0].encode()
    assert f"{file} is where image {ids[0]} goes" in result.err
    run("image", "delete", *ids)


@named
@pytest.mark.parametrize("leads_to", ["a-file", "nothing", "itself"])
def test_a_link_is_not_followed_to_a_file(
    stored: Stored, front: FaultProxy, tmp_path: Path, leads_to: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a-file").write_text("mine")
    (outside / "itself").symlink_to("itself")
    before = states(outside)
    Path("out").symlink_to(outside / leads_to)
    result = run("image", "download", stored["id"], "out", code=1)
    assert "out exists and is another file" in result.err
    assert here() == ["out"]
    run("image", "download", stored["id"], "out", "--overwrite")
    assert not Path("out").is_symlink()
    assert Path("out").read_bytes() == b"data"
    assert states(outside) == before


def states(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what tells whether a file in a folder was replaced or written to."""
    found = {path.name: path.lstat() for path in folder.iterdir()}
    return {name: (it.st_mode, it.st_ino, it.st_mtime_ns) for name, it in found.items()}


@named
def test_a_link_to_a_directory_is_that_directory(stored: Stored, front: FaultProxy) -> None:
    Path("images").mkdir()
    Path("link").symlink_to("images")
    assert run("image", "download", stored["id"], "link", "-q").out == "link/x.raw\n"
    assert here(Path("images")) == ["x.raw"]
    Path("images/x.raw").unlink()
    Path("images/x.raw").symlink_to("../mine")
    run("image", "download", stored["id"], "link", code=1)
    assert here() == ["images", "link"]


@named
@pytest.mark.parametrize("dest", ["null", "full"])
def test_a_device_is_not_written_to(stored: Stored, front: FaultProxy, dest: str) -> None:
    before = {path.name: path.lstat().st_mode for path in Path("/dev").iterdir()}
    result = run("image", "download", stored["id"], f"/dev/{dest}", code=1)
    assert f"/dev/{dest} is no regular file" in result.err
    assert {path.name: path.lstat().st_mode for path in Path("/dev").iterdir()} == before


@named
@pytest.mark.parametrize("to", ["a-file", "/proc/self/fd/2"])
def test_a_link_in_dev_is_not_replaced(stored: Stored, front: FaultProxy, to: str) -> None:
    """In a /dev of its own: root could replace the machine's."""
    script = f"""
        mount -t tmpfs none /dev && ln -s /proc/self/fd/1 /dev/stdout || exit
        {sys.executable} -m glancectl image download {stored["id"]} /dev/stdout --overwrite >{to}
        echo $? $(readlink /dev/stdout) $(ls -A /dev) >&2
    """
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", script],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "/dev/stdout is no regular file" in done.stderr
    assert done.stderr.endswith("1 /proc/self/fd/1 stdout\n")


@named
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("kind", ["fifo", "device", "socket"])
def test_a_link_to_what_is_no_file_is_not_replaced(
    stored: Stored, front: FaultProxy, kind: str, overwrite: list[str]
) -> None:
    with contextlib.ExitStack() as stack:
        match kind:
            case "fifo":
                os.mkfifo("it")
                Path("out").symlink_to("it")
            case "device":
                Path("out").symlink_to("/dev/null")
            case "socket":
                listener = stack.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind("it")
                Path("out").symlink_to("it")
        result = run("image", "download", stored["id"], "out", *overwrite, code=1)
    assert "out is no regular file" in result.err
    assert Path("out").is_symlink()


@named
@pytest.mark.parametrize(
    ("dest", "words"),
    [
        ("n" * 300, "File name too long"),
        ("n" * 250, "File name too long"),
        ("n" * 300 + "/x", "File name too long"),
        ("a-file/x", "no such directory: a-file"),
        ("a-file/", "no such directory: a-file/"),
        ("new/.", "no such directory: new/."),
        ("new/..", "no such directory: new"),
        ("loop/x", "no such directory: loop"),
    ],
)
def test_a_destination_that_cannot_be_is_a_sentence(
    stored: Stored, front: FaultProxy, dest: str, words: str
) -> None:
    Path("a-file").touch()
    Path("loop").symlink_to("loop")
    result = run("image", "download", stored["id"], dest, code=1)
    assert words in result.err
    run("image", "download", stored["id"], stored["id"].upper(), dest, code=2)
    assert here() == ["a-file", "loop"]


@pytest.fixture
def shared_folder(tmp_path: Path) -> Path:
    """A folder that all may write to, as /tmp."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def part_of(stored: Stored, folder: Path) -> Path:
    return folder / f".out.{stored['id'][:8]}.part"


@named
@pytest.mark.parametrize("kind", ["/dev/zero", "mine", "nothing", "itself", "directory", "fifo"])
def test_what_is_planted_is_not_touched(
    stored: Stored, front: FaultProxy, shared_folder: Path, tmp_path: Path, kind: str
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    part = part_of(stored, shared_folder)
    match kind:
        case "directory":
            part.mkdir()
        case "fifo":
            os.mkfifo(part)
        case "itself":
            part.symlink_to(part)
        case _:
            part.symlink_to(tmp_path / kind)
    before = states(shared_folder)
    result = run("image", "download", stored["id"], shared_folder / "out", code=1)
    assert f"{part} is no regular file" in result.err
    assert states(shared_folder) == before
    assert mine.read_text() == "mine"
    assert not mine.with_name("nothing").exists()


@named
def test_a_socket_that_is_planted_is_not_touched(
    stored: Stored, front: FaultProxy, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = part_of(stored, shared_folder)
    monkeypatch.chdir(shared_folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(part.name)
        result = run("image", "download", stored["id"], "out", code=1)
    assert f"{part.name} is no regular file" in result.err
    assert stat.S_ISSOCK(part.lstat().st_mode)


@named
def test_a_hard_link_that_is_planted_is_not_written_to(
    stored: Stored, front: FaultProxy, shared_folder: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine" * 100)
    part_of(stored, shared_folder).hardlink_to(mine)
    run("image", "download", stored["id"], shared_folder / "out")
    assert mine.read_text() == "mine" * 100
    assert here(shared_folder) == ["out"]
    assert (shared_folder / "out").read_bytes() == b"data"


@named
@pytest.mark.parametrize("locked", [False, True], ids=["", "locked"])
def test_what_another_user_planted_is_not_trusted(
    stored: Stored, front: FaultProxy, shared_folder: Path, locked: bool
) -> None:
    """Its owner could change the image after it was verified, or let us wait for ever."""
    if os.geteuid() != 0:
        pytest.skip("root: else nobody can make a file of another user")
    part = part_of(stored, shared_folder)
    part.touch(0o666)
    part.chmod(0o666)
    os.chown(part, 12_345, -1)
    with part.open("rb") as held:
        if locked:
            fcntl.flock(held, fcntl.LOCK_EX)
        result = run("image", "download", stored["id"], shared_folder / "out", code=1)
    assert f"{part} belongs to another user" in result.err
    assert (here(shared_folder), part.stat().st_size) == ([part.name], 0)
    # Whoever owns the folder can replace whatever is in it.
    os.chown(shared_folder, 12_345, -1)
    run("image", "download", stored["id"], shared_folder / "out")
    assert here(shared_folder) == ["out"]


@named
def test_a_huge_file_in_place_of_the_part_is_not_read(
    stored: Stored, front: FaultProxy, shared_folder: Path
) -> None:
    part = part_of(stored, shared_folder)
    with part.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    run("image", "download", stored["id"], shared_folder / "out")
    assert (shared_folder / "out").read_bytes() == b"data"


# how much data

PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
RAW = ("--disk-format", "raw")
VERBS = ("create", "upload", "stage", "import")


def send(verb: str, source: object, *options: object, code: int, stdin: bytes = b"") -> Result:
    """Send ``source`` by one of the verbs that take one, into an image named x."""
    if verb == "create":
        argv = ("create", "x", *RAW, "--file", source)
    else:
        run("image", "create", "x", *RAW)
        argv = {
            "upload": ("upload", "x", source),
            "stage": ("stage", "x", source),
            "import": ("import", "x", "--method", "glance-direct", "--file", source),
        }[verb]
    return run("image", *argv, *options, code=code, stdin=stdin)


def assert_nothing_is_left(verb: str, result: Result) -> None:
    """Assert that a record is gone, or as it was before, and that this is said."""
    left = [] if verb == "create" else ["queued"]
    wait_for(lambda: run("image", "list", "-c", "status", "-f", "value").lines == left)
    said = {"create": "was removed", "upload": "queued again", "stage": "queued again"}
    assert said.get(verb, "") in result.err
    run("image", "delete", "x", "--if-exists")


@bounded
@pytest.mark.parametrize("kind", PACK)
def test_trailing_garbage_is_refused(
    project: Project, raw: Path, kind: str, record_property: Count
) -> None:
    """It may be a second disk, which nobody asked for."""
    other = PACK["xz" if kind == "gzip" else "gzip"](b"x")
    garbage = [b"\n", b"garbage", other, b"\xff" * 70_000]
    for verb, extra in zip(VERBS, garbage, strict=True):
        raw.write_bytes(PACK[kind](os.urandom(100_000)) + extra)
        result = send(verb, raw, code=6)
        assert f"has trailing garbage after its {kind} data" in result.err
        assert_nothing_is_left(verb, result)
    record_property("tried", len(VERBS))


@contextlib.contextmanager
def piped(data: bytes) -> Iterator[Path]:
    """Make a pipe that gives ``data`` to who reads it; nobody can know how much there is."""
    pipe = Path("pipe")
    os.mkfifo(pipe)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError):
            pipe.write_bytes(data)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield pipe
    thread.join(10)
    pipe.unlink()


@bounded
@pytest.mark.parametrize(
    ("verb", "kind"),
    [("create", None), ("upload", None), *zip(VERBS, PACK, strict=True)],
)
def test_more_than_max_size_is_refused(
    project: Project, raw: Path, verb: str, kind: str | None
) -> None:
    """Packed or from a pipe, nobody knows before it is met."""
    data = raw.read_bytes()
    packed = PACK[kind](data) if kind else data
    most = len(data) - 1
    with piped(packed) as pipe:
        result = send(verb, pipe, "--max-size", most, code=1)
    assert f"pipe has more than the {most} bytes that --max-size allows" in result.err
    assert_nothing_is_left(verb, result)
    with piped(packed) as pipe:
        send(verb, pipe, "--max-size", len(data), code=0)
    assert run("image", "list", "-c", "size", "-f", "value").lines == [str(len(data))]


@bounded
def test_what_is_known_to_be_too_much_makes_no_record(
    project: Project, raw: Path, proxy: FaultProxy, served: tuple[str, Path]
) -> None:
    url, folder = served
    (folder / "disk").write_bytes(raw.read_bytes())
    small = folder / "small.gz"
    small.write_bytes(gzip.compress(bytes(50_000)))
    size = raw.stat().st_size
    for source, most in ((raw, "3M"), (raw, "0"), ("-", "3M"), (f"{url}/disk", "3M")):
        options = ("--max-size", most)
        result = send("create", source, *options, code=1, stdin=raw.read_bytes())
        assert f"it has {size}" in result.err
    assert "it has 50000" in send("create", small, "--max-size", 49_999, code=1).err
    with piped(raw.read_bytes()) as pipe:
        result = send("create", pipe, "--max-size", "3M", "--size", "4M", code=1)
    assert f"it has {4 * MIB}" in result.err
    assert proxy.count("^POST") == 0
    result = run("image", "create", "x", "--max-size", "3M", code=2)
    assert "options about the data need the data" in result.err


PEAK = """
import sys
from glancectl.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
sys.stdout.write(f"{code} {peak * 1024}")
"""


@bounded
@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_ends_at_max_size(
    project: Project, tmp_path: Path, kind: str, full_scale: bool
) -> None:
    """In the same memory wherever it ends."""
    bomb = tmp_path / "bomb"
    member = PACK[kind](bytes(16 * MIB))
    bomb.write_bytes(member * 256)  # 4 GiB
    peaks = []
    for most in ("8M", "512M" if full_scale else "32M"):
        argv = ("image", "create", "x", *RAW, "--file", str(bomb), "--max-size", most)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *argv], capture_output=True, text=True, check=True
        )
        code, peak = map(int, done.stdout.split())
        assert code == 1, done.stderr
        assert "--max-size allows; the record it had made was removed" in done.stderr
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 16 * MIB
    assert run("image", "list", "-q").out == ""
