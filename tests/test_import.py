"""image stage, import and wait: how an import ended is told by its task, and told in full."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, Result, Sandbox, log_in, run, wait_for
from faultproxy import FaultProxy
from test_image import MISSING, status_of
from test_transfer import sha512

Served = tuple[str, Path]

GOOD = 70_000  # bytes of what ``good`` serves
QUEUED_AGAIN = "the image is queued again, so the command can be run again"
WRONG_MD5 = f"md5:{'0' * 32}"


def make(*options: object) -> str:
    """Reserve a raw image and return its id."""
    return run("image", "create", "-q", "--disk-format", "raw", *options).out.strip()


def imported(image_id: str, method: str, *options: object, **how: Any) -> Result:
    often = ("--interval", 0.1)
    return run("image", "import", image_id, "--method", method, *options, *often, **how)


def show(image_id: str) -> dict[str, Any]:
    record: dict[str, Any] = run("image", "show", image_id, "-f", "json").json
    return record


def stores_of(record: dict[str, Any]) -> set[str]:
    return set(record["stores"].split(","))


def error_of(result: Result) -> dict[str, Any]:
    """Return the error that a run with ``-f json`` ended with."""
    error: dict[str, Any] = json.loads(result.err.splitlines()[-1])["error"]
    return error


def tasks_of(image_id: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = run("task", "list", "--image", image_id, "-f", "json").json
    return tasks


def web_download(url: str) -> tuple[str, ...]:
    return ("web-download", "--uri", url)


@contextlib.contextmanager
def started(*argv: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``glancectl ARGV`` beside the test."""
    command = [sys.executable, "-m", "glancectl", *argv]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str, str]:
    """Wait for a process; return its exit code, stdout and stderr."""
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
def people(sandbox: Sandbox) -> tuple[Project, Project]:
    """A user and an admin."""
    return Project(sandbox), Project(sandbox, "admin")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where logins are remembered from one test to the next."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def project(
    people: tuple[Project, Project], tokens: str, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """One project for all tests here, since no image of one test is in the way of another."""
    monkeypatch.setenv("XDG_CACHE_HOME", tokens)
    log_in(people[0], monkeypatch)
    return people[0]


@pytest.fixture
def admin(people: tuple[Project, Project]) -> Project:
    return people[1]


@pytest.fixture
def good(served: Served) -> str:
    """A URL of noise that Glance may fetch."""
    url, folder = served
    (folder / "good.raw").write_bytes(os.urandom(GOOD))
    return f"{url}/good.raw"


@pytest.fixture
def bad(served: Served) -> str:
    """A URL that Glance may fetch, but that is a 404."""
    return f"{served[0]}/absent.raw"


@pytest.fixture
def no_tasks(proxy: FaultProxy) -> FaultProxy:
    """A Glance that does not tell the tasks of an image."""
    proxy.add("^GET .*/tasks$", times=None, status=404)
    return proxy


# stage


@pytest.mark.parametrize("kind", ["file", "stdin", "url"])
def test_stage_takes_a_file_stdin_and_a_url(
    project: Project, good: str, served: Served, kind: str
) -> None:
    file = served[1] / "good.raw"
    source = {"file": file, "stdin": "-", "url": good}[kind]
    image_id = make()
    record = run("image", "stage", image_id, source, "-f", "json", stdin=file.read_bytes()).json
    assert (record["status"], record["size"]) == ("uploading", GOOD)
    assert show(image_id) == record
    assert imported(image_id, "glance-direct", "-f", "json").json["os_hash_value"] == sha512(file)


def test_stage_fills_in_the_format_that_it_sees(project: Project, qcow2: Path) -> None:
    image_id = run("image", "create", "-q").out.strip()
    record = run("image", "stage", image_id, qcow2, "-f", "json").json
    assert (record["disk_format"], record["status"]) == ("qcow2", "uploading")


def test_stage_of_data_of_no_known_format_needs_the_format(project: Project, raw: Path) -> None:
    image_id = run("image", "create", "-q").out.strip()
    result = run("image", "stage", image_id, raw, code=1)
    assert ": --disk-format says what it is" in result.err
    assert status_of(image_id) == "queued"


