"""Progress on stderr: a bar on a terminal, plain lines, JSON lines, nothing."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glancectl.transfer.display import Mode
from glancectl.transfer.progress import Progress

MIB = 1 << 20
DIGEST = "sha512:" + "1a2b3c4d" * 16


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A progress with a clock in hand and what it wrote."""

    def __init__(self, mode: Mode, total: int | None = 4 * MIB, target: str = "a.qcow2") -> None:
        self.clock = Clock()
        self.out = io.StringIO()
        self.progress = Progress(target, total, mode, stream=self.out, clock=self.clock)

    def move(self, chunks: int, seconds: float) -> None:
        """Move chunks of 1 MiB, ``seconds`` each."""
        for _ in self.progress.wrap([bytes(MIB)] * chunks):
            self.clock.now += seconds

    @property
    def lines(self) -> list[str]:
        text = self.out.getvalue()
        assert "\r" not in text
        return text.splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Screen:
    """A pseudo-terminal, and what stands on it."""

    def __init__(self, columns: int) -> None:
        self.controller, worker = pty.openpty()
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(worker, termios.TIOCSWINSZ, size)
        self.stream: TextIO = os.fdopen(worker, "w", encoding="utf-8")
        self.raw = ""

    def read(self) -> str:
        """Return all that was written so far."""
        self.stream.flush()
        os.set_blocking(self.controller, False)
        data = b""
        try:
            while chunk := os.read(self.controller, 65536):
                data += chunk
        except BlockingIOError:
            pass
        self.raw += data.decode()
        return self.raw

    @property
    def lines(self) -> list[str]:
        """Return what a person sees: each line as it was last drawn."""
        return [draw(line) for line in self.read().replace("\r\n", "\n").split("\n")]


def draw(line: str) -> str:
    """Return the line after all that was written over it; ESC [ K erases from there on."""
    cells: list[str] = []
    for part in line.split("\r"):
        place = 0
        for index, piece in enumerate(part.split("\x1b[K")):
            if index > 0:
                del cells[place:]
            cells[place : place + len(piece)] = piece
            place += len(piece)
    return "".join(cells).rstrip()


@contextmanager
def screen(columns: int = 100) -> Iterator[Screen]:
    made = Screen(columns)
    yield made
    made.stream.close()
    os.close(made.controller)


# Plain


def test_plain_tells_start_quarters_phases_and_end() -> None:
    run = Run(Mode.PLAIN, total=8 * MIB)
    with run.progress as progress:
        progress.phase("uploading")
        run.move(8, 1.0)
        progress.phase("server is storing")
        run.clock.now += 2
        progress.done(DIGEST)
    assert run.lines == [
        "a.qcow2: uploading 8.0 MiB",
        "a.qcow2: 25% of 8.0 MiB, 1.0 MiB/s",
        "a.qcow2: 50% of 8.0 MiB, 1.0 MiB/s",
        "a.qcow2: 75% of 8.0 MiB, 1.0 MiB/s",
        "a.qcow2: server is storing",
        f"a.qcow2: 8.0 MiB in 10.0 s, 819.2 KiB/s, {DIGEST}",
    ]


def test_plain_tells_only_the_end_of_what_takes_under_a_second() -> None:
    run = Run(Mode.PLAIN)
    with run.progress as progress:
        progress.phase("downloading")
        run.move(4, 0.1)
        progress.phase("verifying")
        progress.done()
    assert run.lines == ["a.qcow2: 4.0 MiB in 0.4 s, 10.0 MiB/s"]


def test_plain_speaks_each_half_minute() -> None:
    run = Run(Mode.PLAIN, total=1000 * MIB)
    run.progress.phase("downloading")
    run.move(7, 10.0)
    assert run.lines == [
        "a.qcow2: downloading 1000.0 MiB",
        "a.qcow2: 0% of 1000.0 MiB, 102.4 KiB/s",
        "a.qcow2: 0% of 1000.0 MiB, 102.4 KiB/s",
    ]


