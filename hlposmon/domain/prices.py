"""Mark prices by key, and the holdings that show them.

A price is the market's and no account's: it reaches every holding of its coin at once. How old prices are
is not known here.
"""

from collections.abc import Container
from decimal import Decimal

from hlposmon.domain.holding import Holding
from hlposmon.domain.reports import Marks


class Prices:
    """The newest mark of each key. A key belongs to one holding of an account at most."""

    def __init__(self) -> None:
        self.version = 0  # how many times marks have moved
        self._marks: dict[str, Decimal] = {}
        self._holdings: dict[str, dict[str, Holding]] = {}

    def mark_of(self, key: str) -> Decimal | None:
        """The newest mark of a key; None before the first."""
        return self._marks.get(key)

    def show_on(self, holding: Holding) -> None:
        """Give a new holding the mark of its key, now and whenever it changes."""
        ledger = holding.ledger
        holding.mark = self._marks.get(ledger.key)
        self._holdings.setdefault(ledger.key, {})[ledger.account] = holding

    def forget_others(self, accounts: Container[str]) -> None:
        """Forget the holdings of all accounts except these."""
        for holdings in self._holdings.values():
            for name in [name for name in holdings if name not in accounts]:
                del holdings[name]

    def mark(self, marks: Marks) -> list[tuple[str, str]]:
        """Take mark prices; the (account, key) of the open positions whose price moved."""
        touched = []
        self.version += 1
        for key, price in marks.prices.items():
            if self._marks.get(key) == price:
                continue
            self._marks[key] = price
            for name, holding in self._holdings.get(key, {}).items():
                holding.mark, holding.marked_s = price, marks.heard_s
                if holding.ledger.position.size:
                    touched.append((name, key))
        return touched
