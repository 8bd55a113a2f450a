"""tag list, add, remove, replace: any text is a tag, and no other tag is lost."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import HTTP, Project, Sandbox, log_in, run
from faultproxy import FaultProxy

IMAGE = "00000000-0000-4000-8000-000000000000"
EMOJI = "\U0001f600"
# Texts that the URL of a tag can hold, and those that only a list of all tags can.
FIT_A_URL = [
    *("lts", "a b", " ", "?", "#", "%", "%41", "a%2Fb", ";", "'", '"', "a,b", "a&b=c", "+"),
    *("\\", "-x", "--yes", "..a", "t" * 255),
]
FIT_NO_URL = ["a/b", "é", "漢字", ".", "..", "a\tb", "a\nb", "\x7f", "é" * 255]


def make(name: str, *tags: str, visibility: str = "shared") -> str:
    """Reserve an image with tags and return its id."""
    options = [word for tag in tags for word in ("--tag", tag)]
    return run("image", "create", name, "--visibility", visibility, *options, "-q").out.strip()


def tags_of(image_id: str) -> list[str]:
    return sorted(run("image", "show", image_id, "-f", "json").json["tags"])


def without_id(stderr: str) -> str:
    """Return an error with the request id, which is always another, left out."""
    return re.sub(r"req-[0-9a-f-]{36}", "req-", stderr)


@pytest.fixture(scope="module")
def owner(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path]:
    """One project for all tests, and the home where its token is cached."""
    return Project(sandbox), tmp_path_factory.mktemp("home")


@pytest.fixture
def project(owner: tuple[Project, Path], monkeypatch: pytest.MonkeyPatch) -> Project:
    made, home = owner
    monkeypatch.setenv("HOME", str(home))
    log_in(made, monkeypatch)
    return made


@pytest.fixture
def empty_project(new_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without any other image; ``run`` is logged in to it."""
    made = new_project()
    log_in(made, monkeypatch)
    return made


# Any text


@pytest.mark.parametrize("tag", [*FIT_A_URL, *FIT_NO_URL], ids=lambda tag: repr(tag[:9]))
def test_any_text_goes_in_and_comes_out(project: Project, tag: str) -> None:
    image_id = make("x", "other")
    added = run("tag", "add", image_id, "-f", "json", "--", tag)
    assert (sorted(added.json["tags"]), added.err) == (sorted([tag, "other"]), "")
    listed = run("tag", "list", image_id, "-f", "json").json
    assert listed == [{"tag": text, "images": 1} for text in sorted([tag, "other"])]
    removed = run("tag", "remove", image_id, "-f", "json", "--", tag)
    assert removed.json == {"id": image_id, "name": "x", "tags": ["other"]}
    assert run("tag", "list", image_id, "-q").out == "other\n"


def test_all_texts_at_once_are_two_requests(project: Project, proxy: FaultProxy) -> None:
    texts = [*FIT_A_URL, *FIT_NO_URL]
    image_id = make("x", "other")
    both = [f"GET /v2/images/{image_id}", f"PATCH /v2/images/{image_id}"]
    for verb, left in (("add", sorted(["other", *texts])), ("remove", ["other"])):
        proxy.requests.clear()
        run("tag", verb, image_id, "--", *texts)
        assert proxy.requests == both
        assert tags_of(image_id) == left


