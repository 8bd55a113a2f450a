"""image verify: data are compared with their record, and damage is seen wherever it is."""

import gzip
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import HTTP, Project, Sandbox, log_in, password_token, run
from faultproxy import FaultProxy

MIB = 1 << 20
FILE = "^GET .*/file"
RANGED = "^GET .*/file bytes="
RECORD = "^GET /v2/images/[^/]+$"


@dataclass(frozen=True)
class Stored:
    """An image in the cloud, and the data it was made of."""

    id: str
    data: bytes
    path: Path  # of the data, where the store has them

    @property
    def hex(self) -> str:
        return hashlib.sha512(self.data).hexdigest()

    def report(self, status: str = "ok", data: bytes | None = None) -> dict[str, object]:
        """What verify prints of it, or of ``data`` that are compared with it."""
        found = self.data if data is None else data
        digest = f"sha512:{hashlib.sha512(found).hexdigest()}"
        size = len(found)
        return {"id": self.id, "name": "x", "status": status, "size": size, "digest": digest}


Store = Callable[..., Stored]


@pytest.fixture(scope="module")
def token(sandbox: Sandbox) -> str:
    """A token of the project that has this module's images."""
    return password_token(Project(sandbox).env)


@pytest.fixture(scope="module")
def store(sandbox: Sandbox, token: str) -> Store:
    """Make an image without any of our code: ``store(data)``."""
    headers = {"X-Auth-Token": token}
    octets = {"Content-Type": "application/octet-stream"}

    def put(data: bytes) -> Stored:
        record = {"name": "x", "disk_format": "raw", "container_format": "bare"}
        made = HTTP.post(f"{sandbox.glance}/v2/images", json=record, headers=headers)
        image_id = made.json()["id"]
        url = f"{sandbox.glance}/v2/images/{image_id}/file"
        assert HTTP.put(url, content=data, headers=headers | octets).status_code == 204
        return Stored(image_id, data, sandbox.clouds_file.parent / "images" / "fast" / image_id)

    return put


@pytest.fixture(scope="module")
def noise(store: Store) -> Stored:
    """3 MiB and 7 bytes, no whole number of chunks."""
    return store(os.urandom(3 * MIB + 7))


