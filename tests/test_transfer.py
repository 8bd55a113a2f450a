"""image create --file, upload and download: bytes in, the same bytes out.

What may break on the way is in test_upload.py and test_download.py.
"""

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
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import Project, run, wait_for
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


# signals


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


def test_a_signal_that_comes_in_a_destructor_is_not_lost() -> None:
    # Python drops what is raised there; the ids that are read from stdin would be awaited for ever.
    script = """
import os, signal, sys, time
from glancectl.cli import main

class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)

def lines():
    Late()
    time.sleep(20)
    yield "x"

sys.stdin = lines()
sys.exit(main(["image", "delete", "-", "--yes"]))
"""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"glancectl: stopped by SIGINT\n")
    assert time.monotonic() - started < 5


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