def test_one_tag_that_fits_a_url_is_written_alone(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x")
    path = f"/v2/images/{image_id}"
    proxy.requests.clear()
    run("tag", "add", image_id, "50%? a;b")
    assert proxy.requests == [f"GET {path}", f"PUT {path}/tags/50%25%3F%20a%3Bb"]
    proxy.requests.clear()
    run("tag", "remove", image_id, "50%? a;b")
    assert proxy.requests == [f"GET {path}", f"DELETE {path}/tags/50%25%3F%20a%3Bb"]


@pytest.mark.parametrize("tag", ["a/b", "é", "..", "a\nb"], ids=repr)
def test_one_tag_that_fits_no_url_is_written_with_the_others(
    project: Project, proxy: FaultProxy, tag: str
) -> None:
    image_id = make("x", "other")
    proxy.requests.clear()
    run("tag", "add", image_id, tag)
    run("tag", "remove", image_id, tag)
    path = f"/v2/images/{image_id}"
    assert proxy.requests == [f"GET {path}", f"PATCH {path}"] * 2
    assert proxy.count("/tags/") == 0
    assert tags_of(image_id) == ["other"]


# add


def test_add_prints_what_the_image_has_now(project: Project) -> None:
    image_id = make("added", "a")
    added = run("tag", "add", image_id, "b")
    assert (added.out, added.err) == (f"id\t{image_id}\nname\tadded\ntags\ta,b\n", "")
    added = run("tag", "add", "added", "c", "-f", "json")
    assert added.json == {"id": image_id, "name": "added", "tags": added.json["tags"]}
    assert sorted(added.json["tags"]) == ["a", "b", "c"]
    assert sorted(run("tag", "add", image_id, "d", "e", "-q").lines) == ["a", "b", "c", "d", "e"]
    assert tags_of(image_id) == ["a", "b", "c", "d", "e"]


def test_add_of_a_tag_that_is_there_is_a_note_and_no_write(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("x", "a", "é")
    proxy.requests.clear()
    one = run("tag", "add", image_id, "a")
    assert one.out.startswith(f"id\t{image_id}\nname\tx\ntags\t")
    assert one.err == f"image {image_id} has tag 'a' already\n"
    two = run("tag", "add", image_id, "a", "é")
    assert two.err == (
        f"image {image_id} has tag 'a' already\nimage {image_id} has tag 'é' already\n"
    )
    assert proxy.requests == [f"GET /v2/images/{image_id}"] * 2
    assert run("tag", "add", image_id, "a", "-q").err == ""


def test_add_of_old_and_new_tags_adds_the_new(project: Project) -> None:
    image_id = make("x", "a")
    added = run("tag", "add", image_id, "a", "b")
    assert added.err == f"image {image_id} has tag 'a' already\n"
    added = run("tag", "add", image_id, "b", "c", "é")
    assert added.err == f"image {image_id} has tag 'b' already\n"
    assert tags_of(image_id) == ["a", "b", "c", "é"]


def test_a_tag_named_twice_is_one_tag(project: Project) -> None:
    image_id = make("x")
    assert run("tag", "add", image_id, "a", "a", "-q").out == "a\n"
    assert run("tag", "replace", image_id, "b", "b", "-q").out == "b\n"
    assert run("tag", "remove", image_id, "b", "b", "-q").out == ""
    assert tags_of(image_id) == []


def test_upper_and_lower_case_are_two_tags(project: Project) -> None:
    image_id = make("x", "lts")
    assert run("tag", "add", image_id, "LTS").err == ""
    run("tag", "remove", image_id, "lts")
    assert tags_of(image_id) == ["LTS"]


@pytest.mark.parametrize("second", ["b", "é"])
def test_one_add_after_another_loses_nothing(project: Project, second: str) -> None:
    image_id = make("x")
    run("tag", "add", image_id, "a")
    run("tag", "add", image_id, second)
    assert tags_of(image_id) == ["a", second]
    run("tag", "remove", image_id, second)
    assert tags_of(image_id) == ["a"]


def test_one_tag_is_added_beside_what_another_adds_meanwhile(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("x")
    url = f"{project.sandbox.glance}/v2/images/{image_id}/tags/theirs"
    headers = {"X-Auth-Token": run("auth", "token").out.strip()}
    proxy.add("^PUT ", stall=0.5)

    def add_theirs() -> int:
        deadline = time.monotonic() + 30
        while not proxy.count("^PUT ") and time.monotonic() < deadline:
            time.sleep(0.01)
        return HTTP.put(url, headers=headers).status_code

    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(add_theirs)
        run("tag", "add", image_id, "ours")
        assert theirs.result() == 204
    assert tags_of(image_id) == ["ours", "theirs"]


# remove


def test_remove_prints_what_the_image_has_left(project: Project) -> None:
    image_id = make("removed", "a", "b", "c", "d")
    assert (
        run("tag", "remove", image_id, "a", "b", "c").out
        == f"id\t{image_id}\nname\tremoved\ntags\td\n"
    )
    last = run("tag", "remove", "removed", "d", "-f", "json").json
    assert last == {"id": image_id, "name": "removed", "tags": []}
    run("tag", "add", image_id, "a", "b")
    assert run("tag", "remove", image_id, "a", "-q").out == "b\n"


def test_remove_of_an_absent_tag_is_exit_4(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x", "a")
    proxy.requests.clear()
    result = run("tag", "remove", image_id, "nope", code=4)
    assert (result.out, result.err) == (
        "",
        f"glancectl: error: image {image_id} has no tag 'nope'\n",
    )
    result = run("tag", "remove", image_id, "no", "pe", code=4)
    assert (result.out, result.err) == (
        "",
        "glancectl: error: 2 of 2 targets failed\n"
        f"  no: image {image_id} has no tag 'no'\n"
        f"  pe: image {image_id} has no tag 'pe'\n",
    )
    assert proxy.requests == [f"GET /v2/images/{image_id}"] * 2
    assert tags_of(image_id) == ["a"]


@pytest.mark.parametrize("present", [["a"], ["a", "b"], ["é"]])
def test_remove_takes_what_is_there_and_names_the_absent(
    project: Project, present: list[str]
) -> None:
    image_id = make("x", "kept", *present)
    result = run("tag", "remove", image_id, "no", *present, "pe", code=9)
    assert result.out == f"id\t{image_id}\nname\tx\ntags\tkept\n"
    assert result.err == (
        f"glancectl: error: 2 of {len(present) + 2} targets failed\n"
        f"  no: image {image_id} has no tag 'no'\n"
        f"  pe: image {image_id} has no tag 'pe'\n"
    )
    assert tags_of(image_id) == ["kept"]


def test_the_absent_tags_are_named_in_json(project: Project) -> None:
    image_id = make("x", "a")
    result = run("tag", "remove", image_id, "a", "no", "-f", "json", code=9)
    assert result.json == {"id": image_id, "name": "x", "tags": []}
    error = json.loads(result.err)["error"]
    assert (error["exit"], error["kind"], error["message"]) == (
        9,
        "partial",
        "1 of 2 targets failed",
    )
    message = f"image {image_id} has no tag 'no'"
    assert error["targets"] == [{"target": "no", "exit": 4, "message": message, "status": None}]


# replace


def test_replace_leaves_these_tags_and_no_others(project: Project, proxy: FaultProxy) -> None:
    image_id = make("replaced", "a", "b")
    proxy.requests.clear()
    replaced = run("tag", "replace", image_id, "é", "-f", "json")
    assert replaced.json == {"id": image_id, "name": "replaced", "tags": ["é"]}
    assert proxy.requests == [f"GET /v2/images/{image_id}", f"PATCH /v2/images/{image_id}"]
    assert sorted(run("tag", "replace", "replaced", "x/y", "b", "-q").lines) == ["b", "x/y"]
    assert (
        run("tag", "replace", image_id, "lts").out == f"id\t{image_id}\nname\treplaced\ntags\tlts\n"
    )
    assert tags_of(image_id) == ["lts"]


def test_replace_by_the_same_tags_is_no_write(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x", "a", "b")
    proxy.requests.clear()
    assert sorted(run("tag", "replace", image_id, "b", "a", "-q").lines) == ["a", "b"]
    assert proxy.requests == [f"GET /v2/images/{image_id}"]


# list


def test_list_of_an_image_has_its_tags_in_order(project: Project) -> None:
    image_id = make("listed", "b", "a\tb", "é")
    make("other", "c")
    for ref in (image_id, "listed"):
        assert run("tag", "list", ref).out == "a\\tb\t1\nb\t1\né\t1\n"
    assert run("tag", "list", image_id, "-f", "csv").out == "tag,images\na\tb,1\nb,1\né,1\n"
    assert run("tag", "list", image_id, "-f", "json").json == [
        {"tag": tag, "images": 1} for tag in ("a\tb", "b", "é")
    ]
    assert run("tag", "list", "other", "-q").out == "c\n"


def test_list_counts_the_images_of_each_tag(empty_project: Project) -> None:
    make("one", "all", "a,b")
    make("two", "all", "even")
    make("three", "all")
    assert run("tag", "list").out == "a,b\t1\nall\t3\neven\t1\n"
    assert run("tag", "list", "-q").out == "a,b\nall\neven\n"
    assert run("tag", "list", "-f", "csv").out == 'tag,images\n"a,b",1\nall,3\neven,1\n'
    assert run("tag", "list", "-f", "json").json == [
        {"tag": "a,b", "images": 1},
        {"tag": "all", "images": 3},
        {"tag": "even", "images": 1},
    ]


def test_list_counts_what_image_list_shows(
    empty_project: Project, new_project: Callable[..., Project]
) -> None:
    bob = new_project()
    run("image", "create", "--hidden", "--tag", "hidden")
    make(f"of {empty_project.name}", "community", visibility="community")
    image_id = make("offered", "offered")
    run("member", "add", image_id, bob.id)
    assert run("tag", "list").out == "community\t1\noffered\t1\n"
    assert run("tag", "list", user=bob).out == ""
    run("member", "accept", image_id, user=bob)
    assert run("tag", "list", user=bob).out == "offered\t1\n"


def test_no_tags_are_an_empty_list(empty_project: Project) -> None:
    image_id = make("x")
    for argv in ([], [image_id]):
        assert run("tag", "list", *argv).out == ""
        assert run("tag", "list", *argv, "-f", "json").json == []


@pytest.fixture
def small_pages(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """A second Glance, with a database of its own, that lists at most three images at once."""
    from glancectl.sandbox import config, processes, template
    from glancectl.sandbox.settings import load, write_private

    state = tmp_path_factory.mktemp("small")
    settings = load(sandbox.clouds_file.parent)
    assert settings is not None
    config.write_services(state, settings)
    sections = config.glance(state, settings)
    sections["DEFAULT"]["api_limit_max"] = 3
    write_private(state / "etc" / "glance-api.conf", config.ini(sections))
    template.ensure_databases(state, print)
    with processes.listen(0) as listener:
        processes.start(state, "glance", listener)
        proxy = FaultProxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield proxy
    proxy.close()
    processes.stop(state)


def test_list_counts_across_pages(
    empty_project: Project, small_pages: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", small_pages.url)
    for number in range(7):
        make(f"n{number}", "all", "even" if number % 2 == 0 else "odd")
    small_pages.requests.clear()
    assert run("tag", "list").out == "all\t7\neven\t4\nodd\t3\n"
    assert small_pages.count("^GET /v2/images") == 3


# Refusals


@pytest.mark.parametrize(
    "argv",
    [
        ["add", IMAGE, ""],
        ["add", IMAGE, "a", ""],
        ["replace", IMAGE, ""],
        ["replace", IMAGE, "", "a"],
        ["add", IMAGE],
        ["remove", IMAGE],
        ["replace", IMAGE],
        ["add", "", "a"],
        ["remove", "", "a"],
        ["list", ""],
    ],
    ids=" ".join,
)
def test_a_usage_error_never_reaches_the_server(
    project: Project, proxy: FaultProxy, argv: list[str]
) -> None:
    result = run("tag", *argv, code=2)
    assert result.err.startswith("glancectl: error: ")
    assert (result.out, proxy.requests) == ("", [])


def test_an_empty_tag_is_said_to_be_empty(project: Project) -> None:
    assert run("tag", "add", IMAGE, "a", "", code=2).err == (
        "glancectl: error: a tag cannot be empty\n"
    )


def test_an_empty_tag_that_another_client_made_can_be_removed(project: Project) -> None:
    image_id = make("x")
    patch = [{"op": "replace", "path": "/tags", "value": ["", "a"]}]
    run("image", "update", image_id, "--patch", json.dumps(patch))
    assert run("tag", "list", image_id).out == "\t1\na\t1\n"
    run("tag", "remove", image_id, "")
    assert tags_of(image_id) == ["a"]
    run("tag", "remove", image_id, "", code=4)


def test_glance_refuses_emoji_in_its_own_words(project: Project) -> None:
    image_id = make("x", "a")
    for argv in (["add", image_id, EMOJI], ["replace", image_id, "b", f"x{EMOJI}"]):
        result = run("tag", *argv, code=1)
        assert result.out == ""
        assert without_id(result.err) == (
            f"glancectl: error: cannot update image {image_id}: the request is not accepted\n"
            "  cause: Param values can't contain 4 byte unicode.\n"
            "  request id: req-\n"
        )
    run("tag", "remove", image_id, EMOJI, code=4)
    assert tags_of(image_id) == ["a"]


@pytest.mark.parametrize("letter", ["t", "é"])
def test_a_tag_longer_than_255_characters_is_refused(project: Project, letter: str) -> None:
    image_id = make("x", "a")
    result = run("tag", "add", image_id, letter * 300, code=1)
    assert "the request is not accepted" in result.err
    assert "too long" in result.err
    assert tags_of(image_id) == ["a"]


def test_more_than_128_tags_are_refused(project: Project) -> None:
    image_id = make("x", "kept")
    many = [f"t{n}" for n in range(128)]
    for argv in (["add", image_id, *many], ["replace", image_id, "one", *many]):
        result = run("tag", *argv, code=1)
        assert without_id(result.err) == (
            f"glancectl: error: cannot update image {image_id}: too large, or over quota\n"
            "  cause: The limit has been exceeded on the number of allowed image tags. "
            "Attempted: 129, Maximum: 128\n"
            "  request id: req-\n"
        )
        assert (result.out, tags_of(image_id)) == ("", ["kept"])
    run("tag", "replace", image_id, *many)
    assert "Attempted: 129, Maximum: 128" in run("tag", "add", image_id, "one", code=1).err
    assert tags_of(image_id) == sorted(many)


@pytest.mark.parametrize(
    "argv", [["add", "b"], ["add", "b", "é"], ["remove", "a"], ["replace", "b"]]
)
def test_tags_of_foreign_images_are_the_owner_s(
    project: Project, new_project: Callable[..., Project], argv: list[str]
) -> None:
    bob = new_project()
    visible = make(f"of {project.name}", "a", visibility="community")
    secret = make("secret", "a", visibility="private")
    verb, *tags = argv
    result = run("tag", verb, visible, *tags, code=3, user=bob)
    assert result.out == ""
    assert "not allowed with these credentials\n  cause: You are not authorized" in result.err
    result = run("tag", verb, secret, *tags, code=4, user=bob)
    assert without_id(result.err) == (
        f"glancectl: error: cannot show image {secret}: not found\n"
        f"  cause: No image found with ID {secret}\n"
        "  request id: req-\n"
    )
    run("tag", verb, "secret", *tags, code=4, user=bob)
    assert tags_of(visible) == tags_of(secret) == ["a"]


def test_the_tags_of_a_foreign_image_can_be_listed_when_it_is_visible(
    project: Project, new_project: Callable[..., Project]
) -> None:
    bob = new_project()
    visible = make(f"of {project.name}", "a", visibility="community")
    secret = make("secret", "a", visibility="private")
    assert run("tag", "list", visible, user=bob).out == "a\t1\n"
    run("tag", "list", secret, code=4, user=bob)


# Faults


@pytest.mark.parametrize("fault", [{"lose_answer": True}, {"status": 504, "carry_out": True}])
@pytest.mark.parametrize(
    ("tag", "add", "remove"), [("b", "PUT", "DELETE"), ("é", "PATCH", "PATCH")]
)
def test_a_write_whose_answer_is_lost_is_done(
    project: Project, proxy: FaultProxy, tag: str, add: str, remove: str, fault: dict[str, object]
) -> None:
    image_id = make("x", "a")
    proxy.requests.clear()
    proxy.add(f"^{add} ", **fault)
    added = run("tag", "add", image_id, tag, "-q")
    assert (sorted(added.lines), added.err) == (["a", tag], "")
    assert (tags_of(image_id), proxy.count(f"^{add} ")) == (["a", tag], 2)
    proxy.requests.clear()
    proxy.add(f"^{remove} ", **fault)
    removed = run("tag", "remove", image_id, tag, "-q")
    assert (removed.out, removed.err) == ("a\n", "")
    assert (tags_of(image_id), proxy.count(f"^{remove} ")) == (["a"], 2)


def test_a_write_that_never_gets_through_is_exit_5(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x")
    proxy.add("^PUT ", times=None, status=503)
    result = run("--retries", 1, "tag", "add", image_id, "a", code=5)
    assert result.out == ""
    assert "cannot add tag 'a' of image" in result.err
    assert proxy.count("^PUT ") == 2
    assert tags_of(image_id) == []
