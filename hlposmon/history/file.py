"""The history's file: opened, checked, brought up to date, moved aside when it is broken; and its keeper.

A file that is no history, or a broken one, is never deleted and never written to: it is renamed, with what
belongs to it, and a new one begun. One of a newer schema is left alone. The keeper is a thread with a
connection of its own that moves the write-ahead log into the file and begins the log anew: both wait for
the disk (sqlite.org/wal.html, "synchronous"), and so the writer need not.
"""

import contextlib
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hlposmon.history.schema import APPLICATION_ID, STEPS, VERSION
from hlposmon.system.threads import start_deaf

# Primary result codes (sqlite.org/rescode.html) that say: this file is not, or no longer, a sound history.
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# The magic at the head of a database, and the schema's version at byte 60.
_HEADER = struct.Struct(">16s44xI")
# How long another program's lock is waited for: where nobody waits for us, and in the tracker's loop.
PATIENCE_S = 1.0
BUSY_S = 0.05
# Never OFF: a power cut could then leave old frames of a log that was begun anew, and pages of them.
_SYNCHRONOUS = {"each": "FULL", "batch": "NORMAL", "off": "NORMAL"}
# At the start a check may take so long; what is left of it is the keeper's.
CHECK_S = 2.0
_STEPS_BETWEEN_BEATS = 20_000
_KEEP_S = 1.0
WAL_BYTES = 4 << 20


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


def connect(
    path: Path, fsync: str, beat: Callable[[], None], *, at_start: bool
) -> tuple[sqlite3.Connection, bool]:
    """A connection to a sound history of our version, made if there is none; whether it is wholly checked.

    Only at the start is there time for that, and for others' locks; `beat` is called again and again then.
    Raises Broken, TooNew or Unwritable.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _look(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        patience_s = PATIENCE_S if at_start else BUSY_S
        db = sqlite3.connect(path, timeout=patience_s, isolation_level=None, cached_statements=64)
    except (OSError, sqlite3.Error) as error:
        raise Unwritable(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        checked = _make_ready(db, fsync, beat, CHECK_S if at_start else 0.0)
    except sqlite3.Error as error:
        db.close()
        raise explain(path, error) from error
    except UnicodeDecodeError as error:
        db.close()
        raise Broken("a text in it is none") from error
    except (Broken, TooNew):
        db.close()
        raise
    return db, checked


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


def _make_ready(db: sqlite3.Connection, fsync: str, beat: Callable[[], None], check_s: float) -> bool:
    version, is_empty = _identify(db)
    _refuse_newer(version)
    until_s = time.monotonic() + check_s

    def has_time() -> bool:
        beat()
        return time.monotonic() < until_s

    checked = is_empty or (check_s > 0 and check(db, has_time))
    set_fsync(db, fsync)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    migrate(db, version)
    db.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")
    return checked


def set_fsync(db: sqlite3.Connection, fsync: str) -> None:
    """each, batch or off, as the audit's; the last two are the same here, and sync nothing in a commit."""
    db.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[fsync]}")


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


def set_aside(path: Path, now_ms: int) -> Path:
    """Rename a broken file, and its log with it; where it is now. OSError when it cannot be."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{moment}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{moment}-{number}")
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


class Keeper:
    """Moves the log into the file, and finishes a check that was too long for the start.

    Who writes has the `turn`; the writer never waits for it. `broken` says that the file is.
    """

    def __init__(self, path: Path, *, check_first: bool) -> None:
        self.broken: str | None = None
        self.turn = threading.Lock()
        self._path, self._check_first = path, check_first
        self._ended = threading.Event()
        self._tidies = False
        self._thread = start_deaf(self._run, name="history-keeper")

    def stop(self, *, within_s: float, tidy: bool = False) -> bool:
        """Whether it has ended: one that waits for a disk is left to it. `tidy`: with nothing in the log."""
        self._tidies = tidy
        self._ended.set()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while self.broken is None and not self._ended.is_set():
            try:
                self._keep()
            except (Broken, UnicodeDecodeError) as error:
                self.broken = str(error)
            except sqlite3.Error as error:
                found = explain(self._path, error)
                self.broken = str(found) if isinstance(found, Broken) else None
                self._ended.wait(_KEEP_S)

    def _keep(self) -> None:
        with contextlib.closing(self._connected()) as db:
            self._look(db)
            while not self._ended.wait(_KEEP_S):
                self._look(db)
            if self._tidies:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=PATIENCE_S, isolation_level=None)
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA journal_size_limit = 0")  # a log that begins anew is cut to what is in it
        return db

    def _look(self, db: sqlite3.Connection) -> None:
        """Check what is left to check, then move the log into the file if it is long."""
        if self._check_first:
            self._check_first = not check(db, lambda: not self._ended.is_set())
        log = self._path.with_name(self._path.name + "-wal")
        try:
            if log.exists() and log.stat().st_size > WAL_BYTES:
                with contextlib.closing(self._connected()) as reader:
                    # While somebody reads where the log ends now, the writer does not begin it anew.
                    reader.execute("BEGIN")
                    reader.execute("SELECT 1 FROM meta").fetchone()
                    _move(db)  # the most of it, while the writer goes on
                    self.turn.acquire()
                try:
                    if _move(db):
                        _begin_log_anew(db)
                finally:
                    self.turn.release()
        except (OSError, sqlite3.OperationalError) as error:
            # A disk without room: what is in the log is safe there, and it is tried again.
            if isinstance(error, sqlite3.Error) and isinstance(explain(self._path, error), Broken):
                raise


def _move(db: sqlite3.Connection) -> bool:
    """Move what is in the log into the file, as far as readers let it; whether all of it is there."""
    _, frames, moved = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(frames == moved)


def _begin_log_anew(db: sqlite3.Connection) -> None:
    """Who writes first behind a log that was wholly moved overwrites it from its head, and must see the new
    head on the disk before anything else. So that it is us who wait, a word is written that stood there."""
    db.execute(f"PRAGMA user_version = {VERSION}")
