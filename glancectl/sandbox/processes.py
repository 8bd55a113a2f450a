"""The processes of a sandbox: start them, find them again, hear whether they answer, stop them.

There is no pid file that could be stale. Each process carries two variables in its environment,
the folder of its sandbox and the service it is; /proc shows them, of our own processes only. A
pid that now belongs to something else has no such variables, so it is never touched.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glancectl.sandbox.settings import SERVICES, Settings, User

STATE_VARIABLE = "GLANCECTL_SANDBOX_STATE"
SERVICE_VARIABLE = "GLANCECTL_SANDBOX_SERVICE"
THREADS = 32  # requests that each service works on at once
START_TIMEOUT = 120.0  # seconds; two cores need 4, a busy CI machine has needed 30
TERM_TIMEOUT = 4.0  # seconds between SIGTERM and SIGKILL
KILL_TIMEOUT = 3.0
PORT_TIMEOUT = 1.0  # seconds that the kernel may need to take a port from a process just killed

# In a log: empty lines, gunicorn's course of things, what SQLAlchemy adds to an error.
_SAYS_NOTHING = re.compile(
    r"^\s*$|\] \[INFO\] |\[(SQL|parameters): |\(Background on this error at: "
)


@dataclass(frozen=True)
class Process:
    """A living process of a sandbox. is_master: gunicorn's master, which leads its session."""

    pid: int
    service: str
    is_master: bool


def has_proc() -> bool:
    """Tell whether this system shows its processes as Linux does."""
    return os.path.exists("/proc/self/environ")


def find(state: Path) -> list[Process]:
    """Return the living processes of the sandbox in ``state``."""
    entries = os.listdir("/proc") if has_proc() else []
    found = [_look_at(int(entry), state) for entry in entries if entry.isdecimal()]
    return [process for process in found if process is not None]


def masters(state: Path) -> dict[str, int]:
    """Return the pid of each service's master, of those that live."""
    return {process.service: process.pid for process in find(state) if process.is_master}


def _look_at(pid: int, state: Path) -> Process | None:
    """Return what process ``pid`` is to the sandbox in ``state``; None when it is not of it."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if b"%s=%s" % (STATE_VARIABLE.encode(), os.fsencode(state)) not in variables:
            return None
        for service in SERVICES:
            if f"{SERVICE_VARIABLE}={service}".encode() in variables:
                return Process(pid, service, os.getsid(pid) == pid)
    except OSError:  # ended just now, or somebody else's
        pass
    return None


def clean_environment() -> dict[str, str]:
    """Return our environment without what would reconfigure the services.

    oslo.config reads OS_<GROUP>__<OPTION>, gunicorn GUNICORN_CMD_ARGS; and the services must reach
    each other directly, whatever proxy leads out of here.
    """
    dropped = ("OS_", "GUNICORN_", "PYTHONWARNINGS", "PYTHONDEVMODE", "no_proxy", "NO_PROXY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | without_proxy(os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "")


def marked_environment(folder: Path, service: str) -> dict[str, str]:
    """Return the clean environment with what tells ``find`` that a process works in ``folder``."""
    return clean_environment() | {STATE_VARIABLE: str(folder), SERVICE_VARIABLE: service}


def without_proxy(excepted: str) -> dict[str, str]:
    """Return the variables that keep loopback off the proxy, as well as what is ``excepted``."""
    value = ",".join(filter(None, [excepted, "127.0.0.1"]))
    return {"no_proxy": value, "NO_PROXY": value}


def listen(wanted: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1, at port ``wanted`` if that is free in a second.

    It is handed to the service, so nobody can take the port between choosing and using it; and
    what connects meanwhile waits for the service's first answer.
    """
    deadline = time.monotonic() + PORT_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", wanted), backlog=512)
        time.sleep(0.02)
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def start(state: Path, service: str, listener: socket.socket) -> int:
    """Start ``service`` on ``listener``, to outlive us; return its master's pid."""
    log = state / "logs" / f"{service}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.old"))
    command = [
        *(sys.executable, "-m", "gunicorn", f"glancectl.sandbox.wsgi_{service}:application"),
        *("--bind", f"fd://{listener.fileno()}", "--umask", "0o077", "--no-control-socket"),
        *("--worker-class", "gthread", "--workers", "1", "--threads", str(THREADS)),
        *("--timeout", "300", "--graceful-timeout", "2", "--keep-alive", "75"),
    ]
    own = {f"OS_{service.upper()}_CONFIG_DIR": str(state / "etc")}
    own |= {"SPT_NOENV": "1"}  # or gunicorn's setproctitle overwrites what find() looks for
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=state,
            env=marked_environment(state, service) | own,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    child.returncode = 0  # it is meant to outlive us; Popen would warn that it still runs
    return child.pid