def test_plain_of_an_unknown_total() -> None:
    run = Run(Mode.PLAIN, total=None)
    with run.progress as progress:
        progress.phase("uploading")
        run.move(4, 20.0)
        progress.done()
    assert run.lines == [
        "a.qcow2: uploading",
        "a.qcow2: 3.0 MiB, 51.2 KiB/s",
        "a.qcow2: 4.0 MiB in 80.0 s, 51.2 KiB/s",
    ]


def test_plain_tells_a_retry_at_once_and_counts_again() -> None:
    run = Run(Mode.PLAIN)
    with run.progress as progress:
        progress.phase("uploading")
        run.move(3, 0.1)
        progress.retry("connection reset\nby peer", 2, 5)
        progress.restart()
        run.move(4, 0.1)
        progress.done()
    assert run.lines == [
        "a.qcow2: uploading 4.0 MiB",
        "a.qcow2: try 2 of 5: connection reset\\nby peer",
        "a.qcow2: 25% of 4.0 MiB, 2.5 MiB/s",
        "a.qcow2: 50% of 4.0 MiB, 4.0 MiB/s",
        "a.qcow2: 75% of 4.0 MiB, 5.0 MiB/s",
        "a.qcow2: 4.0 MiB in 0.7 s, 5.7 MiB/s",
    ]


def test_plain_resumes_and_leaves_what_was_there_out_of_the_rate() -> None:
    run = Run(Mode.PLAIN)
    with run.progress as progress:
        progress.phase("downloading")
        progress.resume(2 * MIB)
        run.move(2, 2.0)
        progress.done()
    assert run.lines == [
        "a.qcow2: downloading 4.0 MiB",
        "a.qcow2: resuming at 2.0 MiB",
        "a.qcow2: 75% of 4.0 MiB, 512.0 KiB/s",
        "a.qcow2: 4.0 MiB in 4.0 s, 512.0 KiB/s",
    ]


def test_a_note_before_anything_moved_starts_no_clock() -> None:
    run = Run(Mode.PLAIN)
    with run.progress as progress:
        progress.note("waiting for another download")
        run.clock.now += 60
        progress.phase("downloading")
        run.move(4, 0.1)
        progress.done()
    assert run.lines == [
        "a.qcow2: waiting for another download",
        "a.qcow2: 4.0 MiB in 0.4 s, 10.0 MiB/s",
    ]


def test_a_total_that_becomes_known() -> None:
    run = Run(Mode.PLAIN, total=None)
    run.progress.total = 2 * MIB
    assert run.progress.total == 2 * MIB
    run.progress.phase("downloading")
    run.move(2, 1.0)
    assert run.lines == ["a.qcow2: downloading 2.0 MiB"]


def test_nothing_happened_and_nothing_is_told() -> None:
    for mode in (Mode.PLAIN, Mode.JSON, Mode.BAR):
        run = Run(mode)
        with run.progress:
            pass
        assert run.out.getvalue() == ""


def test_empty_data() -> None:
    run = Run(Mode.PLAIN, total=0)
    with run.progress as progress:
        progress.phase("uploading")
        run.move(0, 0)
        progress.done()
    assert run.lines == ["a.qcow2: 0 B in 0.0 s, 0 B/s"]


def test_names_drive_no_terminal() -> None:
    run = Run(Mode.PLAIN, target="a\x1b[2J\n\ud800")
    run.progress.done()
    assert run.lines[0].startswith("a\\x1b[2J\\n?: ")


# JSON


def test_json_events() -> None:
    run = Run(Mode.JSON, total=8 * MIB, target="é\ud800")
    with run.progress as progress:
        progress.phase("uploading")
        run.move(8, 0.5)
        progress.phase("server is storing")
        progress.note("slow")
        progress.done(DIGEST)
    common = {"target": "é\ud800", "total": 8 * MIB}
    full = {**common, "bytes": 8 * MIB, "rate": 2 * MIB, "elapsed": 4.0}
    assert run.events == [
        {"event": "start", **common, "bytes": 0, "rate": 0, "elapsed": 0.0, "phase": "uploading"},
        *(
            {
                "event": "progress",
                **common,
                "bytes": 2 * second * MIB,
                "rate": 2 * MIB,
                "elapsed": float(second),
            }
            for second in (1, 2, 3, 4)
        ),
        {"event": "phase", **full, "phase": "server is storing"},
        {"event": "note", **full, "message": "slow"},
        {"event": "done", **full, "digest": DIGEST},
    ]


