"""image apply and export: a catalogue is read by its lines, made true, and written from images."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import HTTP, Project, Result, password_token, run, wait_for
from faultproxy import FaultProxy
from hypothesis import example, given
from hypothesis import strategies as st

from glancectl.flows.catalogue import Entry, properties_of, read
from glancectl.render import _yaml
from glancectl.transfer.checksum import Checksum

SHA512 = "sha512:" + "ab" * 64
WRITES = "^(POST|PUT|PATCH|DELETE) /v2/"
NewProject = Callable[..., Project]


# The file


def entry(*lines: str) -> Entry:
    """Return what a catalogue says of its only image; ``name: x`` is given."""
    text = "images:\n- name: x\n" + "".join(f"  {line}\n" for line in lines)
    catalogue, problems = read(text, "images.yaml")
    assert problems == []
    return catalogue.entries[0]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param((), Entry("x"), id="name-only"),
        pytest.param(("source: a.qcow2",), Entry("x", source="a.qcow2"), id="path"),
        pytest.param(("source: https://h/a?b#c",), Entry("x", "https://h/a?b#c"), id="url"),
        pytest.param(
            (f"checksum: {SHA512.upper()}",),
            Entry("x", checksum=Checksum("sha512", "ab" * 64)),
            id="digest",
        ),
        pytest.param(
            ("source: a", "checksum: SHA256SUMS"), Entry("x", "a", "SHA256SUMS"), id="sums"
        ),
        pytest.param(
            ("disk_format: raw", "container_format: bare", "min_disk: 08", "min_ram: 0"),
            Entry(
                "x",
                fields={
                    "disk_format": "raw", "container_format": "bare", "min_disk": 8, "min_ram": 0
                },
            ),
            id="formats-and-counts",
        ),
        pytest.param(
            ("visibility: community", "protected: yes", "hidden: False"),
            Entry(
                "x", fields={"visibility": "community", "protected": True, "os_hidden": False}
            ),
            id="flags",
        ),
        pytest.param(
            ("tags: [1.10, no, 2024-01-01, no]",),
            Entry("x", fields={"tags": ["1.10", "no", "2024-01-01"]}),
            id="tags-as-written",
        ),
        pytest.param(
            ("properties: {v: 24.10, up: 1:30, on: True, n: 0x1F, 010: '', e: \"\\u00e9\"}",),
            Entry(
                "x",
                properties={
                    "v": "24.10", "up": "1:30", "on": "True", "n": "0x1F", "010": "", "e": "é"
                },
            ),
            id="properties-as-written",
        ),
        pytest.param(("properties: {}", "tags: []"), Entry("x", fields={"tags": []}, properties={}),
                     id="none-of-them"),
        pytest.param(
            ("members: [a, b]",),
            Entry("x", fields={"visibility": "shared"}, members=["a", "b"]),
            id="members-need-a-shared-image",
        ),
        pytest.param(
            ('tags: ["\\ud83d\\ude00"]',),
            Entry("x", fields={"tags": ["\U0001f600"]}),
            id="as-json-writes-it",
        ),
        pytest.param(("members: []",), Entry("x", members=[]), id="no-members"),
        pytest.param(
            ("source: a", "retire: none", "keep: 2"),
            Entry("x", "a", retire="none", keep=2),
            id="retire",
        ),
    ],
)  # fmt: skip
def test_a_catalogue_says(lines: tuple[str, ...], expected: Entry) -> None:
    assert entry(*lines) == expected


def test_paths_start_where_the_file_is() -> None:
    text = "images:\n- {name: a, source: b/c.raw, checksum: SUMS}\n- {name: d, source: /e}\n"
    one, two = read(text, "/srv/images/all.yaml")[0].entries
    assert (one.source, one.checksum, two.source) == (
        "/srv/images/b/c.raw", "/srv/images/SUMS", "/e"
    )  # fmt: skip
    assert read(text, None)[0].entries[0].source == "b/c.raw"


def test_a_catalogue_is_called_by_its_key_or_else_by_its_file() -> None:
    assert read("images: []", "a/b.yaml")[0].name == "b.yaml"
    assert read("images: []", None)[0].name is None
    assert read("catalogue: 1.0\nimages: []", "a/b.yaml")[0].name == "1.0"
    assert not read("images: []", "a/b.yaml")[0].takes_over
    assert read("catalogue: b.yaml\nimages: []", "a/b.yaml")[0].takes_over


def test_what_images_share_is_written_once() -> None:
    text = """
images:
- &first
  name: a
  min_ram: 1
  properties: &linux {os_type: linux, arch: x86_64}
- <<: *first
  name: b
  properties: {<<: *linux, arch: aarch64}
- name: c
  properties: *linux
