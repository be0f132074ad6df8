"""How many accounts are watched by stream and how many by poll, and what that costs. Pure.

The exchange follows a few users for each IP address; the accounts beyond them are polled in rounds. A round
of one account is a page of fills and its statements. All rounds share what is left of the request weight of a
minute when everything else is paid, so the number of accounts gives the length of a round, the same for all.
Figures are what an account with few fills costs: an account with 1000 fills a round costs 50 more.

Example: 200 accounts, 10 of them by stream, statements every 60 s. Identities and prices take 170 of the
budget of 850, the streams 253.5, the hourly and rare requests of 190 accounts 82.3: 344 are left for 190
rounds of 26, so a round lasts 60 * 190 * 26 / 344 = 862 s.
"""

from dataclasses import dataclass

# Request weights (the venue's API documentation, rate limits), as `venues.hyperliquid.client` spends them.
STATEMENT, SPOT, FILLS, DEXES = 2, 2, 21, 20
# What rounds and all other regular requests may take of a minute. The exchange allows 1200, of which HEADROOM
# is reserved for heals. The rest of 150 is for pages with many fills and for accounts that are asked early.
HEADROOM, BUDGET = 200, 850
# A minute's weight of the requests for roles and modes, and of tokens, prices and names of dexes.
IDENTITIES, OTHERS = 150, 20
# One statement of a further dex for every second account.
ROUND = FILLS + STATEMENT + SPOT + 1
LOOKS_A_MINUTE = 1.0  # at the fills of an account that is followed by stream
FUNDINGS_A_MINUTE = 1 / 60
# Seconds between two requests for what a polled account holds on other dexes, and for its mode.
RARELY_S = 4 * 3600.0
# A longer round is of no use: its figures would be hours old.
LONGEST_ROUND_S = 7200.0


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """`streamed` and `polled` are numbers of accounts. `round_s` is the seconds in which each polled account
    has one round, None if none is polled. `weight` is the request weight of a minute, `more` how many further
    accounts would fit. `fits`: there is enough weight for all of them."""

    streamed: int
    polled: int
    round_s: float | None
    weight: int
    more: int

    @property
    def fits(self) -> bool:
        """Whether a round of all polled accounts ends within LONGEST_ROUND_S."""
        return self.round_s is None or self.round_s <= LONGEST_ROUND_S

    def __str__(self) -> str:
        """The plan in one line."""
        by_poll = "none by poll"
        if self.round_s is not None:
            by_poll = f"{self.polled} by poll, {self.round_s:.0f} s a round"
        return (
            f"{self.streamed} by stream, {by_poll}; {self.weight} weight a minute, {self.more} more would fit"
        )


def plan_for(accounts: int, *, max_users: int, interval_s: float) -> WatchPlan:
    """The plan for so many accounts, of which the exchange follows `max_users`; `interval_s` is the seconds
    between two statements of an account that is followed by stream. A round is not shorter than that."""
    streamed = min(accounts, max_users)
    polled = accounts - streamed
    left = BUDGET - _regular(streamed, interval_s)
    rarely = _rarely() * polled
    for_rounds = max(left - rarely, 0.0)
    round_s = None
    if polled:
        # Without any weight left a round would never end; it is said that the accounts do not fit.
        shortest_s = 60 * polled * ROUND / for_rounds if for_rounds else 2 * LONGEST_ROUND_S
        round_s = float(max(interval_s, round(shortest_s + 0.5)))
    rounds = 60 * polled * ROUND / round_s if round_s else 0.0
    most = max_users + _most_polled(BUDGET - _regular(max_users, interval_s))
    return WatchPlan(
        streamed=streamed,
        polled=polled,
        round_s=round_s,
        weight=round(_regular(streamed, interval_s) + rarely + rounds),
        more=max(0, most - accounts),
    )


def _regular(streamed: int, interval_s: float) -> float:
    """The weight of a minute without polled accounts."""
    each = (STATEMENT + SPOT) * 60 / interval_s + FILLS * (LOOKS_A_MINUTE + FUNDINGS_A_MINUTE)
    return IDENTITIES + OTHERS + each * streamed


def _rarely() -> float:
    """The weight of a minute of what one polled account is asked for beside its rounds."""
    return FILLS * FUNDINGS_A_MINUTE + DEXES * 60 / RARELY_S


def _most_polled(left: float) -> int:
    """How many accounts can be polled with this weight of a minute, in rounds of LONGEST_ROUND_S."""
    return max(0, int(left / (60 * ROUND / LONGEST_ROUND_S + _rarely())))
