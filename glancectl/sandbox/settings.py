"""What a sandbox is made of: its folder, ports, users and passwords; and files only we may read."""

import contextlib
import fcntl
import json
import os
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from glancectl.errors import RefusedError

REGION = "RegionOne"
STORES = ("fast", "slow")
SERVICES = ("keystone", "glance")
SERVICE_USER = "glance"


@dataclass(frozen=True)
class User:
    """A user of the sandbox with the one role it has in the one project it belongs to."""

    name: str
    project: str
    role: str


CLOUDS = {
    "sandbox": User("alice", "demo", "member"),
    "sandbox-admin": User("admin", "admin", "admin"),
    "sandbox-other": User("bob", "other", "member"),
}
USERS = (*CLOUDS.values(), User(SERVICE_USER, "service", "service"))


@dataclass(frozen=True)
class Settings:
    """What differs from one sandbox to the next. Ports are TCP ports on 127.0.0.1, 0 = not yet.

    temporary: started by ``run`` or ``demo``, so the last of them to end takes it down.
    """

    ports: dict[str, int]
    passwords: dict[str, str]
    temporary: bool = False

    def url(self, service: str) -> str:
        """Return the root URL of ``service``, without a slash at the end."""
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def auth_url(self) -> str:
        """The URL that clients log in at."""
        return self.url("keystone") + "/v3"


def folder() -> Path:
    """Return the folder that holds everything of the sandbox but the template."""
    from glancectl.clouds import sandbox_clouds

    return sandbox_clouds().parent.absolute()


def require_plain(path: Path, variable: str) -> None:
    """Raise RefusedError when ``path`` has a character that would not survive the services.

    They put it into URLs (SQLAlchemy, PasteDeploy) and interpolated files (oslo.config, Alembic)
    without quoting. variable: what the user can set instead.
    """
    bad = sorted({char for char in str(path) if char in "%#?$" or not char.isprintable()})
    if bad:
        raise RefusedError(
            f"the services cannot work in {str(path)!r}: it contains {' '.join(map(repr, bad))}",
            hint=f"set {variable} to another folder",
        )


def project_id(name: str) -> str:
    """Return the id of a project: the same in every sandbox.

    So images keep their owner when only Keystone's database had to be made anew.
    """
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.sandbox.glancectl").hex


def load(state: Path) -> Settings | None:
    """Return the settings kept in ``state``; None when there are none or they are damaged."""
    try:
        raw = json.loads((state / "settings.json").read_text())
        ports = {service: int(raw["ports"][service]) for service in SERVICES}
        passwords = {user.name: str(raw["passwords"][user.name]) for user in USERS}
        if not all(0 <= port < 65536 for port in ports.values()):
            return None
        return Settings(ports, passwords, bool(raw["temporary"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(state: Path, settings: Settings) -> None:
    """Keep ``settings`` in ``state``."""
    write_private(state / "settings.json", json.dumps(asdict(settings), indent=1))


def fresh() -> Settings:
    """Return settings with new passwords and no ports yet."""
    passwords = {user.name: secrets.token_urlsafe(32) for user in USERS}
    return Settings(dict.fromkeys(SERVICES, 0), passwords)


def make_private_folder(path: Path) -> None:
    """Make ``path`` a folder, with its parents, that only its owner may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)  # it may have been there with another mode


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, readable by the owner only, all of it or nothing.

    One process at a time; what a killed one left of it is replaced by the next.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


@contextlib.contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Turn a ``folder`` that cannot be written, or a full disk, into RefusedError."""
    try:
        yield
    except OSError as error:
        raise RefusedError(f"cannot keep the sandbox in {folder}", cause=str(error)) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` alone, after waiting for whoever has it.

    The file stays: removing it would let two processes hold two files of the same name.
    """
    make_private_folder(path.parent)
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock_path(state: Path) -> Path:
    """Return the lock of a sandbox: beside its folder, since ``down --purge`` removes that."""
    return state.with_name(state.name + ".lock")
