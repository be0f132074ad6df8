"""The numbers of names, coins and recurring words in the history's file.

A name that stands for another address, or in another mode, is another account: which it stands for, the
last checkpoint of the journal says.
"""

import sqlite3

from hlposmon.domain.rendering import symbol_of


class Names:
    """Numbers are given as they are asked for, within the transaction of who asks."""

    def __init__(self, db: sqlite3.Connection, mode: str, addresses: dict[str, str]) -> None:
        self._db = db
        self.mode, self.addresses = mode, addresses
        rows = db.execute("SELECT id, name, address, mode FROM accounts")
        self._accounts = {(name, address, mode): number for number, name, address, mode in rows}
        self._instruments = {key: number for number, key in db.execute("SELECT id, key FROM instruments")}
        self._words = {word: number for number, word in db.execute("SELECT id, word FROM words")}

    def stand_for(self, mode: str, addresses: dict[str, str]) -> None:
        """From here on names of accounts stand for these addresses, in runs of this mode."""
        self.mode, self.addresses = mode, dict(addresses)

    def account(self, name: str) -> int:
        """The row id of an account of that name, address and mode; made where there is none."""
        who = (name, self.addresses.get(name, ""), self.mode)
        found = self._accounts.get(who)
        if found is None:
            sql = "INSERT INTO accounts (name, address, mode) VALUES (?, ?, ?)"
            found = self._accounts[who] = self._number(sql, who)
        return found

    def instrument(self, key: str) -> int:
        """The row id of a key; made where there is none."""
        found = self._instruments.get(key)
        if found is None:
            sql = "INSERT INTO instruments (key, symbol) VALUES (?, ?)"
            found = self._instruments[key] = self._number(sql, (key, symbol_of(key)))
        return found

    def word(self, text: str) -> int:
        """The row id of a word that repeats; made where there is none."""
        found = self._words.get(text)
        if found is None:
            found = self._words[text] = self._number("INSERT INTO words (word) VALUES (?)", (text,))
        return found

    def _number(self, sql: str, row: tuple[str, ...]) -> int:
        number = self._db.execute(sql, row).lastrowid
        assert number is not None, "an insert has a number"
        return number
