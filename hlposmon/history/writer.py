"""Writes the history's file, whatever happens to the file: each line goes in once or is requested again.

Lines that cannot be written are not kept: the history stays behind (`seq`), and the caller reads them from
the journal again. A broken file is set aside and a new one created. A full disk, another program's lock or a
folder without write permission is reported in `failure`, and writing is tried again.
"""

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hlposmon.errors import WireError
from hlposmon.history.file import (
    Broken,
    Held,
    TooNew,
    Unwritable,
    connect,
    explain,
    file_identity,
    is_taken_away,
    set_aside,
)
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.history.transaction import Mark, Rows
from hlposmon.journal.follower import Line

_RETRY_S = 1.0
# A lock of another program is reported only after this long: its transactions are usually short.
HELD_S = 5.0
# A file of a later version is looked at rarely: it will not change while we run.
_TOO_NEW_S = 60.0
# Minimum time between two files set aside, for a disk that breaks every new file at once.
_ASIDE_S = 600.0


@dataclass(frozen=True, slots=True)
class Begun:
    """The file was begun again: the reason, and where the old one is (None: somebody else removed it)."""

    reason: str
    aside: Path | None


class History:
    """The file `<state_dir>/history.sqlite3`.

    `fsync` is each, batch or off. `go_on` is called repeatedly while the whole file is checked, and ends the
    check by returning False. `begun` collects what was begun again until the caller takes it. Methods take
    the monotonic clock in seconds and the wall clock in Unix milliseconds; they raise nothing for the file's
    state but return False or None, and `failure` says why.
    """

    def __init__(self, state_dir: Path, *, fsync: str, go_on: Callable[[], bool] = lambda: True) -> None:
        # Resolve links, because SQLite keeps its log beside the file that a link leads to.
        self.path = Path(os.path.realpath(state_dir / HISTORY_FILE))
        self.begun: deque[Begun] = deque()
        self._rows = Rows()
        self._fsync, self._go_on = fsync, go_on
        self._db: sqlite3.Connection | None = None
        self._identity = (0, 0)
        # Why the last attempt failed, since when another program holds a lock, and the time of the last try.
        self._refusal: str | None = None
        self._held_since_s: float | None = None
        self._tried_s = 0.0
        self._retry_at_s = 0.0
        self._aside_at_s: float | None = None

    @property
    def seq(self) -> int:
        """The number of the last line that the file holds."""
        return self._rows.seq

    @property
    def hash(self) -> str:
        """The hash of that line."""
        return self._rows.hash

    @property
    def repeated(self) -> int:
        """How many fills were in the file already when their line was written."""
        return self._rows.repeated

    @property
    def skipped(self) -> int:
        """How many lines were not understood and gave no row."""
        return self._rows.skipped

    @property
    def failure(self) -> str | None:
        """Why the file cannot be written; None if it can. Another program's lock counts only after HELD_S."""
        passes = self._held_since_s is not None and self._tried_s < self._held_since_s + HELD_S
        return None if passes else self._refusal

    def open(self, now_s: float, now_ms: int) -> bool:
        """Open or create the file and read how far it has come; return whether lines can be written now."""
        return self._try(lambda _: None, now_s, now_ms)

    def write(self, lines: Sequence[Line], now_s: float, now_ms: int) -> bool:
        """Write the lines that follow `seq`. False means that nothing was written: start again after `seq`.

        Without lines, test whether a failure persists; if there is none, do nothing.
        """
        if not lines and self._refusal is None:
            return True

        def work(db: sqlite3.Connection) -> None:
            self._rows.transact(db, lines, now_ms)
            self._refusal = self._held_since_s = None

        return self._try(work, now_s, now_ms)

    def marks(self, now_s: float, now_ms: int) -> list[Mark] | None:
        """Return the marks that it can be rolled back to, oldest first; None if it cannot be read now."""
        found: list[Mark] = []
        return found if self._try(lambda db: found.extend(self._rows.marks(db)), now_s, now_ms) else None

    def go_back(self, mark: Mark, checkpoint: dict[str, Any] | None, now_s: float, now_ms: int) -> bool:
        """Roll back to `mark`; `checkpoint` is the last one up to it, if known. False: not possible now."""
        return self._try(lambda db: self._rows.go_back(db, mark, checkpoint), now_s, now_ms)

    def leave(self, label: str, now_s: float, now_ms: int) -> Path | None:
        """Set the file aside under a name with `label`, and begin a new one at the next call.

        Returns the new path, or None if the file cannot be set aside now.
        """
        self._shut()
        aside = self._move_aside(label, label, now_s, now_ms)
        if aside is not None:
            self._rows.begin_anew()
        return aside

    def close(self) -> None:
        """Checkpoint the write-ahead log into the file, if that is possible at once, and close the file."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA busy_timeout = 100")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._shut()

    # ------------------------------------------------------------------ within

    def _try(self, work: Callable[[sqlite3.Connection], None], now_s: float, now_ms: int) -> bool:
        """Open the file if needed and run `work` on it; False if that failed, or a retry is not due yet."""
        if self._refusal is not None and now_s < self._retry_at_s:
            return False
        self._tried_s = now_s
        try:
            work(self._opened())
        except (Broken, UnicodeDecodeError) as error:  # SQLite's message or a text may be undecodable
            self._is_broken(str(error), now_s, now_ms)
        except TooNew as error:
            self._fail(f"{self.path}: {error}", now_s + _TOO_NEW_S)
            self._shut()
        except Held as error:
            self._is_held(error, now_s)
        except (Unwritable, OSError) as error:
            self._fail(str(error), now_s + _RETRY_S)
        except sqlite3.Error as error:
            found = explain(self.path, error)
            if isinstance(found, Broken):
                self._is_broken(str(found), now_s, now_ms)
            elif isinstance(found, Held):
                self._is_held(found, now_s)
            else:
                self._fail(str(found), now_s + _RETRY_S)
        else:
            return True
        return False

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None and is_taken_away(self.path, self._identity):
            self._shut()
            self.begun.append(Begun("it was taken away", None))
        if self._db is None:
            self._db = connect(self.path, self._fsync, self._go_on)
            self._identity = file_identity(self.path)
            try:
                self._rows.load(self._db)
            except (ValueError, LookupError, TypeError, ArithmeticError, AssertionError, WireError) as error:
                raise Broken(f"it holds what no history does: {error}") from error
        return self._db

    def _is_held(self, why: Held, now_s: float) -> None:
        since_s = now_s if self._held_since_s is None else self._held_since_s
        self._fail(str(why), now_s + _RETRY_S)
        self._held_since_s = since_s

    def _fail(self, why: str, retry_at_s: float) -> None:
        """Note the failure, roll back, and read again how far the file has come."""
        self._refusal, self._retry_at_s, self._held_since_s = why, retry_at_s, None
        if self._db is None:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._rows.load(self._db)
        except (sqlite3.Error, Broken, UnicodeDecodeError):
            self._shut()  # read again when it is opened again

    def _is_broken(self, reason: str, now_s: float, now_ms: int) -> None:
        self._shut()
        aside = self._move_aside(reason, "corrupt", now_s, now_ms)
        if aside is not None:
            self.begun.append(Begun(reason, aside))
            self._rows.begin_anew()

    def _move_aside(self, reason: str, label: str, now_s: float, now_ms: int) -> Path | None:
        if self._aside_at_s is not None and now_s < self._aside_at_s + _ASIDE_S:
            self._fail(f"{self.path}: to be set aside again, so soon: {reason}", now_s + _RETRY_S)
            return None
        try:
            aside = set_aside(self.path, now_ms, label)
        except OSError as error:
            why = f"{self.path}: not to be set aside ({reason}): {error.strerror}"
            self._fail(why, now_s + _RETRY_S)
            return None
        self._aside_at_s = now_s
        return aside

    def _shut(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
