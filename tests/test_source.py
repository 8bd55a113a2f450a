"""Where payloads come from: real files, pipes and FIFOs. URLs are in test_web.py."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from conftest import open_files

from glancectl.errors import (
    Exit,
    GaveUpError,
    GlancectlError,
    IntegrityError,
    RefusedError,
    UsageError,
)
from glancectl.transfer.source import CHUNK, HEAD, Source, open_source

MIB = 1 << 20
NOISE = os.urandom(3 * MIB + 7)


def read(spec: str, **options) -> bytes:
    with open_source(spec, **options) as source:
        return b"".join(source.chunks())


def failure(spec: str, **options) -> GlancectlError:
    """Return the error with which a source cannot be opened, or not be read to its end."""
    with pytest.raises(GlancectlError) as caught:
        read(spec, **options)
    return caught.value


# Files


@pytest.mark.parametrize("size", [1, HEAD - 1, HEAD, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_file_comes_in_blocks_of_one_mib(tmp_path, size):
    path = tmp_path / "image"
    path.write_bytes(NOISE[:size])
    with open_source(str(path)) as source:
        assert (source.name, source.size, source.restartable) == (str(path), size, True)
        assert source.head == NOISE[: min(size, HEAD)]
        assert source.tail == NOISE[:size][-512:]
        blocks = list(source.chunks())
    assert b"".join(blocks) == NOISE[:size]
    assert [len(block) for block in blocks[:-1]] == [CHUNK] * ((size - 1) // CHUNK)
    assert all(type(block) is bytes for block in blocks)


def test_a_file_can_be_read_again_from_its_start(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(NOISE)
    with open_source(str(path)) as source:
        assert next(source.chunks()) == NOISE[:MIB]
        assert b"".join(source.chunks()) == NOISE
        assert b"".join(source.chunks()) == NOISE


@pytest.mark.parametrize("prefix", ["file://", "file://localhost", "FILE://"])
def test_a_file_url(tmp_path, prefix):
    path = tmp_path / "a b#1?.img"
    path.write_bytes(b"data")
    url = prefix + str(path).replace(" ", "%20")
    with open_source(url) as source:
        assert source.name == str(path)
        assert b"".join(source.chunks()) == b"data"


@pytest.mark.parametrize("url", ["file://elsewhere/image", "file://"])
def test_a_file_url_of_another_machine(url):
    error = failure(url)
    assert isinstance(error, UsageError)
    assert error.hint == "file:///PATH"


@pytest.mark.parametrize("scheme", ["ftp", "s3", "rbd"])
def test_an_unknown_scheme(scheme):
    error = failure(f"{scheme}://user:pw@host/image?sig=1")
    assert error.exit == Exit.USAGE
    assert error.message == f"SOURCE cannot be {scheme}://"
    assert error.hint == "a path, http://, https://, file://, or - for stdin"


def test_a_path_that_looks_like_a_url_is_a_path_when_it_exists(tmp_path, monkeypatch):
    (tmp_path / "ftp:").mkdir()
    (tmp_path / "ftp:" / "image").write_bytes(b"data")
    monkeypatch.chdir(tmp_path)
    assert read("ftp://image") == b"data"


def test_what_cannot_be_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "loop").symlink_to("loop")
    for path, cause in [
        (tmp_path / "none", "No such file or directory"),
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path / "loop", "Too many levels of symbolic links"),
        (tmp_path, "Is a directory"),
    ]:
        error = failure(str(path))
        assert type(error) is RefusedError
        assert (error.message, error.cause) == (f"cannot read {path}", cause)
    assert failure("file:///%00").cause == "embedded null byte"
    assert type(failure("")) is UsageError


def test_a_file_of_somebody_else(tmp_path):
    """Run as nobody when the tests run as root, whom no mode keeps out."""
    path = tmp_path / "image"
    path.write_bytes(b"x")
    path.chmod(0)
    program = (
        "import os, sys\n"
        "from glancectl.errors import RefusedError\n"
        "from glancectl.transfer.source import open_source\n"
        "path = os.open(sys.argv[1], os.O_PATH)\n"  # its folders may be closed to nobody
        "os.geteuid() or os.seteuid(65534)\n"
        "try:\n    open_source(f'/proc/self/fd/{path}')\n"
        "except RefusedError as error:\n    print(error.cause)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "Permission denied\n"


def test_nothing_is_left_open_after_a_refusal(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"")
    before = open_files()
    failure(str(path))
    failure("/dev/null")
    failure(str(tmp_path))
    failure(__file__, size=1)
    assert open_files() - before == set()


def test_an_empty_source_is_refused(tmp_path):
    path = tmp_path / "image"
    path.touch()
    for spec in (str(path), "/dev/null"):
        error = failure(spec)
        assert type(error) is RefusedError
        assert error.message == f"{spec} is empty"
        assert error.hint is not None
        assert "--allow-empty" in error.hint
        with open_source(spec, allow_empty=True) as source:
            assert (source.size, source.head, source.tail) == (0, b"", b"")
            assert list(source.chunks()) == []


def test_a_size_that_differs_from_the_files(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(NOISE[:10])
    error = failure(str(path), size=11)
    assert type(error) is RefusedError
    assert error.message == f"{path} has 10 bytes, not the 11 that --size says"
    assert read(str(path), size=10) == NOISE[:10]


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(NOISE)
    with open_source(str(path)) as source:
        chunks = source.chunks()
        next(chunks)
        os.truncate(path, MIB + 5)
        assert len(next(chunks)) == 5
        with pytest.raises(IntegrityError) as caught:
            next(chunks)
    assert caught.value.message == f"{path} ended after {MIB + 5} of {len(NOISE)} bytes"
    assert caught.value.hint == "something else writes to it; try again later"


@pytest.mark.parametrize("size", [10, MIB, 2 * MIB, 2 * MIB + 1])
def test_a_file_that_grows_never_yields_all_it_had(tmp_path, size):
    """A server that has got all bytes it was promised would take the image for whole."""
    path = tmp_path / "image"
    path.write_bytes(NOISE[:size])
    sent: list[bytes] = []
    with open_source(str(path)) as source:
        with path.open("ab") as file:
            file.write(b"x")
        with pytest.raises(IntegrityError, match=f"goes on after {size} bytes"):
            sent.extend(source.chunks())
    assert len(b"".join(sent)) < size


def test_a_file_of_the_kernel_has_no_size():
    assert read("/proc/self/status").startswith(b"Name:")
    with open_source("/proc/self/status") as source:
        assert source.tail == b""


# Pipes


class Pipe:
    """A pipe in the place of stdin, with a thread that writes to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reading, self._writing = os.pipe()
        self._stdin = os.fdopen(self._reading)
        self._thread = threading.Thread(target=lambda: None)
        monkeypatch.setattr(sys, "stdin", self._stdin)

    def feed(self, *parts: bytes, hang_up: bool = True) -> None:
        def write() -> None:
            for part in parts:
                left = memoryview(part)
                while left:
                    left = left[os.write(self._writing, left) :]
            if hang_up:
                os.close(self._writing)
                self._writing = -1

        self._thread = threading.Thread(target=write)
        self._thread.start()

    def set_blocking(self, blocking: bool) -> None:
        os.set_blocking(self._reading, blocking)

    def close(self) -> None:
        self._thread.join()
        self._stdin.close()
        if self._writing >= 0:
            os.close(self._writing)