@pytest.fixture
def front(sandbox: Sandbox, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A fault proxy in front of Glance; ``run`` goes through it, with ``token``."""
    made = FaultProxy(sandbox.glance)
    monkeypatch.setenv("OS_TOKEN", token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", made.url)
    yield made
    made.close()


def flipped(data: bytes, place: int = -1) -> bytes:
    """Return ``data`` with one byte another."""
    changed = bytearray(data)
    changed[place] ^= 0xFF
    return bytes(changed)


def lines(*refs: str) -> bytes:
    return "".join(f"{ref}\n" for ref in refs).encode()


def error_of(stderr: str) -> dict[str, Any]:
    """Return the error that is the last line of stderr, with ``-f json``."""
    found: dict[str, Any] = json.loads(stderr.splitlines()[-1])["error"]
    return found


# A file


@pytest.mark.parametrize("how", ["path", "stdin", "file URL", "web"])
def test_a_file_that_is_the_image_is_ok_and_nothing_is_downloaded(
    front: FaultProxy, noise: Stored, served: tuple[str, Path], how: str
) -> None:
    url, folder = served
    path = folder / "noise.raw"
    path.write_bytes(noise.data)
    spec = {"path": path, "stdin": "-", "file URL": f"file://{path}", "web": f"{url}/noise.raw"}
    done = run("image", "verify", noise.id, spec[how], "-f", "json", stdin=noise.data)
    assert done.json == noise.report()
    assert re.search(rf"3\.0 MiB in .*, sha512:{noise.hex}$", done.err)
    assert front.count(FILE) == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (flipped, "digest"),
        (lambda data: data[:-1], "size"),
        (lambda data: data + b"x", "size"),
        (lambda data: data[:0], "size"),
        (lambda data: data[:MIB] + data[MIB + 1 :] + b"x", "digest"),
    ],
    ids=["one byte", "shorter", "longer", "empty", "shifted"],
)
@pytest.mark.parametrize("how", ["path", "stdin"])
def test_a_file_that_differs_is_exit_10_with_both_digests(
    front: FaultProxy, noise: Stored, how: str, change: Callable[[bytes], bytes], what: str
) -> None:
    other = change(noise.data)
    Path("other.raw").write_bytes(other)
    spec = "other.raw" if how == "path" else "-"
    done = run("image", "verify", noise.id, spec, "-f", "json", stdin=other, code=10)
    assert done.json == noise.report("differs", other)
    error = error_of(done.err)
    name = "other.raw" if how == "path" else "stdin"
    assert (error["kind"], error["message"]) == (
        "differs", f"{name} is not the data of image {noise.id}",
    )  # fmt: skip
    digests = f"sha512 expected {noise.hex}, got {hashlib.sha512(other).hexdigest()}"
    sizes = f"size expected {len(noise.data)}, got {len(other)}; " if what == "size" else ""
    assert (error["cause"], error["hint"]) == (sizes + digests, None)
    assert front.count(FILE) == 0


def test_a_compressed_file_is_said_to_be_one(front: FaultProxy, noise: Stored) -> None:
    Path("noise.raw.gz").write_bytes(gzip.compress(noise.data, 1))
    done = run("image", "verify", noise.id, "noise.raw.gz", code=10)
    assert done.err.endswith(
        "  hint: it is compressed; unpacked: gzip -dc FILE | glancectl image verify IMAGE -\n"
    )


def test_a_file_is_found_wrong_before_anything_is_asked(front: FaultProxy, noise: Stored) -> None:
    assert "cannot read nosuch" in run("image", "verify", noise.id, "nosuch", code=1).err
    assert front.requests == []


def test_ids_on_stdin_and_a_file_are_refused(front: FaultProxy, noise: Stored) -> None:
    for file in ("noise.raw", "-"):
        done = run("image", "verify", "-", file, stdin=lines(noise.id), code=2)
        assert "a file is compared with one image, not with those on stdin" in done.err
    run("image", "verify", noise.id, noise.id, noise.id, code=2)
    run("image", "verify", "", code=2)
    run("image", "verify", code=2)
    assert front.requests == []


# What is stored


def test_stored_data_that_are_right_are_ok(front: FaultProxy, noise: Stored) -> None:
    done = run("image", "verify", noise.id, "-f", "json")
    assert done.json == noise.report()
    assert re.fullmatch(rf"x: 3\.0 MiB in .*, sha512:{noise.hex}\n", done.err)
    again = run("image", "verify", noise.id)
    assert again.out.splitlines() == [f"{key}\t{value}" for key, value in noise.report().items()]
    assert os.listdir() == []


@pytest.mark.parametrize("size", [0, 1, 2], ids=lambda size: f"{size} bytes")
def test_an_image_of_hardly_any_bytes_is_verified(
    front: FaultProxy, store: Store, size: int
) -> None:
    tiny = store(b"ab"[:size])
    assert run("image", "verify", tiny.id, "-f", "json").json == tiny.report()


def cut(stored: Stored) -> None:
    os.truncate(stored.path, 1000)


def empty(stored: Stored) -> None:
    os.truncate(stored.path, 0)


def flip(stored: Stored) -> None:
    stored.path.write_bytes(flipped(stored.data, 0))


def remove(stored: Stored) -> None:
    stored.path.unlink()


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (flip, "sha512 expected {right}, got {wrong}"),
        (cut, "the store does not have all of its 5000 bytes"),
        (empty, "the store does not have all of its 5000 bytes"),
        (remove, "the store has no data of it"),
    ],
    ids=["a byte changed", "cut off", "emptied", "gone"],
)
def test_damage_in_the_store_is_exit_6(
    front: FaultProxy, store: Store, damage: Callable[[Stored], None], cause: str
) -> None:
    image = store(os.urandom(5000))
    damage(image)
    done = run("image", "verify", image.id, "-f", "json", code=6)
    wrong = hashlib.sha512(flipped(image.data, 0)).hexdigest()
    known = {"size": 5000, "digest": f"sha512:{wrong}"}
    assert done.json == {
        "id": image.id, "name": "x", "status": "corrupt",
        **(known if damage is flip else dict.fromkeys(known)),
    }  # fmt: skip
    assert "going on" not in done.err
    error = error_of(done.err)
    assert error["message"] == f"the data of image {image.id} do not match its record"
    assert error["cause"] == cause.format(right=image.hex, wrong=wrong)
    assert error["hint"] == f"glancectl image deactivate {image.id} keeps it from being used"


def test_data_that_are_cut_off_are_seen_though_glance_keeps_the_connection(
    sandbox: Sandbox, token: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = store(os.urandom(5000))
    cut(image)
    monkeypatch.setenv("OS_TOKEN", token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", sandbox.glance)
    run("--timeout", 1, "image", "verify", image.id, code=6)


def test_the_image_cache_is_neither_believed_nor_filled(
    front: FaultProxy, sandbox: Sandbox, store: Store, token: str
) -> None:
    read, unread = store(os.urandom(5000)), store(os.urandom(5000))
    headers = {"X-Auth-Token": token}
    url = f"{sandbox.glance}/v2/images/{read.id}/file"
    HTTP.get(url, headers=headers)
    flip(read)
    assert HTTP.get(url, headers=headers).content == read.data  # out of the cache
    run("image", "verify", read.id, code=6)
    run("image", "verify", unread.id)
    answer = HTTP.get(f"{sandbox.glance}/v2/cache", headers={"X-Auth-Token": sandbox.admin_token})
    cached = {image["image_id"] for image in answer.json()["cached_images"]}
    assert {read.id, unread.id} & cached == {read.id}


def test_what_breaks_off_goes_on_where_it_stopped(front: FaultProxy, noise: Stored) -> None:
    front.add("bytes=[1-9].*-", cut=MIB, times=2, skip=1)
    done = run("image", "verify", noise.id, "-f", "json")
    assert done.json == noise.report()
    assert done.err.count("going on at") == 2
    asked = [int(found[1]) for r in front.requests if (found := re.search(r"bytes=(\d+)-", r))]
    assert asked[:3] == [len(noise.data) - 1, 0, 1]
    assert 1 < asked[3] < asked[4]
    assert len(asked) == 5


@pytest.mark.parametrize("fault", [{"status": 400}, {"no_range": True}], ids=["400", "200"])
def test_a_store_without_parts_is_read_as_a_whole(
    front: FaultProxy, noise: Stored, fault: dict[str, object]
) -> None:
    front.add(RANGED, times=None, **fault)
    done = run("image", "verify", noise.id, "-f", "json")
    assert done.json == noise.report()
    assert done.err.count("\n") == 1
    assert front.count(FILE) == 3


def test_a_byte_changed_on_the_way_is_exit_6(front: FaultProxy, noise: Stored) -> None:
    front.add("bytes=1-", flip=MIB)
    done = run("image", "verify", noise.id, "-f", "json", code=6)
    assert done.json == noise.report("corrupt", flipped(noise.data, MIB + 1))


@pytest.mark.parametrize(
    ("on", "fault"),
    [
        (RANGED, {"drop": True}),
        (RANGED, {"status": 503}),
        ("bytes=1-", {"cut": MIB}),
        (RANGED, {"cut": 0, "times": 1}),
    ],
    ids=["no answer", "503", "a network that breaks", "a network that broke once"],
)
def test_data_that_do_not_come_are_no_damage(
    front: FaultProxy, noise: Stored, on: str, fault: dict[str, object]
) -> None:
    front.add(on, **({"times": None} | fault))
    is_over = fault.get("times") == 1
    code = 0 if is_over else 5
    done = run("--retries", 0, "image", "verify", noise.id, "-f", "json", code=code)
    if not is_over:
        assert done.out == ""
        assert error_of(done.err)["kind"] == "unavailable"


@pytest.mark.parametrize(
    ("gone", "digest", "note"),
    [
        (("os_hash_algo", "os_hash_value"), "md5", ""),
        (
            ("os_hash_algo", "os_hash_value", "checksum"), None,
            "only the size was verified: the record has no digest",
        ),
    ],
    ids=["MD5 alone", "nothing"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["stored", "file"])
def test_the_record_of_an_old_cloud_is_taken_as_it_is(
    front: FaultProxy, noise: Stored, how: str, gone: tuple[str, ...], digest: str | None, note: str
) -> None:
    def without(body: bytes) -> bytes:
        return json.dumps(json.loads(body) | dict.fromkeys(gone)).encode()

    Path("noise.raw").write_bytes(noise.data)
    Path("other.raw").write_bytes(noise.data + b"x")
    front.add(RECORD, times=None, rewrite=without)
    file = ["noise.raw"] if how == "file" else []
    done = run("image", "verify", noise.id, *file, "-f", "json")
    expected = f"md5:{hashlib.md5(noise.data).hexdigest()}" if digest else None
    assert done.json == noise.report() | {"digest": expected}
    assert note in done.err
    error = error_of(run("image", "verify", noise.id, "other.raw", "-f", "json", code=10).err)
    sizes = f"size expected {len(noise.data)}, got {len(noise.data) + 1}"
    assert error["cause"].startswith(sizes)
    assert ("md5 expected" in error["cause"]) == bool(digest)


def test_an_image_without_data_is_refused(project: Project, raw: Path) -> None:
    image_id = run("image", "create", "empty", "--disk-format", "raw", "-q").out.strip()
    for file in ([], [raw]):
        error = error_of(run("image", "verify", "empty", *file, "-f", "json", code=1).err)
        assert error["message"] == f"image {image_id} has no data yet"
        assert error["cause"] == "its status is queued"


def test_a_deactivated_image_is_verified_as_far_as_the_cloud_lets_it(
    project: Project, admin: Project, raw: Path
) -> None:
    image_id = run("image", "create", "old", "--file", raw, "--disk-format", "raw", "-q").out
    run("image", "deactivate", "old")
    run("image", "verify", "old", raw)
    assert "deactivated" in run("image", "verify", "old", code=1).err
    assert (
        run("image", "verify", image_id.strip(), "-c", "status", user=admin).out == "status\tok\n"
    )


def test_an_unknown_image_is_exit_4(front: FaultProxy) -> None:
    Path("file").touch()
    for argv in (["nosuch"], ["nosuch", "file"]):
        assert run("image", "verify", *argv, code=4).out == ""


# Several


def test_several_are_all_verified_and_each_damage_is_named(front: FaultProxy, store: Store) -> None:
    images = [store(os.urandom(5000)) for _ in range(6)]
    flip(images[1])
    remove(images[4])
    refs = [image.id for image in images]
    stdin = lines(*refs[:3], "nosuch", *refs[3:], refs[0])
    done = run("image", "verify", "-", "-f", "json", stdin=stdin, code=9)
    assert [report["id"] for report in done.json] == refs
    assert [report["status"] for report in done.json] == (
        ["ok", "corrupt", "ok", "ok", "corrupt", "ok"]
    )
    assert done.json[0] == images[0].report()
    error = error_of(done.err)
    assert error["message"] == "3 of 7 targets failed"
    assert [(one["target"], one["exit"]) for one in error["targets"]] == [
        (refs[1], 6), ("nosuch", 4), (refs[4], 6),
    ]  # fmt: skip
    for jobs in (1, 8):
        options = ["-q", "--jobs", jobs]
        done = run("image", "verify", "-", *options, stdin=lines(*refs), code=9)
        assert done.lines == [refs[0], refs[2], refs[3], refs[5]]
    rows = run("image", "verify", "-", stdin=lines(refs[1], refs[4]), code=6).lines
    assert [row.split("\t")[:3] for row in rows] == [
        [refs[1], "x", "corrupt"], [refs[4], "x", "corrupt"],
    ]  # fmt: skip
    assert run("image", "verify", "-", "-f", "json", stdin=lines(refs[0])).json == [
        images[0].report()
    ]


def test_nothing_on_stdin_is_nothing_to_verify(front: FaultProxy) -> None:
    done = run("image", "verify", "-", "-f", "json")
    assert (done.out, done.err, front.requests) == ("[]\n", "", [])


# What is told


def test_one_image_is_printed_as_a_record_in_every_format(front: FaultProxy, noise: Stored) -> None:
    options = ["image", "verify", noise.id]
    assert run(*options, "-q").out == f"{noise.id}\n"
    assert run(*options, "-c", "status", "-f", "value").out == "ok\n"
    assert run(*options, "-f", "csv").lines[0] == "id,name,status,size,digest"
    assert "status  ok" in run(*options, "-f", "table").out
    assert "no column 'nosuch'" in run(*options, "-c", "nosuch", code=2).err


def test_one_that_differs_has_no_id_for_quiet(front: FaultProxy, noise: Stored) -> None:
    done = run("image", "verify", noise.id, "-", "-q", stdin=b"x", code=10)
    assert done.out == ""
    assert done.err.startswith("glancectl: error: stdin is not the data of image")


def test_progress_is_told_as_events(front: FaultProxy, noise: Stored) -> None:
    for file, first in (([], "downloading"), (["-"], "verifying")):
        argv = ["--progress", "json", "image", "verify", noise.id, *file]
        events = [json.loads(line) for line in run(*argv, stdin=noise.data).err.splitlines()]
        assert (events[0]["event"], events[0]["phase"]) == ("start", first)
        assert events[-1]["event"] == "done"
        assert events[-1]["bytes"] == len(noise.data)
        assert events[-1]["digest"] == f"sha512:{noise.hex}"


@pytest.mark.parametrize("file", [[], ["-"]], ids=["stored", "file"])
def test_the_rate_may_be_limited(front: FaultProxy, noise: Stored, file: list[str]) -> None:
    began = time.monotonic()
    run("image", "verify", noise.id, *file, "--limit-rate", "4M", stdin=noise.data)
    assert time.monotonic() - began > 0.6


def test_a_reader_may_compare_a_file_and_not_read_the_data(
    admin: Project, new_project: Callable[..., Project], raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = new_project(role="reader")
    options = ["--file", raw, "--disk-format", "raw", "--owner", reader.id]
    image_id = run("image", "create", "x", *options, "-q", user=admin).out.strip()
    log_in(reader, monkeypatch)
    run("image", "verify", image_id, raw)
    run("image", "verify", image_id, code=3)
