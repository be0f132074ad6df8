"""Where an account's money came from and went, between two times, from the history. Standard library only.

The monitor journals how the equity of each dex came about: as sums since it began to watch, at a statement
of the exchange. Two such points give the terms between them:

    change of equity = realised - fees + funding + transfers + change of unrealised + unexplained
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hlposmon.errors import HistoryUnread
from hlposmon.history.schema import LEDGER_VERSION

_DIGITS = 60
POINT_COLUMNS = (
    "account, scope, quote, time_ms, since_ms, equity, unrealized_pnl, realized_pnl, fees, funding, transfers"
)
TRANSFER_COLUMNS = "seq, account, time_ms, type, text, moves, tx_hash"


@dataclass(frozen=True, slots=True)
class LedgerPoint:
    """The equity of one dex of an account at `time_ms`, and the sums that led to it since `since_ms` (both
    Unix milliseconds, by the exchange). Amounts are in the `quote` token; None: it was not known yet."""

    account: str
    scope: str
    quote: str | None
    time_ms: int
    since_ms: int
    equity: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    transfers: Decimal


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One transfer: the exchange's type and time, and what it added to which market, as (scope, token,
    amount); none where the type is not known."""

    seq: int
    account: str
    time_ms: int
    type: str
    text: str
    moves: tuple[tuple[str, str, Decimal], ...]
    hash_of_transaction: str


@dataclass(frozen=True, slots=True)
class LedgerSpan:
    """The terms of one dex of an account between two points. Fees paid are positive, funding and transfers
    received are positive."""

    first: LedgerPoint
    last: LedgerPoint

    @property
    def change(self) -> Decimal:
        """The change of equity."""
        return _minus(self.last.equity, self.first.equity)

    @property
    def realized_pnl(self) -> Decimal:
        """What was realised, gross of fees and funding."""
        return _minus(self.last.realized_pnl, self.first.realized_pnl)

    @property
    def fees(self) -> Decimal:
        """The fees paid."""
        return _minus(self.last.fees, self.first.fees)

    @property
    def funding(self) -> Decimal:
        """The funding received."""
        return _minus(self.last.funding, self.first.funding)

    @property
    def transfers(self) -> Decimal:
        """What came in by transfers, less what went out."""
        return _minus(self.last.transfers, self.first.transfers)

    @property
    def unrealized_pnl(self) -> Decimal:
        """The change of unrealised P&L."""
        return _minus(self.last.unrealized_pnl, self.first.unrealized_pnl)

    @property
    def unexplained(self) -> Decimal:
        """What is left of the change of equity."""
        with localcontext(prec=_DIGITS):
            booked = self.realized_pnl - self.fees + self.funding + self.transfers
            return self.change - booked - self.unrealized_pnl


def _minus(one: Decimal, other: Decimal) -> Decimal:
    with localcontext(prec=_DIGITS):
        return one - other


def spans(points: Iterable[LedgerPoint], since_ms: int | None) -> list[LedgerSpan]:
    """The terms of each dex between the newest point at or before `since_ms` (the first one, where there is
    none) and its last point, by account and dex. `points` are in the order of their times.

    The sums begin anew where the exchange kept the money elsewhere for a while (account mode): then the span
    begins at the first point after that.
    """
    found: dict[tuple[str, str], LedgerSpan] = {}
    for point in points:
        name = point.account, point.scope
        before = found.get(name)
        is_start = since_ms is not None and point.time_ms <= since_ms
        if before is None or is_start or before.last.since_ms != point.since_ms:
            found[name] = LedgerSpan(point, point)
        else:
            found[name] = LedgerSpan(before.first, point)
    return [found[name] for name in sorted(found)]


def point_of(row: tuple[Any, ...]) -> LedgerPoint:
    """A point from a row of POINT_COLUMNS; ValueError or ArithmeticError for one that no monitor writes."""
    account, scope, quote, time_ms, since_ms, *amounts = row
    return LedgerPoint(account, scope, quote, int(time_ms), int(since_ms), *map(_amount, amounts))


def transfer_of(row: tuple[Any, ...]) -> TransferRow:
    """A transfer from a row of TRANSFER_COLUMNS; errors as `point_of`."""
    seq, account, time_ms, kind, text, moves, digest = row
    moved = tuple((str(one["scope"]), str(one["token"]), _amount(one["amount"])) for one in json.loads(moves))
    return TransferRow(int(seq), account, int(time_ms), kind, text, moved, digest)


def _amount(text: object) -> Decimal:
    if not isinstance(text, str):
        raise ValueError(f"not an amount: {text!r:.40}")
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"not an amount: {text!r:.40}")
    return value


# -------------------------------------------------------------------- read


def ledger_of(
    db: sqlite3.Connection, since_ms: int | None, until_ms: int | None, accounts: Sequence[int] | None
) -> list[LedgerSpan]:
    """The terms of each dex between the two times (Unix milliseconds), of all accounts or of those with these
    row ids. Raises sqlite3.Error, ValueError, ArithmeticError."""
    until = 1 << 62 if until_ms is None else until_ms
    sql = (
        f"SELECT {_named(POINT_COLUMNS)} FROM points AS p JOIN accounts AS a ON a.id = p.account"
        f" WHERE p.time_ms <= ?{_among(accounts)} ORDER BY p.time_ms, p.seq"
    )
    return spans(map(point_of, db.execute(sql, (until,)) if _has_ledger(db) else ()), since_ms)