def test_stage_needs_a_queued_image(project: Project, raw: Path) -> None:
    image_id = make()
    run("image", "stage", image_id, raw)
    assert run("image", "stage", image_id, raw, code=1).err == (
        f"glancectl: error: image {image_id} takes no data: its status is uploading\n"
        f"  hint: if it is staged: glancectl image import {image_id} --method glance-direct\n"
    )
    imported(image_id, "glance-direct")
    assert run("image", "stage", image_id, raw, code=1).err == (
        f"glancectl: error: image {image_id} takes no data: its status is active\n"
        "  hint: only a queued record takes data: glancectl image create makes one\n"
    )


def test_stage_with_a_wrong_checksum_leaves_nothing_staged(project: Project, raw: Path) -> None:
    image_id = make()
    right = hashlib.md5(raw.read_bytes()).hexdigest()
    assert run("image", "stage", image_id, raw, "--checksum", WRONG_MD5, code=6).err == (
        f"glancectl: error: the source does not match --checksum md5; {QUEUED_AGAIN}\n"
        f"  cause: expected {'0' * 32}, got {right}\n"
    )
    run("image", "stage", image_id, raw, "--checksum", f"md5:{right}")
    assert status_of(image_id) == "uploading"


def test_an_import_of_a_file_with_a_wrong_checksum_says_what_is_left(
    project: Project, raw: Path
) -> None:
    image_id = make()
    command = ("image", "import", image_id, "--method", "glance-direct", "--file", raw)
    error = run(*command, "--checksum", WRONG_MD5, code=6).err
    assert f"the source does not match --checksum md5; {QUEUED_AGAIN}\n" in error
    assert status_of(image_id) == "queued"
    run(*command)
    assert status_of(image_id) == "active"


def test_a_stage_that_broke_off_starts_again(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    image_id = make()
    proxy.add("^PUT .*/stage", cut_request=1_000_000)
    assert "try 1 of 4" in run("image", "stage", image_id, raw).err
    assert proxy.count("^PUT .*/stage") == 2
    assert imported(image_id, "glance-direct", "-f", "json").json["os_hash_value"] == sha512(raw)


def test_a_stage_that_is_interrupted_can_be_tried_again(project: Project, raw: Path) -> None:
    image_id = make()
    with started("image", "stage", image_id, "-") as process:
        assert process.stdin
        process.stdin.write(os.urandom(3 << 20))
        process.stdin.flush()
        wait_for(lambda: status_of(image_id) == "uploading")
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, "", f"glancectl: stopped by SIGINT; {QUEUED_AGAIN}\n")
    run("image", "stage", image_id, raw)


# the four methods