"""
    catalogue, problems = read(text, "x")
    assert problems == []
    assert [one.properties for one in catalogue.entries] == [
        {"os_type": "linux", "arch": "x86_64"},
        {"os_type": "linux", "arch": "aarch64"},
        {"os_type": "linux", "arch": "x86_64"},
    ]
    assert [one.fields for one in catalogue.entries] == [{"min_ram": 1}, {"min_ram": 1}, {}]


def test_a_catalogue_has_no_say_in_what_is_ours_or_null() -> None:
    record = {"id": "1", "tags": [], "b": "2", "a": "1", "os_glance_importing_to_stores": "fast"}
    ours = {"glancectl_catalogue": "x", "glancectl_source": "y", "glancectl_job": "z"}
    null = {"kernel_id": None}  # as clouds have it that describe this property in their schema
    assert list(properties_of(record | ours | null).items()) == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1: there is nothing in it; expected a list under 'images'"]),
        ("catalogue: x", ["1: expected a list under 'images'"]),
        ("- name: x", ["1: expected KEY: VALUE lines", "1: expected a list under 'images'"]),
        ("images: x", ["1: images must be a list"]),
        ("images:\n- x", ["2: expected KEY: VALUE lines", "2: an image needs a name"]),
        ("image:\n- x", ["1: unknown key 'image', did you mean 'images'?",
                         "1: expected a list under 'images'"]),
        ("images:\n- name: x\n  visiblity: public",
         ["3: unknown key 'visiblity', did you mean 'visibility'?"]),
        ("images:\n- name: x\n  os_hidden: true",
         ["3: unknown key 'os_hidden', did you mean 'hidden'?"]),
        ("images:\n- name: ~", ["2: name must be text"]),
        ("images:\n- name: ''", ["2: name cannot be empty"]),
        ("images:\n- name: [x]", ["2: name must be text"]),
        ("images:\n- name: x\n  name: y", ["3: the key 'name' is there twice"]),
        ("images:\n- name: x\n- name: y\n- name: x",
         ["4: a second image named 'x', the first is in line 2"]),
        ("images:\n- name: x\n  min_disk: -1",
         ["3: min_disk must be a whole number from 0 to 2147483647"]),
        ("images:\n- name: x\n  min_ram: 2147483648",
         ["3: min_ram must be a whole number from 0 to 2147483647"]),
        ("images:\n- name: x\n  protected: 'true'", ["3: protected must be true or false"]),
        ("images:\n- name: x\n  hidden: !!bool maybe", ["3: hidden must be true or false"]),
        ("images:\n- name: x\n  visibility: everyone",
         ["3: visibility must be one of private, shared, community, public, not 'everyone'"]),
        ("images:\n- name: x\n  source: a\n  retire: burn",
         ["4: retire must be one of hide, deactivate, delete, none, not 'burn'"]),
        ("images:\n- name: x\n  tags: lts", ["3: tags must be a list"]),
        ("images:\n- name: x\n  tags: [a,\n    '']", ["4: each of tags cannot be empty"]),
        ("images:\n- name: x\n  properties:\n    a:\n    b: [1]",
         ["4: property 'a' must be text", "5: property 'b' must be text"]),
        ("images:\n- name: x\n  properties: {size: 1, os_hidden: a, glancectl_job: b, image_id: c}",
         [f"3: {key!r} cannot be in properties: it has another meaning"
          for key in ("size", "os_hidden", "glancectl_job", "image_id")]),
        ("images:\n- name: x\n  properties: {? [a] : b}", ["3: a key must be text"]),
        ("images:\n- name: x\n  source: '-'", ["3: a source in a catalogue cannot be stdin"]),
        ("images:\n- name: x\n  source: ftp://h/x",
         ["3: source cannot be ftp://, only a path, http, https, file"]),
        ("images:\n- name: x\n  checksum: sha512:ab",
         ["3: sha512 digests have 128 hex digits, not 2"]),
        ("images:\n- name: x\n  checksum: SHA256SUMS",
         ["3: without a source, checksum must be ALGO:HEX"]),
        ("images:\n- name: x\n  keep: 2\n  retire: hide",
         ["3: keep goes with a source: it says what becomes of older images",
          "4: retire goes with a source: it says what becomes of older images"]),
        ("images:\n- name: x\n  visibility: public\n  members: [a]",
         ["4: a public image has no members, only a shared one"]),
        ('images:\n- name: "\\ud83d"', ["2: name has half a character (a lone surrogate)"]),
        ("images:\n- name: x\n  tags: [a", ["3: not valid YAML: while parsing a flow sequence: "
                                            "expected ',' or ']', but got "
                                            "'<stream end>'"]),
        ("images:\n- name: \x07", ["2: not valid YAML: special characters are not allowed"]),
        ("images:\n- name: x\n  <<: y",
         ["3: not valid YAML: while constructing a mapping: expected a mapping or list of mappings "
          "for merging, but found scalar"]),
        ("images: []\n---\nimages: []", ["2: not valid YAML: expected a single document in the "
                                             "stream: but found another document"]),
        ("images: *a", ["1: not valid YAML: found undefined alias 'a'"]),
        ("images: &a [*a]", ["1: expected KEY: VALUE lines", "1: an image needs a name"]),
        ("[" * 5000, ["1: nested too deep"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_line(text: str, expected: list[str]) -> None:
    assert read(text, "c.yaml")[1] == [f"c.yaml:{problem}" for problem in expected]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from([
    "24.10", "no", "~", "null", "2024-01-01", "1:30", "0x1F", "1e3", "=", "<<", "- a", "a: b", "#",
    "'", '"', "&a", "*a", "!x", "|", "%", "@", "`", "\\", " a ", "\n", "a\n ", "\t", "\u2028", "é",
    "\x85", "\ufeff", "\U0001f600", "{a}", "[a]", ",", "?", "-", "...", "---",
])  # fmt: skip


@given(st.dictionaries(TEXTS.map(lambda key: f"k{key}"), TEXTS, max_size=4), TEXTS)
@example({"<<": "x", "=": "y"}, "<<")
def test_every_text_is_read_as_it_was_written(properties: dict[str, str], name: str) -> None:
    image = {"name": name or "x", "tags": [name or "x"], "properties": properties}
    for text in (
        _yaml({"images": [image]}),  # as export writes it
        yaml.safe_dump({"images": [image]}),
    ):
        catalogue, problems = read(text, "x")
        assert problems == []
        assert catalogue.entries[0] == Entry(
            str(image["name"]), fields={"tags": image["tags"]}, properties=properties
        )


def test_all_errors_come_at_once_and_nothing_is_sent(stalled: str) -> None:
    Path("images.yaml").write_text(
        "catalogue: all\nimages:\n- name: a\n  visiblity: public\n- source: b.raw\n  min_ram: big\n"
    )
    options = ["--endpoint", stalled]  # which would answer nothing
    assert run(*options, "image", "apply", "images.yaml", code=2).err == (
        "images.yaml:4: unknown key 'visiblity', did you mean 'visibility'?\n"
        "images.yaml:5: an image needs a name\n"
        "images.yaml:6: min_ram must be a whole number from 0 to 2147483647\n"
        "glancectl: error: 3 errors in images.yaml, nothing was changed\n"
    )
    wrong = run(*options, "image", "apply", "-", "-f", "json", stdin=b"images: [{}]", code=2)
    assert wrong.err == (
        "stdin:1: an image needs a name\nglancectl: error: 1 error in stdin, nothing was changed\n"
    )


@pytest.mark.parametrize(
    ("argv", "stdin", "code", "said"),
    [
        (["nosuch.yaml"], b"", 1, "cannot read nosuch.yaml"),
        (["-"], b"\xff", 1, "stdin is not UTF-8 text"),
        (["-", "--prune"], b"images: []", 2, "--prune has to know whose images those of stdin are"),
        (["-", "--exit-code"], b"images: []", 2, "--exit-code goes with --dry-run"),
    ],
)
def test_what_cannot_be_applied_is_refused(
    argv: list[str], stdin: bytes, code: int, said: str
) -> None:
    error = run("image", "apply", *argv, stdin=stdin, code=code).err
    assert error.startswith(f"glancectl: error: {said}\n")


# The cloud, asked without any of our code


class Cloud:
    """The images of a project by plain HTTP."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.url = f"{project.sandbox.glance}/v2/images"
        self.headers = {"X-Auth-Token": password_token(project.env)}

    def images(self) -> list[dict[str, Any]]:
        """Return all images of the project, hidden ones included, the oldest first."""
        found: list[dict[str, Any]] = []
        for hidden in ("false", "true"):
            params = {"owner": self.project.id, "os_hidden": hidden, "limit": "1000"}
            answer = HTTP.get(self.url, params=params, headers=self.headers)
            found += answer.json()["images"]
        return sorted(found, key=lambda image: (image["created_at"], image["id"]))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [image for image in self.images() if image["name"] == name]

    def one(self, name: str) -> dict[str, Any]:
        [found] = self.named(name)
        return found

    def make(self, data: bytes = b"x", **fields: object) -> str:
        """Make an image with data and return its id."""
        record = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = HTTP.post(self.url, json=record, headers=self.headers)
        assert answer.status_code == 201, answer.text
        image_id = str(answer.json()["id"])
        if data:
            headers = {**self.headers, "Content-Type": "application/octet-stream"}
            answer = HTTP.put(f"{self.url}/{image_id}/file", content=data, headers=headers)
            assert answer.status_code == 204, answer.text
        return image_id

    def call(self, method: str, path: str, body: object = None) -> Any:
        answer = HTTP.request(method, f"{self.url}/{path}", json=body, headers=self.headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def patch(self, image_id: str, *operations: Mapping[str, object]) -> None:
        kind = "application/openstack-images-v2.1-json-patch"
        headers = {**self.headers, "Content-Type": kind}
        answer = HTTP.patch(
            f"{self.url}/{image_id}", content=json.dumps(operations), headers=headers
        )
        assert answer.status_code == 200, answer.text

    def members(self, image_id: str) -> list[str]:
        return sorted(m["member_id"] for m in self.call("GET", f"{image_id}/members")["members"])


@pytest.fixture
def cloud(project: Project) -> Cloud:
    return Cloud(project)


def write(catalogue: object, path: str = "images.yaml") -> str:
    """Write a catalogue and return its path."""
    Path(path).write_text(yaml.safe_dump(catalogue))
    return path


def source(name: str, size: int = 4096) -> str:
    """Write noise into a file and return its name."""
    Path(name).write_bytes(os.urandom(size))
    return name


def sha512(path: str) -> str:
    return hashlib.sha512(Path(path).read_bytes()).hexdigest()


def apply(*argv: object, **how: Any) -> Result:
    return run("image", "apply", *argv, "-f", "json", **how)


def actions(result: Result) -> dict[str, str]:
    return {row["name"]: row["action"] for row in result.json}


def raw_image(name: str, **more: object) -> dict[str, object]:
    """Return an entry of an image whose source is a file of that name, written if need be."""
    path = f"{name}.raw"
    if not Path(path).exists():
        source(path)
    return {"name": name, "source": path, "disk_format": "raw", **more}


# Applied


def test_a_catalogue_is_made_true_and_then_nothing_is_left_to_do(
    cloud: Cloud, proxy: FaultProxy, served: tuple[str, Path], qcow2: Path
) -> None:
    url, web = served
    (web / "noble.qcow2").write_bytes(qcow2.read_bytes())
    (web / "SUMS").write_text(f"{hashlib.sha256(qcow2.read_bytes()).hexdigest()}  noble.qcow2\n")
    there = cloud.make(b"there", name="there", os="old", away="x", tags=["old"])
    write({"images": [
        {"name": "from web", "source": f"{url}/noble.qcow2", "checksum": f"{url}/SUMS"},
        raw_image("from-file", min_disk=1, min_ram=2, visibility="community", protected=True,
                  tags=["a", "b"], properties={"os_version": "24.10", "é": ""}),
        {"name": "there", "min_ram": 64, "tags": ["new"], "properties": {"os": "new", "more": "1"}},
        raw_image("hidden", hidden=True),
    ]})  # fmt: skip

    done = apply("images.yaml")
    assert actions(done) == {
        "from web": "created", "from-file": "created", "there": "updated", "hidden": "created"
    }  # fmt: skip
    web_image, file_image = cloud.one("from web"), cloud.one("from-file")
    assert (web_image["status"], web_image["disk_format"]) == ("active", "qcow2")
    assert web_image["os_hash_value"] == sha512(str(qcow2))
    assert file_image["os_hash_value"] == sha512("from-file.raw")
    wanted = {
        "status": "active", "os_hidden": False, "min_disk": 1, "min_ram": 2, "protected": True,
        "visibility": "community", "os_version": "24.10", "é": "",
        "glancectl_catalogue": "images.yaml",
    }  # fmt: skip
    assert {key: file_image[key] for key in wanted} == wanted
    assert sorted(file_image["tags"]) == ["a", "b"]
    changed = cloud.one("there")
    assert (changed["id"], changed["min_ram"], changed["tags"]) == (there, 64, ["new"])
    assert (changed["os"], changed["more"]) == ("new", "1")
    assert not {"away", "glancectl_catalogue"} & changed.keys()
    assert cloud.one("hidden")["os_hidden"] is True
    assert not [image for image in cloud.images() if "glancectl_job" in image]

    before = cloud.images()
    proxy.requests.clear()
    assert set(actions(apply("images.yaml")).values()) == {"unchanged"}
    assert run("image", "apply", "images.yaml", "--dry-run", "--exit-code").out == "".join(
        f"unchanged\t{name}\t\t\t\n" for name in ("from web", "from-file", "there", "hidden")
    )
    assert (proxy.count(WRITES), cloud.images()) == (0, before)


def test_new_content_is_a_new_image_and_older_ones_are_retired(cloud: Cloud) -> None:
    write({"images": [
        raw_image("kept", retire="none"), raw_image("gone", retire="delete"),
        raw_image("hidden"), raw_image("last", retire="hide", keep=1),
    ]})  # fmt: skip
    ids = [{row["name"]: row["id"] for row in apply("images.yaml").json}]
    for _ in range(2):
        for name in ids[0]:
            source(f"{name}.raw")
        plan = apply("images.yaml", "--dry-run").json
        assert [row["name"] for row in plan if row["action"] == "created"] == list(ids[0])
        done = apply("images.yaml")
        assert set(actions(done).values()) == {"created"}
        told = {(one["action"], one["id"]) for row in done.json for one in row["retired"]}
        assert told == {(row["action"], row["id"]) for row in plan if row["action"] != "created"}
        ids.append({row["name"]: row["id"] for row in done.json})
    left = {image["id"]: image["os_hidden"] for image in cloud.images()}
    first, second, third = ids
    assert left == {
        **{made["kept"]: False for made in ids},
        third["gone"]: False,
        first["hidden"]: True, second["hidden"]: True, third["hidden"]: False,
        second["last"]: True, third["last"]: False,
    }  # fmt: skip


def test_a_dry_run_tells_each_field_and_changes_nothing(
    cloud: Cloud, proxy: FaultProxy, new_project: NewProject
) -> None:
    friend, stranger = new_project().id, new_project().id
    image_id = cloud.make(
        b"x", name="a", visibility="shared", tags=["x"], os="old", away="1", min_ram=1
    )
    cloud.call("POST", f"{image_id}/members", {"member": stranger})
    same = cloud.make(b"y", name="same")
    write({"images": [
        {"name": "a", "min_ram": 2, "hidden": True, "tags": ["x", "y"],
         "properties": {"os": "new"}, "members": [friend]},
        raw_image("new"),
        {"name": "same", "min_ram": 0},
    ]})  # fmt: skip
    before = cloud.images()
    proxy.requests.clear()
    plan = run("image", "apply", "images.yaml", "--dry-run", "--exit-code", code=10)
    changes = [
        ("min_ram", "1", "2"),
        ("os_hidden", "false", "true"),
        ("tags", "x", "x,y"),
        ("os", "old", "new"),
        ("away", "1", ""),
        ("members", stranger, friend),
    ]
    lines = plan.lines
    assert sorted(lines[:6]) == sorted("\t".join(("updated", "a", *one)) for one in changes)
    assert lines[5].startswith("updated\ta\tmembers\t")
    assert lines[6:] == ["created\tnew\t\t\t", "unchanged\tsame\t\t\t"]
    assert plan.err.endswith("glancectl: error: 2 of 3 images differ\n")
    assert run("image", "apply", "images.yaml", "--dry-run", "-q").lines == [image_id]
    rows = apply("images.yaml", "--dry-run").json
    assert rows[-1] == {
        "action": "unchanged", "id": same, "name": "same", "field": None, "old": None, "new": None
    }  # fmt: skip
    assert (proxy.count(WRITES), cloud.images()) == (0, before)

    assert actions(apply("images.yaml")) == {"a": "updated", "new": "created", "same": "unchanged"}
    assert cloud.members(image_id) == [friend]
    assert set(actions(apply("images.yaml", "--dry-run", "--exit-code")).values()) == {"unchanged"}


def test_members_are_those_of_the_file_and_only_when_it_has_any_say(
    cloud: Cloud, admin: Project, new_project: NewProject
) -> None:
    friend, other = new_project(), new_project()
    write({"images": [raw_image("golden", members=[friend.id, other.name])]})
    denied = apply("images.yaml", code=3)
    assert "project names cannot be looked up" in json.loads(denied.err.splitlines()[-1])[
        "error"]["message"]  # fmt: skip
    assert cloud.images() == []  # nothing is uploaded for what cannot be shared in the end

    write({"images": [raw_image("golden", members=[friend.id, other.id])]})
    [made] = apply("images.yaml").json
    assert (made["action"], cloud.one("golden")["visibility"]) == ("created", "shared")
    assert cloud.members(made["id"]) == sorted([friend.id, other.id])
    write({"images": [raw_image("golden", members=[friend.id])]})
    assert actions(apply("images.yaml")) == {"golden": "updated"}
    assert cloud.members(made["id"]) == [friend.id]
    write({"images": [raw_image("golden")]})
    assert actions(apply("images.yaml")) == {"golden": "unchanged"}
    assert cloud.members(made["id"]) == [friend.id]
    write({"images": [raw_image("golden", members=[])]})
    assert actions(apply("images.yaml")) == {"golden": "updated"}
    assert cloud.members(made["id"]) == []

    write({"images": [raw_image("by name", members=[friend.name])]})
    [made] = apply("images.yaml", user=admin).json  # who may look projects up
    assert Cloud(admin).members(made["id"]) == [friend.id]


def test_an_entry_without_a_source_is_about_the_image_that_is_there(
    cloud: Cloud, new_project: NewProject
) -> None:
    stranger = Cloud(new_project())
    stranger.make(b"theirs", name="known", visibility="community")
    write({"images": [{"name": "known", "min_ram": 1}]})
    assert "no image of this project is named 'known'" in apply("images.yaml", code=4).err
    cloud.make(b"", name="known")  # queued
    assert "no image of this project is named 'known'" in apply("images.yaml", code=4).err

    older = cloud.make(b"older", name="known")
    time.sleep(1.1)  # of ``created_at`` the second is all there is
    newer = cloud.make(b"newer", name="known")
    assert [row["id"] for row in apply("images.yaml").json] == [newer]
    digests = {data: hashlib.sha512(data).hexdigest() for data in (b"older", b"newer", b"other")}
    write({"images": [{"name": "known", "min_ram": 2, "checksum": f"sha512:{digests[b'older']}"}]})
    assert [row["id"] for row in apply("images.yaml").json] == [older]
    least = {image["id"]: image["min_ram"] for image in cloud.named("known")}
    assert (least[older], least[newer]) == (2, 1)
    write({"images": [{"name": "known", "min_ram": 3, "checksum": f"sha512:{digests[b'other']}"}]})
    error = json.loads(apply("images.yaml", code=6).err)["error"]
    assert error["message"] == "no image named 'known' has the content that the catalogue says"
    assert error["cause"] == (
        f"expected sha512:{digests[b'other']}, got sha512:{digests[b'newer']}"
    )
    md5 = hashlib.md5(b"older", usedforsecurity=False).hexdigest()
    write({"images": [{"name": "known", "checksum": f"md5:{md5}", "tags": ["md5"]}]})
    assert [row["id"] for row in apply("images.yaml").json] == [older]
    assert stranger.one("known")["min_ram"] == 0


def test_prune_deletes_what_was_created_for_the_catalogue_and_left_it(cloud: Cloud) -> None:
    by_hand = cloud.make(b"by hand", name="by-hand")
    images = [raw_image(name) for name in ("a", "b", "c", "guarded")]
    write({"images": [*images, {"name": "by-hand", "tags": ["x"]}]})
    ids = {row["name"]: row["id"] for row in apply("images.yaml").json}
    source("b.raw")
    newer = {row["name"]: row["id"] for row in apply("images.yaml").json}["b"]  # the older: hidden
    cloud.patch(ids["guarded"], {"op": "replace", "path": "/protected", "value": True})
    write({"images": images[:1]})

    assert set(actions(apply("images.yaml")).values()) == {"unchanged"}  # not without --prune
    assert len(cloud.images()) == 6
    plan = run("image", "apply", "images.yaml", "--prune", "--dry-run", "--exit-code", code=10)
    assert sorted(plan.lines) == [
        "pruned\tb\t\t\t", "pruned\tb\t\t\t", "pruned\tc\t\t\t", "unchanged\ta\t\t\t"
    ]  # fmt: skip
    assert f"image {ids['guarded']} has left the catalogue, but is protected and stays" in plan.err
    assert len(cloud.images()) == 6

    write({"images": []}, "other.yaml")  # another catalogue prunes nothing of this one
    assert apply("other.yaml", "--prune").json == []
    done = apply("images.yaml", "--prune")
    pruned = {row["id"] for row in done.json if row["action"] == "pruned"}
    assert pruned == {ids["b"], newer, ids["c"]}
    assert {image["id"] for image in cloud.images()} == {ids["a"], ids["guarded"], by_hand}
    cloud.patch(ids["guarded"], {"op": "replace", "path": "/protected", "value": False})
    assert actions(apply("images.yaml", "--prune")) == {"a": "unchanged", "guarded": "pruned"}
    assert actions(apply("images.yaml", "--prune")) == {"a": "unchanged"}


def test_an_image_can_move_to_another_catalogue(cloud: Cloud) -> None:
    images = [raw_image("a"), raw_image("b")]
    write({"catalogue": "one", "images": images}, "one.yaml")
    apply("one.yaml")
    write({"catalogue": "one", "images": images[:1]}, "one.yaml")
    write({"catalogue": "two", "images": [{"name": "b"}]}, "two.yaml")
    plan = run("image", "apply", "two.yaml", "--dry-run").out
    assert plan == "updated\tb\tglancectl_catalogue\tone\ttwo\n"
    assert actions(apply("two.yaml")) == {"b": "updated"}
    assert actions(apply("one.yaml", "--prune")) == {"a": "unchanged"}
    assert cloud.one("b")["glancectl_catalogue"] == "two"


def test_forty_images_change_leave_and_break_and_the_others_are_done(
    cloud: Cloud, proxy: FaultProxy
) -> None:
    names = [f"image-{number:02}" for number in range(40)]
    images = {name: raw_image(name, properties={"build": "1"}) for name in names}
    write({"images": list(images.values())})

    def make(name: str) -> str:
        """Make an image as it is once the catalogue was applied, with a fifth of the requests."""
        own = {"build": "1", "glancectl_catalogue": "images.yaml"}
        return cloud.make(Path(f"{name}.raw").read_bytes(), name=name, **own)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, names[1:]))
    done = apply("images.yaml", "--jobs", 8)
    assert actions(done) == {**dict.fromkeys(names, "unchanged"), names[0]: "created"}
    keys = {frozenset(image) for image in cloud.images()}
    assert (len(cloud.images()), len(keys)) == (40, 1)  # those made here have nothing else

    removed, updated, replaced, broken, forged = (
        names[:4], names[4:10], names[10:15], names[15], names[16]
    )  # fmt: skip
    for name in removed:
        del images[name]
    for name in updated:
        images[name] |= {"properties": {"build": "2"}, "min_ram": 512}
    for name in replaced:
        source(f"{name}.raw")
    os.remove(f"{broken}.raw")
    images[forged] |= {"source": source("forged.raw"), "checksum": SHA512}
    images["new"] = raw_image("new")
    write({"images": list(images.values())})
    before = {image["name"]: image for image in cloud.images()}
    done = apply("images.yaml", "--prune", "--jobs", 8, code=9)
    error = json.loads(done.err.splitlines()[-1])["error"]
    assert (error["exit"], error["message"]) == (9, "2 of 41 targets failed")
    assert [(one["target"], one["exit"]) for one in error["targets"]] == [(broken, 1), (forged, 6)]
    assert error["targets"][0]["message"] == f"cannot read {broken}.raw: No such file or directory"
    assert error["targets"][1]["message"].startswith("the source does not match --checksum sha512")
    assert actions(done) == {
        **dict.fromkeys(updated, "updated"),
        **dict.fromkeys(replaced, "created"),
        **dict.fromkeys(names[17:], "unchanged"),
        "new": "created",
        **dict.fromkeys(removed, "pruned"),
    }

    now = [image for image in cloud.images() if not image["os_hidden"]]
    by_name = {image["name"]: image for image in now}
    assert len(now) == len(by_name) == 37
    assert not set(removed) & by_name.keys()
    assert {(by_name[name]["build"], by_name[name]["min_ram"]) for name in updated} == {("2", 512)}
    for name in replaced:
        assert by_name[name]["os_hash_value"] == sha512(f"{name}.raw")
    for name in (broken, forged, *names[17:]):
        assert by_name[name] == before[name]

    images[broken] |= {"source": source(f"{broken}.raw")}
    images[forged] |= {"checksum": f"sha512:{sha512('forged.raw')}"}
    write({"images": list(images.values())})
    again = apply("images.yaml", "--prune", "--jobs", 8)
    assert {name for name, what in actions(again).items() if what != "unchanged"} == {
        broken,
        forged,
    }
    proxy.requests.clear()
    assert set(actions(apply("images.yaml", "--prune", "--jobs", 8)).values()) == {"unchanged"}
    assert proxy.count(WRITES) == 0


