"""What all tests share: a clean environment, ``run`` = main(), a sandbox, a project a test."""

import contextlib
import io
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from faultproxy import FaultProxy

from glancectl import sandbox as sandboxes
from glancectl.cli import main
from glancectl.sandbox import processes
from glancectl.sandbox.settings import REGION

pytest_plugins = ("reliability",)

# Not glancectl's own way: no TLS context, which is most of what a request costs here. No connection
# is kept, so that none is open that a test which counts them did not open.
HTTP = httpx.Client(verify=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class Result:
    """What a run left: the exit code, stdout as bytes and as text, stderr."""

    code: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        return self.data.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(
    *argv: object, code: int | None = 0, stdin: bytes = b"", user: "Project | None" = None
) -> Result:
    """Run ``glancectl ARGV`` through main() here; an exit code other than ``code`` fails.

    code: None takes any. user: whose credentials to use, other than those in the environment.
    """
    with (
        tempfile.TemporaryFile() as out_file,
        tempfile.TemporaryFile() as in_file,
        pytest.MonkeyPatch.context() as patch,
    ):
        in_file.write(stdin)
        in_file.seek(0)
        out, err = io.TextIOWrapper(out_file, encoding="utf-8", write_through=True), io.StringIO()
        patch.setattr(sys, "stdin", io.TextIOWrapper(in_file, encoding="utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        for name, value in (user.env if user else {}).items():
            patch.setenv(name, value)
        found = main([str(arg) for arg in argv])
        out.flush()
        out_file.seek(0)
        result = Result(found, out_file.read(), err.getvalue())
        sys.stdin.detach()
        out.detach()
    assert code in (None, result.code), (
        f"exit {result.code}, expected {code}\n{result.out}\n{result.err}"
    )
    return result


def open_files() -> set[tuple[str, str]]:
    """Return each open file of this process: its descriptor and what that stands for.

    What a test left open is what is open after it and was not before. A count would not do: a file
    that a test before it had open may be closed meanwhile.
    """
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile, as the folder's own
            found.add((descriptor, os.readlink(f"/proc/self/fd/{descriptor}")))
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Let no child inherit an ignored signal: CI may start us with nohup or in the background."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) == signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing of the developer's own clouds, caches and terminal to a test."""
    for name in list(os.environ):
        if name.startswith(("OS_", "GLANCECTL_", "XDG_")) or name.endswith(("_proxy", "_PROXY")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("GLANCECTL_PAGER", "cat")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@dataclass(frozen=True)
class Sandbox:
    """The running services, and a token that may do everything."""

    keystone: str
    glance: str
    clouds_file: Path
    admin_token: str
    roles: dict[str, str]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One Keystone + Glance for the whole run, apart from the developer's own sandbox."""
    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(state))
        status = sandboxes.up(print)
        admin = sandboxes.environment("sandbox-admin")
    token = password_token(admin)
    clouds = state / "glancectl" / "sandbox" / "clouds.yaml"
    answer = HTTP.get(f"{status['keystone']}/roles", headers={"X-Auth-Token": token})
    roles = {role["name"]: role["id"] for role in answer.json()["roles"]}
    yield Sandbox(str(status["keystone"]), str(status["glance"]), clouds, token, roles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(state))
        sandboxes.down(purge=True)
    HTTP.close()


def password_token(env: dict[str, str]) -> str:
    """Log in without any of our code, and return the token."""
    domain = {"name": "Default"}
    user = {"name": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "domain": domain}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}},
        }
    }
    answer = HTTP.post(f"{env['OS_AUTH_URL']}/auth/tokens", json=body)
    assert answer.status_code == 201, answer.text
    return answer.headers["X-Subject-Token"]