def test_glance_direct_with_a_file_is_one_command(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    image_id = make()
    proxy.requests.clear()
    record = imported(image_id, "glance-direct", "--file", raw, "-f", "json").json
    assert (record["status"], record["size"]) == ("active", raw.stat().st_size)
    assert (record["stores"], record["os_hash_value"]) == ("fast", sha512(raw))
    assert show(image_id) == record
    writes = [request for request in proxy.requests if not request.startswith("GET")]
    path = f"/v2/images/{image_id}"
    assert writes == [f"PUT {path}/stage", f"POST {path}/import"]


def test_glance_direct_with_a_wrong_checksum_is_never_imported(project: Project, raw: Path) -> None:
    image_id = make()
    wrong = ("--file", raw, "--checksum", WRONG_MD5)
    result = imported(image_id, "glance-direct", *wrong, code=6)
    assert "the source does not match --checksum md5" in result.err
    assert "stay" not in result.err
    wait_for(lambda: status_of(image_id) == "queued")
    assert tasks_of(image_id) == []


@pytest.mark.parametrize("where", [("--all-stores",), ("--store", "slow", "--store", "fast")])
def test_an_import_may_go_to_several_stores(
    project: Project, good: str, where: tuple[str, ...]
) -> None:
    record = imported(make(), *web_download(good), *where, "-f", "json").json
    assert stores_of(record) == {"fast", "slow"}  # web can only be read


def test_web_download_is_fetched_by_glance(project: Project, good: str, served: Served) -> None:
    image_id = run("image", "create", "by name", "-q", "--disk-format", "raw").out.strip()
    record = imported("by name", *web_download(good), "-f", "json").json
    assert (record["id"], record["status"]) == (image_id, "active")
    assert record["os_hash_value"] == sha512(served[1] / "good.raw")


def test_a_web_download_that_failed_is_told_by_its_task_and_can_be_tried_again(
    project: Project, good: str, bad: str
) -> None:
    image_id = make()
    result = imported(image_id, *web_download(bad), code=8)
    [task] = tasks_of(image_id)
    assert task["status"] == "failure"
    assert (result.out, result.err) == (
        "",
        f"glancectl: error: the import of image {image_id} failed; the image is queued again\n"
        f"  cause: {task['message']}\n"
        "  hint: check what was to be imported, or: "
        f"glancectl image upload {image_id} SOURCE\n",
    )
    assert status_of(image_id) == "queued"
    imported(image_id, *web_download(good))
    assert status_of(image_id) == "active"


def test_a_url_that_the_cloud_filters_is_refused_in_its_words(project: Project) -> None:
    image_id, url = make(), "http://169.254.169.254/x"
    result = imported(image_id, *web_download(url), code=1)
    assert f"cause: URI for web-download does not pass filtering: {url}\n" in result.err
    assert (status_of(image_id), tasks_of(image_id)) == ("queued", [])


def test_copy_image_is_for_admins_and_copies_once(
    project: Project, admin: Project, good: str
) -> None:
    image_id = make()
    imported(image_id, *web_download(good))
    copy = (image_id, "copy-image")
    assert "not allowed" in imported(*copy, "--store", "slow", code=3).err
    assert stores_of(show(image_id)) == {"fast"}
    record = imported(*copy, "--store", "slow", "-f", "json", user=admin).json
    assert (record["status"], stores_of(record)) == ("active", {"fast", "slow"})
    again = imported(*copy, "--store", "slow", code=1, user=admin)
    assert "cause: Image is already present at store 'slow'\n" in again.err
    nothing = "no task was started: all stores have the image already\n"
    for options in ([], ["--allow-failure"], ["--no-wait"]):
        result = imported(*copy, "--all-stores", *options, "-f", "json", user=admin)
        assert (result.json, result.err) == (record, nothing)


def test_copy_image_to_all_stores_fills_the_gap(
    project: Project, admin: Project, good: str
) -> None:
    image_id = make()
    imported(image_id, *web_download(good), "--store", "slow")
    record = imported(image_id, "copy-image", "--all-stores", "-f", "json", user=admin).json
    assert stores_of(record) == {"fast", "slow"}


def test_glance_download_takes_an_active_image_of_a_region(project: Project, good: str) -> None:
    source, target = make(), make()
    there = ("--remote-region", "RegionOne", "--remote-image", source)
    failed = imported(target, "glance-download", *there, code=8)
    assert f"the import of image {target} failed; the image is queued again" in failed.err
    imported(source, *web_download(good))
    record = imported(target, "glance-download", *there, "-f", "json").json
    assert record["status"] == "active"
    assert record["os_hash_value"] == show(source)["os_hash_value"]
    interface = ("--remote-interface", "public")
    imported(make(), "glance-download", *there, *interface)


# what cannot be imported


def test_staged_data_of_another_format_fail_for_good(project: Project, raw: Path) -> None:
    image_id = run("image", "create", "-q", "--disk-format", "qcow2").out.strip()
    run("image", "stage", image_id, raw, "--no-sniff")
    expected = (
        f"glancectl: error: the import of image {image_id} failed; "
        "the image stays importing for good\n"
        "  cause: Task failed due to Internal Error\n"
        f"  hint: only deleting is left: glancectl image delete {image_id}\n"
    )
    assert imported(image_id, "glance-direct", code=8).err == expected
    assert run("image", "wait", image_id, "--timeout", 30, code=8).err == expected
    run("image", "delete", image_id)


def test_a_file_of_another_format_is_never_staged(
    project: Project, proxy: FaultProxy, qcow2: Path
) -> None:
    result = imported(make(), "glance-direct", "--file", qcow2, code=6)
    assert "the data is qcow2, not raw" in result.err
    assert proxy.count("^PUT") == 0


def test_web_download_needs_the_format_of_the_record(project: Project, good: str) -> None:
    image_id = run("image", "create", "-q").out.strip()
    result = imported(image_id, *web_download(good), code=1)
    assert "hint: glancectl image update IMAGE --disk-format …\n" in result.err
    assert status_of(image_id) == "queued"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("web-download", "--method web-download needs --uri"),
        ("glance-direct --uri http://h/x", "--uri goes with --method web-download"),
        ("copy-image --file x", "--file goes with --method glance-direct"),
        ("web-download --uri http://h/x --file x", "--file goes with --method glance-direct"),
        ("glance-direct --store a --all-stores", "--store and --all-stores exclude each other"),
        ("glance-direct --allow-failure", "--allow-failure goes with --store or --all-stores"),
        (f"glance-direct --checksum {WRONG_MD5}", "options about the data need the data"),
        ("glance-direct --allow-empty", "options about the data need the data"),
        ("glance-download --remote-image x", "needs --remote-region"),
        ("glance-download --remote-region x", "needs --remote-image"),
        ("glance-download", "needs --remote-region and --remote-image"),
        ("glance-direct --remote-region x", "--remote-region goes with --method glance-download"),
        ("copy-image --remote-interface x", "--remote-interface goes with --method glance-down"),
    ],
)
def test_options_that_do_not_go_together_never_reach_a_cloud(options: str, words: str) -> None:
    result = run("image", "import", "x", "--method", *options.split(), code=2)
    assert words in result.err
    assert result.out == ""


