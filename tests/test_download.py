"""image download: the same bytes in a file, whatever breaks on the way, or nothing that looks so.

The images of most tests are made once; each test asks for them through a fault proxy of its own.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import (
    HTTP,
    OwnGlance,
    Project,
    Result,
    Sandbox,
    log_in,
    password_token,
    run,
    wait_for,
)
from faultproxy import FaultProxy

GLANCECTL = [sys.executable, "-m", "glancectl"]
MIB = 1 << 20
SIZE = 3 * MIB + 7  # bytes of ``noise``
HALF = SIZE // 2
FILE = "^GET .*/file"
RANGED = "^GET .*/file bytes="
RECORD = "^GET /v2/images/[^/]+$"
FROM_THE_START = "the store hands out no part of an image: from the start again"
DOES_NOT_FIT = "what was kept of an earlier download does not fit: from the start again"


@dataclass(frozen=True)
class Stored:
    """An image in the cloud, and the data it was made of."""

    id: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def digest(self) -> str:
        return f"sha512:{hashlib.sha512(self.data).hexdigest()}"

    def part(self, path: str = "out") -> Path:
        """Return where its data are until they are whole."""
        return Path(path).with_name(f".{Path(path).name}.{self.id[:8]}.part")

    def kept(self, path: str = "out") -> int:
        """Return how many bytes its ``.part`` has by the note in it; 0 without one."""
        try:
            with self.part(path).open("rb") as file:
                file.seek(self.size)
                note = json.loads(file.read())
        except (FileNotFoundError, ValueError):  # not yet
            return 0
        return sum(end - start for start, end in note["spans"])


Store = Callable[..., Stored]


def put_image(glance: str, token: str, data: bytes, **fields: object) -> Stored:
    """Make an image without any of our code, with ``fields`` in its record.

    It is read once: from Glance's cache later answers come with a Content-Length.
    """
    headers = {"X-Auth-Token": token}
    record = {"name": "x", "disk_format": "raw", "container_format": "bare", **fields}
    made = HTTP.post(f"{glance}/v2/images", json=record, headers=headers)
    assert made.status_code == 201, made.text
    url = f"{glance}/v2/images/{made.json()['id']}/file"
    octets = {"Content-Type": "application/octet-stream"}
    answer = HTTP.put(url, content=data, headers=headers | octets)
    assert answer.status_code == 204, answer.text
    assert HTTP.get(url, headers=headers).content == data
    return Stored(made.json()["id"], data)


@pytest.fixture(scope="module")
def token(sandbox: Sandbox) -> str:
    """A token of the project that has this module's images."""
    return password_token(Project(sandbox).env)


@pytest.fixture(scope="module")
def store(sandbox: Sandbox, token: str) -> Store:
    """Make an image: ``store(data)``, with fields of its record."""
    return lambda data, **fields: put_image(sandbox.glance, token, data, **fields)


@pytest.fixture(scope="module")
def noise(store: Store) -> Stored:
    """3 MiB and 7 bytes, no whole number of chunks."""
    return store(os.urandom(SIZE))


@pytest.fixture(scope="module")
def large(store: Store) -> Stored:
    """12 MiB and 7 bytes: four pieces for four connections."""
    return store(os.urandom(12 * MIB + 7))


@pytest.fixture
def front(sandbox: Sandbox, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A fault proxy in front of Glance; ``run`` goes through it, with ``token``."""
    made = FaultProxy(sandbox.glance)
    monkeypatch.setenv("OS_TOKEN", token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", made.url)
    yield made
    made.close()


def download(
    image: Stored, *options: object, to: str = "out", retries: int = 1, code: int | None = 0
) -> Result:
    """Run ``image download`` of one image."""
    argv = ("image", "download", image.id, to, *options)
    return run("--retries", retries, "--timeout", 1, *argv, code=code)


def started(*argv: object, err: Path | None = None) -> subprocess.Popen[bytes]:
    """Start glancectl in a process of its own. err: the file that its stderr goes to."""
    command = [*GLANCECTL, *map(str, argv)]
    with contextlib.ExitStack() as stack:
        stderr = stack.enter_context(err.open("wb")) if err else subprocess.PIPE
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)


def here(folder: Path = Path()) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_whole(image: Stored) -> bool:
    """Tell whether ``out`` has the image's data, and nothing else is here."""
    return Path("out").read_bytes() == image.data and here() == ["out"]


def starts(proxy: FaultProxy) -> list[int | None]:
    """Return at which byte each request for data began; None: it asked for the whole."""
    asked = [request for request in proxy.requests if re.search(FILE, request)]
    ranges = [re.search(r" bytes=(\d+)-\d+$", request) for request in asked]
    return [int(found[1]) if found else None for found in ranges]


def broken_off(proxy: FaultProxy, image: Stored, place: int = HALF) -> Path:
    """Let a download break off after ``place`` bytes; return the ``.part`` that it leaves."""
    proxy.add(FILE, cut=place)
    download(image, retries=0, code=5)
    proxy.requests.clear()
    assert image.kept() == place
    return image.part()


def write_part(image: Stored, *spans: tuple[int, int], **other: object) -> Path:
    """Write the ``.part`` that has these spans of an image; ``other``: fields of its note."""
    data = bytearray(image.size)
    for start, end in spans:
        data[start:end] = image.data[start:end]
    note = {"id": image.id, "size": image.size, "digest": image.digest, "spans": spans} | other
    image.part().write_bytes(bytes(data) + json.dumps(note).encode())
    return image.part()


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        [byte] = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 0xFF]))


def events(result: Result) -> list[dict[str, Any]]:
    """Return the lines of ``--progress json``."""
    return [json.loads(line) for line in result.err.splitlines()]


# names


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
def test_download_makes_a_safe_name(front: FaultProxy, store: Store, name: str, file: str) -> None:
    image = store(b"data", name=name)
    assert run("image", "download", image.id, "-q").out == f"{file}\n"
    assert here() == [file]


def test_download_into_a_directory(noise: Stored, front: FaultProxy) -> None:
    Path("dir").mkdir()
    assert download(noise, "-q", to="dir").out == "dir/x.raw\n"
    assert Path("dir/x.raw").read_bytes() == noise.data
    assert "no such directory" in download(noise, to="nodir/", code=1).err
    assert "no such directory" in download(noise, to="no/file", code=1).err


def test_a_name_may_be_as_long_as_that_of_its_part_allows(noise: Stored, front: FaultProxy) -> None:
    longest = "n" * (256 - len(noise.part("n").name))
    download(noise, to=longest)
    assert here() == [longest]
    result = download(noise, to=f"{longest}n", code=1)
    assert "cause: File name too long" in result.err
    assert here() == [longest]


