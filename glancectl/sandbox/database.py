"""SQLite that many threads may write to at once; imported by the services before their own code.

SQLAlchemy's listeners are set on all engines, since the services make theirs by themselves.
"""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

BUSY_TIMEOUT = 60_000  # milliseconds that a writer waits for the writers before it


def survive_many_writers() -> None:
    """Set WAL, a busy timeout, and transactions that ask for the write lock when they begin.

    A transaction that begins as a reader and then writes is refused at once ("database is
    locked", a 500 from Glance) if another has written meanwhile; no timeout helps there.
    """
    event.listen(Engine, "connect", _configure)
    event.listen(Engine, "before_cursor_execute", _begin_immediate, retval=True)


def write_without_sync() -> None:
    """Do not wait for the disk: for a database that is thrown away when anything goes wrong."""
    event.listen(Engine, "connect", lambda connection, _: connection.execute(_NO_SYNC).close())


_NO_SYNC = "PRAGMA synchronous=OFF"


def _configure(connection: Any, _record: object) -> None:
    # The timeout first: changing the journal mode needs the lock as well.
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT}").close()
    connection.execute("PRAGMA journal_mode=WAL").close()
    connection.execute("PRAGMA synchronous=NORMAL").close()


def _begin_immediate(
    _connection: object,
    _cursor: object,
    statement: str,
    parameters: object,
    _context: object,
    _many: bool,
) -> tuple[str, object]:
    return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters
