"""An account: its lines, its feeds of fills, and what the venue last said of it as a whole.

Owned by the Book. Which statement is newer, what befell the account, and what may be claimed of it
are known here; what a single size is worth is the lines' own.
"""

from dataclasses import dataclass, field, replace
from typing import TypeVar

from hlposmon.domain.changes import Filled, VerdictChanged
from hlposmon.domain.line import Line
from hlposmon.domain.position import Effect
from hlposmon.domain.reports import (
    AccountMode,
    AccountRole,
    FeedState,
    Happened,
    Notice,
    NoticeCode,
    NotWatched,
    Place,
    Statement,
    Unlisted,
)
from hlposmon.domain.verdict import UNHEARD, Evidence, Freshness, Verdict, judge
from hlposmon.domain.views import AccountView

FAR_BEHIND_MS = 600_000
# What befell an account is kept as the cause of a drift: the newest so many.
KEPT_HAPPENINGS = 64
# Where an account has to be looked at before nothing is known to be left out.
LOOKS = frozenset({Place.DEXES, Place.SPOT})
# What the venue takes an address for that has no account of its own; it answers as for an empty one.
NO_ACCOUNT = ("missing", "agent")
_NOT_WATCHED = "not watched: only perpetuals of the first dex are"

Kept = TypeVar("Kept", Happened, Unlisted)


