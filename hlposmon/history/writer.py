"""The history: the audit journal's lines as rows of one SQLite file, which others may read meanwhile.

It takes the lines in their order, each once, whether they come live or out of the journal's files, and
writes them together with how far it has come and what a restart needs. What it cannot write it does
not keep: it is behind then (`seq`), and is brought the lines again by whoever holds the journal.
"""

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from hlposmon.domain.reports import Statement
from hlposmon.errors import WireError
from hlposmon.history.file import (
    PATIENCE_S,
    Broken,
    Held,
    Keeper,
    TooNew,
    Unwritable,
    connect,
    explain,
    file_identity,
    is_taken_away,
    set_aside,
    set_fsync,
)
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.history.transaction import Rows, Taken, Unwritten, newest_fill_ms, unwritten_in
from hlposmon.journal.lines import Recovered

# Lines that wait for the next commit; what is beyond is brought again from the journal.
BUFFER_LINES = 10_000
PIECE_LINES = 1_000
# So many lines may be forgotten where the journal went on without them.
FORGET_LINES = 5_000
# How long the end waits for the disk.
CLOSE_S = 1.0
_RETRY_S = 1.0
# Another program's transaction is over in a moment, or it is worth a word.
HELD_S = 5.0
# A file that a later version wrote does not change while we run.
_TOO_NEW_S = 60.0
# A disk that breaks every new file at once is not given one after the other.
_ASIDE_S = 600.0


@dataclass(frozen=True, slots=True)
class Begun:
    """The file was begun anew, or went back: why, and where the old one is now (None: nobody knows)."""

    reason: str
    aside: Path | None
    said: str = "the history is begun anew"


