"""image update, activate, deactivate: what is sent, what is said, what it does to the record."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import HTTP, Project, Result, Sandbox, log_in, run
from faultproxy import FaultProxy
from test_image import make, status_of

from glancectl.patch import FIELDS

NewProject = Callable[..., Project]


@pytest.fixture(scope="module")
def owner(sandbox: Sandbox) -> Project:
    return Project(sandbox)


@pytest.fixture(scope="module")
def token_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def project(owner: Project, token_cache: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One project and one login for all tests here: most are a row that costs less than those."""
    monkeypatch.setenv("XDG_CACHE_HOME", token_cache)
    log_in(owner, monkeypatch)
    return owner


@pytest.fixture(scope="module")
def untouched(owner: Project, token_cache: str) -> dict[str, Any]:
    """The record of an image that no test succeeds in changing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", token_cache)
        log_in(owner, patched)
        return show(make("old", "--tag", "a", "--property", "k=v"))


def update(image_id: str, *options: object, **how: Any) -> Result:
    return run("image", "update", image_id, *options, **how)


def show(image_id: str, user: Project | None = None) -> dict[str, Any]:
    record: dict[str, Any] = run("image", "show", image_id, "-f", "json", user=user).json
    return record


def make_active(tmp_path: Path, *options: object) -> str:
    """Create an image with the data ``data`` and return its id."""
    (tmp_path / "data.raw").write_bytes(b"data")
    return make(None, "--disk-format", "raw", "--file", tmp_path / "data.raw", *options)


def patch(*operations: tuple[str, str] | tuple[str, str, object]) -> str:
    """Return the text of a JSON patch."""
    return json.dumps([dict(zip(("op", "path", "value"), one, strict=False)) for one in operations])


# fields


@pytest.mark.parametrize(
    ("before", "flags", "field", "value"),
    [
        ([], ["--name", "é, b/c"], "name", "é, b/c"),
        ([], ["--name", ""], "name", ""),
        (["--disk-format", "raw"], ["--disk-format", "qcow2"], "disk_format", "qcow2"),
        ([], ["--container-format", "ovf"], "container_format", "ovf"),
        ([], ["--min-disk", 3], "min_disk", 3),
        (["--min-disk", 3], ["--min-disk", 0], "min_disk", 0),
        ([], ["--min-ram", 512], "min_ram", 512),
        ([], ["--visibility", "private"], "visibility", "private"),
        ([], ["--visibility", "community"], "visibility", "community"),
        (["--visibility", "private"], ["--visibility", "shared"], "visibility", "shared"),
        ([], ["--protected"], "protected", True),
        (["--protected"], ["--unprotected"], "protected", False),
        ([], ["--hidden"], "os_hidden", True),
        (["--hidden"], ["--visible"], "os_hidden", False),
    ],
)
def test_each_flag_changes_its_field_once_and_nothing_else(
    project: Project,
    proxy: FaultProxy,
    before: list[str],
    flags: list[object],
    field: str,
    value: object,
) -> None:
    image_id = make(None, "--tag", "t", "--property", "k=v", *before)
    old = show(image_id)
    new = update(image_id, *flags, "-f", "json").json
    assert new == {**old, field: value, "updated_at": new["updated_at"]}
    proxy.requests.clear()
    assert update(image_id, *flags, "-f", "json").json == new
    assert proxy.requests == [f"GET /v2/images/{image_id}"]


def test_all_flags_at_once_are_one_request(project: Project, proxy: FaultProxy) -> None:
    image_id = make("old", "--tag", "a", "--tag", "b", "--property", "x=1", "--property", "y=1")
    proxy.requests.clear()
    new = update(
        image_id, "--name", "new", "--disk-format", "qcow2", "--container-format", "ova",
        "--min-disk", 1, "--min-ram", 2, "--visibility", "private", "--protected", "--hidden",
        "--tag", "c", "--remove-tag", "a", "--property", "z=2", "--remove-property", "x",
        "--owner", project.id, "-f", "json",
    ).json  # fmt: skip
    assert proxy.requests == [f"GET /v2/images/{image_id}", f"PATCH /v2/images/{image_id}"]
    expected = {
        "name": "new", "disk_format": "qcow2", "container_format": "ova", "min_disk": 1,
        "min_ram": 2, "visibility": "private", "protected": True, "os_hidden": True, "y": "1",
        "z": "2", "owner": project.id,
    }  # fmt: skip
    assert {key: new[key] for key in expected} == expected
    assert sorted(new["tags"]) == ["b", "c"]
    assert "x" not in new


def test_an_update_by_name_is_two_lists_and_one_patch(project: Project, proxy: FaultProxy) -> None:
    image_id = make("by name")
    proxy.requests.clear()
    assert run("image", "update", "by name", "--name", "db", "-q").out == f"{image_id}\n"
    assert (proxy.count("^GET /v2/images[?]"), proxy.count("^PATCH")) == (2, 1)
    assert len(proxy.requests) == 3


def test_an_update_of_nothing_prints_the_record(project: Project, proxy: FaultProxy) -> None:
    image_id = make("web")
    proxy.requests.clear()
    result = update(image_id, "-c", "id", "-c", "name")
    assert (result.out, result.err) == (f"id\t{image_id}\nname\tweb\n", "")
    assert proxy.requests == [f"GET /v2/images/{image_id}"]


@pytest.mark.parametrize("by", ["id", "name"])
def test_an_admin_gives_an_image_to_another_project(
    project: Project, admin: Project, new_project: NewProject, by: str
) -> None:
    image_id, other = make("gift"), new_project()
    owner = {"id": other.id, "name": other.name}[by]
    assert update(image_id, "--owner", owner, "-f", "json", user=admin).json["owner"] == other.id
    assert show(image_id, user=other)["owner"] == other.id
    run("image", "show", image_id, code=4)


def test_a_user_may_not_give_an_image_away(project: Project, new_project: NewProject) -> None:
    image_id, other = make("mine"), new_project()
    before = show(image_id)
    for owner in ([other.id], [other.name], [other.id, "--no-check"]):
        assert update(image_id, "--name", "x", "--owner", *owner, code=3).out == ""
    assert show(image_id) == before


def test_an_owner_that_does_not_exist_is_exit_4(project: Project, admin: Project) -> None:
    image_id = make()
    assert "no project" in update(image_id, "--owner", "f" * 32, code=4, user=admin).err
    assert show(image_id)["owner"] == project.id


def test_public_is_for_admins(project: Project, admin: Project) -> None:
    image_id = make()
    refused = update(image_id, "--visibility", "public", "--name", "x", code=3)
    assert "cause: You are not authorized to complete publicize_image action" in refused.err
    assert (show(image_id)["visibility"], show(image_id)["name"]) == ("shared", None)
    update(image_id, "--visibility", "public", user=admin)
    assert show(image_id)["visibility"] == "public"
    run("image", "delete", image_id)


@pytest.mark.parametrize(
    ("flag", "same", "other"),
    [("--disk-format", "raw", "qcow2"), ("--container-format", "bare", "ovf")],
)
def test_a_format_is_fixed_once_there_are_data(
    project: Project, proxy: FaultProxy, tmp_path: Path, flag: str, same: str, other: str
) -> None:
    image_id = make_active(tmp_path)
    before = show(image_id)
    proxy.requests.clear()
    assert update(image_id, flag, same, "-f", "json").json == before
    assert proxy.count("^PATCH") == 0
    refused = update(image_id, flag, other, "--name", "x", code=1)
    assert "can be only replaced for a queued image" in refused.err
    assert show(image_id) == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--name", "\U0001f600"], "Name can't contain 4 byte unicode characters."),
        (["--property", "k=\U0001f600"], "4 byte unicode"),
        (["--name", "n" * 256], "too long"),
        (["--tag", "t" * 256], "too long"),
        (["--disk-format", "floppy"], "'floppy' is not one of"),
        (["--property", "size=1"], "Attribute 'size' is read-only."),
        (["--property", "os_glance_x=1"], "Attribute 'os_glance_x' is reserved."),
        (["--property", "deleted=1"], "Attribute 'deleted' is reserved."),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_what_glance_refuses_is_exit_1_with_its_words(
    project: Project, untouched: dict[str, Any], flags: list[str], words: str
) -> None:
    image_id = untouched["id"]
    result = update(image_id, "--min-ram", 1, *flags, code=1)
    assert result.out == ""
    assert result.err.startswith(f"glancectl: error: cannot update image {image_id}: ")
    cause = next(line for line in result.err.splitlines() if line.startswith("  cause: "))
    assert words in cause
    assert "  request id: req-" in result.err
    assert show(image_id) == untouched


def test_a_foreign_image_is_not_changed(project: Project, new_project: NewProject) -> None:
    community, private = (make(None, "--visibility", v) for v in ("community", "private"))
    before, other = [show(community), show(private)], new_project()
    assert "not authorized" in update(community, "--name", "x", code=3, user=other).err
    assert "not found" in update(private, "--name", "x", code=4, user=other).err
    assert [show(community), show(private)] == before


# tags


def test_tags_are_added_and_removed(project: Project, proxy: FaultProxy) -> None:
    image_id = make(None, "--tag", "a", "--tag", "b")
    flags = ["--tag", "é/x", "--tag", "a b", "--tag", "a", "--remove-tag", "b"]
    assert sorted(update(image_id, *flags, "-f", "json").json["tags"]) == ["a", "a b", "é/x"]
    proxy.requests.clear()
    again = update(image_id, *flags)
    assert again.err == f"image {image_id} has no tag 'b'\n"
    assert proxy.count("^PATCH") == 0
    flags = ["--remove-tag", "a", "--remove-tag", "a b", "--remove-tag", "é/x"]
    assert update(image_id, *flags, "-f", "json").json["tags"] == []


def test_a_four_byte_tag_is_exit_1(project: Project) -> None:
    image_id = make(None, "--tag", "a")
    refused = update(image_id, "--tag", "\U0001f600", code=1)
    assert "cause: Param values can't contain 4 byte unicode." in refused.err
    assert show(image_id)["tags"] == ["a"]


def test_an_empty_tag_is_refused(project: Project, proxy: FaultProxy) -> None:
    image_id = make()
    proxy.requests.clear()
    result = update(image_id, "--tag", "", code=2)
    assert result.err == "glancectl: error: a tag cannot be empty\n"
    assert proxy.requests == []


def test_an_unrelated_update_keeps_a_tag_added_meanwhile(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("old", "--tag", "a")
    headers = {"X-Auth-Token": run("auth", "token").out.strip()}
    url = f"{project.sandbox.glance}/v2/images/{image_id}"
    proxy.add("^PATCH", stall=0.7)

    def name_when_tagged() -> str:
        deadline = time.monotonic() + 10
        while proxy.count("^PATCH") == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert HTTP.put(f"{url}/tags/meanwhile", headers=headers).status_code == 204
        return str(HTTP.get(url, headers=headers).json()["name"])

    with ThreadPoolExecutor(1) as pool:
        tagging = pool.submit(name_when_tagged)
        new = update(image_id, "--name", "new", "--property", "k=v", "-f", "json").json
        assert tagging.result() == "old"
    assert sorted(new["tags"]) == ["a", "meanwhile"]
    assert (new["name"], new["k"]) == ("new", "v")


# properties


def test_properties_come_from_flags_and_files(project: Project, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("two\nlines\n")
    (tmp_path / "props.yaml").write_text("a: 4\nb: true\nc: file\nold: file\n")
    image_id = make(None, "--property", "old=1", "--property", "kept=1")
    new = update(
        image_id, "--properties-file", tmp_path / "props.yaml", "--property", "c=flag",
        "--property", f"text=@{tmp_path}/value", "--property", "at=@@x", "--property", "eq=a=b",
        "--property", "empty=", "--property", "é/~ k=v", "-f", "json",
    ).json  # fmt: skip
    expected = {
        "a": "4", "b": "true", "c": "flag", "old": "file", "kept": "1", "text": "two\nlines",
        "at": "@x", "eq": "a=b", "empty": "", "é/~ k": "v",
    }  # fmt: skip
    assert {key: new.get(key) for key in expected} == expected


def test_a_properties_file_may_be_json(project: Project, tmp_path: Path) -> None:
    (tmp_path / "props.json").write_text('{"a": "x\\ty", "b": 1.5, "c": false}')
    new = update(make(), "--properties-file", tmp_path / "props.json", "-f", "json").json
    assert (new["a"], new["b"], new["c"]) == ("x\ty", "1.5", "false")


@pytest.mark.parametrize("value", ["null", "[1, x]", "{x: 1}"])
def test_a_properties_file_with_a_value_that_is_no_text_is_refused(
    project: Project, tmp_path: Path, value: str
) -> None:
    (tmp_path / "props.yaml").write_text(f"k: {value}\n")
    image_id = make()
    assert update(image_id, "--properties-file", tmp_path / "props.yaml", code=1).out == ""
    assert "k" not in show(image_id)


@pytest.mark.parametrize("key", [" k", "k ", " ", "\u00a0k"], ids=ascii)
@pytest.mark.parametrize("flag", ["--property", "--remove-property"])
def test_a_key_that_glance_would_strip_is_refused(
    project: Project, proxy: FaultProxy, flag: str, key: str
) -> None:
    image_id = make(None, "--property", "k=v")
    proxy.requests.clear()
    update(image_id, flag, f"{key}=x" if flag == "--property" else key, code=2)
    assert proxy.requests == []


@pytest.mark.parametrize("key", ["delete", "member", "context", "repo"])
def test_a_property_that_glance_answers_with_200_and_does_not_store_is_exit_1(
    project: Project, key: str
) -> None:
    image_id = make()
    assert update(image_id, "--property", f"{key}=x", code=1).out == ""
    assert key not in show(image_id)


def test_a_property_named_image_id_does_not_overwrite_that_image(project: Project) -> None:
    one, two = make("one"), make("two", "--tag", "t", "--property", "k=v")
    before = show(two)
    update(one, "--property", f"image_id={two}", code=1)
    assert show(two) == before


@pytest.mark.parametrize(
    "flags", [["--remove-property", " k"], ["--purge-properties", "--property", "k=v"]], ids=str
)
def test_removing_a_key_with_a_space_spares_the_one_without(
    project: Project, flags: list[str]
) -> None:
    headers = {"X-Auth-Token": run("auth", "token").out.strip()}
    body = {" k": "1", "k": "v"}  # Glance strips the key in a PATCH, and not here
    url = f"{project.sandbox.glance}/v2/images"
    image_id = HTTP.post(url, json=body, headers=headers).json()["id"]
    update(image_id, *flags, code=None)
    assert show(image_id)["k"] == "v"


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--property", "k"], 2, "expected KEY=VALUE"),
        (["--property", "=v"], 2, "expected KEY=VALUE"),
        (["--remove-property", ""], 2, "the name of a property cannot be empty"),
        (["--property", "k=@/nonexistent"], 1, "cannot read /nonexistent"),
        (["--properties-file", "/nonexistent"], 1, "cannot read /nonexistent"),
        (["--min-disk", "-1"], 2, "--min-disk"),
        (["--visibility", "secret"], 2, "--visibility"),
        (["--jobs", "0"], 2, "--jobs"),
        (["--exit-code"], 2, "--exit-code goes with --dry-run"),
    ],
)
def test_a_wrong_option_never_reaches_the_server(
    project: Project, proxy: FaultProxy, argv: list[str], code: int, words: str
) -> None:
    result = run("image", "update", "x", *argv, code=code)
    assert words in result.err
    assert result.out == ""
    assert proxy.requests == []


@pytest.mark.parametrize(("field", "flag"), FIELDS.items())
def test_a_field_is_no_property(project: Project, proxy: FaultProxy, field: str, flag: str) -> None:
    message = f"glancectl: error: {field!r} is no custom property\n  hint: {flag}\n"
    assert run("image", "update", "x", "--property", f"{field}=4", code=2).err == message
    assert run("image", "update", "x", "--remove-property", field, code=2).err == message
    assert proxy.requests == []


def test_properties_are_removed_and_absent_ones_noted(project: Project, proxy: FaultProxy) -> None:
    image_id = make(None, "--property", "a/b~=1", "--property", "c=2", "--property", "d=3")
    proxy.requests.clear()
    flags = ["--remove-property", "a/b~", "--remove-property", "nope", "--remove-property", "d"]
    result = update(image_id, *flags, "-f", "json")
    assert result.err == f"image {image_id} has no property 'nope'\n"
    assert (result.json["c"], proxy.count("^PATCH")) == ("2", 1)
    assert not {"a/b~", "d"} & result.json.keys()


def test_what_is_absent_already_is_a_note(project: Project, proxy: FaultProxy) -> None:
    image_id = make()
    proxy.requests.clear()
    flags = ["--remove-property", "nope", "--remove-tag", "é"]
    result = update(image_id, *flags, "-c", "id")
    assert result.out == f"id\t{image_id}\n"
    assert result.err == (
        f"image {image_id} has no property 'nope'\nimage {image_id} has no tag 'é'\n"
    )
    quiet = update(image_id, *flags, "-q")
    assert (quiet.out, quiet.err) == (f"{image_id}\n", "")
    assert proxy.count("^PATCH") == 0


def test_notes_are_events_under_progress_json(project: Project) -> None:
    image_id = make()
    result = run("--progress", "json", "image", "update", image_id, "--remove-tag", "x")
    assert json.loads(result.err) == {
        "event": "note",
        "message": f"image {image_id} has no tag 'x'",
    }


def test_purge_removes_all_properties_but_those_given(project: Project) -> None:
    options = ("--tag", "t", "--min-ram", 3, "--property", "a=1", "--property", "b/c=2")
    image_id, plain = make("web", *options), show(make("web", "--tag", "t", "--min-ram", 3))
    new = update(
        image_id, "--purge-properties", "--property", "b/c=2", "--property", "d=4", "-f", "json"
    ).json
    assert new.keys() == {*plain, "b/c", "d"}
    assert (new["b/c"], new["d"], new["tags"], new["min_ram"]) == ("2", "4", ["t"], 3)
    assert update(image_id, "--purge-properties", "-f", "json").json.keys() == plain.keys()


# --patch


@pytest.mark.parametrize("form", ["argument", "file", "@file", "stdin"])
def test_a_patch_is_sent_as_given(
    project: Project, proxy: FaultProxy, tmp_path: Path, form: str
) -> None:
    image_id = make("old", "--property", "gone=1", "--property", "k=v")
    text = patch(
        ("replace", "/name", "new"), ("add", "/a~1b", "1"), ("replace", "/k", "w"),
        ("remove", "/gone"), ("replace", "/tags", ["t"]), ("add", "/min_ram", 3),
    )  # fmt: skip
    (tmp_path / "patch.json").write_text(text)
    given = {
        "argument": f" {text}", "file": str(tmp_path / "patch.json"),
        "@file": f"@{tmp_path}/patch.json", "stdin": "-",
    }[form]  # fmt: skip
    proxy.requests.clear()
    stdin = text.encode() if form == "stdin" else b""
    new = update(image_id, "--patch", given, "-f", "json", stdin=stdin).json
    assert proxy.requests == [f"GET /v2/images/{image_id}", f"PATCH /v2/images/{image_id}"]
    assert (new["name"], new["a/b"], new["k"], new["tags"]) == ("new", "1", "w", ["t"])
    assert new["min_ram"] == 3
    assert "gone" not in new


@pytest.mark.parametrize("text", ["[]", patch(("replace", "/name", "same"))])
def test_a_patch_is_sent_though_it_changes_nothing(
    project: Project, proxy: FaultProxy, text: str
) -> None:
    image_id = make("same")
    proxy.requests.clear()
    assert update(image_id, "--patch", text, "-f", "json").json["name"] == "same"
    assert proxy.count("^PATCH") == 1


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("[5]", 400, "Operations must be JSON objects"),
        ('[{"path": "/name"}]', 400, "Unable to find `op`"),
        (patch(("test", "/name", "old")), 400, "Invalid operation: `test`"),
        ('[{"op": "move", "path": "/x", "from": "/k"}]', 400, "Invalid operation: `move`"),
        ('[{"op": "copy", "path": "/x", "from": "/k"}]', 400, "Invalid operation: `copy`"),
        (patch(("add", "name", "x")), 400, 'does not start with "/"'),
        (patch(("replace", "", {})), 400, 'does not start with "/"'),
        (patch(("add", "/k/", "x")), 400, 'end with "/"'),
        (patch(("add", "/k/l", "x")), 400, "Invalid JSON pointer"),
        (patch(("add", "/~2", "x")), 400, "not part of a recognized escape sequence"),
        (patch(("add", "/tags/-", "x")), 400, "Invalid JSON pointer for this resource: '/tags/-'"),
        (patch(("add", "/k")), 400, 'requires a member named "value"'),
        (patch(("add", "/n", 5)), 400, "5 is not of type 'string'"),
        (patch(("replace", "/tags", "t")), 400, "'t' is not of type 'array'"),
        (patch(("replace", "/min_ram", "3")), 400, "'3' is not of type 'integer'"),
        (patch(("replace", "/status", "active")), 403, "Attribute 'status' is read-only."),
        (patch(("add", "/os_glance_x", "x")), 403, "Attribute 'os_glance_x' is reserved."),
        (patch(("remove", "/name")), 403, "may not be removed"),
        (patch(("replace", "/nope", "x")), 409, "nope does not exist"),
        (patch(("remove", "/nope")), 409, "nope does not exist"),
    ],
)
def test_a_patch_that_glance_refuses_is_exit_1_and_changes_nothing(
    project: Project, untouched: dict[str, Any], text: str, status: int, words: str
) -> None:
    result = update(untouched["id"], "--patch", text, "-f", "json", code=1)
    error = json.loads(result.err)["error"]
    assert (result.out, error["status"], error["kind"]) == ("", status, "refused")
    assert words in error["cause"]
    assert show(untouched["id"]) == untouched


@pytest.mark.parametrize("text", ["null", "true", "5", '"x"', '"[]"', "{}"])
@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["real", "dry-run"])
def test_json_that_is_no_list_of_operations_is_exit_1(
    project: Project, untouched: dict[str, Any], text: str, dry_run: list[str]
) -> None:
    result = update(untouched["id"], "--patch", "-", *dry_run, stdin=text.encode(), code=1)
    assert result.out == ""
    assert result.err.startswith("glancectl: error: ")


def test_a_patch_is_all_or_nothing(project: Project, untouched: dict[str, Any]) -> None:
    good = ("replace", "/name", "new"), ("add", "/x", "1"), ("remove", "/k")
    update(untouched["id"], "--patch", patch(*good, ("remove", "/nope")), code=1)
    update(untouched["id"], "--patch", patch(("replace", "/size", 1), *good), code=1)
    assert show(untouched["id"]) == untouched


def test_text_that_is_no_json_is_exit_2(
    project: Project, proxy: FaultProxy, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("nope")
    why = "  cause: Expecting value: line 1 column"
    for given, where in (("[", "the argument"), (bad, str(bad)), ("-", "stdin")):
        result = run("image", "update", "x", "--patch", given, stdin=b"[,", code=2)
        assert result.err.startswith(f"glancectl: error: {where} is not JSON\n{why}")
    assert proxy.requests == []


def test_a_patch_file_that_is_missing_is_exit_1(project: Project, proxy: FaultProxy) -> None:
    message = "glancectl: error: cannot read nope.json\n  cause: No such file or directory\n"
    assert run("image", "update", "x", "--patch", "nope.json", code=1).err == message
    assert run("image", "update", "x", "--patch", "@nope.json", code=1).err == message
    assert proxy.requests == []


@pytest.mark.parametrize(
    "flags",
    [
        ["--name", "x"], ["--name", ""], ["--min-disk", "0"], ["--unprotected"], ["--visible"],
        ["--tag", "t"], ["--remove-tag", "t"], ["--property", "k=v"], ["--remove-property", "k"],
        ["--purge-properties"],
    ],
)  # fmt: skip
def test_a_patch_goes_without_other_changes(
    project: Project, proxy: FaultProxy, flags: list[str]
) -> None:
    result = run("image", "update", "x", "--patch", "[]", *flags, code=2)
    assert result.err == "glancectl: error: --patch goes without other changes\n"
    assert proxy.requests == []


def test_stdin_cannot_hold_images_and_patch(project: Project, proxy: FaultProxy) -> None:
    result = run("image", "update", "-", "--patch", "-", stdin=b"[]", code=2)
    assert result.err == "glancectl: error: stdin cannot hold both the images and the patch\n"
    assert proxy.requests == []


# --dry-run


def test_a_dry_run_prints_the_differences_and_changes_nothing(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("old", "--tag", "a", "--property", "k=v", "--property", "gone=\t")
    before = show(image_id)
    proxy.requests.clear()
    flags = [
        "--name", "new", "--min-ram", 3, "--protected", "--tag", "b", "--property", "k=w",
        "--property", "n=1", "--remove-property", "gone", "--visibility", "shared", "--dry-run",
    ]  # fmt: skip
    differences = {
        "k": ("v", "w"), "gone": ("\t", None), "n": (None, "1"), "name": ("old", "new"),
        "protected": (False, True), "min_ram": (0, 3),
    }  # fmt: skip
    listed = update(image_id, *flags, "-f", "json")
    [tags] = [row for row in listed.json if row["field"] == "tags"]
    assert (tags["old"], tags["new"]) == (["a"], ["a", "b"])
    assert [row for row in listed.json if row != tags] == [
        {"id": image_id, "name": "old", "field": row["field"], "old": old, "new": new}
        for row in listed.json
        if row != tags
        for old, new in [differences.pop(row["field"])]
    ]
    assert (differences, listed.err) == ({}, "")
    assert sorted(update(image_id, *flags).lines) == sorted([
        f"{image_id}\tname\told\tnew", f"{image_id}\tmin_ram\t0\t3",
        f"{image_id}\tprotected\tfalse\ttrue", f"{image_id}\ttags\ta\ta,b",
        f"{image_id}\tk\tv\tw", f"{image_id}\tn\t\t1", f"{image_id}\tgone\t\\t\t",
    ])  # fmt: skip
    assert proxy.requests == [f"GET /v2/images/{image_id}"] * 2
    assert show(image_id) == before


def test_a_dry_run_promises_what_the_update_does(project: Project) -> None:
    image_id = make("old", "--tag", "a", "--property", "k=v", "--property", "gone=1")
    flags = ["--name", "new", "--tag", "b", "--purge-properties", "--property", "n=1"]
    before = show(image_id)
    promised = update(image_id, *flags, "--dry-run", "-f", "json").json
    after = update(image_id, *flags, "-f", "json").json
    for record in (before, after):
        record["tags"].sort()
        del record["updated_at"]
    done = {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    }
    assert {row["field"]: (row["old"], row["new"]) for row in promised} == done


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--name", "new"], 10),
        (["--name", "old"], 0),
        (["--remove-property", "nope"], 0),
        (["--patch", patch(("replace", "/name", "new"))], 10),
        (["--patch", patch(("replace", "/name", "old"))], 0),
        (["--patch", "[]"], 0),
    ],
)
def test_exit_code_tells_whether_anything_would_change(
    project: Project, untouched: dict[str, Any], flags: list[str], code: int
) -> None:
    image_id = untouched["id"]
    result = update(image_id, *flags, "--dry-run", "--exit-code", code=code)
    assert result.out == (f"{image_id}\tname\told\tnew\n" if code else "")
    assert result.err == ("glancectl: error: 1 of 1 images would change\n" if code else "")
    assert update(image_id, *flags, "--dry-run", code=0).out == result.out
    assert show(image_id) == untouched


def test_exit_code_in_json(project: Project) -> None:
    one, two = make("new"), make("old")
    flags = ["--name", "new", "--dry-run", "--exit-code", "-f", "json"]
    result = run("image", "update", one, two, *flags, code=10)
    assert result.json == [{"id": two, "name": "old", "field": "name", "old": "old", "new": "new"}]
    assert json.loads(result.err)["error"] == {
        "exit": 10, "kind": "differs", "message": "1 of 2 images would change", "cause": None,
        "hint": None, "status": None, "request_id": None,
    }  # fmt: skip
    assert run("image", "update", one, *flags).json == []


def test_a_dry_run_of_a_patch(project: Project, proxy: FaultProxy) -> None:
    image_id = make("old", "--property", "k=v")
    proxy.requests.clear()
    text = patch(("replace", "/name", None), ("add", "/a~1b", "1"), ("remove", "/k"))
    assert sorted(update(image_id, "--patch", text, "--dry-run").lines) == [
        f"{image_id}\ta/b\t\t1",
        f"{image_id}\tk\tv\t",
        f"{image_id}\tname\told\t",
    ]
    result = update(image_id, "--patch", patch(("remove", "/nope")), "--dry-run", code=1)
    assert result.out == ""
    assert result.err.startswith(
        f"glancectl: error: the patch does not fit image {image_id}\n  cause: "
    )
    assert proxy.count("^PATCH") == 0


def test_a_dry_run_prints_the_id_of_an_image_once_when_quiet(project: Project) -> None:
    one, two, same = make("a"), make("b"), make("new", "--min-disk", 3)
    flags = ["--name", "new", "--min-disk", 3, "--dry-run", "-q"]
    assert run("image", "update", one, same, two, *flags).lines == [one, two]


def test_a_dry_run_of_an_unknown_image_is_exit_4(project: Project) -> None:
    flags = ["--name", "x", "--dry-run", "--exit-code"]
    assert run("image", "update", "nosuch", *flags, code=4).out == ""
    one = make("a")
    result = run("image", "update", one, "nosuch", *flags, code=9)
    assert result.out == f"{one}\tname\ta\tx\n"
    assert "1 of 2 targets failed\n  nosuch: no image is named 'nosuch'\n" in result.err


# faults

FAULTS = {
    "lost": {"lose_answer": True},
    "reset": {"lose_answer": True, "reset": True},
    "504-but-done": {"status": 504, "carry_out": True},
    "500": {"status": 500},
    "503": {"status": 503, "headers": {"Retry-After": "0"}},
    "429": {"status": 429},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_update_whose_answer_did_not_come_is_sent_again(
    project: Project, proxy: FaultProxy, fault: dict[str, object]
) -> None:
    image_id = make("old", "--tag", "a", "--property", "gone=1")
    proxy.add("^PATCH", **fault)
    flags = ["--name", "new", "--tag", "b", "--property", "k=v", "--remove-property", "gone"]
    result = update(image_id, *flags, "-f", "json")
    assert (result.json["name"], result.json["k"], result.err) == ("new", "v", "")
    assert sorted(result.json["tags"]) == ["a", "b"]
    assert "gone" not in result.json
    assert proxy.count("^PATCH") == 2
    assert show(image_id) == result.json


def test_a_purge_whose_answer_is_lost_is_done(project: Project, proxy: FaultProxy) -> None:
    image_id = make(None, "--property", "a=1", "--property", "b=2")
    proxy.add("^PATCH", lose_answer=True)
    new = update(image_id, "--purge-properties", "--property", "b=3", "-f", "json").json
    assert "a" not in new
    assert new["b"] == "3"


def test_a_refusal_after_a_lost_answer_stays_a_refusal(project: Project, proxy: FaultProxy) -> None:
    image_id = make("old", "--property", "gone=1")
    proxy.add("^PATCH", status=500)
    flags = ["--remove-property", "gone", "--property", "size=1"]
    assert "read-only" in update(image_id, *flags, code=1).err
    assert show(image_id)["gone"] == "1"


def test_an_update_that_is_never_answered_is_exit_5(project: Project, proxy: FaultProxy) -> None:
    image_id = make()
    proxy.add("^PATCH", times=None, status=503)
    result = run("--retries", 1, "image", "update", image_id, "--name", "x", code=5)
    assert "the service is failing" in result.err
    assert proxy.count("^PATCH") == 2


def test_a_patch_of_replacements_alone_is_sent_again(project: Project, proxy: FaultProxy) -> None:
    image_id = make("old", "--property", "k=v")
    proxy.add("^PATCH", lose_answer=True)
    text = patch(("replace", "/name", "new"), ("replace", "/k", "w"))
    new = update(image_id, "--patch", text, "-f", "json").json
    assert (new["name"], new["k"], proxy.count("^PATCH")) == ("new", "w", 2)


def test_a_patch_that_may_not_be_applied_twice_is_sent_once(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("old", "--property", "gone=1")
    proxy.add("^PATCH", lose_answer=True)
    result = update(image_id, "--patch", patch(("remove", "/gone")), code=5)
    assert "the connection broke" in result.err
    assert proxy.count("^PATCH") == 1
    assert "gone" not in show(image_id)


# activate and deactivate


def test_a_deactivated_image_is_read_by_admins_only_until_activated(
    project: Project, admin: Project, tmp_path: Path
) -> None:
    image_id = make_active(tmp_path)
    assert run("image", "deactivate", image_id, "-f", "json").json["status"] == "deactivated"
    assert status_of(image_id) == "deactivated"
    refused = run("image", "download", image_id, "-", code=1)
    assert (refused.data, "deactivated" in refused.err) == (b"", True)
    assert run("image", "download", image_id, "-", user=admin).data == b"data"
    assert run("image", "activate", image_id, "-f", "json").json["status"] == "active"
    assert run("image", "download", image_id, "-").data == b"data"


def test_several_images_are_a_list_and_one_is_a_record(project: Project, tmp_path: Path) -> None:
    one, two = make_active(tmp_path), make_active(tmp_path)
    update(two, "--name", "the second")
    result = run("image", "deactivate", one, "the second")
    assert result.out == (
        f"{one}\t\tdeactivated\tshared\t4\n{two}\tthe second\tdeactivated\tshared\t4\n"
    )
    assert result.err == ""
    listed = run("image", "activate", one, two, "-f", "json").json
    assert listed == [show(one), show(two)]
    assert [record["status"] for record in listed] == ["active", "active"]
    assert run("image", "deactivate", one, "-f", "json").json == show(one)
    assert run("image", "deactivate", one, two, "-q").out == f"{one}\n{two}\n"
    rows = f"{one}\n{two}\tthe second\n".encode()
    assert run("image", "activate", "-", "-f", "json", stdin=rows).json == [show(one), show(two)]


def test_an_image_that_is_so_already_is_a_note(
    project: Project, proxy: FaultProxy, tmp_path: Path
) -> None:
    one, two = make_active(tmp_path), make_active(tmp_path)
    proxy.requests.clear()
    result = run("image", "activate", one, "-c", "status")
    assert result.out == "status\tactive\n"
    assert result.err == f"image {one} is active already\n"
    assert proxy.requests == [f"GET /v2/images/{one}"]
    run("image", "deactivate", one)
    result = run("image", "deactivate", one, two, "-q")
    assert (result.lines, result.err) == ([one, two], "")
    result = run("image", "deactivate", one, two)
    assert sorted(result.err.splitlines()) == sorted(
        f"image {image_id} is deactivated already" for image_id in (one, two)
    )


@pytest.mark.parametrize(
    ("verb", "action"), [("activate", "reactivate"), ("deactivate", "deactivate")]
)
def test_an_image_without_data_is_neither(project: Project, verb: str, action: str) -> None:
    image_id = make()
    result = run("image", verb, image_id, code=1)
    request_id = result.err.splitlines()[-1]
    assert result.err == (
        f"glancectl: error: cannot {action} image {image_id}: the image does not allow it\n"
        f"  cause: Not allowed to {action} image in status 'queued'\n{request_id}\n"
    )
    assert request_id.startswith("  request id: req-")
    assert (result.out, status_of(image_id)) == ("", "queued")


def test_some_that_cannot_be_deactivated_are_named(project: Project, tmp_path: Path) -> None:
    good, queued = make_active(tmp_path), make()
    result = run("image", "deactivate", queued, "nosuch", good, "-f", "json", code=9)
    assert [record["id"] for record in result.json] == [good]
    targets = json.loads(result.err)["error"]["targets"]
    assert [(one["target"], one["exit"]) for one in targets] == [(queued, 1), ("nosuch", 4)]


def test_a_foreign_image_is_neither_activated_nor_deactivated(
    project: Project, new_project: NewProject, tmp_path: Path
) -> None:
    community = make_active(tmp_path, "--visibility", "community")
    private = make_active(tmp_path, "--visibility", "private")
    other = new_project()
    assert "not authorized" in run("image", "deactivate", community, code=3, user=other).err
    assert "not found" in run("image", "deactivate", private, code=4, user=other).err
    run("image", "deactivate", community, private)
    assert "not authorized" in run("image", "activate", community, code=3, user=other).err
    assert "not found" in run("image", "activate", private, code=4, user=other).err
    assert [status_of(community), status_of(private)] == ["deactivated", "deactivated"]


@pytest.mark.parametrize("fault", [{"lose_answer": True}, {"status": 500}], ids=["lost", "500"])
def test_an_action_whose_answer_did_not_come_is_sent_again(
    project: Project, proxy: FaultProxy, tmp_path: Path, fault: dict[str, object]
) -> None:
    image_id = make_active(tmp_path)
    for verb, action in (("deactivate", "deactivate"), ("activate", "reactivate")):
        proxy.requests.clear()
        proxy.add(f"^POST .*/{action}$", **fault)
        assert run("image", verb, image_id, "-q").out == f"{image_id}\n"
        assert proxy.requests == [
            f"GET /v2/images/{image_id}",
            f"POST /v2/images/{image_id}/actions/{action}",
            f"POST /v2/images/{image_id}/actions/{action}",
            f"GET /v2/images/{image_id}",
        ]
    assert status_of(image_id) == "active"