@dataclass(slots=True)
class Account:
    """One account: its lines by key, its feeds, and what the venue last said of it."""

    stated: bool = False
    base_ms: int = 0
    # The time of the newest statement that was taken while a feed of fills was live.
    whole_ms: int = 0
    # The newest told, the newest that was asked for, and the newest pushed.
    statement: Statement | None = None
    answer: Statement | None = None
    push: Statement | None = None
    feeds: dict[str, FeedState] = field(default_factory=dict)
    live_since_s: float | None = None
    lines: dict[str, Line] = field(default_factory=dict)
    notices: dict[tuple[str, NoticeCode], Notice] = field(default_factory=dict)
    # What it holds and is not watched, by where that was looked at; and the coins of fills that are not
    # watched, each with the places that were looked at since.
    elsewhere: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    traded: dict[str, set[Place]] = field(default_factory=dict)
    mode: AccountMode | None = None
    role: AccountRole | None = None
    is_mode_in_doubt: bool = False
    happened: list[Happened] = field(default_factory=list)
    unlisted: list[Unlisted] = field(default_factory=list)
    # Keys (or "" for all) whose fills are not known to be whole since a time, in milliseconds.
    unsure: dict[str, int] = field(default_factory=dict)
    freshness: Freshness = UNHEARD
    verdict: Verdict | None = None
    reason: str | None = None
    # Kept true by `note_change`, so that no question walks all lines: those in doubt, and the latest time up
    # to which the fills of one are known (None without a line).
    doubtful: dict[str, Line] = field(default_factory=dict)
    known_ms: int | None = None
    _latest_known: Line | None = None
    # The lines to be judged, and what the others were judged on.
    _changed: dict[str, Line] = field(default_factory=dict)
    _judged_on: tuple[Evidence, tuple[str | None, ...]] | None = None

    @property
    def is_live(self) -> bool:
        """Whether at least one feed of fills is up."""
        return any(feed.live for feed in self.feeds.values())

    @property
    def whole_until_ms(self) -> int | None:
        """Since when fills may have been missed, no feed of them being live; None while one is."""
        return None if self.is_live else max(self.whole_ms, self.unsure.get("", self.base_ms))

    def is_old(self, statement: Statement) -> bool:
        """Whether a newer one of its kind was told. Pushes of two connections come slightly out of order."""
        if not statement.pushed:
            return self.answer is not None and statement.asked_s <= self.answer.asked_s
        return self.push is not None and statement.time_ms < self.push.time_ms

    def is_far_behind(self, statement: Statement) -> bool:
        """Whether it is from long before the last fill: a block's time never goes back, so that its server
        is far behind the others, and what it says is no evidence of anything."""
        known_ms = self.known_ms
        return known_ms is not None and known_ms > statement.time_ms + FAR_BEHIND_MS

    @property
    def gaps(self) -> dict[str, int]:
        """The keys whose fills wait behind a missing one, and since when one is missing."""
        gaps = ((key, line.holding.gap) for key, line in self.doubtful.items())
        return {key: gap.since_ms for key, gap in gaps if gap is not None}

    def is_newest(self, statement: Statement) -> bool:
        """Whether no statement of either kind is newer, so that its figures are those to show."""
        return self.statement is None or statement.asked_s >= self.statement.asked_s

    def note(self, statement: Statement) -> None:
        """Keep a statement as the newest of its kind, and of all if it is."""
        if self.is_live:
            self.whole_ms = max(self.whole_ms, statement.time_ms)
        if self.is_newest(statement):
            before, self.statement = self.statement, statement
            if before is not None and before.equity and not statement.equity and self._is_plain:
                # It may be withdrawn, or kept elsewhere from now on: the mode can change at any time.
                self.is_mode_in_doubt = True
        if statement.pushed:
            self.push = statement
        else:
            self.answer = statement

    def take_notice(self, notice: Notice) -> bool:
        """Keep it in the place of the one before, or end that; whether anything changed."""
        name = notice.source, notice.code
        before = self.notices.pop(name, None)
        if notice.text:
            self.notices[name] = notice
        return before != self.notices.get(name)

    def take_not_watched(self, report: NotWatched) -> bool:
        """Note all that is held at one place, or what fills have told; whether anything changed."""
        before = self._left_out()
        if report.place is Place.TRADED:
            self.traded.update({coin: set() for coin in report.holdings})
        else:
            self.elsewhere[report.place] = report.holdings
            for coin, looked in list(self.traded.items()):
                looked.add(report.place)
                if looked >= LOOKS:
                    del self.traded[coin]
        return before != self._left_out()

    def take_mode(self, mode: AccountMode) -> None:
        """The venue has answered how the balances are kept."""
        self.mode, self.is_mode_in_doubt = mode, False

    def _left_out(self) -> list[str]:
        """What it holds or trades and is not watched, as notices say it."""
        held = [f"{one} is held but {_NOT_WATCHED}" for found in self.elsewhere.values() for one in found]
        return held + [f"{coin} is traded but {_NOT_WATCHED}" for coin in sorted(self.traded)]

    @property
    def _is_plain(self) -> bool:
        return self.mode is not None and self.mode.plain

    @property
    def _equity_reason(self) -> str | None:
        """Why the figures of its statements are not those of the whole account; None when they are."""
        if self.statement is None:
            return "no statement from the venue yet"
        if self.role is not None and self.role.role in NO_ACCOUNT:
            return "the venue has no account at this address"
        if self.mode is None:
            return "it is not known yet how its balances are kept (account mode)"
        if self.is_mode_in_doubt:
            return "its equity fell to zero: it is asked again how its balances are kept (account mode)"
        return None if self.mode.plain else self.mode.reason

    @property
    def _unsettled(self) -> str | None:
        """What is not known yet and has to be, before nothing is known to be left out."""
        if not self.elsewhere.keys() >= LOOKS:
            missing = ", ".join(sorted(LOOKS - self.elsewhere.keys()))
            return f"not looked yet at what else it holds ({missing})"
        statement = self.statement
        known = self.role is not None and self.role.role
        if not known and statement is not None and not statement.positions and not statement.equity:
            return "it holds nothing, and it is not known yet whether the venue knows its address"
        return None

    def view(self, name: str) -> AccountView:
        statement, reason = self.statement, self._equity_reason
        shown = statement if reason is None else None
        left_out = (Notice(name, NoticeCode.NOT_WATCHED, text) for text in self._left_out())
        return AccountView(
            account=name,
            verdict=self.verdict or Verdict.UNPROVEN,
            reason=self.reason if self.verdict else "not judged yet",
            equity=shown.equity if shown else None,
            margin_used=shown.margin_used if shown else None,
            withdrawable=shown.withdrawable if shown else None,
            notices=(*self.notices.values(), *left_out),
            equity_reason=reason,
            mode=self.mode.mode if self.mode else None,
            role=self.role.role if self.role else None,
            owner=self.role.owner if self.role else None,
            unsettled=self._unsettled,
            stated=self.stated,
            as_of_ms=statement.time_ms if statement else None,
        )

    def note_change(self, key: str, line: Line) -> None:
        """A report has changed this line: it is to be judged, and what sums up all lines is kept true."""
        self._changed[key] = line
        if line.is_doubtful:
            self.doubtful[key] = line
        else:
            self.doubtful.pop(key, None)
        known_ms = line.holding.known_ms
        if self.known_ms is None or known_ms >= self.known_ms:
            self.known_ms, self._latest_known = known_ms, line
        elif line is self._latest_known:
            # After a drift it may be known to an earlier time than before, and than others.
            self._latest_known = max(self.lines.values(), key=lambda one: one.holding.known_ms)
            self.known_ms = self._latest_known.holding.known_ms

    def note_next(self, key: str, line: Line, filled: Filled) -> bool:
        """A fill was plainly the next one of this line; whether it is to be judged for it: prices are wanted
        of what is open only, and nothing else can have changed."""
        known_ms = filled.fill.time_ms
        if self.known_ms is None or known_ms >= self.known_ms:
            self.known_ms, self._latest_known = known_ms, line
        if filled.effect is not Effect.OPENED and filled.effect is not Effect.CLOSED:
            return False
        self._changed[key] = line
        return True

    def set_freshness(self, freshness: Freshness) -> bool:
        """Keep the ages; whether a verdict may differ for it."""
        before, self.freshness = self.freshness, freshness
        return before.decisive != freshness.decisive

    def judge(self) -> list[VerdictChanged]:
        """Judge the account, and of its lines those that changed: all, where what they share has changed."""
        shared = self._evidence()
        doubt = None
        if self.doubtful:
            key = min(self.doubtful)
            doubt = f"{key}: {next(one for one in self.doubtful[key].doubts() if one)}"
        fresh = self.freshness
        self.verdict, self.reason = judge(replace(shared, doubt=doubt), fresh)
        basis = shared, fresh.decisive
        lines = self._changed if basis == self._judged_on else self.lines
        # What waits for the first statement is no position yet.
        judged = [line.judge(shared, fresh) for line in lines.values() if line.holding.based]
        self._judged_on, self._changed = basis, {}
        return [change for change in judged if change is not None]

    def _evidence(self) -> Evidence:
        """What all its lines share of what is known of them."""
        down = None
        if not self.is_live:
            reasons = [feed.reason for feed in self.feeds.values() if feed.reason]
            down = (
                f"the feed of fills is down: {reasons[-1]}" if reasons else "the feed of fills is not up yet"
            )
        asked_s = self.statement.asked_s if self.statement else None
        confirmed = asked_s is not None and self.live_since_s is not None and asked_s >= self.live_since_s
        return Evidence(stated=self.stated, confirmed=confirmed, feed_down=down, open=False)


def keep(kept: list[Kept], one: Kept) -> bool:
    """Keep the newest; whether it is news."""
    if one in kept:
        return False
    kept.append(one)
    del kept[:-KEPT_HAPPENINGS]
    return True
