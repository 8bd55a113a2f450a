"""The migrated, empty databases of both services, made once for each pair of their versions.

The migrations take most of a first ``up``; every later sandbox starts from a copy.
"""

import contextlib
import importlib.metadata
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from glancectl.errors import RefusedError, UnavailableError
from glancectl.sandbox import processes
from glancectl.sandbox.settings import (
    SERVICES,
    locked,
    make_private_folder,
    on_disk,
    require_plain,
    write_private,
)

LAYOUT = 1  # to be raised when the way the template is made changes


def cache() -> Path:
    """Return the folder that templates are kept in."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = root.absolute() / "glancectl" / "sandbox"
    require_plain(folder, "XDG_CACHE_HOME")
    return folder


def ensure_databases(state: Path, note: Callable[[str], None]) -> None:
    """Give ``state`` each service's database that it lacks; a damaged one is set aside.

    Those made by other versions of the services are upgraded. Raises UnavailableError when a
    migration fails.
    """
    made_for = state / "versions"
    for service in SERVICES:
        path = state / f"{service}.db"
        if path.exists() and not _is_sound(path):
            note(f"the database of {service} is damaged; kept as {path.name}.damaged, made anew")
            _set_aside(path)
        if not path.exists():
            _copy(_ensure(note) / path.name, path)
            continue
        if not made_for.exists() or made_for.read_text() != _versions():
            note(f"upgrading the database of {service}")
            _migrate(state, [service])
    write_private(made_for, _versions())


def _versions() -> str:
    """Return a name for the installed versions of the services and our way to use them."""
    versions = [f"{name}-{importlib.metadata.version(name)}" for name in SERVICES]
    return "_".join([*versions, f"v{LAYOUT}"])


def _ensure(note: Callable[[str], None]) -> Path:
    """Return the folder of the template for the installed versions, made now if need be."""
    final = cache() / _versions()
    paths = [final / f"{service}.db" for service in SERVICES]
    # Two first ups at once: one makes it, the other waits.
    with on_disk(cache()), locked(cache() / "lock"):
        _remove_parts()
        if all(path.exists() and _is_sound(path) for path in paths):
            return final
        note("making the databases; only the first start takes this long")
        part = Path(tempfile.mkdtemp(prefix="part-", dir=cache()))
        try:
            _migrate(part, SERVICES)
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return final


def _remove_parts() -> None:
    """Remove the half-made templates of an up that was killed; what makes them may still run."""
    for part in cache().glob("part-*"):
        processes.stop(part)
        shutil.rmtree(part, ignore_errors=True)


def _migrate(folder: Path, services: Sequence[str]) -> None:
    """Bring the databases of ``services`` in ``folder`` up to date, at the same time."""
    with contextlib.ExitStack() as stack:
        running = {}
        for service in services:
            running[service] = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "glancectl.sandbox.migrate", service, str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,  # not a file: it shall tell of a full disk as well
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    env=processes.marked_environment(folder, service),
                )
            )
            stack.callback(running[service].kill)  # when a signal ends the wait for the others
        said = {service: process.communicate()[0] for service, process in running.items()}
    for service, process in running.items():
        if process.returncode != 0:
            raise UnavailableError(
                f"cannot make the database of {service}",
                cause=processes.last_lines(said[service]),
            )


def _copy(template: Path, path: Path) -> None:
    """Copy ``template`` to ``path``, all of it or nothing."""
    make_private_folder(path.parent)
    _companions(path, "unlink")
    part = path.with_name(f".{path.name}.part")
    try:
        shutil.copyfile(template, part)
        part.chmod(0o600)
        part.rename(path)
    finally:  # a full disk needs the room
        part.unlink(missing_ok=True)


def _is_sound(path: Path) -> bool:
    """Tell whether ``path`` is an undamaged database with something in it.

    Raises RefusedError when that cannot be known: somebody locks it, or the disk fails.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                return False
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return False
        raise RefusedError(f"cannot read the database {path}", cause=str(error)) from error


def _set_aside(path: Path) -> None:
    path.replace(path.with_name(path.name + ".damaged"))
    _companions(path, "set aside")


def _companions(path: Path, fate: str) -> None:
    """Remove, or set aside, the write-ahead log and index that belong to ``path``."""
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if fate == "unlink":
            companion.unlink(missing_ok=True)
        elif companion.exists():
            companion.replace(path.with_name(f"{path.name}.damaged{suffix}"))
