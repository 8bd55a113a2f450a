"""Terminals: the pager, lists that are watched, sizes that change, streams that are closed."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, Sandbox, run, wait_for
from faultproxy import FaultProxy
from test_config import write_config
from test_hostile import make_record, on_terminal

from glancectl.errors import UnavailableError
from glancectl.flows import watching
from glancectl.screen import BEGIN_FRAME, END_FRAME, ENTER, ERASE_BELOW, ERASE_LINE, HOME, LEAVE

GLANCECTL = (sys.executable, "-m", "glancectl")
# Makes stdin the terminal of a session of its own, so that its keys send signals.
ON_TERMINAL = "import os, sys; os.login_tty(0); os.execvp(sys.argv[1], sys.argv[1:])"
CTRL_C, CTRL_Z = b"\x03", b"\x1a"
FRAME = f"{re.escape(BEGIN_FRAME)}(.*?){re.escape(END_FRAME)}"
COUNT = 30  # images: more than a screen has lines
LOOKS = 15  # of a list that is watched, before its memory is measured, and after that


class Terminal:
    """A command on a terminal of its own, and the person at it."""

    def __init__(self, *command: object, columns: int = 100, lines: int = 24) -> None:
        self._controller, worker = pty.openpty()
        self.resize(columns, lines)
        self.settings_before = self.settings
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *map(str, command)],
            stdin=worker,
            stdout=worker,
            stderr=worker,
        )
        os.close(worker)
        self._data = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has it open any more
            while data := os.read(self._controller, 65_536):
                self._data += data

    @property
    def out(self) -> str:
        """All that was written so far."""
        return self._data.decode(errors="replace")

    @property
    def settings(self) -> list[Any]:
        """Whether it echoes what is typed, and so on."""
        return termios.tcgetattr(self._controller)

    @property
    def frame(self) -> list[str]:
        """The lines of the last whole frame that was drawn."""
        *_, drawn = ["", *re.findall(FRAME, self.out, re.DOTALL)]
        text = drawn.removeprefix(HOME).removesuffix(ERASE_BELOW)
        return [line.removeprefix(ERASE_LINE) for line in re.split("\r+\n", text)]

    def type(self, keys: bytes) -> None:
        os.write(self._controller, keys)

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, size)

    def shows(self, text: str) -> None:
        """Wait until ``text`` was written."""
        wait_for(lambda: text in self.out)

    def draws(self, first: str, last: str) -> None:
        """Wait for a frame whose first and last line begin with these."""
        wait_for(
            lambda: self.frame[0].startswith(first) and self.frame[-1].startswith(last), seconds=30
        )

    def end(self) -> int:
        """Wait for the end of the command and return its exit code."""
        code = self.process.wait(30)
        self._reader.join(10)
        return code


@pytest.fixture
def terminals() -> Iterator[Callable[..., Terminal]]:
    """Start a command on a terminal: ``terminals("image", "list")`` or with ``command=[…]``."""
    made: list[Terminal] = []

    def start(*argv: object, command: Sequence[object] = GLANCECTL, **size: int) -> Terminal:
        made.append(Terminal(*command, *argv, **size))
        return made[-1]

    yield start
    for terminal in made:
        terminal.process.kill()
        terminal.process.wait()


@pytest.fixture(scope="module")
def token_of_many(sandbox: Sandbox) -> str:
    """A token of a project that has COUNT images; one has a property longer than a pipe holds."""
    project = Project(sandbox)
    token = run("--no-token-cache", "auth", "token", user=project).out.strip()
    for number in range(COUNT):
        long = {"long": "x" * 65_536} if number == 0 else {}
        make_record(sandbox.glance, token, name=f"image-{number}", **long)
    return token


@pytest.fixture
def many(sandbox: Sandbox, token_of_many: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be logged in to that project, on a terminal with the size that it has."""
    monkeypatch.setenv("OS_TOKEN", token_of_many)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", sandbox.glance)
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("GLANCECTL_PAGER")
    monkeypatch.delenv("PAGER", raising=False)


def sized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the size of a terminal be its own."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


# The pager


def marking(mark: str) -> str:
    """Return a pager that shows who it is."""
    return f"sed 's/^/{mark}/'"


ALL = {"GLANCECTL_PAGER": marking("1"), "PAGER": marking("3")}
FILE = f'pager = "{marking("2")}"'


