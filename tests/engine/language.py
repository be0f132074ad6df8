"""The small language of the engine's tests: reports at given times, and what followed from them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

from hlposmon.domain.reports import (
    Fetched,
    Fill,
    Fills,
    Following,
    Heard,
    Joined,
    Marks,
    Report,
    Side,
    StatedPosition,
    Statement,
)
from hlposmon.engine.effects import Effect, Now
from hlposmon.engine.engine import Engine, Watched
from hlposmon.engine.freshness import FreshnessLimits

T = TypeVar("T")
LIMITS = FreshnessLimits(fills=(5, 15), prices=(5, 15), reconcile=(120, 300))
NOON_MS = 1_790_000_000_000
FEEDS = ("fill", "fill-2")


def address_of(number: int) -> str:
    return f"0x{number:040x}"


def key_of(coin: str) -> str:
    return f"hyperliquid:Perp:{coin}"


class Bench:
    """An engine with its clock. `effects` are all that followed since they were last looked at."""

    def __init__(self, *accounts: str, min_pnl_change: str = "0.01") -> None:
        self.s = 1000.0
        self.addresses = {name: address_of(number) for number, name in enumerate(accounts or ("main",), 1)}
        self.min_pnl_change = Decimal(min_pnl_change)
        self.engine = Engine(self.watched(), self.now)
        self.effects: list[Effect] = []
        self._made = 0

    def watched(self) -> Watched:
        return Watched(dict(self.addresses), FEEDS, LIMITS, self.min_pnl_change)

    @property
    def now(self) -> Now:
        return Now(self.s, NOON_MS + round((self.s - 1000) * 1000))

    def says(self, *reports: Report) -> list[Effect]:
        found: list[Effect] = []
        for report in reports:
            found += self.engine.receive(report, self.now)
        self.effects += found
        return found

    def passes(self, seconds: float) -> list[Effect]:
        """Time goes by, a quarter of a second at a time."""
        found: list[Effect] = []
        until_s = self.s + seconds
        while self.s < until_s:
            self.s = min(until_s, self.s + 0.25)
            found += self.engine.tick(self.now)
        self.effects += found
        return found

    def revalues(self) -> list[Effect]:
        found = self.engine.revalue(self.now, 10_000)
        self.effects += found
        return found

    def of(self, kind: type[T], effects: Sequence[Effect] | None = None) -> list[T]:
        return [one for one in (self.effects if effects is None else effects) if isinstance(one, kind)]

    # ------------------------------------------------------------ reports

    def join(self, *workers: str) -> list[Effect]:
        kinds = {"fill": "fill", "fill-2": "fill"}
        return self.says(*(Joined(name, kinds.get(name, name), dict(self.addresses)) for name in workers))

    def goes_live(self, account: str = "main", feed: str = "fill") -> list[Effect]:
        following = Following(account, feed, self.s, 0)
        return self.says(Heard(feed, self.s), following, Fetched(account, 0, self.s))

    def statement(self, account: str = "main", **sizes: str) -> Statement:
        positions = tuple(
            StatedPosition(key_of(coin), Decimal(size), Decimal(100)) for coin, size in sizes.items()
        )
        return Statement(account, "hyperliquid", self.now.ms, self.s, positions, Decimal(1000))

    def marks(self, **prices: str) -> Marks:
        return Marks({key_of(coin): Decimal(price) for coin, price in prices.items()}, self.s)

    def fill(self, size: str, start: str, coin: str = "BTC", account: str = "main") -> Fill:
        self._made += 1
        moved = Decimal(size)
        return Fill(
            account=account,
            key=key_of(coin),
            time_ms=self.now.ms + self._made,
            side=Side.BUY if moved > 0 else Side.SELL,
            size=abs(moved),
            price=Decimal(100),
            start_position=Decimal(start),
            fee=Decimal("0.01"),
            fee_token="USDC",
            closed_pnl=Decimal(0),
            order_id=self._made,
            trade_id=self._made,
        )

    def live(self, *fills: Fill, feed: str = "fill") -> Fills:
        return Fills(fills[0].account, feed, fills, self.s)

    def proven(self, account: str = "main", **sizes: str) -> None:
        """The account is followed, stated and priced."""
        self.goes_live(account)
        self.says(self.statement(account, **sizes), self.marks(**dict.fromkeys(sizes, "100")))
        self.revalues()
