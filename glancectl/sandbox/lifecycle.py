"""up, down, status: whatever is found, half-made or half-dead, ends as what was asked for."""

import contextlib
import dataclasses
import errno
import importlib.util
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from glancectl.errors import NotFoundError, RefusedError, UnavailableError, UsageError
from glancectl.sandbox import config, processes
from glancectl.sandbox import settings as own
from glancectl.sandbox.settings import CLOUDS, REGION, SERVICES, STORES, Settings
from glancectl.sandbox.template import ensure_databases

Note = Callable[[str], None]
PROBE = CLOUDS["sandbox"]
REFUSALS_TIMEOUT = 15.0  # seconds of errors from a service, or of a full disk, that up bears


class Status(TypedDict):
    """A sandbox as users see it. keystone: the URL to log in at; glance: the image endpoint.

    running: both services answer a user, and there is a clouds.yaml. pids: of each service's
    gunicorn master, where it lives. state: the folder with everything in it.
    """

    keystone: str
    glance: str
    running: bool
    clouds: list[str]
    stores: list[str]
    state: str
    pids: dict[str, int]


def up(note: Note) -> Status:
    """Start the sandbox or find it running, and wait until it answers.

    ``note`` gets short sentences while that takes its time. Raises UsageError when the extra is
    not installed, UnavailableError when a service does not start.
    """
    return begin(note, temporary=False)[0]


def begin(note: Note, *, temporary: bool) -> tuple[Status, bool]:
    """Do what ``up`` does; return also whether the sandbox was started now.

    temporary: it is for one command; what an ``up`` has asked for stays until ``down``.
    """
    _require_extra()
    state = own.folder()
    own.require_plain(state, "XDG_STATE_HOME")
    with own.on_disk(state), own.locked(own.lock_path(state)):
        settings = own.load(state)
        if settings is not None and _is_healthy(state, settings):
            if settings.temporary and not temporary:
                settings = dataclasses.replace(settings, temporary=False)
                own.save(state, settings)
            config.write_clouds(state, settings)
            return _status(state, settings, running=True), False
        processes.stop(state)
        settings = dataclasses.replace(settings or own.fresh(), temporary=temporary)
        return _start(state, settings, note), True


def down(*, purge: bool) -> bool:
    """Stop the sandbox, and with ``purge`` forget its images, users and passwords.

    Returns whether something was running. Takes less than ten seconds.
    """
    state = own.folder()
    if not state.exists():
        return processes.stop(state)
    with own.on_disk(state), own.locked(own.lock_path(state)):
        return _stop(state, purge=purge)


def down_if_temporary() -> None:
    """Stop a sandbox that was started for one command, unless an ``up`` has asked for it since."""
    state = own.folder()
    with own.on_disk(state), own.locked(own.lock_path(state)):
        settings = own.load(state)
        if settings is not None and settings.temporary:
            _stop(state, purge=False)


def status() -> Status | None:
    """Return where the running sandbox answers; None when none is running."""
    state = own.folder()
    settings = own.load(state)
    if settings is None or not processes.masters(state):
        return None
    # Services that an up has left behind in the middle may answer, but nobody has their clouds.
    running = (state / "clouds.yaml").exists() and _works(state, settings, timeout=5)
    return _status(state, settings, running=running)


def environment(cloud: str) -> dict[str, str]:
    """Return the OS_* variables that let other clients log in to ``cloud``.

    Raises UsageError for a cloud that the sandbox has not, NotFoundError when none is running.
    """
    if cloud not in CLOUDS:
        raise UsageError(f"the sandbox has no cloud {cloud!r}", hint=f"one of {', '.join(CLOUDS)}")
    state = own.folder()
    settings = own.load(state)
    if settings is None or not processes.masters(state):
        raise NotFoundError("no sandbox is running", hint="glancectl sandbox up")
    user = CLOUDS[cloud]
    return {
        "OS_AUTH_URL": settings.auth_url,
        "OS_USERNAME": user.name,
        "OS_PASSWORD": settings.passwords[user.name],
        "OS_PROJECT_NAME": user.project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": REGION,
        "OS_IDENTITY_API_VERSION": "3",
    }