# what is printed


def test_the_result_is_a_record_of_what_was_done(noise: Stored, front: FaultProxy) -> None:
    result = {"id": noise.id, "name": "x", "path": "out", "size": SIZE, "digest": noise.digest}
    as_json = ("-f", "json")
    assert download(noise, *as_json).json == result | {"status": "downloaded"}
    assert download(noise, *as_json).json == result | {"status": "unchanged"}
    Path("out").unlink()
    broken_off(front, noise)
    assert download(noise, *as_json).json == result | {"status": "resumed"}
    assert download(noise, "-q").out == "out\n"


def test_the_last_line_has_bytes_seconds_rate_and_digest(noise: Stored, front: FaultProxy) -> None:
    pattern = rf"x: 3\.0 MiB in \d+\.\d s, \S+ MiB/s, {noise.digest}\n"
    assert re.fullmatch(pattern, download(noise).err)
    assert download(noise).err == ""


def test_retries_and_phases_are_told(noise: Stored, front: FaultProxy) -> None:
    front.add(RANGED, status=503, body=b"in maintenance")
    front.add(FILE, cut=HALF)
    first, *tries, last = download(noise, retries=2).err.splitlines()
    assert first == "x: downloading 3.0 MiB"
    assert tries[:2] == [
        "x: try 1 of 2: the connection was closed before the end, going on at 1.5 MiB",
        "x: try 2 of 2: in maintenance, going on at 1.5 MiB",
    ]
    assert tries[-1] == "x: verifying"
    assert last.endswith(noise.digest)


def test_retries_and_resumption_are_events(noise: Stored, front: FaultProxy) -> None:
    broken_off(front, noise)
    front.add(RANGED, cut=5)
    argv = ("image", "download", noise.id, "out")
    told = events(run("--progress", "json", "--retries", 1, *argv))
    assert [event["event"] for event in told] == [
        "start", "resume", "phase", "retry", "phase", "done",
    ]  # fmt: skip
    [resume, downloading, retry, verifying, done] = told[1:]
    assert (resume["bytes"], resume["message"]) == (HALF, "resuming at 1.5 MiB")
    assert (retry["attempt"], retry["of"], retry["total"]) == (1, 1, SIZE)
    assert (downloading["phase"], verifying["phase"]) == ("downloading", "verifying")
    assert (done["bytes"], done["digest"]) == (SIZE, noise.digest)


# files in the way


def test_an_existing_file_with_the_right_digest_is_left(noise: Stored, front: FaultProxy) -> None:
    download(noise)
    front.requests.clear()
    assert download(noise, "-f", "json").json["status"] == "unchanged"
    assert starts(front) == []


def test_another_file_is_not_replaced_without_overwrite(noise: Stored, front: FaultProxy) -> None:
    Path("out").write_text("mine")
    result = download(noise, code=1)
    assert "out exists and is another file" in result.err
    assert "--overwrite" in result.err
    assert Path("out").read_text() == "mine"
    download(noise, "--overwrite")
    assert is_whole(noise)


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["plain", "overwrite"])
def test_what_is_no_regular_file_is_never_replaced(
    noise: Stored, front: FaultProxy, overwrite: list[str]
) -> None:
    os.mkfifo("pipe")
    result = download(noise, *overwrite, to="pipe", code=1)
    assert "pipe is no regular file" in result.err
    assert Path("pipe").is_fifo()


def test_a_file_that_appears_meanwhile_is_not_replaced(noise: Stored, front: FaultProxy) -> None:
    front.add(FILE, stall=0.5)
    with started("image", "download", noise.id, "out") as process:
        wait_for(lambda: starts(front) == [None])
        Path("out").write_text("mine")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"out appeared during the download" in err
    assert Path("out").read_text() == "mine"
    front.requests.clear()
    download(noise, "--overwrite")
    assert is_whole(noise)
    assert starts(front) == []  # all of it had been kept


def test_two_images_that_go_to_one_file(noise: Stored, front: FaultProxy, store: Store) -> None:
    images = [noise, store(os.urandom(SIZE))]
    front.add(FILE, times=2, stall=1)
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(started("image", "download", image.id, "out")) for image in images
        ]
        errors = [process.communicate(timeout=30)[1] for process in running]
    codes = [process.returncode for process in running]
    assert sorted(codes) == [0, 1]
    assert b"out appeared during the download" in errors[codes.index(1)]
    assert Path("out").read_bytes() == images[codes.index(0)].data


def test_the_file_has_the_mode_that_others_have(noise: Stored, front: FaultProxy) -> None:
    before = os.umask(0o027)
    try:
        download(noise)
    finally:
        os.umask(before)
    assert Path("out").stat().st_mode & 0o777 == 0o640


def test_a_link_to_a_file_is_replaced_not_followed(noise: Stored, front: FaultProxy) -> None:
    Path("mine").write_text("mine")
    Path("out").symlink_to("mine")
    assert "out exists and is another file" in download(noise, code=1).err
    download(noise, "--overwrite")
    assert Path("mine").read_text() == "mine"
    assert not Path("out").is_symlink()
    assert Path("out").read_bytes() == noise.data


# one connection that fails


FAULTS = [
    pytest.param([(FILE, {"cut": 0})], [None, None], id="cut-at-0"),
    pytest.param([(FILE, {"cut": 1})], [None, 1], id="cut-at-1"),
    pytest.param([(FILE, {"cut": HALF})], [None, HALF], id="cut-at-half"),
    pytest.param([(FILE, {"cut": SIZE - 1})], [None, SIZE - 1], id="cut-at-the-last-byte"),
    pytest.param(
        [(RANGED, {"cut": 5}), (FILE, {"cut": HALF})], [None, HALF, HALF + 5], id="cut-twice"
    ),
    pytest.param([(FILE, {"stall": 20, "stall_at": HALF})], [None, HALF], id="stall"),
    pytest.param([(FILE, {"stall": 20})], [None, None], id="silence"),
    pytest.param([(FILE, {"status": 503})], [None, None], id="503"),
    pytest.param([(FILE, {"status": 503, "times": 3})], [None] * 4, id="503-three-times"),
    pytest.param([(FILE, {"status": 429})], [None, None], id="429"),
    pytest.param([(FILE, {"longer": -1})], [None, SIZE - 1], id="length-too-short"),
    pytest.param([(FILE, {"longer": 1})], [None], id="length-too-long"),
    pytest.param([(FILE, {"drop_length": True})], [None], id="no-length"),
    pytest.param([(FILE, {"drop_length": True, "cut": HALF})], [None, HALF], id="no-length-cut"),
]