@pytest.fixture
def pipe(monkeypatch) -> Iterator[Pipe]:
    made = Pipe(monkeypatch)
    yield made
    made.close()


def test_stdin_is_a_stream_of_unknown_size_in_blocks_of_one_mib(pipe):
    pipe.feed(NOISE[:5], NOISE[5:100], NOISE[100:])
    with open_source("-") as source:
        assert (source.name, source.size, source.restartable) == ("stdin", None, False)
        assert (source.head, source.tail) == (NOISE[:HEAD], b"")
        blocks = list(source.chunks())
        with pytest.raises(RuntimeError, match="only once"):
            next(source.chunks())
    assert b"".join(blocks) == NOISE
    assert [len(block) for block in blocks] == [MIB, MIB, MIB, 7]


def test_a_stream_that_ends_in_its_head_has_a_size(pipe):
    pipe.feed(b"tiny")
    with open_source("-") as source:
        assert source.size == 4
        assert list(source.chunks()) == [b"tiny"]


def test_stdin_that_somebody_left_non_blocking(pipe):
    pipe.set_blocking(False)
    pipe.feed(NOISE)
    assert read("-") == NOISE


def test_stdin_that_is_a_file_begins_where_it_stands(tmp_path, monkeypatch):
    path = tmp_path / "image"
    path.write_bytes(NOISE)
    with path.open() as file:
        os.lseek(file.fileno(), 100, os.SEEK_SET)
        monkeypatch.setattr(sys, "stdin", file)
        with open_source("-") as source:
            assert (source.size, source.restartable) == (len(NOISE) - 100, True)
            assert b"".join(source.chunks()) == NOISE[100:]
            assert b"".join(source.chunks()) == NOISE[100:]
        assert not file.closed
        os.fstat(file.fileno())  # still open