class Project:
    """A project with one user of its own, and the environment that logs in as that user."""

    def __init__(self, sandbox: Sandbox, role: str = "member") -> None:
        self.sandbox = sandbox
        self.name = f"project-{uuid.uuid4().hex[:8]}"
        self.id = self._make("projects", "project", {"name": self.name, "domain_id": "default"})
        self.password = uuid.uuid4().hex
        user = {"name": self.name, "password": self.password, "domain_id": "default"}
        self.user_id = self._make("users", "user", user)
        path = f"projects/{self.id}/users/{self.user_id}/roles/{sandbox.roles[role]}"
        self._keystone("PUT", path)

    @property
    def env(self) -> dict[str, str]:
        return {
            "OS_AUTH_URL": self.sandbox.keystone,
            "OS_USERNAME": self.name,
            "OS_PASSWORD": self.password,
            "OS_PROJECT_NAME": self.name,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": "RegionOne",
        }

    def _make(self, path: str, key: str, fields: dict[str, str]) -> str:
        return str(self._keystone("POST", path, {key: fields}).json()[key]["id"])

    def _keystone(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"X-Auth-Token": self.sandbox.admin_token}
        url = f"{self.sandbox.keystone}/{path}"
        answer = HTTP.request(method, url, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture
def new_project(sandbox: Sandbox) -> Callable[..., Project]:
    """Make one more project: ``new_project()`` or ``new_project(role="reader")``."""
    return lambda role="member": Project(sandbox, role)


@pytest.fixture
def admin(sandbox: Sandbox) -> Project:
    """A project whose user is an admin, of Glance and of Keystone: for ``run(…, user=admin)``."""
    return Project(sandbox, "admin")


@pytest.fixture
def project(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of this test's own; ``run`` is logged in to it."""
    made = Project(sandbox)
    log_in(made, monkeypatch)
    return made


def log_in(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ``run`` calls that follow be ``project``'s user."""
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def proxy(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A fault proxy in front of Glance; ``run`` goes through it."""
    made = FaultProxy(project.sandbox.glance)
    monkeypatch.setenv("OS_ENDPOINT_OVERRIDE", made.url)
    yield made
    made.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on loopback: its URL, and the folder whose files it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join(5)


@pytest.fixture
def stalled() -> Iterator[str]:
    """The URL of a server that takes connections and says nothing until the test ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/stalled.raw"


@pytest.fixture(scope="session")
def plain_glance(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A second Glance beside the sandbox's, for the same users, as small clouds have it.

    One store without a name, no image cache, and quotas by unified limits. Yields its URL.
    """
    from glancectl.sandbox import config, processes, template
    from glancectl.sandbox.settings import load, make_private_folder, write_private

    state = tmp_path_factory.mktemp("plain")
    settings = load(sandbox.clouds_file.parent)
    assert settings is not None
    for folder in ("etc", "images", "staging", "logs", "locks", "tasks"):
        make_private_folder(state / folder)
    template.ensure_databases(state, print)
    sections = config.glance(state, settings)
    sections["DEFAULT"] |= {
        "enabled_backends": "",
        "node_staging_uri": f"file://{state / 'staging'}",
        "use_keystone_limits": True,
    }
    for option in ("image_cache_driver", "image_cache_dir"):
        del sections["DEFAULT"][option]
    sections["glance_store"] = {
        "stores": "file,http",
        "default_store": "file",
        "filesystem_store_datadir": state / "images",
    }
    sections["paste_deploy"] = {
        "flavor": "keystone",
        "config_file": state / "etc" / "glance-api-paste.ini",
    }
    login = sections["keystone_authtoken"]
    sections["oslo_limit"] = {
        **{key: login[key] for key in ("auth_type", "auth_url", "user_domain_name")},
        "username": "admin",
        "password": settings.passwords["admin"],
        "system_scope": "all",
        "endpoint_service_type": "image",
        "endpoint_region_name": REGION,
    }
    write_private(state / "etc" / "glance-api.conf", config.ini(sections))
    write_private(
        state / "etc" / "glance-api-paste.ini",
        config.PASTE.replace("+cachemanagement", "").replace(" cache cachemanage", ""),
    )
    with processes.listen(0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        processes.start(state, "glance", listener)
    _register_limits(sandbox)
    yield url
    processes.stop(state)


class OwnGlance:
    """A Glance beside the sandbox's, for the same users, that can be killed and started again."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, at the same port each time."""
        with self._listen() as listener:
            self._port = listener.getsockname()[1]
            processes.start(self._state, "glance", listener)

    def _listen(self) -> socket.socket:
        """Listen on the port it had; the kernel needs a moment to take that from the dead."""
        found: list[socket.socket] = []

        def is_free() -> bool:
            with contextlib.suppress(OSError):
                found.append(socket.create_server(("127.0.0.1", self._port), backlog=512))
            return bool(found)

        wait_for(is_free)
        return found[0]

    def kill(self, signum: int) -> None:
        """Send a signal to all its processes and wait for their end."""
        for process in processes.find(self._state):
            os.kill(process.pid, signum)
        wait_for(lambda: not self._living())

    def _living(self) -> list[processes.Process]:
        found = processes.find(self._state)
        processes.reap([process.pid for process in found])
        return found


@pytest.fixture(scope="session")
def own_glance(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGlance]:
    """A Glance that tests may kill, and start again before they end."""
    from glancectl.sandbox import config, processes, template
    from glancectl.sandbox.settings import load

    state = tmp_path_factory.mktemp("own")
    settings = load(sandbox.clouds_file.parent)
    assert settings is not None
    config.write_services(state, settings)
    template.ensure_databases(state, print)
    yield OwnGlance(state)
    processes.stop(state)


# What a project may have in the Glance of ``plain_glance``: MiB, MiB, images, uploads at once.
LIMITS = {
    "image_size_total": 100,
    "image_stage_total": 100,
    "image_count_total": 5,
    "image_count_uploading": 5,
}


def _register_limits(sandbox: Sandbox) -> None:
    """Make LIMITS the quota of every project; the sandbox's own Glance does not look at it."""
    headers = {"X-Auth-Token": sandbox.admin_token}
    found = HTTP.get(f"{sandbox.keystone}/services?type=image", headers=headers).json()["services"]
    limits = [
        {
            "service_id": found[0]["id"],
            "region_id": REGION,
            "resource_name": name,
            "default_limit": limit,
        }
        for name, limit in LIMITS.items()
    ]
    url = f"{sandbox.keystone}/registered_limits"
    answer = HTTP.post(url, json={"registered_limits": limits}, headers=headers)
    assert answer.status_code == 201, answer.text


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    """A small valid qcow2 that nobody else has: 1 MiB and a bit, random clusters."""
    from glancectl.sandbox.demo import make_qcow2

    path = tmp_path / "disk.qcow2"
    make_qcow2(path)
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A file of 3 MiB and 7 bytes of noise: no known format, no whole number of chunks."""
    path = tmp_path / "noise.raw"
    path.write_bytes(os.urandom((3 << 20) + 7))
    return path
