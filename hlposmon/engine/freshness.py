"""How old each feed is, and when that is too old: the limits that verdicts and health rest on. Pure.

Three things make a number fresh: a feed of fills that was heard, prices, and the scope's last statement.
Whether one of them is over its limit changes at a known time, which is kept as a deadline; `changed` names
the scopes for which it did since it was last asked. So that an idle tick costs the same for one account
and for three hundred.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hlposmon.domain.reports import FIRST_SCOPE
from hlposmon.domain.verdict import Age, Freshness
from hlposmon.engine.deadlines import Deadlines

# A fill processed more than BEHIND_S after it was received makes sizes unproven, as this machine is too busy;
# they stay so for BEHIND_FOR_S after the last such fill.
BEHIND_S, BEHIND_FOR_S = 2.0, 2.0
_LATE = f"fills are taken more than {BEHIND_S:g} s after they were heard: this machine is too busy"
# A polled account is stale after so many of its rounds: one may fail, and the next come late.
ROUNDS_STALE = 2.5
# An account and its scope, by name.
ScopeName = tuple[str, str]
_AWAY = f"the monitor did not run for more than {BEHIND_S:g} s: what came meanwhile is being read"


@dataclass(frozen=True, slots=True)
class FreshnessLimits:
    """Seconds after which a feed is late (the first), and after which its numbers are stale (the second)."""

    fills: tuple[float, float]
    prices: tuple[float, float]
    reconcile: tuple[float, float]
    # Pushes are a second opinion that costs nothing: late ones are reported, and make nothing stale.
    # How often they come is not documented: the limit is beyond what a quiet account may take.
    pushes: tuple[float, float] = (90.0, 300.0)


class FreshnessOfFeeds:
    """When each feed was last heard, in seconds of the monotonic clock."""

    def __init__(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        self._feeds: dict[str, float] = {}
        self._prices_s: float | None = None
        # Accounts whose prices could not be fetched recently, and when theirs were last heard.
        self._unpriced_s: dict[str, float | None] = {}
        self._behind, self._behind_until_s = _LATE, 0.0
        self._asked_at_s: float | None = None
        # When the last suspension of the machine was noticed, and how long all of them were together.
        self._woken_s, self._suspended_for_s = 0.0, 0.0
        self._pushed_s: dict[str, float] = {}
        self._asked_s: dict[str, float] = {}
        # The newest statement of each account and scope, asked for or pushed, and when it will be too old.
        self._stated_s: dict[ScopeName, float] = {}
        self._statement_due = Deadlines[ScopeName]()
        self._changed: set[ScopeName] = set()
        self._common: object = None
        # Of polled accounts, after how many seconds a round is stale.
        self._round_limits_s: dict[str, float] = {}

    @property
    def limits(self) -> FreshnessLimits:
        """After how many seconds each feed is late and stale. Setting others moves every deadline."""
        return self._limits

    @limits.setter
    def limits(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        for name in self._stated_s:
            self._expect_statement(name)
        self._changed.update(self._stated_s)

    def poll(self, rounds_s: Mapping[str, float]) -> None:
        """Take these accounts for polled, each every so many seconds: their rounds are stale after
        ROUNDS_STALE of that. A scope's age is that of its last complete round, see `stated`."""
        limits_s = {name: ROUNDS_STALE * round_s for name, round_s in rounds_s.items()}
        turned = limits_s.keys() ^ self._round_limits_s.keys()
        self._round_limits_s = limits_s
        for scope in [scope for scope in self._stated_s if scope[0] in turned]:
            del self._stated_s[scope]  # of a statement alone, or of a round
            self._statement_due.clear(scope)
        for scope in self._stated_s:
            self._expect_statement(scope)
        for heard in (self._pushed_s, self._asked_s):
            for name in heard.keys() & limits_s.keys():
                del heard[name]
        self._common = None

    # ------------------------------------------------------------------ heard

    def heard_statement(self, account: str, at_s: float, *, pushed: bool) -> None:
        """A statement came: `pushed`, or asked for at `at_s`. One of a polled account counts for no feed."""
        if account in self._round_limits_s:
            return
        at_s = self._awake(at_s)
        heard = self._pushed_s if pushed else self._asked_s
        heard[account] = max(at_s, heard.get(account, at_s))

    def stated(self, name: ScopeName, at_s: float | None) -> None:
        """Note when the newest statement of an account's scope that the book has taken was asked for or
        pushed; `name` is that of the account and of the scope."""
        at_s = None if at_s is None else self._awake(at_s)
        if at_s is not None and self._stated_s.get(name) != at_s:
            self._stated_s[name] = at_s
            self._expect_statement(name)
            self._changed.add(name)

    def took_fill(self, heard_s: float, now_s: float) -> bool:
        """Note that a live fill, heard at `heard_s`, is processed now; whether that is too late."""
        is_late = now_s - heard_s > BEHIND_S
        if is_late:
            self._behind, self._behind_until_s = _LATE, now_s + BEHIND_FOR_S
        return is_late

    def note_call(self, now_s: float) -> bool:
        """Call this at least once a second. True if the last call is too long ago: the process was stopped,
        or got no processor time. Fills may be waiting in queues, so all that is known is as old as the
        pause."""
        before_s, self._asked_at_s = self._asked_at_s, now_s
        if before_s is None or now_s - before_s <= BEHIND_S:
            return False
        self._behind, self._behind_until_s = _AWAY, now_s + BEHIND_FOR_S
        return True

    def heard_feed(self, feed: str, at_s: float) -> None:
        """A fill feed sent something, be it only a keep-alive, at `at_s` (monotonic seconds). A time before
        the known one changes nothing."""
        at_s = self._awake(at_s)
        self._feeds[feed] = max(at_s, self._feeds.get(feed, at_s))

    def heard_prices(self, at_s: float, missing: Iterable[str] = ()) -> None:
        """Note that prices arrived; `missing` are the accounts whose coins they do not cover."""
        at_s = self._awake(at_s)
        before = self._unpriced_s
        self._unpriced_s = {name: before.get(name, self._prices_s) for name in missing}
        changed = before.keys() ^ self._unpriced_s.keys()
        if changed:
            self._changed.update(name for name in self._stated_s if name[0] in changed)
        self._prices_s = max(at_s, self._prices_s or at_s)

    def note_suspension(self, seconds: float, now_s: float) -> None:
        """Age all known times by `seconds`: the machine was suspended and the monotonic clock stood still.
        What was received before `now_s` and is reported later is aged too."""
        self._woken_s = now_s
        self._suspended_for_s += seconds
        for heard in (self._feeds, self._pushed_s, self._asked_s):
            for name in heard:
                heard[name] -= seconds
        for scope in self._stated_s:
            self._stated_s[scope] -= seconds
        if self._prices_s is not None:
            self._prices_s -= seconds
        for name, at_s in self._unpriced_s.items():
            self._unpriced_s[name] = None if at_s is None else at_s - seconds
        for scope in self._stated_s:
            self._expect_statement(scope)
        self._changed.update(self._stated_s)

    def watch(self, accounts: Iterable[str], feeds: Iterable[str]) -> None:
        """Forget all other accounts and feeds of fills."""
        kept, wanted = set(accounts), set(feeds)
        self._feeds = {name: at_s for name, at_s in self._feeds.items() if name in wanted}
        for heard in (self._pushed_s, self._asked_s):
            for name in heard.keys() - kept:
                del heard[name]
        for scope in [scope for scope in self._stated_s if scope[0] not in kept]:
            del self._stated_s[scope]
            self._statement_due.clear(scope)
        self._common = None

    # ------------------------------------------------------------------ asked

    def changed(self, scopes: Callable[[], Iterable[ScopeName]], now_s: float) -> Iterable[ScopeName]:
        """The scopes whose freshness may have changed since the last call; `scopes` returns all of them."""
        common = (
            self._is_over(self.fills_age(now_s), self._limits.fills),
            self._is_over(self.prices_age(now_s), self._limits.prices),
            self._behind if now_s < self._behind_until_s else None,
            tuple(
                (name, self._is_over(_since(at_s, now_s), self._limits.prices))
                for name, at_s in self._unpriced_s.items()
            ),
        )
        changed, self._changed = self._changed, set()
        changed.update(self._statement_due.take(now_s))
        if common != self._common:
            self._common = common
            return list(scopes())
        return sorted(changed & self._stated_s.keys()) if changed else ()

    def freshness(self, account: str, now_s: float, scope: str = FIRST_SCOPE) -> Freshness:
        """The ages behind the positions of an account's scope."""
        priced_s = self._unpriced_s.get(account, self._prices_s)
        return Freshness(
            fills=Age(self.fills_age(now_s), self._limits.fills[1]),
            prices=Age(_since(priced_s, now_s), self._limits.prices[1]),
            statement=Age(_since(self._stated_s.get((account, scope)), now_s), self._stale_s(account)),
            behind=self._behind if now_s < self._behind_until_s else None,
            is_polled=account in self._round_limits_s,
        )

    def fills_age(self, now_s: float) -> float | None:
        """Of several feeds the freshest counts: one is enough."""
        return _since(max(self._feeds.values(), default=None), now_s)

    def prices_age(self, now_s: float) -> float | None:
        """Seconds since any prices came; None before the first. Accounts whose coins were not among them are
        older."""
        return _since(self._prices_s, now_s)

    def pushes_age(self, now_s: float) -> float | None:
        """The age of the oldest account's last push; None when none is pushed."""
        return _since(min(self._pushed_s.values(), default=None), now_s)

    def rest_age(self, now_s: float) -> float | None:
        """The age of the oldest account's last statement by REST; None before the first."""
        return _since(min(self._asked_s.values(), default=None), now_s)

    def statements_age(self, accounts: Iterable[str], now_s: float) -> float | None:
        """The age of the oldest scope's newest statement; None when an account's first dex has none yet.
        Polled accounts are left out: their verdicts tell how old they are."""
        wanted = set(accounts) - self._round_limits_s.keys()
        if not wanted or any((name, FIRST_SCOPE) not in self._stated_s for name in wanted):
            return None
        return _since(min(at_s for name, at_s in self._stated_s.items() if name[0] in wanted), now_s)

    def feed_ages(self, now_s: float) -> dict[str, float]:
        """The age of each feed of fills, by its name, in seconds."""
        return {feed: round(max(0.0, now_s - at_s), 3) for feed, at_s in sorted(self._feeds.items())}

    # ------------------------------------------------------------------ within

    def _awake(self, at_s: float) -> float:
        """A time at which something was heard, as if the clock had run on while the machine was suspended. Of
        several suspensions all count: what was heard between two of them is taken for older than it is."""
        return at_s - self._suspended_for_s if at_s < self._woken_s else at_s

    def _expect_statement(self, name: ScopeName) -> None:
        # A little later than the limit: at the limit itself a statement is not over it yet.
        self._statement_due.set(name, self._stated_s[name] + self._stale_s(name[0]) + 0.001)

    def _stale_s(self, account: str) -> float:
        return self._round_limits_s.get(account, self._limits.reconcile[1])

    @staticmethod
    def _is_over(age_s: float | None, limits: tuple[float, float]) -> tuple[bool, bool]:
        """Whether anything was heard at all, which a verdict's reason tells, and whether that is too old."""
        return age_s is None, age_s is None or age_s > limits[1]


def _since(at_s: float | None, now_s: float) -> float | None:
    return None if at_s is None else max(0.0, now_s - at_s)
