"""Where an account's money came from and went, between two times, from the history. Standard library only.

The monitor journals how the equity of each dex came about: as sums since it began to watch, at a statement
of the exchange. Two such points give the terms between them:

    change of equity = realised - fees + funding + transfers + change of unrealised + unexplained
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

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
