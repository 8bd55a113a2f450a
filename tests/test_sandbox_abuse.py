"""The sandbox badly treated: killed, started many times at once, on a full disk."""

import contextlib
import dataclasses
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import open_files, run, wait_for
from test_sandbox import end_all, image_data, make_image

from glancectl import sandbox
from glancectl.errors import NotFoundError
from glancectl.sandbox import processes, template
from glancectl.sandbox import settings as own

GLANCECTL = [sys.executable, "-m", "glancectl"]
UP = ["sandbox", "up", "-f", "json"]
DOWN = ["sandbox", "down"]
PURGE = [*DOWN, "--purge"]

Record = Callable[[str, object], None]


@pytest.fixture(scope="session")
def template_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the template that the sandbox of the test run was made from as well."""
    ready = template.cache()
    template.ensure_databases(tmp_path_factory.mktemp("any"), print)
    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(ready, cache / "glancectl" / "sandbox")
    return cache


@pytest.fixture(autouse=True)
def state(template_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of this test's sandbox; nothing of it runs after the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(template_cache))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = own.folder()
    yield folder
    end_all(folder)


def up() -> sandbox.Status:
    return sandbox.up(lambda _: None)


def answers(url: str) -> bool:
    """Tell whether anything listens at ``url``."""
    parts = urlsplit(url)
    with contextlib.suppress(OSError):
        processes.answer(f"http://{parts.netloc}", "/", timeout=10)
        return True
    return False


def is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def files(state: Path) -> dict[str, int]:
    """The files of a stopped sandbox and their sizes; logs, which differ, without."""
    return {
        str(path.relative_to(state)): path.stat().st_size
        for path in state.rglob("*")
        if path.is_file() and path.parent.name != "logs"
    }


def tell_the_truth() -> None:
    """Check that what ``status`` says of the sandbox can be relied on."""
    found = sandbox.status()
    if found is None:
        with pytest.raises(NotFoundError):
            sandbox.environment("sandbox")
    elif found["running"]:
        assert sorted(found["pids"]) == ["glance", "keystone"]
        run("--cloud", "sandbox", "--retries", 0, "image", "list")


# Up and down

STARTED = pytest.mark.reliability(
    "a sandbox started and stopped: nothing is left over, its images stay"
)


@STARTED
def test_up_and_down_leave_nothing_but_the_state(
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    full_scale: bool,
    record_property: Record,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    cycles = 50 if full_scale else 2
    first, image_id = up(), make_image()
    before = None
    open_before = open_files()
    for _ in range(cycles):
        found = up()
        assert (found["keystone"], found["glance"]) == (first["keystone"], first["glance"])
        assert image_data(image_id) == b"content"
        assert sandbox.down(purge=False) is True
        assert processes.find(state) == []
        assert not any(Path(f"/proc/{pid}").exists() for pid in found["pids"].values())
        assert not any(answers(found[service]) for service in ("keystone", "glance"))
        assert not is_locked(own.lock_path(state))
        assert list(temporary.iterdir()) == []
        before = before or files(state)
        assert files(state) == before
        assert open_files() - open_before == set()
    record_property("tried", cycles)


@STARTED
def test_ups_and_downs_at_once_end_as_if_one_came_after_the_other(
    state: Path, full_scale: bool, record_property: Record
) -> None:
    tried = 0
    for count in (2, 8) if full_scale else (4,):
        found = at_once([UP] * count)
        assert len({done.stdout for done in found}) == 1
        assert json.loads(found[0].stdout) == sandbox.status()
        assert len(processes.find(state)) == 4
        downs = at_once([DOWN] * count)
        assert sorted(done.stderr for done in downs) == [
            *["no sandbox was running\n"] * (count - 1),
            "the sandbox is stopped\n",
        ]
        tried += 2 * count
    mixed = [UP, DOWN, PURGE, UP]
    for _ in range(5 if full_scale else 0):
        at_once(mixed)
        assert len(processes.find(state)) in (0, 4)
        tell_the_truth()
        tried += len(mixed)
    at_once([PURGE])
    assert processes.find(state) == []
    assert not state.exists()
    record_property("tried", tried + 1)


@STARTED
def test_a_purge_that_waits_for_another_has_nothing_left_to_do(state: Path) -> None:
    own.make_private_folder(state)
    with contextlib.ExitStack() as stack:
        with own.locked(own.lock_path(state)):
            command = [*GLANCECTL, *PURGE]
            purges = [stack.enter_context(subprocess.Popen(command)) for _ in range(2)]
            wait_for(lambda: all(waits_for_a_lock(purge.pid) for purge in purges))
        assert [purge.wait(60) for purge in purges] == [0, 0]
    assert not state.exists()


def at_once(commands: Sequence[Sequence[str]]) -> list[subprocess.CompletedProcess[str]]:
    """Run all ``commands`` at the same time; none may fail."""
    with ThreadPoolExecutor(len(commands)) as pool:
        found = list(
            pool.map(
                lambda command: subprocess.run(
                    [*GLANCECTL, *command], capture_output=True, text=True, timeout=300
                ),
                commands,
            )
        )
    assert [(done.returncode, done.stderr) for done in found if done.returncode] == []
    return found


# Killed

KILLED = pytest.mark.reliability("kill -9 of the sandbox's processes, and of the commands on it")


@KILLED
def test_a_killed_worker_is_replaced(
    state: Path, full_scale: bool, record_property: Record
) -> None:
    before = up()
    image_id = make_image()
    rounds = 6 if full_scale else 1
    for number in range(rounds):
        for service in own.SERVICES:
            os.kill(workers(state)[service], signal.SIGKILL)
            if number % 2:
                assert up() == before  # waits for it
            else:
                wait_for(is_running, 60)
            assert image_data(image_id) == b"content"
            assert sandbox.status() == before
    record_property("tried", rounds * len(own.SERVICES))


@KILLED
def test_a_killed_master_is_told_at_once_and_replaced_by_the_next_up(
    state: Path, full_scale: bool, record_property: Record
) -> None:
    before = up()
    image_id = make_image()
    services = own.SERVICES * 5 if full_scale else ("glance",)
    for service in services:
        kill_masters(state, service)
        found = sandbox.status()  # the worker answers for up to a second
        assert found is not None
        assert (found["running"], service in found["pids"]) == (False, False)
        before = started_anew(before)
        assert image_data(image_id) == b"content"
    kill_masters(state, *own.SERVICES)
    assert sandbox.status() is None
    with pytest.raises(NotFoundError):
        sandbox.environment("sandbox")
    started_anew(before)
    assert image_data(image_id) == b"content"
    record_property("tried", len(services) + len(own.SERVICES))


def workers(state: Path) -> dict[str, int]:
    return {p.service: p.pid for p in processes.find(state) if not p.is_master}


def is_running() -> bool:
    found = sandbox.status()
    return found is not None and found["running"]


def kill_masters(state: Path, *services: str) -> None:
    for service in services:
        os.kill(processes.masters(state)[service], signal.SIGKILL)
    wait_for(lambda: not set(services) & processes.masters(state).keys())


def started_anew(before: sandbox.Status) -> sandbox.Status:
    """Start what was killed: other processes, at the same ports."""
    after = up()
    assert not set(after["pids"].values()) & set(before["pids"].values())
    assert after == before | {"pids": after["pids"]}
    return after


@KILLED
def test_an_up_or_down_killed_at_any_moment_blocks_nothing(
    state: Path, full_scale: bool, record_property: Record
) -> None:
    chance = random.Random(5)
    with killed(UP) as half:
        wait_for(lambda: bool(processes.find(state)) or half.poll() is not None)
    tell_the_truth()
    kills = 30 if full_scale else 2
    for number in range(kills):
        with killed(DOWN if number % 5 == 4 else UP):
            time.sleep(chance.uniform(0.2, 4))
        tell_the_truth()
        if number % 2:
            sandbox.down(purge=False)
    assert up()["running"]
    assert len(processes.find(state)) == 4
    assert [name for name in files(state) if ".part" in name] == []
    record_property("tried", kills + 1)


@contextlib.contextmanager
def killed(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``command`` while the block runs, then kill it."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*GLANCECTL, *command], stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


@KILLED
def test_what_a_killed_first_up_left_of_its_template_is_removed(
    state: Path, template_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = template.cache()

    def migrations() -> list[processes.Process]:
        return [one for part in cache.glob("part-*") for one in processes.find(part)]

    with killed(UP):
        wait_for(lambda: len(migrations()) == 2)
    left = list(cache.glob("part-*"))
    assert len(left) == 1
    shutil.copytree(template_cache / "glancectl" / "sandbox", cache, dirs_exist_ok=True)
    template.ensure_databases(state, print)
    assert list(cache.glob("part-*")) == []
    assert processes.find(left[0]) == []


@KILLED
def test_the_migration_of_a_killed_up_ends_before_another_begins(state: Path) -> None:
    template.ensure_databases(state, print)
    (state / "versions").write_text("older")
    with killed(UP):
        wait_for(lambda: bool(processes.find(state)))
    [migration] = processes.find(state)
    assert not migration.is_master
    assert sandbox.status() is None
    assert sandbox.down(purge=False) is True
    assert processes.find(state) == []


@KILLED
def test_a_killed_run_leaves_a_sandbox_that_the_next_run_takes_down(state: Path) -> None:
    command = [*GLANCECTL, "sandbox", "run", "--", "sh", "-c", "echo $$; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        started = int(process.stdout.readline())
        process.kill()
    os.kill(started, signal.SIGTERM)
    assert is_running()
    assert sandbox.run(["sh", "-c", "kill -KILL $$"], lambda _: None) == 137
    assert processes.find(state) == []
    assert sandbox.status() is None


@KILLED
def test_an_up_while_a_run_ends_keeps_the_sandbox(state: Path) -> None:
    command = [*GLANCECTL, "sandbox", "run", "--", "sh", "-c", "echo ready; read line"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with own.locked(own.lock_path(state)):  # as an up does, which finds it healthy
            process.stdin.write(b"\n")
            process.stdin.flush()
            wait_for(lambda: waits_for_a_lock(process.pid))
            settings = own.load(state)
            assert settings is not None
            own.save(state, dataclasses.replace(settings, temporary=False))
        assert process.wait(30) == 0
    assert is_running()


def waits_for_a_lock(pid: int) -> bool:
    """Tell whether the process is blocked by another one's lock, as /proc/locks shows it."""
    locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return str(pid) in [words[5] for words in locks if words[1] == "->"]


