"""Each refusal of Glance that users can meet: its HTTP status, our exit code, and the sentence.

One row for each error that the API has for these calls and that a real cloud can be brought to
give. What is wrong before anything is sent has no status.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Project, Sandbox, log_in, run

MISSING = "00000000-0000-4000-8000-000000000000"
TAKEN = "6b1e2d7e-0000-4000-8000-0000000000bb"
GONE = "6b1e2d7e-0000-4000-8000-0000000000cc"
NOBODY = "f" * 32  # the form of a project id

# Who types it.
OWNER, ADMIN, READER, OTHER = "owner", "admin", "reader", "other"


@dataclass(frozen=True)
class Row:
    """What is typed, by whom, and what comes of it. ``{name}`` in argv: an id of the world."""

    argv: str
    status: int | None
    code: int
    words: str
    who: str = OWNER


CREATE = [
    Row("image create x --disk-format floppy", 400, 1, "is not one of"),
    Row("image create x --id 12", 400, 1, "does not match"),
    Row("image create x --property status=active", 403, 1, "read-only"),
    Row("image create x --property os_glance_x=1", 403, 1, "reserved"),
    Row("image create x --property deleted_at=1", 403, 1, "reserved"),
    Row("image create x --visibility public", 403, 3, "not authorized"),
    Row(f"image create x --owner {NOBODY}", 403, 3, "not permitted to create images"),
    Row("image create x", 403, 3, "not authorized", READER),
    Row(f"image create x --id {TAKEN}", 409, 1, "already exists"),
    Row(f"image create x --id {GONE}", 409, 1, "already exists"),
    Row("image create x --tag " + "t" * 256, 400, 1, "too long"),
    Row("image create " + "n" * 256, 400, 1, "too long"),
    Row("image create \U0001f600", 400, 1, "4 byte unicode"),
]
SHOW_AND_LIST = [
    Row(f"image show {MISSING}", 404, 4, "No image found"),
    Row(f"image show {GONE}", 404, 4, "No image found"),
    Row("image show {private}", 404, 4, "No image found", OTHER),
    Row("image list --sort nope", 400, 1, "sort key"),
    Row("image list --filter visibility=nope", 400, 1, "visibility"),
    Row("image list --filter created_at=nope", 400, 1, "Bad"),
    Row("image list --filter name=neq:x", 400, 1, "filter"),
    Row("image list --filter protected=True", 400, 1, "protected"),
    Row("image list --filter size_min=many", 400, 1, "non-numeric"),
    Row("image list --filter member_status=nope", 400, 1, "Invalid status"),
    Row(f"image list --marker {MISSING}", 400, 1, "No image found"),
]
UPDATE = [
    Row("image update {queued} --patch {{}}", 400, 1, "must be a JSON array"),
    Row('image update {queued} --patch [{{"op":"test","path":"/a"}}]', 400, 1, "Invalid operation"),
    Row('image update {queued} --patch [{{"op":"remove","path":"a"}}]', 400, 1, "start with"),
    Row('image update {queued} --patch [{{"op":"remove","path":"/a/b"}}]', 400, 1, "pointer"),
    Row('image update {queued} --patch [{{"op":"remove","path":"/name"}}]', 403, 1, "removed"),
    Row('image update {queued} --patch [{{"op":"remove","path":"/nope"}}]', 409, 1, "not exist"),
    Row("image update {queued} --property size=1", 403, 1, "read-only"),
    Row("image update {queued} --properties-file {many}", 413, 1, "image properties"),
    Row("image update {queued} --property os_glance_x=1", 403, 1, "reserved"),
    Row("image update {queued} --property base=x", None, 1, "a part of itself"),
    Row("image update {queued} --property member=x", None, 1, "silently left out /member"),
    Row("image update {queued} --disk-format floppy", 400, 1, "is not one of"),
    Row("image update {queued} --visibility public", 403, 3, "not authorized"),
    Row(f"image update {{queued}} --owner {NOBODY}", 403, 3, "Owner can't be updated"),
    Row("image update {active} --disk-format qcow2", 403, 1, "for a queued image"),
    Row("image update {community} --name x", 403, 3, "not authorized", OTHER),
    Row("image update {private} --name x", 404, 4, "No image found", OTHER),
]
DELETE_AND_ACTIVATE = [
    Row("image delete {protected}", 403, 1, "is protected"),
    Row("image delete {community}", 403, 3, "not authorized", OTHER),
    Row(f"image delete {MISSING}", 404, 4, "Failed to find image"),
    Row("image deactivate {queued}", 403, 1, "in status 'queued'"),
    Row("image activate {queued}", 403, 1, "in status 'queued'"),
    Row("image deactivate {community}", 403, 3, "not authorized", OTHER),
    Row(f"image deactivate {MISSING}", 404, 4, "No image found"),
]
DATA = [
    Row("image upload {bare} {noise} --no-sniff", 400, 1, "must be set prior"),
    Row("image upload {queued} {noise} --store nope", 400, 4, "no such store"),
    Row("image upload {queued} {noise} --store web", 410, 1, "disabled"),
    Row("image upload {as_qcow2} {noise} --no-sniff", 415, 6, "does not match"),
    Row("image upload {queued_community} {noise}", 403, 3, "not authorized", OTHER),
    Row("image upload {active} {noise}", None, 1, "its status is active"),
    Row("image upload {private} {noise}", 404, 4, "No image found", OTHER),
    Row("image stage {queued_community} {noise}", 403, 3, "not authorized", OTHER),
    Row("image stage {active} {noise}", None, 1, "its status is active"),
    Row("image download {queued} -", 204, 1, "has no data yet"),
    Row("image download {active} - --prefer nope", 400, 4, "no such store"),
    Row("image download {deactivated} -", 403, 1, "deactivated"),
    Row("image download {community} -", 403, 3, "not authorized", READER),
    Row("image download {private} -", 404, 4, "No image found", OTHER),
]
IMPORT = [
    Row("image import {bare} --method web-download --uri http://127.0.0.1/", 409, 1, "to be set"),
    Row("image import {queued} --method glance-direct", 409, 1, "needs to be staged"),
    Row("image import {queued} --method copy-image", 409, 1, "status active", ADMIN),
    Row("image import {active} --method copy-image --store slow", 403, 3, "not authorized"),
    Row("image import {active} --method copy-image --store fast", 400, 1, "already present", ADMIN),
    Row("image import {active} --method copy-image", 400, 1, "already present", ADMIN),
    Row("image import {active} --method web-download --uri http://a/", 409, 1, "status active"),
    Row("image import {queued} --method web-download --uri http://127.0.0.1:1/", None, 8, "failed"),
    Row("image import {queued} --method web-download --uri file:///x", 400, 1, "not pass filter"),
    Row(
        "image import {queued} --method glance-download --remote-region R --remote-image 12",
        400, 1, "does not look like a UUID",
    ),
    Row("image import {queued_community} --method web-download --uri http://a/", 403, 3, "not auth",
        OTHER),
    Row("image import {queued} --method nope", None, 1, "cannot import by 'nope'"),
    Row("image import {queued} --method web-download --uri http://a/ --store no", None, 4, "store"),
]  # fmt: skip
MEMBERS = [
    Row("member list {private}", 403, 1, "Only shared images have members"),
    Row("member list {private}", 404, 4, "not found", OTHER),
    Row(f"member show {{shared}} {NOBODY}", 404, 4, "not found"),
    Row(f"member show {{private}} {NOBODY}", 404, 4, "Only shared images have members"),
    Row(f"member add {{community}} {NOBODY}", None, 1, "only shared images have members"),
    Row(f"member add {{shared}} {NOBODY}", 403, 3, "not authorized", OTHER),
    Row("member update {shared} {other_project} --status accepted", 403, 3, "not authorized"),
    Row(f"member update {{shared}} {NOBODY} --status accepted", 404, 4, "member list", OTHER),
    Row("member remove {shared} {other_project}", 403, 3, "not authorized", OTHER),
    Row(f"member remove {{shared}} {NOBODY}", 404, 4, "member list"),
    Row("member accept {shared}", 404, 4, "member list"),
    Row(f"member add {{shared}} {NOBODY}", None, 4, "no project", ADMIN),
]
TAGS = [
    Row("tag add {queued} " + "t" * 256, 400, 1, "too long"),
    Row("tag replace {queued} " + " ".join(map(str, range(129))), 413, 1, "image tags"),
    Row("tag add {community} x", 403, 3, "not authorized", OTHER),
    Row("tag add {private} x", 404, 4, "No image found", OTHER),
    Row("tag remove {queued} nope", None, 4, "has no tag 'nope'"),
    Row("tag add {queued} \U0001f600", 400, 1, "4 byte unicode"),
]
TASKS = [
    Row("task list", 403, 3, "not authorized"),
    Row(f"task show {MISSING}", 403, 3, "not authorized"),
    Row(f"task show {MISSING}", 404, 4, "Could not find task", ADMIN),
    Row(f"task wait {MISSING}", 404, 4, "Could not find task", ADMIN),
    Row(f"task show {MISSING} --image {{active}}", None, 4, "has no task"),
    Row(f"task list --image {MISSING}", 404, 4, "not found"),
    Row("task create --type import --input {{}}", 403, 3, "not authorized"),
    Row("task create --type import --input {{}}", 400, 1, "Invalid location", ADMIN),
    Row("task create --type nope --input {{}}", 400, 1, "is not one of", ADMIN),
    Row("task create --type import --input null", 400, 1, "Invalid location", ADMIN),
    Row(
        'task create --type import --input {{"import_from":"file:///etc/passwd",'
        '"import_from_format":"raw","image_properties":{{}}}}',
        400, 1, "File based imports", ADMIN,
    ),
    Row("task list --sort nope", 400, 1, "Sort key", ADMIN),
    Row("task list --filter status=nope", 400, 1, "Invalid status", ADMIN),
]  # fmt: skip
STORES = [
    Row("store list --detail", 403, 3, "not authorized"),
    Row("store delete fast {active}", 403, 3, "not authorized"),
    Row("store delete fast {active}", 403, 1, "only store containing it", ADMIN),
    Row("store delete nope {active}", 409, 4, "no such store", ADMIN),
    Row(f"store delete fast {MISSING}", 404, 4, "not found", ADMIN),
    Row("image locations list {active}", 403, 3, "not authorized"),
    Row("image locations add {queued} http://169.254.1.1/", 400, 1, "not pass filtering"),
    Row("image locations add {queued} file:///x", 403, 3, "http store must be enabled"),
    Row("image locations add {queued} http://127.0.0.1/ --checksum blake2b:ab", None, 2, ""),
    Row("image locations add {active} http://127.0.0.1/", None, 1, "its status is active"),
    Row("cache list", 403, 3, "not authorized"),
    Row("cache queue {queued}", 400, 1, "status active", ADMIN),
    Row(f"cache queue {MISSING}", 404, 4, "not found", ADMIN),
    Row(f"cache delete {MISSING}", 404, 4, "not found", ADMIN),
    Row("cache delete {active}", 403, 3, "not authorized"),
    Row("cache clear", 403, 3, "not authorized"),
    Row("cache clean", 403, 3, "not authorized"),
    Row("cache prune", 403, 3, "not authorized"),
    Row(f"cache nodes {MISSING}", 404, 4, "not found", ADMIN),
]
ROWS = [
    *CREATE, *SHOW_AND_LIST, *UPDATE, *DELETE_AND_ACTIVATE, *DATA, *IMPORT, *MEMBERS, *TAGS,
    *TASKS, *STORES,
]  # fmt: skip


@dataclass(frozen=True)
class World:
    """The people and the images that the rows speak of."""

    people: dict[str, Project]
    names: dict[str, str]


@pytest.fixture(scope="module")
def world(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    noise = folder / "noise.raw"
    noise.write_bytes(os.urandom(4096))
    many = folder / "many.json"
    many.write_text(json.dumps({f"p{number}": "" for number in range(129)}))
    people = {
        OWNER: Project(sandbox),
        ADMIN: Project(sandbox, "admin"),
        READER: Project(sandbox, "reader"),
        OTHER: Project(sandbox),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        log_in(people[OWNER], patch)

        def make(*options: object) -> str:
            return run("image", "create", "-q", *options).out.strip()

        raw = ("--disk-format", "raw")
        data = (*raw, "--file", noise)
        names = {
            "noise": str(noise),
            "many": str(many),
            "other_project": people[OTHER].id,
            "queued": make(*raw),
            "bare": make(),
            "as_qcow2": make("--disk-format", "qcow2"),
            "queued_community": make(*raw, "--visibility", "community"),
            "active": make(*data),
            "deactivated": make(*data),
            "protected": make("--protected"),
            "private": make("--visibility", "private"),
            "community": make(*data, "--visibility", "community"),
            "shared": make(),
        }
        run("image", "deactivate", names["deactivated"])
        run("member", "add", names["shared"], people[OTHER].id)
        make("--id", TAKEN)
        make("--id", GONE)
        run("image", "delete", GONE)
        yield World(people, names)
        run("image", "delete", names["protected"], "--unprotect")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.who}-{row.argv}"[:90])
def test_refusal(row: Row, world: World, tmp_path: Path) -> None:
    argv = [part.format_map(world.names) for part in row.argv.split(" ")]
    result = run(*argv, "-f", "json", code=row.code, user=world.people[row.who])
    assert result.out == ""
    if row.code == 2:
        assert result.err.startswith("glancectl: error: ")
        return
    error = json.loads(result.err.splitlines()[-1])["error"]
    assert (error["exit"], error["status"]) == (row.code, row.status)
    assert row.words in f"{error['message']} {error['cause']}"
    assert (error["request_id"] is None) is (row.status is None)
    assert "<" not in f"{error['message']} {error['cause']}"
