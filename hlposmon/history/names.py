"""Row ids of accounts, instruments and recurring words in the history's file.

An account is a name with an address and a mode: the same name with another address, or in another mode, is
another account. The journal's last checkpoint gives the current address and mode of each name.
"""

import sqlite3

from hlposmon.domain.rendering import symbol_of


class Names:
    """Looks row ids up, and inserts a row for a new name within the caller's transaction.

    Each method may raise sqlite3.Error.
    """

    def __init__(self, db: sqlite3.Connection, mode: str, addresses: dict[str, str]) -> None:
        self._db = db
        self.mode, self.addresses = mode, addresses
        rows = db.execute("SELECT id, name, address, mode FROM accounts")
        self._accounts = {(name, address, mode): number for number, name, address, mode in rows}
        self._instruments = {key: number for number, key in db.execute("SELECT id, key FROM instruments")}
        self._words = {word: number for number, word in db.execute("SELECT id, word FROM words")}

    def stand_for(self, mode: str, addresses: dict[str, str]) -> None:
        """Set the addresses (by account name) and the mode that `account` uses from now on."""
        self.mode, self.addresses = mode, dict(addresses)

    def account(self, name: str) -> int:
        """Return the row id of the account with this name, at its current address; insert it if new."""
        who = (name, self.addresses.get(name, ""), self.mode)
        found = self._accounts.get(who)
        if found is None:
            sql = "INSERT INTO accounts (name, address, mode) VALUES (?, ?, ?)"
            found = self._accounts[who] = self._number(sql, who)
        return found

    def instrument(self, key: str) -> int:
        """Return the row id of an instrument's key (`venue:type:coin`); insert it if new."""
        found = self._instruments.get(key)
        if found is None:
            sql = "INSERT INTO instruments (key, symbol) VALUES (?, ?)"
            found = self._instruments[key] = self._number(sql, (key, symbol_of(key)))
        return found

    def word(self, text: str) -> int:
        """Return the row id of a recurring word, such as a fee token; insert it if new."""
        found = self._words.get(text)
        if found is None:
            found = self._words[text] = self._number("INSERT INTO words (word) VALUES (?)", (text,))
        return found

    def _number(self, sql: str, row: tuple[str, ...]) -> int:
        number = self._db.execute(sql, row).lastrowid
        assert number is not None, "an insert has a number"
        return number
