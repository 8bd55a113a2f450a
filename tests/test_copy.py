"""image copy: what becomes of an image in another cloud, region, project or store.

``here`` is the cloud of all tests, ``there`` another one with a Keystone of its own; before each
stands a fault proxy. What became of them is asked for without any of our code.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
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
from test_transfer import GLANCECTL

from glancectl import sandbox as sandboxes

MIB = 1 << 20
TICK = 1.1  # seconds until a record that is made now is younger: Glance keeps whole ones
SIZE = 3 * MIB + 7  # bytes of the data, no whole number of chunks
FILE = "^GET .*/file"
CHANGES = "^(POST|PUT|PATCH|DELETE)"
OCTETS = {"Content-Type": "application/octet-stream"}
RAW = {"disk_format": "raw", "container_format": "bare"}
WEST = "RegionWest"

Record = dict[str, Any]


@dataclass
class Cloud:
    """A cloud as one project of it sees it, through any client."""

    project: Project
    proxy: FaultProxy
    token: str

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Send a request to its Glance, past the proxy, and return the answer."""
        headers = {"X-Auth-Token": self.token, **more.pop("headers", {})}
        url = f"{self.project.sandbox.glance}/v2/{path}"
        answer = HTTP.request(method, url, headers=headers, **more)
        assert answer.is_success, answer.text
        return answer

    def images(self) -> list[Record]:
        """Return all images of the project, hidden ones included."""
        return [
            image
            for hidden in ("false", "true")
            for image in self.ask("GET", f"images?os_hidden={hidden}").json()["images"]
            if image["owner"] == self.project.id
        ]

    def only(self) -> Record:
        """Return the one image there is."""
        [image] = self.images()
        return dict(image)

    def has(self, data: bytes) -> bool:
        """Tell whether there is one image, whole and finished, and it has these data."""
        image = self.only()
        assert image["os_hash_value"] == hashlib.sha512(data).hexdigest()
        assert self.ask("GET", f"images/{image['id']}/file").content == data
        is_marked = any(key.startswith("glancectl_") for key in image)
        return (image["status"], is_marked, image["os_hidden"]) == ("active", False, False)

    def add(self, data: bytes, **fields: object) -> str:
        """Make an image, and return its id."""
        record = self.ask("POST", "images", json={"name": "noise", **RAW, **fields}).json()
        image_id = str(record["id"])
        self.ask("PUT", f"images/{image_id}/file", content=data, headers=OCTETS)
        return image_id

    def set(self, image_id: str, key: str, *, value: object) -> None:
        """Change a field of an image's record."""
        patch = [{"op": "replace", "path": f"/{key}", "value": value}]
        kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        self.ask("PATCH", f"images/{image_id}", json=patch, headers=kind)

    def clear(self) -> None:
        """Delete all images of the project."""
        for image in self.images():
            if image["protected"]:
                self.set(image["id"], "protected", value=False)
            self.ask("DELETE", f"images/{image['id']}")


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Another cloud: a Keystone and a Glance that the first know nothing of."""
    state = str(tmp_path_factory.mktemp("second"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", state)
        status = sandboxes.up(print)
        token = password_token(sandboxes.environment("sandbox-admin"))
    keystone, clouds = str(status["keystone"]), Path(status["state"]) / "clouds.yaml"
    answer = HTTP.get(f"{keystone}/roles", headers={"X-Auth-Token": token})
    roles = {role["name"]: role["id"] for role in answer.json()["roles"]}
    yield Sandbox(keystone, str(status["glance"]), clouds, token, roles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", state)
        sandboxes.down(purge=True)


@contextlib.contextmanager
def cloud(sandbox: Sandbox) -> Iterator[Cloud]:
    project, proxy = Project(sandbox), FaultProxy(sandbox.glance)
    yield Cloud(project, proxy, password_token(project.env))
    proxy.close()


@pytest.fixture(scope="module")
def both(sandbox: Sandbox, second: Sandbox) -> Iterator[tuple[Cloud, Cloud]]:
    with cloud(sandbox) as here, cloud(second) as there:
        yield here, there


@pytest.fixture(scope="module")
def home(both: tuple[Cloud, Cloud], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose clouds.yaml has ``there``, and where logins are remembered."""
    folder = tmp_path_factory.mktemp("home")
    config = folder / ".config" / "openstack"
    config.mkdir(parents=True)
    clouds = {"there": entry(both[1].project, image_endpoint_override=both[1].proxy.url)}
    (config / "clouds.yaml").write_text(yaml.safe_dump({"clouds": clouds}))
    return folder