class History:
    """`<state_dir>/history.sqlite3`. `fsync` is each, batch or off; `beat` is called while work is long."""

    def __init__(self, state_dir: Path, *, fsync: str, beat: Callable[[], None] = lambda: None) -> None:
        # Where a link leads is where SQLite keeps its log.
        self.path = Path(os.path.realpath(state_dir / HISTORY_FILE))
        # Why the last attempt failed, since when another program holds the file, and when it was tried last.
        self._refusal: str | None = None
        self._held_since_s: float | None = None
        self._tried_s = 0.0
        self._rows = Rows()
        self.begun: deque[Begun] = deque()
        self._fsync, self._beat = fsync, beat
        self._db: sqlite3.Connection | None = None
        self._keeper: Keeper | None = None
        self._identity = (0, 0)
        self._at_start = False
        # Not to be opened at the start; and the first line that was sealed since: number, and hash before it.
        self._is_late = False
        self._first: tuple[int, str] | None = None
        self._lines: deque[Taken] = deque()
        self._taken = 0
        self._retry_at_s = 0.0
        self._owes = False
        self._aside_at_s: float | None = None

    # ------------------------------------------------------------------ told

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
    def taken(self) -> int:
        """The number of the last line taken: written, or waiting for the next commit."""
        return self._taken

    @property
    def failure(self) -> str | None:
        """Why it cannot be written. That another program holds it counts once it has for some seconds."""
        passes = self._held_since_s is not None and self._tried_s < self._held_since_s + HELD_S
        return None if passes else self._refusal

    def is_ready(self, now_s: float) -> bool:
        """Whether lines may be brought: not right after a failure."""
        return self._db is not None and (self._refusal is None or now_s >= self._retry_at_s)

    @property
    def waits(self) -> bool:
        """Whether lines were taken that are not written, since the keeper has the turn."""
        return bool(self._lines)

    def await_turn(self, within_s: float) -> None:
        """Wait until the keeper lets us write, for so long."""
        with self._turn(within_s=within_s):
            pass

    def take(self, line: dict[str, Any], day: str, raw: bytes, *, jump: bool = False) -> bool:
        """Take a sealed line, `raw` being its bytes; False when it does not follow on what was taken,
        or there is no room. With `jump` it follows on whatever came before: there is nothing between."""
        seq = line["seq"]
        if self._first is None and not jump:
            self._first = seq, line["prev"]
        if seq <= self._taken:
            return True
        if self._db is None or len(self._lines) >= BUFFER_LINES or not (jump or seq == self._taken + 1):
            return False
        self._lines.append((line, day, raw))
        self._taken = seq
        return True

    def statement(self, statement: Statement, *, source: str, differing: list[str], heard_ms: int) -> None:
        """Note what a statement said: each that was asked for (`rest`), of pushed ones those that agree
        where the one before did not, or differ where it did not. At 200 fills a second each is another."""
        self._rows.note(statement, source=source, differing=differing, heard_ms=heard_ms)

    def set_fsync(self, fsync: str) -> None:
        self._fsync = fsync
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):  # a broken file is found out by the next commit
                set_fsync(self._db, fsync)

    # ------------------------------------------------------------------ written

    def commit(self, now_s: float, now_ms: int, *, written_seq: int) -> bool:
        """Write all that was taken; whether nothing is left over. `written_seq` is the last line that
        the journal's files hold: those behind it are kept here whole as well.

        After a failure it is tried again once a second; then all that was taken is to be brought anew.
        """
        if self._refusal is not None and now_s < self._retry_at_s:
            return False
        self._tried_s = now_s
        try:
            self._open()
            with self._turn() as is_ours:
                if not is_ours:
                    return not self._lines
                self._write(now_ms, written_seq)
        except (Broken, UnicodeDecodeError) as error:  # a message or a text may be broken too
            self._set_aside(str(error), now_s, now_ms)
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
                self._set_aside(str(found), now_s, now_ms)
            elif isinstance(found, Held):
                self._is_held(found, now_s)
            else:
                self._fail(str(found), now_s + _RETRY_S)
        return self._refusal is None and not self._lines

    def open(self, now_s: float, now_ms: int) -> bool:
        """Open the file, or begin one, at the start: then there is time to check it. False when that cannot
        be, and `failure` says why."""
        self._at_start = True
        self.commit(now_s, now_ms, written_seq=0)
        if self.begun:  # a broken one is out of the way now
            self.commit(now_s, now_ms, written_seq=0)
        self._at_start = False
        self._is_late = self._db is None
        return self._db is not None

    def newest_fill_ms(self, behind_seq: int) -> int | None:
        """When the last fill was heard of that a line behind this number told; None when there is none."""
        try:
            return newest_fill_ms(self._db, behind_seq) if self._db else None
        except sqlite3.Error:
            return None  # the next commit finds the same, and says it

    def go_back(self, found: Recovered) -> bool:
        """Forget the lines behind number `found.seq`, where the journal lost its end: what was in them is
        brought again. False when that cannot be written."""
        assert found.seq < self.seq, "there is something to forget"
        if self._db is None or self._refusal is not None:
            return False
        with self._turn(within_s=PATIENCE_S) as is_ours:
            if not is_ours:
                return False
            self._lines.clear()
            try:
                self._rows.go_back(self._db, found)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                self._fail(f"{self.path}: {error}", 0.0)
                return False
        self._taken = found.seq
        return True

    def close(self, *, within_s: float = CLOSE_S) -> None:
        """Move the log into the file, and let go of it. A disk that takes longer is left to the keeper:
        what is in the log is safe there."""
        if self._keeper is not None:
            self._keeper.stop(within_s=within_s, tidy=True)
            self._keeper = None
        self._shut()

    # ------------------------------------------------------------------ asked

    def recovered(self) -> Recovered:
        """What the journal's lines up to `seq` say: the same as the journal itself would."""
        return self._rows.recovered()

    def unwritten(self) -> list[Unwritten]:
        """The lines that the journal had not written, in order."""
        if self._db is None:
            return []
        try:
            return unwritten_in(self._db)
        except (sqlite3.Error, UnicodeDecodeError):
            return []  # the next commit finds the same, and says it

    # ------------------------------------------------------------------ within

    @contextlib.contextmanager
    def _turn(self, *, within_s: float = 0.0) -> Iterator[bool]:
        """Whether it is ours to write, and not the keeper's, which then waits for the disk."""
        keeper = self._keeper
        is_ours = keeper is None or keeper.turn.acquire(timeout=within_s)
        try:
            yield is_ours
        finally:
            if keeper is not None and is_ours:
                keeper.turn.release()

    def _write(self, now_ms: int, written_seq: int) -> None:
        """Everything that waits. A failure is over when what it held up is written."""
        while self._lines:
            self._beat()
            piece = list(islice(self._lines, PIECE_LINES))
            self._transact(piece, now_ms, written_seq)
            for _ in piece:
                self._lines.popleft()
            self._owes = False
            self._is_written()
        if (
            self._rows.owes_statements
            or self._rows.has_unwritten
            or (self._refusal is not None and not self._owes)
        ):
            self._transact([], now_ms, written_seq)
            if not self._owes:
                self._is_written()

    def _is_written(self) -> None:
        self._refusal = self._held_since_s = None

    def _open(self) -> None:
        if self._keeper is not None and self._keeper.broken is not None:
            raise Broken(self._keeper.broken)
        if self._db is not None and is_taken_away(self.path, self._identity):
            self._shut()
            self.begun.append(Begun("it was taken away", None))
        if self._db is None:
            self._db, checked = connect(self.path, self._fsync, self._beat, at_start=self._at_start)
            self._identity = file_identity(self.path)
            try:
                self._load()
            except (ValueError, LookupError, TypeError, ArithmeticError, AssertionError, WireError) as error:
                raise Broken(f"it holds what no history does: {error}") from error
            if self._is_late and self._first is not None and self.seq >= self._first[0]:
                self._rejoin(*self._first)
            self._is_late = False
            self._keeper = Keeper(self.path, check_first=not checked)

    def _load(self) -> None:
        """Read where the file stands; what was taken and not written is to be brought again."""
        assert self._db is not None, "the file is open"
        self._rows.load(self._db)
        self._lines.clear()
        self._taken = self.seq

    def _rejoin(self, first: int, prev: str) -> None:
        """It knows lines that the journal's files did not have, when the journal went on without it: others
        have their numbers now. It goes back behind the last that both know, and is brought those; the
        exchange was asked again for what the others told. Where they are many it is set aside whole."""
        assert self._db is not None, "the file is open"
        last = self.seq
        reason = (
            f"it could not be opened at the start, and held lines {first} to {last}, which the audit had lost"
        )
        if last - first >= FORGET_LINES:
            raise Broken(reason)
        self._rows.go_back(self._db, replace(self.recovered(), seq=first - 1, prev=prev))
        self._taken = self.seq
        said = "the history was ahead of the audit, and is brought its lines again"
        self.begun.append(Begun(reason, None, said))

    def _transact(self, piece: list[Taken], now_ms: int, written_seq: int) -> None:
        assert self._db is not None, "the file is open"
        self._rows.transact(self._db, piece, now_ms, written_seq=written_seq, taken=self._taken)

    def _is_held(self, why: Held, now_s: float) -> None:
        since_s = now_s if self._held_since_s is None else self._held_since_s
        self._fail(str(why), now_s + _RETRY_S)
        self._held_since_s = since_s

    def _fail(self, why: str, retry_at_s: float) -> None:
        """Nothing that was taken is written now: stand where the file stands."""
        self._refusal, self._retry_at_s, self._held_since_s = why, retry_at_s, None
        self._owes |= bool(self._lines)
        self._lines.clear()
        self._taken = self.seq
        if self._db is None:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._load()
        except (sqlite3.Error, Broken, UnicodeDecodeError):
            self._shut()  # read again when it is opened again

    def _set_aside(self, reason: str, now_s: float, now_ms: int) -> None:
        self._shut()
        if self._aside_at_s is not None and now_s < self._aside_at_s + _ASIDE_S:
            self._fail(f"{self.path}: broken again, so soon: {reason}", now_s + _RETRY_S)
            return
        try:
            self.begun.append(Begun(reason, set_aside(self.path, now_ms)))
        except OSError as error:
            self._fail(
                f"{self.path}: broken ({reason}) and not to be moved: {error.strerror}", now_s + _RETRY_S
            )
            return
        self._aside_at_s = now_s
        self._rows.begin_anew()
        self._taken = 0
        self._lines.clear()

    def _shut(self) -> None:
        if self._keeper is not None:
            self._keeper.stop(within_s=0.5)
            self._keeper = None
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
