"""Uploads that fail: sent again into the same record and verified, or nothing that looks done."""

import contextlib
import gzip
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import HTTP, OwnGlance, Project, Result, Sandbox, log_in, run, wait_for
from faultproxy import FaultProxy
from test_auth import keystone, logins
from test_import import ended, error_of, started

from glancectl import tokens

__all__ = ["keystone"]  # a fixture, which is used by its name

SIZE = (3 << 20) + 7  # bytes of ``raw``
HALF = SIZE // 2
LATER = 20.0  # seconds; longer than any test waits for
FORMAT = ("--disk-format", "raw")
QUEUED = "the image is queued again, so the command can be run again"

Fault = dict[str, object]
Served = tuple[str, Path]


@pytest.fixture(scope="module")
def member(sandbox: Sandbox) -> Project:
    return Project(sandbox)


@pytest.fixture
def project(member: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """One project for all tests here, emptied after each."""
    log_in(member, monkeypatch)
    yield member
    delete_all(member)


def glance(project: Project, method: str, path: str, *, url: str | None = None) -> httpx.Response:
    """Ask Glance, the sandbox's or the one at ``url``, as an admin and without any of our code."""
    headers = {"X-Auth-Token": project.sandbox.admin_token}
    answer = HTTP.request(method, f"{url or project.sandbox.glance}{path}", headers=headers)
    assert answer.is_success, answer.text
    return answer


def images(project: Project, *, url: str | None = None) -> list[dict[str, Any]]:
    """Return the records of a project's images."""
    answer = glance(project, "GET", f"/v2/images?owner={project.id}", url=url)
    found: list[dict[str, Any]] = answer.json()["images"]
    return found


def delete_all(project: Project, *, url: str | None = None) -> None:
    for image in images(project, url=url):
        glance(project, "DELETE", f"/v2/images/{image['id']}", url=url)


def status_of(project: Project) -> str:
    """Return the status of the one image there is.

    Glance may begin with a request, and notice its end, only after the client has gone.
    """
    [image] = images(project)
    return str(image["status"])


def assert_whole(project: Project, content: Path | bytes) -> None:
    """Assert that the one image there is, is active and has these bytes."""
    [image] = images(project)
    expected = content if isinstance(content, bytes) else content.read_bytes()
    assert image["status"] == "active"
    assert glance(project, "GET", image["file"]).content == expected


def command(verb: str, source: object) -> list[object]:
    """Return what puts ``source`` into an image; all but ``create`` have its record made now."""
    if verb == "create":
        return ["image", "create", "x", "--file", source, *FORMAT]
    image_id = run("image", "create", "x", *FORMAT, "-q").out.strip()
    if verb == "import":
        method = ("--method", "glance-direct", "--interval", "0.1")
        return ["image", "import", image_id, *method, "--file", source]
    return ["image", verb, image_id, source]


def piped(content: bytes, *argv: object) -> Result:
    """Run ``glancectl ARGV`` with its stdin a pipe."""
    with started(*map(str, argv)) as process:
        out, err = process.communicate(content, timeout=60)
        return Result(process.returncode, out, err.decode())


@contextlib.contextmanager
def when_sending(proxy: FaultProxy, act: Callable[[], object]) -> Iterator[None]:
    """Do something once the data are on their way, beside the block."""

    def wait_and_act() -> None:
        wait_for(lambda: proxy.count("^PUT") == 1)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()


# sent again

BREAKS: dict[str, Fault] = {
    "cut-before-the-first-byte": {"cut_request": 0},
    "cut-after-one-byte": {"cut_request": 1},
    "cut-at-half": {"cut_request": HALF},
    "cut-before-the-last-byte": {"cut_request": SIZE - 1},
    "reset-before-the-first-byte": {"cut_request": 0, "reset": True},
    "reset-at-half": {"cut_request": HALF, "reset": True},
    "reset-before-the-last-byte": {"cut_request": SIZE - 1, "reset": True},
    "503": {"status": 503},
    "503-at-half": {"status": 503, "early_at": HALF},
    "503-at-half-reset": {"status": 503, "early_at": HALF, "reset": True},
    "500": {"status": 500},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
}
DONE: dict[str, Fault] = {
    "answer-lost": {"lose_answer": True},
    "answer-lost-by-reset": {"lose_answer": True, "reset": True},
    "502-though-done": {"carry_out": True, "status": 502},
}
SOME = ("cut-before-the-first-byte", "cut-at-half", "cut-before-the-last-byte", "503-at-half")


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        *(("create", name) for name in BREAKS),
        *(("upload", name) for name in SOME),
        *(("import", name) for name in SOME[:2]),
    ],
)
def test_a_broken_upload_is_sent_again_into_the_same_record(
    project: Project, proxy: FaultProxy, raw: Path, verb: str, name: str
) -> None:
    argv = command(verb, raw)
    proxy.add("^PUT", **BREAKS[name])
    result = run(*argv, "-f", "json")
    assert (result.json["status"], result.json["size"]) == ("active", SIZE)
    assert_whole(project, raw)
    assert (proxy.count("^POST /v2/images$"), proxy.count("^PUT")) == (1, 2)
    assert len(re.findall("try 1 of 4: .*, from the start again", result.err)) == 1
    assert "error" not in result.err