def test_each_change_is_an_event_in_the_log_of_a_job(cloud: Cloud, new_project: NewProject) -> None:
    friend = new_project().id
    write({"images": [raw_image("a", members=[friend]), raw_image("b")]})
    apply("images.yaml")
    source("a.raw")
    write({"images": [raw_image("a", members=[])]})
    command = ("image", "apply", "images.yaml", "--prune", "--jobs", 1, "-q")
    told = run("--progress", "json", *command).err
    events = [json.loads(line) for line in told.splitlines()]
    changes = [(e["action"], e["name"]) for e in events if e["event"] == "change"]
    assert changes == [("created", "a"), ("finished", "a"), ("hidden", "a"), ("deleted", "b")]
    write({"images": [{"name": "a", "tags": ["x"], "members": [friend]}]})
    told = run("--progress", "json", "image", "apply", "images.yaml").err
    events = [json.loads(line) for line in told.splitlines()]
    assert [(e["event"], e["action"]) for e in events] == [
        ("change", "updated"), ("change", "shared")
    ]  # fmt: skip
    assert run("image", "apply", "images.yaml").err == ""


# Exported


ODD = [
    {"name": "24.10", "tags": ["no", "1.10", "é", " a ", "a,b"]},
    {"name": "null", "properties": {}},
    {"name": "2024-01-01: a # b\t'\"\\", "os_version": "24.10", "up": "1:30", "on": "yes",
     "null": "~", "empty": "", "é": "漢", "a/b~c": "x\ny\n", " spaced ": " x ", "<<": "=",
     "bidi": "\u202e", "nel": "\x85", "bom": "\ufeff"},
    {"name": "\n", "visibility": "community", "protected": True, "min_disk": 3, "min_ram": 1 << 30},
    {"name": "漢" * 255, "disk_format": "qcow2", "container_format": "ova"},
    {"name": "hidden", "os_hidden": True},
    {"name": "retired", "glancectl_catalogue": "old.yaml", "glancectl_source": "sha256:x is y"},
]  # fmt: skip