def test_an_unknown_method_is_refused_here_with_the_cloud_s_list(
    project: Project, proxy: FaultProxy
) -> None:
    assert imported(make(), "nope", code=1).err == (
        "glancectl: error: this cloud cannot import by 'nope'\n"
        "  hint: it can by glance-direct, web-download, copy-image, glance-download\n"
    )
    assert proxy.count("^POST .*/import") == 0


def test_an_unknown_store_is_found_before_anything_is_staged(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    image_id = make()
    where = ("--store", "fast", "--store", "nope")
    assert imported(image_id, "glance-direct", "--file", raw, *where, code=4).err == (
        "glancectl: error: this cloud has no store 'nope'\n"
        "  hint: there are fast, slow, web\n"
    )  # fmt: skip
    assert (proxy.count("^PUT"), status_of(image_id)) == (0, "queued")


def test_an_import_that_is_refused_leaves_the_data_staged_and_says_so(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    image_id = make()
    proxy.add("^POST .*/import", status=400, body=b'{"message": "not today"}')
    result = imported(image_id, "glance-direct", "--file", raw, code=1)
    command = f"glancectl image import {image_id} --method glance-direct"
    assert f"; its data stay staged, to be imported with: {command}\n" in result.err
    assert "cause: not today\n" in result.err
    run(*command.split()[1:])
    assert show(image_id)["os_hash_value"] == sha512(raw)


def test_a_record_whose_location_did_not_hold_takes_no_data(
    project: Project, raw: Path, good: str
) -> None:
    image_id = make()
    wrong = ("--checksum", f"sha256:{'0' * 64}")
    assert run("image", "locations", "add", image_id, good, *wrong, code=8).err == (
        f"glancectl: error: adding a location to image {image_id} failed; "
        "the image keeps a location that does not hold\n"
        "  cause: Task failed due to Internal Error\n"
        f"  hint: only deleting is left: glancectl image delete {image_id}\n"
    )
    assert status_of(image_id) == "queued"  # and Glance would hand out what is at the location
    refusal = (
        f"glancectl: error: image {image_id} takes no data: "
        "a location that did not hold is left in it\n"
        f"  hint: glancectl image delete {image_id}, and make another\n"
    )
    assert run("image", "upload", image_id, raw, code=1).err == refusal
    assert run("image", "stage", image_id, raw, code=1).err == refusal
    assert imported(image_id, *web_download(good), code=1).err == refusal
    assert imported(image_id, "glance-direct", "--file", raw, code=1).err == refusal
    assert run("image", "wait", image_id, "--timeout", 30, code=8).err.startswith(
        f"glancectl: error: adding a location to image {image_id} failed"
    )


# some of several stores


def test_stores_that_failed_are_named_beside_the_record(
    project: Project, admin: Project, good: str
) -> None:
    image_id = make()
    both = ("--store", "fast", "--store", "web", "--allow-failure")
    result = imported(image_id, *web_download(good), *both, "-f", "json", code=9)
    assert result.json == show(image_id)
    assert (result.json["status"], stores_of(result.json)) == ("active", {"fast"})
    assert error_of(result) == {
        "exit": 9, "kind": "partial", "message": f"image {image_id} is not in 1 of 2 stores",
        "cause": None, "hint": None, "status": None, "request_id": None,
        "targets": [{
            "target": "web", "exit": 8, "message": "the store did not take the image",
            "status": None,
        }],
    }  # fmt: skip
    # The record still says that web failed, which is none of this copy's business.
    record = imported(image_id, "copy-image", "--store", "slow", "-f", "json", user=admin).json
    assert (record["os_glance_failed_import"], stores_of(record)) == ("web", {"fast", "slow"})


def test_stores_that_failed_are_named_in_text(project: Project, good: str) -> None:
    image_id = make()
    both = ("--store", "web", "--store", "slow", "--allow-failure", "-q")
    result = imported(image_id, *web_download(good), *both, code=9)
    assert (result.out, result.err) == (
        f"{image_id}\n",
        f"glancectl: error: image {image_id} is not in 1 of 2 stores\n"
        "  web: the store did not take the image\n",
    )


def test_one_failed_store_undoes_an_import_that_may_not_fail(project: Project, good: str) -> None:
    image_id = make()
    both = ("--store", "fast", "--store", "web")
    result = imported(image_id, *web_download(good), *both, "-f", "json", code=8)
    assert result.out == ""
    assert error_of(result)["message"] == (
        f"the import of image {image_id} failed; the image is queued again"
    )
    record = show(image_id)
    assert (record["status"], record["size"], record.get("stores")) == ("queued", None, None)


def test_a_copy_that_no_store_took_has_failed(project: Project, admin: Project, good: str) -> None:
    image_id = make()
    imported(image_id, *web_download(good))
    where = ("--store", "web", "--allow-failure", "-f", "json")
    result = imported(image_id, "copy-image", *where, code=8, user=admin)
    error = error_of(result)
    assert (error["exit"], error["kind"]) == (8, "failed")
    assert error["message"] == f"image {image_id} is not in 1 of 1 stores"
    assert [target["target"] for target in error["targets"]] == ["web"]
    assert result.json == show(image_id)
    assert (result.json["status"], stores_of(result.json)) == ("active", {"fast"})


# without waiting


def test_no_wait_prints_the_task_which_can_be_awaited(project: Project, good: str) -> None:
    image_id = make()
    task = imported(image_id, *web_download(good), "--no-wait", "-f", "json").json
    assert (task["type"], task["image_id"]) == ("api_image_import", image_id)
    done = run("task", "wait", task["id"], "--image", image_id, "-f", "json").json
    assert (done["id"], done["status"]) == (task["id"], "success")
    assert run("image", "wait", image_id, "-f", "json").json == show(image_id)


def test_what_was_not_awaited_is_told_by_wait(project: Project, bad: str) -> None:
    image_id = make()
    task_id = imported(image_id, *web_download(bad), "--no-wait", "-q").out.strip()
    assert [task["id"] for task in tasks_of(image_id)] == [task_id]
    wait = ("task", "wait", task_id, "--image", image_id, "--timeout", 30)
    assert f"task {task_id} failed\n" in run(*wait, code=8).err
    result = run("image", "wait", image_id, "--timeout", 30, code=8)
    assert f"the import of image {image_id} failed; the image is queued again" in result.err


# verification


def test_an_image_that_is_not_what_was_sent_is_deactivated(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    # The proxy changes the record's digest on its way back: a digit inside os_hash_value.
    proxy.add("^GET /v2/images/[^/]+$", times=None, flip_in=b'"os_hash_value": "')
    image_id = make()
    result = imported(image_id, "glance-direct", "--file", raw, code=6)
    assert f"image {image_id} is not what was sent; it was deactivated\n" in result.err
    assert f"cause: sha512 of what was sent: {sha512(raw)}, stored: " in result.err
    assert result.out == ""
    assert status_of(image_id) == "deactivated"
    unseen = imported(make(), "glance-direct", "--file", raw, "--no-verify", "-f", "json")
    assert unseen.json["os_hash_value"] != sha512(raw)
    assert "verified" not in unseen.err


# an end that does not come


def test_a_timeout_says_that_the_import_goes_on(project: Project, stalled: str) -> None:
    image_id = make()
    result = imported(image_id, *web_download(stalled), "--timeout", 0.5, code=7)
    assert (result.out, result.err) == (
        "",
        f"glancectl: error: gave up waiting for the import of image {image_id} after 0.5 s\n"
        f"  hint: it goes on: glancectl image wait {image_id} --for active\n",
    )
    assert run("image", "wait", image_id, "--timeout", 0.2, code=7).err == (
        f"glancectl: error: gave up waiting for image {image_id} to be active after 0.2 s\n"
        f"  hint: to wait on: glancectl image wait {image_id} --for active\n"
    )
    assert "conflicts" in imported(image_id, *web_download(stalled), code=1).err
    run("image", "delete", image_id)


def test_an_image_that_is_deleted_while_it_is_imported_is_exit_8(
    project: Project, proxy: FaultProxy, stalled: str
) -> None:
    image_id = make()
    with started("image", "import", image_id, "--method", *web_download(stalled)) as process:
        wait_for(lambda: proxy.count(f"{image_id}/tasks$") >= 3)
        run("image", "delete", image_id)
        assert ended(process) == (
            8, "", f"glancectl: error: image {image_id} was deleted while it was imported\n"
        )  # fmt: skip


def test_a_signal_ends_the_wait_and_not_the_import(
    project: Project, proxy: FaultProxy, stalled: str
) -> None:
    image_id = make()
    with started("image", "import", image_id, "--method", *web_download(stalled)) as process:
        wait_for(lambda: proxy.count(f"{image_id}/tasks$") >= 3)
        process.send_signal(signal.SIGINT)
        goes_on = f"the import goes on: glancectl image wait {image_id} --for active"
        assert ended(process) == (130, "", f"glancectl: stopped by SIGINT; {goes_on}\n")
    wait_for(lambda: [task["status"] for task in tasks_of(image_id)] == ["processing"])


# faults


def test_a_service_that_fails_for_a_moment_does_not_end_the_wait(
    project: Project, proxy: FaultProxy, good: str
) -> None:
    proxy.add("^GET .*/tasks$", times=2)
    proxy.add("^GET .*/tasks$", times=2, status=503, headers={"Retry-After": "0"})
    assert imported(make(), *web_download(good), "-f", "json").json["status"] == "active"
    assert proxy.count("^GET .*/tasks$") >= 5


def test_a_service_that_fails_during_the_wait_says_how_to_go_on(
    project: Project, proxy: FaultProxy, good: str
) -> None:
    proxy.add("^GET .*/tasks$", times=2)
    proxy.add("^GET .*/tasks$", times=None, status=503)
    image_id = make()
    argv = ("image", "import", image_id, "--method", *web_download(good))
    result = run("--retries", 0, *argv, code=5)
    assert f"glancectl image wait {image_id} --for active" in result.err


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "^POST .*/import$", "lose_answer": True},
        {"on": "^POST .*/import$", "status": 502, "carry_out": True},
        {"on": "^GET .*/tasks$", "status": 503, "times": None},
    ],
    ids=["lost", "502", "tasks-503"],
)
def test_an_import_that_may_have_been_started_is_not_said_to_be_undone(
    project: Project, proxy: FaultProxy, raw: Path, fault: dict[str, Any]
) -> None:
    image_id = make()
    proxy.add("^GET .*/tasks$")  # what tasks there were before passes
    proxy.add(**fault)
    argv = ("image", "import", image_id, "--method", "glance-direct", "--file", raw)
    result = run("--retries", 0, *argv, code=None)
    wait_for(lambda: status_of(image_id) == "active")
    assert "stay staged" not in result.err
    assert result.code == 0 or f"glancectl image wait {image_id}" in result.err


