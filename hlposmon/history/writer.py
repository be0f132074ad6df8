"""The history's file as the one who writes it sees it: whatever becomes of it, lines go in once or are
asked for again.

What cannot be written is not kept: the history is behind then (`seq`), and the lines are brought again out
of the journal. A broken file is set aside and a new one begun; a full disk, another program's lock, a
folder that may not be written are said (`failure`) and tried again.
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
# Another program's transaction is over in a moment, or it is worth a word.
HELD_S = 5.0
# A file that a later version wrote does not change while we run.
_TOO_NEW_S = 60.0
# A disk that breaks every new file at once is not given one after the other.
_ASIDE_S = 600.0


@dataclass(frozen=True, slots=True)
class Begun:
    """The file was begun anew: why, and where the old one is now (None: nobody knows)."""

    reason: str
    aside: Path | None


class History:
    """`<state_dir>/history.sqlite3`. `fsync` is each, batch or off; `go_on` is called while work is long, and
    ends a check of the whole file when it says so."""

    def __init__(self, state_dir: Path, *, fsync: str, go_on: Callable[[], bool] = lambda: True) -> None:
        # Where a link leads is where SQLite keeps its log.
        self.path = Path(os.path.realpath(state_dir / HISTORY_FILE))
        self.begun: deque[Begun] = deque()
        self._rows = Rows()
        self._fsync, self._go_on = fsync, go_on
        self._db: sqlite3.Connection | None = None
        self._identity = (0, 0)
        # Why the last attempt failed, since when another program holds the file, and when it was tried last.
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
        """Fills that came a second time."""
        return self._rows.repeated

    @property
    def skipped(self) -> int:
        """Lines that were not understood."""
        return self._rows.skipped

    @property
    def failure(self) -> str | None:
        """Why it cannot be written. That another program holds it counts once it has for some seconds."""
        passes = self._held_since_s is not None and self._tried_s < self._held_since_s + HELD_S
        return None if passes else self._refusal

    def open(self, now_s: float, now_ms: int) -> bool:
        """Open the file, or begin one, and read where it stands; whether lines may be brought now."""
        return self._try(lambda _: None, now_s, now_ms)

    def write(self, lines: Sequence[Line], now_s: float, now_ms: int) -> bool:
        """Write lines that follow on what is there; False when nothing was written: then begin again behind
        `seq`. Without lines it is tried whether there is still a failure, and nothing is done when there is
        none."""
        if not lines and self._refusal is None:
            return True

        def work(db: sqlite3.Connection) -> None:
            self._rows.transact(db, lines, now_ms)
            self._refusal = self._held_since_s = None

        return self._try(work, now_s, now_ms)

    def marks(self, now_s: float, now_ms: int) -> list[Mark] | None:
        """Where it may go back to, the oldest first; None when that cannot be read now."""
        found: list[Mark] = []
        return found if self._try(lambda db: found.extend(self._rows.marks(db)), now_s, now_ms) else None

    def go_back(self, mark: Mark, checkpoint: dict[str, Any] | None, now_s: float, now_ms: int) -> bool:
        """Forget the lines behind a mark; False when that cannot be written."""
        return self._try(lambda db: self._rows.go_back(db, mark, checkpoint), now_s, now_ms)

    def leave(self, label: str, now_s: float, now_ms: int) -> Path | None:
        """Set the file aside under a name that says why, and begin anew; where it is now."""
        self._shut()
        aside = self._move_aside(label, label, now_s, now_ms)
        if aside is not None:
            self._rows.begin_anew()
        return aside

    def close(self) -> None:
        """Move the log into the file, and let go of it."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA busy_timeout = 100")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._shut()

    # ------------------------------------------------------------------ within

    def _try(self, work: Callable[[sqlite3.Connection], None], now_s: float, now_ms: int) -> bool:
        """Open the file if need be and do something with it; False when that failed, or is not due again."""
        if self._refusal is not None and now_s < self._retry_at_s:
            return False
        self._tried_s = now_s
        try:
            work(self._opened())
        except (Broken, UnicodeDecodeError) as error:  # a message or a text may be broken too
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
        """Stand where the file stands."""
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
