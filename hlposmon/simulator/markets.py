"""The markets and their prices: a table, and a random walk that takes one step when told to.

Mark, mid and oracle are three different numbers, as on the venue. No account and no time here.
"""

import random
from dataclasses import dataclass, field
from fractions import Fraction

from hlposmon.simulator.numbers import lawful, tick_of

STEP = 0.0003  # standard deviation of one step of the walk, relative
MARK_SPREAD = 0.00008  # of the mark around the book, relative
ORACLE_SPREAD = 0.0002


@dataclass(frozen=True, slots=True)
class Market:
    """One perpetual. `start` is its first price; `margin_table` beyond 49 names a table with tiers."""

    coin: str
    sz_decimals: int
    max_leverage: int
    start: str
    margin_table: int = 0
    delisted: bool = False
    only_isolated: bool = False
    dex: str = ""

    @property
    def places(self) -> int:
        """Decimals of a shown entry price, and the most that an order's price may have."""
        return 6 - self.sz_decimals


MARKETS = (
    Market("BTC", 5, 40, "86250.0", 56),
    Market("ETH", 4, 25, "2871.4", 55),
    Market("SOL", 2, 20, "131.27"),
    Market("HYPE", 2, 10, "33.209"),
    Market("DOGE", 0, 10, "0.14503"),
    Market("ARB", 1, 10, "0.21034"),
    Market("AVAX", 2, 10, "13.417"),
    Market("BNB", 3, 10, "865.42"),
    Market("LINK", 1, 10, "12.486"),
    Market("XRP", 0, 20, "2.0417"),
    Market("ADA", 0, 10, "0.42611"),
    Market("SUI", 1, 10, "1.4863"),
    Market("LTC", 2, 10, "82.714"),
    Market("BCH", 3, 10, "512.35"),
    Market("OP", 1, 10, "0.31247"),
    Market("APT", 2, 10, "2.2841"),
    Market("INJ", 1, 10, "5.6032"),
    Market("NEAR", 1, 10, "1.8346"),
    Market("ATOM", 2, 5, "2.4687"),
    Market("DYDX", 1, 5, "0.18273"),
    Market("LDO", 1, 10, "0.61482"),
    Market("CRV", 1, 10, "0.39254"),
    Market("AAVE", 2, 10, "168.43"),
    Market("TIA", 1, 5, "0.60817"),
    Market("SEI", 0, 10, "0.13472"),
    Market("TON", 1, 10, "1.5738"),
    Market("UNI", 1, 10, "6.2194"),
    Market("DOT", 1, 10, "2.3106"),
    Market("FIL", 1, 5, "1.6254"),
    Market("TRUMP", 1, 10, "6.3187"),
    Market("kPEPE", 0, 10, "0.004231"),
    Market("MEGA", 0, 3, "0.049391"),
    Market("OLD", 1, 3, "0.5123", delisted=True),
    Market("HOT", 0, 3, "0.0731", only_isolated=True),
    Market("xyz:XYZ100", 4, 30, "24150.0", dex="xyz"),
    Market("xyz:TSLA", 3, 20, "402.15", dex="xyz"),
    Market("xyz:NVDA", 3, 20, "181.34", dex="xyz"),
)
BUILDER_DEX = "xyz"


@dataclass(slots=True)
class Quote:
    """The prices of one market at this moment. A held quote stays where a script has put it."""

    market: Market
    centre: Fraction = field(init=False)
    mark: Fraction = field(init=False)
    oracle: Fraction = field(init=False)
    rate: Fraction = Fraction("0.0000125")  # hourly funding; positive: longs pay
    held: bool = False

    def __post_init__(self) -> None:
        self.hold(Fraction(self.market.start))
        self.held = self.market.delisted

    @property
    def bid(self) -> Fraction:
        """The best lawful price a buyer offers."""
        return lawful(self.centre, self.market.sz_decimals)

    @property
    def ask(self) -> Fraction:
        """One tick above the bid."""
        return self.bid + tick_of(self.bid, self.market.sz_decimals)

    @property
    def mid(self) -> Fraction:
        """Half way between bid and ask."""
        return (self.bid + self.ask) / 2

    def hold(self, mark: Fraction, oracle: Fraction | None = None) -> None:
        """Put the prices somewhere and let them stay there."""
        self.centre = self.mark = mark
        self.oracle = oracle if oracle is not None else mark
        self.held = True

    def walk(self, dice: random.Random) -> None:
        """One step, unless held."""
        if self.held:
            return
        start = Fraction(self.market.start)
        self.centre = self._near(self.centre, dice.gauss(0, STEP))
        if not start / 4 < self.centre < start * 4:
            self.centre = start
        self.mark = self._near(self.centre, dice.gauss(0, MARK_SPREAD))
        self.oracle = self._near(self.centre, dice.gauss(0, ORACLE_SPREAD))

    def _near(self, price: Fraction, move: float) -> Fraction:
        scale = 10**self.market.places
        steps = price.numerator * scale * (10**9 + round(move * 10**9)) // (price.denominator * 10**9)
        return Fraction(max(steps, 1), scale)