# a cloud with a single store


def test_a_single_store_is_all_stores(
    project: Project, plain_glance: str, monkeypatch: pytest.MonkeyPatch, raw: Path
) -> None:
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", plain_glance)
    image_id = make()
    where = ("--all-stores", "--allow-failure", "-f", "json")
    result = imported(image_id, "glance-direct", "--file", raw, *where)
    assert (result.json["status"], result.json["os_hash_value"]) == ("active", sha512(raw))
    assert result.err.startswith("this cloud has a single store, so that all of them are one\n")
    [task] = tasks_of(image_id)
    assert task["input"]["import_req"] == {"method": {"name": "glance-direct"}}


def test_a_single_store_has_no_name_and_takes_no_copies(
    project: Project,
    admin: Project,
    plain_glance: str,
    monkeypatch: pytest.MonkeyPatch,
    raw: Path,
) -> None:
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", plain_glance)
    image_id = make()
    assert imported(image_id, "glance-direct", "--file", raw, "--store", "x", code=4).err == (
        "glancectl: error: this cloud has no store 'x'\n"
        "  hint: there is one, without a name\n"
    )  # fmt: skip
    assert status_of(image_id) == "queued"
    run("image", "stage", image_id, raw)
    imported(image_id, "glance-direct")
    assert show(image_id)["os_hash_value"] == sha512(raw)
    for options in ([], ["--all-stores"]):
        assert imported(image_id, "copy-image", *options, code=1, user=admin).err == (
            "glancectl: error: this cloud has a single store, so there is nowhere to copy to\n"
        )


