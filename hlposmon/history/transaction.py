"""The history's rows: what the audit's lines say, written in one transaction with how far it has come.

An open, sound file of our version is given; what is taken and when is decided elsewhere. Errors of SQLite
pass through: what they mean for the file is not known here.

Each transaction leaves a mark, the number and hash of its last line. Where the journal's line of the newest
number is another one, the newest mark that the journal still has tells how far back to go:

    marks 120, 250, 380; the journal lost what was behind 300 and went on otherwise 380 is not the journal's
    any more, 250 is: the rows behind 250 are deleted, and its lines taken from 251 on
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hlposmon.errors import WireError
from hlposmon.history.file import Broken
from hlposmon.history.names import Names
from hlposmon.history.rows import FORGET_BEHIND, INSERT_FILL, Row, writes_of
from hlposmon.journal.follower import Line
from hlposmon.journal.lines import FIRST_PREV
from hlposmon.text import dumps, loads

STATEMENTS_KEPT_MS = 30 * 86_400_000
_PRUNE_MS = 3_600_000
# At two commits a second, more than half an hour of a journal that is lost.
MARKS_KEPT = 4096
_PRUNE_MARKS = 256


@dataclass(frozen=True, slots=True)
class Mark:
    """The last line of a transaction, and the number of the last checkpoint up to it (0: none is known)."""

    seq: int
    hash: str
    checkpoint_seq: int


class Rows:
    """`seq` and `hash` are those of the last line that the file holds."""

    def __init__(self) -> None:
        self.seq, self.hash = 0, FIRST_PREV
        self.repeated = self.skipped = 0
        self._names: Names | None = None
        self._checkpoint_seq = 0
        self._pruned_ms = 0
        self._marks = 0

    def begin_anew(self) -> None:
        """There is nothing in the file."""
        self.seq, self.hash = 0, FIRST_PREV

    def load(self, db: sqlite3.Connection) -> None:
        """Read where the file stands. Raises Broken, and whatever a value that no history holds leads to."""
        row = db.execute(
            "SELECT journal_seq, journal_hash, mode, addresses, repeated, skipped FROM meta"
        ).fetchone()
        if row is None:
            raise Broken("it does not say how far it has come")
        self.seq, self.hash, mode, addresses, self.repeated, self.skipped = row
        self._names = Names(db, mode, loads(addresses))
        found = db.execute("SELECT seq FROM checkpoint").fetchone()
        self._checkpoint_seq = found[0] if found is not None else 0

    def transact(self, db: sqlite3.Connection, lines: Sequence[Line], now_ms: int) -> None:
        """Write these lines: all or nothing."""
        names = self._loaded()
        db.execute("BEGIN IMMEDIATE")
        checkpoint = self._write_lines(db, names, lines)
        if checkpoint is not None:
            self._keep_checkpoint(db, checkpoint.seq, checkpoint.body)
        seq, digest = (lines[-1].seq, lines[-1].hash) if lines else (self.seq, self.hash)
        if lines:
            db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (seq, digest, self._checkpoint_seq))
        self._prune(db, now_ms)
        self._save_meta(db, seq, digest)
        db.execute("COMMIT")
        self.seq, self.hash = seq, digest

    def marks(self, db: sqlite3.Connection) -> list[Mark]:
        """Where one may go back to, the oldest first."""
        return [Mark(*row) for row in db.execute("SELECT seq, hash, checkpoint_seq FROM marks ORDER BY seq")]

    def go_back(self, db: sqlite3.Connection, mark: Mark, checkpoint: dict[str, Any] | None) -> None:
        """Forget the lines behind a mark; `checkpoint` is the last before it, None where that is not
        known."""
        names = self._loaded()
        db.execute("BEGIN IMMEDIATE")
        for sql in FORGET_BEHIND:
            db.execute(sql, (mark.seq,))
        if self._checkpoint_seq > mark.seq:
            db.execute("DELETE FROM checkpoint")
            self._checkpoint_seq = 0
            if checkpoint is not None:
                names.stand_for(checkpoint["mode"], checkpoint["addresses"])
                self._keep_checkpoint(db, mark.checkpoint_seq, checkpoint)
        self._save_meta(db, mark.seq, mark.hash)
        db.execute("COMMIT")
        self.seq, self.hash = mark.seq, mark.hash

    # ------------------------------------------------------------------ within

    def _loaded(self) -> Names:
        assert self._names is not None, "the file was read"
        return self._names

    def _write_lines(self, db: sqlite3.Connection, names: Names, lines: Sequence[Line]) -> Line | None:
        """The last checkpoint among them."""
        fills: list[Row] = []
        checkpoint = None
        for line in lines:
            try:
                writes = writes_of(line.body, names)
            except WireError:
                self.skipped += 1
                continue
            if line.body["type"] == "checkpoint":
                checkpoint = line
            for sql, row in writes:
                if sql == INSERT_FILL:
                    fills.append(row)
                else:
                    db.execute(sql, row)
        if fills:
            self.repeated += len(fills) - db.executemany(INSERT_FILL, fills).rowcount
        return checkpoint

    def _keep_checkpoint(self, db: sqlite3.Connection, seq: int, body: dict[str, Any]) -> None:
        db.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?)", (seq, dumps(body).decode()))
        self._checkpoint_seq = seq

    def _save_meta(self, db: sqlite3.Connection, seq: int, digest: str) -> None:
        names = self._loaded()
        db.execute(
            "UPDATE meta SET journal_seq = ?, journal_hash = ?, mode = ?, addresses = ?, repeated = ?,"
            " skipped = ?",
            (seq, digest, names.mode, dumps(names.addresses).decode(), self.repeated, self.skipped),
        )

    def _prune(self, db: sqlite3.Connection, now_ms: int) -> None:
        """Let go of statements that are too old, once an hour, and of marks that are too far back."""
        if now_ms > self._pruned_ms + _PRUNE_MS:
            self._pruned_ms = now_ms
            db.execute("DELETE FROM statements WHERE heard_ms < ?", (now_ms - STATEMENTS_KEPT_MS,))
        self._marks += 1
        if self._marks % _PRUNE_MARKS == 0:
            oldest = "SELECT seq FROM marks ORDER BY seq DESC LIMIT 1 OFFSET ?"
            db.execute(f"DELETE FROM marks WHERE seq <= ({oldest})", (MARKS_KEPT,))
