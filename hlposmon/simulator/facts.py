"""What happened on the exchange, frozen, each with its row as the venue writes it.

Times are milliseconds since the epoch (UTC), amounts are exact; a row's amounts are decimal text.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hlposmon.simulator.numbers import text

ZERO_HASH = "0x" + "0" * 64
Row = dict[str, Any]


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
    written: Row = field(default_factory=dict, compare=False, repr=False)  # the row, once it was asked for

    @property
    def change(self) -> Fraction:
        """The signed change of the position."""
        return self.size if self.side == "B" else -self.size

    def row(self) -> Row:
        """The fill as `userFills` shows it; optional keys are absent, not null. Not to be changed."""
        if not self.written:
            self.written.update(self._write())
        return self.written

    def _write(self) -> Row:
        row: Row = {
            "coin": self.coin,
            "px": text(self.price),
            "sz": text(self.size),
            "side": self.side,
            "time": self.time,
            "startPosition": text(self.start),
            "dir": self.word,
            "closedPnl": text(self.closed_pnl),
            "hash": self.order.hash,
            "oid": self.order.oid,
            "crossed": self.order.crossed,
            "fee": text(self.fee),
            "tid": self.tid,
            "feeToken": "USDC",
            "twapId": None,
        }
        if self.builder_fee:
            row["builderFee"] = text(self.builder_fee)
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
        return {
            "time": self.time,
            "coin": self.coin,
            "usdc": text(-self.paid),
            "szi": text(self.size),
            "fundingRate": text(self.rate),
            "nSamples": None,
        }

    def row(self) -> Row:
        """The row of the `userFunding` request."""
        flat = self.flat()
        return {"time": flat.pop("time"), "hash": ZERO_HASH, "delta": {"type": "funding", **flat}}


@dataclass(frozen=True, slots=True)
class LedgerUpdate:
    """A movement of money, or a liquidation, that is neither a fill nor funding."""

    account: str
    time: int
    hash: str
    delta: Row

    def row(self) -> Row:
        """The row of `userNonFundingLedgerUpdates`."""
        return {"time": self.time, "hash": self.hash, "delta": self.delta}


Fact = Fill | FundingPayment | LedgerUpdate
