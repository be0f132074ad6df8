"""Which positions `status` shows, by the words of `--filter`, and in which order, by `--sort`. Pure.

Nothing here prints, and nothing groups.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hlposmon.cli.formats import decimal, difference, time
from hlposmon.cli.rows import Row, severity

Key = Callable[[Row], Any]


def _text(value: Callable[[Row], object]) -> Key:
    return lambda row: None if value(row) is None else str(value(row)).casefold()


def _field(name: str) -> Key:
    return _text(lambda row: row.position.get(name))


def _number(name: str) -> Key:
    return lambda row: decimal(row.position.get(name))


def _costs(row: Row) -> Decimal | None:
    return decimal(difference(row.position.get("funding"), row.position.get("fees")))


def _age(name: str) -> Key:
    """Sorts by age: the most recent time first. The times are all of one summary."""

    def key(row: Row) -> float | None:
        at = time(str(row.position.get(name) or ""))
        return None if at is None else -at.timestamp()

    return key


# Column by the name that --sort has for it: the column's title in the table, and the value to sort by, which
# is None while it is unknown.
SORTS: dict[str, tuple[str, Key]] = {
    "symbol": ("POSITION", _text(lambda row: row.position.get("symbol") or row.name)),
    "side": ("SIDE", _field("side")),
    "size": ("SIZE", _number("quantity")),
    "entry": ("ENTRY", _number("entry_price")),
    "mark": ("MARK", _number("mark_price")),
    "upnl": ("uPnL", _number("unrealized_pnl")),
    "rpnl": ("rPnL", _number("realized_pnl")),
    "fees+fund": ("FEES+FUND", _costs),
    "total": ("TOTAL", _number("total_pnl")),
    "notional": ("NOTIONAL", _number("notional_value")),
    "lev": ("LEV", _number("leverage")),
    "liq": ("LIQ", _number("liquidation_price")),
    "last-fill": ("LAST FILL", _age("last_fill_time")),
    "proof": ("PROOF", _field("proof")),
    "as-of": ("AS OF", _age("as_of")),
    "verdict": ("VERDICT", lambda row: severity(row.verdict)),
}


@dataclass(frozen=True, slots=True)
class Sort:
    """A column of SORTS, ascending unless `descending`."""

    column: str
    descending: bool = False

    @property
    def title(self) -> str:
        """The column's title in the table."""
        return SORTS[self.column][0]

    def apply(self, rows: Iterable[Row]) -> list[Row]:
        """The rows in order. Equal rows keep their order, and those without a value come last either way."""
        keyed = [(SORTS[self.column][1](row), row) for row in rows]
        known = [one for one in keyed if one[0] is not None]
        known.sort(key=lambda one: one[0], reverse=self.descending)
        return [row for _, row in known] + [row for value, row in keyed if value is None]


def parse_sort(text: str) -> Sort:
    """Parse `COLUMN` or `-COLUMN` (descending), in any case. Raises ValueError that names the columns."""
    name = text.strip().casefold()
    column = name.removeprefix("-")
    if column not in SORTS:
        raise ValueError(f"there is no column {column!r}: wanted one of {', '.join(SORTS)}")
    return Sort(column, descending=name != column)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to show. By default it is everything, in the order of the summary."""

    sort: Sort | None = None
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, sort: Sort | None, text: str) -> "Selection":
        """A selection by the words of `text`, in any case; text without a word selects everything."""
        return cls(sort, tuple(text.casefold().split()))

    @property
    def is_partial(self) -> bool:
        """Whether there is a filter."""
        return bool(self.words)

    def takes(self, row: Row) -> bool:
        """Whether each word is part of its account, symbol, key, dex (`spot` for a balance) or verdict."""
        shown = (row.position.get(name) for name in ("symbol", "key"))
        return self.takes_text(row.name, row.account, *shown, row.scope, row.verdict)

    def takes_text(self, *texts: object) -> bool:
        """Whether each word is part of one of the texts."""
        folded = [str(text).casefold() for text in texts if text is not None]
        return all(any(word in text for text in folded) for word in self.words)

    def order(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in the order of `sort`, as they are without one."""
        return list(rows) if self.sort is None else self.sort.apply(rows)


EVERYTHING = Selection()