def stop(state: Path) -> bool:
    """Stop every process of the sandbox in ``state``; return whether there was one.

    Bounded: SIGTERM, four seconds, then SIGKILL.
    """
    before = find(state)
    # Masters first: one that still ran would replace a worker that ends.
    _signal(sorted(before, key=lambda process: not process.is_master), signal.SIGTERM)
    gone = _gone(state, TERM_TIMEOUT)
    if not gone:
        _signal(find(state), signal.SIGKILL)
        gone = _gone(state, KILL_TIMEOUT)
    reap([process.pid for process in before], wait=gone)
    return bool(before)


def _signal(processes: list[Process], signum: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signum)


def _gone(state: Path, timeout: float) -> bool:
    """Wait until no process of the sandbox lives, ``timeout`` seconds at most."""
    deadline = time.monotonic() + timeout
    while find(state):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def reap(pids: list[int], *, wait: bool = False) -> None:
    """Take note of the end of those of ``pids`` that are our own children and have ended.

    wait: they are ending; a process has no environment any more a moment before its end.
    """
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0 if wait else os.WNOHANG)


def answer(
    url: str, path: str, *, token: str = "", body: object = None, timeout: float
) -> tuple[int, http.client.HTTPMessage]:
    """Return status and headers of one request to a service; POST if there is a ``body``.

    ``timeout`` in seconds. Raises OSError or HTTPException when nothing answers.
    """
    # http.client, since it follows no proxy variables and is here without importing much.
    parts = urllib.parse.urlsplit(url + path)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    headers = {"Content-Type": "application/json"} | ({"X-Auth-Token": token} if token else {})
    try:
        text = None if body is None else json.dumps(body)
        target = parts._replace(scheme="", netloc="").geturl()
        connection.request("GET" if body is None else "POST", target, text, headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers
    finally:
        connection.close()


def trouble(settings: Settings, user: User, *, timeout: float) -> str | None:
    """Say why ``user`` cannot log in and list images; None when it can.

    That needs both services and what is between them. ``timeout``: seconds for each request.
    """
    domain = {"name": "Default"}
    who = {"name": user.name, "domain": domain, "password": settings.passwords[user.name]}
    body: dict[str, Any] = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": who}},
            "scope": {"project": {"name": user.project, "domain": domain}},
        }
    }
    try:
        status, headers = answer(settings.auth_url, "/auth/tokens", body=body, timeout=timeout)
        token = headers["X-Subject-Token"]
        if status != 201 or not token:
            return f"keystone answers a login with {status}"
        url = settings.url("glance") + "/v2"
        status, _ = answer(url, "/images?limit=1", token=token, timeout=timeout)
        return None if status == 200 else f"glance answers a list of images with {status}"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {str(error) or type(error).__name__}"


def end_of(log: Path) -> str:
    """Return the last lines of ``log`` as one line."""
    try:
        return last_lines(log.read_text(errors="replace")) or "the log is empty"
    except OSError:
        return "no log"


def last_lines(text: str, count: int = 5) -> str:
    """Return the last ``count`` lines of ``text`` that say what went wrong, as one line."""
    said = [line.strip() for line in text.splitlines() if not _SAYS_NOTHING.search(line)]
    return " | ".join(said[-count:])