@pytest.mark.parametrize("name", [*SOME, "reset-at-half", "503-at-half-reset"])
def test_staged_data_are_whole_however_the_first_try_ended(
    project: Project, proxy: FaultProxy, raw: Path, name: str
) -> None:
    argv = command("stage", raw)
    proxy.add("^PUT", **BREAKS[name])
    result = run(*argv, "-f", "json")
    assert (result.json["status"], result.json["size"]) == ("uploading", SIZE)
    assert proxy.count("^PUT") == 2
    run("image", "import", argv[2], "--method", "glance-direct", "--interval", 0.1)
    assert_whole(project, raw)


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        *(("create", name) for name in DONE),
        ("upload", "answer-lost"),
        ("stage", "answer-lost-by-reset"),
        ("import", "502-though-done"),
    ],
)
def test_an_upload_whose_answer_alone_is_lost_is_done(
    project: Project, proxy: FaultProxy, raw: Path, verb: str, name: str
) -> None:
    argv = command(verb, raw)
    proxy.add("^PUT", **DONE[name])
    result = run(*argv, "-f", "json")
    status = "uploading" if verb == "stage" else "active"
    assert (result.json["status"], result.json["size"]) == (status, SIZE)
    assert proxy.count("^PUT") == 1
    assert "try" not in result.err
    if verb == "stage":
        run("image", "import", argv[2], "--method", "glance-direct", "--interval", 0.1)
    assert_whole(project, raw)


def test_an_upload_is_sent_as_often_as_it_takes(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^PUT", times=3, status=503)
    result = run(*command("create", raw))
    assert_whole(project, raw)
    assert proxy.count("^PUT") == 4
    assert re.findall(r"try (\d) of 4", result.err) == ["1", "2", "3"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"cut_request": HALF}], ids=["503", "cut"])
def test_a_service_that_keeps_failing_is_exit_5_and_nothing_is_left(
    project: Project, proxy: FaultProxy, raw: Path, fault: Fault
) -> None:
    proxy.add("^PUT", times=None, **fault)
    result = run("--retries", 1, *command("create", raw), code=5)
    assert images(project) == []
    assert result.out == ""
    assert proxy.count("^PUT") == 2
    assert re.findall(r"try \d of \d", result.err) == ["try 1 of 1"]
    assert "the record it had made was removed" in result.err


@pytest.mark.parametrize("verb", ["upload", "stage"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"cut_request": HALF}], ids=["503", "cut"])
def test_a_record_that_was_there_before_is_queued_again(
    project: Project, proxy: FaultProxy, raw: Path, verb: str, fault: Fault
) -> None:
    argv = command(verb, raw)
    proxy.add("^PUT", times=2, **fault)
    result = run("--retries", 1, *argv, code=5)
    assert QUEUED in result.err
    assert proxy.count("^PUT") == 2
    wait_for(lambda: status_of(project) == "queued")
    run(*argv)
    assert proxy.count("^PUT") == 3


def test_no_retries_means_none(project: Project, proxy: FaultProxy, raw: Path) -> None:
    proxy.add("^PUT", cut_request=HALF)
    result = run("--retries", 0, *command("create", raw), code=5)
    assert images(project) == []
    assert proxy.count("^PUT") == 1
    assert "try" not in result.err


