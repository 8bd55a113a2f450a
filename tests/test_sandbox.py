"""The sandbox against real processes, each test with a state of its own and one shared template."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import Project, password_token

from glancectl import sandbox
from glancectl.errors import NotFoundError, RefusedError, UnavailableError, UsageError
from glancectl.sandbox import processes
from glancectl.sandbox import settings as own
from glancectl.sandbox.demo import make_qcow2
from glancectl.sandbox.template import ensure_databases

OCTETS = {"Content-Type": "application/octet-stream"}
BAD_LUCK = pytest.mark.reliability(
    "a sandbox with damaged files, taken ports, stopped processes or many writers at once"
)


@pytest.fixture(scope="session")
def template_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template")


@pytest.fixture(autouse=True)
def state(template_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of this test's sandbox; nothing of it runs after the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(template_cache))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = own.folder()
    yield folder
    end_all(folder)


def end_all(state: Path) -> None:
    """End what is left of a sandbox of which nothing matters any more."""
    while left := processes.find(state):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        processes.reap([process.pid for process in left])


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def up(notes: list[str]) -> Callable[[], sandbox.Status]:
    return lambda: sandbox.up(notes.append)


def client(cloud: str = "sandbox") -> httpx.Client:
    found = sandbox.status()
    assert found is not None
    headers = {"X-Auth-Token": password_token(sandbox.environment(cloud))}
    return httpx.Client(base_url=f"{found['glance']}/v2", headers=headers, timeout=60)


def make_image(name: str = "kept", data: bytes = b"content") -> str:
    with client() as glance:
        record = {"name": name, "disk_format": "raw", "container_format": "bare"}
        image_id = str(glance.post("images", json=record).json()["id"])
        answer = glance.put(f"images/{image_id}/file", content=data, headers=OCTETS)
        assert answer.status_code == 204, answer.text
        return image_id


def image_data(image_id: str) -> bytes:
    with client() as glance:
        return glance.get(f"images/{image_id}/file").content


def test_up_answers_and_the_second_up_finds_it(
    up: Callable[[], sandbox.Status], state: Path
) -> None:
    first = up()
    assert first["running"]
    assert first["clouds"] == ["sandbox", "sandbox-admin", "sandbox-other"]
    assert first["stores"] == ["fast", "slow"]
    assert sorted(first["pids"]) == ["glance", "keystone"]
    assert first["state"] == str(state)
    assert sandbox.status() == first
    assert up() == first

    owners = set()
    for cloud in first["clouds"]:
        with client(cloud) as glance:
            owners.add(glance.post("images", json={"name": cloud}).json()["owner"])
    assert owners == {own.project_id(user.project) for user in own.CLOUDS.values()}
    with client() as glance:
        methods = glance.get("info/import").json()["import-methods"]["value"]
        stores = glance.get("info/stores").json()["stores"]
    assert methods == ["glance-direct", "web-download", "copy-image", "glance-download"]
    assert stores == [
        {"id": "fast", "default": "true"}, {"id": "slow"}, {"id": "web", "read-only": "true"},
    ]  # fmt: skip

    assert secrets_that_others_may_read(state) == []
    passwords = own.load(state).passwords.values()  # type: ignore[union-attr] # it is up
    for process in processes.find(state):
        for file in ("cmdline", "environ"):
            shown = Path(f"/proc/{process.pid}/{file}").read_text()
            assert not any(password in shown for password in passwords)

    assert sandbox.down(purge=False) is True
    assert sandbox.status() is None
    assert not (state / "clouds.yaml").exists()
    assert processes.find(state) == []
    assert sandbox.down(purge=False) is False
    assert sandbox.down(purge=True) is False
    assert not state.exists()


def secrets_that_others_may_read(state: Path) -> list[Path]:
    """Folders that others may enter, and files with secrets that they may read."""
    holders = [state / "settings.json", state / "clouds.yaml", *(state / "etc").iterdir()]
    holders += [*state.glob("*.db"), *state.glob("keys/*/*"), *state.glob("logs/*")]
    folders = [state, *(path for path in state.rglob("*") if path.is_dir())]
    own_folders = [path for path in folders if "cache" not in path.parts[len(state.parts) :]]
    return [p for p in [*holders, *own_folders] if stat.S_IMODE(p.stat().st_mode) & 0o077]


@BAD_LUCK
def test_down_is_bounded_and_stops_no_foreign_process(
    up: Callable[[], sandbox.Status], state: Path, tmp_path: Path
) -> None:
    """Not even one that looks like ours, or runs for another sandbox."""
    command = [sys.executable, "-c", "import time; time.sleep(60)", "glancectl.sandbox", str(state)]
    other = os.environ | {
        processes.STATE_VARIABLE: str(tmp_path / "other"),
        processes.SERVICE_VARIABLE: "glance",
    }
    for pid in up()["pids"].values():
        os.kill(pid, signal.SIGSTOP)  # so it does not hear SIGTERM
    with (
        subprocess.Popen(command) as looks_alike,
        subprocess.Popen(command, env=other) as of_another,
    ):
        began = time.monotonic()
        assert sandbox.down(purge=True) is True
        assert time.monotonic() - began < 10
        assert processes.find(state) == []
        assert looks_alike.poll() is None
        assert of_another.poll() is None
        looks_alike.kill()
        of_another.kill()


@BAD_LUCK
def test_a_taken_port_moves_the_service_and_all_that_names_it(
    up: Callable[[], sandbox.Status], state: Path
) -> None:
    before = up()
    image_id = make_image()
    sandbox.down(purge=False)
    ports = own.load(state).ports  # type: ignore[union-attr] # it was up
    with (
        socket.create_server(("127.0.0.1", ports["keystone"])),
        socket.create_server(("127.0.0.1", ports["glance"])),
    ):
        after = up()
        assert after["keystone"] != before["keystone"]
        assert after["glance"] != before["glance"]
        clouds = json.loads((state / "clouds.yaml").read_text())["clouds"]
        assert clouds["sandbox"]["auth"]["auth_url"] == after["keystone"]
        assert catalogue() == {"identity": {after["keystone"]}, "image": {after["glance"]}}
        assert image_data(image_id) == b"content"


def catalogue() -> dict[str, set[str]]:
    """The URLs of each service type in the catalogue that a token comes with."""
    env = sandbox.environment("sandbox")
    token = {"X-Auth-Token": password_token(env)}
    found = httpx.get(f"{env['OS_AUTH_URL']}/auth/catalog", headers=token, timeout=60).json()
    return {s["type"]: {e["url"] for e in s["endpoints"]} for s in found["catalog"]}


@BAD_LUCK
def test_a_half_made_or_damaged_state_does_not_block(
    up: Callable[[], sandbox.Status], state: Path, notes: list[str]
) -> None:
    own.make_private_folder(state)
    (state / "settings.json").write_text('{"ports": ')
    (state / "glance.db").write_bytes(b"")
    (state / ".keystone.db.part").write_bytes(b"half")
    before = up()
    assert before["running"]
    image_id = make_image()

    (state / "clouds.yaml").unlink()
    assert up() == before
    assert (state / "clouds.yaml").exists()

    (state / "settings.json").unlink()  # nobody knows the passwords of what runs
    (state / "keystone.db").write_bytes(b"not a database at all" * 500)
    (state / "keys" / "fernet" / "1").write_text("no key")
    shutil.rmtree(state / "etc")
    del notes[:]
    after = up()
    assert after["running"]
    assert not set(after["pids"].values()) & set(before["pids"].values())
    assert len(processes.find(state)) == 4
    assert image_data(image_id) == b"content"
    assert any("keystone is damaged" in note for note in notes)


@BAD_LUCK
def test_many_writers_at_once_all_succeed(
    project: Project, record_property: Callable[[str, object], None]
) -> None:
    headers = {"X-Auth-Token": password_token(project.env)}

    def create(writer: int) -> list[int]:
        url = f"{project.sandbox.glance}/v2/images"
        with httpx.Client(headers=headers, timeout=60) as glance:
            names = [f"image-{writer}-{number}" for number in range(25)]
            return [glance.post(url, json={"name": name}).status_code for name in names]

    with ThreadPoolExecutor(16) as pool:
        codes = [code for codes in pool.map(create, range(16)) for code in codes]
    assert codes == [201] * 400
    record_property("tried", len(codes))


def test_demo_walks_the_main_job_and_leaves_nothing(
    up: Callable[[], sandbox.Status],
    notes: list[str],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    up()
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    glancectl = [sys.executable, "-m", "glancectl"]
    raw = tmp_path / "own.raw"
    raw.write_bytes(os.urandom(100_000))
    for file, source, copy, told in (
        (None, "demo.qcow2", "copy.qcow2", ""),
        (raw, str(raw), "copy.raw", " --disk-format raw"),
    ):
        code = sandbox.demo(file, notes.append, glancectl=glancectl)
        out, err = capfd.readouterr()
        assert code == 0, err
        shown = [line[2:] for line in out.splitlines() if line.startswith("$ ")]
        name = shown[2].split()[5]
        ours = "glancectl --cloud sandbox image"
        assert shown == [
            "glancectl sandbox up",
            shown[1],
            f"{ours} create {name} --file {source}{told}",
            f"{ours} list",
            f"{ours} show {name}",
            f"{ours} download {name} {copy}",
            f"cmp {source} {copy}",
            f"{ours} delete {name} --yes",
        ]
        assert shown[1].startswith("cd ")
        assert "the same, byte for byte" in out
    with client() as glance:
        assert glance.get("images").json()["images"] == []
    assert list((tmp_path / "temp").iterdir()) == []
    assert sandbox.demo(raw, notes.append, glancectl=["false"]) == 1
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_service_that_does_not_start_is_shown_with_its_log(
    state: Path, notes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "keystone"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('broken on purpose')")
    own.make_private_folder(state)
    ensure_databases(state, notes.append)
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    with pytest.raises(UnavailableError) as caught:
        sandbox.up(notes.append)
    assert caught.value.message == "keystone did not start"
    assert "broken on purpose" in (caught.value.cause or "")
    assert caught.value.hint == f"see {state / 'logs' / 'keystone.log'}"
    assert processes.find(state) == []


@pytest.mark.parametrize("variable", ["XDG_STATE_HOME", "XDG_CACHE_HOME"])
def test_a_folder_that_the_services_cannot_name_is_refused(
    up: Callable[[], sandbox.Status],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "50% #1?"))
    with pytest.raises(RefusedError) as caught:
        up()
    assert caught.value.message.endswith("it contains '#' '%' '?'")
    assert caught.value.hint == f"set {variable} to another folder"


def test_without_a_sandbox_there_is_no_environment() -> None:
    assert sandbox.status() is None
    with pytest.raises(NotFoundError):
        sandbox.environment("sandbox")
    with pytest.raises(UsageError):
        sandbox.environment("sandbox-of-others")


def test_run_ends_as_the_command_and_leaves_alone_what_was_up(
    up: Callable[[], sandbox.Status], notes: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    before = up()
    shown = ["sh", "-c", 'echo "$OS_CLOUD"; test -r "$OS_CLIENT_CONFIG_FILE" && exit 3']
    assert sandbox.run(shown, notes.append) == 3
    assert capfd.readouterr().out == "sandbox\n"
    assert sandbox.run(["sh", "-c", "kill -TERM $$"], notes.append) == 143
    assert sandbox.run(["no-such-program"], notes.append) == 127
    assert sandbox.status() == before


def test_the_last_run_takes_down_what_was_started_for_it(state: Path, notes: list[str]) -> None:
    code = (
        "import sys; from glancectl import sandbox\n"
        "sys.exit(sandbox.run(['sh', '-c', 'echo ready; exec sleep 60'], lambda _: None))"
    )
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, start_new_session=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert sandbox.run(["true"], notes.append) == 0
        found = sandbox.status()
        assert found is not None
        assert found["running"]
        other.send_signal(signal.SIGTERM)  # passed on to the command, then the clean-up
        assert other.wait(30) == 143
    assert processes.find(state) == []


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
@pytest.mark.parametrize("clusters", [1, 20, 1000])
def test_the_qcow2_of_the_demo_is_valid(tmp_path: Path, clusters: int) -> None:
    path = tmp_path / "disk.qcow2"
    make_qcow2(path, clusters)
    check = ["qemu-img", "check", "--output=json", str(path)]
    report = json.loads(subprocess.run(check, capture_output=True, check=True).stdout)
    assert report["check-errors"] == 0
    assert report["allocated-clusters"] == clusters
    info = ["qemu-img", "info", "--output=json", str(path)]
    described = json.loads(subprocess.run(info, capture_output=True, check=True).stdout)
    assert described["format"] == "qcow2"
    assert described["virtual-size"] == 2 * clusters * 65536
    assert "backing-filename" not in described