def test_applying_what_was_exported_changes_nothing(
    cloud: Cloud, proxy: FaultProxy, new_project: NewProject
) -> None:
    for number, fields in enumerate(ODD):
        fields = {key: value for key, value in fields.items() if key != "properties"}
        cloud.make(b"odd %d" % number, **fields)
    shared = cloud.make(b"shared", name="shared", visibility="shared")
    friends = sorted(new_project().id for _ in range(2))
    for friend in friends:
        cloud.call("POST", f"{shared}/members", {"member": friend})
    off = cloud.make(b"off", name="off")
    cloud.call("POST", f"{off}/actions/deactivate")
    before = cloud.images()

    for options, count in (([], 8), (["--hidden"], 1)):
        for form in ("yaml", "json"):
            proxy.requests.clear()
            exported = run("image", "export", *options, "-f", form)
            images = yaml.safe_load(exported.out)["images"]
            assert (len(images), exported.err) == (count, "")
            Path("exported.yaml").write_bytes(exported.data)
            for file in ("-", "exported.yaml"):
                applied = run("image", "apply", file, stdin=exported.data)
                assert {line.split("\t")[-1] for line in applied.lines} == {"unchanged"}
            plan = run("image", "apply", "-", "--dry-run", "--exit-code", stdin=exported.data)
            assert len(plan.lines) == count
            assert proxy.count(WRITES) == 0
    assert cloud.images() == before

    exported = run("image", "export", "--name", "shared", "--jobs", 1)
    [image] = yaml.safe_load(exported.out)["images"]
    assert image == {
        "name": "shared",
        "checksum": f"sha512:{hashlib.sha512(b'shared').hexdigest()}",
        "disk_format": "raw",
        "container_format": "bare",
        "min_disk": 0,
        "min_ram": 0,
        "visibility": "shared",
        "protected": False,
        "hidden": False,
        "tags": [],
        "properties": {},
        "members": friends,
    }