# a Glance that does not tell the tasks of an image


def test_without_tasks_the_record_tells_how_an_import_ended(
    no_tasks: FaultProxy, good: str, bad: str
) -> None:
    record = imported(make(), *web_download(good), "-f", "json").json
    assert (record["status"], record["size"]) == ("active", GOOD)
    image_id = make()
    assert imported(image_id, *web_download(bad), code=8).err == (
        f"glancectl: error: the import of image {image_id} failed; the image is queued again\n"
        "  cause: the cloud tells no reason\n"
        "  hint: check what was to be imported, or: "
        f"glancectl image upload {image_id} SOURCE\n"
    )


def test_without_tasks_an_import_whose_answer_is_lost_is_seen_by_its_lock(
    no_tasks: FaultProxy, stalled: str
) -> None:
    image_id = make()
    no_tasks.add("^POST .*/import", status=502, carry_out=True)
    result = imported(image_id, *web_download(stalled), "--timeout", 0.5, code=7)
    assert f"hint: it goes on: glancectl image wait {image_id} --for active" in result.err


def test_without_tasks_an_import_can_still_go_on_for_too_long(
    no_tasks: FaultProxy, stalled: str
) -> None:
    image_id = make()
    result = imported(image_id, *web_download(stalled), "--timeout", 0.5, code=7)
    assert f"hint: it goes on: glancectl image wait {image_id} --for active" in result.err
    assert run("image", "wait", image_id, "--timeout", 0.2, code=7).out == ""


