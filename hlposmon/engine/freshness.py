"""How old each feed is, and when that is late: the limits that verdicts and health rest on."""

from collections.abc import Iterable
from dataclasses import dataclass

from hlposmon.config import Settings
from hlposmon.domain.verdict import Age, Freshness


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds after which a feed is late (`warn`), and after which its numbers are stale (`stale`)."""

    fills: tuple[float, float]
    prices: tuple[float, float]
    reconcile: tuple[float, float]
    # Pushes are a second opinion that costs nothing: late ones are said, and make nothing stale.
    # How often they come is not documented: the limit is beyond what a quiet account may take.
    pushes: tuple[float, float] = (90.0, 300.0)

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        price_s, reconcile_s = settings.prices.interval_s, settings.reconcile.interval_s
        return cls(
            fills=(5.0, 15.0),
            prices=(max(5.0, 5 * price_s), max(15.0, 15 * price_s)),
            reconcile=(max(120.0, 2 * reconcile_s), max(300.0, 5 * reconcile_s)),
        )


# Fills that are taken so much later than they were heard make no size proven: this machine is too busy. And
# for so long after the last such fill.
BEHIND_S, BEHIND_FOR_S = 2.0, 2.0
_BEHIND = f"fills are taken more than {BEHIND_S:g} s after they were heard: this machine is too busy"


class Clocks:
    """When each feed was last heard, in seconds of the monotonic clock."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._feeds: dict[str, float] = {}
        self._prices_s: float | None = None
        # Accounts whose prices could not be had of late, and when they were heard last.
        self._unpriced_s: dict[str, float | None] = {}
        self._behind_until_s = 0.0
        self._pushed_s: dict[str, float] = {}
        self._asked_s: dict[str, float] = {}

    def heard_statement(self, account: str, at_s: float, *, pushed: bool) -> None:
        heard = self._pushed_s if pushed else self._asked_s
        heard[account] = max(at_s, heard.get(account, at_s))

    def watch(self, accounts: Iterable[str], feeds: Iterable[str]) -> None:
        """Only these accounts and feeds of fills count from now on."""
        kept, wanted = set(accounts), set(feeds)
        self._feeds = {name: at_s for name, at_s in self._feeds.items() if name in wanted}
        self._pushed_s = {name: at_s for name, at_s in self._pushed_s.items() if name in kept}
        self._asked_s = {name: at_s for name, at_s in self._asked_s.items() if name in kept}

    def pushes_age(self, now_s: float) -> float | None:
        """The age of the oldest account's last push; None when none is pushed."""
        return _since(min(self._pushed_s.values(), default=None), now_s)

    def rest_age(self, now_s: float) -> float | None:
        """The age of the oldest account's last statement by REST; None before the first."""
        return _since(min(self._asked_s.values(), default=None), now_s)

    def took_fill(self, heard_s: float, now_s: float) -> None:
        """A live fill is taken now that was heard at `heard_s`."""
        if now_s - heard_s > BEHIND_S:
            self._behind_until_s = now_s + BEHIND_FOR_S

    def heard_feed(self, feed: str, at_s: float) -> None:
        self._feeds[feed] = max(at_s, self._feeds.get(feed, at_s))

    def heard_prices(self, at_s: float, missing: Iterable[str] = ()) -> None:
        """Prices came; `missing` are the accounts of whose coins they are not."""
        self._unpriced_s = {name: self._unpriced_s.get(name, self._prices_s) for name in missing}
        self._prices_s = max(at_s, self._prices_s or at_s)

    def slept(self, seconds: float) -> None:
        """The machine was suspended, and the clock with it: all that was heard is older by that."""
        for heard in (self._feeds, self._pushed_s, self._asked_s):
            for name in heard:
                heard[name] -= seconds
        if self._prices_s is not None:
            self._prices_s -= seconds
        for name, at_s in self._unpriced_s.items():
            self._unpriced_s[name] = None if at_s is None else at_s - seconds

    def fills_age(self, now_s: float) -> float | None:
        """Of several feeds the freshest counts: one is enough."""
        return _since(max(self._feeds.values(), default=None), now_s)

    def prices_age(self, now_s: float) -> float | None:
        return _since(self._prices_s, now_s)

    def feed_ages(self, now_s: float) -> dict[str, float]:
        return {feed: round(max(0.0, now_s - at_s), 3) for feed, at_s in sorted(self._feeds.items())}

    def freshness(self, account: str, asked_s: float | None, now_s: float) -> Freshness:
        """The ages behind the positions of an account whose last statement was asked for at `asked_s`."""
        priced_s = self._unpriced_s.get(account, self._prices_s)
        return Freshness(
            fills=Age(self.fills_age(now_s), self.limits.fills[1]),
            prices=Age(_since(priced_s, now_s), self.limits.prices[1]),
            statement=Age(_since(asked_s, now_s), self.limits.reconcile[1]),
            behind=_BEHIND if now_s < self._behind_until_s else None,
        )


def oldest(asked: Iterable[float | None], now_s: float) -> float | None:
    """The age of the oldest statement; None when an account has none yet."""
    times = list(asked)
    if not times or any(at is None for at in times):
        return None
    return _since(min(at for at in times if at is not None), now_s)


def _since(at_s: float | None, now_s: float) -> float | None:
    return None if at_s is None else max(0.0, now_s - at_s)
