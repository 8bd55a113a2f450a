"""image prune: what a rule means goes, what it does not mean stays, however often it is run.

Images get their age in Glance's database, since no request can give them one.
"""

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from conftest import HTTP, Project, Sandbox, password_token, run, wait_for
from faultproxy import FaultProxy

GLANCECTL = [sys.executable, "-m", "glancectl"]
WITH_DATA = ("active", "deactivated")


class Cloud:
    """The images of a project, made without any of our code."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._glance = project.sandbox.glance
        self._database = project.sandbox.clouds_file.parent / "glance.db"
        self._headers = {"X-Auth-Token": password_token(project.env)}

    def put(
        self,
        name: str | None,
        days: float,
        *,
        status: str = "active",
        unchanged: float | None = None,
        **fields: object,
    ) -> str:
        """Make an image that is so many days old and return its id.

        unchanged: since so many days; None: since it was made.
        """
        record = {"disk_format": "raw", "container_format": "bare", "name": name, **fields}
        if name is None:
            del record["name"]
        image_id = str(self.call("POST", "", json=record).json()["id"])
        if status in WITH_DATA:
            octets = {"Content-Type": "application/octet-stream"}
            self.call("PUT", f"/{image_id}/file", content=b"x", headers=octets)
        row = (status, _ago(days), _ago(days if unchanged is None else unchanged), image_id)
        with contextlib.closing(sqlite3.connect(self._database, timeout=60)) as database, database:
            database.execute(
                "UPDATE images SET status = ?, created_at = ?, updated_at = ? WHERE id = ?", row
            )
        return image_id

    def patch(self, image_id: str, path: str, value: object) -> None:
        """Change a field."""
        body = json.dumps([{"op": "replace", "path": path, "value": value}])
        kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        self.call("PATCH", f"/{image_id}", content=body, headers=kind)

    def delete(self, image_id: str) -> None:
        self.call("DELETE", f"/{image_id}")

    def ids(self) -> set[str]:
        """Return the ids of all images that the project has."""
        found: set[str] = set()
        for hidden in ("false", "true"):
            query = f"?owner={self.project.id}&visibility=all&limit=1000&os_hidden={hidden}"
            found |= {image["id"] for image in self.call("GET", query).json()["images"]}
        return found

    def call(
        self, method: str, path: str, headers: dict[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        url, both = f"{self._glance}/v2/images{path}", self._headers | (headers or {})
        answer = HTTP.request(method, url, headers=both, **body)
        assert answer.is_success, answer.text
        return answer


def _ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")


@pytest.fixture
def cloud(project: Project) -> Cloud:
    return Cloud(project)


def plan(*argv: object, user: Project | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run("image", "prune", *argv, "-f", "json", user=user).json
    return found


# Which go


@dataclass(frozen=True)
class Zoo:
    """Images of all kinds, by labels that begin with their name and end with their age in days."""

    cloud: Cloud
    ids: dict[str, str]

    def plan(self, *argv: object) -> str:
        """Return the labels of those that would go, in the order of the plan."""
        labels = {image_id: label for label, image_id in self.ids.items()}
        return " ".join(labels[image["id"]] for image in plan(*argv, user=self.cloud.project))


@pytest.fixture(scope="module")
def zoo(sandbox: Sandbox) -> Zoo:
    cloud = Cloud(Project(sandbox))
    nightly = {"tags": ["nightly"]}
    ids = {
        "app40": cloud.put("app", 40, **nightly),
        "app20": cloud.put("app", 20, tags=["nightly", "a b"]),
        "app10": cloud.put("app", 10, tags=["release"]),
        "app1": cloud.put("app", 1, os_hidden=True, **nightly),
        "app-deactivated2": cloud.put("app", 2, status="deactivated"),
        "app-protected70": cloud.put("app", 70, protected=True),
        "app-queued30": cloud.put("app", 30, status="queued"),
        "app-queued31": cloud.put("app", 31, status="queued", unchanged=0.1),
        "app-saving3": cloud.put("app", 3, status="saving"),
        "base60": cloud.put("base", 60),
        "base50": cloud.put("base", 50, visibility="community"),
        "base-importing4": cloud.put("base", 4, status="importing"),
        "base-uploading5": cloud.put("base", 5, status="uploading"),
        "base-published6": cloud.put("base", 6, os_hidden=True, glancectl_job="publish - 1 -"),
        "App80": cloud.put("App", 80),
        "noname90": cloud.put(None, 90),
        "noname91": cloud.put(None, 91),
    }
    others = Cloud(Project(sandbox))
    others.put("app", 95, visibility="community")
    others.put("base", 96, visibility="shared")
    return Zoo(cloud, ids)


@pytest.mark.parametrize(
    ("rule", "labels"),
    [
        ("--name app", "app40 app20 app10 app-deactivated2 app1"),
        ("--name ap", ""),
        ("--match ?pp", "App80 app40 app20 app10 app-deactivated2 app1"),
        ("--match b*", "base60 base50"),
        ("--match *", "noname91 noname90 App80 base60 base50 app40 app20 app10 app-deactivated2 "
                      "app1"),
        ("--match * --older-than 55d", "noname91 noname90 App80 base60"),
        ("--tag nightly", "app40 app20 app1"),
        ("--tag nightly --tag release", ""),
        ("--tag nightly --name base", ""),
        ("--older-than 30d", "noname91 noname90 App80 base60 base50 app40"),
        ("--older-than 50d", "noname91 noname90 App80 base60 base50"),
        ("--older-than 8w", "noname91 noname90 App80 base60"),
        ("--older-than 1200h --name base", "base60 base50"),
        ("--older-than 30d --match app", "app40"),
        # The newest active ones stay, whatever their age; hidden and protected ones are counted.
        ("--keep 1", "base60 app40 app20 app10 app-deactivated2"),
        ("--keep 2", "app40 app20 app-deactivated2"),
        ("--keep 3", "app40 app-deactivated2"),
        ("--keep 4", "app-deactivated2"),
        ("--keep 9", "app-deactivated2"),
        ("--keep 3 --older-than 5d", "app40"),
        ("--keep 3 --older-than 45d", ""),
        ("--keep 2 --older-than 45d --name base", ""),
        ("--keep 1 --older-than 45d --name base", "base60"),
        # … of those that the other selectors mean.
        ("--keep 1 --tag nightly", "app40 app20"),
        ("--keep 1 --match base", "base60"),
        # What nobody has finished goes only when that is asked for.
        ("--stuck 24h", "app-queued30 base-published6 base-uploading5 base-importing4 app-saving3"),
        ("--stuck 5d", "app-queued30 base-published6 base-uploading5"),
        ("--stuck 0s --name app", "app-queued31 app-queued30 app-saving3"),
        ("--stuck 1h --older-than 5w", ""),
        ("--stuck 1h --older-than 4w", "app-queued31 app-queued30"),
        ("--stuck 24h --match base", "base-published6 base-uploading5 base-importing4"),
        ("--stuck 24h --tag nightly", ""),
    ],
    ids=lambda text: text if text.startswith("--") else "",
)  # fmt: skip
def test_a_rule_means_these_images_the_oldest_first(zoo: Zoo, rule: str, labels: str) -> None:
    assert zoo.plan(*rule.split(" ")) == labels


def test_a_tag_may_have_spaces(zoo: Zoo) -> None:
    assert zoo.plan("--tag", "a b") == "app20"


def test_a_plan_changes_nothing_and_names_what_is_protected(zoo: Zoo) -> None:
    argv = ["image", "prune", "--name", "app", "--older-than", "30d"]
    for options in ([], ["--dry-run"]):
        done = run(*argv, *options, "-q", user=zoo.cloud.project)
        assert (done.lines, done.err) == ([zoo.ids["app40"]], "")
        assert run(*argv, *options, user=zoo.cloud.project).err == (
            f"image {zoo.ids['app-protected70']} (app) is protected, so it stays\n"
            "1 image would be deleted; --yes does it\n"
        )
    assert zoo.cloud.ids() == set(zoo.ids.values())


@pytest.mark.parametrize(
    ("rule", "label", "reason"),
    [
        ("--name app --older-than 30d", "app40", "named app, 40d old"),
        ("--match a* --tag nightly --keep 2", "app40",
         "matches a*, tagged nightly, not among the newest 2"),
        ("--tag nightly --older-than 480h --keep 1", "app40",
         "tagged nightly, 40d old, not among the newest 1"),
        ("--stuck 2h --older-than 31d", "app-queued31", "31d old, queued for 2h"),
        ("--stuck 24h --name base", "base-published6", "named base, unfinished for 6d"),
    ],
    ids=lambda text: text if text.startswith("--") else "",
)  # fmt: skip
def test_a_plan_says_why(zoo: Zoo, rule: str, label: str, reason: str) -> None:
    reasons = {
        image["id"]: image["reason"] for image in plan(*rule.split(), user=zoo.cloud.project)
    }
    assert reasons[zoo.ids[label]] == reason


def test_a_plan_is_a_list_of_records_in_every_format(zoo: Zoo) -> None:
    image_id = zoo.ids["app40"]
    argv = ["image", "prune", "--name", "app", "--older-than", "30d"]

    def planned(*options: str) -> list[str]:
        return run(*argv, *options, user=zoo.cloud.project).lines

    record = zoo.cloud.call("GET", f"/{image_id}").json()
    reason = "named app, 40d old"
    assert json.loads("".join(planned("-f", "json"))) == [record | {"reason": reason}]
    row = [image_id, "app", "active", "1", record["created_at"], reason]
    assert planned() == ["\t".join(row)]
    assert planned("-f", "csv")[0] == "id,name,status,size,created_at,reason"
    assert planned("-f", "value", "-c", "tags", "-c", "reason") == [f"nightly {reason}"]
    assert planned("-f", "table")[0].split() == (
        ["id", "name", "status", "size", "created_at", "reason"]
    )


# What is refused


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "nothing says which images are to go"),
        (["--yes"], "nothing says which images are to go"),
        (["--yes", "--all-projects"], "nothing says which images are to go"),
        (["--keep", "1", "--yes", "--dry-run"], "--yes and --dry-run cannot both be asked for"),
        (["--keep", "1", "--stuck", "1d"], "--stuck and --keep cannot both be asked for"),
        (["--keep", "1", "--all-projects", "--owner", "x"], "--all-projects and --owner cannot"),
        (["--keep", "0"], "Invalid value for '--keep'"),
        (["--name", "", "--yes"], "a name or id cannot be empty"),
        (["--match", "", "--yes"], "a name or id cannot be empty"),
        (["--name", "x", "--owner", ""], "a name or id cannot be empty"),
        *(
            (["--older-than", text], f"expected a time like 30d, 24h or 2w, got {text!r}")
            for text in ("30", "30D", "-1d", "1.5d", "", "1d ", "9999999d", "٣d")
        ),
        (["--stuck", "x"], "expected a time like 30d, 24h or 2w, got 'x'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, stalled: str, argv: list[str], said: str
) -> None:
    monkeypatch.setenv("OS_TOKEN", "x")
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", stalled)  # nothing is asked
    assert said in run("image", "prune", *argv, code=2).err


def test_a_bare_token_does_not_tell_whose_images_are_meant(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = cloud.put("x", 1)
    token = run("auth", "token").out.strip()
    for name in cloud.project.env:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OS_TOKEN", token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", cloud.project.sandbox.glance)
    error = run("image", "prune", "--name", "x", code=3).err
    assert "which project is yours cannot be told from OS_TOKEN alone" in error
    owner = ["--owner", cloud.project.id, "--no-check"]
    assert [image["id"] for image in plan("--name", "x", *owner)] == [image_id]


def test_a_reader_may_plan_and_not_delete(
    new_project: Callable[..., Project], admin: Project
) -> None:
    reader = new_project(role="reader")
    options = ["--owner", reader.id, "-q"]
    ids = {run("image", "create", "x", *options, user=admin).out.strip() for _ in range(2)}
    assert {image["id"] for image in plan("--stuck", "0s", user=reader)} == ids
    assert run("image", "prune", "--stuck", "0s", "--yes", user=reader, code=3).out == ""


# Deleting


def test_what_was_planned_is_deleted_and_a_second_run_does_nothing(
    cloud: Cloud, proxy: FaultProxy
) -> None:
    old = [cloud.put("ci", days) for days in (9, 8, 7)]
    new = [cloud.put("ci", days) for days in (6, 5)]
    guarded = cloud.put("ci", 10, protected=True)
    argv = ["image", "prune", "--match", "c*", "--keep", "2", "--yes"]
    done = run(*argv, "-f", "json")
    assert done.json == [{"id": i, "name": "ci", "status": "deleted"} for i in old]
    assert done.err == f"image {guarded} (ci) is protected, so it stays\n"
    assert cloud.ids() == {*new, guarded}
    proxy.requests.clear()
    again = run(*argv)
    assert (again.out, again.err) == ("", f"image {guarded} (ci) is protected, so it stays\n")
    assert [request.split("?")[0] for request in proxy.requests] == ["GET /v2/images"] * 2
    cloud.patch(guarded, "/protected", False)
    assert run(*argv, "-q").lines == [guarded]


def test_each_deletion_is_an_event_for_the_log_of_a_job(cloud: Cloud) -> None:
    ids = {cloud.put("ci", 9), cloud.put(None, 8)}
    for quiet in ([], ["-q"]):
        done = run("--progress", "json", "image", "prune", "--older-than", "1d", "--yes", *quiet)
        events = [json.loads(line) for line in done.err.splitlines()]
        assert {event["id"] for event in events if event["event"] == "change"} == ids
        assert {event.get("action") for event in events} == {"deleted"}
        ids = {cloud.put("ci", 9), cloud.put(None, 8)}


def test_stuck_images_are_deleted_whatever_their_status(cloud: Cloud) -> None:
    statuses = ("queued", "saving", "uploading", "importing")
    ids = [cloud.put(status, 3, status=status) for status in statuses]
    whole = cloud.put("whole", 9)
    run("image", "prune", "--stuck", "24h", "--yes", "--jobs", "1")
    assert cloud.ids() & {whole, *ids} == {whole}


def test_nothing_to_do_is_said(cloud: Cloud) -> None:
    done = run("image", "prune", "--keep", "1", "-f", "json")
    assert (done.out, done.err) == ("[]\n", "no image is to be deleted\n")
    assert run("image", "prune", "--keep", "1", "--yes").out == ""


def test_what_cannot_be_deleted_is_named_and_the_others_go(cloud: Cloud, proxy: FaultProxy) -> None:
    ids = [cloud.put("ci", days) for days in (9, 8, 7)]
    proxy.add(f"^DELETE .*{ids[1]}", status=409, body=b"it is in use")
    argv = ["image", "prune", "--name", "ci", "--yes", "-f", "json"]
    done = run(*argv, code=9)
    assert [image["id"] for image in done.json] == [ids[0], ids[2]]
    [failed] = json.loads(done.err.splitlines()[-1])["error"]["targets"]
    assert (failed["target"], failed["exit"], failed["status"]) == (ids[1], 1, 409)
    assert [image["id"] for image in run(*argv).json] == [ids[1]]


def protect(cloud: Cloud, image_id: str) -> None:
    cloud.patch(image_id, "/protected", True)


def rename(cloud: Cloud, image_id: str) -> None:
    cloud.patch(image_id, "/name", "release")


def tag(cloud: Cloud, image_id: str) -> None:
    cloud.patch(image_id, "/tags", ["release"])


def deactivate(cloud: Cloud, image_id: str) -> None:
    cloud.call("POST", f"/{image_id}/actions/deactivate")


@pytest.mark.parametrize("change", [protect, rename, tag, deactivate])
def test_an_image_that_changes_between_plan_and_deletion_stays(
    cloud: Cloud, proxy: FaultProxy, change: Callable[[Cloud, str], None]
) -> None:
    ids = [cloud.put("app", days, tags=["ci"]) for days in (9, 8, 7)]
    read_again = f"^GET /v2/images/{ids[1]}$"
    proxy.add(read_again, stall=1.5)

    def interfere() -> None:
        wait_for(lambda: proxy.count(read_again) > 0)
        change(cloud, ids[1])

    thread = threading.Thread(target=interfere)
    thread.start()
    done = run("image", "prune", "--tag", "ci", "--keep", "1", "--yes")
    thread.join()
    name = "release" if change is rename else "app"
    assert f"image {ids[1]} ({name}) was changed meanwhile, so it stays\n" in done.err
    assert cloud.ids() == {ids[1], ids[2]}
    assert proxy.count(f"^DELETE .*{ids[1]}") == 0


TWICE = b"Image status transition from deleted to deleted is not allowed"  # as Glance says it


@pytest.mark.parametrize(
    ("method", "answer"),
    [("GET", {}), ("DELETE", {}), ("DELETE", {"status": 400, "body": TWICE})],
    ids=["read", "deleted", "refused"],
)
def test_an_image_that_another_job_deletes_is_no_failure(
    cloud: Cloud, proxy: FaultProxy, method: str, answer: dict[str, Any]
) -> None:
    ids = [cloud.put("ci", days) for days in (9, 8)]
    on = f"^{method} .*{ids[0]}$"
    proxy.add(on, stall=1.5, **answer)

    def interfere() -> None:
        wait_for(lambda: proxy.count(on) > 0)
        cloud.delete(ids[0])

    thread = threading.Thread(target=interfere)
    thread.start()
    done = run("image", "prune", "--name", "ci", "--yes")
    thread.join()
    assert done.lines == [f"{ids[1]}\tci\tdeleted"]
    assert f"image {ids[0]} (ci) is gone already\n" in done.err
    assert cloud.ids() == set()


def test_other_projects_are_pruned_only_when_asked(
    cloud: Cloud, new_project: Callable[..., Project], admin: Project
) -> None:
    """In each project the newest of a name is another image."""
    other = Cloud(new_project())
    name = f"ci-{cloud.project.name}"
    mine = [cloud.put(name, days) for days in (9, 8)]
    theirs = [other.put(name, days, visibility="community") for days in (7, 6)]
    argv = ["--name", name, "--keep", "1"]
    assert [image["id"] for image in plan(*argv)] == mine[:1]
    assert plan(*argv, user=admin) == []
    everybody = plan(*argv, "--all-projects", user=admin)
    assert [image["id"] for image in everybody] == [mine[0], theirs[0]]
    owner = ["--owner", other.project.name]
    assert [image["id"] for image in plan(*argv, *owner, user=admin)] == theirs[:1]
    run("image", "prune", *argv, "--owner", other.project.id, "--no-check", "--yes", code=3)
    run("image", "prune", *argv, "--all-projects", "--yes", user=admin)
    assert (cloud.ids(), other.ids()) == ({mine[1]}, {theirs[1]})


def test_images_of_others_stay_though_a_service_lists_them_unasked(
    cloud: Cloud, proxy: FaultProxy
) -> None:
    image_id = cloud.put("ci", 9)
    assert [image["id"] for image in plan("--name", "ci")] == [image_id]
    own, other = cloud.project.id.encode(), b"f" * 32
    proxy.add(r"^GET /v2/images\?", times=None, rewrite=lambda body: body.replace(own, other))
    assert plan("--name", "ci") == []


# Jobs


def start(argv: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*GLANCECTL, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_jobs_at_once_delete_each_image_and_none_fails(cloud: Cloud) -> None:
    old = {cloud.put("ci", 10 + number) for number in range(24)}
    new = {cloud.put("ci", number) for number in range(3)}
    run("image", "list")  # logs in and keeps the token
    argv = ["image", "prune", "--name", "ci", "--keep", "3", "--yes", "-q", "--jobs", "2"]
    jobs = [start(argv), start(argv)]
    deleted: set[str] = set()
    for job in jobs:
        out, err = job.communicate(timeout=60)
        assert job.returncode == 0, err
        deleted |= set(out.split())
    assert deleted == old
    assert cloud.ids() == new


@pytest.mark.reliability("image prune, killed at any moment and run again")
def test_a_run_that_was_killed_is_finished_by_the_next(
    cloud: Cloud, full_scale: bool, record_property: Callable[[str, object], None]
) -> None:
    kills = 90 if full_scale else 30
    record_property("tried", kills)
    dice = random.Random(8)
    guarded = cloud.put("ci", 2000, protected=True)
    run("image", "list")  # logs in and keeps the token
    argv = ["image", "prune", "--name", "ci", "--keep", "2", "--yes", "--jobs", "1"]
    for days in range(3000, 3006):
        cloud.put("ci", days)
    began = time.monotonic()
    start(argv).communicate(timeout=60)
    usual = time.monotonic() - began
    for number in range(kills):
        ids = [cloud.put("ci", 1000 - 10 * number - extra) for extra in range(4)]
        job = start(argv)
        time.sleep(dice.uniform(0.6, 1.1) * usual)
        job.kill()
        job.communicate()
        left = cloud.ids()
        assert {guarded, *ids[-2:]} <= left
        if number % 2:
            run(*argv)
            assert cloud.ids() == {guarded, *ids[-2:]}
    run(*argv)
    assert cloud.ids() == {guarded, *ids[-2:]}
    assert run(*argv).out == ""
