"""What the history's lines have said so far, and how much of that its file holds.

It is a book in the words of recovery (`wire.lines.replay` is the one rule), so that a restart from the
history and one from the journal are the same. Names, coins and words are numbered here.
"""

import sqlite3
from dataclasses import replace
from typing import Any

from hlposmon.domain.rendering import symbol_of
from hlposmon.domain.views import Memory
from hlposmon.errors import WireError
from hlposmon.history.rows import SAVE_HOLDING, Row, holding_row, memory_of
from hlposmon.journal.lines import Recovered, replay


class HistoryBook:
    """What the lines have said so far, the names' numbers, and which of it the file holds."""

    def __init__(self) -> None:
        self.said = Recovered()
        self._db: sqlite3.Connection | None = None
        self._accounts: dict[tuple[str, str, str], int] = {}
        self._instruments: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._held: dict[tuple[int, int], Memory] = {}
        self._base_ms: dict[int, int | None] = {}
        self._doubts: dict[tuple[int, str], int] = {}
        self._touched: set[tuple[str, str]] = set()
        self._all_touched = self._doubts_touched = False

    @classmethod
    def load(cls, db: sqlite3.Connection, mode: str, addresses: dict[str, str]) -> "HistoryBook":
        book = cls()
        book._db = db
        said = book.said
        said.mode, said.addresses = mode, addresses
        names: dict[int, str] = {}
        for number, name, address, of_mode, base_ms in db.execute(
            "SELECT id, name, address, mode, base_ms FROM accounts"
        ):
            book._accounts[name, address, of_mode] = number
            book._base_ms[number] = base_ms
            if of_mode == mode and addresses.get(name) == address:
                names[number] = name
                if base_ms is not None:
                    said.base_ms[name] = base_ms
        keys: dict[int, str] = dict(db.execute("SELECT id, key FROM instruments"))
        book._instruments = {key: number for number, key in keys.items()}
        book._words = {word: number for number, word in db.execute("SELECT id, word FROM words")}
        for account, instrument, *rest in db.execute("SELECT * FROM holdings"):
            memory = memory_of(names.get(account, ""), keys[instrument], rest)
            book._held[account, instrument] = memory
            if account in names:
                said.memories[memory.account, memory.key] = memory
        for account, key, since_ms in db.execute("SELECT account, key, since_ms FROM doubts"):
            book._doubts[account, key] = since_ms
            if account in names:
                said.unsure.setdefault(names[account], {})[key] = since_ms
        return book

    # ------------------------------------------------------------------ names

    def account(self, name: str) -> int:
        who = (name, self.said.addresses.get(name, ""), self.said.mode)
        found = self._accounts.get(who)
        if found is None:
            sql = "INSERT INTO accounts (name, address, mode) VALUES (?, ?, ?)"
            found = self._accounts[who] = self._number(sql, who)
        return found

    def instrument(self, key: str) -> int:
        found = self._instruments.get(key)
        if found is None:
            sql = "INSERT INTO instruments (key, symbol) VALUES (?, ?)"
            found = self._instruments[key] = self._number(sql, (key, symbol_of(key)))
        return found

    def word(self, text: str) -> int:
        found = self._words.get(text)
        if found is None:
            found = self._words[text] = self._number("INSERT INTO words (word) VALUES (?)", (text,))
        return found

    def _number(self, sql: str, row: Row) -> int:
        assert self._db is not None, "names are numbered in an open file"
        number = self._db.execute(sql, row).lastrowid
        assert number is not None, "an insert has a number"
        return number

    # ------------------------------------------------------------------ state

    def replay(self, line: dict[str, Any]) -> None:
        """Take a line into account, by the rule of recovery itself."""
        try:
            replay(line, self.said)
        except (KeyError, TypeError, ValueError, ArithmeticError, AssertionError) as error:
            raise WireError(f"line {line['seq']} ({line['type']}): {error}") from error
        if line["type"] in ("checkpoint", "stated"):
            self._all_touched = self._doubts_touched = True
        elif line["type"] in ("gap", "healed", "drift", "feed"):
            self._doubts_touched = True
        elif line["type"] in ("fill", "position_change", "funding"):
            self._touched.add((line["account"], line["key"]))

    def is_now(self, said: Recovered) -> None:
        """The lines have said this, whatever was thought before."""
        self.said = replace(
            said,
            addresses=dict(said.addresses),
            base_ms=dict(said.base_ms),
            memories=dict(said.memories),
            unsure={name: dict(since_ms) for name, since_ms in said.unsure.items()},
        )
        self._all_touched = self._doubts_touched = True

    def save(self, db: sqlite3.Connection) -> None:
        """Write what the lines since the last time have changed."""
        if self._all_touched:
            self._save_all(db)
        if self._doubts_touched:
            self._save_doubts(db)
        changed = []
        for name, key in self._touched:
            memory = self.said.memories.get((name, key))
            at = (self.account(name), self.instrument(key))
            if memory is not None and self._held.get(at) != memory:
                changed.append(holding_row(*at, memory))
                self._held[at] = memory
        if changed:
            db.executemany(SAVE_HOLDING, changed)
        self._touched.clear()
        self._all_touched = self._doubts_touched = False

    def _save_all(self, db: sqlite3.Connection) -> None:
        """A line that may change anything: since when accounts are watched, and which positions there are."""
        said = self.said
        for name in said.addresses:
            number, base_ms = self.account(name), said.base_ms.get(name)
            if self._base_ms.get(number) != base_ms:
                db.execute("UPDATE accounts SET base_ms = ? WHERE id = ?", (base_ms, number))
                self._base_ms[number] = base_ms
        here = {(self.account(name), self.instrument(key)) for name, key in said.memories}
        gone = self._held.keys() - here
        if gone:
            db.executemany("DELETE FROM holdings WHERE account = ? AND instrument = ?", list(gone))
            self._held = {at: memory for at, memory in self._held.items() if at not in gone}
        self._touched |= said.memories.keys()

    def _save_doubts(self, db: sqlite3.Connection) -> None:
        doubts = {
            (self.account(name), key): since_ms
            for name, keys in self.said.unsure.items()
            for key, since_ms in keys.items()
        }
        if doubts != self._doubts:
            db.execute("DELETE FROM doubts")
            db.executemany("INSERT INTO doubts VALUES (?, ?, ?)", [(*at, ms) for at, ms in doubts.items()])
            self._doubts = doubts
