"""The history's rows: what the audit's lines say, written in one transaction with how far it has come.

An open, sound file of our version is given; what is taken and when is decided elsewhere. Errors of SQLite
pass through: what they mean for the file is not known here.
"""

import sqlite3
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from hlposmon.domain.reports import Statement
from hlposmon.errors import WireError
from hlposmon.history.book import HistoryBook
from hlposmon.history.file import Broken
from hlposmon.history.rows import (
    FORGET_BEHIND,
    INSERT_FILL,
    INSERT_STATEMENT,
    NEWEST_FILL,
    Row,
    differing_text,
    digest_of,
    writes_of,
)
from hlposmon.journal.lines import FIRST_PREV, Recovered
from hlposmon.text import dumps, loads

# Lines kept whole that the journal could not write, about 1 kB each: a start has all of them in memory.
UNWRITTEN_LINES = 100_000
STATEMENTS_KEPT_MS = 30 * 86_400_000
_PRUNE_MS = 3_600_000
_STATEMENTS = 10_000

# A sealed line, the day of its file, and its bytes.
Taken = tuple[dict[str, Any], str, bytes]


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A sealed line that the journal's folder did not take."""

    seq: int
    day: str
    line: bytes


class Rows:
    """`seq` and `hash` are those of the last line that the file holds."""

    def __init__(self) -> None:
        self.seq, self.hash = 0, FIRST_PREV
        self.repeated = self.skipped = 0
        self.has_unwritten = False
        self._book = HistoryBook()
        self._statements: deque[tuple[str, Row]] = deque(maxlen=_STATEMENTS)
        self._last_statement: dict[str, Row] = {}
        self._pruned_ms = 0

    @property
    def owes_statements(self) -> bool:
        return bool(self._statements)

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
        self._book = HistoryBook.load(db, mode, loads(addresses))
        self.has_unwritten = db.execute("SELECT 1 FROM unwritten").fetchone() is not None

    def recovered(self) -> Recovered:
        """What the lines up to `seq` say."""
        said = self._book.said
        return replace(
            said,
            seq=self.seq,
            prev=self.hash,
            addresses=dict(said.addresses),
            base_ms=dict(said.base_ms),
            memories=dict(said.memories),
            unsure={name: dict(since_ms) for name, since_ms in said.unsure.items()},
        )

    def note(self, statement: Statement, *, source: str, differing: list[str], heard_ms: int) -> None:
        """Each that was asked for (`rest`), of pushed ones those that agree where the one before did not, or
        differ where it did not: at 200 fills a second each is another."""
        name, differs = statement.account, differing_text(differing)
        said: Row = (digest_of(statement), int(differs is None), differs)
        last = self._last_statement.get(name)
        if source == "rest" or last is None or last[1:] != said[1:]:
            self._statements.append((name, (statement.time_ms, heard_ms, source, *said)))
        self._last_statement[name] = said

    def transact(
        self, db: sqlite3.Connection, piece: list[Taken], now_ms: int, *, written_seq: int, taken: int
    ) -> None:
        """Write these lines, and those behind `written_seq` whole as well: all or nothing."""
        db.execute("BEGIN IMMEDIATE")
        self._write_lines(db, piece)
        kept = [(line["seq"], day, raw) for line, day, raw in piece if line["seq"] > written_seq]
        if self.has_unwritten:
            bound = max(written_seq, taken - UNWRITTEN_LINES)
            db.execute("DELETE FROM unwritten WHERE seq <= ?", (bound,))
        if kept:
            db.executemany("INSERT OR REPLACE INTO unwritten VALUES (?, ?, ?)", kept)
        self._write_statements(db, now_ms)
        seq, digest = (piece[-1][0]["seq"], piece[-1][0]["hash"]) if piece else (self.seq, self.hash)
        said = self._book.said
        db.execute(
            "UPDATE meta SET journal_seq = ?, journal_hash = ?, mode = ?, addresses = ?, repeated = ?,"
            " skipped = ?",
            (seq, digest, said.mode, dumps(said.addresses).decode(), self.repeated, self.skipped),
        )
        db.execute("COMMIT")
        self.seq, self.hash = seq, digest
        self._statements.clear()
        if kept or self.has_unwritten:
            self.has_unwritten = db.execute("SELECT 1 FROM unwritten").fetchone() is not None

    def go_back(self, db: sqlite3.Connection, found: Recovered) -> None:
        """Forget the lines behind number `found.seq`."""
        self._book.is_now(found)
        db.execute("BEGIN IMMEDIATE")
        for sql in FORGET_BEHIND:
            db.execute(sql, (found.seq,))
        self._book.save(db)
        db.execute("UPDATE meta SET journal_seq = ?, journal_hash = ?", (found.seq, found.prev))
        db.execute("COMMIT")
        self.seq, self.hash = found.seq, found.prev

    # ------------------------------------------------------------------ within

    def _write_lines(self, db: sqlite3.Connection, piece: list[Taken]) -> None:
        fills: list[Row] = []
        for line, _, _ in piece:
            try:
                for sql, row in writes_of(line, self._book):
                    if sql == INSERT_FILL:
                        fills.append(row)
                    else:
                        db.execute(sql, row)
                self._book.replay(line)
            except WireError:
                self.skipped += 1
        if fills:
            self.repeated += len(fills) - db.executemany(INSERT_FILL, fills).rowcount
        self._book.save(db)

    def _write_statements(self, db: sqlite3.Connection, now_ms: int) -> None:
        for name, row in self._statements:
            db.execute(INSERT_STATEMENT, (self._book.account(name), *row))
        if self._statements and now_ms > self._pruned_ms + _PRUNE_MS:
            self._pruned_ms = now_ms
            db.execute("DELETE FROM statements WHERE heard_ms < ?", (now_ms - STATEMENTS_KEPT_MS,))


def newest_fill_ms(db: sqlite3.Connection, behind_seq: int) -> int | None:
    """When the last fill was heard of that a line behind this number told."""
    [found] = db.execute(NEWEST_FILL, (behind_seq,)).fetchone()
    return None if found is None else int(found)


def unwritten_in(db: sqlite3.Connection) -> list[Unwritten]:
    """The lines that the journal had not written, in order."""
    return [Unwritten(*row) for row in db.execute("SELECT seq, day, line FROM unwritten ORDER BY seq")]
