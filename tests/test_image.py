"""image list, show, create, delete: records, against the real Glance."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import Project, log_in, run
from faultproxy import FaultProxy

MISSING = "00000000-0000-4000-8000-000000000000"


def make(name: str | None = None, *options: object) -> str:
    """Reserve an image and return its id."""
    words = [] if name is None else ["--", name]
    return run("image", "create", "-q", *options, *words).out.strip()


def status_of(image_id: str) -> str:
    return str(run("image", "show", image_id, "-f", "json").json["status"])


# create


def test_create_without_data_reserves_a_record(project: Project) -> None:
    record = run("image", "create", "web", "--disk-format", "raw", "-f", "json").json
    assert (record["name"], record["status"], record["owner"]) == ("web", "queued", project.id)
    assert record["container_format"] == "bare"


def test_create_takes_every_field(project: Project, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("from a file\n")
    (tmp_path / "props.yaml").write_text("hw_cpu: 4\nsecure: true\nos_distro: fromfile\n")
    record = run(
        "image", "create", "full", "--id", "6b1e2d7e-0000-4000-8000-0000000000aa",
        "--disk-format", "qcow2", "--container-format", "bare", "--min-disk", 3, "--min-ram", 512,
        "--visibility", "shared", "--protected", "--hidden", "--owner", project.name,
        "--tag", "a b", "--tag", "é", "--property", "os_distro=ubuntu", "--property", "eq=a=b",
        "--property", f"text=@{tmp_path}/value", "--property", "at=@@x",
        "--properties-file", tmp_path / "props.yaml", "-f", "json",
    ).json  # fmt: skip
    expected = {
        "id": "6b1e2d7e-0000-4000-8000-0000000000aa", "name": "full", "disk_format": "qcow2",
        "container_format": "bare", "min_disk": 3, "min_ram": 512, "visibility": "shared",
        "protected": True, "os_hidden": True, "owner": project.id, "os_distro": "ubuntu",
        "eq": "a=b", "text": "from a file", "at": "@x", "hw_cpu": "4", "secure": "true",
    }  # fmt: skip
    assert {key: record[key] for key in expected} == expected
    assert sorted(record["tags"]) == ["a b", "é"]
    run("image", "delete", record["id"], "--unprotect")


def test_create_with_an_id_that_is_taken_is_refused_and_harms_nothing(project: Project) -> None:
    image_id = make("first")
    result = run("image", "create", "second", "--id", image_id, code=1)
    assert "conflicts with the present state" in result.err
    assert run("image", "show", image_id, "-c", "name").out == "name\tfirst\n"


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        pytest.param(["--disk-format", "floppy"], 1, "is not one of", id="unknown-format"),
        pytest.param(["--id", "12"], 1, "cause:", id="bad-id"),
        pytest.param(["--property", "nope"], 2, "expected KEY=VALUE", id="property-without-equals"),
        pytest.param(["--property", "=x"], 2, "expected KEY=VALUE", id="property-without-key"),
        pytest.param(
            ["--property", "k=@/nonexistent"], 1, "cannot read /nonexistent", id="no-file"
        ),
        pytest.param(["--property", " x=y"], 2, "strip the spaces", id="property-with-spaces"),
        pytest.param(["--tag", ""], 2, "a tag cannot be empty", id="empty-tag"),
        pytest.param(["--tag", "\udcff"], 1, "is not UTF-8 text", id="bytes-that-are-no-text"),
        pytest.param(["--min-ram", "-1"], 2, "--min-ram", id="negative"),
        pytest.param(["--visibility", "public"], 3, "not allowed", id="public-needs-admin"),
        pytest.param(["--owner", "no-such-project"], 3, "use the project's id", id="unknown-owner"),
        pytest.param(["--checksum", f"md5:{'0' * 32}"], 2, "--file SOURCE", id="data-option-alone"),
        pytest.param(["--visibility", "secret"], 2, "--visibility", id="unknown-visibility"),
    ],
)
def test_create_says_what_is_wrong(
    project: Project, argv: list[str], code: int, words: str
) -> None:
    result = run("image", "create", "x", *argv, code=code)
    assert words in result.err
    assert result.err.startswith("glancectl: error: ")
    assert result.out == ""
    assert run("image", "list", "-q").out == ""


def test_a_reader_may_not_create(
    new_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(new_project(role="reader"), monkeypatch)
    assert "not allowed" in run("image", "create", "x", code=3).err


def test_create_is_sent_again_when_its_answer_is_lost(project: Project, proxy: FaultProxy) -> None:
    proxy.add("^POST /v2/images", lose_answer=True)
    record = run("image", "create", "once", "-f", "json").json
    assert proxy.count("^POST /v2/images$") == 2
    assert run("image", "list", "-q").lines == [record["id"]]


@pytest.mark.parametrize(
    "fault", [{"lose_answer": True}, {"status": 504, "carry_out": True}], ids=["lost", "504"]
)
def test_create_leaves_no_record_when_its_answer_never_comes(
    project: Project, proxy: FaultProxy, fault: dict[str, object]
) -> None:
    proxy.add("^POST /v2/images", times=None, **fault)
    result = run("--retries", 0, "image", "create", "x", code=5)
    assert "the record it had made was removed" in result.err
    assert run("image", "list", "-q").out == ""


# show and names


def test_show_by_id_is_one_request(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x")
    proxy.requests.clear()
    assert run("image", "show", image_id, "-q").out == f"{image_id}\n"
    assert proxy.requests == [f"GET /v2/images/{image_id}"]


def test_show_by_name_is_two_requests(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x")
    proxy.requests.clear()
    assert run("image", "show", "x", "-q").out == f"{image_id}\n"
    assert len(proxy.requests) == 2


@pytest.mark.parametrize(
    "name",
    [
        "app:v1", "in:a,b", "a/b", "what?", "../../etc/passwd", 'say "hi"', "it's", "a,b", "-f",
        "--help", "Ünïcödé", "漢字", "عربي", "a b", "100%", "a&b=c", "#1", "a+b", "$(x)", "eq:",
    ],
)  # fmt: skip
def test_any_name_can_be_made_found_and_deleted(project: Project, name: str) -> None:
    image_id = make(name)
    found = run("image", "show", "-f", "json", "--", name).json
    assert (found["id"], found["name"]) == (image_id, name)
    assert run("image", "list", "--name", name, "-q").lines == [image_id]
    run("image", "delete", "--", name)
    assert run("image", "list", "-q").out == ""


def test_a_name_that_looks_like_an_id_is_found_as_a_name(project: Project) -> None:
    image_id = make(MISSING)
    assert run("image", "show", MISSING, "-q").out == f"{image_id}\n"
    run("image", "delete", MISSING)


def test_hidden_images_are_found_by_name_and_visible_ones_win(project: Project) -> None:
    hidden = make("os", "--hidden")
    assert run("image", "show", "os", "-q").out == f"{hidden}\n"
    visible = make("os")
    assert run("image", "show", "os", "-q").out == f"{visible}\n"


def test_others_community_images_are_found_by_name(
    project: Project, new_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_project()
    log_in(other, monkeypatch)
    image_id = make(f"of {other.name}", "--visibility", "community")
    log_in(project, monkeypatch)
    assert run("image", "show", f"of {other.name}", "-q").out == f"{image_id}\n"
    assert run("image", "list", "-q").out == ""
    assert image_id in run("image", "list", "--visibility", "community", "-q").lines
    result = run("image", "delete", f"of {other.name}", code=3)
    assert "not allowed" in result.err


def test_two_images_of_one_name_are_listed_and_nothing_is_changed(project: Project) -> None:
    ids = {make("twin"), make("twin")}
    result = run("image", "delete", "twin", code=1)
    assert "2 images are named 'twin'" in result.err
    assert all(image_id in result.err for image_id in ids)
    assert "use the id" in result.err
    assert set(run("image", "list", "-q").lines) == ids


def test_an_unknown_image_is_exit_4(project: Project) -> None:
    assert run("image", "show", "nosuch", code=4).err == (
        "glancectl: error: no image is named 'nosuch'\n"
        "  hint: glancectl image list shows what there is\n"
    )
    result = run("image", "show", MISSING, code=4)
    assert f"cannot show image {MISSING}: not found" in result.err
    assert "request id: req-" in result.err


def test_an_empty_name_never_reaches_the_server(project: Project, proxy: FaultProxy) -> None:
    run("image", "show", "", code=2)
    assert proxy.requests == []


def test_a_foreign_private_image_is_not_found(
    project: Project, new_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = make("mine")
    log_in(new_project(), monkeypatch)
    run("image", "show", image_id, code=4)
    run("image", "delete", image_id, code=4)


def test_errors_as_json_have_seven_keys(project: Project) -> None:
    error = json.loads(run("image", "show", MISSING, "-f", "json", code=4).err)["error"]
    assert list(error) == ["exit", "kind", "message", "cause", "hint", "status", "request_id"]
    assert (error["exit"], error["kind"], error["status"]) == (4, "not_found", 404)
    assert error["request_id"].startswith("req-")


# list


def test_list_columns_are_a_promise(project: Project) -> None:
    image_id = make("a\tb", "--disk-format", "raw", "--tag", "t")
    assert run("image", "list").out == f"{image_id}\ta\\tb\tqueued\tshared\t\n"
    assert run("image", "list", "-f", "csv").lines[0] == "id,name,status,visibility,size"
    long = run("image", "list", "--long", "-f", "csv").lines[0]
    assert long == (
        "id,name,status,visibility,size,disk_format,container_format,min_disk,min_ram,protected,"
        "os_hidden,owner,created_at,updated_at,tags"
    )


def test_an_empty_list_is_empty(project: Project) -> None:
    assert run("image", "list").out == ""
    assert run("image", "list", "-f", "json").json == []
    assert run("image", "list", "-f", "jsonl").out == ""


def test_list_in_json_is_the_api_s_own_body(project: Project) -> None:
    make("x", "--property", "k=v")
    [listed] = run("image", "list", "-f", "json").json
    token = run("auth", "token").out.strip()
    url = f"{project.sandbox.glance}/v2/images"
    raw = httpx.get(url, headers={"X-Auth-Token": token}).json()["images"]
    assert [listed] == raw


def test_every_filter_finds_its_image_alone(project: Project) -> None:
    one = make("one", "--disk-format", "raw", "--tag", "a", "--tag", "b", "--property", "os=x")
    two = make("two", "--disk-format", "qcow2", "--tag", "a", "--visibility", "private")
    three = make("three", "--container-format", "ovf", "--hidden", "--protected")
    everything = {"one": one, "two": two}

    def found(*filters: object) -> set[str]:
        return set(run("image", "list", "-q", *filters).lines)

    assert found() == set(everything.values())
    assert found("--name", "one") == {one}
    assert found("--match", "t*") == {two}
    assert found("--status", "queued") == {one, two}
    assert found("--status", "active") == set()
    assert found("--visibility", "private") == {two}
    assert found("--owner", project.id) == {one, two}
    assert found("--owner", project.name) == {one, two}
    assert found("--tag", "a") == {one, two}
    assert found("--tag", "a", "--tag", "b") == {one}
    assert found("--property", "os=x") == {one}
    assert found("--disk-format", "qcow2") == {two}
    assert found("--container-format", "bare") == {one, two}
    assert found("--hidden") == {three}
    assert found("--hidden", "--protected") == {three}
    assert found("--unprotected") == {one, two}
    assert found("--id", one, "--id", two) == {one, two}
    assert found("--filter", "name=in:one,three") == {one}
    assert found("--created-after", "2026-01-01") == {one, two}
    assert found("--created-before", "2026-01-01") == set()
    assert found("--created-after", "2026-01-01", "--created-before", "2126-01-01") == {one, two}
    assert found("--updated-after", "2126-01-01") == set()
    assert found("--size-min", "1") == set()
    assert found("--member-status", "pending") == {one, two}
    assert found("--sort", "name:asc", "--limit", 1) == {one}
    assert run("image", "list", "-q", "--sort", "name:asc").lines == [one, two]
    assert run("image", "list", "-q", "--sort", "name:asc", "--marker", one).lines == [two]
    run("image", "delete", three, "--unprotect")


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--sort", "nope"], 1, "Invalid sort key"),
        (["--marker", MISSING], 1, "cannot list images"),
        (["--name", "\udcff"], 1, "is not UTF-8 text"),
        (["--created-after", "yesterday"], 2, "'--created-after': expected a date"),
        (["--size-min", "big"], 2, "'--size-min': expected a size"),
        (["--filter", "nope"], 2, "'--filter': expected KEY=VALUE"),
        (["--property", "x_min=3"], 1, "cannot filter"),
        (["--limit", "-1"], 2, "--limit"),
    ],
)
def test_a_bad_filter_is_a_sentence(
    project: Project, argv: list[str], code: int, words: str
) -> None:
    assert words in run("image", "list", *argv, code=code).err


def test_pages_neither_lose_nor_double_with_two_tags(project: Project, proxy: FaultProxy) -> None:
    both = {make(f"both {n}", "--tag", "a", "--tag", "b") for n in range(7)}
    for n in range(4):
        make(f"a {n}", "--tag", "a")
    proxy.requests.clear()
    found = run("image", "list", "--tag", "b", "--tag", "a", "--page-size", 3, "-q").lines
    assert sorted(found) == sorted(both)
    assert len(proxy.requests) == 3
    by_glob = run("image", "list", "--match", "both *", "--limit", 5, "--page-size", 2, "-q").lines
    assert len(set(by_glob)) == 5
    assert set(by_glob) <= both


def test_every_filter_is_right_across_pages(project: Project) -> None:
    for number in range(7):
        make(
            f"n{number}", "--disk-format", ("raw", "qcow2")[number % 2], "--tag", "all",
            *(("--tag", "even") if number % 2 == 0 else ("--hidden",)), "--min-ram", number,
            "--visibility", ("shared", "private")[number % 3 == 0],
            "--property", f"mod={number % 3}",
        )  # fmt: skip
    filters: list[list[object]] = [
        [], ["--hidden"], ["--tag", "even", "--tag", "all"], ["--tag", "all", "--tag", "even"],
        ["--match", "n[0-4]"], ["--match", "n*", "--tag", "even"], ["--property", "mod=0"],
        ["--visibility", "private"], ["--disk-format", "raw", "--status", "queued"],
        ["--created-after", "2026-01-01", "--created-before", "2126-01-01"],
        ["--filter", "name=in:n0,n2,n5"], ["--filter", "min_ram_min=2", "--tag", "all"],
        ["--sort", "name:asc"], ["--sort", "disk_format:asc,name:desc"], ["--owner", project.id],
        ["--filter", "sort_key=name", "--filter", "sort_key=id", "--filter", "sort_dir=asc"],
    ]  # fmt: skip
    for chosen in filters:
        whole = run("image", "list", "-q", *chosen).lines
        assert whole, chosen
        assert run("image", "list", "-q", *chosen, "--page-size", 2).lines == whole, chosen
        assert (
            run("image", "list", "-q", *chosen, "--page-size", 1, "--limit", 3).lines == whole[:3]
        )
        rest = run("image", "list", "-q", *chosen, "--marker", whole[0], "--page-size", 2).lines
        assert rest == whole[1:], chosen


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--property", "os=x", "--property", "os=y"], "two filters on 'os'"),
        (["--name", "x", "--filter", "name=in:x,y"], "two filters on 'name'"),
        (["--created-after", "2026-01-01", "--filter", "created_at=lt:2027-01-01"], "created_at"),
        (["--filter", "limit=3"], "hint: --limit"),
        (["--filter", "marker=x"], "hint: --marker"),
    ],
)
def test_what_glance_would_silently_drop_is_refused(
    project: Project, proxy: FaultProxy, argv: list[str], words: str
) -> None:
    assert words in run("image", "list", *argv, code=2).err
    assert proxy.requests == []


def test_a_limit_reads_no_more_than_it_shows(project: Project, proxy: FaultProxy) -> None:
    for number in range(3):
        make(f"n{number}", "--tag", "t")
    proxy.requests.clear()
    assert len(run("image", "list", "--tag", "t", "--limit", 2, "-q").lines) == 2
    assert proxy.requests == ["GET /v2/images?tag=t&limit=2"]
    proxy.requests.clear()
    assert run("image", "list", "--limit", 0, "-f", "json").json == []
    assert proxy.requests == []


def test_three_thousand_images_are_four_requests(project: Project, proxy: FaultProxy) -> None:
    token = run("auth", "token").out.strip()
    headers = {"X-Auth-Token": token}
    with httpx.Client(base_url=project.sandbox.glance, headers=headers, timeout=60) as client:

        def reserve(number: int) -> str:
            tags = ["even", "all"] if number % 2 == 0 else ["all"]
            answer = client.post("/v2/images", json={"name": f"n{number}", "tags": tags})
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(reserve, range(3000)))
    proxy.requests.clear()
    listed = run("image", "list", "-q").lines
    assert sorted(listed) == sorted(made)
    assert len(proxy.requests) <= 4
    proxy.requests.clear()
    even = run("image", "list", "--tag", "even", "--tag", "all", "-q").lines
    assert sorted(even) == sorted(made[::2])
    assert len(proxy.requests) <= 2


# delete


def test_delete_by_id_is_one_request_and_says_what_went(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("x")
    proxy.requests.clear()
    gone = run("image", "delete", image_id, "-f", "json").json
    assert gone == {"id": image_id, "name": None, "status": "deleted"}
    assert proxy.requests == [f"DELETE /v2/images/{image_id}"]
    assert run("image", "delete", make("y"), "-q").out.strip()
    run("image", "show", image_id, code=4)


def test_delete_tries_all_and_names_what_failed(project: Project) -> None:
    good, guarded = make("good"), make("guarded", "--protected")
    result = run("image", "delete", good, "nosuch", guarded, "-f", "json", code=9)
    assert [gone["id"] for gone in result.json] == [good]
    error = json.loads(result.err)["error"]
    assert [(t["target"], t["exit"]) for t in error["targets"]] == [("nosuch", 4), (guarded, 1)]
    assert run("image", "list", "-q").lines == [guarded]
    run("image", "delete", guarded, "--unprotect")
    assert run("image", "list", "-q").out == ""


def test_delete_where_all_fail_alike_has_their_code(project: Project) -> None:
    assert "2 of 2 targets failed" in run("image", "delete", "no", "such", code=4).err
    assert run("image", "delete", "no", "such", "--if-exists").out == ""
    assert run("image", "delete", "no", "--if-exists", "-f", "json").code == 0


def test_delete_protected_image_says_how_to_unprotect(project: Project) -> None:
    image_id = make("x", "--protected")
    result = run("image", "delete", image_id, code=1)
    assert "is protected and cannot be deleted" in result.err
    assert "--unprotect" in result.err
    run("image", "delete", image_id, "--unprotect")


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"n", 1, True), (b"", 1, True), (b"y", 0, False)]
)
def test_delete_by_name_asks_on_a_terminal(
    project: Project, answer: bytes, code: int, left: bool
) -> None:
    image_id = make("precious")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "glancectl", "image", "delete"]
    options = {"stdin": follower, "stdout": subprocess.PIPE, "stderr": follower}
    with subprocess.Popen([*command, "precious"], **options) as process:
        os.write(leader, answer + b"\n")
        out, _ = process.communicate(timeout=30)
    asked = os.read(leader, 4096).decode()
    assert "Delete precious? [y/N]" in asked
    assert (process.returncode, image_id.encode() in out) == (code, not left)
    assert (image_id in run("image", "list", "-q").lines) is left
    if left:
        assert "not confirmed, nothing was changed" in asked
        subprocess.run([*command, image_id], check=True, **(options | {"stdout": None}))
    os.close(leader)
    os.close(follower)


def test_delete_reads_ids_or_rows_from_stdin(project: Project) -> None:
    ids = {make("a"), make("b\tc")}
    rows = run("image", "list").data
    result = run("image", "delete", "-", "-f", "json", stdin=rows + b"\n")
    assert {gone["id"] for gone in result.json} == ids
    assert run("image", "delete", "-", "-f", "json", stdin=b"").json == []


def test_a_retried_delete_whose_first_answer_was_lost_is_done(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make("x")
    proxy.add(f"^DELETE /v2/images/{image_id}", lose_answer=True)
    run("image", "delete", image_id)
    assert proxy.count("^DELETE") == 2


# faults, for plain requests


def test_a_service_that_recovers_is_waited_for(project: Project, proxy: FaultProxy) -> None:
    image_id = make("x")
    proxy.add("^GET /v2/images", times=2, status=503, headers={"Retry-After": "0"})
    assert run("image", "list", "-q").lines == [image_id]


@pytest.mark.parametrize(
    "fault", [{"cut": 20}, {"cut": 20, "reset": True}, {"lose_answer": True}, {"status": 502}]
)
def test_a_list_that_broke_off_once_is_fetched_again(
    project: Project, proxy: FaultProxy, fault: dict[str, object]
) -> None:
    image_id = make("x")
    proxy.add("^GET /v2/images", **fault)
    assert run("image", "list", "-q").lines == [image_id]
    assert proxy.count("^GET /v2/images") == 2


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"status": 503, "body": b"<html><body><h1>503 Busy</h1></body></html>"}, 5, "503 Busy"),
        ({"status": 500}, 5, "the service is failing"),
        ({"status": 429}, 5, "too many requests"),
        ({"status": 300, "body": b'{"versions": []}'}, 1, "not an image API v2"),
        ({"status": 200, "body": b'{"images": ['}, 5, "not what an image API v2 sends"),
        ({"status": 200, "body": b"<html>login</html>"}, 5, "not what an image API v2 sends"),
        ({"status": 200, "body": b'{"servers": []}'}, 5, "no list of images"),
        ({"lose_answer": True}, 5, "the connection broke"),
        ({"lose_answer": True, "reset": True}, 5, "the connection broke"),
        ({"stall": 2.0}, 5, "no answer in time"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_a_service_that_stays_broken_is_a_sentence(
    project: Project, proxy: FaultProxy, fault: dict[str, object], code: int, words: str
) -> None:
    run("auth", "token")
    proxy.add("^GET /v2/images", times=None, **fault)
    result = run("--retries", 1, "--timeout", 1, "image", "list", code=code)
    assert words in result.err
    assert "Traceback" not in result.err


def test_a_refused_connection_is_exit_5(project: Project) -> None:
    result = run("--retries", 0, "--endpoint", "http://127.0.0.1:9", "image", "list", code=5)
    assert "the service cannot be reached" in result.err


def test_a_full_disk_behind_stdout_is_a_sentence(project: Project) -> None:
    make("x")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "glancectl", "image", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "glancectl: error: the output cannot be written\n  cause: No space left on device\n",
    )


def test_the_reader_of_stdout_may_go_away(project: Project) -> None:
    for number in range(3):
        make(f"n{number}")
    command = f"{{ sleep 0.5; {sys.executable} -m glancectl image list; echo $? >&2; }} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "141\n")
