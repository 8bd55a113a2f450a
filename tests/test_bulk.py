"""One command, many images: all are tried, each failure is named, the order is that asked for."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from conftest import Project, run, wait_for
from faultproxy import FaultProxy
from test_image import make


def reserve(project: Project, count: int, **fields: object) -> list[str]:
    """Create ``count`` images at once, named n0, n1, …, and return their ids in that order."""
    headers = {"X-Auth-Token": run("auth", "token").out.strip()}
    with httpx.Client(base_url=project.sandbox.glance, headers=headers, timeout=60) as client:

        def post(number: int) -> str:
            answer = client.post("/v2/images", json={"name": f"n{number}", **fields})
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(post, range(count)))


def lines(refs: Sequence[str]) -> bytes:
    return "".join(f"{ref}\n" for ref in refs).encode()


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run("image", "list", "-f", "json").json
    return found


def failed(err: str) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(err)["error"]
    return error


def test_two_hundred_images_are_updated_and_deleted_in_two_commands(
    project: Project, proxy: FaultProxy
) -> None:
    missing = str(uuid.uuid4())
    ids = reserve(project, 200, tags=["old"])
    protected = ids[100]
    run("image", "update", protected, "--protected", "-q")
    targets = [*ids[:50], missing, *ids[50:]]
    proxy.requests.clear()

    change = ["--property", "k=v", "--tag", "t", "--remove-tag", "old"]
    done = run("image", "update", "-", *change, "-f", "json", stdin=lines(targets), code=9)
    assert [record["id"] for record in done.json] == ids
    assert proxy.count("^PATCH") == 200
    now = listed()
    assert {record["id"] for record in now} == set(ids)
    assert {(record.get("k"), *record["tags"]) for record in now} == {("v", "t")}
    error = failed(done.err)
    assert (error["exit"], error["kind"]) == (9, "partial")
    assert error["message"] == "1 of 201 targets failed"
    [one] = error["targets"]
    assert one["message"].startswith(f"cannot show image {missing}: not found: No image found")
    assert one == {"target": missing, "exit": 4, "message": one["message"], "status": 404}

    gone = run("image", "delete", "-", "-f", "json", stdin=lines(targets), code=9)
    left = [image_id for image_id in ids if image_id != protected]
    assert gone.json == [{"id": image_id, "name": None, "status": "deleted"} for image_id in left]
    error = failed(gone.err)
    assert error["message"] == "2 of 201 targets failed"
    assert [(one["target"], one["exit"], one["status"]) for one in error["targets"]] == [
        (missing, 4, 404),
        (protected, 1, 403),
    ]
    assert [record["id"] for record in listed()] == [protected]
    run("image", "delete", protected, "--unprotect")


def test_failures_are_lines_of_text(project: Project) -> None:
    missing = str(uuid.uuid4())
    good, protected = make("good"), make("guarded", "--protected")
    result = run("image", "delete", "-", stdin=lines([protected, "nosuch", good, missing]), code=9)
    assert result.out == f"{good}\t\tdeleted\n"
    assert result.err == (
        "glancectl: error: 3 of 4 targets failed\n"
        f"  {protected}: cannot delete image {protected}: the image does not allow it: "
        f"Image {protected} is protected and cannot be deleted.\n"
        "  nosuch: no image is named 'nosuch'\n"
        f"  {missing}: cannot delete image {missing}: not found: "
        f"Failed to find image {missing} to delete\n"
    )
    assert run("image", "list", "-q").lines == [protected]
    run("image", "delete", protected, "--unprotect")


@pytest.mark.parametrize("verb", ["update", "delete", "activate", "deactivate"])
def test_targets_that_all_fail_alike_give_that_code(project: Project, verb: str) -> None:
    missing = [str(uuid.uuid4()) for _ in range(3)]
    error = failed(run("image", verb, *missing, "-f", "json", code=4).err)
    assert (error["exit"], error["kind"]) == (4, "not_found")
    assert error["message"] == "3 of 3 targets failed"
    assert [one["target"] for one in error["targets"]] == missing


def test_targets_that_all_fail_differently_are_exit_9(project: Project) -> None:
    image_id = make("x")
    targets = [image_id, "nosuch"]
    result = run("image", "update", *targets, "--property", "size=1", "-f", "json", code=9)
    assert (result.json, failed(result.err)["message"]) == ([], "2 of 2 targets failed")


def test_one_target_that_fails_is_a_plain_error(project: Project) -> None:
    missing = str(uuid.uuid4())
    for argv, stdin in ([missing], b""), (["-"], lines([missing])), ([missing, missing], b""):
        result = run("image", "update", *argv, "--name", "x", "-f", "json", stdin=stdin, code=4)
        assert failed(result.err)["message"] == f"cannot show image {missing}: not found"
        assert "targets" not in failed(result.err)


def test_results_keep_the_order_of_the_targets_whatever_the_jobs(project: Project) -> None:
    ids = reserve(project, 12)
    targets = [*ids[6:], "nosuch", *(f"n{number}" for number in range(6))]
    expected = [*ids[6:], *ids[:6]]
    for jobs in (1, 8):
        change = ["--property", f"jobs={jobs}", "--jobs", jobs]
        result = run("image", "update", *targets, *change, "-f", "json", code=9)
        assert [record["id"] for record in result.json] == expected
        assert {record["jobs"] for record in result.json} == {str(jobs)}
        assert failed(result.err)["targets"] == [
            {"target": "nosuch", "exit": 4, "message": "no image is named 'nosuch'",
             "status": None},
        ]  # fmt: skip
        again = run("image", "update", *targets, *change, code=9)
        assert [line.split("\t")[0] for line in again.lines] == expected
    assert run("image", "delete", *targets, "--jobs", 1, "-q", code=9).lines == expected
    assert listed() == []


@pytest.mark.parametrize("jobs", [1, 8])
def test_an_image_named_twice_is_written_once(
    project: Project, proxy: FaultProxy, jobs: int
) -> None:
    image_id = make("twice")
    names = [image_id, "twice", image_id.upper(), image_id]
    command = ["image", "update", *names, "--property", "k=v", "--jobs", jobs]
    proxy.requests.clear()
    assert [record["id"] for record in run(*command, "-f", "json").json] == [image_id]
    assert proxy.count("^PATCH") == 1


def test_an_image_named_twice_that_fails_is_one_failure(project: Project) -> None:
    image_id = make("twice")
    command = ["image", "update", image_id, "twice", "--property", "size=1", "-f", "json"]
    error = failed(run(*command, code=1).err)
    assert (error["exit"], error["kind"]) == (1, "refused")


@pytest.mark.parametrize("jobs", [1, 8])
@pytest.mark.parametrize("spell", [str.upper, lambda _: "twice"], ids=["upper-case", "name"])
def test_an_image_named_twice_is_deleted_once(
    project: Project, proxy: FaultProxy, spell: Any, jobs: int
) -> None:
    image_id = make("twice")
    proxy.requests.clear()
    result = run("image", "delete", image_id, spell(image_id), "--jobs", jobs, "-q")
    assert result.out == f"{image_id}\n"
    assert proxy.count("^DELETE") == 1


def test_rows_of_a_list_are_targets(project: Project) -> None:
    ids = [*reserve(project, 3), make("a\tb\\c")]
    rows = run("image", "list", "--long").data + b"\n  \n"
    result = run("image", "update", "-", "--property", "k=v", "-f", "json", stdin=rows)
    assert sorted(record["id"] for record in result.json) == sorted(ids)
    windows = rows.replace(b"\n", b"\r\n")
    assert len(run("image", "update", "-", "--name", "x", "-q", stdin=windows).lines) == 4
    more = run("image", "update", ids[0], "-", "--name", "y", "-q", stdin=lines(ids[1:3]))
    assert more.lines == ids[:3]
    plan = run("image", "update", "-", "--name", "x", "--dry-run", stdin=rows).out
    assert plan == "".join(
        f"{image_id}\tname\ty\tx\n"
        for image_id in (line.split("\t")[0] for line in rows.decode().splitlines())
        if image_id in ids[:3]
    )
    assert len(run("image", "delete", "-", stdin=run("image", "list").data).lines) == 4
    assert listed() == []


@pytest.mark.parametrize("stdin", [b"", b"\n \n"], ids=["empty", "blank"])
@pytest.mark.parametrize("verb", ["update", "delete", "activate", "deactivate"])
def test_no_targets_are_no_failure(
    project: Project, proxy: FaultProxy, verb: str, stdin: bytes
) -> None:
    result = run("image", verb, "-", "-f", "json", stdin=stdin)
    assert (result.json, result.err) == ([], "")
    result = run("image", verb, "-", stdin=stdin)
    assert (result.out, result.err) == ("", "")
    assert proxy.requests == []


def test_one_target_named_is_an_object_and_more_are_an_array(project: Project) -> None:
    one, two = make("one"), make("two")
    for argv, stdin in ([one, two], b""), (["-"], lines([one])), ([one, one], b""):
        found = run("image", "update", *argv, "--min-ram", 1, "-f", "json", stdin=stdin).json
        assert [record["id"] for record in found] == list(dict.fromkeys([one, *argv[1:]]))
    assert run("image", "update", one, "--min-ram", 2, "-f", "json").json["id"] == one
    assert run("image", "update", one, two, "--min-ram", 1).out == (
        f"{one}\tone\tqueued\tshared\t\n{two}\ttwo\tqueued\tshared\t\n"
    )
    assert run("image", "delete", one, "-f", "json").json["id"] == one
    assert [gone["id"] for gone in run("image", "delete", "-", "-f", "json",
            stdin=lines([two])).json] == [two]  # fmt: skip


def test_a_broken_service_fails_each_target_by_itself(project: Project, proxy: FaultProxy) -> None:
    ids = reserve(project, 6)
    proxy.add(f"^PATCH .*{ids[2]}", times=None, status=503)
    proxy.add(f"^PATCH .*{ids[4]}", lose_answer=True)
    result = run("--retries", 1, "image", "update", *ids, "--name", "x", "-f", "json", code=9)
    assert [record["id"] for record in result.json] == [*ids[:2], *ids[3:]]
    [one] = failed(result.err)["targets"]
    assert (one["target"], one["exit"], one["status"]) == (ids[2], 5, 503)


def test_a_signal_says_how_far_it_came(project: Project, proxy: FaultProxy) -> None:
    ids = reserve(project, 6)
    for slow in ids[2:]:
        proxy.add(f"^PATCH .*/{slow}", stall=60)
    command = [sys.executable, "-m", "glancectl", "image", "update", *ids, "--property", "k=v"]
    with subprocess.Popen([*command, "--jobs", "2"], stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: proxy.count("^PATCH") == 4)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (
        130,
        "glancectl: stopped by SIGINT; 2 of 6 targets had been tried, "
        "up to 2 more were under way\n",
    )


@pytest.mark.parametrize("jobs", [1, 8])
def test_a_name_means_what_it_meant_before_the_first_change(project: Project, jobs: int) -> None:
    image_id = make("before")
    command = ["image", "update", image_id, "before", "--name", "after", "--jobs", jobs]
    assert run(*command, "-q").lines == [image_id]