def test_a_first_try_that_glance_hears_of_late_does_not_stop_the_second(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    # The record is queued when it is looked at, and taken when the second try comes.
    proxy.add("^PUT", cut_request=HALF, late=0.1)
    run(*command("create", raw))
    assert_whole(project, raw)


def test_a_stall_longer_than_the_timeout_is_a_broken_connection(
    project: Project, proxy: FaultProxy, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(16 << 20))  # more than fits between two sockets
    proxy.add("^PUT", stall=3, stall_request=1 << 20)
    result = run("--timeout", 2, *command("create", large))
    assert_whole(project, large)
    assert proxy.count("^PUT") == 2
    assert "try 1 of 4: write timeout, from the start again" in result.err


def test_a_protected_record_is_removed_too(project: Project, proxy: FaultProxy, raw: Path) -> None:
    proxy.add("^PUT .*/file", times=None, cut_request=HALF)
    run("--retries", 0, *command("create", raw), "--protected", code=5)
    assert images(project) == []


def test_keep_on_failure_keeps_the_record_queued(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^PUT", cut_request=HALF)
    result = run("--retries", 0, *command("create", raw), "--keep-on-failure", code=5)
    [image] = images(project)
    assert f"record {image['id']} was kept" in result.err
    # Glance needs a moment to notice that the connection is gone.
    wait_for(lambda: run("image", "upload", image["id"], raw, code=None).code == 0)
    assert_whole(project, raw)


# sources that can start again, and stdin


@pytest.mark.parametrize("verb", ["create", "upload"])
def test_a_pipe_cannot_be_read_again_and_says_so(
    project: Project, proxy: FaultProxy, raw: Path, verb: str
) -> None:
    argv = command(verb, "-")
    proxy.add("^PUT", cut_request=HALF)
    result = piped(raw.read_bytes(), *argv)
    assert result.code == 5
    assert "stdin cannot be read again, so it was not tried again" in result.err
    assert proxy.count("^PUT") == 1
    left = [] if verb == "create" else ["queued"]
    wait_for(lambda: [image["status"] for image in images(project)] == left)


@pytest.mark.parametrize("verb", ["create", "upload"])
def test_a_pipe_that_nothing_was_read_of_yet_is_tried_again(
    project: Project, proxy: FaultProxy, raw: Path, verb: str
) -> None:
    argv = command(verb, "-")
    proxy.add("^POST" if verb == "create" else "^GET", deaf=0.6)
    result = piped(raw.read_bytes(), *argv)
    assert result.code == 0, result.err
    assert "try 1 of 4: [Errno 111] Connection refused" in result.err
    assert_whole(project, raw)


def test_stdin_that_is_a_file_starts_again(project: Project, proxy: FaultProxy, raw: Path) -> None:
    proxy.add("^PUT", cut_request=HALF)
    run(*command("create", "-"), stdin=raw.read_bytes())
    assert_whole(project, raw)
    assert proxy.count("^PUT") == 2


def test_a_url_is_fetched_again(
    project: Project, proxy: FaultProxy, served: Served, raw: Path
) -> None:
    url, folder = served
    (folder / "x.raw").write_bytes(raw.read_bytes())
    proxy.add("^PUT", cut_request=HALF)
    run(*command("create", f"{url}/x.raw"))
    assert_whole(project, raw)
    assert proxy.count("^PUT") == 2


def test_a_url_that_has_another_file_by_then_is_exit_6(
    project: Project, proxy: FaultProxy, served: Served, raw: Path
) -> None:
    url, folder = served
    (folder / "x.raw").write_bytes(raw.read_bytes())
    proxy.add("^PUT", status=503, stall=0.5)
    with when_sending(proxy, lambda: (folder / "x.raw").write_bytes(os.urandom(SIZE + 1))):
        result = run(*command("create", f"{url}/x.raw"), code=6)
    assert "is another file now" in result.err
    assert images(project) == []


def test_a_compressed_file_is_unpacked_again(
    project: Project, proxy: FaultProxy, raw: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(raw.read_bytes(), 1))
    proxy.add("^PUT", cut_request=HALF)
    run(*command("create", tmp_path / "x.gz"))
    assert_whole(project, raw)
    assert proxy.count("^PUT") == 2


# answers in the middle of the data


@pytest.mark.parametrize(
    ("status", "code", "words", "reset"),
    [
        (400, 1, "the request is not accepted", True),
        (401, 3, "the token is not accepted", True),
        (401, 3, "the token is not accepted", False),
        (403, 3, "not allowed with these credentials", True),
        (409, 1, "it conflicts with the present state", True),
        (409, 1, "it conflicts with the present state", False),
        (410, 1, "it is gone", True),
        (413, 1, "too large, or over quota", True),
        (413, 1, "too large, or over quota", False),
        (415, 6, "the data do not match the format", True),
    ],
)
def test_an_early_answer_is_reported_with_its_reason(
    project: Project,
    proxy: FaultProxy,
    raw: Path,
    status: int,
    code: int,
    words: str,
    reset: bool,
) -> None:
    proxy.add("^PUT", status=status, body=b"<h1>That is why</h1>", early_at=HALF, reset=reset)
    result = run(*command("create", raw), code=code)
    [image_id] = re.findall("PUT /v2/images/(.*)/file", "\n".join(proxy.requests))
    assert result.err == (
        f"glancectl: error: cannot upload to image {image_id}: {words}; "
        f"the record it had made was removed ({image_id})\n"
        "  cause: That is why\n"
    )
    assert images(project) == []
    assert proxy.count("^PUT") == 1


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_proxy_that_refuses_a_large_body_is_heard(
    project: Project, proxy: FaultProxy, tmp_path: Path, reset: bool
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(200 << 20)
    page = b"<html><title>413</title><h1>413 Request Entity Too Large</h1>nginx</html>"
    proxy.add("^PUT", status=413, body=page, early_at=50 << 20, reset=reset)
    result = run(*command("create", tmp_path / "large"), "-f", "json", code=1)
    error = error_of(result)
    assert (error["exit"], error["kind"], error["status"]) == (1, "refused", 413)
    assert error["cause"] == "413 Request Entity Too Large nginx"
    assert "the record it had made was removed" in error["message"]
    assert "pipe" not in result.err
    assert images(project) == []


def test_a_refused_upload_says_that_the_record_is_queued(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    argv = command("upload", raw)
    proxy.add("^PUT", status=413, early=True)
    error = error_of(run(*argv, "-f", "json", code=1))
    assert error == {
        "exit": 1,
        "kind": "refused",
        "message": f"cannot upload to image {argv[2]}: too large, or over quota; {QUEUED}",
        "cause": "413 Fault",
        "hint": None,
        "status": 413,
        "request_id": None,
    }
    run(*argv)
    assert_whole(project, raw)


# data that are not what was sent


def test_a_byte_that_changes_on_the_way_is_found_and_the_record_removed(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^PUT", flip_request=HALF)
    result = run(*command("create", raw), code=6)
    assert "is not what was sent" in result.err
    assert "sha512 of what was sent" in result.err
    assert "the record it had made was removed" in result.err
    assert images(project) == []


@pytest.mark.parametrize("verb", ["upload", "import"])
def test_a_byte_that_changes_on_the_way_leaves_the_image_deactivated(
    project: Project, proxy: FaultProxy, raw: Path, verb: str
) -> None:
    argv = command(verb, raw)
    proxy.add("^PUT", flip_request=SIZE - 1)
    result = run(*argv, code=6)
    assert "is not what was sent; it was deactivated" in result.err
    assert status_of(project) == "deactivated"


def test_what_was_stored_wrong_is_not_left_active(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    # The proxy changes the record's digest on its way back: a byte inside os_hash_value.
    proxy.add("^GET /v2/images/", flip_in=b'"os_hash_value": "')
    store = project.sandbox.clouds_file.parent / "images" / "fast"
    stored = set(store.iterdir())
    result = run(*command("create", raw), code=6)
    assert "is not what was sent" in result.err
    assert images(project) == []
    assert set(store.iterdir()) == stored  # Glance keeps the data of a deactivated image


def test_what_was_stored_wrong_and_cannot_be_removed_is_deactivated(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^GET /v2/images/", flip_in=b'"os_hash_value": "')
    proxy.add("^DELETE", status=409, times=None)
    result = run(*command("create", raw), code=6)
    assert "was left behind" in result.err
    assert "it was deactivated" in result.err
    assert [image["status"] for image in images(project)] == ["deactivated"]


def test_a_cloud_that_hashes_otherwise_is_verified_by_reading_the_file_again(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    # Spoilt on its way back, os_hash_algo is no longer there: what remains is the MD5 checksum.
    proxy.add("^GET /v2/images/", times=2, flip_in=b'"os_hash_')
    run(*command("create", raw))
    result = piped(raw.read_bytes(), *command("create", "-"))
    assert result.code == 0
    assert "only the size was verified: this cloud hashes with md5" in result.err


def test_an_md5_that_differs_is_not_left_active(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^GET /v2/images/", flip_in=b'"os_hash_', flip_too=b'"checksum": "')
    result = run(*command("create", raw), code=6)
    assert "md5 of what was sent" in result.err
    assert images(project) == []


def touch(path: Path) -> None:
    os.utime(path, (1, 1))


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


def truncate(path: Path) -> None:
    os.truncate(path, HALF)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    ("verb", "change", "words"),
    [
        ("create", touch, "was changed while it was read"),
        ("create", rewrite, "was changed while it was read"),
        ("create", truncate, f"of {SIZE} bytes"),
        ("create", append, f"goes on after {SIZE} bytes"),
        ("upload", rewrite, "was changed while it was read"),
        ("stage", truncate, f"of {SIZE} bytes"),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_exit_6(
    project: Project,
    proxy: FaultProxy,
    raw: Path,
    verb: str,
    change: Callable[[Path], None],
    words: str,
) -> None:
    argv = command(verb, raw)
    with when_sending(proxy, lambda: change(raw)):
        result = run(*argv, "--limit-rate", "3M", code=6)
    assert words in result.err
    assert "something else writes to it" in result.err
    if verb == "create":
        assert images(project) == []
        assert "the record it had made was removed" in result.err
    else:
        assert QUEUED in result.err
        wait_for(lambda: status_of(project) == "queued")
    assert proxy.count("^PUT") == 1


def test_a_file_that_changes_between_two_tries_is_exit_6(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^PUT", status=503, stall=0.5)
    with when_sending(proxy, lambda: rewrite(raw)):
        result = run(*command("create", raw), code=6)
    assert "was changed while it was read" in result.err
    assert images(project) == []


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "removed"])
def test_a_file_that_only_loses_its_name_is_uploaded(
    project: Project, proxy: FaultProxy, raw: Path, replace: bool
) -> None:
    content, other = raw.read_bytes(), raw.with_name("other")
    other.write_bytes(b"other")
    with when_sending(proxy, lambda: other.replace(raw) if replace else raw.unlink()):
        run(*command("create", raw), "--limit-rate", "3M")
    assert_whole(project, content)


# tokens


def expire_in(seconds: float) -> None:
    """Have the remembered login say that its token ends so soon."""
    [file] = tokens.directory().iterdir()
    content = json.loads(file.read_text())
    content["expires_at"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["large", "slow", "of-unknown-size"])
def test_a_token_that_would_end_too_soon_is_renewed_before_the_data_are_sent(
    project: Project,
    keystone: FaultProxy,
    proxy: FaultProxy,
    tmp_path: Path,
    raw: Path,
    kind: str,
) -> None:
    run("auth", "token")
    expire_in(600 if kind == "of-unknown-size" else 150)
    proxy.add("^PUT", status=413, early=True)  # which token it came with is enough to know
    if kind == "of-unknown-size":
        assert piped(raw.read_bytes(), *command("create", "-")).code == 1
    elif kind == "slow":
        run(*command("create", raw), "--limit-rate", "16K", code=1)
    else:
        with (tmp_path / "large").open("wb") as file:
            file.truncate(2 << 30)  # 200 s at 10 MiB/s
        run(*command("create", tmp_path / "large"), code=1)
    asked = dict(zip((line.split()[0] for line in proxy.requests), proxy.tokens, strict=True))
    assert asked["POST"] != asked["PUT"]
    assert logins(keystone) == 2
    assert run("auth", "token").out.strip() == asked["PUT"]


def test_a_token_that_lasts_long_enough_is_kept(
    project: Project, keystone: FaultProxy, proxy: FaultProxy, raw: Path
) -> None:
    run("auth", "token")
    expire_in(600)
    run(*command("create", raw))
    assert (len(set(proxy.tokens)), logins(keystone)) == (1, 1)


def test_a_token_that_cannot_be_renewed_now_is_used_while_it_lasts(
    project: Project, keystone: FaultProxy, proxy: FaultProxy, raw: Path
) -> None:
    run("auth", "token")
    expire_in(600)
    keystone.add("^POST /v3/auth/tokens", times=None, status=503)
    result = piped(raw.read_bytes(), "--retries", 0, *command("create", "-"))
    assert result.code == 0, result.err
    assert logins(keystone) == 2
    assert_whole(project, raw)


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_cached_token_that_is_refused_during_an_upload_is_renewed(
    project: Project, keystone: FaultProxy, proxy: FaultProxy, raw: Path, kind: str
) -> None:
    argv = command("upload", raw if kind == "file" else "-")
    before = proxy.tokens[-1]
    proxy.add("^PUT", status=401, early_at=HALF)
    result = run(*argv) if kind == "file" else piped(raw.read_bytes(), *argv)
    assert proxy.tokens[-1] != before
    assert logins(keystone) == 2
    if kind == "file":
        assert_whole(project, raw)
        assert proxy.count("^PUT") == 2
    else:
        assert result.code == 3
        assert "stdin cannot be read again" in result.err
        wait_for(lambda: status_of(project) == "queued")


# what is told


def test_phases_and_tries_are_events_in_order(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^PUT", status=503)
    result = run("--progress", "json", *command("create", raw))
    events = [json.loads(line) for line in result.err.splitlines()]
    told = [
        (event["event"], event.get("phase") or event.get("message"))
        for event in events
        if event["event"] != "progress"  # one a second, if it takes so long
    ]
    assert told == [
        ("start", "uploading"),
        ("phase", "server is storing"),
        ("phase", "looking at what became of the image"),
        ("retry", "503 Fault, from the start again"),
        ("phase", "uploading"),
        ("phase", "server is storing"),
        ("phase", "verifying"),
        ("done", None),
    ]
    [image], done = images(project), events[-1]
    assert {event["target"] for event in events} == {"x"}
    assert [(e["attempt"], e["of"]) for e in events if e["event"] == "retry"] == [(1, 4)]
    assert (done["bytes"], done["total"]) == (SIZE, SIZE)
    assert done["digest"] == f"sha512:{image['os_hash_value']}"


def test_a_rate_is_kept_and_the_last_line_sums_up(project: Project, raw: Path) -> None:
    started_at = time.monotonic()
    result = run(*command("create", raw), "--limit-rate", "2M")
    assert 1.4 < time.monotonic() - started_at < 10  # 1.5 s, and what else there is to do
    [image] = images(project)
    told = [line.removeprefix("x: ") for line in result.err.splitlines()]
    assert told[0] == "uploading 3.0 MiB"
    assert [line for line in told if "%" not in line][1:-1] == ["server is storing", "verifying"]
    last = rf"3\.0 MiB in \d+\.\d s, [\d.]+ [KM]iB/s, sha512:{image['os_hash_value']}"
    assert re.fullmatch(last, told[-1])


# signals


def told_until(process: "subprocess.Popen[bytes]", text: str) -> None:
    """Read the events on a process's stderr up to one that has ``text``."""
    assert process.stderr
    said = []
    for line in process.stderr:
        if text in line.decode():
            return
        said.append(line)
    raise AssertionError(f"{text!r} was never told: {said}")


def stopped(process: "subprocess.Popen[bytes]", signum: int) -> tuple[int, bytes, str]:
    """Stop a process by a signal; return its exit code, its stdout, the last line of its stderr."""
    assert process.stdout
    assert process.stderr
    sent_at = time.monotonic()
    process.send_signal(signum)
    out, err = process.stdout.read(), process.stderr.read().decode()
    code = process.wait(30)
    assert time.monotonic() - sent_at < 5, err
    return code, out, err.splitlines()[-1]


@dataclass(frozen=True)
class Phase:
    """How to have a signal come in a phase of an upload.

    event: what tells that it has begun; status: of the record by then. put, get: what happens to
    the PUT, and to the GET of the record after it.
    """

    event: str
    status: str
    put: Fault = field(default_factory=dict)
    get: Fault = field(default_factory=dict)
    options: tuple[str, ...] = ()


GET_RECORD = "^GET /v2/images/[^?]*$"
STALLED: Fault = {"stall": LATER}
PHASES = {
    "uploading": Phase('"uploading"', "saving", options=("--limit-rate", "200K")),
    "storing": Phase("server is storing", "saving", {**STALLED, "stall_request": SIZE - 1}),
    "stored": Phase("server is storing", "active", {**STALLED, "stall_request": SIZE}),
    "verifying": Phase("verifying", "active", get=STALLED),
    "looking": Phase("looking at what became", "queued", {"cut_request": HALF}, STALLED),
    "between-two-tries": Phase(
        '"retry"', "queued", {"status": 503, "headers": {"Retry-After": f"{LATER:.0f}"}}
    ),
}


@pytest.mark.parametrize(
    ("verb", "name", "phase"),
    [
        *(("create", "SIGINT", phase) for phase in PHASES),
        *(("upload", "SIGTERM", phase) for phase in PHASES),
        ("create", "SIGTERM", "uploading"),
        ("upload", "SIGINT", "uploading"),
    ],
)
def test_a_signal_in_any_phase_ends_an_upload_in_order(
    project: Project, proxy: FaultProxy, raw: Path, verb: str, name: str, phase: str
) -> None:
    now, signum = PHASES[phase], signal.Signals[name]
    argv = command(verb, raw)
    argv[2] = "x"  # found by its name, the record is not read before it is time
    proxy.add("^PUT", **now.put)
    proxy.add(GET_RECORD, **now.get)
    with started("--progress", "json", *map(str, argv), *now.options) as process:
        told_until(process, now.event)
        wait_for(lambda: status_of(project) == now.status)
        wait_for(lambda: not now.get or proxy.count(GET_RECORD) > 0)
        code, out, last = stopped(process, signum)
    [image_id] = re.findall("PUT /v2/images/(.*)/file", "\n".join(proxy.requests))
    assert (code, out) == (128 + signum, b"")
    if verb == "create":
        assert images(project) == []
        left = f"the record it had made was removed ({image_id})"
    elif now.status == "active":
        assert status_of(project) == "active"
        left = "the image is active"
    else:
        wait_for(lambda: status_of(project) == "queued")
        left = QUEUED
    assert last == f"glancectl: stopped by {name}; {left}"


def test_a_hangup_ends_an_upload_in_order_too(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    argv = map(str, command("create", "-"))
    with started("--progress", "json", *argv) as process:
        assert process.stdin
        process.stdin.write(raw.read_bytes())  # and no end of it
        process.stdin.flush()
        told_until(process, '"uploading"')
        code, out, last = stopped(process, signal.SIGHUP)
    assert (code, out) == (129, b"")
    assert last.startswith("glancectl: stopped by SIGHUP; the record it had made was removed (")
    assert images(project) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_the_source_s_first_bytes_are_awaited_leaves_nothing(
    project: Project, proxy: FaultProxy, tmp_path: Path, name: str
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    signum = signal.Signals[name]
    with started(*map(str, command("create", fifo))) as process, contextlib.ExitStack() as stack:
        writer = opened_by_a_reader(fifo)
        stack.callback(os.close, writer)
        assert stopped(process, signum) == (128 + signum, b"", f"glancectl: stopped by {name}")
    assert proxy.requests == []


def opened_by_a_reader(fifo: Path) -> int:
    """Open a FIFO for writing once somebody reads from it."""
    found: list[int] = []

    def is_open() -> bool:
        with contextlib.suppress(OSError):  # ENXIO: there is no reader yet
            found.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(found)

    wait_for(is_open)
    return found[0]


def test_a_second_signal_skips_the_clean_up_and_says_what_is_left(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    proxy.add("^DELETE", times=None, stall=LATER)
    argv = map(str, command("create", raw))
    with started("--progress", "json", *argv, "--limit-rate", "200K") as process:
        told_until(process, '"uploading"')
        wait_for(lambda: proxy.count("^PUT") == 1)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: proxy.count("^DELETE") == 1)
        code, _, last = stopped(process, signal.SIGTERM)
    [image] = images(project)
    assert code == 143
    assert (
        f"record {image['id']} was left behind (interrupted again), "
        f"to be removed with: glancectl image delete {image['id']}"
    ) in last


# killed


@pytest.mark.parametrize("moment", range(8))
def test_an_upload_that_is_killed_can_be_run_again(
    project: Project, raw: Path, moment: int
) -> None:
    argv = command("upload", raw)
    with started(*map(str, argv), "--limit-rate", "6M") as process:
        time.sleep(0.2 + (moment + random.random()) * 0.12)
        process.kill()

    def is_done() -> bool:
        # Glance needs a moment to notice that the connection is gone.
        return run(*argv, code=None).code == 0 or status_of(project) == "active"

    wait_for(is_done)
    assert_whole(project, raw)


@pytest.mark.parametrize("moment", range(8))
def test_a_create_that_is_killed_leaves_no_wrong_image(
    project: Project, raw: Path, moment: int
) -> None:
    argv = command("create", raw)
    with started(*map(str, argv), "--limit-rate", "6M") as process:
        time.sleep(0.2 + (moment + random.random()) * 0.12)
        process.kill()
    made = run(*argv, "-q").out.strip()
    wait_for(lambda: all(image["status"] != "saving" for image in images(project)))
    found = {image["id"]: image for image in images(project)}
    assert found[made]["status"] == "active"
    for image in found.values():
        if image["status"] == "active":
            assert glance(project, "GET", image["file"]).content == raw.read_bytes()


# two at once


@pytest.mark.parametrize(("delay", "rate"), [(0.8, "2M"), (1.5, "20M")], ids=["during", "after"])
def test_of_two_uploads_into_one_record_one_wins(
    project: Project, proxy: FaultProxy, raw: Path, delay: float, rate: str
) -> None:
    argv = command("upload", raw)
    other = raw.with_name("other")
    other.write_bytes(os.urandom(SIZE))
    proxy.add("^PUT", stall=delay)  # the loser has seen the record queued by then
    with started(*map(str, argv[:-1]), str(other)) as loser:
        wait_for(lambda: proxy.count("^PUT") == 1)
        run(*argv, "--limit-rate", rate)
        code, out, err = ended(loser)
    assert (code, out) == (1, "")
    assert "it conflicts with the present state; the image is " in err
    assert_whole(project, raw)


@pytest.mark.parametrize("fault", [{}, {"cut_request": 1}], ids=["refused", "unheard"])
def test_a_second_try_leaves_the_image_alone_that_another_has_made_meanwhile(
    project: Project, proxy: FaultProxy, raw: Path, fault: dict[str, int]
) -> None:
    argv = command("upload", raw)
    other = raw.with_name("other")
    other.write_bytes(os.urandom(SIZE))
    proxy.add("^PUT", status=503, headers={"Retry-After": "3"})
    with started("--progress", "json", *map(str, argv[:-1]), str(other)) as loser:
        told_until(loser, '"retry"')
        run(*argv)
        if fault:
            proxy.add("^PUT", **fault)
        code, out, err = ended(loser)
    assert (code, out) == (1, ""), err
    assert "it conflicts with the present state; the image is active" in err
    assert_whole(project, raw)


def test_an_upload_into_a_record_that_another_fills_is_refused(
    project: Project, proxy: FaultProxy, raw: Path
) -> None:
    argv = command("upload", raw)
    with started(*map(str, argv), "--limit-rate", "2M") as process:
        wait_for(lambda: status_of(project) == "saving")
        assert "takes no data: its status is saving" in run(*argv, code=1).err
        assert ended(process)[0] == 0
    assert_whole(project, raw)


# a server that goes away


@pytest.fixture
def front(
    own_glance: OwnGlance, project: Project, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """A fault proxy in front of that Glance; ``run`` goes through it."""
    made = FaultProxy(own_glance.url)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", made.url)
    yield made
    made.close()
    delete_all(project, url=own_glance.url)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_server_that_is_started_anew_in_mid_transfer_is_exit_5(
    own_glance: OwnGlance,
    front: FaultProxy,
    project: Project,
    raw: Path,
    signum: signal.Signals,
) -> None:
    # Of what is staged the last byte alone has not come yet.
    front.add("/stage$", stall=LATER, stall_request=SIZE - 1)
    upload, stage = command("upload", raw), command("stage", raw)

    def states() -> list[str]:
        return sorted(image["status"] for image in images(project, url=own_glance.url))

    patience = ("--timeout", "5", "--retries", "1")
    options = ("--limit-rate", "200K")
    with (
        started(*patience, *map(str, command("create", raw)), *options) as creating,
        started(*patience, *map(str, upload), *options) as uploading,
        started(*patience, *map(str, stage)) as staging,
    ):
        wait_for(lambda: states() == ["saving", "saving", "uploading"])
        own_glance.kill(signum)
        own_glance.start()
        created, uploaded, staged = map(ended_late, (creating, uploading, staging))
    assert (created.code, uploaded.code, staged.code) == (5, 5, 5)
    assert created.out == uploaded.out == staged.out == ""
    assert "the record it had made was removed" in created.err
    # Nobody is left who would set them back.
    assert "; the image is saving" in uploaded.err
    assert "; the image is uploading" in staged.err
    assert states() == ["saving", "uploading"]


def ended_late(process: "subprocess.Popen[bytes]") -> Result:
    out, err = process.communicate(timeout=120)
    return Result(process.returncode, out, err.decode())
