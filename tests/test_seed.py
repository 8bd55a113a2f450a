"""Each method of OpenStack4j's Images V2, done with glancectl; docs/openstack4j.md names them."""

import json
import re
import sys
from pathlib import Path

import pytest
from conftest import Project, run

TABLE = Path(__file__).parents[1] / "docs" / "openstack4j.md"
ROW = re.compile(r"\| `(?P<method>[^|]+)` \| `(?P<command>[^|]+)`[^|]* \| `(?P<test>\w+)` \|")
ROWS = [found for line in TABLE.read_text().splitlines() if (found := ROW.fullmatch(line))]

DATA = b"the data of an image\n" * 1000


@pytest.fixture
def image(project: Project, tmp_path: Path) -> str:
    """The id of an active image named web."""
    (tmp_path / "web.raw").write_bytes(DATA)
    command = ["image", "create", "web", "--disk-format", "raw", "--file", tmp_path / "web.raw"]
    return run(*command, "-q").out.strip()


def shown(image_id: str) -> dict[str, object]:
    record: dict[str, object] = run("image", "show", image_id, "-f", "json").json
    return record


def test_create(project: Project) -> None:
    command = ["image", "create", "cirros", "--container-format", "bare", "--disk-format", "qcow2"]
    record = run(*command, "--visibility", "private", "--min-disk", 0, "--min-ram", 0, "-f", "json")
    assert (record.json["status"], record.json["visibility"]) == ("queued", "private")


def test_upload_from_url(project: Project, served: tuple[str, Path]) -> None:
    url, folder = served
    (folder / "web.raw").write_bytes(DATA)
    image_id = run("image", "create", "web", "--disk-format", "raw", "-q").out.strip()
    run("image", "upload", image_id, f"{url}/web.raw")
    assert (shown(image_id)["status"], shown(image_id)["size"]) == ("active", len(DATA))


def test_upload_from_file(image: str) -> None:
    assert shown(image)["status"] == "active"


def test_upload_from_stream(project: Project) -> None:
    image_id = run("image", "create", "web", "--disk-format", "raw", "-q").out.strip()
    run("image", "upload", image_id, "-", stdin=DATA)
    assert shown(image_id)["size"] == len(DATA)


def test_download(image: str, tmp_path: Path) -> None:
    run("image", "download", image, tmp_path / "copy.raw")
    assert (tmp_path / "copy.raw").read_bytes() == DATA


def test_update_by_fields(image: str) -> None:
    run("image", "update", image, "--name", "New Name")
    assert shown(image)["name"] == "New Name"


def test_update_by_patch(image: str) -> None:
    operations = [{"op": "replace", "path": "/min_disk", "value": 4}]
    run("image", "update", image, "--patch", json.dumps(operations))
    assert shown(image)["min_disk"] == 4


def test_delete(image: str) -> None:
    run("image", "delete", image)
    run("image", "show", image, code=4)


def test_list(image: str) -> None:
    assert run("image", "list").out == f"{image}\tweb\tactive\tshared\t{len(DATA)}\n"


def test_list_filtered(image: str) -> None:
    assert run("image", "list", "--filter", "name=eq:web", "-q").lines == [image]
    assert run("image", "list", "--filter", "name=eq:other", "-q").lines == []


def test_get(image: str) -> None:
    assert shown(image)["id"] == image


def test_deactivate_and_activate(image: str) -> None:
    run("image", "deactivate", image)
    assert shown(image)["status"] == "deactivated"
    run("image", "download", image, "-", code=1)
    run("image", "activate", image)
    assert run("image", "download", image, "-").data == DATA


def test_tags(image: str) -> None:
    run("tag", "add", image, "lts")
    assert shown(image)["tags"] == ["lts"]
    run("tag", "remove", image, "lts")
    assert shown(image)["tags"] == []


def test_members(image: str, project: Project, admin: Project) -> None:
    run("member", "add", image, admin.id)
    members = run("member", "list", image, "-f", "json").json
    assert [member["member_id"] for member in members] == [admin.id]
    run("member", "update", image, admin.id, "--status", "accepted", user=admin)
    member = run("member", "show", image, admin.id, "-f", "json").json
    assert (member["member_id"], member["status"]) == (admin.id, "accepted")
    run("member", "remove", image, admin.id)
    assert run("member", "list", image).out == ""


def test_tasks(project: Project, admin: Project, served: tuple[str, Path]) -> None:
    url, folder = served
    (folder / "web.raw").write_bytes(DATA)
    properties = {"name": "web", "disk_format": "raw", "container_format": "bare"}
    given = {"import_from": f"{url}/web.raw", "import_from_format": "raw"}
    given_json = json.dumps({**given, "image_properties": properties})
    command = ["task", "create", "--type", "import", "--input", given_json, "-q"]
    task_id = run(*command, user=admin).out.strip()
    run("task", "wait", task_id, user=admin)
    assert task_id in run("task", "list", "-q", user=admin).lines
    assert run("task", "list", "--filter", f"id={task_id}", "-q", user=admin).lines == [task_id]
    task = run("task", "show", task_id, "-f", "json", user=admin).json
    assert task["status"] == "success"
    run("image", "delete", task["result"]["image_id"], user=admin)


# The table


def test_the_table_has_every_method_of_the_seed() -> None:
    assert [row["method"] for row in ROWS] == [
        "create(Image)", "upload(id, Payload<URL>, image)", "upload(id, Payload<File>, image)",
        "upload(id, Payload<InputStream>, image)", "download(id, File)", "update(Image)",
        "update(id, ImageUpdate)", "delete(id)", "list()", "list(Map)", "get(id)",
        "deactivate(id)", "reactivate(id)", "updateTag(id, tag)", "deleteTag(id, tag)",
        "listMembers(id)", "getMember(id, member)", "createMember(id, member)",
        "updateMember(id, member, status)", "deleteMember(id, member)", "tasks().create(Task)",
        "tasks().list()", "tasks().list(Map)", "tasks().get(id)",
    ]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["method"])
def test_a_row_names_a_test_and_a_command_that_there_are(row: re.Match[str]) -> None:
    assert row["test"] in vars(sys.modules[__name__])
    group, verb = row["command"].split()[1:3]
    assert run(group, verb, "--help").out
