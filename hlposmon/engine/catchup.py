"""The feeds that follow an account but are not live yet, and the fills held for them.

A feed is live once it follows an account and all earlier fills are known. The reconcile worker fetches those,
once for all waiting feeds. Live fills that arrive before that would only look like a gap, so they are held.
If the earlier fills cannot be fetched, the held ones are released: a visible gap is better than a late fill.
Pure: the caller passes in all times.

    0.0 s  fill says that it follows main         -> a fetch is wanted 0.15 s later
    0.1 s  a fill comes                           -> held
    0.3 s  fill-2 says that it follows main       -> the fetch that began at 0.2 s is too early for it
    0.4 s  fetched, asked for at 0.2 s            -> fill is live, the held fill is applied
   10.2 s  the next fetch may be asked for        -> nothing is missing meanwhile, as fill is live
   10.4 s  fetched, asked for at 10.3 s           -> fill-2 is live
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from hlposmon.domain.reports import Fetched, Fills, Following

# How far back to look when nothing is known yet: enough to place the first statement.
FIRST_LOOK_MS = 300_000
# While another feed is live, fetches for feeds that come up are at least this far apart.
SPACING_S = 10.0
# An unanswered fetch request is repeated after this long: the worker that got it may have died.
AGAIN_S = 3.0
# A fetch is delayed this long, so that feeds that come up together share one.
TOGETHER_S = 0.15
# Limits on held fills: how long the first one is held, and how many an account may have.
HELD_S = 10.0
HELD_FILLS = 20_000


@dataclass(slots=True)
class _Account:
    """`waiting` are the feeds that follow and are not live, by name."""

    waiting: dict[str, Following] = field(default_factory=dict)
    held: list[Fills] = field(default_factory=list)
    held_since_s: float = 0.0
    open: bool = False  # fills are not held any more, as what is missing could not be had
    follows_s: float = 0.0  # when the last of them said so
    asked_s: float | None = None


class CatchUp:
    """The feeds of all accounts that are not live yet."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def follows(self, report: Following, now_s: float) -> None:
        """A feed follows an account, and waits for what came before."""
        one = self._of(report.account)
        one.waiting[report.feed] = report
        one.follows_s = now_s

    def lost(self, account: str, feed: str) -> None:
        """A feed follows it no more."""
        self._of(account).waiting.pop(feed, None)

    def waiting(self) -> list[str]:
        """The accounts that a feed follows which is not live."""
        return [name for name, one in self._accounts.items() if one.waiting]

    def is_due(self, account: str, now_s: float, *, live: bool) -> bool:
        """Whether a fetch is to be asked for now; `live` while another feed is."""
        one = self._of(account)
        if not one.waiting or now_s - one.follows_s < TOGETHER_S:
            return False
        return one.asked_s is None or now_s - one.asked_s >= (SPACING_S if live else AGAIN_S)

    def asked(self, account: str, now_s: float) -> None:
        """A fetch was asked for."""
        self._of(account).asked_s = now_s

    def ask_again(self) -> None:
        """Who was asked may be gone."""
        for one in self._accounts.values():
            one.asked_s = None

    def holds(self, fills: Fills, now_s: float) -> bool:
        """Hold live fills until the earlier ones are fetched; False if they must be applied now, because
        holding was given up or too many are held."""
        one = self._of(fills.account)
        count = sum(len(held.fills) for held in one.held)
        if count + len(fills.fills) > HELD_FILLS:
            one.open = True  # what is held goes first: `release` is asked for it
        if one.open:
            return False
        if not one.held:
            one.held_since_s = now_s
        one.held.append(fills)
        return True

    def fetched(self, report: Fetched, wanted_ms: int | None) -> list[Following]:
        """Note a completed fetch; return the feeds that are live now. A feed is live if the fetch covers all
        from `wanted_ms` on and its last page was requested after the feed began to follow."""
        one = self._of(report.account)
        if wanted_ms is None or report.from_ms > wanted_ms:
            one.asked_s = None  # it began too late: another is wanted
            return []
        ready = [each for each in one.waiting.values() if each.since_s <= report.asked_s]
        for each in ready:
            del one.waiting[each.feed]
        if not ready:
            one.asked_s = None  # it began too early: another is wanted
        return ready

    def failed(self, account: str) -> list[Following]:
        """Note a failed fetch; if feeds wait for it, stop holding fills, and return those feeds."""
        one = self._of(account)
        one.open = one.open or bool(one.waiting)
        return list(one.waiting.values())

    def went_live(self, account: str) -> None:
        """A feed is live: from now on fills are held again once none is."""
        self._of(account).open = False

    def release(self, account: str) -> list[Fills]:
        """What was held, in the order in which it came."""
        one = self._of(account)
        held, one.held = one.held, []
        return held

    def overdue(self, now_s: float) -> list[str]:
        """Accounts whose fills were held for too long."""
        late = [
            name for name, one in self._accounts.items() if one.held and now_s - one.held_since_s > HELD_S
        ]
        for name in late:
            self._accounts[name].open = True
        return late

    def keep(self, accounts: Collection[str]) -> None:
        """Drop all other accounts: their names may be reused for other addresses."""
        self._accounts = {name: one for name, one in self._accounts.items() if name in accounts}

    def _of(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())
