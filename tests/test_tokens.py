"""The token cache: what is wrong with it, who else writes it, and logging out."""

import json
import os
import random
import resource
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import HTTP, Project, run, wait_for
from faultproxy import FaultProxy

from glancectl import tokens

DAY = 24 * 3600
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()
ACCESS = tokens.Access({"X-Auth-Token": "t"}, "http://127.0.0.1:9", SOON, roles=["member"])
SOMEBODY = 54321  # a user id that is not ours


@pytest.fixture
def keystone(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy in front of Keystone, which ``run`` logs in through."""
    made = FaultProxy(project.sandbox.keystone)
    monkeypatch.setenv("OS_AUTH_URL", f"{made.url}/v3")
    yield made
    made.close()


def logins(keystone: FaultProxy) -> int:
    return keystone.count("^POST /v3/auth/tokens")


def cached() -> list[Path]:
    return list(tokens.directory().glob("*.json"))


# Files and directories that are not as they should be


def state(path: Path) -> dict[Path, tuple[int, int, int]]:
    """Return the inode, the owner and the mode of a file or of all that is in a directory."""
    found = {each: each.lstat() for each in (path, *path.rglob("*"))}
    return {each: (st.st_ino, st.st_uid, st.st_mode) for each, st in found.items()}


def be_mode(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def be_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def be_socket(path: Path) -> None:
    path.unlink()
    os.mknod(path, stat.S_IFSOCK | 0o600)


def be_directory(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


def be_huge(path: Path) -> None:
    os.truncate(path, 1 << 33)


def be_deep(path: Path) -> None:
    path.write_text("[" * 500_000)


def hold_a_bad_header(path: Path) -> None:
    content = json.loads(path.read_text())
    content["headers"]["X-Auth-Token"] += "\n"
    path.write_text(json.dumps(content))


def be_file(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    path.write_text("{}")


def be_somebodys(path: Path) -> None:
    os.chown(path, SOMEBODY, SOMEBODY)


FILES: dict[str, Callable[[Path], None]] = {
    **{f"mode {mode:o}": be_mode(mode) for mode in (0o640, 0o604, 0o620, 0o602, 0o610)},
    "FIFO": be_fifo,
    "socket": be_socket,
    "huge": be_huge,
    "deeply nested": be_deep,
    "header with a line break": hold_a_bad_header,
    **({"somebody else's": be_somebodys} if os.getuid() == 0 else {}),  # chown is for root
}
FOLDERS: dict[str, Callable[[Path], None]] = {
    f"mode {mode:o}": be_mode(mode) for mode in (0o750, 0o705, 0o711, 0o730, 0o1777)
}


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
@pytest.mark.parametrize("change", [*FILES.values(), *FOLDERS.values()], ids=[*FILES, *FOLDERS])
def test_what_cannot_be_trusted_is_made_again(
    keystone: FaultProxy, change: Callable[[Path], None]
) -> None:
    run("image", "list")
    [file] = cached()
    change(file if change in FILES.values() else file.parent)
    for _ in range(2):
        run("image", "list")
    assert logins(keystone) == 2
    [file] = cached()
    assert (file.lstat().st_uid, file.lstat().st_mode) == (os.getuid(), stat.S_IFREG | 0o600)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
@pytest.mark.parametrize(
    "change",
    [be_file, *([be_somebodys] if os.getuid() == 0 else [])],
    ids=lambda change: change.__name__,
)
def test_a_folder_that_cannot_be_had_is_done_without(
    keystone: FaultProxy, change: Callable[[Path], None]
) -> None:
    run("image", "list")
    change(tokens.directory())
    before = state(tokens.directory())
    for _ in range(2):
        assert run("image", "list").err == ""
    assert logins(keystone) == 3
    assert state(tokens.directory()) == before


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
def test_a_directory_in_place_of_a_file_is_left_alone(keystone: FaultProxy) -> None:
    run("image", "list")
    [file] = cached()
    be_directory(file)
    for _ in range(2):
        assert run("image", "list").err == ""
    assert logins(keystone) == 3
    assert list(tokens.directory().iterdir()) == [file]


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
@pytest.mark.parametrize("level", ["tokens", "glancectl"])
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_symlink_instead_of_a_folder_is_not_followed(
    keystone: FaultProxy, tmp_path: Path, level: str, mode: int
) -> None:
    run("image", "list")
    folder = next(
        path for path in (tokens.directory(), *tokens.directory().parents) if path.name == level
    )
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    elsewhere.chmod(mode)
    before = state(elsewhere)
    for _ in range(2):
        assert run("image", "list").err == ""
    run("auth", "logout")
    assert logins(keystone) == 3
    assert state(elsewhere) == before


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
def test_a_symlink_instead_of_a_file_is_replaced_and_what_it_names_is_kept(
    keystone: FaultProxy, tmp_path: Path
) -> None:
    run("image", "list")
    [file] = cached()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    file.unlink()
    file.symlink_to(elsewhere)
    run("image", "list")
    assert not file.is_symlink()
    file.unlink()
    file.symlink_to(elsewhere)
    run("auth", "logout")
    assert not file.is_symlink()
    assert elsewhere.read_text() == "precious"


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
def test_a_hard_link_is_the_same_file_and_is_never_written_through(
    keystone: FaultProxy, tmp_path: Path
) -> None:
    """It has the owner and the mode that are asked for; a new token is a new file."""
    run("image", "list")
    [file] = cached()
    link = tmp_path / "link"
    link.hardlink_to(file)
    before = link.read_bytes()
    run("image", "list")
    assert logins(keystone) == 1
    content = json.loads(before) | {"expires_at": datetime.now(UTC).isoformat()}
    file.write_text(json.dumps(content))
    expired = link.read_bytes()
    run("image", "list")
    assert logins(keystone) == 2
    assert link.read_bytes() == expired != file.read_bytes()


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
@pytest.mark.parametrize(
    "fields",
    [
        {"headers": []},
        {"headers": None},
        {"headers": "X-Auth-Token"},
        {"headers": {"X-Auth-Token": 5}},
        {"headers": {"X-Auth-Token": ""}},
        {"headers": {"X-Auth-Token": "a\nb"}},
        {"headers": {"X-Auth-Token": "a\r\nX-Roles: admin"}},
        {"headers": {"X-Auth-Token": " a"}},
        {"headers": {"X-Auth-Token": "ü"}},
        {"headers": {"X-Auth-Token": "\ud800"}},
        {"headers": {"X-Auth-Token\n": "a"}},
        {"headers": {"": "a"}},
        {"token": "t"},
        {"expires_at": "soon"},
        {"expires_at": 5},
        {"expires_at": "2099-01-01T00:00:00"},
        {"expires_at": "9999-99-99T00:00:00+00:00"},
        {"endpoint": None},
        {"endpoint": ["http://127.0.0.1"]},
        {"auth_url": 5},
        {"region": {}},
        {"user": []},
        {"project": True},
        {"roles": "admin"},
        {"roles": [5]},
        {"verify": None},
        {"verify": 1.5},
        {"cert": 5},
        {"cert": ["a", 5]},
    ],
    ids=json.dumps,
)
def test_fields_of_another_kind_are_no_login(fields: dict[str, object]) -> None:
    tokens.store("key", ACCESS)
    assert tokens.load("key") == ACCESS
    [file] = cached()
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    assert tokens.load("key") is None


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
@pytest.mark.parametrize("text", ["", "null", "5", '"x"', "[]", "[[]]", "{}", "\xff", "\0" * 9])
def test_another_text_is_no_login(text: str) -> None:
    tokens.store("key", ACCESS)
    [file] = cached()
    file.write_bytes(text.encode("latin-1"))
    assert tokens.load("key") is None


@pytest.mark.reliability("token caches of other kinds, modes, owners and contents")
def test_of_a_huge_file_little_is_read() -> None:
    tokens.store("key", ACCESS)
    [file] = cached()
    be_huge(file)
    tracemalloc.start()
    assert tokens.load("key") is None
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("field", ["endpoint", "auth_url"])
def test_a_login_by_a_url_with_a_password_is_not_kept(field: str) -> None:
    """The password would lie there longer than the token is valid."""
    tokens.store("key", replace(ACCESS, **{field: "http://user:pw@127.0.0.1:9"}))
    assert tokens.load("key") is None
    assert not tokens.directory().exists()


def test_a_login_in_a_traceback_would_show_no_token() -> None:
    assert "secret" not in repr(replace(ACCESS, headers={"X-Auth-Token": "secret"}))


@pytest.mark.parametrize(
    ("value", "sendable"),
    [
        ("gAAAA-_=", True),
        ("Basic dTpw", True),
        ("a", True),
        ("", False),
        (" a", False),
        ("a ", False),
        ("a\n", False),
        ("a\tb", False),
        ("a\x7f", False),
        ("é", False),
        (5, False),
        (None, False),
    ],
)
def test_is_sendable(value: object, sendable: bool) -> None:
    assert tokens.is_sendable(value) is sendable


# Places


@pytest.mark.reliability("token caches in places that cannot be written")
@pytest.mark.parametrize("place", ["/proc", "/dev/null", "{file}", "{file}/below", "/dev/full/x"])
def test_a_cache_that_cannot_be_made_is_done_without(
    keystone: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("precious")
    monkeypatch.setenv("XDG_CACHE_HOME", place.format(file=tmp_path / "file"))
    for _ in range(2):
        assert run("image", "list").err == ""
    assert logins(keystone) == 2
    assert (tmp_path / "file").read_text() == "precious"
    run("auth", "logout")


@pytest.mark.reliability("token caches in places that cannot be written")
@pytest.mark.parametrize("given", ["cache", "./cache", "", "~no-such-user/cache"])
def test_a_relative_cache_is_that_of_the_home(
    keystone: FaultProxy, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Tokens must not come to lie in what is archived or served from where a command runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    for _ in range(2):
        run("image", "list")
    assert logins(keystone) == 1
    assert list(Path().iterdir()) == []
    [file] = cached()
    assert file.is_relative_to(Path.home() / ".cache" / "glancectl" / "tokens")


@pytest.mark.reliability("token caches in places that cannot be written")
def test_without_a_home_nothing_is_cached(
    keystone: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "home")  # a relative one is none
    for _ in range(2):
        run("image", "list")
    assert logins(keystone) == 2
    assert list(Path().iterdir()) == []


@pytest.mark.reliability("token caches in places that cannot be written")
def test_a_full_disk_leaves_no_half(project: Project) -> None:
    """A limit on the size of files stands for it: the same call fails, in the same place."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = subprocess.run(
        [sys.executable, "-B", "-m", "glancectl", "image", "list"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tokens.directory().iterdir()) == []


# Other processes

WRITER = """
from glancectl import tokens
access = tokens.Access({"X-Auth-Token": "t" * 200_000}, "http://127.0.0.1:9")
tokens.store("key", access)
print("begun", flush=True)
while True:
    tokens.store("key", access)
"""


def new_writer() -> "subprocess.Popen[bytes]":
    """Start a process that stores a token for ever, and wait until it has begun."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"begun\n"
    return writer


def kill(writer: "subprocess.Popen[bytes]") -> None:
    writer.kill()
    writer.communicate()


@pytest.mark.reliability("token caches that several processes use, or are killed in")
def test_readers_see_a_whole_file_whoever_writes(
    full_scale: bool, record_property: Callable[[str, object], None]
) -> None:
    count = 20_000 if full_scale else 1000
    writers = [new_writer() for _ in range(4)]
    try:
        found = [tokens.load("key") is not None for _ in range(count)]
    finally:
        for writer in writers:
            kill(writer)
    assert all(found)
    record_property("tried", count)


@pytest.mark.reliability("token caches that several processes use, or are killed in")
def test_a_writer_that_is_killed_leaves_a_whole_file(
    full_scale: bool, record_property: Callable[[str, object], None]
) -> None:
    """And halves of its own, which a login of the next day removes."""
    count = 200 if full_scale else 10
    chance = random.Random(1)
    for _ in range(count):
        writer = new_writer()
        time.sleep(chance.uniform(0, 0.02))
        kill(writer)
        assert tokens.load("key") is not None
    assert {file.suffix for file in tokens.directory().iterdir()} <= {".json", ".tmp"}
    record_property("tried", count)


def test_what_no_login_has_renewed_for_a_day_is_removed() -> None:
    tokens.store("old", ACCESS)
    folder = tokens.directory()
    for name in ("half.tmp", "of-somebody.else", "young.tmp"):
        (folder / name).touch()
    (folder / "directory.json").mkdir()
    before = time.time() - DAY - 60
    for path in folder.iterdir():
        if path.name != "young.tmp":
            os.utime(path, (before, before))
    tokens.store("new", ACCESS)
    assert sorted(path.name for path in folder.iterdir()) == [
        "directory.json",
        "new.json",
        "of-somebody.else",
        "young.tmp",
    ]


@pytest.mark.reliability("token caches that several processes use, or are killed in")
def test_processes_that_log_in_at_once_all_succeed(
    keystone: FaultProxy, full_scale: bool, record_property: Callable[[str, object], None]
) -> None:
    count, rounds = (16, 10) if full_scale else (6, 1)
    command = [sys.executable, "-m", "glancectl", "image", "list"]
    for _ in range(rounds):
        for file in cached():
            file.unlink()
        running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(count)]
        said = [process.communicate(timeout=120)[1] for process in running]
        assert [process.returncode for process in running] == [0] * count
        assert said == [b""] * count
        [file] = tokens.directory().iterdir()
        before = logins(keystone)
        run("image", "list")
        assert logins(keystone) == before
    record_property("tried", count * rounds)


# Logging out


def is_valid(project: Project, token: str) -> bool:
    """Ask Keystone, without any of our code, and often: its own cache may lag behind."""
    headers = {"X-Auth-Token": project.sandbox.admin_token, "X-Subject-Token": token}
    url = f"{project.sandbox.keystone}/auth/tokens"
    return any(HTTP.get(url, headers=headers).status_code == 200 for _ in range(5))


def revoke(project: Project, token: str) -> None:
    """Revoke a token, and wait until Keystone says so each time."""
    headers = {"X-Auth-Token": project.sandbox.admin_token, "X-Subject-Token": token}
    url = f"{project.sandbox.keystone}/auth/tokens"
    assert HTTP.delete(url, headers=headers).status_code == 204
    wait_for(lambda: not is_valid(project, token))


def new_token() -> str:
    return run("auth", "token").out.strip()


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
def test_logout_revokes_and_forgets_and_may_be_repeated(project: Project) -> None:
    token = new_token()
    assert is_valid(project, token)
    assert run("auth", "logout").err == "logged out\n"
    wait_for(lambda: not is_valid(project, token))
    assert list(tokens.directory().iterdir()) == []
    assert run("auth", "logout").err == "no token was cached\n"
    assert new_token() != token


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
@pytest.mark.parametrize("fault", [{"reset": True, "lose_answer": True}, {"status": 503}], ids=str)
def test_logout_says_what_keystone_did_not_do(
    project: Project, keystone: FaultProxy, fault: dict[str, object]
) -> None:
    new_token()
    [file] = cached()
    until = json.loads(file.read_text())["expires_at"]
    keystone.add("^DELETE", times=None, **fault)
    result = run("--retries", 0, "auth", "logout", code=5)
    assert f"the cached token is forgotten, but may still be valid until {until}" in result.err
    assert cached() == []
    assert run("auth", "logout").err == "no token was cached\n"


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
def test_logout_without_keystone(project: Project, keystone: FaultProxy) -> None:
    token = new_token()
    keystone.close()
    result = run("--retries", 0, "auth", "logout", "-f", "json", code=5)
    error = json.loads(result.err)["error"]
    assert (error["kind"], error["exit"]) == ("unavailable", 5)
    assert "Keystone cannot be reached; the cached token is forgotten" in error["message"]
    assert cached() == []
    assert is_valid(project, token)


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
def test_logout_of_a_token_that_was_revoked_already(project: Project) -> None:
    revoke(project, new_token())
    assert run("auth", "logout").err == "logged out\n"
    assert cached() == []


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
@pytest.mark.parametrize(
    ("words", "code"),
    [("Failed to validate token", 0), ("The requested URL was not found on the server.", 5)],
)
def test_logout_of_a_token_that_keystone_does_not_find(
    project: Project, keystone: FaultProxy, words: str, code: int
) -> None:
    """Keystone says so now and then of a token revoked a moment ago, instead of 401."""
    token = new_token()
    body = json.dumps({"error": {"code": 404, "title": "Not Found", "message": words}}).encode()
    is_json = {"Content-Type": "application/json"}
    keystone.add("^DELETE", carry_out=True, status=404, headers=is_json, body=body)
    result = run("auth", "logout", code=code)
    assert ("may still be valid" in result.err) == (code == 5)
    assert cached() == []
    wait_for(lambda: not is_valid(project, token))


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
def test_logout_in_the_last_moments_of_a_token(project: Project) -> None:
    token = new_token()
    [file] = cached()
    content = json.loads(file.read_text())
    content["expires_at"] = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    file.write_text(json.dumps(content))
    run("auth", "logout")
    wait_for(lambda: not is_valid(project, token))


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
@pytest.mark.parametrize("change", [*FILES.values(), be_mode(0o644)], ids=[*FILES, "mode 644"])
def test_logout_removes_what_it_does_not_trust_and_sends_it_nowhere(
    project: Project, keystone: FaultProxy, change: Callable[[Path], None]
) -> None:
    new_token()
    [file] = cached()
    change(file)
    keystone.requests.clear()
    assert run("auth", "logout").err == "no token was cached\n"
    assert keystone.requests == []
    assert cached() == []


@pytest.mark.reliability("tokens revoked and forgotten by `auth logout`")
def test_a_token_that_the_user_gave_is_the_users_to_revoke(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = new_token()
    monkeypatch.setenv("OS_TOKEN", token)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", project.sandbox.glance)
    run("image", "list")
    assert run("auth", "logout").err == "no token was cached\n"
    assert is_valid(project, token)
    assert len(cached()) == 1
