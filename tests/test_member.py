"""member list, show, add, update, accept, reject, remove, inbox: sharing between projects."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import HTTP, Project, Sandbox, log_in, run
from faultproxy import FaultProxy

# Ids of the right form that no project has; an ordinary user's word is taken for them.
NOBODY, ONE, TWO, THREE = (digit * 32 for digit in "f123")
IMAGE = "00000000-0000-4000-8000-000000000000"
COLUMNS = ("member_id", "status", "created_at", "updated_at")
NewProject = Callable[..., Project]


def make(name: str, *options: object, user: Project | None = None) -> str:
    """Reserve an image and return its id."""
    return run("image", "create", name, "-q", *options, user=user).out.strip()


def share(image_id: str, *projects: str) -> None:
    run("member", "add", image_id, *projects)


def from_api(project: Project, path: str) -> Any:
    """Return what Glance itself answers, without any of our code but the token."""
    headers = {"X-Auth-Token": run("auth", "token", user=project).out.strip()}
    return HTTP.get(f"{project.sandbox.glance}/v2/images/{path}", headers=headers).json()


def rows(members: list[dict[str, str]], separator: str = "\t") -> str:
    return "".join(
        separator.join(member[column] for column in COLUMNS) + "\n" for member in members
    )


def fields(member: dict[str, str]) -> str:
    """Return a member as tsv prints a single resource."""
    order = ("member_id", "image_id", "status", "created_at", "updated_at", "schema")
    return "".join(f"{key}\t{member[key]}\n" for key in order if key in member)


def members_of(image_id: str) -> list[str]:
    return sorted(run("member", "list", image_id, "-q").lines)


def visibility_of(image_id: str, user: Project | None = None) -> str:
    return str(run("image", "show", image_id, "-f", "json", user=user).json["visibility"])


def without_id(stderr: str) -> str:
    """Return an error with the request id, which is always another, left out."""
    return re.sub(r"req-[0-9a-f-]{36}", "req-", stderr)


# Who takes part: the same few projects in all tests, since making and logging in to them takes
# longer than most of what is tested. Where an inbox or a list must be empty a test makes its own.


@dataclass(frozen=True)
class People:
    """Projects, and the home where their tokens are cached."""

    home: Path
    alice: Project
    bob: Project
    carol: Project
    dave: Project
    admin: Project


@pytest.fixture(scope="module")
def people(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> People:
    home = tmp_path_factory.mktemp("home")
    return People(home, *(Project(sandbox) for _ in range(4)), Project(sandbox, "admin"))


@pytest.fixture
def project(people: People, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("HOME", str(people.home))
    log_in(people.alice, monkeypatch)
    return people.alice


@pytest.fixture
def bob(people: People) -> Project:
    return people.bob


@pytest.fixture
def carol(people: People) -> Project:
    return people.carol


@pytest.fixture
def dave(people: People) -> Project:
    return people.dave


@pytest.fixture
def admin(people: People) -> Project:
    return people.admin


# The story


def test_a_private_image_is_offered_accepted_used_rejected_and_offered_again(
    project: Project, new_project: NewProject, raw: Path, tmp_path: Path
) -> None:
    bob = new_project()
    private = ("--visibility", "private", "--disk-format", "raw", "--file", raw)
    image_id = make("golden", *private)
    added = run("member", "add", image_id, bob.id, "-f", "json")
    assert added.err == f"image {image_id} was private and is shared now\n"
    assert (added.json["member_id"], added.json["status"]) == (bob.id, "pending")
    assert visibility_of(image_id) == "shared"

    size = raw.stat().st_size
    offer = {"image_id": image_id, "name": "golden", "owner": project.id, "size": size}
    inbox = run("member", "inbox", user=bob)
    assert (inbox.out, inbox.err) == (f"{image_id}\tgolden\t{project.id}\t{size}\n", "")
    assert run("member", "inbox", "-f", "json", user=bob).json == [offer]
    assert run("member", "inbox", "-f", "csv", user=bob).out == (
        f"image_id,name,owner,size\n{image_id},golden,{project.id},{size}\n"
    )
    assert run("image", "list", "-q", user=bob).out == ""
    assert run("member", "inbox").out == ""

    accepted = run("member", "accept", "golden", user=bob)
    assert accepted.out == fields(from_api(bob, f"{image_id}/members/{bob.id}"))
    assert "\nstatus\taccepted\n" in accepted.out
    assert run("member", "inbox", user=bob).out == ""
    assert run("image", "list", "-q", user=bob).out == f"{image_id}\n"
    for number, ref in enumerate(("golden", image_id)):
        copy = tmp_path / f"copy-{number}"
        run("image", "download", ref, copy, user=bob)
        assert copy.read_bytes() == raw.read_bytes()

    rejected = run("member", "reject", "golden", "-f", "json", user=bob).json
    assert rejected == from_api(bob, f"{image_id}/members/{bob.id}")
    assert rejected["status"] == "rejected"
    assert run("image", "list", "-q", user=bob).out == ""
    assert run("member", "inbox", user=bob).out == ""

    run("member", "update", image_id, bob.id, "--status", "pending", user=bob)
    assert run("member", "inbox", "-q", user=bob).out == f"{image_id}\n"
    for _ in range(2):
        assert run("member", "accept", image_id, "-q", user=bob).out == f"{bob.id}\n"
    assert run("image", "list", "-q", user=bob).out == f"{image_id}\n"

    run("member", "remove", image_id, bob.id)
    run("image", "show", image_id, code=4, user=bob)
    assert run("image", "list", "-q", user=bob).out == ""


def test_what_is_offered_can_be_used_by_its_id_at_once(
    project: Project, bob: Project, raw: Path, tmp_path: Path
) -> None:
    image_id = make("early", "--disk-format", "raw", "--file", raw)
    share(image_id, bob.id)
    run("image", "download", image_id, tmp_path / "copy", user=bob)
    assert (tmp_path / "copy").read_bytes() == raw.read_bytes()


def test_the_private_image_of_a_third_project_is_nobody_else_s(
    project: Project, new_project: NewProject, raw: Path, tmp_path: Path
) -> None:
    bob, carol = new_project(), new_project()
    share(make("offered"), bob.id)
    private = ("--visibility", "private", "--disk-format", "raw", "--file", raw)
    secret = make("secret", *private, user=carol)
    for user in (project, bob):
        for ref in (secret, "secret"):
            run("image", "show", ref, code=4, user=user)
            run("image", "download", ref, tmp_path / "stolen", code=4, user=user)
            run("member", "list", ref, code=4, user=user)
            run("member", "accept", ref, code=4, user=user)
            run("member", "add", ref, user.id, code=4, user=user)
        listed = run("image", "list", "-q", "--member-status", "all", user=user).lines
        assert secret not in listed
        assert secret not in run("member", "inbox", "-q", user=user).lines
    assert not (tmp_path / "stolen").exists()
    assert visibility_of(secret, user=carol) == "private"


# What is printed


def test_list_prints_the_members_in_every_format(
    project: Project, bob: Project, carol: Project
) -> None:
    image_id = make("listed")
    share(image_id, bob.id, carol.id)
    run("member", "accept", image_id, user=carol)
    members = from_api(project, f"{image_id}/members")["members"]
    assert {member["member_id"] for member in members} == {bob.id, carol.id}
    assert run("member", "list", image_id).out == rows(members)
    assert run("member", "list", "listed").out == rows(members)
    header = "member_id,status,created_at,updated_at\n"
    assert run("member", "list", image_id, "-f", "csv").out == header + rows(members, ",")
    assert run("member", "list", image_id, "-f", "json").json == members
    lines = run("member", "list", image_id, "-f", "jsonl").lines
    assert [json.loads(line) for line in lines] == members
    ids = "".join(f"{member['member_id']}\n" for member in members)
    assert run("member", "list", image_id, "-q").out == ids
    assert run("member", "list", image_id, "-c", "member_id").out == ids


def test_list_picks_by_status_although_glance_cannot(
    project: Project, bob: Project, carol: Project
) -> None:
    image_id = make("x")
    share(image_id, bob.id, carol.id)
    run("member", "accept", image_id, user=carol)
    found = {
        status: run("member", "list", image_id, "--status", status, "-q").out
        for status in ("pending", "accepted", "rejected")
    }
    assert found == {"pending": f"{bob.id}\n", "accepted": f"{carol.id}\n", "rejected": ""}
    assert run("member", "list", image_id, "--status", "rejected", "-f", "json").json == []


def test_a_member_sees_its_own_row_only(project: Project, bob: Project, carol: Project) -> None:
    image_id = make("x")
    share(image_id, bob.id, carol.id)
    assert run("member", "list", image_id, "-q", user=bob).out == f"{bob.id}\n"
    assert run("member", "show", image_id, bob.id, "-q", user=bob).out == f"{bob.id}\n"
    run("member", "show", image_id, carol.id, code=4, user=bob)


def test_an_image_shared_with_nobody_has_an_empty_list(project: Project) -> None:
    image_id = make("x")
    assert run("member", "list", image_id).out == ""
    assert run("member", "list", image_id, "-f", "json").json == []


def test_show_prints_one_member_in_every_format(project: Project) -> None:
    image_id = make("shown")
    share(image_id, ONE)
    member = from_api(project, f"{image_id}/members/{ONE}")
    assert run("member", "show", image_id, ONE).out == fields(member)
    assert run("member", "show", "shown", ONE).out == fields(member)
    assert run("member", "show", image_id, ONE, "-f", "json").json == member
    assert run("member", "show", image_id, ONE, "-q").out == f"{ONE}\n"
    header = run("member", "show", image_id, ONE, "-f", "csv").lines[0]
    assert header == "member_id,image_id,status,created_at,updated_at,schema"
    assert run("member", "show", image_id, ONE, "-c", "status", "-f", "value").out == "pending\n"


def test_add_of_one_project_prints_the_member(project: Project) -> None:
    image_id = make("added")
    added = run("member", "add", image_id, ONE)
    member = from_api(project, f"{image_id}/members/{ONE}")
    assert (added.out, added.err) == (fields(member), "")
    added = run("member", "add", "added", TWO, "-f", "json")
    assert added.json == from_api(project, f"{image_id}/members/{TWO}")
    assert run("member", "add", image_id, THREE, "-q").out == f"{THREE}\n"


def test_add_of_several_projects_prints_a_list(project: Project) -> None:
    first, second = make("x"), make("y")
    added = run("member", "add", first, ONE, TWO)
    members = [from_api(project, f"{first}/members/{one}") for one in (ONE, TWO)]
    assert (added.out, added.err) == (rows(members), "")
    listed = run("member", "add", second, ONE, TWO, "-f", "json").json
    assert [member["member_id"] for member in listed] == [ONE, TWO]
    assert members_of(second) == [ONE, TWO]


def test_update_prints_the_member(project: Project, bob: Project, admin: Project) -> None:
    image_id = make("x")
    share(image_id, bob.id)
    update = ("member", "update", image_id, bob.id, "--status")
    done = run(*update, "rejected", user=bob)
    assert done.out == fields(from_api(bob, f"{image_id}/members/{bob.id}"))
    assert "\nstatus\trejected\n" in done.out
    by_admin = run(*update, "accepted", "-f", "json", user=admin).json
    assert by_admin == from_api(project, f"{image_id}/members/{bob.id}")
    assert by_admin["status"] == "accepted"
    assert run(*update, "pending", "-q", user=bob).out == f"{bob.id}\n"


def test_remove_says_which_members_went(project: Project) -> None:
    image_id = make("removed")
    share(image_id, ONE, TWO, THREE)
    one = run("member", "remove", image_id, ONE)
    assert (one.out, one.err) == (
        f"member_id\t{ONE}\nimage_id\t{image_id}\nstatus\tremoved\n",
        "",
    )
    assert members_of(image_id) == [TWO, THREE]
    two = run("member", "remove", "removed", TWO, THREE)
    assert two.out == f"{TWO}\tremoved\n{THREE}\tremoved\n"
    assert members_of(image_id) == []
    share(image_id, ONE, TWO)
    gone = {"image_id": image_id, "member_id": ONE, "status": "removed"}
    assert run("member", "remove", image_id, ONE, "-f", "json").json == gone
    assert run("member", "remove", image_id, TWO, "-q").out == f"{TWO}\n"


# Several projects, and how they are named


def test_add_of_a_member_is_a_note(project: Project) -> None:
    image_id = make("x")
    share(image_id, ONE)
    note = f"image {image_id} is shared with {ONE} already\n"
    again = run("member", "add", image_id, ONE)
    assert (again.out, again.err) == (
        fields(from_api(project, f"{image_id}/members/{ONE}")),
        note,
    )
    both = run("member", "add", image_id, ONE, TWO)
    members = [from_api(project, f"{image_id}/members/{one}") for one in (ONE, TWO)]
    assert (both.out, both.err) == (rows(members), note)


def test_a_project_named_twice_is_added_once(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x")
    added = run("member", "add", image_id, ONE, ONE, "-q")
    assert (added.out, added.err) == (f"{ONE}\n", "")
    assert proxy.count("^POST .*/members$") == 1


def test_a_project_named_by_id_and_by_name_is_one_target(
    project: Project, bob: Project, admin: Project
) -> None:
    image_id = make("x")
    added = run("member", "add", image_id, bob.id, bob.name, user=admin)
    assert [line.split("\t")[0] for line in added.lines] == [bob.id]
    assert added.err == ""
    run("member", "remove", image_id, bob.id, bob.name, user=admin)
    assert members_of(image_id) == []


def test_add_goes_on_after_an_unknown_project(
    project: Project, bob: Project, carol: Project, dave: Project, admin: Project
) -> None:
    image_id = make("x")
    share(image_id, bob.id)
    targets = (bob.id, "nosuch", carol.name, NOBODY, dave.id)
    result = run("member", "add", image_id, *targets, code=9, user=admin)
    members = [from_api(project, f"{image_id}/members/{one.id}") for one in (bob, carol, dave)]
    assert result.out == rows(members)
    assert result.err == (
        f"image {image_id} is shared with {bob.id} already\n"
        "glancectl: error: 2 of 5 targets failed\n"
        "  nosuch: no project 'nosuch'\n"
        f"  {NOBODY}: no project '{NOBODY}'\n"
    )
    assert members_of(image_id) == sorted([bob.id, carol.id, dave.id])


def test_the_failed_projects_are_named_in_json(
    project: Project, bob: Project, admin: Project
) -> None:
    image_id = make("x")
    result = run("member", "add", image_id, bob.id, "nosuch", "-f", "json", code=9, user=admin)
    assert [member["member_id"] for member in result.json] == [bob.id]
    error = json.loads(result.err)["error"]
    assert (error["exit"], error["kind"]) == (9, "partial")
    assert error["targets"] == [
        {"target": "nosuch", "exit": 4, "message": "no project 'nosuch'", "status": None}
    ]


@pytest.mark.parametrize("unknown", [["nosuch"], [NOBODY], ["nosuch", NOBODY]])
def test_a_private_image_stays_private_when_no_project_is_known(
    project: Project, admin: Project, proxy: FaultProxy, unknown: list[str]
) -> None:
    image_id = make("x", "--visibility", "private")
    proxy.requests.clear()
    result = run("member", "add", image_id, *unknown, code=4, user=admin)
    assert result.out == ""
    assert all(f"no project '{one}'" in result.err for one in unknown)
    assert proxy.requests == [f"GET /v2/images/{image_id}"]
    assert visibility_of(image_id) == "private"


def test_an_admin_may_name_projects(project: Project, bob: Project, admin: Project) -> None:
    image_id = make("x")
    assert run("member", "add", image_id, bob.name, "-q", user=admin).out == f"{bob.id}\n"
    assert run("member", "show", image_id, bob.name, "-q", user=admin).out == f"{bob.id}\n"
    update = ("member", "update", image_id, bob.name, "--status", "accepted", "-q")
    assert run(*update, user=admin).out == f"{bob.id}\n"
    assert run("member", "remove", image_id, bob.name, "-q", user=admin).out == f"{bob.id}\n"
    assert members_of(image_id) == []


def test_a_user_may_name_the_projects_he_belongs_to(
    project: Project, new_project: NewProject
) -> None:
    image_id = make("x")
    second = new_project()
    role = project.sandbox.roles["member"]
    url = f"{project.sandbox.keystone}/projects/{second.id}/users/{project.user_id}/roles/{role}"
    assert HTTP.put(url, headers={"X-Auth-Token": project.sandbox.admin_token}).is_success
    assert run("member", "add", image_id, second.name, "-q").out == f"{second.id}\n"
    assert run("member", "remove", image_id, second.name, "-q").out == f"{second.id}\n"


@pytest.mark.parametrize(
    ("verb", "options"),
    [("add", []), ("show", []), ("update", ["--status", "accepted"]), ("remove", [])],
)
def test_a_user_cannot_name_a_foreign_project(
    project: Project, bob: Project, verb: str, options: list[str]
) -> None:
    image_id = make("x", "--visibility", "private")
    assert run("member", verb, image_id, bob.name, *options, code=3).err == (
        "glancectl: error: project names cannot be looked up with these credentials: "
        f"'{bob.name}'\n"
        "  hint: use the project's id\n"
    )
    assert visibility_of(image_id) == "private"


def test_an_id_that_a_user_may_not_look_up_is_taken(project: Project) -> None:
    image_id = make("x")
    assert run("member", "add", image_id, NOBODY, "-q").out == f"{NOBODY}\n"
    assert members_of(image_id) == [NOBODY]


@pytest.mark.parametrize("text", ["not-a-project", NOBODY, "a b?c#d%41"])
def test_no_check_shares_with_any_id(project: Project, admin: Project, text: str) -> None:
    image_id = make("x")
    for user in (project, admin):
        added = run("member", "add", image_id, text, "--no-check", "-q", user=user)
        assert added.out == f"{text}\n"
        shown = run("member", "show", image_id, text, "--no-check", "-f", "json", user=user)
        assert shown.json["member_id"] == text
        run("member", "remove", image_id, text, "--no-check", user=user)
        assert members_of(image_id) == []


def test_the_membership_of_a_deleted_project_can_be_removed(
    project: Project, new_project: NewProject, admin: Project
) -> None:
    image_id = make("x")
    bob, carol = new_project(), new_project()
    share(image_id, bob.id, carol.id)
    for gone in (bob, carol):
        url = f"{project.sandbox.keystone}/projects/{gone.id}"
        headers = {"X-Auth-Token": project.sandbox.admin_token}
        assert HTTP.delete(url, headers=headers).is_success
    run("member", "add", make("y"), bob.id, code=4, user=admin)
    assert run("member", "show", image_id, bob.id, "-q", user=admin).out == f"{bob.id}\n"
    run("member", "remove", image_id, bob.id)
    run("member", "remove", image_id, carol.id, user=admin)
    assert members_of(image_id) == []


def test_an_image_whose_name_looks_like_an_id_can_be_shared(project: Project, bob: Project) -> None:
    name = "00000000-0000-4000-8000-00000000000a"
    image_id = make(name)
    assert run("member", "add", name, bob.id, "-f", "json").json["image_id"] == image_id
    assert run("member", "list", name, "-q").out == f"{bob.id}\n"
    run("member", "accept", name, user=bob)
    run("member", "remove", name, bob.id)
    assert members_of(image_id) == []


# Refusals


def test_a_private_image_has_no_members(project: Project) -> None:
    image_id = make("x", "--visibility", "private")
    result = run("member", "list", image_id, code=1)
    assert result.out == ""
    assert without_id(result.err) == (
        f"glancectl: error: cannot list the members of image {image_id}: "
        "the image does not allow it\n"
        f"  cause: Not allowed to list members for image {image_id}: "
        "Only shared images have members.\n"
        "  request id: req-\n"
    )


def test_the_members_of_an_image_made_private_cannot_be_removed_because_of_its_state(
    project: Project,
) -> None:
    image_id = make("x")
    share(image_id, ONE)
    run("image", "update", image_id, "--visibility", "private")
    run("member", "remove", image_id, ONE, code=1)
    run("image", "update", image_id, "--visibility", "shared")
    assert members_of(image_id) == [ONE]


def test_sharing_again_an_image_made_private_is_said(project: Project, bob: Project) -> None:
    image_id = make("x")
    share(image_id, bob.id)
    run("image", "update", image_id, "--visibility", "private")
    run("image", "show", image_id, code=4, user=bob)
    assert run("member", "add", image_id, bob.id).err == (
        f"image {image_id} was private and is shared now\n"
        f"image {image_id} is shared with {bob.id} already\n"
    )
    run("image", "show", image_id, user=bob)


@pytest.fixture
def public_image(admin: Project) -> Iterator[str]:
    """An image that everybody sees, for as long as the test takes."""
    image_id = make("of all", "--visibility", "public", user=admin)
    yield image_id
    run("image", "delete", image_id, user=admin)


def test_an_image_for_everybody_takes_no_members(
    project: Project, admin: Project, public_image: str
) -> None:
    community = make(f"of {project.name}", "--visibility", "community")
    for image_id, kind in ((community, "community"), (public_image, "public")):
        result = run("member", "add", image_id, project.id, code=1, user=admin)
        assert (result.out, result.err) == (
            "",
            f"glancectl: error: image {image_id} is {kind}: only shared images have members\n"
            f"  hint: glancectl image update {image_id} --visibility shared\n",
        )
        assert "Only shared images" in run("member", "list", image_id, code=1, user=admin).err
    assert visibility_of(public_image) == "public"


def test_the_owner_cannot_answer_for_a_member(project: Project) -> None:
    image_id = make("x")
    share(image_id, ONE)
    result = run("member", "update", image_id, ONE, "--status", "accepted", code=3)
    assert result.out == ""
    assert without_id(result.err) == (
        f"glancectl: error: cannot set the status of member {ONE} of image {image_id}: "
        "not allowed with these credentials\n"
        "  cause: You are not authorized to complete modify_member action.\n"
        "  request id: req-\n"
    )
    assert run("member", "list", image_id, "--status", "pending", "-q").out == f"{ONE}\n"


def test_a_member_can_neither_remove_itself_nor_invite_others(
    project: Project, bob: Project, carol: Project
) -> None:
    image_id = make("x")
    share(image_id, bob.id)
    result = run("member", "remove", image_id, bob.id, code=3, user=bob)
    assert result.out == ""
    assert without_id(result.err) == (
        f"glancectl: error: cannot remove member {bob.id} of image {image_id}: "
        "not allowed with these credentials\n"
        "  cause: You are not authorized to complete delete_member action.\n"
        "  request id: req-\n"
    )
    run("member", "add", image_id, carol.id, code=3, user=bob)
    assert members_of(image_id) == [bob.id]


@pytest.mark.parametrize(
    ("verb", "options", "as_admin"),
    [("show", [], False), ("update", ["--status", "accepted"], True), ("remove", [], False)],
)
def test_an_absent_member_is_exit_4(
    project: Project, admin: Project, verb: str, options: list[str], as_admin: bool
) -> None:
    image_id = make("x")
    user = admin if as_admin else project
    result = run("member", verb, image_id, NOBODY, *options, code=4, user=user)
    assert result.out == ""
    assert f"{NOBODY} not found in the member list of the image {image_id}." in result.err


def test_remove_tries_all_and_names_the_absent(project: Project) -> None:
    image_id = make("x")
    share(image_id, ONE)
    result = run("member", "remove", image_id, NOBODY, ONE, code=9)
    assert result.out == f"{ONE}\tremoved\n"
    assert "1 of 2 targets failed\n" in result.err
    assert f"  {NOBODY}: cannot remove member {NOBODY} of image {image_id}: not found" in result.err
    assert members_of(image_id) == []
    run("member", "remove", image_id, NOBODY, ONE, code=4)


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_an_image_that_is_not_offered_cannot_be_answered(
    project: Project, bob: Project, admin: Project, verb: str
) -> None:
    name = f"of {project.name} alone"
    image_id = make(name)
    assert "not found" in run("member", verb, image_id, code=4, user=bob).err
    assert f"no image is named '{name}'" in run("member", verb, name, code=4, user=bob).err
    run("member", verb, image_id, code=4)
    run("member", verb, image_id, code=4, user=admin)


@pytest.mark.parametrize(
    "argv",
    [
        ["list", IMAGE, "--status", "maybe"],
        ["update", IMAGE, NOBODY, "--status", "maybe"],
        ["update", IMAGE, NOBODY],
        ["add", IMAGE],
        ["remove", IMAGE],
        ["add", IMAGE, ""],
        ["add", IMAGE, NOBODY, ""],
        ["show", IMAGE, ""],
        ["update", IMAGE, "", "--status", "accepted"],
        ["remove", IMAGE, ""],
        ["remove", IMAGE, NOBODY, ""],
        ["list", ""],
        ["show", "", NOBODY],
        ["add", "", NOBODY],
        ["update", "", NOBODY, "--status", "accepted"],
        ["remove", "", NOBODY],
        ["accept", ""],
    ],
    ids=" ".join,
)
def test_a_usage_error_never_reaches_the_server(
    project: Project, proxy: FaultProxy, argv: list[str]
) -> None:
    result = run("member", *argv, code=2)
    assert result.err.startswith("glancectl: error: ")
    assert (result.out, proxy.requests) == ("", [])


def test_more_members_than_the_quota_are_refused(project: Project) -> None:
    image_id = make("x")
    run("member", "add", image_id, *(f"p{n}" for n in range(128)), "--no-check")
    result = run("member", "add", image_id, NOBODY, code=1)
    assert "too large, or over quota" in result.err
    assert "Attempted: 129, Maximum: 128" in result.err
    assert len(members_of(image_id)) == 128


# Faults and requests


@pytest.mark.parametrize("fault", [{"lose_answer": True}, {"status": 504, "carry_out": True}])
def test_an_add_whose_answer_is_lost_is_done(
    project: Project, proxy: FaultProxy, fault: dict[str, object]
) -> None:
    image_id = make("x")
    proxy.add("^POST .*/members$", **fault)
    added = run("member", "add", image_id, ONE)
    assert proxy.count("^POST .*/members$") == 2
    member = from_api(project, f"{image_id}/members/{ONE}")
    assert (added.out, added.err) == (fields(member), "")


def test_a_private_image_is_shared_even_when_the_first_answer_is_lost(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("x", "--visibility", "private")
    proxy.add("^PATCH ", lose_answer=True)
    added = run("member", "add", image_id, ONE, "-f", "json")
    assert added.err == f"image {image_id} was private and is shared now\n"
    assert added.json["member_id"] == ONE
    assert proxy.count("^PATCH ") == 2


@pytest.mark.parametrize("fault", [{"lose_answer": True}, {"status": 504, "carry_out": True}])
def test_a_remove_whose_answer_is_lost_is_done(
    project: Project, proxy: FaultProxy, fault: dict[str, object]
) -> None:
    image_id = make("x")
    share(image_id, ONE)
    proxy.add("^DELETE .*/members/", **fault)
    gone = run("member", "remove", image_id, ONE, "-q")
    assert (gone.out, gone.err) == (f"{ONE}\n", "")
    assert proxy.count("^DELETE .*/members/") == 2
    assert members_of(image_id) == []


def test_an_answer_that_is_lost_is_given_again(
    project: Project, bob: Project, proxy: FaultProxy
) -> None:
    image_id = make("x")
    share(image_id, bob.id)
    proxy.add("^PUT .*/members/", lose_answer=True)
    assert run("member", "accept", image_id, "-f", "json", user=bob).json["status"] == "accepted"
    assert proxy.count("^PUT .*/members/") == 2


def test_an_id_costs_no_request_of_its_own(
    project: Project, bob: Project, proxy: FaultProxy
) -> None:
    image_id = make("x")
    path = f"/v2/images/{image_id}"
    steps = [
        (["add", image_id, bob.id], [f"GET {path}", f"POST {path}/members"], project),
        (["list", image_id], [f"GET {path}/members"], project),
        (["show", image_id, bob.id], [f"GET {path}/members/{bob.id}"], project),
        (["accept", image_id], [f"PUT {path}/members/{bob.id}"], bob),
        (["remove", image_id, bob.id], [f"DELETE {path}/members/{bob.id}"], project),
    ]
    for argv, requests, user in steps:
        proxy.requests.clear()
        run("member", *argv, user=user)
        assert proxy.requests == requests


def test_looking_projects_up_is_no_login(
    project: Project,
    bob: Project,
    carol: Project,
    admin: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image_id = make("x")
    monkeypatch.setenv("HOME", str(tmp_path))
    cold = run("-v", "member", "list", image_id, user=admin)
    assert cold.err.count("logging in") == 1
    warm = run("-v", "member", "add", image_id, bob.id, carol.name, user=admin)
    assert warm.err == ""
    assert members_of(image_id) == sorted([bob.id, carol.id])


# inbox


def test_the_inbox_of_an_admin_is_of_his_own_project(
    project: Project,
    bob: Project,
    admin: Project,
    plain_glance: str,  # has few images: an admin's inbox asks for the members of each
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", plain_glance)
    make("for nobody")
    share(make("for bob"), bob.id)
    run("member", "add", make("own", user=admin), bob.id, user=admin)
    accepted, offered = make("accepted"), make("for admin")
    share(accepted, admin.id)
    run("member", "accept", accepted, user=admin)
    assert run("member", "inbox", user=admin).out == ""
    share(offered, admin.id, bob.id)
    assert run("member", "inbox", user=admin).out == f"{offered}\tfor admin\t{project.id}\t\n"


def test_hidden_images_are_in_the_inbox(project: Project, new_project: NewProject) -> None:
    bob = new_project()
    visible, hidden = make("visible"), make("hidden", "--hidden")
    for image_id in (visible, hidden):
        share(image_id, bob.id)
    assert sorted(run("member", "inbox", "-q", user=bob).lines) == sorted([visible, hidden])
    run("member", "reject", "hidden", user=bob)
    assert run("member", "inbox", "-q", user=bob).lines == [visible]


def test_an_empty_inbox_is_empty(project: Project) -> None:
    make("own")
    assert run("member", "inbox").out == ""
    assert run("member", "inbox", "-f", "json").json == []
    assert run("member", "inbox", "-f", "csv").out == "image_id,name,owner,size\n"


@pytest.mark.parametrize("argv", [["inbox"], ["accept", "x"], ["reject", "x"]])
def test_a_bare_token_does_not_tell_whose_inbox_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    make("x")
    monkeypatch.setenv("OS_TOKEN", run("auth", "token").out.strip())
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", project.sandbox.glance)
    result = run("member", *argv, code=3)
    assert (result.out, result.err) == (
        "",
        "glancectl: error: which project is yours cannot be told from OS_TOKEN alone\n"
        "  hint: log in through Keystone: --cloud NAME, or the other OS_* variables\n",
    )


def test_a_bare_token_shares_with_ids_and_answers_by_update(
    project: Project, bob: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = make("x")
    bobs = run("auth", "token", user=bob).out.strip()
    monkeypatch.setenv("OS_TOKEN", run("auth", "token").out.strip())
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", project.sandbox.glance)
    assert run("member", "add", image_id, bob.id, "-q").out == f"{bob.id}\n"
    assert "use the project's id" in run("member", "add", image_id, bob.name, code=3).err
    monkeypatch.setenv("OS_TOKEN", bobs)
    update = ("member", "update", image_id, bob.id, "--status", "accepted", "-f", "json")
    assert run(*update).json["status"] == "accepted"