# wait


def test_wait_for_what_is_so_already_prints_the_record(project: Project, raw: Path) -> None:
    active, queued = make("--file", raw), make()
    assert run("image", "wait", active, "-f", "json").json == show(active)
    assert run("image", "wait", queued, "--for", "queued", "-q").out == f"{queued}\n"
    run("image", "deactivate", active)
    record = run("image", "wait", active, "--for", "deactivated", "-f", "json").json
    assert record["status"] == "deactivated"


def test_wait_sees_an_image_become_deactivated_and_deleted(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    image_id = make("--file", raw)
    wait = ("image", "wait", image_id, "-f", "json", "--interval", "0.1", "--for")
    proxy.requests.clear()
    with started(*wait, "deactivated") as process:
        wait_for(lambda: proxy.count(f"^GET .*{image_id}$") >= 3)
        run("image", "deactivate", image_id)
        code, out, _ = ended(process)
    assert (code, json.loads(out)) == (0, show(image_id))
    proxy.requests.clear()
    with started(*wait, "deleted") as process:
        wait_for(lambda: proxy.count(f"^GET .*{image_id}$") >= 3)
        run("image", "delete", image_id)
        code, out, _ = ended(process)
    assert (code, json.loads(out)) == (0, {"id": image_id, "name": None, "status": "deleted"})


@pytest.mark.parametrize(
    ("ref", "record"),
    [
        (MISSING, {"id": MISSING, "name": None, "status": "deleted"}),
        ("nosuch", {"id": None, "name": "nosuch", "status": "deleted"}),
    ],
)
def test_what_is_not_there_is_deleted(
    project: Project, ref: str, record: dict[str, object]
) -> None:
    assert run("image", "wait", ref, "--for", "deleted", "-f", "json").json == record


@pytest.mark.parametrize("ref", [MISSING, "nosuch"])
def test_wait_for_an_unknown_image_is_exit_4(project: Project, ref: str) -> None:
    assert run("image", "wait", ref, code=4).out == ""


def test_wait_for_what_cannot_come_any_more_is_exit_8(project: Project, raw: Path) -> None:
    image_id = make("--file", raw)
    result = run("image", "wait", image_id, "--for", "queued", "--timeout", 30, code=8)
    assert result.err == (f"glancectl: error: image {image_id} is active, so it cannot be queued\n")


def test_an_image_that_is_deleted_while_waited_for_is_exit_8(
    project: Project, proxy: FaultProxy
) -> None:
    image_id = make()
    proxy.requests.clear()
    with started("image", "wait", image_id, "--interval", "0.1") as process:
        wait_for(lambda: proxy.count(f"^GET .*{image_id}$") >= 3)
        run("image", "delete", image_id)
        assert ended(process) == (
            8, "", f"glancectl: error: image {image_id} was deleted, so it cannot be active\n"
        )  # fmt: skip


@pytest.mark.parametrize("wanted", ["active", "deactivated"])
def test_wait_for_an_image_whose_last_import_failed_is_exit_8_at_once(
    project: Project, bad: str, wanted: str
) -> None:
    image_id = make()
    failed = imported(image_id, *web_download(bad), code=8)
    wait = ("image", "wait", image_id, "--timeout", 30)
    assert run(*wait, "--for", wanted, code=8).err == failed.err
    assert run(*wait, "--for", "queued", "-q").out == f"{image_id}\n"


def test_data_staged_after_a_failed_import_are_waited_for(
    project: Project, bad: str, raw: Path
) -> None:
    image_id = make()
    imported(image_id, *web_download(bad), code=8)
    run("image", "stage", image_id, raw)
    result = run("image", "wait", image_id, "--timeout", 0.3, code=None)
    assert "for good" not in result.err
    assert result.code == 7
    imported(image_id, "glance-direct")
    assert run("image", "wait", image_id, "-q").out == f"{image_id}\n"


def test_wait_for_several_names_the_ones_that_failed(project: Project, raw: Path) -> None:
    active, queued = make("--file", raw), make()
    result = run("image", "wait", active, "nosuch", active, "-f", "json", code=9)
    assert result.json == [show(active)]
    assert error_of(result)["targets"] == [
        {"target": "nosuch", "exit": 4, "message": "no image is named 'nosuch'", "status": None}
    ]
    late = run("image", "wait", active, queued, "--timeout", 0.2, "-q", code=9)
    assert late.out == f"{active}\n"
    assert f"{queued}: gave up waiting" in late.err
    alike = run("image", "wait", queued, make(), "--timeout", 0.2, "-f", "json", code=7)
    assert (alike.json, len(error_of(alike)["targets"])) == ([], 2)


def test_wait_reads_ids_or_rows_from_stdin_and_waits_for_each_once(
    project: Project, raw: Path
) -> None:
    active, queued = make("--file", raw), make()
    rows = f"{active}\tx\tactive\n{active}\n"
    result = run("image", "wait", "-", "-f", "json", stdin=rows.encode())
    assert result.json == [show(active)]
    rows += queued
    late = run("image", "wait", "-", "--timeout", 0, "-q", stdin=rows.encode(), code=9)
    assert late.out == f"{active}\n"