def test_what_was_exported_brings_back_what_was_changed_since(cloud: Cloud) -> None:
    image_id = cloud.make(b"x", name="x", os="linux", tags=["a"])
    exported = run("image", "export").data
    cloud.patch(
        image_id,
        {"op": "add", "path": "/os", "value": "bsd"},
        {"op": "add", "path": "/more", "value": "1"},
        {"op": "replace", "path": "/tags", "value": ["b"]},
        {"op": "replace", "path": "/min_ram", "value": 5},
    )
    changed = cloud.one("x")
    run("image", "apply", "-", stdin=exported)
    back = cloud.one("x")
    assert (back["os"], back["tags"], back["min_ram"], "more" in back) == ("linux", ["a"], 0, False)
    assert (changed["os"], changed["more"]) == ("bsd", "1")
    assert "glancectl_catalogue" not in back  # it was not created for a catalogue


def test_an_export_has_one_image_of_a_name_and_says_what_it_leaves_out(
    cloud: Cloud, new_project: NewProject
) -> None:
    Cloud(new_project()).make(b"theirs", name="known", visibility="community")
    older = cloud.make(b"older", name="known")
    nameless = cloud.make(b"nameless")
    queued = cloud.make(b"", name="queued")
    time.sleep(1.1)  # of ``created_at`` the second is all there is
    newer = cloud.make(b"newer", name="known")
    result = run("image", "export", "--visibility", "all")
    [image] = yaml.safe_load(result.out)["images"]
    assert image["checksum"] == f"sha512:{hashlib.sha512(b'newer').hexdigest()}"
    assert sorted(result.err.splitlines()) == sorted([
        f"image {older} is left out: {newer} is newer and named alike",
        f"image {nameless} is left out: it has no name",
        f"image {queued} is left out: its status is queued",
    ])  # fmt: skip
    assert run("image", "export", "-q").err == ""