# A full disk

FULL = pytest.mark.reliability("a sandbox started on a full disk")
# In a mount namespace of its own: a small disk, up on it, then a larger one and up again.
ON_A_SMALL_DISK = """\
mount -t tmpfs -o size=$1 tmpfs "$2"
"$3" -m glancectl sandbox up -f json
mount -o remount,size=64m "$2" && "$3" -m glancectl sandbox up -q && "$3" -m glancectl sandbox down
"""
# Sets the largest size of a file.
LIMITED = """\
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from glancectl.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def new_mounts() -> list[str]:
    """The command that runs another one where it may mount what only it can see."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    allowed = shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True)
    if not allowed or allowed.returncode:
        pytest.skip("needs unshare, and to be allowed to use it")
    return command


@FULL
def test_a_full_disk_is_said_in_a_sentence_and_blocks_nothing_later(
    state: Path,
    template_cache: Path,
    new_mounts: list[str],
    full_scale: bool,
    record_property: Record,
) -> None:
    disk = state.parents[1]
    disk.mkdir()
    needed = sum(path.stat().st_size for path in template_cache.glob("glancectl/sandbox/*/*.db"))
    rows = [
        (64 << 10, f"cannot keep the sandbox in {state}", "No space left on device"),
        (needed + (92 << 10), "keystone did not start", "database or disk is full"),
        (needed + (44 << 10), f"cannot keep the sandbox in {state}", "No space left on device"),
    ]
    for size, message, cause in rows if full_scale else rows[:1]:
        script = ["sh", "-c", ON_A_SMALL_DISK, "sh", str(size), str(disk), sys.executable]
        done = subprocess.run([*new_mounts, *script], capture_output=True, text=True, timeout=300)
        refused = next(line for line in done.stderr.splitlines() if line.startswith("{"))
        error = json.loads(refused)["error"]
        assert error["message"] == message
        assert cause in error["cause"]
        assert done.stdout.startswith("http://127.0.0.1:")
        assert (done.returncode, processes.find(state)) == (0, [])
        assert "Traceback" not in done.stderr
    record_property("tried", len(rows) if full_scale else 1)


@FULL
def test_a_template_that_cannot_be_written_is_said_in_a_sentence(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = [sys.executable, "-c", LIMITED, "0", *UP]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["message"] == "cannot make the database of keystone"
    assert "File too large" in error["cause"]
    assert list(template.cache().glob("part-*")) == []
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    refused = json.loads(run(*UP, code=1).err.splitlines()[-1])["error"]
    assert refused["message"] == "cannot keep the sandbox in /proc/nowhere/glancectl/sandbox"
