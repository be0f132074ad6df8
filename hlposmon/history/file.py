"""The history's file: opened, checked, brought up to date, moved aside when it is broken.

A file that is no history, or a broken one, is never deleted and never written to: it is renamed, with what
belongs to it, and a new one begun. One of a newer schema is left alone. Nobody waits for the process that
this runs in, so SQLite moves its write-ahead log into the file where it commits.
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

# Primary result codes (sqlite.org/rescode.html) that say: this file is not, or no longer, a sound history.
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# The magic at the head of a database, and the schema's version at byte 60.
_HEADER = struct.Struct(">16s44xI")
# How long another program's lock is waited for.
PATIENCE_S = 1.0
# Never OFF: a power cut could then leave old frames of a log that was begun anew, and pages of them.
_SYNCHRONOUS = {"each": "FULL", "batch": "NORMAL", "off": "NORMAL"}
# A whole check may take so long: at 100 MB/s, 6 GB. What is left of it is found when it is read.
CHECK_S = 60.0
_STEPS_BETWEEN_BEATS = 20_000
# The log is moved into the file when it is so long; then it begins anew, and keeps its length on the disk.
WAL_BYTES = 4 << 20
_PAGE_BYTES = 4096


class Broken(Exception):
    """The file is not a sound history: set it aside."""


class TooNew(Exception):
    """The file was written by a later version: leave it alone."""


class Unwritable(Exception):
    """The file cannot be read or written now; the message names it."""


class Held(Unwritable):
    """Another program holds the file locked: that passes."""


def explain(path: Path, error: sqlite3.Error) -> Broken | Unwritable:
    """What an error of SQLite means for the file."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    missing = code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column"))
    if code in _BROKEN or missing:
        return Broken(str(error))
    if code in _HELD:
        return Held(f"{path}: another program holds it: {error}")
    return Unwritable(f"{path}: {error}")


def connect(path: Path, fsync: str, go_on: Callable[[], bool]) -> sqlite3.Connection:
    """A connection to a sound history of our version, made if there is none.

    The whole file is checked, as long as `go_on`, which is called again and again, says so.
    Raises Broken, TooNew or Unwritable.
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
    """What the first bytes say (sqlite.org/fileformat.html), before SQLite may write a single one."""
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
    # each, batch or off, as the audit's; the last two are the same here, and sync nothing in a commit.
    db.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[fsync]}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // _PAGE_BYTES}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    migrate(db, version)


def _identify(db: sqlite3.Connection) -> tuple[int, bool]:
    """The schema's version, and whether the file is empty; Broken for a file that is not ours."""
    [application_id] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    [tables] = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables and not version:
        return 0, True
    if application_id != APPLICATION_ID:
        raise Broken("it is not a history")
    return version, False


def check(db: sqlite3.Connection, go_on: Callable[[], bool]) -> bool:
    """Look the whole file through; False when `go_on` ended that. Broken says what is wrong in it."""
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
    """Take the steps behind `version`, all or none."""
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
    """Rename a file, and its log with it; where it is now. `label` says why. OSError when it cannot be."""
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
    """Whether the file of that name is no longer the one that was opened: rows would go to nobody."""
    try:
        return file_identity(path) != identity
    except OSError:
        return True


def file_identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