def test_json_retry_and_resume() -> None:
    run = Run(Mode.JSON, total=None)
    run.progress.retry("reset", 2, 5)
    run.progress.resume(MIB)
    found = [(event["event"], event.get("message"), event["bytes"]) for event in run.events]
    assert found == [
        ("retry", "reset", 0),
        ("start", None, 0),
        ("resume", "resuming at 1.0 MiB", MIB),
    ]
    assert (run.events[0]["attempt"], run.events[0]["of"]) == (2, 5)


# None


@pytest.mark.parametrize("how", [{"mode": Mode.NONE}, {"mode": Mode.BAR, "quiet": True}])
def test_none_and_quiet_are_silent(how: dict[str, Any]) -> None:
    out = io.StringIO()
    with Progress("a", 2, stream=out, **how) as progress:
        progress.phase("uploading")
        assert list(progress.wrap([b"1", b"2"])) == [b"1", b"2"]
        progress.note("x")
        progress.retry("x", 1, 2)
        progress.resume(1)
        progress.restart()
        progress.total = 3
        progress.done("md5:x")
    assert out.getvalue() == ""


# All


@pytest.mark.parametrize("mode", Mode)
@given(chunks=st.lists(st.binary()))
def test_chunks_are_unchanged(mode: Mode, chunks: list[bytes]) -> None:
    with Progress("a", sum(map(len, chunks)), mode, stream=io.StringIO()) as progress:
        assert list(progress.wrap(chunks)) == chunks
        progress.done()


