"""Many commands at once on one Glance, and one command over many images: nothing is lost."""

import contextlib
import hashlib
import json
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import HTTP, Project, Sandbox, run, wait_for
from faultproxy import FaultProxy
from test_bulk import failed, lines, reserve

GLANCECTL = [sys.executable, "-m", "glancectl"]
EVERY = 50  # of so many requests one is answered with 503
GROWTH = 24 << 10  # KiB that the memory of a command over 2,000 images may be larger


# Many commands at once


@dataclass
class Kept:
    """An image as the worker that owns it has left it."""

    id: str
    name: str
    data: bytes = b""
    status: str = "queued"
    counter: int = 0
    tags: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)

    def summary(self) -> dict[str, object]:
        """What Glance has to say of it."""
        return {
            "name": self.name,
            "status": self.status,
            "counter": str(self.counter) if self.counter else None,
            "tags": self.tags,
            "members": self.members,
            "sha512": hashlib.sha512(self.data).hexdigest() if self.data else None,
        }


class Worker:
    """One of several that work on a project at once, each on images of its own.

    It runs one command after another and remembers what they must have done; a command that ends
    in another way than it has to is an AssertionError.
    """

    def __init__(self, number: int, folder: Path, partner: str) -> None:
        self.kept: list[Kept] = []
        self.gone: list[str] = []
        self.left: set[str] = set()  # files of a store
        self.commands = 0
        self._number = number
        self._folder = folder
        self._partner = partner  # the id of the project that images are shared with
        self._random = random.Random(number)
        self._jobs: list[Callable[[], object]] = [
            self._create, self._upload, self._import, self._count, self._count, self._count,
            self._tag, self._share, self._list, self._show, self._download, self._switch,
            self._delete, self._list_tasks, self._fail, self._fail_to_create,
        ]  # fmt: skip

    def work(self, until: float) -> None:
        """Do two jobs, others than the next worker's, then any, until that monotonic time."""
        begin = 2 * self._number % len(self._jobs)
        for job in self._jobs[begin : begin + 2]:
            job()
        while time.monotonic() < until:
            self._random.choice(self._jobs)()

    def _glancectl(self, *arguments: str, code: int = 0) -> str:
        """Run a command that has to end with ``code``, and return its stdout."""
        self.commands += 1
        done = subprocess.run(
            [*GLANCECTL, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        told = f"{' '.join(arguments)}: exit {done.returncode}, expected {code}\n{done.stderr}"
        assert done.returncode == code, told
        assert "Traceback" not in done.stderr, told
        assert (code == 0) == ("glancectl: error: " not in done.stderr), told
        return done.stdout

    def _some(self, *statuses: str) -> Kept:
        """Return an image that has one of these statuses; a new active one if there is none."""
        found = [kept for kept in self.kept if kept.status in statuses]
        return self._random.choice(found) if found else self._create()

    def _file(self) -> Path:
        """Write a new file of data that nobody else has, of no known format."""
        path = self._folder / f"{uuid.uuid4()}.raw"
        path.write_bytes(b"noise" + self._random.randbytes(self._random.randrange(1, 300_000)))
        return path

    def _name(self) -> str:
        return f"worker-{self._number}-{len(self.kept) + len(self.gone)}"

    def _create(self) -> Kept:
        name, file = self._name(), self._file()
        options = ["--file", str(file), "--disk-format", "raw", "-q"]
        image_id = self._glancectl("image", "create", name, *options).strip()
        self.kept.append(Kept(image_id, name, file.read_bytes(), "active"))
        return self.kept[-1]

    def _reserve(self) -> Kept:
        name = self._name()
        image_id = self._glancectl("image", "create", name, "--disk-format", "raw", "-q").strip()
        self.kept.append(Kept(image_id, name))
        return self.kept[-1]

    def _upload(self) -> None:
        kept, file = self._reserve(), self._file()
        self._glancectl("image", "upload", kept.id, str(file))
        kept.data, kept.status = file.read_bytes(), "active"

    def _import(self) -> None:
        kept, file = self._reserve(), self._file()
        options = ["--method", "glance-direct", "--file", str(file), "--interval", "0.2"]
        self._glancectl("image", "import", kept.id, *options)
        kept.data, kept.status = file.read_bytes(), "active"

    def _count(self) -> None:
        """Read, add one, write: what is lost when two change a record at once."""
        kept = self._some("queued", "active", "deactivated")
        shown = json.loads(self._glancectl("image", "show", kept.id, "-f", "json"))
        assert int(shown.get("counter", 0)) == kept.counter
        change = f"counter={kept.counter + 1}"
        self._glancectl("image", "update", kept.id, "--property", change)
        kept.counter += 1

    def _tag(self) -> None:
        kept, tag = self._some("queued", "active"), self._random.choice(["one", "a b", "é"])
        verb = "remove" if tag in kept.tags else "add"
        self._glancectl("tag", verb, kept.id, tag)
        kept.tags ^= {tag}

    def _share(self) -> None:
        kept = self._some("queued", "active")
        verb = "remove" if kept.members else "add"
        self._glancectl("member", verb, kept.id, self._partner)
        kept.members ^= {self._partner}

    def _list(self) -> None:
        rows = json.loads(self._glancectl("image", "list", "-f", "json"))
        found = {row["id"]: row["status"] for row in rows}
        assert {kept.id: found.get(kept.id) for kept in self.kept} == {
            kept.id: kept.status for kept in self.kept
        }
        assert not found.keys() & set(self.gone)

    def _show(self) -> None:
        kept = self._some("queued", "active", "deactivated")
        shown = json.loads(self._glancectl("image", "show", kept.name, "-f", "json"))
        assert (shown["id"], shown["status"], set(shown["tags"])) == (
            kept.id, kept.status, kept.tags
        )  # fmt: skip

    def _download(self) -> None:
        kept, copy = self._some("active", "deactivated"), self._folder / f"{uuid.uuid4()}.copy"
        is_refused = kept.status == "deactivated"
        self._glancectl("image", "download", kept.id, str(copy), code=1 if is_refused else 0)
        assert copy.exists() != is_refused
        assert is_refused or copy.read_bytes() == kept.data

    def _switch(self) -> None:
        kept = self._some("active", "deactivated")
        verb, status = {
            "active": ("deactivate", "deactivated"),
            "deactivated": ("activate", "active"),
        }[kept.status]
        self._glancectl("image", verb, kept.id)
        kept.status = status

    def _delete(self) -> None:
        kept = self._some("queued", "active", "deactivated")
        self._glancectl("image", "delete", kept.id)
        self.kept.remove(kept)
        self.gone.append(kept.id)
        if kept.status == "deactivated":  # Glance 33 forgets its data, whoever sends the DELETE
            self.left.add(f"fast/{kept.id}")

    def _list_tasks(self) -> None:
        kept = self._some("queued", "active", "deactivated")
        tasks = json.loads(self._glancectl("task", "list", "--image", kept.id, "-f", "json"))
        assert {task["status"] for task in tasks} <= {"success"}

    def _fail(self) -> None:
        """Run a command that cannot do what it is told."""
        kept, unknown = self._some("active"), str(uuid.uuid4())
        commands: list[tuple[int, list[str]]] = [
            (1, ["image", "upload", kept.id, str(self._file())]),
            (1, ["image", "update", kept.id, "--property", "size=1"]),
            (2, ["image", "show"]),
            (4, ["image", "show", unknown]),
            (4, ["image", "delete", f"never-{unknown}"]),
            (4, ["tag", "remove", kept.id, "never"]),
        ]
        code, command = self._random.choice(commands)
        self._glancectl(*command, code=code)

    def _fail_to_create(self) -> None:
        """Run commands that must leave no record behind."""
        data = ["--file", str(self._file()), "--disk-format"]
        wrong = f"sha256:{'0' * 64}"
        self._glancectl("image", "create", "never", "--disk-format", "nonsense", code=1)
        self._glancectl("image", "create", "never", *data, "qcow2", code=6)
        self._glancectl("image", "create", "never", *data, "raw", "--checksum", wrong, code=6)


@pytest.fixture
def keystone(sandbox: Sandbox) -> Iterator[FaultProxy]:
    """A proxy in front of Keystone that counts what it is asked."""
    with contextlib.closing(FaultProxy(sandbox.keystone)) as proxy:
        yield proxy


@pytest.mark.reliability("commands of 32 processes at once on one Glance, for two minutes")
def test_commands_at_once_each_do_what_they_do_alone(
    sandbox: Sandbox,
    project: Project,
    new_project: Callable[..., Project],
    keystone: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    full_scale: bool,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setenv("OS_AUTH_URL", f"{keystone.url}/v3")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at_once, seconds = (32, 120.0) if full_scale else (8, 5.0)
    partner = new_project().id
    before = stored(sandbox)
    folders = [tmp_path / f"worker-{number}" for number in range(at_once)]
    for folder in folders:
        folder.mkdir()
    workers = [Worker(number, folder, partner) for number, folder in enumerate(folders)]

    until = time.monotonic() + seconds
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda worker: worker.work(until), workers))
    record_property("tried", sum(worker.commands for worker in workers))

    kept = [image for worker in workers for image in worker.kept]
    assert found(project) == {image.id: image.summary() for image in kept}
    files = {f"fast/{image.id}" for image in kept if image.data}
    files |= {file for worker in workers for file in worker.left}
    with contextlib.suppress(AssertionError):  # Glance empties its staging later
        wait_for(lambda: stored(sandbox) - before == files)
    assert stored(sandbox) - before == files
    assert list(tmp_path.glob("worker-*/.*.part")) == []
    [token] = (tmp_path / "cache" / "glancectl" / "tokens").iterdir()
    assert token.suffix == ".json"
    assert json.loads(token.read_text())["project_id"] == project.id
    # Only who found the cache empty has logged in: the first commands, begun at the same time.
    assert 1 <= keystone.count("^POST .*/auth/tokens") <= at_once


def found(project: Project) -> dict[str, dict[str, object]]:
    """What Glance tells an admin of the images of a project, asked without any of our code."""
    headers = {"X-Auth-Token": project.sandbox.admin_token}
    url = f"{project.sandbox.glance}/v2/images"
    query = {"owner": project.id, "visibility": "all", "limit": 1000}
    body = HTTP.get(url, params=query, headers=headers).json()
    assert "next" not in body

    def members(image_id: str) -> set[str]:
        rows = HTTP.get(f"{url}/{image_id}/members", headers=headers).json()["members"]
        return {row["member_id"] for row in rows}

    return {
        record["id"]: {
            "name": record["name"],
            "status": record["status"],
            "counter": record.get("counter"),
            "tags": set(record["tags"]),
            "members": members(record["id"]),
            "sha512": record["os_hash_value"],
        }
        for record in body["images"]
    }


def stored(sandbox: Sandbox) -> set[str]:
    """The files in the stores, the one for staged data included: "STORE/IMAGE"."""
    stores = sandbox.clouds_file.parent / "images"
    return {str(path.relative_to(stores)) for path in stores.rglob("*") if path.is_file()}


# One command over many images

MANY = pytest.mark.reliability("images changed by one command over 2,000 of them")


@pytest.fixture
def many(full_scale: bool, record_property: Callable[[str, object], None]) -> int:
    """How many images one command is given."""
    count = 2000 if full_scale else 60
    record_property("tried", count)
    return count


# ru_maxrss of getrusage would also count what the process was before its exec: pytest.
MEASURED = """\
import sys
from glancectl.cli import main
code = main(sys.argv[1:])
sys.stdout.flush()
with open("/proc/self/status") as status:
    sys.stderr.write(next(line for line in status if line.startswith("VmHWM")))
sys.exit(code)
"""


def update_measured(targets: bytes, *change: str) -> tuple[list[str], int]:
    """Update the images on stdin; return stdout's lines, and the largest memory in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "image", "update", "-", *change, "--jobs", "8", "-q"],
        input=targets,
        capture_output=True,
        timeout=900,
    )
    err = done.stderr.decode()
    assert done.returncode == 0, err
    peak = re.fullmatch(r"VmHWM:\s+(\d+) kB\n", err)
    assert peak is not None, err
    return done.stdout.decode().splitlines(), int(peak[1])


@MANY
def test_a_list_piped_into_an_update_changes_all_in_two_requests_each(
    project: Project, proxy: FaultProxy, many: int
) -> None:
    reserve(project, many)
    listed = run("image", "list", "-q")
    assert len(listed.lines) == many
    _, small = update_measured(lines(listed.lines[:10]), "--property", "x=0")

    unread, unwritten = listed.lines[::EVERY], listed.lines[EVERY // 2 :: EVERY]
    for image_id in unread:
        proxy.add(f"^GET .*/{image_id}", status=503)
    for image_id in unwritten:
        proxy.add(f"^PATCH .*/{image_id}", status=503)
    proxy.requests.clear()
    done, large = update_measured(listed.data, "--property", "x=1", "--tag", "t")
    assert done == listed.lines
    assert proxy.count("^GET") == many + len(unread)
    assert proxy.count("^PATCH") == many + len(unwritten)
    assert len(proxy.requests) == 2 * many + len(unread) + len(unwritten)
    assert run("image", "list", "--property", "x=1", "--tag", "t", "-q").lines == listed.lines
    assert large - small < GROWTH


@MANY
def test_a_protected_image_among_many_is_the_only_one_not_deleted(
    project: Project, proxy: FaultProxy, many: int
) -> None:
    ids = reserve(project, many)
    protected = ids[many // 2 - 1]
    run("image", "update", protected, "--protected", "-q")
    broken = ids[::EVERY]
    for image_id in broken:
        proxy.add(f"^DELETE .*/{image_id}", status=503)
    proxy.requests.clear()
    gone = run("image", "delete", "-", "-f", "json", stdin=lines(ids), code=9)
    assert [image["id"] for image in gone.json] == [one for one in ids if one != protected]
    assert proxy.count("^DELETE") == len(proxy.requests) == many + len(broken)
    error = failed(gone.err)
    assert error["message"] == f"1 of {many} targets failed"
    assert [(one["target"], one["exit"]) for one in error["targets"]] == [(protected, 1)]
    assert run("image", "list", "-q").lines == [protected]
    run("image", "delete", protected, "--unprotect")


@MANY
def test_ctrl_c_says_how_far_it_came_and_a_second_run_does_the_rest(
    project: Project, proxy: FaultProxy, many: int, tmp_path: Path
) -> None:
    ids = reserve(project, many)
    (tmp_path / "ids").write_bytes(lines(ids))
    command = [*GLANCECTL, "image", "update"]
    change = ["--property", "x=1", "--jobs", "8", "-q"]
    with (
        (tmp_path / "ids").open("rb") as targets,
        subprocess.Popen(
            [*command, "-", *change], stdin=targets, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        wait_for(lambda: proxy.count("^PATCH") >= many // 2, seconds=300)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    told = re.fullmatch(
        rf"glancectl: stopped by SIGINT; (\d+) of {many} targets had been tried, "
        r"up to 8 more were under way\n",
        err,
    )
    assert told is not None, err
    tried = int(told[1])
    assert many // 2 - 8 <= tried < many

    proxy.requests.clear()
    done = subprocess.run([*command, *ids, *change], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ids
    assert tried <= many - proxy.count("^PATCH") <= tried + 8
    assert sorted(run("image", "list", "--property", "x=1", "-q").lines) == sorted(ids)