def _stop(state: Path, *, purge: bool) -> bool:
    """Do what ``down`` does to a sandbox that is locked."""
    (state / "clouds.yaml").unlink(missing_ok=True)
    stopped = processes.stop(state)
    if purge and state.exists():  # not so after another such down at the same time
        shutil.rmtree(state)
    return stopped


def _start(state: Path, settings: Settings, note: Note) -> Status:
    """Start both services on what ``state`` has, making what it lacks."""
    began = time.monotonic()
    own.make_private_folder(state)
    (state / "clouds.yaml").unlink(missing_ok=True)
    ensure_databases(state, note)
    note("starting keystone and glance")
    if shutil.which("qemu-img") is None:
        note("qemu-img is not installed: only legacy import tasks need it (Debian: qemu-utils)")
    try:
        settings = _launch(state, settings)
        _wait(state, settings)
        config.write_clouds(state, settings)
    except BaseException:  # a signal as well: nothing half-started stays
        processes.stop(state)
        raise
    note(f"the sandbox is up after {time.monotonic() - began:.1f} s")
    return _status(state, settings, running=True)


def _launch(state: Path, settings: Settings) -> Settings:
    """Start both services at once; return the settings with the ports they got."""
    with contextlib.ExitStack() as stack:
        listeners = {
            service: stack.enter_context(processes.listen(settings.ports[service]))
            for service in SERVICES
        }
        ports = {service: listeners[service].getsockname()[1] for service in SERVICES}
        settings = dataclasses.replace(settings, ports=ports)
        own.save(state, settings)
        config.write_services(state, settings)
        for service in SERVICES:
            processes.start(state, service, listeners[service])
    return settings


def _wait(state: Path, settings: Settings) -> None:
    """Wait until both services answer.

    Raises UnavailableError when they will not, OSError when the disk is full.
    """
    begun = time.monotonic()
    while True:
        left = processes.START_TIMEOUT - (time.monotonic() - begun)
        trouble = processes.trouble(settings, PROBE, timeout=min(max(left, 1), REFUSALS_TIMEOUT))
        if trouble is None:
            return
        alive = processes.masters(state)
        for service in SERVICES:
            if service not in alive:
                raise _unavailable(state, service, f"{service} did not start")
        waited = time.monotonic() - begun
        if waited > REFUSALS_TIMEOUT and shutil.disk_usage(state).free == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # no log can tell of it
        if waited > processes.START_TIMEOUT or ("answers" in trouble and waited > REFUSALS_TIMEOUT):
            culprit = "glance" if trouble.startswith("glance") else "keystone"
            raise _unavailable(state, culprit, f"the sandbox does not work: {trouble}")
        time.sleep(0.1)


def _unavailable(state: Path, service: str, message: str) -> UnavailableError:
    log = state / "logs" / f"{service}.log"
    return UnavailableError(message, cause=processes.end_of(log), hint=f"see {log}")


def _is_healthy(state: Path, settings: Settings) -> bool:
    """Tell whether both services run and answer; a worker just being replaced is waited for."""
    deadline = time.monotonic() + 30
    while not _works(state, settings, timeout=10):
        if len(processes.masters(state)) < len(SERVICES) or time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _works(state: Path, settings: Settings, *, timeout: float) -> bool:
    """Tell whether both services run and answer now. ``timeout``: seconds for each request."""
    alive = processes.masters(state)
    return (
        len(alive) == len(SERVICES)
        and processes.trouble(settings, PROBE, timeout=timeout) is None
        # A worker answers for a second after its master was killed.
        and processes.masters(state) == alive
    )


def _status(state: Path, settings: Settings, *, running: bool) -> Status:
    return {
        "keystone": settings.auth_url,
        "glance": settings.url("glance"),
        "running": running,
        "clouds": list(CLOUDS),
        "stores": list(STORES),
        "state": str(state),
        "pids": processes.masters(state),
    }


def _require_extra() -> None:
    """Raise UsageError when the services are not installed, RefusedError where they cannot run."""
    if not processes.has_proc():
        raise RefusedError("the sandbox runs on Linux only: it finds its processes in /proc")
    missing = [n for n in (*SERVICES, "gunicorn") if importlib.util.find_spec(n) is None]
    if missing:
        raise UsageError(
            f"the sandbox needs {', '.join(missing)}", hint="pip install 'glancectl[sandbox]'"
        )