@pytest.mark.parametrize(
    ("env", "config", "argv", "mark"),
    [
        pytest.param(ALL, FILE, "image list", "1", id="GLANCECTL_PAGER-first"),
        pytest.param({"PAGER": ALL["PAGER"]}, FILE, "image list", "2", id="then-the-file"),
        pytest.param({"PAGER": ALL["PAGER"]}, "", "image list", "3", id="then-PAGER"),
        pytest.param({}, FILE, "image show image-0", "2", id="of-one-resource-too"),
        pytest.param(ALL, FILE, "--no-pager image list", "", id="no-pager"),
        pytest.param({**ALL, "GLANCECTL_PAGER": ""}, FILE, "image list", "", id="empty"),
        pytest.param({**ALL, "GLANCECTL_PAGER": "cat"}, FILE, "image list", "", id="cat"),
        pytest.param(ALL | {"PAGER": ""}, 'pager = "cat"', "--no-pager image list", "", id="none"),
        pytest.param({"PAGER": ALL["PAGER"]}, 'pager = "cat"', "image list", "", id="cat-in-file"),
        pytest.param({"PAGER": ""}, "", "image list", "", id="PAGER-empty"),
        pytest.param(ALL | {"TERM": "dumb"}, FILE, "image list", "", id="dumb"),
        pytest.param(ALL | {"LINES": "33"}, FILE, "image list", "", id="fits-the-screen"),
        pytest.param(ALL | {"LINES": "32"}, FILE, "image list", "1", id="but-for-the-prompt"),
    ],
)
def test_which_pager_shows_a_long_table(
    env: dict[str, str],
    config: str,
    argv: str,
    mark: str,
    many: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_config(config)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    lines = on_terminal(*argv.split()).out.splitlines()
    assert {line[:1] for line in lines} == {mark} if mark else lines[0].startswith("id ")
    if argv.endswith("list"):
        assert len(lines) == COUNT + 2


def test_what_is_no_table_goes_to_no_pager(many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLANCECTL_PAGER", "true")
    for format_ in ("tsv", "json", "value"):
        assert "image-0" in on_terminal("image", "list", "-f", format_).out
    assert len(on_terminal("image", "list", "-q").out.splitlines()) == COUNT


@pytest.mark.parametrize("redirection", ["< /dev/null", "| cat"])
def test_no_pager_where_nobody_sees_it_or_has_the_keys(
    redirection: str,
    many: None,
    terminals: Callable[..., Terminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sized(monkeypatch)
    monkeypatch.setenv("GLANCECTL_PAGER", "false")
    line = f'"$@" {redirection}; echo "end"'
    terminal = terminals("image", "list", "-f", "table", command=["sh", "-c", line, "", *GLANCECTL])
    terminal.end()
    assert len(terminal.out.splitlines()) == COUNT + 3


@pytest.mark.parametrize(("env", "told"), [({}, "FRX -c"), ({"LESS": "S", "LV": ""}, "S ")])
def test_less_is_told_to_pass_colours_and_to_end_by_itself(
    env: dict[str, str], told: str, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LESS", "LV"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PAGER", """sh -c 'echo "$LESS $LV"'""")
    assert on_terminal("image", "list").out == f"{told}\n"


@pytest.mark.parametrize(
    ("pager", "reason"),
    [
        ("nothing-of-that-name -x", "No such file or directory"),
        ("/etc/passwd", "Permission denied"),
        ("less 'open", "No closing quotation"),
    ],
)
def test_a_pager_that_cannot_be_started_is_warned_of_below_the_table(
    pager: str, reason: str, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", pager)
    shown = on_terminal("image", "list")
    assert len(shown.out.splitlines()) == COUNT + 2
    assert shown.err == (f"glancectl: warning: the pager {pager!r} cannot be started: {reason}\n")


def test_nothing_is_said_where_less_is_not_installed(
    many: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = on_terminal("image", "list")
    assert (len(shown.out.splitlines()), shown.err) == (COUNT + 2, "")


def test_a_pager_may_end_before_it_has_read_all(
    many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "true")
    monkeypatch.setenv("COLUMNS", "20")  # so that the table is longer than a pipe holds
    shown = on_terminal("image", "show", "image-0")
    assert (shown.out, shown.err) == ("", "")


def test_less_has_the_terminal_until_q(
    many: None, terminals: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("less") is None:
        pytest.skip("less")
    sized(monkeypatch)
    terminal = terminals("image", "list", "-c", "name", "-c", "typo")
    terminal.shows("\n:")
    assert f"image-{COUNT - 1} " in terminal.out
    assert "image-0" not in terminal.out
    assert terminal.settings != terminal.settings_before
    before = terminal.out
    terminal.type(CTRL_C)
    wait_for(lambda: terminal.out != before)
    terminal.type(b"G")  # to the end: less is there still
    terminal.shows("image-0 ")
    assert "typo" not in terminal.out.partition("image-0 ")[2]
    terminal.type(b"q")
    assert terminal.end() == 0
    assert terminal.out.endswith("glancectl: warning: nothing listed has a column 'typo'\r\n")
    assert terminal.settings == terminal.settings_before


@pytest.mark.parametrize(
    ("signum", "deaf"),
    [(signal.SIGTERM, ""), (signal.SIGHUP, ""), (signal.SIGTERM, "trap '' TERM;")],
    ids=["SIGTERM", "SIGHUP", "deaf"],
)
def test_a_signal_ends_the_pager_and_gives_the_terminal_back(
    signum: int,
    deaf: str,
    many: None,
    terminals: Callable[..., Terminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sized(monkeypatch)
    script = f"{deaf} stty -echo </dev/tty; echo $$ has it; exec sleep 60"
    monkeypatch.setenv("PAGER", shlex.join(["sh", "-c", script]))
    terminal = terminals("image", "list")
    terminal.shows(" has it")
    pager = int(terminal.out.split()[0])
    assert terminal.settings != terminal.settings_before
    terminal.process.send_signal(signum)
    assert terminal.end() == 128 + signum
    assert terminal.settings == terminal.settings_before
    with pytest.raises(ProcessLookupError):
        os.kill(pager, 0)


# A list that is watched, on a terminal


def test_a_watched_list_is_drawn_over_and_over(
    proxy: FaultProxy, terminals: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    sized(monkeypatch)
    terminal = terminals("image", "list", "--watch", "--interval", 0.2)
    terminal.draws("", "0 images at ")
    image_id = run("image", "create", "noble", "-q").out.strip()
    terminal.draws("id  ", "1 image at ")
    assert terminal.frame[2].split() == [image_id, "noble", "queued", "shared", "-"]
    run("image", "update", image_id, "--name", "jammy")
    wait_for(lambda: "jammy" in terminal.frame[2])
    terminal.type(CTRL_C)
    assert terminal.end() == 130
    _, entered, rest = terminal.out.partition(ENTER)
    assert (entered, rest.count(ENTER)) == (ENTER, 0)
    assert rest.partition(LEAVE)[2].replace("^C", "") == "glancectl: stopped by SIGINT\r\n"
    drawn = terminal.out.count(BEGIN_FRAME)
    assert drawn <= proxy.count(r"^GET /v2/images\?") <= drawn + 1 + 2  # and ours above


def test_a_watched_list_follows_the_size_of_the_terminal(
    many: None, terminals: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    sized(monkeypatch)
    terminal = terminals("image", "list", "--watch", "--interval", 3600)
    terminal.draws("id  ", f"{COUNT} images, not all shown, at ")
    assert len(terminal.frame) == 24
    terminal.resize(100, 40)
    terminal.draws("id  ", f"{COUNT} images at ")
    assert len(terminal.frame) == COUNT + 4
    terminal.resize(60, 10)
    terminal.draws("id          ", f"{COUNT} images, not all shown, at ")
    assert [line.split(" ")[0] for line in terminal.frame[:7]] == [
        *("id", "name", "status", "visibility", "size", "", "id")
    ]
    for lines in range(3):
        terminal.resize(1, lines)  # 0: a terminal that does not know
    terminal.resize(100, 24)
    terminal.draws("id  ", f"{COUNT} images, not")
    terminal.process.terminate()
    assert terminal.end() == 143
    assert "Traceback" not in terminal.out


def test_a_watched_list_can_be_stopped_for_a_while(
    many: None, terminals: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    sized(monkeypatch)
    monkeypatch.setenv("PS1", "$ ")
    monkeypatch.setenv("GO", " ".join([*GLANCECTL, "image list --watch --interval 0.2"]))
    terminal = terminals(command=["bash", "--norc", "-i"])
    terminal.type(b"$GO\n")
    terminal.draws("id  ", f"{COUNT} images")
    terminal.type(CTRL_Z)
    terminal.shows("Stopped")
    assert LEAVE in terminal.out.rpartition("Stopped")[0].rpartition(BEGIN_FRAME)[2]
    terminal.type(b"fg\n")
    wait_for(lambda: terminal.out.count(ENTER) == 2)
    wait_for(lambda: BEGIN_FRAME in terminal.out.rpartition(ENTER)[2])
    terminal.type(CTRL_C)
    terminal.shows("stopped by SIGINT")
    assert terminal.out.count(LEAVE) == 2


def test_trouble_stands_below_the_list_until_it_is_over(
    proxy: FaultProxy, terminals: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    sized(monkeypatch)
    run("image", "create", "noble")
    proxy.add(r"^GET /v2/images\?", skip=1, times=4, status=503)
    terminal = terminals("--retries", 0, "image", "list", "--watch", "--interval", 0.3)
    wait_for(lambda: "; since then: cannot list images" in terminal.frame[-1])
    assert "noble" in terminal.frame[2]
    wait_for(lambda: re.fullmatch(r"1 image at [\d:]+Z", terminal.frame[-1]) is not None)
    terminal.type(CTRL_C)
    assert terminal.end() == 130


# … and elsewhere


class Watching:
    """glancectl as a child that writes what it watches into files."""

    def __init__(self, *argv: object, env: dict[str, str] | None = None) -> None:
        self._paths = [Path(f"{time.monotonic_ns()}.{name}") for name in ("out", "err")]
        with self._paths[0].open("w") as out, self._paths[1].open("w") as err:
            self.process = subprocess.Popen(
                [*GLANCECTL, *map(str, argv), "--watch", "--interval", "0.1"],
                stdout=out,
                stderr=err,
                env=os.environ | (env or {}),
            )

    @property
    def lines(self) -> list[str]:
        return self._paths[0].read_text().splitlines()

    @property
    def err(self) -> str:
        return self._paths[1].read_text()

    def has(self, count: int) -> list[str]:
        """Wait until there are so many lines, and return them."""
        wait_for(lambda: len(self.lines) >= count)
        return self.lines

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(30)

    @property
    def memory(self) -> int:
        """How many KiB of memory it has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


@contextmanager
def watched(*argv: object, env: dict[str, str] | None = None) -> Iterator[Watching]:
    made = Watching(*argv, env=env)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def test_a_watched_list_elsewhere_is_what_changes(project: Project) -> None:
    first = run("image", "create", "first", "-f", "json").json
    with watched("image", "list") as rows, watched("image", "list", "-f", "jsonl") as objects:
        rows.has(1)
        objects.has(1)
        new = run("image", "create", "new", "-f", "json").json
        rows.has(2)
        objects.has(2)
        changed = run("image", "update", new["id"], "--property", "a=b", "-f", "json").json
        objects.has(3)
        renamed = run("image", "update", new["id"], "--name", "other", "-f", "json").json
        rows.has(3)
        objects.has(4)
        run("image", "delete", new["id"])
        wait_for(lambda: '"event":"removed"' in objects.lines[-1])
        wait_for(lambda: rows.lines[-1].startswith("-"))
        *found, removed = [json.loads(line) for line in objects.lines]
        *lines, last = rows.lines
        rows.process.send_signal(signal.SIGINT)
        objects.process.terminate()
        assert (rows.end(), objects.end()) == (130, 143)
        assert (rows.err, objects.err) == (
            "glancectl: stopped by SIGINT\n",
            "glancectl: stopped by SIGTERM\n",
        )
    tail = "\tqueued\tshared\t"
    assert lines[:3] == [  # a property is in no column
        f"=\t{first['id']}\tfirst{tail}",
        f"+\t{new['id']}\tnew{tail}",
        f"~\t{new['id']}\tother{tail}",
    ]
    # A look may come while Glance deletes it, and find its status changed.
    assert [line for line in lines[3:] if "\tdeleted\t" not in line] == []
    assert last.startswith(f"-\t{new['id']}\tother\t")
    assert found[:4] == [
        {"event": "listed", "record": first},
        {"event": "added", "record": new},
        {"event": "changed", "record": changed},
        {"event": "changed", "record": renamed},
    ]
    assert [event for event in found[4:] if event["record"]["status"] != "deleted"] == []
    assert (removed["event"], removed["record"]["id"]) == ("removed", new["id"])


def test_the_columns_asked_for_are_those_watched(
    many: None, terminals: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched("image", "list", "--limit", 2, "-c", "Name", "-f", "jsonl") as objects:
        assert objects.has(2) == [
            f'{{"event":"listed","record":{{"name":"image-{COUNT - number}"}}}}'
            for number in (1, 2)
        ]
    monkeypatch.setenv("TERM", "dumb")  # where nothing can be drawn over
    terminal = terminals("image", "list", "--limit", 1, "-c", "name", "--watch")
    terminal.shows(f"=\timage-{COUNT - 1}\r\n")
    assert "\x1b" not in terminal.out


def test_the_tasks_of_an_image_are_watched_with_one_request_a_look(
    proxy: FaultProxy, raw: Path
) -> None:
    image_id = run("image", "create", "web", "--disk-format", "raw", "-q").out.strip()
    before = proxy.count("^GET /v2/images.*name=")
    with watched("task", "list", "--image", "web", "-c", "type", "-c", "status") as rows:
        wait_for(lambda: proxy.count(f"^GET /v2/images/{image_id}/tasks") >= 3)
        assert proxy.count("^GET /v2/images.*name=") - before == 2
        assert rows.lines == []
        run("image", "import", image_id, "--method", "glance-direct", "--file", raw)
        wait_for(lambda: rows.lines[-1:] and rows.lines[-1].endswith("\tsuccess"))
        assert rows.lines[0].startswith("+\tapi_image_import\t")
        run("image", "delete", image_id)
        assert rows.end() == 4
        assert f"cannot list the tasks of image {image_id}: not found" in rows.err


def test_what_may_pass_is_told_once_and_tried_again(project: Project, proxy: FaultProxy) -> None:
    run("image", "create", "first")
    proxy.add(r"^GET /v2/images\?", skip=1, times=3, status=503)
    with watched("--retries", 0, "image", "list", "-c", "name") as rows:
        wait_for(lambda: proxy.count(r"^GET /v2/images\?") >= 5)
        proxy.add(r"^GET /v2/images\?", status=401)
        wait_for(lambda: len(set(proxy.tokens)) == 2)
        run("image", "create", "second")
        assert rows.has(2) == ["=\tfirst", "+\tsecond"]
        assert len(rows.err.splitlines()) == 1
        assert rows.err.startswith("glancectl: cannot list images: ")
        assert rows.err.endswith("; trying again\n")
        proxy.add(r"^GET /v2/images\?", times=None, status=403)
        assert rows.end() == 3
        assert "glancectl: error: " in rows.err


def test_the_first_look_fails_as_a_list_does(proxy: FaultProxy) -> None:
    proxy.add(r"^GET /v2/images\?", status=503)
    run("--retries", 0, "image", "list", "--watch", code=5)
    assert proxy.count(r"^GET /v2/images\?") == 1


@pytest.mark.reliability("looks at a list that is watched, by what they ask and what they keep")
def test_watching_asks_for_each_page_once_and_keeps_no_look(
    many: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, full_scale: bool
) -> None:
    looks = LOOKS * (10 if full_scale else 1)
    proxy = FaultProxy(sandbox.glance)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", proxy.url)
    with watched("image", "list", "--page-size", 10, "-f", "jsonl") as objects:

        def look_until(count: int) -> int:
            wait_for(lambda: proxy.count("marker=") >= 3 * count, seconds=10 + count)
            return objects.memory

        before = look_until(looks)
        after = look_until(2 * looks)
        objects.process.terminate()
        objects.end()
        assert after - before < 2048  # the list itself has 70 KiB, as text
        assert len(objects.lines) == COUNT
    first = proxy.count(r"^GET /v2/images\?limit=10$")
    assert 3 * first - 3 <= proxy.count("marker=") <= 3 * first
    assert proxy.count() == first + proxy.count("marker=")
    proxy.close()


def test_watching_ends_when_nobody_reads_though_nothing_changes(many: None) -> None:
    line = '"$@" | head -1; echo "${PIPESTATUS[0]}"'
    watch = ("image", "list", "--limit", "1", "--watch", "--interval", "3600")
    command = ["bash", "-c", line, "", *GLANCECTL, *watch]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    row, code = done.stdout.splitlines()
    assert (row[:2], code, done.stderr) == ("=\t", "141", "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("-f json", "--watch cannot print json here"),
        ("-f yaml", "--watch cannot print yaml here"),
        ("-f csv", "--watch cannot print csv here"),
        ("-f value", "--watch cannot print value here"),
        ("-f table", "--watch cannot print table here"),
        ("-q", "--watch prints more than ids"),
        ("--interval 0", "Invalid value for '--interval': expected 0.05 to 315360000 seconds"),
    ],
)
@pytest.mark.parametrize("noun", ["image", "task"])
def test_what_cannot_be_watched_is_a_usage_error_before_any_request(
    noun: str, argv: str, message: str, many: None
) -> None:
    result = run("--endpoint", "http://127.0.0.1:9", noun, "list", "--watch", *argv.split(), code=2)
    assert result.err.startswith(f"glancectl: error: {message}")


def item(key: str, **fields: object) -> dict[str, object]:
    return {"id": key, **fields}


LOST = UnavailableError("cannot list images: no answer")


@pytest.mark.parametrize(
    ("looks", "events", "told"),
    [
        pytest.param([([], None)], [], [], id="empty"),
        pytest.param([([item("a")], None)] * 3, [("listed", "a")], [], id="no-change"),
        pytest.param(
            [([], None), ([item("a"), item("b")], None), ([item("b")], None)],
            [("added", "a"), ("added", "b"), ("removed", "a")],
            [],
            id="comes-and-goes",
        ),
        pytest.param(
            [([item("a", size=1)], None), ([item("a", size=2)], None)],
            [("listed", "a"), ("changed", "a")],
            [],
            id="changes",
        ),
        pytest.param(
            [([item("a", hidden=1)], None), ([item("a", hidden=2)], None)],
            [("listed", "a")],
            [],
            id="changes-unseen",
        ),
        pytest.param(
            [([item("a"), item("b")], None), ([item("b"), item("a")], None)],
            [("listed", "a"), ("listed", "b")],
            [],
            id="another-order",
        ),
        pytest.param(
            [([item("a")], None), ([item("a")], LOST), ([item("a")], LOST), ([], None)],
            [("listed", "a"), ("removed", "a")],
            [LOST],
            id="trouble",
        ),
        pytest.param(
            [([], None), ([], LOST), ([], None), ([], LOST)], [], [LOST, LOST], id="trouble-twice"
        ),
    ],
)
def test_events_are_what_looks_find(
    looks: list[watching.Look], events: list[tuple[str, str]], told: list[UnavailableError]
) -> None:
    heard: list[UnavailableError] = []
    found = watching.events(looks, lambda item: item.get("size"), heard.append)
    assert [(event, item["id"]) for event, item in found] == events
    assert heard == told


# Sizes that change, streams that are closed


def test_a_change_of_the_size_harms_no_transfer(
    project: Project,
    raw: Path,
    terminals: Callable[..., Terminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sized(monkeypatch)
    record = ("image", "create", "noise", "--file", raw, "--disk-format", "raw")
    terminal = terminals(*record, "--limit-rate", "3M")
    for columns in range(20, 200, 6):
        terminal.resize(columns, 24)
        time.sleep(0.05)
    assert terminal.end() == 0
    assert re.search(r"status +active", terminal.out)
    assert run("image", "show", "noise", "-f", "json").json["status"] == "active"


UNWRITABLE = "glancectl: error: the output cannot be written\n  cause: Bad file descriptor\n"


@pytest.mark.parametrize(
    ("argv", "closed", "code", "out", "err"),
    [
        pytest.param("image list", ">&-", 1, "", UNWRITABLE, id="stdout"),
        pytest.param("image list -f table", ">&-", 1, "", UNWRITABLE, id="stdout-of-a-table"),
        pytest.param("image list --watch", ">&-", 1, "", UNWRITABLE, id="stdout-watched"),
        pytest.param("--version", ">&-", 1, "", UNWRITABLE, id="stdout-of-the-version"),
        pytest.param("image list", ">&- 2>&-", 1, "", "", id="stdout-and-stderr"),
        pytest.param("image show nothing", "2>&-", 4, "", "", id="stderr"),
        pytest.param("image delete - -f json", "<&-", 0, "[]\n", "", id="stdin"),
        pytest.param("image delete - -f json", "<&- 2>&-", 0, "[]\n", "", id="stdin-and-stderr"),
    ],
)
def test_a_stream_that_was_closed_is_no_bug(
    argv: str, closed: str, code: int, out: str, err: str, many: None
) -> None:
    command = ["sh", "-c", f'"$@" {closed}', "", *GLANCECTL, *argv.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)
