"""Counts, for each fill feed, the fills that it delivered, delivered first, and missed.

Losing a fill on one of two feeds costs nothing, since the other's copy counts; but a feed that loses fills is
unreliable. A feed missed a fill if it was live when the fill first arrived from any source, has been live
since, and has not delivered it within GRACE_S. Pure: the caller passes in `now_s`.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from hlposmon.domain.reports import FeedState, Fill, Identity

# How long a feed may take to bring its copy, and how long copies are matched at all.
GRACE_S, KEPT_S = 5.0, 15.0
KEPT_FILLS = 20_000
# Deliveries are matched lazily, so that a fill does not wait for it: at the latest after this many reports.
WAITING_REPORTS = 1000


@dataclass(slots=True)
class Tally:
    """Of one feed: fills that it brought, those that it brought first, and those that it missed."""

    fills: int = 0
    first: int = 0
    missed: int = 0


@dataclass(slots=True)
class _Arrival:
    account: str
    first_s: float
    brought: set[str] = field(default_factory=set)


class Feeds:
    """The tallies of all feeds, and since when each is live for which account."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._unmatched: list[tuple[str, str, Sequence[Fill], Collection[Identity], float]] = []
        self._live_s: dict[tuple[str, str], float] = {}
        self._arrivals: OrderedDict[tuple[str, Identity], _Arrival] = OrderedDict()
        self._judged: OrderedDict[tuple[str, Identity], _Arrival] = OrderedDict()

    @property
    def tallies(self) -> dict[str, Tally]:
        """The tally of each feed, by its name."""
        self._match()
        return self._tallies

    def watch(self, feeds: Iterable[str], accounts: Collection[str]) -> None:
        """Only these feeds and accounts count from now on."""
        self._match()
        wanted = set(feeds)
        self._tallies = {feed: tally for feed, tally in self._tallies.items() if feed in wanted}
        self._live_s = {
            name: at_s for name, at_s in self._live_s.items() if name[0] in wanted and name[1] in accounts
        }
        for arrivals in (self._arrivals, self._judged):
            for name in [name for name in arrivals if name[0] not in accounts]:
                del arrivals[name]

    def state(self, state: FeedState, now_s: float) -> None:
        """A feed came up or went down for an account."""
        self._match()
        name = state.feed, state.account
        self._tallies.setdefault(state.feed, Tally())
        if not state.live:
            self._live_s.pop(name, None)
        else:
            self._live_s.setdefault(name, now_s)

    def live(self) -> set[tuple[str, str]]:
        """The (feed, account) pairs that are live."""
        return set(self._live_s)

    def has(self, feed: str) -> bool:
        """Whether the feed has reported a state, up or down, since it is watched."""
        return feed in self._tallies

    def brought(
        self, source: str, account: str, fills: Sequence[Fill], new: Collection[Identity], now_s: float
    ) -> None:
        """Note that `source` delivered these fills of an account; `new` came for the first time."""
        self._unmatched.append((source, account, fills, new, now_s))
        if len(self._unmatched) > WAITING_REPORTS:
            self._match()

    def _match(self) -> None:
        if self._unmatched:
            unmatched, self._unmatched = self._unmatched, []
            for report in unmatched:
                self._note(*report)

    def _note(
        self, source: str, account: str, fills: Sequence[Fill], new: Collection[Identity], now_s: float
    ) -> None:
        tally, new = self._tallies.get(source), frozenset(new)
        for fill in fills:
            identity = fill.identity
            name = account, identity
            arrival = self._arrivals.get(name) or self._judged.get(name)
            if arrival is None:
                if identity not in new:
                    continue  # long known: it tells nothing of the others
                arrival = self._arrivals[name] = _Arrival(account, now_s)
                if tally is not None:
                    tally.first += 1
            if tally is not None and source not in arrival.brought:
                arrival.brought.add(source)
                tally.fills += 1
        while len(self._arrivals) > KEPT_FILLS:
            self._arrivals.popitem(last=False)

    def judge(self, now_s: float) -> dict[str, int]:
        """How many fills each feed was found to have missed since the last call."""
        self._match()
        found: dict[str, int] = {}
        while self._arrivals:
            name, arrival = next(iter(self._arrivals.items()))
            if now_s - arrival.first_s < GRACE_S:
                break
            del self._arrivals[name]
            self._judged[name] = arrival
            for feed, tally in self._tallies.items():
                live_s = self._live_s.get((feed, arrival.account))
                if live_s is not None and live_s < arrival.first_s and feed not in arrival.brought:
                    tally.missed += 1
                    found[feed] = found.get(feed, 0) + 1
        while self._judged and now_s - next(iter(self._judged.values())).first_s > KEPT_S:
            self._judged.popitem(last=False)
        return found