def transfers_of(
    db: sqlite3.Connection, since_ms: int | None, until_ms: int | None, accounts: Sequence[int] | None
) -> list[TransferRow]:
    """The transfers with `since_ms <= time < until_ms`, oldest first; otherwise as `ledger_of`."""
    span = (0 if since_ms is None else since_ms, 1 << 62 if until_ms is None else until_ms)
    sql = (
        f"SELECT {_named(TRANSFER_COLUMNS)} FROM transfers AS p JOIN accounts AS a ON a.id = p.account"
        f" WHERE p.time_ms >= ? AND p.time_ms < ?{_among(accounts)} ORDER BY p.time_ms, p.seq"
    )
    return [transfer_of(row) for row in db.execute(sql, span)] if _has_ledger(db) else []


def _has_ledger(db: sqlite3.Connection) -> bool:
    """Whether the file is of a monitor that kept one; a newer monitor adds it at its next start."""
    [(version,)] = db.execute("PRAGMA user_version")
    return int(version) >= LEDGER_VERSION


def _among(accounts: Sequence[int] | None) -> str:
    return "" if accounts is None else f" AND p.account IN ({', '.join(map(str, map(int, accounts)))})"


def _named(columns: str) -> str:
    """The columns of a table `p`, with the name of its account from `a`."""
    names = (name.strip() for name in columns.split(","))
    return ", ".join("a.name" if name == "account" else f"p.{name}" for name in names)


# ------------------------------------------------------------------- shown

USD = "USDC"
_CENT = Decimal("0.01")


def rows_of(span: LedgerSpan) -> dict[str, Decimal]:
    """The terms of a span, in the order in which they are shown; what is unexplained, to the cent."""
    return {
        "equity_from": span.first.equity,
        "realized_pnl": span.realized_pnl,
        "fees": span.fees,
        "funding": span.funding,
        "transfers": span.transfers,
        "unrealized_pnl": span.unrealized_pnl,
        "equity_to": span.last.equity,
        "unexplained": cents(span.unexplained),
    }


def cents(value: Decimal) -> Decimal:
    """To the cent, never -0.00."""
    with localcontext(prec=_DIGITS):
        rounded = value.quantize(_CENT)
    return rounded or abs(rounded)


def as_object(
    found: Sequence[LedgerSpan], transfers: Sequence[TransferRow], since: int | None, until: int | None
) -> dict[str, Any]:
    """Everything as one object; amounts are decimal strings. `unexplained` of an account is in USD: None
    where a dex whose figures are in another token has some, which has no price here."""
    accounts: dict[str, Any] = {}
    for span in found:
        of = accounts.setdefault(span.last.account, {"unexplained": None, "markets": [], "transfers": []})
        of["markets"].append(head_of(span) | {name: plain(value) for name, value in rows_of(span).items()})
    for name, of in accounts.items():
        ours = [span for span in found if span.last.account == name]
        rests = [(span.last.quote, cents(span.unexplained)) for span in ours]
        if all(quote == USD or not rest for quote, rest in rests):
            of["unexplained"] = plain(cents(sum((rest for _, rest in rests), Decimal(0))))
    for one in transfers:
        if one.account in accounts:
            accounts[one.account]["transfers"].append(_transfer(one))
    return {"since": time_text(since), "until": time_text(until), "accounts": accounts}


def head_of(span: LedgerSpan) -> dict[str, Any]:
    """Which dex it is, and from when to when."""
    return {
        "scope": span.last.scope,
        "quote": span.last.quote,
        "from": time_text(span.first.time_ms),
        "to": time_text(span.last.time_ms),
    }


def _transfer(one: TransferRow) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "time": time_text(one.time_ms),
        "transfer_type": one.type,
        "text": one.text,
        "moves": [
            {"scope": scope, "token": token, "amount": plain(amount)} for scope, token, amount in one.moves
        ],
        "hash_of_transaction": one.hash_of_transaction,
    }


def plain(value: Decimal) -> str:
    """All digits, no exponent."""
    return format(value, "f")


def time_text(ms: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if ms is None:
        return None
    whole = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms % 1000:03d}Z"


def read_object(
    path: Path, since: int | None, until: int | None, account: str | None, *, timeout_s: float
) -> dict[str, Any]:
    """The ledger of the history at `path` as one object, of all accounts or of one by its name or address.

    Raises HistoryUnread where the file cannot be read.
    """
    address = f"file:{quote(os.fspath(path.absolute()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=timeout_s)) as db:
            ids = None if account is None else account_ids(db, account)
            found = ledger_of(db, since, until, ids)
            return as_object(found, transfers_of(db, since, until, ids), since, until)
    except (sqlite3.Error, ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise HistoryUnread(f"{path}: the history cannot be read: {error}") from error


def account_ids(db: sqlite3.Connection, account: str) -> list[int]:
    """The row ids of an account: by its name (exact case) or its address (any case)."""
    wanted, rows = account.lower(), db.execute("SELECT id, name, address FROM accounts")
    return [int(one) for one, name, of in rows if account == name or wanted == str(of).lower()]