def test_a_pipe_that_closes_without_a_byte(pipe):
    pipe.feed()
    assert failure("-").message == "stdin is empty"


def test_an_idle_pipe(pipe):
    pipe.feed(hang_up=False)
    error = failure("-", timeout=0.05)
    assert type(error) is GaveUpError
    assert error.exit == Exit.TIMEOUT
    assert error.message == "nothing arrived on stdin within 0.05 seconds, so nothing was done"
    assert error.hint == "--timeout SECONDS waits longer"


def test_the_timeout_is_for_the_first_byte_only(pipe):
    pipe.feed(b"x", hang_up=False)
    threading.Timer(0.3, lambda: pipe.feed(b"y")).start()
    assert read("-", timeout=0.05) == b"xy"


def test_a_long_timeout_is_no_overflow(pipe):
    pipe.feed(b"x")
    assert read("-", timeout=1e12) == b"x"


@pytest.mark.parametrize(
    ("sent", "size", "message"),
    [
        (5, 4, "stdin goes on after 4 bytes"),
        (5, 6, "stdin ended after 5 of 6 bytes"),
        (2 * MIB + 1, 2 * MIB, f"stdin goes on after {2 * MIB} bytes"),
        (2 * MIB - 1, 2 * MIB, f"stdin ended after {2 * MIB - 1} of {2 * MIB} bytes"),
        (2 * MIB, MIB + 7, f"stdin goes on after {MIB + 7} bytes"),
    ],
)
def test_a_stream_is_counted(pipe, sent, size, message):
    pipe.feed(NOISE[:sent])
    seen: list[bytes] = []
    with pytest.raises(IntegrityError) as caught, open_source("-", size=size) as source:
        seen.extend(source.chunks())
    for _ in iter(lambda: os.read(sys.stdin.fileno(), MIB), b""):
        pass  # what is left, so that the writer comes to its end
    assert caught.value.message == message
    assert caught.value.hint == "--size must be the exact number of bytes"
    assert len(b"".join(seen)) < size


def test_a_stream_of_the_promised_size(pipe):
    pipe.feed(NOISE)
    assert read("-", size=len(NOISE)) == NOISE


def test_one_byte_too_many_is_seen_though_the_pipe_stays_open(pipe):
    pipe.feed(NOISE[: HEAD + 1], hang_up=False)
    assert failure("-", size=HEAD).message == f"stdin goes on after {HEAD} bytes"


def test_a_terminal_is_no_source(monkeypatch):
    parent, child = os.openpty()
    name = os.ttyname(child)
    with os.fdopen(parent, "rb"), os.fdopen(child) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        for spec, shown in [("-", "stdin"), (name, name)]:
            error = failure(spec)
            assert error.exit == Exit.USAGE
            assert error.message == f"{shown} is a terminal, not an image"


def test_stdin_that_is_closed():
    program = (
        "from glancectl.errors import RefusedError\n"
        "from glancectl.transfer.source import open_source\n"
        "try:\n    open_source('-')\n"
        "except RefusedError as error:\n    print(error.message, error.cause, sep=': ')\n"
    )
    command = ["sh", "-c", '"$0" -c "$1" <&-', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "cannot read stdin: Bad file descriptor\n"


def test_process_substitution():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(b"from a process")
    with os.fdopen(reading, "rb"):
        assert read(f"/dev/fd/{reading}") == b"from a process"


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_fifo(fifo):
    thread = threading.Thread(target=fifo.write_bytes, args=[NOISE])
    thread.start()
    with open_source(str(fifo)) as source:
        assert (source.name, source.size, source.restartable) == (str(fifo), None, False)
        assert b"".join(source.chunks()) == NOISE
    thread.join()


def test_a_fifo_that_nobody_writes_to(fifo):
    error = failure(str(fifo), timeout=0.05)
    assert type(error) is GaveUpError
    assert error.message.startswith(f"nothing arrived on {fifo} within 0.05 seconds")


def test_a_fifo_whose_writer_leaves(fifo):
    thread = threading.Thread(target=fifo.write_bytes, args=[b""])
    thread.start()
    assert failure(str(fifo), timeout=10).message == f"{fifo} is empty"
    thread.join()


def test_a_source_is_made_of_any_stream():
    """What later layers (decompression) do: wrap a source's bytes in another source."""
    stream = io.BytesIO(NOISE)
    with Source(
        "x", read=stream.read, head=stream.read(5), size=None, close=stream.close
    ) as source:
        assert b"".join(source.chunks()) == NOISE
    assert stream.closed
