"""Writes the audit's lines as rows, in one transaction with the number and hash of the last line.

The caller gives an open, sound file of our version and decides which lines are written when. SQLite errors
pass through; the caller knows what they mean for the file.

Each transaction leaves a mark: number and hash of its last line. If the journal's line of the newest mark
differs, the newest mark that the journal still has shows how far to roll back:

    marks 120, 250, 380; the journal lost what follows 300 and continued with other lines:
    its line 380 differs, 250 is the same: delete the rows after 250, then import from line 251 on
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
# At two commits a second, enough to roll back more than half an hour of lost journal.
MARKS_KEPT = 4096
_PRUNE_MARKS = 256


@dataclass(frozen=True, slots=True)
class Mark:
    """A transaction's last line, by number and hash, and the last checkpoint up to it (0: none known)."""

    seq: int
    hash: str
    checkpoint_seq: int


class Rows:
    """The rows of one history file.

    `seq` and `hash` are those of the last line in the file. `repeated` counts fills that were in it already,
    `skipped` lines that were not understood.
    """

    def __init__(self) -> None:
        self.seq, self.hash = 0, FIRST_PREV
        self.repeated = self.skipped = 0
        self._names: Names | None = None
        self._checkpoint_seq = 0
        self._pruned_ms = 0
        self._marks = 0

    def begin_anew(self) -> None:
        """Start from an empty file."""
        self.seq, self.hash = 0, FIRST_PREV

    def load(self, db: sqlite3.Connection) -> None:
        """Read how far the file has come.

        Raises Broken or sqlite3.Error; values that no history holds may raise WireError, ValueError,
        TypeError and the like.
        """
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
        """Write these lines, with a mark, in one transaction; also prune old statements and marks.

        `now_ms` is Unix milliseconds. Raises sqlite3.Error; the caller then rolls back and calls `load`.
        """
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
        """Return the marks that the file can be rolled back to, oldest first. Raises sqlite3.Error."""
        return [Mark(*row) for row in db.execute("SELECT seq, hash, checkpoint_seq FROM marks ORDER BY seq")]

    def go_back(self, db: sqlite3.Connection, mark: Mark, checkpoint: dict[str, Any] | None) -> None:
        """Delete what the lines after `mark` added. Raises sqlite3.Error, as `transact`.

        `checkpoint` is the line `mark.checkpoint_seq`, None if it is not known.
        """
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
        """Write the rows of all lines; return the last checkpoint among them, if any."""
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
        """Delete statements older than STATEMENTS_KEPT_MS, once an hour, and all but the newest marks."""
        if now_ms > self._pruned_ms + _PRUNE_MS:
            self._pruned_ms = now_ms
            db.execute("DELETE FROM statements WHERE heard_ms < ?", (now_ms - STATEMENTS_KEPT_MS,))
        self._marks += 1
        if self._marks % _PRUNE_MARKS == 0:
            oldest = "SELECT seq FROM marks ORDER BY seq DESC LIMIT 1 OFFSET ?"
            db.execute(f"DELETE FROM marks WHERE seq <= ({oldest})", (MARKS_KEPT,))
