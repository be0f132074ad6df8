"""One account of the exchange: its cash, its positions, and everything that ever happened to it.

Mutable, with the world as its only owner. Cash is kept separately for each dex.
Past views are kept for a while, so that a statement can be given as of some seconds ago.
"""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

from hlposmon.simulator.facts import Fill, FundingPayment, LedgerUpdate
from hlposmon.simulator.ledger import ZERO, Margin, Move, Position, funded
from hlposmon.simulator.markets import Market

MAX_VIEWS = 4000


@dataclass(frozen=True, slots=True)
class View:
    """What an account was at one time: enough for a statement."""

    time: int  # since when, ms
    cash: dict[str, Fraction]  # by dex
    positions: dict[str, Position]  # by coin
    funding: dict[str, Fraction]  # paid on a coin in all time


NOTHING = View(0, {}, {}, {})


class Account:
    """The book of one address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cash: dict[str, Fraction] = {}
        self.positions: dict[str, Position] = {}
        self.funding: dict[str, Fraction] = {}
        self.margins: dict[str, Margin] = {}
        self.fills: list[Fill] = []
        self.fundings: list[FundingPayment] = []
        self.updates: list[LedgerUpdate] = []
        self.closed_pnl = ZERO
        self.fees = ZERO
        self.volume = ZERO
        self._views: deque[View] = deque([NOTHING], maxlen=MAX_VIEWS)

    def margin(self, market: Market) -> Margin:
        """How this coin is margined here."""
        default = Margin(min(10, market.max_leverage), isolated=market.only_isolated)
        return self.margins.get(market.coin, default)

    def size(self, coin: str) -> Fraction:
        """The signed size held, 0 when flat."""
        position = self.positions.get(coin)
        return position.size if position else ZERO

    def book(self, fill: Fill, market: Market, move: Move) -> None:
        """Book a fill and the `move` that it causes: position, cash, fee and totals."""
        self._place(fill.coin, move.after)
        self.pay(market.dex, move.cash - fill.fee)
        self.fills.append(fill)
        self.closed_pnl += fill.closed_pnl
        self.fees += fill.fee
        self.volume += fill.size * fill.price
        self.remember(fill.time)

    def fund(self, coin: str, oracle: Fraction, rate: Fraction, time: int) -> FundingPayment:
        """Pay or receive an hour's funding on a position held."""
        before = self.positions[coin]
        after, paid = funded(before, oracle, rate)
        self.positions[coin] = after
        self.funding[coin] = self.funding.get(coin, ZERO) + paid
        if not before.margin.isolated:
            self.pay(before.market.dex, -paid)
        payment = FundingPayment(self.address, time, coin, paid, before.size, rate)
        self.fundings.append(payment)
        self.remember(time)
        return payment

    def correct(self, market: Market, after: Position | None, cash: Fraction, time: int) -> None:
        """Change a position with no fill, as a venue-side correction does."""
        self._place(market.coin, after)
        self.pay(market.dex, cash)
        self.remember(time)

    def pay(self, dex: str, cash: Fraction) -> None:
        """Add to the cash of a dex; negative takes."""
        self.cash[dex] = self.cash.get(dex, ZERO) + cash

    def remember(self, time: int) -> None:
        """Keep a view of what is now, as of `time` (ms)."""
        self._views.append(View(time, dict(self.cash), dict(self.positions), dict(self.funding)))

    def view(self, time: int | None = None) -> View:
        """What the account was at `time` (ms); now, when none is given."""
        if time is None:
            return self._views[-1]
        for view in reversed(self._views):
            if view.time <= time:
                return view
        return self._views[0]

    def _place(self, coin: str, after: Position | None) -> None:
        if after is None:
            self.positions.pop(coin, None)
        else:
            self.positions[coin] = after