def test_an_export_takes_the_filters_of_a_list(cloud: Cloud) -> None:
    cloud.make(b"a", name="ci-a", tags=["ci", "lts"], os="linux", min_ram=1)
    cloud.make(b"bb", name="ci-b", tags=["ci"], visibility="community")
    cloud.make(b"c", name="c", protected=True)
    for options, names in (
        ([], {"ci-a", "ci-b", "c"}),
        (["--match", "ci-*"], {"ci-a", "ci-b"}),
        (["--name", "c"], {"c"}),
        (["--tag", "ci", "--tag", "lts"], {"ci-a"}),
        (["--property", "os=linux"], {"ci-a"}),
        (["--visibility", "community"], {"ci-b"}),
        (["--protected"], {"c"}),
        (["--size-min", 2], {"ci-b"}),
        (["--filter", "min_ram=1"], {"ci-a"}),
        (["--status", "queued"], set()),
        (["--created-after", "2100-01-01"], set()),
        (["--hash", hashlib.sha512(b"c").hexdigest()], {"c"}),
    ):
        found = yaml.safe_load(run("image", "export", *options).out)["images"]
        assert {image["name"] for image in found} == names, options
    in_order = run("image", "export", "--sort", "name:asc", "--limit", 2, "-f", "json").json
    assert [image["name"] for image in in_order["images"]] == ["c", "ci-a"]
    assert "'csv' is not one of 'yaml', 'json'" in run("image", "export", "-f", "csv", code=2).err


