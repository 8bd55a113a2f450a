"""image create --file, upload and download: bytes in, the same bytes out, or nothing."""

import contextlib
import hashlib
import http.server
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import Project, log_in, run, wait_for
from faultproxy import FaultProxy

GLANCECTL = [sys.executable, "-m", "glancectl"]


def sha512(path: Path) -> str:
    return hashlib.sha512(path.read_bytes()).hexdigest()


def uploaded(path: Path, *options: object) -> str:
    return run("image", "create", "x", "--file", path, "-q", *options).out.strip()


def nothing_left(folder: Path = Path()) -> None:
    """Assert that neither the cloud nor the working folder has anything half done."""
    assert run("image", "list", "-q").out == ""
    assert list(folder.iterdir()) == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server over ``tmp_path``; its URL."""
    handler = partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing; ``/moved/NAME`` redirects to ``/NAME``."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()


# there and back


@pytest.mark.parametrize("size", [1, 511, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3])
def test_what_comes_down_is_what_went_up(project: Project, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    record = run(
        "image", "create", "x", "--file", source, "--disk-format", "raw", "-f", "json"
    ).json
    assert (record["status"], record["size"]) == ("active", size)
    assert record["os_hash_value"] == sha512(source)
    got = run("image", "download", "x", "out", "-f", "json").json
    assert got == {
        "id": record["id"], "name": "x", "path": "out", "size": size,
        "digest": f"sha512:{sha512(source)}", "status": "downloaded",
    }  # fmt: skip
    assert Path("out").read_bytes() == source.read_bytes()
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_create_with_a_file_is_three_requests(
    project: Project, proxy: FaultProxy, qcow2: Path
) -> None:
    image_id = uploaded(qcow2)
    assert proxy.requests == [
        "POST /v2/images", f"PUT /v2/images/{image_id}/file", f"GET /v2/images/{image_id}",
    ]  # fmt: skip
    proxy.requests.clear()
    run("image", "download", image_id, "out")
    assert proxy.requests == [f"GET /v2/images/{image_id}", f"GET /v2/images/{image_id}/file"]


def test_stdin_is_read_for_a_dash(project: Project, raw: Path) -> None:
    record = run(
        "image", "create", "x", "--file", "-", "--disk-format", "raw", "-f", "json",
        stdin=raw.read_bytes(),
    ).json  # fmt: skip
    assert record["os_hash_value"] == sha512(raw)


def test_a_pipe_of_unknown_size_is_streamed(project: Project, raw: Path) -> None:
    create = "image create x --file - --disk-format raw -f json"
    command = f"cat {raw} | {sys.executable} -m glancectl {create}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert json.loads(done.stdout)["os_hash_value"] == sha512(raw)


def test_a_url_is_streamed_through(project: Project, raw: Path, web: str) -> None:
    for path in (raw.name, f"moved/{raw.name}"):
        record = run(
            "image", "create", "x", "--file", f"{web}/{path}", "--disk-format", "raw", "-f", "json"
        ).json
        assert record["os_hash_value"] == sha512(raw)
    assert list(Path().iterdir()) == []


def test_a_file_url_is_a_file(project: Project, raw: Path) -> None:
    record = run(
        "image", "create", "x", "--file", raw.as_uri(), "--disk-format", "raw", "-f", "json"
    ).json
    assert record["size"] == raw.stat().st_size


def test_upload_into_a_reserved_record(project: Project, raw: Path, qcow2: Path) -> None:
    run("image", "create", "later", "--disk-format", "raw")
    record = run("image", "upload", "later", raw, "--store", "slow", "-f", "json").json
    assert (record["status"], record["stores"]) == ("active", "slow")
    assert "takes no data: its status is active" in run("image", "upload", "later", raw, code=1).err
    run("image", "create", "formless")
    record = run("image", "upload", "formless", qcow2, "-f", "json").json
    assert record["disk_format"] == "qcow2"


def test_download_to_stdout_is_the_data_and_nothing_else(project: Project, raw: Path) -> None:
    uploaded(raw, "--disk-format", "raw")
    assert run("image", "download", "x", "-").data == raw.read_bytes()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("x", "x.raw"),
        ("x.raw", "x.raw"),
        ("../../x", "___.._x.raw"),
        ("/etc/passwd", "_etc_passwd.raw"),
        (".hidden", "_hidden.raw"),
        ("-rf", "_rf.raw"),
        ("a\nb", "a_b.raw"),
        ("漢" * 200, "漢" * 65 + ".raw"),
    ],
)
def test_download_makes_a_safe_name(project: Project, raw: Path, name: str, file: str) -> None:
    image_id = run(
        "image", "create", "--file", raw, "--disk-format", "raw", "-q", "--", name
    ).out.strip()
    assert run("image", "download", image_id, "-q").out == f"{file}\n"
    assert [path.name for path in Path().iterdir()] == [file]
    run("image", "delete", image_id)


def test_download_into_a_directory(project: Project, raw: Path) -> None:
    uploaded(raw, "--disk-format", "raw")
    Path("dir").mkdir()
    assert run("image", "download", "x", "dir", "-q").out == "dir/x.raw\n"
    assert sha512(Path("dir/x.raw")) == sha512(raw)
    assert "no such directory" in run("image", "download", "x", "nodir/", code=1).err
    assert "no such directory" in run("image", "download", "x", "no/file", code=1).err


# files in the way


def test_an_existing_file_with_the_right_digest_is_left(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    uploaded(raw, "--disk-format", "raw")
    run("image", "download", "x", "out")
    proxy.requests.clear()
    assert run("image", "download", "x", "out", "-f", "json").json["status"] == "unchanged"
    assert proxy.count("/file") == 0


def test_another_file_is_not_replaced_without_overwrite(project: Project, raw: Path) -> None:
    uploaded(raw, "--disk-format", "raw")
    Path("out").write_text("mine")
    result = run("image", "download", "x", "out", code=1)
    assert "out exists and is another file" in result.err
    assert "--overwrite" in result.err
    assert Path("out").read_text() == "mine"
    run("image", "download", "x", "out", "--overwrite")
    assert sha512(Path("out")) == sha512(raw)


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["plain", "overwrite"])
def test_what_is_no_regular_file_is_never_replaced(
    project: Project, raw: Path, overwrite: list[str]
) -> None:
    uploaded(raw, "--disk-format", "raw")
    os.mkfifo("pipe")
    result = run("image", "download", "x", "pipe", *overwrite, code=1)
    assert "pipe is no regular file" in result.err
    assert Path("pipe").is_fifo()


# sources that are no image


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        pytest.param("/dev/null", 1, "empty", id="dev-null"),
        pytest.param("empty", 1, "empty", id="empty-file"),
        pytest.param("folder", 1, "directory", id="directory"),
        pytest.param("absent", 1, "absent", id="absent"),
        pytest.param("file/below", 1, "below", id="below-a-file"),
        pytest.param("ftp://host/x", 2, "ftp", id="unknown-scheme"),
        pytest.param("http://127.0.0.1:9/x.qcow2", 5, "127.0.0.1", id="refused"),
        pytest.param("-", 1, "empty", id="empty-stdin"),
        pytest.param("{web}/absent", 1, "404", id="url-404"),
        pytest.param("{web}/page.html", 6, "HTML", id="url-html"),
        pytest.param("{web}/empty", 1, "empty", id="url-empty"),
    ],
)
def test_a_bad_source_is_a_sentence_before_a_record_exists(
    project: Project,
    proxy: FaultProxy,
    tmp_path: Path,
    web: str,
    source: str,
    code: int,
    words: str,
) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in ("empty", "file"):
        (folder / name).write_bytes(b"" if name == "empty" else b"x")
        (tmp_path / name).write_bytes(b"")
    (folder / "folder").mkdir()
    (tmp_path / "page.html").write_text("<!doctype html><html></html>")
    spec = source.format(web=web)
    path = folder / spec if spec in ("empty", "folder", "absent", "file/below") else spec
    result = run("image", "create", "x", "--file", path, code=code)
    assert words in result.err
    assert result.err.count("glancectl: error:") == 1
    assert proxy.count("POST") == 0


def test_an_unreadable_file_is_a_sentence(project: Project, tmp_path: Path) -> None:
    # Root may read everything, unless it gives up the right to.
    (tmp_path / "secret").write_bytes(b"x" * 10)
    (tmp_path / "secret").chmod(0)
    powers = "-dac_override,-dac_read_search"
    as_nobody_special = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]
    done = subprocess.run(
        [
            *(as_nobody_special if os.getuid() == 0 else []),
            *(sys.executable, "-m", "glancectl", "image", "create", "x"),
            *("--file", str(tmp_path / "secret")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Permission denied" in done.stderr


def test_an_idle_pipe_is_given_up(project: Project, proxy: FaultProxy) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb"):
        done = subprocess.run(
            [*GLANCECTL, "--timeout", "1", "image", "create", "x", "--file", "-"],
            stdin=reader, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert done.returncode == 7
    assert "stdin" in done.stderr
    assert proxy.count("POST") == 0


def test_without_a_dash_stdin_is_never_read(project: Project) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb"):
        subprocess.run(
            [*GLANCECTL, "image", "create", "x"],
            stdin=reader, capture_output=True, check=True, timeout=30,
        )  # fmt: skip


def test_an_empty_image_is_made_only_when_asked(project: Project) -> None:
    record = run(
        "image", "create", "x", "--file", "/dev/null", "--allow-empty", "--disk-format", "raw",
        "-f", "json",
    ).json  # fmt: skip
    assert (record["status"], record["size"]) == ("active", 0)
    run("image", "download", "x", "out")
    assert Path("out").read_bytes() == b""


# formats and checksums


def test_the_format_is_filled_in_and_contradictions_are_refused(
    project: Project, proxy: FaultProxy, qcow2: Path
) -> None:
    image_id = uploaded(qcow2)
    assert run("image", "show", image_id, "-c", "disk_format", "-f", "value").out == "qcow2\n"
    proxy.requests.clear()
    result = run("image", "create", "y", "--file", qcow2, "--disk-format", "vmdk", code=6)
    assert "qcow2" in result.err
    assert "vmdk" in result.err
    assert proxy.requests == []


def test_a_format_that_glance_refuses_leaves_nothing(project: Project, raw: Path) -> None:
    result = run("image", "create", "x", "--file", raw, "--disk-format", "qcow2", code=6)
    assert "the data do not match the format" in result.err
    assert "the record it had made was removed" in result.err
    assert "request id: req-" in result.err
    nothing_left()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_checksum_holds_or_nothing_is_left(project: Project, raw: Path, algorithm: str) -> None:
    right = hashlib.new(algorithm, raw.read_bytes()).hexdigest()
    image_id = uploaded(raw, "--disk-format", "raw", "--checksum", f"{algorithm}:{right}")
    run("image", "delete", image_id)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    result = run(
        "image", "create", "x", "--file", raw, "--disk-format", "raw",
        "--checksum", f"{algorithm}:{wrong}", code=6,
    )  # fmt: skip
    assert f"does not match --checksum {algorithm}" in result.err
    assert wrong in result.err
    nothing_left()


@pytest.mark.parametrize("size", ["3M", "4M"])
def test_a_wrong_size_is_refused(project: Project, proxy: FaultProxy, raw: Path, size: str) -> None:
    run("image", "create", "x", "--file", raw, "--disk-format", "raw", "--size", size, code=1)
    assert proxy.requests == []
    run(
        "image", "create", "x", "--file", "-", "--disk-format", "raw", "--size", size, code=1,
        stdin=raw.read_bytes(),
    )  # fmt: skip
    nothing_left()


# failures under way


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"status": 413, "early": True, "body": b"<h1>413 Too Large</h1>"}, 1, "413 Too Large"),
        ({"status": 401, "early": True}, 3, "the token is not accepted"),
        ({"status": 409, "early": True}, 1, "conflicts"),
        ({"status": 503}, 5, "the service is failing"),
        ({"cut_request": 1_000_000}, 5, "the connection broke"),
        ({"cut_request": 1_000_000, "reset": True}, 5, "the connection broke"),
        ({"lose_answer": True}, 5, "the connection broke"),
    ],
    ids=["413-early", "401-early", "409-early", "503", "cut", "reset", "answer-lost"],
)
def test_a_failed_upload_says_why_and_leaves_nothing(
    project: Project, proxy: FaultProxy, raw: Path, fault: dict[str, object], code: int, words: str
) -> None:
    proxy.add("^PUT .*/file", **fault)
    result = run("image", "create", "x", "--file", raw, "--disk-format", "raw", code=code)
    assert words in result.err
    assert "the record it had made was removed" in result.err
    assert result.out == ""
    nothing_left()


def test_a_protected_record_is_removed_too(project: Project, proxy: FaultProxy, raw: Path) -> None:
    proxy.add("^PUT .*/file", cut_request=1_000_000)
    options = ("--disk-format", "raw", "--protected")
    run("image", "create", "x", "--file", raw, *options, code=5)
    nothing_left()


def test_keep_on_failure_keeps_the_record_queued(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^PUT .*/file", cut_request=1_000_000)
    options = ("--disk-format", "raw", "--keep-on-failure")
    result = run("image", "create", "x", "--file", raw, *options, code=5)
    assert "was kept" in result.err
    # Glance needs a moment to notice that the connection is gone.
    wait_for(lambda: run("image", "upload", "x", raw, code=None).code == 0)
    assert "active" in run("image", "show", "x").out


def test_a_failed_upload_into_a_record_leaves_it_queued(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    run("image", "create", "x", "--disk-format", "raw")
    proxy.add("^PUT .*/file", cut_request=1_000_000)
    run("image", "upload", "x", raw, code=5)
    # Glance needs a moment to notice that the connection is gone.
    wait_for(lambda: run("image", "upload", "x", raw, code=None).code == 0)
    assert "active" in run("image", "show", "x").out


def test_what_was_stored_wrong_is_not_left_active(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    # The proxy changes the record's digest on its way back: a byte inside os_hash_value.
    proxy.add("^GET /v2/images/", flip_in=b'"os_hash_value": "')
    result = run("image", "create", "x", "--file", raw, "--disk-format", "raw", code=6)
    assert "is not what was sent" in result.err
    nothing_left()


def test_a_cloud_that_hashes_otherwise_is_verified_by_reading_the_file_again(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    # Spoilt on its way back, os_hash_algo is no longer there: what remains is the MD5 checksum.
    proxy.add("^GET /v2/images/", times=2, flip_in=b'"os_hash_')
    run("image", "create", "x", "--file", raw, "--disk-format", "raw")
    command = f"cat {raw} | {sys.executable} -m glancectl image create y --file - --disk-format raw"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "only the size was verified: this cloud hashes with md5" in done.stderr


def test_an_md5_that_differs_is_not_left_active(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^GET /v2/images/", flip_in=b'"os_hash_', flip_too=b'"checksum": "')
    result = run("image", "create", "x", "--file", raw, "--disk-format", "raw", code=6)
    assert "md5 of what was sent" in result.err
    nothing_left()


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"cut": 0}, 5, "broke"),
        ({"cut": 1}, 5, "broke"),
        ({"cut": 1_500_000}, 5, "broke"),
        ({"cut": 1_500_000, "reset": True}, 5, "broke"),
        ({"cut": 1_500_000, "drop_length": True}, 5, "broke"),
        ({"flip": 1_500_000}, 6, "do not match its record"),
        ({"status": 204}, 1, "has no data yet"),
    ],
    ids=["cut-0", "cut-1", "cut-half", "reset", "cut-no-length", "flip", "204"],
)
def test_a_failed_download_leaves_no_file(
    project: Project, proxy: FaultProxy, raw: Path, fault: dict[str, object], code: int, words: str
) -> None:
    uploaded(raw, "--disk-format", "raw")
    proxy.add("^GET .*/file", **fault)
    assert words in run("image", "download", "x", "out", code=code).err
    assert list(Path().iterdir()) == []
    run("image", "download", "x", "out")
    assert sha512(Path("out")) == sha512(raw)


def test_a_missing_length_is_no_fault(project: Project, proxy: FaultProxy, raw: Path) -> None:
    uploaded(raw, "--disk-format", "raw")
    proxy.add("^GET .*/file", drop_length=True)
    run("image", "download", "x", "out")
    assert sha512(Path("out")) == sha512(raw)


def test_a_queued_image_has_no_data(project: Project) -> None:
    run("image", "create", "x")
    assert "has no data yet" in run("image", "download", "x", code=1).err
    assert list(Path().iterdir()) == []


def test_a_reader_may_not_download(
    project: Project,
    new_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
    raw: Path,
) -> None:
    options = ("--disk-format", "raw", "--visibility", "community")
    image_id = run(
        "image", "create", f"of {project.name}", "--file", raw, "-q", *options
    ).out.strip()
    log_in(new_project(role="reader"), monkeypatch)
    run("image", "download", image_id, "out", code=3)
    assert list(Path().iterdir()) == []


def test_a_full_disk_is_a_sentence(project: Project, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3 << 20))
    uploaded(big, "--disk-format", "raw")
    mount = tmp_path / "small"
    mount.mkdir()
    script = (
        f"mount -t tmpfs -o size=1m none {mount} &&"
        f"{sys.executable} -m glancectl image download x {mount}/out;"
        f"code=$?; ls -A {mount}; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "space" in done.stderr
    assert done.stdout == ""


# signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_an_upload_removes_the_record(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    signum = signal.Signals[name]
    process = subprocess.Popen(
        [*GLANCECTL, "image", "create", "x", "--file", "-", "--disk-format", "raw"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdin
        process.stdin.write(os.urandom(3 << 20))
        process.stdin.flush()
        wait_for(lambda: proxy.count("^PUT .*/file") == 1)
        process.send_signal(signum)
        started = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert time.monotonic() - started < 5
    assert out == b""
    assert f"stopped by {name}; the record it had made was removed" in err.decode()
    nothing_left()


def test_a_second_signal_skips_the_clean_up_and_says_what_is_left(
    project: Project, proxy: FaultProxy
) -> None:
    proxy.add("^DELETE", times=None, stall=20)
    command = [*GLANCECTL, "image", "create", "x", "--file", "-", "--disk-format", "raw"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        process.stdin.write(os.urandom(3 << 20))
        process.stdin.flush()
        wait_for(lambda: proxy.count("^PUT .*/file") == 1)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: proxy.count("^DELETE") == 1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    [image_id] = run("image", "list", "-q").lines
    assert process.returncode == 143
    assert (
        f"record {image_id} was left behind (interrupted again), "
        f"to be removed with: glancectl image delete {image_id}"
    ) in err.decode()


def test_a_signal_during_a_download_leaves_no_file(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    uploaded(raw, "--disk-format", "raw")
    proxy.add("^GET .*/file", stall=3)
    process = subprocess.Popen(
        [*GLANCECTL, "image", "download", "x", "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        wait_for(lambda: proxy.count("^GET .*/file") == 1)
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("argv", [["show", "x"], ["delete", "a", "b", "c"]], ids=" ".join)
def test_a_signal_ends_a_command_that_waits_for_answers(
    project: Project, proxy: FaultProxy, argv: list[str]
) -> None:
    run("auth", "token")
    proxy.add("^GET /v2/images", times=None, stall=20)
    with subprocess.Popen([*GLANCECTL, "image", *argv], stderr=subprocess.PIPE) as process:
        wait_for(lambda: proxy.count("^GET") >= 2)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"glancectl: stopped by SIGINT\n")
    assert time.monotonic() - started < 5


def test_two_downloads_of_one_file_make_one_right_file(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    uploaded(raw, "--disk-format", "raw")
    proxy.add("^GET .*/file", stall=1)
    command = [*GLANCECTL, "image", "download", "x", "out", "-f", "json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    states = []
    for process in running:
        with process:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            states.append(json.loads(out)["status"])
    assert sorted(states) == ["downloaded", "unchanged"]
    assert sha512(Path("out")) == sha512(raw)
    assert [path.name for path in Path().iterdir()] == ["out"]


# memory


def test_memory_stays_flat(project: Project, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(300 << 20)
    for argv in (
        ["image", "create", "x", "--file", str(big), "--disk-format", "raw"],
        ["image", "download", "x", str(tmp_path / "out")],
    ):
        script = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, sys.executable, "-m", "glancectl", *argv],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert int(done.stderr.split()[-1]) < 80 * 1024  # KiB


# real images, and another client as the judge


@pytest.fixture(params=["ipxe.iso", "qemu-img"])
def real_image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Debian's ipxe ISO, and a qcow2 that qemu-img made and filled."""
    if request.param == "ipxe.iso":
        iso = Path("/usr/lib/ipxe/ipxe.iso")
        if not iso.exists():
            pytest.skip("ipxe")
        return iso
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img")
    path = tmp_path / "filled.qcow2"
    (tmp_path / "content").write_bytes(os.urandom(20 << 20))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    copy = ["qemu-img", "dd", "-O", "qcow2", "bs=1M", f"if={tmp_path}/content", f"of={path}"]
    subprocess.run(copy, check=True, stdout=subprocess.DEVNULL)
    return path


