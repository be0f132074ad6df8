"""The history's file: opens, checks and migrates it, and sets a broken one aside.

A file that is not a history, or is broken, is never deleted or written to: it is renamed, together with its
write-ahead log, and a new one is created. A file of a newer schema is left alone. Nothing waits for the
process that this runs in, so checkpoints of the write-ahead log simply run inside a commit.
"""

import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hlposmon.history.schema import APPLICATION_ID, STEPS, VERSION

# Primary result codes (sqlite.org/rescode.html) of a file that is not, or no longer, a sound history.
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# The magic string of a database, and the user version at byte 60 (sqlite.org/fileformat.html, 1.3).
_HEADER = struct.Struct(">16s44xI")
# Seconds to wait for another program's lock.
PATIENCE_S = 1.0
# Never OFF: after a power cut, a restarted log could then still hold frames of the old one, and the file
# pages of them.
_SYNCHRONOUS = {"each": "FULL", "batch": "NORMAL", "off": "NORMAL"}
# Time limit of a whole check: 6 GB at 100 MB/s. Damage beyond it is found when the pages are read.
CHECK_S = 60.0
_STEPS_BETWEEN_BEATS = 20_000
# The write-ahead log is checkpointed at this size and then overwritten from its beginning; the log's file
# keeps its length.
WAL_BYTES = 4 << 20
_PAGE_BYTES = 4096


class Broken(Exception):
    """The file is not a sound history: set it aside."""


class TooNew(Exception):
    """The file was written by a later version: leave it alone."""


class Unwritable(Exception):
    """The file cannot be read or written now; the message names it."""


class Held(Unwritable):
    """Another program holds a lock on the file; this is temporary."""


def explain(path: Path, error: sqlite3.Error) -> Broken | Unwritable:
    """Return the exception that says what an SQLite error means for the file: Broken, Held or Unwritable."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    missing = code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column"))
    if code in _BROKEN or missing:
        return Broken(str(error))
    if code in _HELD:
        return Held(f"{path}: another program holds it: {error}")
    return Unwritable(f"{path}: {error}")


def connect(path: Path, fsync: str, go_on: Callable[[], bool]) -> sqlite3.Connection:
    """Return a connection to a sound history of our version; create the file if there is none.

    `fsync` is each, batch or off. The whole file is checked, for at most CHECK_S; `go_on` is called
    repeatedly meanwhile, and ends the check by returning False. Raises Broken, TooNew or Unwritable.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _look(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, cached_statements=64)
    except (OSError, sqlite3.Error) as error:
        raise Unwritable(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        _make_ready(db, fsync, go_on)
    except sqlite3.Error as error:
        db.close()
        raise explain(path, error) from error
    except UnicodeDecodeError as error:
        db.close()
        raise Broken("a text in it is none") from error
    except (Broken, TooNew):
        db.close()
        raise
    return db


def _look(path: Path) -> None:
    """Check the file's header (sqlite.org/fileformat.html) before SQLite may write to it.

    Raises Broken or TooNew.
    """
    if path.exists() and not path.is_file():
        raise Broken("it is not a file")
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise Broken("it is cut short")
    magic, version = _HEADER.unpack(head)
    if magic != b"SQLite format 3\0":
        raise Broken("it is not a database")
    _refuse_newer(version)


def _refuse_newer(version: int) -> None:
    if version > VERSION:
        raise TooNew(f"its schema is version {version}, this hlposmon knows {VERSION}: start the newer one")


def _make_ready(db: sqlite3.Connection, fsync: str, go_on: Callable[[], bool]) -> None:
    version, is_empty = _identify(db)
    _refuse_newer(version)
    until_s = time.monotonic() + CHECK_S
    if not is_empty:
        check(db, lambda: go_on() and time.monotonic() < until_s)
    # The policies are the audit's; batch and off are the same here: a commit syncs nothing.
    db.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[fsync]}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // _PAGE_BYTES}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    migrate(db, version)


def _identify(db: sqlite3.Connection) -> tuple[int, bool]:
    """Return the schema's version, and whether the file is empty. Raises Broken if it is not ours."""
    [application_id] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    [tables] = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables and not version:
        return 0, True
    if application_id != APPLICATION_ID:
        raise Broken("it is not a history")
    return version, False


def check(db: sqlite3.Connection, go_on: Callable[[], bool]) -> bool:
    """Run SQLite's quick_check on the whole file; return False if `go_on` ended it early.

    Raises Broken with the first problem found, or sqlite3.Error.
    """
    db.set_progress_handler(lambda: int(not go_on()), _STEPS_BETWEEN_BEATS)
    try:
        [found] = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return False
        raise
    finally:
        db.set_progress_handler(None, 0)
    if found != "ok":
        raise Broken(str(found).splitlines()[-1])
    return True


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Apply the schema steps after `version`, all or none. Raises sqlite3.Error."""
    if version == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version + 1, VERSION + 1):
            for statement in STEPS[step]:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def set_aside(path: Path, now_ms: int, label: str = "corrupt") -> Path:
    """Rename a file and its write-ahead log, and return the new path. Raises OSError.

    The name becomes `<name>.<label>-<UTC time>`; `label` gives the reason, `now_ms` is Unix milliseconds.
    """
    moment = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.{label}-{moment}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{label}-{moment}-{number}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def is_taken_away(path: Path, identity: tuple[int, int]) -> bool:
    """Return whether `path` no longer leads to the opened file, so that rows would go to a deleted one."""
    try:
        return file_identity(path) != identity
    except OSError:
        return True


def file_identity(path: Path) -> tuple[int, int]:
    """Return device and inode of a file. Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino
