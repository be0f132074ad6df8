"""What happened on the exchange, frozen, each with its row as the venue writes it.

Times are milliseconds since the epoch (UTC), amounts are exact. A row is what goes over the wire, and its
amounts are printed as the venue prints doubles; an exact row is for those who check, to the last digit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hlposmon.simulator.numbers import printed, text

ZERO_HASH = "0x" + "0" * 64
Row = dict[str, Any]
Write = Callable[[Fraction], str]  # an amount as text


@dataclass(frozen=True, slots=True)
class Order:
    """What the fills of one order share. `liquidation` is the venue's object, where there is one."""

    oid: int
    hash: str
    crossed: bool
    cloid: str | None = None
    builder: bool = False  # the order was placed through a front end that takes its own fee
    word: str | None = None  # the venue's `dir` where it is not the plain one
    free: bool = False  # no fee: settlements and deleveraging
    liquidation: Row | None = None
    twap: int | None = None  # the number of the TWAP order of which this is a slice


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one account. `size` is unsigned, `start` the signed size before it."""

    account: str
    coin: str
    price: Fraction
    size: Fraction
    side: str  # "B" buys, "A" sells
    time: int
    start: Fraction
    word: str
    closed_pnl: Fraction
    fee: Fraction
    builder_fee: Fraction
    tid: int
    order: Order
    written: dict[Write, Row] = field(default_factory=dict, compare=False, repr=False)  # once asked for

    @property
    def change(self) -> Fraction:
        """The signed change of the position."""
        return self.size if self.side == "B" else -self.size

    def row(self) -> Row:
        """The fill as `userFills` shows it; optional keys are absent, not null. Not to be changed."""
        return self._row(printed)

    def exact_row(self) -> Row:
        """The same with exact amounts. Not to be changed."""
        return self._row(text)

    def _row(self, write: Write) -> Row:
        if write not in self.written:
            made = self._write(write)
            # Usually both rows are equal; sharing one object saves memory in a long flow of fills.
            same = (row for row in self.written.values() if row == made)
            self.written[write] = next(same, made)
        return self.written[write]

    def _write(self, write: Write) -> Row:
        row: Row = {
            "coin": self.coin,
            "px": write(self.price),
            "sz": write(self.size),
            "side": self.side,
            "time": self.time,
            "startPosition": write(self.start),
            "dir": self.word,
            "closedPnl": write(self.closed_pnl),
            "hash": self.order.hash,
            "oid": self.order.oid,
            "crossed": self.order.crossed,
            "fee": write(self.fee),
            "tid": self.tid,
            "feeToken": "USDC",
            "twapId": self.order.twap,
        }
        if self.builder_fee:
            row["builderFee"] = write(self.builder_fee)
        if self.order.cloid is not None:
            row["cloid"] = self.order.cloid
        if self.order.liquidation is not None:
            row["liquidation"] = self.order.liquidation
        return row


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """One hour's funding of one position. `paid` is positive when the account paid."""

    account: str
    time: int
    coin: str
    paid: Fraction
    size: Fraction
    rate: Fraction

    def flat(self) -> Row:
        """The row of the `userFundings` feed; `usdc` is negative when the account paid."""
        return self._flat(printed)

    def exact_row(self) -> Row:
        """The same with exact amounts."""
        return self._flat(text)

    def row(self) -> Row:
        """The row of the `userFunding` request."""
        flat = self.flat()
        return {"time": flat.pop("time"), "hash": ZERO_HASH, "delta": {"type": "funding", **flat}}

    def _flat(self, write: Write) -> Row:
        return {
            "time": self.time,
            "coin": self.coin,
            "usdc": write(-self.paid),
            "szi": write(self.size),
            "fundingRate": write(self.rate),
            "nSamples": None,
        }


@dataclass(frozen=True, slots=True)
class LedgerUpdate:
    """A movement of money, or a liquidation, that is neither a fill nor funding. Amounts in it are exact."""

    account: str
    time: int
    hash: str
    delta: Row

    def row(self) -> Row:
        """The row of `userNonFundingLedgerUpdates`."""
        return {"time": self.time, "hash": self.hash, "delta": _written(self.delta, printed)}

    def exact_row(self) -> Row:
        """The same with exact amounts."""
        return {"time": self.time, "hash": self.hash, "delta": _written(self.delta, text)}


def _written(value: Any, write: Write) -> Any:
    """A JSON value whose amounts are written."""
    if isinstance(value, Fraction):
        return write(value)
    if isinstance(value, dict):
        return {key: _written(inner, write) for key, inner in value.items()}
    return [_written(inner, write) for inner in value] if isinstance(value, list) else value


Fact = Fill | FundingPayment | LedgerUpdate
