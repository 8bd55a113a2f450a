"""image publish: a name stands for a content, whatever was there before and whoever is at it."""

import contextlib
import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import HTTP, Project, Result, Sandbox, log_in, run, wait_for
from faultproxy import FaultProxy
from test_load import stored

from glancectl.api import Glance
from glancectl.auth import Login
from glancectl.clouds import Settings
from glancectl.flows import unfinished
from glancectl.rest import Rest

GLANCECTL = [sys.executable, "-m", "glancectl"]
RAW = ("--disk-format", "raw")
SIZE = 60_000  # bytes of what is published here
HALF = SIZE // 2
LARGE = 200_000  # bytes; more than are looked at when a file is opened
WRITES = "^(POST|PUT|PATCH|DELETE) /v2/"
LATER = 20.0  # seconds; longer than any test waits for

Record = dict[str, Any]
Served = tuple[str, Path]


@pytest.fixture(scope="module")
def member(sandbox: Sandbox) -> Project:
    return Project(sandbox)


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where logins are remembered from one test to the next."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def project(member: Project, logins: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One project for all tests here, each of which publishes names of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", logins)
    log_in(member, monkeypatch)
    return member


@pytest.fixture
def name() -> str:
    """A name that no image has."""
    return f"name-{uuid.uuid4().hex[:8]}"


def content(path: str = "a.raw", size: int = SIZE) -> Path:
    """Write a file of noise, another one each time, and return its path."""
    file = Path(path)
    file.write_bytes(os.urandom(size))
    return file


def publish(*argv: object, **how: Any) -> dict[str, Any]:
    """Run ``image publish`` with a raw source and return what it says was done."""
    done: dict[str, Any] = run("image", "publish", *argv, *RAW, "-f", "json", **how).json
    return done


def ask(project: Project, method: str, path: str, **how: Any) -> Any:
    """Ask Glance as an admin and without any of our code; return the body, if it is JSON."""
    headers = {"X-Auth-Token": project.sandbox.admin_token, **how.pop("headers", {})}
    answer = HTTP.request(method, f"{project.sandbox.glance}{path}", headers=headers, **how)
    assert answer.is_success, answer.text
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    return answer.json() if is_json else None


def shelf(project: Project, name: str) -> list[Record]:
    """Return the images of a name in a project, hidden ones too, in the order they were made."""
    found: list[Record] = []
    for hidden in ("false", "true"):
        query = f"owner={project.id}&os_hidden={hidden}&name=eq:{name}&visibility=all"
        found += ask(project, "GET", f"/v2/images?{query}")["images"]
    return sorted(found, key=rank)


def rank(record: Record) -> tuple[str, str]:
    return record["created_at"], record["id"]


def states(project: Project, name: str) -> dict[str, str]:
    """Return what each image of a name is, by id: ``active``, ``active, hidden`` and so on."""
    return {
        record["id"]: record["status"] + (", hidden" if record["os_hidden"] else "")
        for record in shelf(project, name)
    }


def sha512(file: Path) -> str:
    return hashlib.sha512(file.read_bytes()).hexdigest()


def is_of(record: Record, file: Path) -> bool:
    """Tell whether an image is active and finished, and has the data of a file."""
    is_finished = record["status"] == "active" and unfinished.MARK not in record
    return is_finished and record["os_hash_value"] == sha512(file)


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.err.splitlines()]


# Once and again