def test_a_token_alone_does_not_tell_whose_images_are_meant(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_TOKEN", password_token(project.env))
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", project.sandbox.glance)
    for argv in (["export"], ["apply", write({"images": []})]):
        assert "which project is yours cannot be told" in run("image", *argv, code=3).err


# Killed, stopped, at once


def started(path: str, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "glancectl", "image", "apply", path, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.reliability("apply killed at any moment: the next run makes the catalogue true")
def test_a_run_that_was_killed_is_made_up_for_by_the_next(
    cloud: Cloud,
    proxy: FaultProxy,
    full_scale: bool,
    record_property: Callable[[str, object], None],
) -> None:
    kills = 300 if full_scale else 30
    record_property("tried", kills)
    images: list[dict[str, object]] = []

    def begin(name: str) -> "subprocess.Popen[bytes]":
        """Apply a catalogue of one image."""
        image = raw_image(name, tags=["t"], properties={"k": "v"}, members=["f" * 32])
        images.append(image)
        path = write({"catalogue": "all", "images": [image]}, f"{name}.yaml")
        proxy.requests.clear()
        return started(path)

    def has_come_to(request: int, process: "subprocess.Popen[bytes]") -> bool:
        return proxy.count() >= request or process.poll() is not None

    run("image", "list")  # logs in and keeps the token
    begin("whole").communicate()
    usual = proxy.count()
    for number in range(kills):
        process = begin(f"killed-{number}")
        wait_for(partial(has_come_to, 1 + number % usual, process))
        time.sleep(random.uniform(0, 0.03))
        process.kill()
        process.communicate()
    begun = [image for image in cloud.images() if "glancectl_job" in image]
    assert begun, "no kill came in the middle of anything"
    write({"catalogue": "all", "images": images})
    apply("images.yaml", "--jobs", 8)
    found = {image["name"]: image for image in cloud.images()}
    assert len(cloud.images()) == len(images)
    assert {name: image["os_hash_value"] for name, image in found.items()} == {
        str(image["name"]): sha512(str(image["source"])) for image in images
    }
    for image in found.values():
        assert (image["status"], image["os_hidden"], image["tags"]) == ("active", False, ["t"])
        assert (image["k"], "glancectl_job" in image) == ("v", False)
        assert cloud.members(image["id"]) == ["f" * 32]
    assert set(actions(apply("images.yaml", "--prune", "--jobs", 8)).values()) == {"unchanged"}


def test_what_a_killed_run_left_of_an_image_that_has_left_the_file_is_pruned(
    cloud: Cloud, proxy: FaultProxy
) -> None:
    run("image", "list")
    proxy.add("^PUT", stall_request=1024, stall=20)
    write({"images": [raw_image("a")]})
    process = started("images.yaml")
    wait_for(lambda: bool(cloud.images()))
    write({"images": []})
    apply("images.yaml", "--prune")  # while the other job is still at it
    assert len(cloud.images()) == 1
    process.kill()
    process.communicate()
    apply("images.yaml", "--prune")
    assert cloud.images() == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_half_done(
    cloud: Cloud, proxy: FaultProxy, signum: signal.Signals
) -> None:
    run("image", "list")
    proxy.add("^PUT", times=2, stall_request=1024, stall=20)
    write({"images": [raw_image("a"), raw_image("b"), raw_image("c")]})
    process = started("images.yaml", "--jobs", "2")
    wait_for(lambda: proxy.count("^PUT") == 2)
    process.send_signal(signum)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 128 + signum
    assert told.decode().count("the record it had made was removed") == 2
    assert "Traceback" not in told.decode()
    assert cloud.images() == []


def test_jobs_at_once_end_with_one_image_of_each_name(cloud: Cloud) -> None:
    run("image", "list")
    write({"images": [raw_image("a"), raw_image("b")]})
    jobs = [started("images.yaml", "--prune") for _ in range(3)]
    for job in jobs:
        _, told = job.communicate(timeout=60)
        assert job.returncode == 0, told
    shown = [image for image in cloud.images() if not image["os_hidden"]]
    assert sorted((image["name"], image["os_hash_value"]) for image in shown) == [
        ("a", sha512("a.raw")), ("b", sha512("b.raw"))
    ]  # fmt: skip
    assert not [image for image in cloud.images() if "glancectl_job" in image]
    assert set(actions(apply("images.yaml")).values()) == {"unchanged"}