@pytest.mark.parametrize(("faults", "asked"), FAULTS)
@pytest.mark.parametrize("dest", ["out", "-"])
def test_what_breaks_goes_on_where_it_broke(
    noise: Stored,
    front: FaultProxy,
    faults: list[tuple[str, dict[str, object]]],
    asked: list[int | None],
    dest: str,
) -> None:
    for on, fault in faults:
        front.add(on, **fault)
    result = download(noise, to=dest, retries=3)
    assert result.data == noise.data if dest == "-" else is_whole(noise)
    assert starts(front) == asked


def test_a_reset_goes_on_where_it_broke(noise: Stored, front: FaultProxy) -> None:
    front.add(FILE, cut=HALF, reset=True)
    download(noise)
    assert is_whole(noise)
    first, second = starts(front)
    assert first is None
    assert second is None or 0 < second <= HALF  # RST overtakes what the kernel still had


def test_what_gets_on_is_never_given_up(noise: Stored, front: FaultProxy) -> None:
    front.add(FILE, times=None, cut=MIB)
    download(noise, retries=1)
    assert is_whole(noise)
    assert starts(front) == [None, MIB, 2 * MIB, 3 * MIB]


@pytest.mark.parametrize(
    ("fault", "kept", "words"),
    [
        ({"cut": 0}, 0, "peer closed connection"),
        ({"cut": 1}, 2, "peer closed connection"),
        ({"cut": 500_000}, 1_000_000, "peer closed connection"),
        ({"stall": 20}, 0, "read timeout"),
        ({"stall": 20, "stall_at": 5}, 10, "read timeout"),
        ({"status": 503, "body": b"in maintenance"}, 0, "in maintenance"),
        ({"cut": HALF, "deaf": 20}, HALF, "refused"),
    ],
    ids=["cut-at-0", "cut-at-1", "cut", "silence", "stall", "503", "gone"],
)
def test_what_never_ends_is_given_up(
    noise: Stored, front: FaultProxy, fault: dict[str, Any], kept: int, words: str
) -> None:
    front.add(RANGED, times=None, **fault)
    front.add(FILE, times=None, **fault)
    result = download(noise, retries=1, code=5)
    assert f"cannot download image {noise.id}" in result.err
    assert words in result.err.partition("cause: ")[2]
    assert here() == ([noise.part().name] if kept else [])
    assert noise.kept() == kept
    assert front.count(FILE) <= 2


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400},
        {"status": 416},
        {"no_range": True},
        {"wrong_range": 1},
        {"wrong_range": -1},
        {"status": 206, "body": b"no Content-Range"},
    ],
    ids=["400", "416", "ignored", "later-range", "earlier-range", "no-content-range"],
)
@pytest.mark.parametrize("dest", ["out", "-"])
def test_where_no_part_is_handed_out_all_is_fetched_again(
    noise: Stored, front: FaultProxy, fault: dict[str, Any], dest: str
) -> None:
    front.add(RANGED, times=None, **fault)
    front.add(FILE, times=2, cut=HALF)
    result = download(noise, to=dest)
    assert result.data == noise.data if dest == "-" else is_whole(noise)
    assert starts(front) == [None, HALF, None, None]
    assert result.err.count(FROM_THE_START) == 1
    assert result.err.splitlines()[-1].endswith(noise.digest)


@pytest.fixture
def on_the_web(
    project: Project, proxy: FaultProxy, served: tuple[str, Path], noise: Stored
) -> Stored:
    """The same data in the ``web`` store, which hands out no part of an image."""
    url, folder = served
    (folder / "noise.raw").write_bytes(noise.data)
    made = run("image", "create", "x", "--disk-format", "raw", "-q").out.strip()
    run("image", "locations", "add", made, f"{url}/noise.raw")
    return Stored(made, noise.data)


@pytest.mark.parametrize("options", [(), ("--connections", 4)], ids=["", "connections"])
def test_a_store_that_refuses_ranges(
    proxy: FaultProxy, on_the_web: Stored, options: tuple[object, ...]
) -> None:
    proxy.add(FILE, times=2, cut=HALF)
    assert download(on_the_web, *options).err.count(FROM_THE_START) == 1
    assert is_whole(on_the_web)
    assert proxy.count(RANGED) == 1


def test_what_was_kept_is_of_use_though_the_store_refuses_ranges(
    proxy: FaultProxy, on_the_web: Stored
) -> None:
    proxy.add(FILE, cut=HALF)
    download(on_the_web, retries=0, code=5)
    result = download(on_the_web, "-f", "json")
    assert result.json["status"] == "resumed"
    assert FROM_THE_START in result.err
    assert is_whole(on_the_web)


@pytest.mark.parametrize("options", [(), ("--connections", 4)], ids=["", "connections"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"flip": MIB}, "do not match its record"),
        ({"status": 200, "body": b"x" * (12 * MIB + 8)}, "more bytes arrive than the 12582919"),
        ({"status": 200, "body": b"x" * (12 * MIB + 7)}, "do not match its record"),
    ],
    ids=["a-byte-flipped", "a-byte-more", "other-data"],
)
def test_wrong_data_leave_nothing(
    large: Stored,
    front: FaultProxy,
    fault: dict[str, Any],
    words: str,
    options: tuple[object, ...],
) -> None:
    front.add(FILE, times=None, **fault)
    assert words in download(large, *options, code=6).err
    assert here() == []


def test_wrong_data_are_taken_with_no_verify(noise: Stored, front: FaultProxy) -> None:
    front.add(FILE, flip=MIB)
    result = download(noise, "--no-verify")
    assert noise.digest not in result.err
    flip(Path("out"), MIB)
    assert is_whole(noise)
    Path("out").unlink()
    front.add(FILE, cut=HALF)
    download(noise, "--no-verify", retries=0, code=5)
    download(noise, "--no-verify")
    assert is_whole(noise)


@pytest.mark.parametrize("algorithm", ["md5", None])
def test_a_record_may_have_less_than_a_sha512(
    noise: Stored, front: FaultProxy, token: str, algorithm: str | None
) -> None:
    record = record_of(noise, front, token) | {"os_hash_algo": None, "os_hash_value": None}
    md5 = record.pop("checksum")
    answer_with(front, record | ({"checksum": md5} if algorithm else {}))
    front.add(FILE, cut=HALF)
    download(noise, retries=0, code=5)
    result = download(noise, "-f", "json")
    assert result.json["digest"] == (f"md5:{md5}" if algorithm else None)
    assert result.json["status"] == "resumed"
    assert is_whole(noise)
    only_the_size = "only the size was verified: the record has no digest"
    assert (only_the_size in result.err) == (algorithm is None)