def test_the_first_run_creates_the_image_and_the_second_does_nothing(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    file = content()
    made = publish(name, file)
    [image] = shelf(project, name)
    assert made == {"action": "created", "image": image, "retired": []}
    assert is_of(image, file)
    assert (image["os_hidden"], image["container_format"]) == (False, "bare")
    assert proxy.count("^PUT") == 1
    proxy.requests.clear()
    assert publish(name, file) == {"action": "unchanged", "image": image, "retired": []}
    assert (proxy.count(WRITES), len(proxy.requests)) == (0, 2)


def test_another_content_makes_another_image_and_hides_the_first(
    project: Project, name: str
) -> None:
    first = publish(name, content("a.raw"))["image"]
    file = content("b.raw")
    done = publish(name, file)
    second = done["image"]
    assert done["action"] == "created"
    assert done["retired"] == [{"id": first["id"], "name": name, "action": "hidden"}]
    assert states(project, name) == {first["id"]: "active, hidden", second["id"]: "active"}
    assert is_of(second, file)
    again = publish(name, file)
    assert (again["action"], again["retired"]) == ("unchanged", [])


def test_only_what_was_given_is_compared_and_changed(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    file = content()
    first = publish(name, file, "--property", "kept=yes", "--tag", "old", "--min-disk", 3)["image"]
    change = ("--property", "color=red", "--tag", "new", "--min-ram", 64, "--protected")
    done = publish(name, file, *change)
    assert (done["action"], done["image"]["id"]) == ("updated", first["id"])
    [image] = shelf(project, name)
    assert image == done["image"]
    assert (image["kept"], image["color"], image["tags"]) == ("yes", "red", ["new"])
    assert (image["min_disk"], image["min_ram"], image["protected"]) == (3, 64, True)
    proxy.requests.clear()
    assert publish(name, file, *change)["action"] == "unchanged"
    assert publish(name, file)["action"] == "unchanged"
    assert proxy.count(WRITES) == 0
    publish(name, file, "--unprotected")  # so that the project can be emptied


def test_all_that_was_given_is_in_a_new_image(project: Project, name: str) -> None:
    file = content()
    Path("p.json").write_text('{"os_distro": "debian"}')
    given = ("--min-disk", 2, "--visibility", "shared", "--protected", "--tag", "t")
    more = ("--property", "a=b", "--properties-file", "p.json")
    done = publish(name, file, *given, *more, "--store", "slow")["image"]
    assert [done] == shelf(project, name)
    keys = ("min_disk", "visibility", "protected", "tags", "a", "os_distro", "stores")
    assert [done[key] for key in keys] == [2, "shared", True, ["t"], "b", "debian", "slow"]
    run("image", "update", done["id"], "--unprotected")


def test_the_same_bytes_in_another_format_are_another_image(project: Project, name: str) -> None:
    file = content()
    first = publish(name, file)["image"]
    other = ("--container-format", "compressed")
    done = publish(name, file, *other)
    assert (done["action"], done["retired"][0]["id"]) == ("created", first["id"])
    assert publish(name, file, *other)["action"] == "unchanged"


def test_a_hidden_image_is_staged_and_shown_without_being_sent_again(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    old, new = content("old.raw"), content("new.raw")
    first = publish(name, old)["image"]["id"]
    staged = publish(name, new, "--hidden", "--retire", "none")["image"]["id"]
    assert states(project, name) == {first: "active", staged: "active, hidden"}
    assert publish(name, new, "--hidden", "--retire", "none")["action"] == "unchanged"
    proxy.requests.clear()
    done = publish(name, new)
    assert (done["action"], done["image"]["id"]) == ("updated", staged)
    assert states(project, name) == {first: "active, hidden", staged: "active"}
    assert proxy.count("^PUT|^POST") == 0


def test_a_newer_image_that_somebody_has_hidden_is_left_alone(project: Project, name: str) -> None:
    good, bad = content("good.raw"), content("bad.raw")
    first, second = publish(name, good)["image"]["id"], publish(name, bad)["image"]["id"]
    run("image", "update", first, "--visible")
    run("image", "update", second, "--hidden")
    done = publish(name, good, "--retire", "delete")
    assert (done["action"], done["image"]["id"], done["retired"]) == ("unchanged", first, [])
    assert states(project, name) == {first: "active", second: "active, hidden"}


def test_what_was_retired_is_published_as_another_image(project: Project, name: str) -> None:
    old, new = content("old.raw"), content("new.raw")
    first, second = publish(name, old)["image"], publish(name, new)["image"]
    third = publish(name, old)["image"]
    assert states(project, name) == {
        first["id"]: "active, hidden",
        second["id"]: "active, hidden",
        third["id"]: "active",
    }
    assert is_of(third, old)


def test_a_retired_image_is_shown_again_when_there_is_no_other(project: Project, name: str) -> None:
    old, new = content("old.raw"), content("new.raw")
    first, second = publish(name, old)["image"]["id"], publish(name, new)["image"]["id"]
    run("image", "delete", second)
    done = publish(name, old)
    assert (done["action"], done["image"]["id"]) == ("updated", first)
    assert states(project, name) == {first: "active"}


# Which content it is


def digest(algorithm: str, file: Path) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, file.read_bytes()).hexdigest()}"


@pytest.mark.parametrize(
    ("algorithm", "is_packed", "is_noted"),
    [
        pytest.param("sha512", False, False, id="the-digest-that-glance-has"),
        pytest.param("md5", False, False, id="the-other-digest-that-glance-has"),
        pytest.param("sha256", False, True, id="another-digest"),
        pytest.param("sha512", True, True, id="of-the-packed-file"),
        pytest.param("sha256", True, True, id="another-of-the-packed-file"),
    ],
)
def test_a_url_whose_checksum_is_known_is_not_sent_again(
    project: Project,
    proxy: FaultProxy,
    served: Served,
    name: str,
    algorithm: str,
    is_packed: bool,
    is_noted: bool,
) -> None:
    url, folder = served
    file = folder / "disk"
    data = os.urandom(SIZE)
    file.write_bytes(gzip.compress(data) if is_packed else data)
    argv = (name, f"{url}/disk", "--checksum", digest(algorithm, file))
    made = publish(*argv)
    assert made["action"] == "created"
    [image] = shelf(project, name)
    assert image["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert ("glancectl_source" in image) == is_noted
    proxy.requests.clear()
    assert publish(*argv) == made | {"action": "unchanged"}
    assert proxy.count(WRITES) == 0


def test_a_checksum_file_is_as_good_as_the_checksum(
    project: Project, proxy: FaultProxy, served: Served, name: str
) -> None:
    url, folder = served
    file = content(str(folder / "disk.raw"))
    (folder / "SHA256SUMS").write_text(f"{digest('sha256', file).partition(':')[2]}  disk.raw\n")
    argv = (name, f"{url}/disk.raw", "--checksum", f"{url}/SHA256SUMS")
    publish(*argv)
    proxy.requests.clear()
    assert publish(*argv)["action"] == "unchanged"
    assert proxy.count(WRITES) == 0


def test_what_a_source_was_is_not_believed_of_other_data(
    project: Project, served: Served, name: str
) -> None:
    url, folder = served
    file = content(str(folder / "disk"))
    argv = (name, f"{url}/disk", "--checksum", digest("sha256", file))
    made = publish(*argv)["image"]
    run("image", "delete", made["id"])
    # As a snapshot of a server has it, which gets the properties of its image.
    other = run("image", "create", name, "--file", content("b.raw"), *RAW, "-q").out.strip()
    run("image", "update", other, "--property", f"glancectl_source={made['glancectl_source']}")
    assert is_of(publish(*argv)["image"], file)


def test_packed_and_unpacked_are_two_contents(project: Project, served: Served, name: str) -> None:
    url, folder = served
    file = folder / "disk.gz"
    file.write_bytes(gzip.compress(os.urandom(LARGE)))
    argv = (name, f"{url}/disk.gz", "--checksum", digest("sha256", file))
    packed = publish(*argv, "--decompress", "none")
    assert is_of(packed["image"], file)
    assert publish(*argv, "--decompress", "none")["action"] == "unchanged"
    unpacked = publish(*argv)
    assert unpacked["action"] == "created"
    assert unpacked["image"]["size"] == LARGE


def test_a_checksum_that_is_new_is_noted_for_the_next_run(
    project: Project, proxy: FaultProxy, served: Served, name: str
) -> None:
    url, folder = served
    file = content(str(folder / "disk"))
    made = run("image", "create", name, "--file", file, *RAW, "-q").out.strip()
    argv = (name, f"{url}/disk", "--checksum", digest("sha256", file))
    done = publish(*argv)
    assert (done["action"], done["image"]["id"]) == ("updated", made)
    assert states(project, name) == {made: "active"}
    assert proxy.count("^PUT") == 2
    assert publish(*argv)["action"] == "unchanged"
    assert proxy.count("^PUT") == 2


@pytest.mark.parametrize("kind", ["url", "pipe"])
def test_a_stream_that_is_there_already_is_deleted_again(
    project: Project, proxy: FaultProxy, served: Served, name: str, kind: str
) -> None:
    url, folder = served
    file = content(str(folder / "disk"))
    made = publish(name, file)["image"]
    proxy.requests.clear()
    if kind == "url":
        done = publish(name, f"{url}/disk")
    else:
        done = piped(file, "image", "publish", name, "-", *RAW, "-f", "json").json
    assert done == {"action": "unchanged", "image": made, "retired": []}
    assert [record["id"] for record in shelf(project, name)] == [made["id"]]
    assert (proxy.count("^PUT"), proxy.count("^DELETE")) == (1, 1)
    assert proxy.count("^PATCH") == 0


def test_a_stream_of_another_size_needs_no_comparing(
    project: Project, proxy: FaultProxy, served: Served, name: str
) -> None:
    url, folder = served
    publish(name, content())
    content(str(folder / "disk"), SIZE + 1)
    done = run("image", "publish", name, f"{url}/disk", *RAW, "--dry-run", "-f", "json")
    assert "only after" not in done.err
    assert done.json["action"] == "created"


def piped(file: Path, *argv: object) -> Result:
    """Run ``glancectl ARGV`` with a pipe for its stdin that gives the bytes of a file."""
    pipe = subprocess.PIPE
    command = [*GLANCECTL, *map(str, argv)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        out, err = process.communicate(file.read_bytes(), timeout=60)
    assert process.returncode == 0, err
    return Result(process.returncode, out, err.decode())


def test_a_packed_file_is_compared_by_what_it_unpacks_to(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    Path("a.raw.gz").write_bytes(gzip.compress(content("a.raw").read_bytes()))
    made = publish(name, "a.raw")["image"]
    proxy.requests.clear()
    assert publish(name, "a.raw.gz")["image"] == made
    assert proxy.count(WRITES) == 0


def test_stdin_from_a_file_is_read_before_anything_is_sent(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    file = content()
    publish(name, file)
    proxy.requests.clear()
    assert publish(name, "-", stdin=file.read_bytes())["action"] == "unchanged"
    assert proxy.count(WRITES) == 0


def test_a_file_that_is_not_what_its_checksum_says_changes_nothing(
    project: Project, name: str
) -> None:
    file = content()
    publish(name, file)
    before = shelf(project, name)
    wrong = f"sha256:{'0' * 64}"
    error = run("image", "publish", name, file, *RAW, "--checksum", wrong, code=6).err
    assert "does not match --checksum sha256" in error
    assert shelf(project, name) == before


# What becomes of older images

AMOUNT = 3  # older images of each name
RETIRED = {
    "hide": (("--retire", "hide"), ["hidden", "hidden", "hidden"]),
    "hide-keep-1": (("--keep", 1), ["hidden", "deleted", "deleted"]),
    "deactivate": (("--retire", "deactivate"), ["deactivated"] * 3),
    "deactivate-keep-2": (
        ("--retire", "deactivate", "--keep", 2),
        ["deactivated", "deactivated", "deleted"],
    ),
    "delete": (("--retire", "delete"), ["deleted"] * 3),
    "delete-keep-1": (("--retire", "delete", "--keep", 1), [None, "deleted", "deleted"]),
    "none": (("--retire", "none"), [None] * 3),
    "none-keep-0": (("--retire", "none", "--keep", 0), ["deleted"] * 3),
}
LEFT = {"hidden": "active, hidden", "deactivated": "deactivated", None: "active"}


@pytest.fixture(scope="module")
def shelves(member: Project) -> dict[str, list[str]]:
    """Images that were there before, by what their name begins with; their ids, newest first."""

    def make(name: str) -> Record:
        formats = {"disk_format": "raw", "container_format": "bare"}
        fields = {"name": name, "owner": member.id, **formats}
        made: Record = ask(member, "POST", "/v2/images", json=fields)
        binary = {"Content-Type": "application/octet-stream"}
        ask(member, "PUT", f"/v2/images/{made['id']}/file", content=b"old", headers=binary)
        return made

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, [name for name in RETIRED for _ in range(AMOUNT)]))
    made.sort(key=rank, reverse=True)
    return {name: [one["id"] for one in made if one["name"] == name] for name in RETIRED}


@pytest.mark.parametrize("case", RETIRED)
def test_older_images_are_retired_as_told(
    project: Project, proxy: FaultProxy, shelves: dict[str, list[str]], case: str
) -> None:
    options, actions = RETIRED[case]
    older = shelves[case]
    file = content()
    foreseen = publish(case, file, *options, "--dry-run")
    assert proxy.count(WRITES) == 0
    done = publish(case, file, *options)
    assert done["retired"] == [
        {"id": image_id, "name": case, "action": action}
        for image_id, action in zip(older, actions, strict=True)
        if action
    ]
    assert (foreseen["action"], foreseen["retired"]) == ("created", done["retired"])
    left = {
        image_id: LEFT[action]
        for image_id, action in zip(older, actions, strict=True)
        if action != "deleted"
    }
    assert states(project, case) == {done["image"]["id"]: "active", **left}
    proxy.requests.clear()
    assert publish(case, file, *options)["retired"] == []
    assert proxy.count(WRITES) == 0


def test_older_images_are_retired_when_the_content_is_there_already(
    project: Project, name: str
) -> None:
    file = content("new.raw")
    first = publish(name, content("old.raw"))["image"]["id"]
    publish(name, file)
    done = publish(name, file, "--retire", "delete")
    assert (done["action"], done["retired"]) == (
        "unchanged",
        [{"id": first, "name": name, "action": "deleted"}],
    )
    assert list(states(project, name)) == [done["image"]["id"]]


def test_a_protected_image_is_not_deleted_and_no_failure(project: Project, name: str) -> None:
    first = publish(name, content(), "--protected")["image"]["id"]
    done = run("image", "publish", name, content("b"), *RAW, "--retire", "delete", "-f", "json")
    assert done.json["retired"] == [{"id": first, "name": name, "action": "kept"}]
    assert f"image {first} is protected, so it was not deleted" in done.err
    assert states(project, name)[first] == "active"
    run("image", "update", first, "--unprotected")


def test_an_image_in_use_is_not_deleted_and_no_failure(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    first = publish(name, content())["image"]["id"]
    proxy.add("^DELETE", status=409, body=b"Image is in use")
    done = run("image", "publish", name, content("b"), *RAW, "--retire", "delete", "-f", "json")
    assert done.json["retired"] == [{"id": first, "name": name, "action": "kept"}]
    assert f"image {first} was not deleted: " in done.err
    publish(name, "b", "--retire", "delete")
    assert first not in states(project, name)


@pytest.mark.parametrize("status", [400, 404])
def test_an_image_that_another_job_deletes_at_that_moment_is_no_failure(
    project: Project, proxy: FaultProxy, name: str, status: int
) -> None:
    publish(name, content())
    words = b"Image status transition from deleted to deleted is not allowed"
    proxy.add("^DELETE", carry_out=True, status=status, body=words)
    done = publish(name, content("b"), "--retire", "delete")
    assert done["retired"] == []
    assert list(states(project, name)) == [done["image"]["id"]]


def test_what_goes_wrong_with_an_older_image_is_told_after_the_result(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    first = publish(name, content())["image"]["id"]
    proxy.add(f"^PATCH .*{first}", status=500, times=None)
    argv = ("--retries", 0, "image", "publish", name, content("b"), *RAW, "-q")
    failed = run(*argv, code=5)
    new = failed.out.strip()
    assert f"{name!r} is published all the same" in failed.err
    assert states(project, name) == {first: "active", new: "active"}
    proxy.faults.clear()
    assert run(*argv).out.strip() == new
    assert states(project, name) == {first: "active, hidden", new: "active"}


def test_images_of_other_projects_and_unready_ones_are_left_alone(
    project: Project, new_project: Callable[..., Project], name: str
) -> None:
    other = new_project()
    file = content()
    theirs = publish(name, file, "--visibility", "community", user=other)["image"]
    reserved = run("image", "create", name, *RAW, "-q").out.strip()
    done = publish(name, file, "--retire", "delete")
    assert (done["action"], done["retired"]) == ("created", [])
    assert shelf(other, name) == [theirs]
    assert states(project, name)[reserved] == "queued"


def test_an_admin_publishes_for_another_project(
    project: Project, admin: Project, name: str
) -> None:
    first = publish(name, content("old.raw"))["image"]["id"]
    file = content("new.raw")
    done = publish(name, file, "--owner", project.name, user=admin)
    assert done["image"]["owner"] == project.id
    assert states(project, name) == {first: "active, hidden", done["image"]["id"]: "active"}
    again = publish(name, file, "--owner", project.name, user=admin)
    assert again["action"] == "unchanged"


# Failures leave what was there


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param({"cut_request": HALF}, 5, id="cut"),
        pytest.param({"status": 413}, 1, id="refused"),
        pytest.param({"flip_request": HALF}, 6, id="changed-on-its-way"),
    ],
)
def test_an_upload_that_fails_leaves_what_was_there(
    project: Project, proxy: FaultProxy, name: str, fault: dict[str, object], code: int
) -> None:
    publish(name, content("old.raw"))
    before = shelf(project, name)
    proxy.add("^PUT", **fault)
    argv = ("image", "publish", name, content("new.raw"), *RAW, "--retire", "delete")
    assert "was removed" in run("--retries", 0, *argv, code=code).err
    assert shelf(project, name) == before


def test_the_old_image_is_there_until_the_new_one_is_seen(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    first = publish(name, content("old.raw"))["image"]["id"]
    proxy.requests.clear()
    second = publish(name, content("new.raw"), "--retire", "delete")["image"]["id"]
    writes = [request for request in proxy.requests if not request.startswith("GET")]
    assert [request.replace(first, "OLD").replace(second, "NEW") for request in writes] == [
        "POST /v2/images",
        "PUT /v2/images/NEW/file",
        "PATCH /v2/images/NEW",
        "DELETE /v2/images/OLD",
    ]


@contextlib.contextmanager
def started(*argv: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``glancectl ARGV`` beside the test."""
    command = [*GLANCECTL, *map(str, argv)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[bytes]", code: int = 0) -> Result:
    """Wait for a process that has to end with ``code``."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err.decode()
    return Result(process.returncode, out, err.decode())


@pytest.mark.parametrize(
    "fault", [{"lose_answer": True}, {"status": 503}], ids=["carried-out", "not-carried-out"]
)
def test_an_image_that_may_not_be_shown_is_told_and_set_right_by_the_next_run(
    project: Project, proxy: FaultProxy, name: str, fault: dict[str, object]
) -> None:
    first = publish(name, content("old.raw"))["image"]["id"]
    file = content("new.raw")
    proxy.add("^PATCH", **fault)
    with started("--retries", 0, "image", "publish", name, file, *RAW) as process:
        assert "the same command again sets that right" in ended(process, 5).err
    assert states(project, name)[first] == "active"
    new = publish(name, file)["image"]
    assert is_of(new, file)
    assert states(project, name) == {first: "active, hidden", new["id"]: "active"}


@pytest.mark.parametrize(
    ("fault", "code"), [({"status": 503}, 5), ({"stall": LATER}, 128 + signal.SIGTERM)]
)
def test_an_image_that_is_published_is_told_when_the_older_cannot_be_retired(
    project: Project, proxy: FaultProxy, name: str, fault: dict[str, object], code: int
) -> None:
    first = publish(name, content("old.raw"))["image"]["id"]
    file = content("new.raw")
    proxy.requests.clear()
    lists = "^GET /v2/images[?]"
    proxy.add(lists, skip=4, times=None, **fault)  # before the upload and after it, two each
    with started("--retries", 0, "image", "publish", name, file, *RAW) as process:
        wait_for(lambda: proxy.count(lists) == 5)
        if code != 5:
            process.send_signal(signal.SIGTERM)
        failed = ended(process, code)
    proxy.faults.clear()
    new = publish(name, file)
    assert new["retired"] == [{"id": first, "name": name, "action": "hidden"}]
    assert f"image {new['image']['id']} is published" in failed.err
    assert failed.out == ""


def test_a_signal_leaves_what_was_there(project: Project, proxy: FaultProxy, name: str) -> None:
    publish(name, content("old.raw"))
    before = shelf(project, name)
    proxy.requests.clear()
    proxy.add("^PUT", stall_request=HALF, stall=LATER)
    with started("image", "publish", name, content("new.raw"), *RAW) as process:
        wait_for(lambda: proxy.count("^PUT") == 1)
        process.send_signal(signal.SIGTERM)
        assert "was removed" in ended(process, 128 + signal.SIGTERM).err
    assert shelf(project, name) == before


# Jobs that were killed, and jobs at the same time


def begun(project: Project, proxy: FaultProxy, name: str) -> Record:
    """Let a job be killed while it uploads, and return the record that it leaves."""
    proxy.requests.clear()
    proxy.add("^PUT", stall_request=HALF, stall=LATER)
    with started("image", "publish", name, content("killed.raw"), *RAW, "--protected") as process:
        wait_for(lambda: proxy.count("^PUT") == 1)
        process.kill()
    [record] = [one for one in shelf(project, name) if unfinished.MARK in one]
    return record


def test_what_a_killed_job_leaves_is_hidden_and_removed_by_the_next(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    left = begun(project, proxy, name)
    assert (left["status"] in ("saving", "queued"), left["os_hidden"]) == (True, True)
    assert left["protected"] is False  # so that it can be deleted
    file = content()
    told = run("--progress", "json", "image", "publish", name, file, *RAW, "-q")
    changes = [(e["action"], e["id"]) for e in events(told) if e["event"] == "change"]
    new = told.out.strip()
    assert changes == [("deleted", left["id"]), ("created", new), ("finished", new)]
    assert states(project, name) == {new: "active"}


def test_what_a_job_that_runs_has_begun_is_not_disturbed(
    project: Project, proxy: FaultProxy, name: str
) -> None:
    proxy.requests.clear()
    proxy.add("^PUT", stall_request=HALF, stall=LATER)
    with started("image", "publish", name, content("slow.raw"), *RAW) as process:
        wait_for(lambda: proxy.count("^PUT") == 1)
        [slow] = shelf(project, name)
        assert slow[unfinished.MARK].split(" ")[2] == str(process.pid)
        new = publish(name, content())["image"]["id"]
        assert set(states(project, name)) == {slow["id"], new}


@pytest.mark.parametrize(
    ("mark", "hours", "is_removed"),
    [
        pytest.param("publish elsewhere 1 1", 11, False, id="elsewhere-today"),
        pytest.param("publish elsewhere 1 1", 13, True, id="elsewhere-yesterday"),
        pytest.param("publish", 13, True, id="nothing-is-told"),
        pytest.param("copy elsewhere 1 1", 13, False, id="of-another-verb"),
        pytest.param("publish {here} {pid} {start}", 13, False, id="this-process"),
        pytest.param("publish {here} {pid} 1", 0, True, id="another-process-of-that-number"),
        pytest.param("publish {here} 9999999999 1", 0, True, id="no-process-of-that-number"),
        pytest.param("publish {here} ../../etc 1", 0, True, id="no-number"),
    ],
)
def test_who_works_on_an_image_is_told_by_its_mark_and_its_age(
    project: Project, name: str, mark: str, hours: int, is_removed: bool
) -> None:
    _, here, pid, start = unfinished.mark("publish")[unfinished.MARK].split(" ")
    text = mark.format(here=here, pid=pid, start=start)
    made = run("image", "create", name, "--property", f"glancectl_job={text}", "-q").out.strip()
    [record] = shelf(project, name)
    changed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - hours * 3600))
    with contextlib.closing(Glance(Rest(Login(Settings())))) as glance:
        old = [record | {"updated_at": changed}]
        unfinished.remove_abandoned(glance, old, "publish", print, lambda *_: None)
    assert (made not in states(project, name)) == is_removed


@pytest.mark.parametrize(
    ("retire", "is_same"), [("delete", False), ("hide", True)], ids=["other", "the-same"]
)
def test_an_older_image_that_is_ready_later_gives_way_to_the_newer(
    project: Project, name: str, retire: str, is_same: bool
) -> None:
    slow, fast = content("slow.raw"), content("fast.raw")
    if is_same:
        fast.write_bytes(slow.read_bytes())
    options = (*RAW, "--retire", retire, "-f", "json")
    with started("image", "publish", name, slow, *options, "--limit-rate", "40K") as process:
        wait_for(lambda: bool(shelf(project, name)))
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)  # of images made in one second, the newer one is that of the greater id
        newer = run("image", "publish", name, fast, *options).json["image"]["id"]
        process.send_signal(signal.SIGCONT)
        done = ended(process)
    [current] = shelf(project, name)
    assert current["id"] == newer
    assert is_of(current, fast)
    if is_same:
        assert (done.json["action"], done.json["image"]["id"]) == ("unchanged", newer)
    else:
        own = done.json["image"]["id"]
        assert done.json["retired"] == [{"id": own, "name": name, "action": "deleted"}]
        assert f"image {newer} is newer" in done.err


RECORD = Callable[[str, object], None]


@pytest.mark.reliability("jobs that publish one name at the same time")
def test_jobs_at_the_same_time_end_with_one_image(
    project: Project, name: str, full_scale: bool, record_property: RECORD
) -> None:
    chance = random.Random(7)
    rounds, jobs = (30, 4) if full_scale else (4, 3)
    for number in range(rounds):
        files = [content(f"{job}.raw") for job in range(jobs)]
        if number % 2:  # as when one change starts two pipelines
            files[1].write_bytes(files[0].read_bytes())
        retire = ("hide", "delete")[number // 2 % 2]
        with contextlib.ExitStack() as stack:
            running = []
            for file in files:
                argv = ("image", "publish", name, file, *RAW, "--retire", retire, "-q")
                running.append(stack.enter_context(started(*argv)))
                time.sleep(chance.uniform(0, 0.1))
            for process in running:
                ended(process)
        found = shelf(project, name)
        assert [one for one in found if unfinished.MARK in one] == []
        [shown] = [one for one in found if not one["os_hidden"]]
        assert any(is_of(shown, file) for file in files)
        assert shown == found[-1]
        assert retire == "hide" or len(found) == 1
    record_property("tried", rounds * jobs)


@pytest.mark.reliability("jobs that publish, killed at any moment")
def test_killed_again_and_again_there_is_an_image_always_and_no_other_in_the_end(
    project: Project,
    proxy: FaultProxy,
    name: str,
    full_scale: bool,
    record_property: RECORD,
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    before = stored(project.sandbox)
    argv = ("image", "publish", name, "next.raw", *RAW, "--retire", "delete")
    publish(name, content("next.raw"))
    time.sleep(1)  # else the next one waits that long
    content("next.raw")
    longest = lasting(proxy, *argv)
    published = [sha512(Path("next.raw"))]
    newest, kills, ways = 0, 0, set()
    while kills < (150 if full_scale else 30):
        published.append(sha512(content("next.raw")))
        proxy.requests.clear()
        with started(*argv) as process:
            wait_for(lambda: bool(proxy.requests) or process.poll() is not None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, longest))
            process.kill()
        kills += process.returncode == -signal.SIGKILL
        found = shelf(project, name)
        ways.add(tuple(record["status"] + str(unfinished.MARK in record) for record in found))
        shown = [record for record in found if not record["os_hidden"]]
        assert [unfinished.MARK in record for record in shown] == [False] * len(shown)
        assert published.index(shown[-1]["os_hash_value"]) >= newest
        newest = published.index(shown[-1]["os_hash_value"])
    print(f"left {ways}")
    assert len(ways) > 3
    time.sleep(1)  # what the last of them has asked for may still be carried out
    run(*argv)
    [image] = shelf(project, name)
    assert is_of(image, Path("next.raw"))
    with contextlib.suppress(AssertionError):  # Glance notices later that a client has gone
        wait_for(lambda: stored(project.sandbox) - before == {f"fast/{image['id']}"})
    assert stored(project.sandbox) - before == {f"fast/{image['id']}"}
    record_property("tried", kills)


def lasting(proxy: FaultProxy, *argv: object) -> float:
    """Return how many seconds a command takes in a process of its own from its first request on."""
    proxy.requests.clear()
    with started(*argv) as process:
        wait_for(lambda: bool(proxy.requests))
        began = time.monotonic()
        ended(process)
    return time.monotonic() - began


# What is printed


def test_other_formats_print_the_record(project: Project, name: str) -> None:
    file = content()
    image_id = run("image", "publish", name, file, *RAW, "-q").out.strip()
    argv = ("image", "publish", name, file, *RAW)
    assert run(*argv, "-c", "id", "-c", "status", "-f", "value").lines == [image_id, "active"]
    assert run(*argv).lines[0] == f"id\t{image_id}"
    assert run(*argv, "-f", "json", "-c", "id").json == {"id": image_id}
    assert run(*argv, "-f", "jsonl").json["action"] == "unchanged"
    assert run(*argv, "-f", "yaml").lines[0] == "action: unchanged"
    assert "status" in run(*argv, "-f", "table").out


def test_people_are_told_each_change(project: Project, name: str) -> None:
    first = run("image", "publish", name, content(), *RAW, "-q").out.strip()
    done = run("image", "publish", name, content("b"), *RAW, "-f", "json")
    new = done.json["image"]["id"]
    told = [line for line in done.err.splitlines() if not line.startswith(f"{name}: ")]
    assert told == [f"hidden {first} ({name})"]  # the new one is the result
    hashed = f"{name}: hashed 58.6 KiB in "
    assert f"{name}: 58.6 KiB in " in done.err
    assert hashed not in done.err
    again = run("image", "publish", name, "b", *RAW)
    first_line, *more = again.err.splitlines()
    assert first_line.startswith(hashed)  # and not sent
    assert more == [f"image {new} has this content already"]
    assert run("image", "publish", name, "b", *RAW, "-q").err == ""


def test_each_change_is_an_event(project: Project, name: str) -> None:
    first = run("image", "publish", name, content(), *RAW, "-q").out.strip()
    argv = ("--progress", "json", "image", "publish", name)
    done = run(*argv, content("b"), *RAW, "-q")
    new = done.out.strip()
    changes = [event for event in events(done) if event["event"] == "change"]
    assert changes == [
        {"event": "change", "action": action, "id": image_id, "name": name}
        for action, image_id in [("created", new), ("finished", new), ("hidden", first)]
    ]
    phases = [event["phase"] for event in events(done) if event["event"] in ("start", "phase")]
    assert phases == ["hashing", "uploading", "server is storing", "verifying"]


def test_a_dry_run_says_what_would_be_done(
    project: Project, proxy: FaultProxy, served: Served, name: str
) -> None:
    url, folder = served
    file = content(str(folder / "disk"))
    dry = (name, file, "--dry-run")
    foreseen = publish(*dry, "--tag", "t")
    assert (foreseen["action"], foreseen["retired"]) == ("created", [])
    expected = {"id": None, "name": name, "disk_format": "raw", "tags": ["t"], "os_hidden": False}
    assert expected.items() <= foreseen["image"].items()
    assert unfinished.MARK not in foreseen["image"]
    made = publish(name, file)["image"]
    proxy.requests.clear()
    assert publish(*dry) == {"action": "unchanged", "image": made, "retired": []}
    changed = publish(*dry, "--tag", "t")
    assert (changed["action"], changed["image"]) == ("updated", made | {"tags": ["t"]})
    unknown = run("image", "publish", name, f"{url}/disk", *RAW, "--dry-run", "-f", "json")
    assert unknown.json["action"] == "created"
    assert "disk holds is known only after an upload\nan image would be created" in unknown.err
    assert f"image {made['id']} would be hidden" in unknown.err
    assert proxy.count(WRITES) == 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["", "a.raw"], "a name or id cannot be empty"),
        (["x", "a.raw", "--keep", -1], "--keep"),
        (["x", "a.raw", "--retire", "burn"], "--retire"),
        (["x", "a.raw", "--property", "glancectl_job=x"], "is set by glancectl itself"),
        (["x", "a.raw", "--tag", ""], "a tag cannot be empty"),
        (["--name", "x", "a.raw"], "<name> is an argument"),
    ],
    ids=["name", "keep", "retire", "property", "tag", "option"],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    project: Project, proxy: FaultProxy, argv: Sequence[object], said: str
) -> None:
    content()
    assert said in run("image", "publish", *argv, code=2).err
    assert proxy.requests == []


def test_a_bare_token_needs_to_be_told_the_project(
    project: Project, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = run("auth", "token").out.strip()
    for variable in project.env:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("OS_TOKEN", token)
    argv = ("--endpoint", project.sandbox.glance, "image", "publish", name, content(), *RAW)
    assert "which project is yours cannot be told" in run(*argv, code=3).err
    run(*argv, "--owner", project.id, "--no-check")
    assert list(states(project, name).values()) == ["active"]
