"""Mark prices by key, and the lines that show them.

A price is the market's and no account's: it reaches every line of its coin at once. How old prices are
is not known here.
"""

from collections.abc import Container
from decimal import Decimal

from hlposmon.domain.line import Line
from hlposmon.domain.reports import Marks


class Prices:
    """The newest mark of each key. A key belongs to one line of an account at most."""

    def __init__(self) -> None:
        self._marks: dict[str, Decimal] = {}
        self._lines: dict[str, dict[str, Line]] = {}

    def show_on(self, line: Line) -> None:
        """Let a new line have the mark of its key, now and from now on."""
        ledger = line.ledger
        line.mark = self._marks.get(ledger.key)
        self._lines.setdefault(ledger.key, {})[ledger.account] = line

    def forget_others(self, accounts: Container[str]) -> None:
        """Let go the lines of all accounts but these."""
        for lines in self._lines.values():
            for name in [name for name in lines if name not in accounts]:
                del lines[name]

    def mark(self, marks: Marks) -> list[tuple[str, str]]:
        """Take mark prices; the (account, key) of the open positions whose price moved."""
        touched = []
        for key, price in marks.prices.items():
            if self._marks.get(key) == price:
                continue
            self._marks[key] = price
            for name, line in self._lines.get(key, {}).items():
                line.mark, line.marked_s = price, marks.heard_s
                if line.ledger.position.size:
                    touched.append((name, key))
        return touched