def entry(project: Project, **more: object) -> dict[str, object]:
    """Return an entry of clouds.yaml that logs in as a project's user."""
    names = ("username", "password", "project_name", "user_domain_name", "project_domain_name")
    auth = {name: project.env[f"OS_{name.upper()}"] for name in names}
    auth["auth_url"] = project.env["OS_AUTH_URL"]
    return {"auth": auth, "region_name": "RegionOne", **more}


@pytest.fixture
def here(both: tuple[Cloud, Cloud], home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud that the variables name."""
    log_in(both[0].project, monkeypatch)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", both[0].proxy.url)
    monkeypatch.setenv("HOME", str(home))
    yield both[0]
    tidy(both[0])


@pytest.fixture
def there(both: tuple[Cloud, Cloud], here: Cloud) -> Iterator[Cloud]:
    """The cloud ``there`` of clouds.yaml."""
    yield both[1]
    tidy(both[1])


@pytest.fixture
def stranger(second: Sandbox) -> Iterator[Cloud]:
    """Another project of the cloud ``there``."""
    with cloud(second) as made:
        yield made
        made.clear()


def tidy(cloud: Cloud) -> None:
    cloud.proxy.faults.clear()
    cloud.proxy.requests.clear()
    cloud.clear()


@pytest.fixture
def data() -> bytes:
    """Noise that no other test has."""
    return os.urandom(SIZE)


def copied(*argv: object, **how: Any) -> Result:
    """Run ``image copy … --to-cloud there``, with short patience."""
    patience = ("--retries", 1, "--timeout", 5)
    return run(*patience, "image", "copy", *argv, "--to-cloud", "there", **how)


def error_of(result: Result) -> Record:
    """Return the error that a run with ``-f json`` ended with."""
    error: Record = json.loads(result.err.splitlines()[-1])["error"]
    return error


# what a copy is


def test_a_copy_has_the_data_and_what_describes_them(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    own = {"os_distro": "ubuntu", "a~b/c": "ü\u202e", "empty": ""}
    kept = {"name": "odd: näme/..", "min_disk": 3, "min_ram": 5, **own, **RAW}
    image_id = here.add(data, **kept, tags=["a", "b/ü"], visibility="shared", protected=True)
    record = copied(image_id, "-f", "json").json
    assert there.has(data)
    assert there.only() == record
    assert {key: record[key] for key in kept} == kept
    assert sorted(record["tags"]) == ["a", "b/ü"]
    assert (record["visibility"], record["protected"]) == ("private", False)
    assert record["owner"] == there.project.id
    assert set(record) == set(here.only())


def test_a_copy_is_read_once_and_written_once(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    made = copied("noise", "-q").out.strip()
    assert [request for request in here.proxy.requests if "/file" in request] == [
        f"GET /v2/images/{image_id}/file"
    ]
    assert here.proxy.count(CHANGES) == 0
    assert [request for request in there.proxy.requests if not request.startswith("GET")] == [
        "POST /v2/images", f"PUT /v2/images/{made}/file", f"PATCH /v2/images/{made}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("--name other", "name", "other"),
        ("--visibility community", "visibility", "community"),
        ("--protected", "protected", True),
        ("--store slow", "stores", "slow"),
    ],
)
def test_an_option_says_what_the_copy_becomes(
    here: Cloud, there: Cloud, data: bytes, options: str, field: str, value: object
) -> None:
    copied(here.add(data), *options.split())
    assert there.only()[field] == value
    assert there.has(data)


def test_a_hidden_image_stays_hidden(here: Cloud, there: Cloud, data: bytes) -> None:
    copied(here.add(data, os_hidden=True))
    assert there.only()["os_hidden"]


def test_what_is_of_the_original_alone_is_not_copied(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    policy = "cinder_encryption_key_deletion_policy"
    image_id = here.add(data, glancectl_source="x", **{policy: "on_image_deletion"})
    assert f"property '{policy}' of image {image_id} is not copied" in copied(image_id).err
    assert there.has(data)
    assert policy not in there.only()


def test_what_was_done_is_in_the_journal(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    how = ("--progress", "json", "image", "copy", image_id, "--to-cloud", "there", "-q")
    result = run(*how)
    events = [json.loads(line) for line in result.err.splitlines()]
    assert [
        (event["action"], event["id"], event["name"])
        for event in events
        if event["event"] == "change"
    ] == [(action, result.out.strip(), "noise") for action in ("created", "finished")]


def test_members_are_copied_when_asked_for(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data, visibility="shared")
    members = ["0" * 32, "1" * 32]
    for member in members:
        here.ask("POST", f"images/{image_id}/members", json={"member": member})
    copied(image_id)
    assert there.only()["visibility"] == "private"
    there.clear()
    copied(image_id, "--members", "--no-check")
    record = there.only()
    assert record["visibility"] == "shared"
    found = there.ask("GET", f"images/{record['id']}/members").json()["members"]
    assert sorted(member["member_id"] for member in found) == members


def test_an_image_without_data_is_refused_before_anything_is_made(
    here: Cloud, there: Cloud
) -> None:
    queued = here.ask("POST", "images", json={"name": "queued", **RAW}).json()["id"]
    assert f"image {queued} has no data yet\n  cause: its status is queued" in (
        copied(queued, code=1).err
    )
    assert "is empty" in copied(here.add(b""), code=1).err
    assert there.proxy.count(CHANGES) == 0


# what is there already


@pytest.mark.parametrize("fields", [{}, {"name": "other"}, {"os_hidden": True}], ids=str)
def test_nothing_is_sent_where_an_image_has_the_data_already(
    here: Cloud, there: Cloud, data: bytes, fields: Record
) -> None:
    image_id, found = here.add(data), there.add(data, **fields)
    result = copied(image_id, "--if-missing", "-q")
    assert (result.out, result.err) == (f"{found}\n", "")
    assert there.proxy.count(CHANGES) == 0
    assert here.proxy.count(FILE) == 0


def test_a_copy_that_is_run_again_does_nothing(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    first = copied(image_id, "--if-missing", "-f", "json").json
    there.proxy.requests.clear()
    result = copied(image_id, "--if-missing", "-f", "json")
    assert result.json == first
    assert f"the data of image {image_id} are there already, as image {first['id']}" in result.err
    assert there.proxy.count(CHANGES) == 0
    assert there.has(data)


@pytest.mark.parametrize("other", ["data", "project", "status"])
def test_an_image_that_is_another_is_not_there_already(
    here: Cloud, there: Cloud, stranger: Cloud, data: bytes, other: str
) -> None:
    image_id = here.add(data)
    if other == "data":
        there.add(data[::-1])
    elif other == "project":
        stranger.add(data, visibility="community")
    else:
        there.ask("POST", f"images/{there.add(data)}/actions/deactivate")
    made = copied(image_id, "--if-missing", "-q").out.strip()
    assert f"PUT /v2/images/{made}/file" in there.proxy.requests


def test_clouds_that_hash_differently_are_compared_by_md5(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    image_id, found = here.add(data), there.add(data)
    hashes_with(there, "sha256", data)
    assert copied(image_id, "--if-missing", "-q").out == f"{found}\n"


# several


def test_several_are_copied_and_each_failure_is_told(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    ids = [here.add(data[:MIB] + bytes([number]), name=f"n{number}") for number in range(3)]
    there.proxy.add("^PUT", status=413)
    result = copied(
        "-", "-f", "json", "--jobs", 1, stdin="\n".join([*ids, "nosuch"]).encode(), code=9
    )
    assert [record["name"] for record in result.json] == ["n1", "n2"]
    failed = [(target["target"], target["exit"]) for target in error_of(result)["targets"]]
    assert failed == [(ids[0], 1), ("nosuch", 4)]
    assert sorted(image["name"] for image in there.images()) == ["n1", "n2"]


def test_of_several_too_all_that_was_there_is_told(here: Cloud, there: Cloud, data: bytes) -> None:
    ids = [here.add(data[:1000] + bytes([number]), name=f"n{number}") for number in range(2)]
    copied(ids[0])
    done = copied(*ids, "--if-missing", "-f", "jsonl")
    [there_already] = [i["id"] for i in there.images() if i["name"] == "n0"]
    lines = [line for line in done.err.splitlines() if " in " not in line]
    assert lines == [f"the data of image {ids[0]} are there already, as image {there_already}"]


# what breaks in reading


@pytest.mark.parametrize(
    ("faults", "asked"),
    [
        ([{"cut": MIB}], ["whole", "rest"]),
        ([{"cut": MIB}, {"cut": MIB}], ["whole", "rest", "rest"]),
        ([{"cut": MIB}, {"no_range": True}], ["whole", "rest", "whole"]),
        ([{"status": 503}], ["whole", "whole"]),
        ([{"drop_length": True}], ["whole"]),
    ],
    ids=["cut", "cut twice", "no ranges", "503", "no length"],
)
def test_reading_goes_on_where_it_broke(
    here: Cloud, there: Cloud, data: bytes, faults: list[Record], asked: list[str]
) -> None:
    image_id = here.add(data)
    for fault in faults:
        here.proxy.add(FILE, **fault)
    copied(image_id)
    assert there.has(data)
    reads = [request for request in here.proxy.requests if "/file" in request]
    starts = [int(read.partition(" bytes=")[2].partition("-")[0] or 0) for read in reads]
    assert ["rest" if start else "whole" for start in starts] == asked
    # Of the bytes of a chunked answer some are no data.
    assert all(start % MIB > 0.9 * MIB for start in starts if start)
    assert there.proxy.count("^PUT") == 1


def test_reading_that_cannot_go_on_leaves_nothing(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    here.proxy.add(FILE, cut=MIB)
    here.proxy.add(FILE, status=503, times=None)
    error = error_of(copied(image_id, "-f", "json", code=5))
    assert error["message"].startswith(f"cannot download image {image_id}")
    assert "; the record it had made was removed" in error["message"]
    assert there.proxy.count("^PUT") == 1
    assert there.images() == []


def test_data_that_are_read_wrong_leave_nothing(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    here.proxy.add(FILE, flip=2 * MIB)
    error = error_of(copied(image_id, "-f", "json", code=6))
    assert error["message"].startswith(f"the data of image {image_id} do not match its record")
    assert error["cause"].startswith(f"sha512 expected {hashlib.sha512(data).hexdigest()}, got ")
    assert there.images() == []


def test_an_image_that_is_gone_in_the_middle_is_exit_4(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    image_id = here.add(data)
    here.proxy.add(FILE, cut=MIB)
    here.proxy.add(FILE, status=404)
    assert error_of(copied(image_id, "-f", "json", code=4))["status"] == 404
    assert there.images() == []


# what breaks in writing


@pytest.mark.parametrize(
    ("fault", "reads"),
    [
        ({"cut_request": MIB}, 2),
        ({"status": 503}, 2),
        ({"lose_answer": True}, 1),
    ],
    ids=["cut", "503", "answer lost"],
)
def test_writing_starts_again_with_reading(
    here: Cloud, there: Cloud, data: bytes, fault: Record, reads: int
) -> None:
    image_id = here.add(data)
    there.proxy.add("^PUT", **fault)
    copied(image_id)
    assert there.has(data)
    assert here.proxy.count(FILE) == reads


def test_a_copy_that_is_refused_is_removed(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    there.proxy.add("^PUT", status=413, body=b'{"message": "too much"}')
    error = error_of(copied(image_id, "-f", "json", code=1))
    assert (error["status"], error["cause"]) == (413, "too much")
    assert "; the record it had made was removed" in error["message"]
    assert there.images() == []


def test_data_that_are_stored_wrong_leave_nothing(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    there.proxy.add("^PUT", flip_request=MIB)
    error = error_of(copied(image_id, "-f", "json", code=6))
    assert "is not what was sent" in error["message"]
    assert there.images() == []


def test_a_copy_that_cannot_be_shown_stays_and_is_replaced_by_the_next(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    image_id = here.add(data)
    there.proxy.add("^PATCH", status=503, times=2)
    error = error_of(copied(image_id, "--if-missing", "-f", "json", code=5))
    [left] = there.images()
    assert f"image {left['id']} is whole, but may be unfinished and hidden" in error["message"]
    # Its job is this process, which has not ended: it has to look like one that has.
    mark = [{"op": "replace", "path": "/glancectl_job", "value": ended_job(left)}]
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    there.ask("PATCH", f"images/{left['id']}", json=mark, headers=patch)
    copied(image_id, "--if-missing")
    assert there.has(data)
    assert there.only()["id"] != left["id"]


def ended_job(record: Record) -> str:
    """Return the mark of a record as a process of this machine has left it that is gone."""
    verb, machine, _, start = record["glancectl_job"].split()
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return f"{verb} {machine} {process.pid} {start}"


# digests


def hashes_with(cloud: Cloud, algorithm: str | None, *known: bytes) -> None:
    """Let the records of a cloud have another digest of what is known, or none but the MD5."""
    digests = {
        hashlib.sha512(data).hexdigest(): algorithm and hashlib.new(algorithm, data).hexdigest()
        for data in known
    }

    def rewrite(body: bytes) -> bytes:
        content = json.loads(body)
        for image in content.get("images", [content]):
            if (value := image.get("os_hash_value")) in digests:
                image |= {"os_hash_algo": algorithm, "os_hash_value": digests[value]}
        return json.dumps(content).encode()

    cloud.proxy.add(r"^GET /v2/images(\?.*|/[^/]+)$", times=None, rewrite=rewrite)


@pytest.mark.parametrize(
    ("ours", "theirs", "is_known", "reads"),
    [
        (None, "sha512", True, 1),
        ("sha256", "sha512", True, 1),
        ("sha512", "sha256", True, 1),
        ("sha256", "sha256", True, 1),
        ("sha256", None, True, 1),
        ("sha512", "sha256", False, 2),
        (None, "sha256", False, 2),
    ],
)
def test_clouds_may_hash_differently(
    here: Cloud,
    there: Cloud,
    data: bytes,
    ours: str | None,
    theirs: str | None,
    is_known: bool,
    reads: int,
) -> None:
    image_id = here.add(data)
    if is_known:
        there.add(data, name="newest")
    hashes_with(here, ours, data)
    hashes_with(there, theirs, data)
    made = copied(image_id, "-q").out.strip()
    assert here.proxy.count(FILE) == reads
    record = there.ask("GET", f"images/{made}").json()
    assert record["os_hash_value"] == hashlib.sha512(data).hexdigest()


@pytest.mark.parametrize("ours", [None, "sha256"])
def test_what_was_read_wrong_is_never_stored_whole(
    here: Cloud, there: Cloud, data: bytes, ours: str | None
) -> None:
    image_id = here.add(data)
    hashes_with(here, ours, data)
    here.proxy.add(FILE, flip=10)
    error = error_of(copied(image_id, "-f", "json", code=6))
    assert error["cause"].startswith(f"{ours or 'md5'} expected ")
    assert there.proxy.count("^GET /v2/images/") == 0  # nobody looked at what was stored
    assert there.images() == []


@pytest.mark.parametrize("is_known", [True, False])
def test_what_was_stored_wrong_is_found_by_any_algorithm(
    here: Cloud, there: Cloud, data: bytes, is_known: bool
) -> None:
    image_id = here.add(data)
    if is_known:
        there.add(data, name="newest")
    wrong = data[:MIB] + bytes([data[MIB] ^ 0xFF]) + data[MIB + 1 :]
    hashes_with(there, "sha256", data, wrong)
    there.proxy.add("^PUT", flip_request=MIB)
    error = error_of(copied(image_id, "-f", "json", code=6))
    assert error["cause"].startswith("sha256 of what was sent: ")
    assert [image["name"] for image in there.images()] == (["newest"] if is_known else [])


# projects


@pytest.fixture
def neighbour(here: Cloud, sandbox: Sandbox) -> Iterator[Cloud]:
    """Another project of this cloud, which its user is in as well."""
    with cloud(sandbox) as made:
        role = sandbox.roles["member"]
        path = f"projects/{made.project.id}/users/{here.project.user_id}/roles/{role}"
        headers = {"X-Auth-Token": sandbox.admin_token}
        assert HTTP.put(f"{sandbox.keystone}/{path}", headers=headers).is_success
        yield made
        made.clear()


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_copy_may_go_to_another_project(
    here: Cloud, neighbour: Cloud, data: bytes, by: str
) -> None:
    image_id = here.add(data)
    project = getattr(neighbour.project, by)
    run("image", "copy", image_id, "--to-project", project)
    assert neighbour.has(data)
    assert run("image", "list", "-q").out == f"{image_id}\n"  # with its own token
    assert run("image", "copy", image_id, "--to-project", project, "--if-missing", "-q").out == (
        f"{neighbour.only()['id']}\n"
    )


def test_a_project_of_others_is_exit_3(here: Cloud, sandbox: Sandbox, data: bytes) -> None:
    image_id, other = here.add(data), Project(sandbox)
    err = run("image", "copy", image_id, "--to-project", other.name, code=3).err
    assert f"  hint: check that the user has a role in project '{other.name}'\n" in err


def test_a_given_token_is_of_no_other_project(
    here: Cloud, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = here.add(data)
    for name in here.project.env:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OS_TOKEN", here.token)
    err = run("image", "copy", image_id, "--to-project", "0" * 32, code=3).err
    assert "no credentials to log in with" in err
    assert [image["id"] for image in here.images()] == [image_id]


def test_an_image_is_not_copied_onto_itself(here: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    for where in ((), ("--to-project", here.project.id), ("--name", "noise"), ("--if-missing",)):
        err = run("image", "copy", image_id, *where, code=2).err
        assert f"image {image_id} would be copied onto itself" in err
    assert here.proxy.count(CHANGES) == 0


def test_a_copy_of_another_name_may_stay_where_it_is(here: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    made = run("image", "copy", image_id, "--name", "twin", "-f", "json").json
    assert sorted(image["name"] for image in here.images()) == ["noise", "twin"]
    assert made["os_hash_value"] == hashlib.sha512(data).hexdigest()


def test_an_image_of_others_is_copied_into_one_s_own_project(
    here: Cloud, neighbour: Cloud, data: bytes
) -> None:
    image_id = neighbour.add(data, visibility="community")
    run("image", "copy", image_id)
    assert here.has(data)


# regions and stores, by Glance itself


@pytest.fixture(scope="module")
def west(sandbox: Sandbox, own_glance: OwnGlance) -> Iterator[str]:
    """The URL of the Glance of another region of this cloud."""
    headers = {"X-Auth-Token": sandbox.admin_token}

    def keystone(method: str, path: str, body: object = None) -> Any:
        url = f"{sandbox.keystone}/{path}"
        answer = HTTP.request(method, url, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer

    service = keystone("GET", "services?type=image").json()["services"][0]["id"]
    keystone("POST", "regions", {"region": {"id": WEST}})
    endpoint = {
        "interface": "public", "url": own_glance.url, "service_id": service, "region_id": WEST,
    }  # fmt: skip
    made = keystone("POST", "endpoints", {"endpoint": endpoint}).json()["endpoint"]["id"]
    yield own_glance.url
    keystone("DELETE", f"endpoints/{made}")
    keystone("DELETE", f"regions/{WEST}")


def in_west(url: str, here: Cloud) -> list[Record]:
    """Return the images of the project in the other region, and delete them."""
    headers = {"X-Auth-Token": here.token}
    found = [
        image
        for hidden in ("false", "true")
        for image in HTTP.get(
            f"{url}/v2/images?owner={here.project.id}&os_hidden={hidden}", headers=headers
        ).json()["images"]
    ]
    for image in found:
        assert HTTP.delete(f"{url}/v2/images/{image['id']}", headers=headers).is_success
    return found


@pytest.mark.parametrize("how", [(), ("--server-side", "--interval", 0.1)], ids=["here", "Glance"])
def test_a_copy_may_go_to_another_region(
    here: Cloud, west: str, data: bytes, how: tuple[object, ...]
) -> None:
    image_id = here.add(data, tags=["t"], os_distro="x", own="y")
    to = ("image", "copy", image_id, "--to-region", WEST, "--if-missing", "-f", "json", *how)
    record = run(*to).json
    assert run(*to).json == record
    assert here.proxy.count(FILE) == (0 if how else 1)
    assert [image["id"] for image in in_west(west, here)] == [record["id"]]
    assert record["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert (record["status"], record["tags"], record["os_distro"], record["own"]) == (
        "active", ["t"], "x", "y",
    )  # fmt: skip
    assert "glancectl_job" not in record


def test_a_copy_that_glance_fails_to_make_is_removed(here: Cloud, west: str, data: bytes) -> None:
    image_id = here.add(data)
    here.ask("POST", f"images/{image_id}/actions/deactivate")
    how = ("--to-region", WEST, "--server-side", "--interval", 0.1)
    err = run("image", "copy", image_id, *how, code=8).err
    assert "; the record it had made was removed" in err
    assert in_west(west, here) == []


def test_an_image_may_get_one_more_store(
    here: Cloud, admin: Project, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = here.add(data)
    how = ("image", "copy", image_id, "--store", "slow", "--server-side", "--interval", 0.1)
    assert "403" in run(*how, "-f", "json", code=3).err
    assert run(*how, "-f", "json", user=admin).json["stores"] == "fast,slow"
    here.proxy.requests.clear()
    assert "is in store 'slow' already" in run(*how, user=admin).err
    assert here.proxy.count(CHANGES) == 0
    assert "no store 'nope'" in run(*how[:3], "--store", "nope", *how[5:], user=admin, code=4).err


# what does not go together


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("a b --to-cloud there --name c", "--name names one copy, not several"),
        ("a --to-cloud there --members --visibility public", "--members goes with --visibility"),
        ("a --server-side", "--server-side goes with --to-region or --store"),
        ("a --to-cloud there --to-region r --server-side", "within one cloud and project"),
        ("a --to-region r --to-project p --server-side", "within one cloud and project"),
        ("a --to-region r --server-side --limit-rate 1M", "--limit-rate is of data that pass"),
        ("a --store slow --server-side --name b", "makes no other image"),
        ("a --store slow --server-side --protected", "makes no other image"),
        ("a --to-cloud= ", "a name or id cannot be empty"),
    ],
)
def test_options_that_do_not_go_together_never_reach_a_cloud(options: str, words: str) -> None:
    result = run("image", "copy", *options.split(), code=2)
    assert words in result.err


def test_a_cloud_that_no_file_has_is_exit_2(here: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    assert "no cloud 'nosuch'" in run("image", "copy", image_id, "--to-cloud", "nosuch", code=2).err


# several jobs, and what they leave


@contextlib.contextmanager
def started(*argv: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``image copy … --to-cloud there`` beside the test."""
    command = [*GLANCECTL, "image", "copy", *argv, "--to-cloud", "there"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_signal_removes_what_is_under_way(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    there.proxy.add("^PUT", stall=60, stall_request=MIB)
    with started(image_id) as process:
        wait_for(lambda: there.proxy.count("^PUT") == 1)
        wait_for(lambda: [image["status"] for image in there.images()] == ["saving"])
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"stopped by SIGINT; the record it had made was removed" in err
    assert there.images() == []


@pytest.mark.parametrize("limit", ["", "4M"], ids=["fast", "slow"])
def test_two_jobs_at_once_leave_one_image(
    here: Cloud, there: Cloud, data: bytes, limit: str
) -> None:
    image_id = here.add(data)
    more = ("--limit-rate", limit) if limit else ()
    command = (image_id, "--if-missing", "-q", *more)
    with started(*command) as one, started(*command) as other:
        outs = [process.communicate(timeout=60) for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), outs
    assert there.has(data)
    assert {out.decode() for out, _ in outs} == {f"{there.only()['id']}\n"}


def test_a_job_waits_for_a_younger_one_that_took_itself_for_the_first(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    """The younger looks before the older one's data are whole, and is slow to show its copy."""
    image_id = here.add(data)
    command = (image_id, "--if-missing", "-q")
    with started(*command, "--limit-rate", "1M") as older:
        wait_for(lambda: there.proxy.count("^PUT") == 1)
        there.proxy.add("^PATCH", stall=5)
        time.sleep(TICK)
        with started(*command) as younger:
            outs = [process.communicate(timeout=60) for process in (older, younger)]
    assert (older.returncode, younger.returncode) == (0, 0), outs
    assert b"another job has copied image" not in outs[1][1]
    assert there.has(data)
    assert {out.decode() for out, _ in outs} == {f"{there.only()['id']}\n"}


def test_a_job_goes_on_when_the_one_it_waits_for_is_killed(
    here: Cloud, there: Cloud, data: bytes
) -> None:
    image_id = here.add(data)
    command = (image_id, "--if-missing", "-q")
    there.proxy.add("^PATCH", stall=60)
    with started(*command) as older:
        wait_for(lambda: there.proxy.count("^PATCH") == 1)
        time.sleep(TICK)
        with started(*command) as younger:
            wait_for(lambda: [one["status"] for one in there.images()] == ["active", "active"])
            wait_for(lambda: there.proxy.count("^PATCH") == 2)  # it says that it waits
            assert len(there.images()) == 2
            older.kill()
            out, err = younger.communicate(timeout=60)
    assert younger.returncode == 0, err
    made = out.decode().strip()
    copied(image_id, "--if-missing", "-q")
    assert there.has(data)
    assert there.only()["id"] == made


@pytest.mark.parametrize("late", ["false", "true"])
def test_a_copy_that_is_shown_while_lists_are_read_is_found(
    here: Cloud, there: Cloud, data: bytes, late: str
) -> None:
    """One list has the hidden images, and one the others."""
    image_id = here.add(data)
    copy_id = there.add(data, os_hidden=True)
    there.proxy.add(f"^GET .*os_hidden={late}", stall=2)
    with started(image_id, "--if-missing", "-q") as process:
        wait_for(lambda: there.proxy.count(f"^GET .*os_hidden={late}") == 1)
        time.sleep(0.5)
        there.set(copy_id, "os_hidden", value=False)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out.decode()) == (0, f"{copy_id}\n"), err
    assert there.proxy.count("^(POST|PUT)") == 0


def test_a_job_that_still_runs_is_not_disturbed(here: Cloud, there: Cloud, data: bytes) -> None:
    image_id = here.add(data)
    with started(image_id, "-q", "--limit-rate", "2M") as process:
        wait_for(lambda: there.proxy.count("^PUT") == 1)
        made = copied(image_id, "-q").out.strip()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert sorted([made, out.decode().strip()]) == sorted(image["id"] for image in there.images())


@pytest.mark.reliability("copies between clouds killed at random moments and run again")
def test_copies_that_are_killed_leave_nothing_once_one_ends(
    here: Cloud,
    there: Cloud,
    second: Sandbox,
    full_scale: bool,
    record_property: Callable[[str, object], None],
) -> None:
    data = os.urandom(8 * MIB)
    image_id = here.add(data)
    command = (image_id, "--if-missing", "-q", "--limit-rate", "20M")
    store = second.clouds_file.parent / "images" / "fast"
    before = set(store.iterdir())
    usual, killed, count = 2.0, 0, 120 if full_scale else 30
    while killed < count:
        began = time.monotonic()
        with started(*command) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(random.uniform(0, usual))
            process.kill()
            process.wait(10)
        if process.returncode == -signal.SIGKILL:
            killed += 1
        else:
            usual = time.monotonic() - began
            assert there.has(data)
            there.clear()
    copied(*command)
    assert there.has(data)
    wait_for(lambda: [path.name for path in {*store.iterdir()} - before] == [there.only()["id"]])
    there.proxy.requests.clear()
    copied(*command)
    assert there.proxy.count(CHANGES) == 0
    record_property("tried", count)