def record_of(image: Stored, front: FaultProxy, token: str) -> dict[str, Any]:
    url = f"{front.url}/v2/images/{image.id}"
    record: dict[str, Any] = HTTP.get(url, headers={"X-Auth-Token": token}).json()
    return record


def answer_with(front: FaultProxy, record: dict[str, Any]) -> None:
    """Let Glance seem to have another record of an image."""
    front.add(RECORD, status=200, times=None, body=json.dumps(record).encode())


def test_a_token_that_expires_on_the_way_is_renewed(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    run("image", "create", "x", "--file", raw, "--disk-format", "raw")
    proxy.tokens.clear()
    proxy.add(RANGED, status=401)
    proxy.add(FILE, cut=HALF)
    run("--retries", 1, "image", "download", "x", "out")
    assert Path("out").read_bytes() == raw.read_bytes()
    *old, new = proxy.tokens
    assert set(old) == {old[0]}
    assert new != old[0]


@pytest.mark.parametrize(
    ("fault", "code", "words", "kept"),
    [
        ({"status": 401}, 3, "the token is not accepted", True),
        ({"status": 403}, 3, "not allowed with these credentials", True),
        ({"status": 403, "body": b"it has been deactivated"}, 1, "does not allow it", True),
        ({"status": 404}, 4, "not found", False),
    ],
    ids=["401", "403", "deactivated", "deleted"],
)
def test_a_refusal_on_the_way_ends_it(
    noise: Stored, front: FaultProxy, fault: dict[str, Any], code: int, words: str, kept: bool
) -> None:
    front.add(RANGED, **fault)
    front.add(FILE, cut=HALF)
    assert words in download(noise, retries=4, code=code).err
    assert here() == ([noise.part().name] if kept else [])


def test_an_image_without_data_has_none_to_download(
    noise: Stored, front: FaultProxy, project: Project
) -> None:
    front.add(FILE, status=204)
    assert "has no data yet" in download(noise, code=1).err
    run("image", "create", "queued", user=project)
    assert "has no data yet" in run("image", "download", "queued", code=1, user=project).err
    assert here() == []


@pytest.mark.parametrize("options", [(), ("--connections", 4)], ids=["", "connections"])
def test_an_empty_image_is_an_empty_file(
    front: FaultProxy, store: Store, options: tuple[object, ...]
) -> None:
    empty = store(b"")
    assert download(empty, *options, "-f", "json").json["status"] == "downloaded"
    assert is_whole(empty)
    assert download(empty, "-f", "json").json["status"] == "unchanged"
    assert download(empty, to="-").data == b""


def test_a_reader_may_not_download(
    noise: Stored,
    sandbox: Sandbox,
    new_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
) -> None:
    shown = store(b"data", name="for all to see", visibility="community")
    log_in(new_project(role="reader"), monkeypatch)
    download(shown, code=3)
    assert here() == []


def test_a_full_disk_is_a_sentence(noise: Stored, front: FaultProxy, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    script = (
        f"mount -t tmpfs -o size=1m none {mount} &&"
        f"{sys.executable} -m glancectl image download {noise.id} {mount}/out;"
        f"code=$?; ls -A {mount}; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "not enough space" in done.stderr
    assert done.stdout == ""
    assert starts(front) == []


def test_a_disk_that_fills_up_keeps_what_has_come(
    large: Stored, front: FaultProxy, tmp_path: Path
) -> None:
    front.add(FILE, stall=0.5)
    mount = tmp_path / "small"
    mount.mkdir()
    command = f"{sys.executable} -m glancectl image download {large.id} out -f json"
    script = f"""
        mount -t tmpfs -o size=16m none {mount} && cd {mount} || exit
        {command} &
        until ls .out.*.part; do sleep 0.05; done >/dev/null 2>&1
        head -c 12M /dev/zero >fill
        wait $!
        echo $? out*
        rm fill
        {command} && sha512sum out
    """
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    error = json.loads(done.stderr.splitlines()[0])["error"]["message"]
    # The note in the .part takes a page of the 4 MiB that are free; the rest rounds to 4.0.
    kept = r"(?:[123]\.\d|4\.0) MiB of 12\.0 MiB are kept in .out"
    assert re.match(f"no space left for out; {kept}", error)
    first, *result, digest = done.stdout.splitlines()
    assert first == "1 out*"
    assert json.loads("".join(result))["status"] == "resumed"
    assert f"sha512:{digest.split()[0]}" == large.digest


# another run


def test_the_command_that_is_printed_goes_on(noise: Stored, front: FaultProxy) -> None:
    front.add(FILE, cut=HALF)
    result = download(noise, retries=0, code=5)
    told = f"1.5 MiB of 3.0 MiB are kept in {noise.part()}, to be continued with: "
    command = result.err.partition(told)[2].partition("\n")[0]
    assert command == f"glancectl image download {noise.id} out"
    assert noise.part().read_bytes()[:HALF] == noise.data[:HALF]
    front.requests.clear()
    assert "x: resuming at 1.5 MiB\n" in pasted(command)
    assert is_whole(noise)
    assert starts(front) == [HALF]


def pasted(command: str) -> str:
    """Run a command line in a shell that finds ``glancectl``; return its stderr."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path}
    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.decode()


@pytest.mark.parametrize("name", ["a name; with $SIGNS", "-x", "./-", "Füße"])
def test_the_command_that_is_printed_works_for_any_name(
    noise: Stored, front: FaultProxy, name: str
) -> None:
    front.add(FILE, cut=HALF)
    argv = ("--retries", 0, "image", "download", "--", noise.id, name)
    pasted(command_of(run(*argv, code=5)))
    assert Path(name).read_bytes() == noise.data
    assert here() == [Path(name).name]


def command_of(result: Result) -> str:
    """Return the command that is printed to continue a download."""
    return result.err.partition("to be continued with: ")[2].partition("\n  cause: ")[0]


def test_the_command_that_is_printed_overwrites_as_well(noise: Stored, front: FaultProxy) -> None:
    Path("out").write_text("to be replaced")
    front.add(FILE, cut=HALF)
    command = command_of(download(noise, "--overwrite", retries=0, code=5))
    assert Path("out").read_text() == "to be replaced"
    pasted(command)
    assert is_whole(noise)
    assert starts(front) == [None, HALF]


def test_no_resume_begins_at_the_start_and_leaves_nothing(noise: Stored, front: FaultProxy) -> None:
    broken_off(front, noise)
    front.add(FILE, cut=HALF)
    front.add(RANGED, status=503)
    result = download(noise, "--no-resume", code=5)
    assert starts(front) == [None, HALF]  # within one run it does go on
    assert "are kept" not in result.err
    assert here() == []
    broken_off(front, noise)
    assert download(noise, "--no-resume", "-f", "json").json["status"] == "downloaded"
    assert starts(front) == [None]
    assert is_whole(noise)


OTHERS = {
    "another-image": {"id": "00000000-0000-4000-8000-000000000000"},
    "another-size": {"size": SIZE + 1},
    "another-digest": {"digest": f"sha512:{'0' * 128}"},
    "no-digest": {"digest": None},
    "behind-the-end": {"spans": [[0, SIZE + 1]]},
    "negative": {"spans": [[-1, 5]]},
    "backwards": {"spans": [[5, 0]]},
    "out-of-order": {"spans": [[10, 20], [0, 5]]},
    "overlapping": {"spans": [[0, 10], [5, 20]]},
    "no-pairs": {"spans": [[0]]},
    "no-list": {"spans": 5},
    "no-numbers": {"spans": [["a", "b"]]},
    "null": {"spans": None},
    "infinite": {"spans": [[0, float("inf")]]},
    "one-field-more": {"version": 2},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_a_part_of_something_else_is_dropped(
    noise: Stored, front: FaultProxy, other: dict[str, object]
) -> None:
    write_part(noise, (0, HALF), **other)
    assert download(noise, "-f", "json").json["status"] == "downloaded"
    assert is_whole(noise)
    assert starts(front) == [None]


GARBAGE = {
    "empty": b"",
    "short": b"garbage",
    "as-long-as-the-image": bytes(SIZE),
    "longer": b"\xff" * (SIZE + 100),
    "a-list": bytes(SIZE) + b"[]",
    "a-number": bytes(SIZE) + b"5",
    "nested": bytes(SIZE) + b"[" * 100_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_part_of_garbage_is_dropped(noise: Stored, front: FaultProxy, garbage: bytes) -> None:
    noise.part().write_bytes(garbage)
    assert download(noise, "-f", "json").json["status"] == "downloaded"
    assert is_whole(noise)
    assert starts(front) == [None]


@pytest.mark.parametrize("length", [0, HALF, SIZE, SIZE + 5])
def test_a_part_that_was_cut_short_is_dropped(
    noise: Stored, front: FaultProxy, length: int
) -> None:
    os.truncate(broken_off(front, noise), length)
    download(noise)
    assert is_whole(noise)
    assert starts(front) == [None]


@pytest.mark.parametrize("options", [(), ("--connections", 4)], ids=["", "connections"])
def test_a_part_with_a_wrong_byte_is_found_out(
    large: Stored, front: FaultProxy, options: tuple[object, ...]
) -> None:
    flip(write_part(large, (0, 5 * MIB)), MIB)
    result = download(large, *options, "-f", "json")
    assert result.err.count(DOES_NOT_FIT) == 1
    assert result.json["status"] == "downloaded"
    assert is_whole(large)


def test_a_wrong_byte_is_found_out_where_no_part_is_handed_out(
    noise: Stored, front: FaultProxy
) -> None:
    flip(broken_off(front, noise), MIB)
    front.add(RANGED, times=None, status=400)
    result = download(noise)
    assert DOES_NOT_FIT in result.err
    assert is_whole(noise)
    assert starts(front) == [HALF, None, None]


def test_a_wrong_byte_that_is_fetched_again_does_not_stay(front: FaultProxy, store: Store) -> None:
    # Where no part is handed out, what lies behind the first gap is fetched although it is there.
    zeros = store(bytes(3 * MIB))
    flip(write_part(zeros, (0, MIB), (2 * MIB, 3 * MIB)), 2 * MIB + 5)
    front.add(RANGED, times=None, status=400)
    download(zeros)
    assert is_whole(zeros)


def test_a_wrong_byte_where_nothing_is_noted_does_not_stay(front: FaultProxy, store: Store) -> None:
    # Written before the note could say so, as SIGKILL leaves it.
    zeros = store(bytes(3 * MIB))
    flip(write_part(zeros, (0, MIB)), 2 * MIB + 5)
    download(zeros)
    assert is_whole(zeros)


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo"])
def test_a_part_that_is_no_file_is_not_touched(noise: Stored, front: FaultProxy, kind: str) -> None:
    part = noise.part()
    match kind:
        case "symlink":
            Path("mine").write_text("mine")
            part.symlink_to("mine")
        case "directory":
            part.mkdir()
        case "fifo":
            os.mkfifo(part)
    before = here()
    result = download(noise, code=1)
    assert str(part) in result.err
    assert here() == before
    assert kind != "symlink" or Path("mine").read_text() == "mine"


def test_a_part_that_has_its_name_already_is_dropped(noise: Stored, front: FaultProxy) -> None:
    # Killed between the two steps of naming it: both names are of one file.
    Path("out").write_bytes(noise.data)
    noise.part().hardlink_to("out")
    assert download(noise, "-f", "json").json["status"] == "unchanged"
    assert is_whole(noise)


# several connections


def test_connections_fetch_parts_at_once(large: Stored, front: FaultProxy) -> None:
    front.add(FILE, times=4, stall=0.8)
    began = time.monotonic()
    download(large, "--connections", 4)
    assert time.monotonic() - began < 4 * 0.8
    assert is_whole(large)
    assert set(starts(front)) == set(PIECES)


PIECES = [0, 4 * MIB, 8 * MIB, 12 * MIB]


@pytest.mark.parametrize(
    "fault",
    [{"cut": 0}, {"cut": 5}, {"cut": 5, "reset": True}, {"status": 503}, {"stall": 20}],
    ids=["cut-at-0", "cut", "reset", "503", "stall"],
)
@pytest.mark.parametrize("piece", PIECES)
def test_each_connection_goes_on_where_it_broke(
    large: Stored, front: FaultProxy, piece: int, fault: dict[str, Any]
) -> None:
    front.add(f"bytes={piece}-", **fault)
    download(large, "--connections", 4)
    assert is_whole(large)
    assert front.count(FILE) == 5


@pytest.mark.parametrize(
    "fault", [{"status": 400}, {"no_range": True}, {"wrong_range": 1}], ids=lambda f: next(iter(f))
)
@pytest.mark.parametrize("pieces", [1, None], ids=["one-piece", "all-pieces"])
def test_connections_where_no_part_is_handed_out(
    large: Stored, front: FaultProxy, fault: dict[str, Any], pieces: int | None
) -> None:
    front.add(RANGED, times=pieces, **fault)
    # In a process of its own: nobody waits for the connections that have a part in hand.
    with started("image", "download", large.id, "out", "--connections", 4) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert is_whole(large)
    assert err.decode().count(FROM_THE_START) == 1
    assert starts(front).count(None) == 1


@pytest.mark.parametrize(
    ("before", "after"), [(4, 4), (4, 1), (1, 4)], ids=lambda number: str(number)
)
def test_what_some_connections_left_others_go_on_with(
    large: Stored, front: FaultProxy, before: int, after: int
) -> None:
    front.add(FILE, times=None, stall_at=2 * MIB, stall=20)
    command = ("image", "download", large.id, "out", "--connections", before)
    with started(*command) as process:
        wait_for(lambda: large.kept() >= before * MIB)
        process.kill()
    kept = large.kept()
    front.faults.clear()
    front.requests.clear()
    result = download(large, "--connections", after, "-f", "json")
    assert result.json["status"] == "resumed"
    assert is_whole(large)
    asked = [re.search(r"bytes=(\d+)-(\d+)", request) for request in front.requests]
    assert sum(int(a[2]) - int(a[1]) + 1 for a in asked if a) == large.size - kept


def test_connections_that_fail_for_good_keep_what_they_have(
    large: Stored, front: FaultProxy
) -> None:
    front.add(f"bytes={8 * MIB}-", times=None, status=503)
    result = download(large, "--connections", 4, code=5)
    assert here() == [large.part().name]
    front.faults.clear()
    front.requests.clear()
    pasted(command_of(result))
    assert is_whole(large)
    assert 8 * MIB in starts(front)
    assert 0 not in starts(front)


# stdout


def test_stdout_gets_the_data_and_nothing_else(noise: Stored, front: FaultProxy) -> None:
    assert download(noise, to="-").data == noise.data
    assert here() == []


def test_stdout_takes_no_connections(noise: Stored, front: FaultProxy) -> None:
    assert "--connections needs a file" in download(noise, "--connections", 2, to="-", code=2).err
    assert front.requests == []


def test_stdout_that_was_given_wrong_data_is_told(noise: Stored, front: FaultProxy) -> None:
    front.add(FILE, flip=MIB)
    assert "do not match its record" in download(noise, to="-", code=6).err


def test_a_reader_that_goes_away_ends_it_silently(large: Stored, front: FaultProxy) -> None:
    command = " ".join([*GLANCECTL, "image", "download", large.id, "-"])
    script = f"{command} | head -c 5 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, b"", b"")


def test_a_stdout_that_is_full_is_a_sentence(large: Stored, front: FaultProxy) -> None:
    command = " ".join([*GLANCECTL, "image", "download", large.id, "-"])
    done = subprocess.run(
        ["bash", "-c", f"{command} >/dev/full"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no space left for standard output" in done.stderr


# holes


def allocated(path: Path) -> int:
    """Return the bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


N = random.Random(5).randbytes(MIB)
Z = bytes(2 * MIB)


@pytest.mark.parametrize(
    ("data", "noisy"),
    [
        (Z, 0),
        (Z + b"\0", 0),
        (Z + b"1", 0),
        (Z + N, MIB),
        (N + Z, MIB),
        (N + Z + N, 2 * MIB),
        (N[:12_345] + Z + N[:7] + Z + bytes(5), 12_345),
    ],
    ids=["all", "all-unaligned", "but-the-last", "start", "end", "middle", "unaligned"],
)
def test_zeros_become_holes(front: FaultProxy, store: Store, data: bytes, noisy: int) -> None:
    image = store(data)
    download(image)
    download(image, "--sparse", "never", to="full")
    assert Path("out").read_bytes() == Path("full").read_bytes() == data
    assert allocated(Path("full")) >= len(data)
    assert allocated(Path("out")) <= noisy + 3 * (1 << 16)


@pytest.mark.parametrize("options", [(), ("--connections", 4)], ids=["", "connections"])
def test_zeros_become_holes_in_a_download_that_broke_off(
    front: FaultProxy, store: Store, options: tuple[object, ...]
) -> None:
    image = store(N + bytes(12 * MIB) + N)
    front.add(FILE, cut=3 * MIB + 5)
    download(image, *options, retries=0, code=5)
    front.faults.clear()
    assert download(image, *options, "-f", "json").json["status"] == "resumed"
    assert is_whole(image)
    assert allocated(Path("out")) <= 2 * MIB + 4 * (1 << 16)


def test_only_a_raw_image_gets_holes(front: FaultProxy, store: Store, qcow2: Path) -> None:
    image = store(qcow2.read_bytes() + Z, disk_format="qcow2")
    download(image)
    assert is_whole(image)
    assert allocated(Path("out")) >= image.size


# the rate


@pytest.mark.parametrize("options", [(), ("--connections", 4)], ids=["", "connections"])
def test_limit_rate_takes_its_time(
    large: Stored, front: FaultProxy, options: tuple[object, ...]
) -> None:
    began = time.monotonic()
    download(large, "--limit-rate", "8M", *options)
    assert 1.4 < time.monotonic() - began < 5
    assert is_whole(large)


def test_limit_rate_is_for_all_images_together(
    front: FaultProxy, noise: Stored, store: Store
) -> None:
    other = store(os.urandom(SIZE), name="other")
    began = time.monotonic()
    run("image", "download", noise.id, other.id, ".", "--limit-rate", "4M")
    assert 1.4 < time.monotonic() - began < 5


# several images


@pytest.fixture(scope="module")
def pair(store: Store) -> list[Stored]:
    """Two images of 3 MiB with names of their own."""
    return [store(os.urandom(SIZE), name=name) for name in ("one", "two")]


def both_are_whole(pair: list[Stored]) -> bool:
    one, two = pair
    files = (Path("dir/one.raw").read_bytes(), Path("dir/two.raw").read_bytes())
    return files == (one.data, two.data) and here(Path("dir")) == ["one.raw", "two.raw"]


@pytest.fixture
def folder() -> Path:
    path = Path("dir")
    path.mkdir()
    return path


def test_several_images_go_into_a_directory(
    pair: list[Stored], front: FaultProxy, folder: Path
) -> None:
    argv = ("image", "download", *(image.id for image in pair), folder)
    first = run(*argv, "-f", "json").json
    assert [(it["id"], it["path"], it["status"]) for it in first] == [
        (pair[0].id, "dir/one.raw", "downloaded"),
        (pair[1].id, "dir/two.raw", "downloaded"),
    ]
    assert both_are_whole(pair)
    assert {it["status"] for it in run(*argv, "-f", "json").json} == {"unchanged"}
    assert run(*argv, "-q").lines == ["dir/one.raw", "dir/two.raw"]
    assert run(*argv).lines == [
        f"{pair[0].id}\tone\tdir/one.raw\tunchanged",
        f"{pair[1].id}\ttwo\tdir/two.raw\tunchanged",
    ]


def test_the_images_may_be_read_from_stdin(
    pair: list[Stored], front: FaultProxy, folder: Path
) -> None:
    rows = "".join(f"{image.id}\tanything\n" for image in pair).encode()
    run("image", "download", "-", "dir", stdin=rows)
    assert both_are_whole(pair)
    assert run("image", "download", "-", "-f", "json", stdin=b"").json == []
    result = run("image", "download", "-", "-f", "json", stdin=rows).json
    assert [it["path"] for it in result] == ["one.raw", "two.raw"]


def test_one_of_several_that_is_missing_stops_no_other(
    pair: list[Stored], front: FaultProxy, folder: Path
) -> None:
    one, two = pair
    result = run("image", "download", one.id, "nosuch", two.id, folder, "-f", "json", code=9)
    assert [it["name"] for it in result.json] == ["one", "two"]
    [failed] = json.loads(result.err.splitlines()[-1])["error"]["targets"]
    assert (failed["target"], failed["exit"]) == ("nosuch", 4)
    assert both_are_whole(pair)


def test_one_of_several_that_fails_stops_no_other(
    pair: list[Stored], front: FaultProxy, folder: Path
) -> None:
    one, two = pair
    front.add(f"{one.id}/file", times=None, cut=5)
    argv = ("--retries", 0, "image", "download", one.id, two.id, folder)
    error = run(*argv, code=9).err
    assert f"to be continued with: glancectl image download {one.id} dir/one.raw" in error
    assert here(folder) == [one.part("one.raw").name, "two.raw"]
    front.faults.clear()
    states = [it["status"] for it in run(*argv, "-f", "json").json]
    assert states == ["resumed", "unchanged"]
    assert both_are_whole(pair)


def test_two_images_with_one_file_name(
    front: FaultProxy, store: Store, noise: Stored, folder: Path
) -> None:
    other = store(os.urandom(SIZE))
    result = run("image", "download", noise.id, other.id, folder, "--jobs", 1, code=9)
    assert f"dir/x.raw is where image {noise.id} goes" in result.err
    assert Path("dir/x.raw").read_bytes() == noise.data
    assert here(folder) == ["x.raw"]


@pytest.mark.parametrize("dest", ["nowhere", "a-file", "-"])
def test_several_images_need_a_directory(pair: list[Stored], front: FaultProxy, dest: str) -> None:
    Path("a-file").touch()
    result = run("image", "download", *(image.id for image in pair), dest, code=2)
    assert f"several images need a directory to go to, and {dest} is none" in result.err
    assert front.requests == []


def test_several_images_are_one_bar_and_a_line_each(
    pair: list[Stored], front: FaultProxy, folder: Path
) -> None:
    front.add(FILE, times=2, stall=0.3)
    argv = ["image", "download", *(image.id for image in pair), "dir", "--limit-rate", "8M"]
    shown = on_a_terminal(*argv)
    *lines, last = [line.split("\r")[-1] for line in shown.split("\r\n")][:3]
    assert {line[:14] for line in lines} == {"one: 3.0 MiB i", "two: 3.0 MiB i"}
    assert last.startswith("2 images: 6.0 MiB in ")
    bars = re.findall(r"\r(\S+(?: \S+)*: downloading) ", shown)
    assert set(bars) == {"2 images: downloading"}
    assert both_are_whole(pair)


def on_a_terminal(*argv: str) -> str:
    """Run glancectl on a terminal and return all that it wrote there."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*GLANCECTL, *argv], stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown = b""
    with process, os.fdopen(leader, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while piece := screen.read(1 << 16):  # OSError: the other end is closed
            shown += piece
    assert process.returncode == 0
    return shown.decode()


# signals


SIGNALS = [signal.SIGINT, signal.SIGTERM]


def stopped(process: subprocess.Popen[bytes], signum: int) -> None:
    """Send a signal and wait: the process ends with it, within five seconds."""
    process.send_signal(signum)
    began = time.monotonic()
    process.wait(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 128 + signum


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_it_looks_up(
    noise: Stored, front: FaultProxy, tmp_path: Path, signum: signal.Signals
) -> None:
    front.add(RECORD, stall=20)
    with started("image", "download", noise.id, "out", err=tmp_path / "err") as process:
        wait_for(lambda: front.count(RECORD) == 1)
        stopped(process, signum)
    assert (tmp_path / "err").read_text() == f"glancectl: stopped by {signum.name}\n"
    assert here() == []


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("connections", [1, 4])
def test_a_signal_while_it_downloads(
    large: Stored, front: FaultProxy, tmp_path: Path, signum: signal.Signals, connections: int
) -> None:
    front.add(FILE, times=None, stall=20, stall_at=2 * MIB)
    err = tmp_path / "err"
    argv = ("image", "download", large.id, "out", "--connections", connections)
    with started(*argv, err=err) as process:
        wait_for(lambda: large.kept() >= connections * MIB)
        stopped(process, signum)
    assert f"glancectl: stopped by {signum.name}; " in err.read_text()
    assert f"are kept in {large.part()}, to be continued with: " in err.read_text()
    front.faults.clear()
    assert download(large, "-f", "json").json["status"] == "resumed"
    assert is_whole(large)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_between_two_tries(
    noise: Stored, front: FaultProxy, tmp_path: Path, signum: signal.Signals
) -> None:
    front.add(RANGED, status=503, headers={"Retry-After": "20"})
    front.add(FILE, cut=HALF)
    err = tmp_path / "err"
    with started("image", "download", noise.id, "out", err=err) as process:
        wait_for(lambda: "try 2 of 4" in err.read_text())
        stopped(process, signum)
    assert noise.kept() == HALF
    download(noise)
    assert is_whole(noise)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_it_waits_for_another(
    noise: Stored, front: FaultProxy, tmp_path: Path, signum: signal.Signals
) -> None:
    part = broken_off(front, noise)
    err = tmp_path / "err"
    with part.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with started("image", "download", noise.id, "out", err=err) as process:
            wait_for(lambda: f"waiting for another download of {part}" in err.read_text())
            stopped(process, signum)
    assert noise.kept() == HALF
    download(noise)
    assert is_whole(noise)
    assert starts(front) == [HALF]


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_it_verifies_what_was_kept(
    noise: Stored, front: FaultProxy, tmp_path: Path, token: str, signum: signal.Signals
) -> None:
    # A gigabyte takes a second or two to hash; the image that it would be of is not needed.
    size = 1 << 30
    answer_with(front, record_of(noise, front, token) | {"size": size})
    note = {"id": noise.id, "size": size, "digest": noise.digest, "spans": [[0, size - 1]]}
    with noise.part().open("wb") as file:
        file.seek(size)
        file.write(json.dumps(note).encode())
    err = tmp_path / "err"
    argv = ("--progress", "json", "image", "download", noise.id, "out")
    with started(*argv, err=err) as process:
        wait_for(lambda: '"phase": "downloading"' in err.read_text())
        stopped(process, signum)
    assert starts(front) == []
    assert f"1.0 GiB of 1.0 GiB are kept in {noise.part()}" in err.read_text()
    with noise.part().open("rb") as file:
        file.seek(size)
        assert json.loads(file.read()) == note


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_several_download(
    pair: list[Stored], front: FaultProxy, tmp_path: Path, folder: Path, signum: signal.Signals
) -> None:
    front.add(FILE, times=None, stall=20, stall_at=2 * MIB)
    err = tmp_path / "err"
    argv = ("image", "download", *(image.id for image in pair), "dir")
    with started(*argv, err=err) as process:
        wait_for(lambda: pair[0].kept("dir/one.raw") > 0 and pair[1].kept("dir/two.raw") > 0)
        stopped(process, signum)
    assert f"glancectl: stopped by {signum.name}; " in err.read_text()
    assert "what has arrived is kept" in err.read_text()
    front.faults.clear()
    assert {it["status"] for it in run(*argv, "-f", "json").json} == {"resumed"}
    assert both_are_whole(pair)


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_a_signal_under_no_resume_leaves_nothing(
    pair: list[Stored], front: FaultProxy, tmp_path: Path, folder: Path, several: bool
) -> None:
    front.add(FILE, times=None, stall=20, stall_at=2 * MIB)
    images = pair if several else pair[:1]
    argv = ("image", "download", *(image.id for image in images), "dir", "--no-resume")
    err = tmp_path / "err"
    with started(*argv, err=err) as process:
        wait_for(lambda: len(here(folder)) == len(images))
        stopped(process, signal.SIGTERM)
    assert "kept" not in err.read_text()
    assert here(folder) == []


@pytest.mark.parametrize(
    ("call", "number", "options"),
    [
        ("fsync", 1, []),
        ("fsync", 2, []),
        ("link", 1, []),
        ("unlink", 1, []),
        ("replace", 1, ["--overwrite"]),
        ("fsync", 3, []),
        ("fsync", 3, ["--overwrite"]),
    ],
)
def test_a_signal_when_all_has_come(
    noise: Stored,
    front: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    options: list[str],
) -> None:
    # Too short a moment to be hit: the system's own call brings the signal with it.
    real, calls = getattr(os, call), itertools.count(1)

    def signalled(*args: Any) -> None:
        real(*args)
        if next(calls) == number:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, signalled)
        download(noise, *options, code=143)
    assert not Path("out").exists() or Path("out").read_bytes() == noise.data
    assert next(calls) > number
    front.requests.clear()
    download(noise, *options)
    assert is_whole(noise)
    assert starts(front) == []


# two at once, killed and started again


def test_two_downloads_of_one_file_make_one_right_file(noise: Stored, front: FaultProxy) -> None:
    front.add(FILE, stall=1)
    command = [*GLANCECTL, "image", "download", noise.id, "out", "-f", "json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    states = []
    for process in running:
        with process:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            states.append(json.loads(out)["status"])
    assert sorted(states) == ["downloaded", "unchanged"]
    assert is_whole(noise)
    assert starts(front) == [None]


def test_the_one_that_waits_goes_on_with_what_the_killed_one_left(
    large: Stored, front: FaultProxy, tmp_path: Path
) -> None:
    command = ("image", "download", large.id, "out", "-f", "json")
    err = tmp_path / "err"
    with started(*command, "--connections", 4, "--limit-rate", "3M") as first:
        wait_for(lambda: large.kept() > 0)
        with started(*command, err=err) as second:
            wait_for(lambda: "waiting for another download" in err.read_text())
            first.kill()
            out, _ = second.communicate(timeout=30)
    assert json.loads(out)["status"] == "resumed"
    assert is_whole(large)


WAYS: list[tuple[object, ...]] = [
    (),
    ("--connections", 4),
    ("--sparse", "never"),
    ("--connections", 3, "--sparse", "never"),
    ("--no-verify",),
]


def test_killed_fifty_times_it_ends_identical(
    store: Store, front: FaultProxy, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    blocks = [chance.randbytes(MIB) if chance.random() < 0.6 else bytes(MIB) for _ in range(32)]
    image = store(b"".join(blocks) + b"the end")
    argv = ("image", "download", image.id, "out", "--limit-rate", "128M")
    err = tmp_path / "err"
    began = time.monotonic()
    run(*argv)
    longest = time.monotonic() - began
    kept = []
    while len(kept) < 50:
        if Path("out").exists():
            assert is_whole(image)
            Path("out").unlink()
        front.requests.clear()
        with started(*argv, *chance.choice(WAYS), err=err) as process:
            wait_for(lambda: front.count(FILE) > 0 or process.poll() is not None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, longest))
            process.kill()
        assert DOES_NOT_FIT not in err.read_text()
        if process.returncode != 0:
            assert process.returncode == -signal.SIGKILL
            kept.append(image.kept())
    print(f"kept {kept}")
    assert len(set(kept)) > 15
    download(image)
    assert is_whole(image)


def test_a_glance_that_is_killed_and_started_again_is_waited_for(
    own_glance: OwnGlance, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_TOKEN", token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", own_glance.url)
    image = put_image(own_glance.url, token, os.urandom(48 * MIB))
    ways = {"one": (), "four": ("--connections", 4)}
    running = []
    with contextlib.ExitStack() as stack:
        for dest, way in ways.items():
            argv = ("--retries", 8, "image", "download", image.id, dest, "--limit-rate", "24M")
            process = stack.enter_context(started(*argv, *way, err=tmp_path / dest))
            stack.callback(process.kill)
            wait_for(partial(image.kept, dest))
            process.send_signal(signal.SIGSTOP)  # or it would be done before the next has begun
            running.append(process)
        own_glance.kill(signal.SIGKILL)
        for process in running:
            process.send_signal(signal.SIGCONT)
        time.sleep(1)  # as long as each of the four has something in its buffer
        own_glance.start()
        assert [process.wait(60) for process in running] == [0, 0]
    for dest in ways:
        assert "try 1 of 8" in (tmp_path / dest).read_text()
        assert Path(dest).read_bytes() == image.data
    assert here() == ["four", "one"]