def test_real_images_come_back_identical_and_curl_agrees(
    project: Project, real_image: Path
) -> None:
    record = run("image", "create", "x", "--file", real_image, "-f", "json").json
    assert record["disk_format"] == {".iso": "iso", ".qcow2": "qcow2"}[real_image.suffix]
    assert "x" in run("image", "list", "-c", "name").lines
    run("image", "download", "x", "ours")
    token = run("auth", "token").out.strip()
    url = f"{project.sandbox.glance}/v2/images/{record['id']}/file"
    curl = ["curl", "-sSf", "-H", f"X-Auth-Token: {token}", "-o", "curls", url]
    subprocess.run(curl, check=True)
    assert Path("ours").read_bytes() == real_image.read_bytes()
    assert Path("curls").read_bytes() == real_image.read_bytes()


def test_on_a_terminal_there_is_a_bar_and_a_table(project: Project, raw: Path) -> None:
    leader, follower = pty.openpty()
    command = [*GLANCECTL, "image", "create", "x", "--file", str(raw), "--disk-format", "raw"]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    with process, os.fdopen(leader, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while piece := screen.read(1 << 16):  # OSError: the other end is closed
            shown += piece
    text = shown.decode()
    assert process.returncode == 0
    assert "x: uploading" in text
    assert "\r" in text
    assert "3.0 MiB in" in text
    assert re.search(r"^status +active", text.replace("\r\n", "\n"), re.MULTILINE)
