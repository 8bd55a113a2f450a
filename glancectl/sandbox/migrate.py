"""Bring a database up to date: ``python -m glancectl.sandbox.migrate SERVICE FOLDER``.

A program of its own, since a process can hold the configuration of one service only.
"""

import configparser
import os
import sqlite3
import sys
from pathlib import Path

from glancectl.sandbox.config import database
from glancectl.sandbox.database import write_without_sync


def main(service: str, folder: Path) -> None:
    """Run the service's own migrations on ``folder``/``service``.db."""
    config = folder / f"{service}.conf"
    parser = configparser.RawConfigParser()
    parser.read_dict({"database": database(folder, service), "DEFAULT": {"use_stderr": True}})
    with config.open("w") as file:
        parser.write(file)
    write_without_sync()
    migrate = {"keystone": _keystone, "glance": _glance}[service]
    sys.stdout = sys.stderr  # what the services print is for the log
    try:
        migrate(config)
    except SystemExit as end:  # how Glance says that there is nothing to do
        if end.code:
            raise
    _close(folder / f"{service}.db")
    config.unlink()


def _keystone(config: Path) -> None:
    from keystone.cmd import cli  # type: ignore[import-untyped]

    cli.main(argv=["keystone-manage", "--config-file", str(config), "db_sync"])


def _glance(config: Path) -> None:
    sys.argv = ["glance-manage", "--config-file", str(config), "db", "sync"]
    from glance.cmd import manage  # type: ignore[import-untyped]

    manage.main()


def _close(path: Path) -> None:
    """Bring the database into one file, so that it can be copied."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            raise SystemExit(f"{path} is still empty")
    finally:
        connection.close()


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1], Path(sys.argv[2]))