@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.JSON])
def test_a_stream_that_nobody_reads_stops_no_transfer(mode: Mode) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with Progress("a", 1, mode, stream=stream) as progress:
        assert list(progress.wrap([b"1"])) == [b"1"]
        progress.note("x")
        progress.done()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_several_threads_count_together() -> None:
    run = Run(Mode.PLAIN, total=None)

    def move() -> None:
        for _ in run.progress.wrap([b"x"] * 1000):
            pass

    threads = [threading.Thread(target=move) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.progress.done()
    assert run.lines == ["a.qcow2: 3.9 KiB in 0.0 s, 0 B/s"]


def test_stderr_is_taken_when_the_progress_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    Progress("a", 0).done()
    assert capsys.readouterr().err == "a: 0 B in 0.0 s, 0 B/s\n"


# The bar


def test_auto_is_a_bar_on_a_terminal_unless_it_is_dumb(monkeypatch: pytest.MonkeyPatch) -> None:
    for term, drawn in (("xterm", True), ("dumb", False)):
        monkeypatch.setenv("TERM", term)
        with screen() as made, Progress("a", 8, stream=made.stream) as progress:
            progress.phase("uploading")
            assert ("\r" in made.read()) == drawn


def test_bar_shows_name_phase_percent_bytes_and_ends_in_one_line() -> None:
    clock = Clock()
    with screen() as made:
        with Progress("a.qcow2", 4 * MIB, stream=made.stream, clock=clock) as progress:
            progress.phase("uploading")
            list(progress.wrap([bytes(MIB)] * 4))
            clock.now += 2
            progress.phase("server is storing")
            [line] = made.lines
            assert line.startswith("a.qcow2: server is storing 100% |")
            assert "| 4.00M/4.00M " in line
            assert "iB/s ETA 00:00" in line
            assert "a.qcow2: uploading   0% |" in made.raw
            progress.done(DIGEST)
        assert made.lines == ["a.qcow2: 4.0 MiB in 2.0 s, 2.0 MiB/s, sha512:1a2b3c4d…", ""]
        assert "\x1b" not in made.raw


def test_bar_of_an_unknown_total_shows_no_percent_until_it_is_known() -> None:
    with screen() as made, Progress("a", None, stream=made.stream) as progress:
        progress.phase("downloading")
        list(progress.wrap([bytes(MIB)] * 3))
        progress.phase("verifying")
        assert made.lines[0].startswith("a: verifying 3.00M ")
        assert made.lines[0].endswith("iB/s 00:00")
        progress.total = 4 * MIB
        progress.phase("storing")
        assert made.lines[0].startswith("a: storing  75% |")


def test_bar_is_gone_with_what_the_terminal_put_behind_it() -> None:
    with screen() as made:
        with Progress("a", 9, stream=made.stream) as progress:
            progress.phase("uploading")
            made.stream.write("^C")
        made.stream.write("stopped\n")
        assert made.lines == ["stopped", ""]


def test_bar_is_gone_after_a_failure() -> None:
    def fail(stream: TextIO) -> None:
        with Progress("a", 9, stream=stream) as progress:
            progress.phase("uploading")
            for _ in progress.wrap([b"x"] * 9):
                raise ZeroDivisionError

    with screen() as made:
        with pytest.raises(ZeroDivisionError):
            fail(made.stream)
        made.stream.write("glancectl: error: it broke\n")
        assert made.lines == ["glancectl: error: it broke", ""]


def test_bar_gives_way_to_notes_and_retries() -> None:
    with screen() as made, Progress("a", 4 * MIB, stream=made.stream) as progress:
        progress.phase("uploading")
        list(progress.wrap([bytes(MIB)] * 3))
        progress.note("mind the gap")
        progress.retry("reset", 2, 5)
        progress.restart()
        first, second, bar = made.lines
        assert (first, second) == ("a: mind the gap", "a: try 2 of 5: reset")
        assert bar.startswith("a: uploading   0% |")
        progress.resume(2 * MIB)
        assert made.lines[-1].startswith("a: uploading  50% |")


def test_a_bar_of_several_goes_on_from_where_it_is_when_one_of_them_starts_anew() -> None:
    with screen() as made, Progress("3 images", 0, stream=made.stream) as progress:
        progress.add(3 * MIB, total=8 * MIB)
        progress.add(-MIB)
        began = len(made.read())
        for _ in range(4):
            time.sleep(0.11)  # as often as a bar is drawn
            progress.add(MIB)
        drawn = made.read()[began:]
    assert re.findall(r" (\d+)% ", drawn) == ["38", "50", "62", "75"]
    assert "-" not in re.sub(r"\|[^|]*\|", "", drawn).replace("downloading", "")


@pytest.mark.parametrize("columns", [20, 60, 200])
@pytest.mark.parametrize("target", ["x" * 100, "漢" * 50, "\x1b[2J{bar}{n}%s"])
def test_bar_fits_its_line(columns: int, target: str) -> None:
    with screen(columns) as made, Progress(target, 9, stream=made.stream) as progress:
        progress.phase("uploading")
        list(progress.wrap([b"x"] * 9))
        progress.phase("server is storing")
        [line] = made.lines
        assert sum(2 if char == "漢" else 1 for char in line) <= columns
        assert "\x1b" not in made.raw
        if columns == 200:
            assert "server is storing 100% |" in line


@pytest.mark.parametrize("columns", [60, 76, 80])
def test_a_narrow_bar_tells_how_fast_it_is_and_for_how_long(columns: int) -> None:
    with screen(columns) as made, Progress("x" * 30, 2 << 30, stream=made.stream) as progress:
        progress.phase("downloading")
        for _ in progress.wrap([bytes(1 << 20)] * 3):
            time.sleep(0.15)
        [line] = made.lines
    assert re.search(r"…: downloading +0% .*B/s ETA [\d:]+$", line)


def test_bar_on_a_terminal_of_unknown_size() -> None:
    with screen(0) as made, Progress("a", 9, stream=made.stream) as progress:
        progress.phase("uploading")
        assert made.lines[0].startswith("a: uploading   0% |")


def test_bar_starts_no_thread() -> None:
    before = set(threading.enumerate())
    with screen() as made, Progress("a", 9, stream=made.stream) as progress:
        progress.phase("uploading")
        assert set(threading.enumerate()) == before
