"""An account: its lines, its feeds of fills, and what the venue last said of it as a whole.

Owned by the Book. Which statement is newer, what befell the account, and what may be claimed of it
are known here; what a single size is worth is the lines' own.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from hlposmon.domain.line import Line
from hlposmon.domain.reports import FeedState, Happened, Notice, Statement, Unlisted
from hlposmon.domain.verdict import Evidence, Verdict
from hlposmon.domain.views import AccountView

FAR_BEHIND_MS = 600_000
# What befell an account is kept as the cause of a drift: the newest so many.
KEPT_HAPPENINGS = 64

Kept = TypeVar("Kept", Happened, Unlisted)


@dataclass(slots=True)
class Account:
    """One account: its lines by key, its feeds, and what the venue last said of it."""

    stated: bool = False
    base_ms: int = 0
    # The newest told, the newest that was asked for, and the newest pushed.
    statement: Statement | None = None
    answer: Statement | None = None
    push: Statement | None = None
    feeds: dict[str, FeedState] = field(default_factory=dict)
    live_since_s: float | None = None
    lines: dict[str, Line] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    unlisted: list[Unlisted] = field(default_factory=list)
    # Keys (or "" for all) whose fills are not known to be whole since a time, in milliseconds.
    unsure: dict[str, int] = field(default_factory=dict)
    verdict: Verdict | None = None
    reason: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether at least one feed of fills is up."""
        return any(feed.live for feed in self.feeds.values())

    def is_old(self, statement: Statement) -> bool:
        """Whether a newer one of its kind was told. Pushes of two connections come slightly out of order."""
        if not statement.pushed:
            return self.answer is not None and statement.asked_s <= self.answer.asked_s
        return self.push is not None and statement.time_ms < self.push.time_ms

    def is_far_behind(self, statement: Statement) -> bool:
        """Whether it is from long before the last fill: a block's time never goes back, so that its server
        is far behind the others, and what it says is no evidence of anything."""
        known_ms = (line.holding.known_ms for line in self.lines.values())
        return max(known_ms, default=statement.time_ms) > statement.time_ms + FAR_BEHIND_MS

    def is_newest(self, statement: Statement) -> bool:
        """Whether no statement of either kind is newer, so that its figures are those to show."""
        return self.statement is None or statement.asked_s >= self.statement.asked_s

    def note(self, statement: Statement) -> None:
        """Keep a statement as the newest of its kind, and of all if it is."""
        if self.is_newest(statement):
            self.statement = statement
        if statement.pushed:
            self.push = statement
        else:
            self.answer = statement

    def view(self, name: str) -> AccountView:
        statement = self.statement
        return AccountView(
            account=name,
            verdict=self.verdict or Verdict.UNPROVEN,
            reason=self.reason if self.verdict else "not judged yet",
            equity=statement.equity if statement else None,
            margin_used=statement.margin_used if statement else None,
            withdrawable=statement.withdrawable if statement else None,
            notices=tuple(notice.text for notice in self.notices),
            statement_asked_s=statement.asked_s if statement else None,
            grave=tuple(notice.text for notice in self.notices if notice.grave),
        )

    def evidence(self, line: Line | None = None) -> Evidence:
        """What is known of a line, or of the account as a whole."""
        down = None
        if not self.is_live:
            reasons = [feed.reason for feed in self.feeds.values() if feed.reason]
            down = (
                f"the feed of fills is down: {reasons[-1]}" if reasons else "the feed of fills is not up yet"
            )
        asked_s = self.statement.asked_s if self.statement else None
        confirmed = asked_s is not None and self.live_since_s is not None and asked_s >= self.live_since_s
        if line is None:
            doubts = [(key, one) for key, other in self.lines.items() for one in other.doubts() if one]
            return Evidence(
                stated=self.stated,
                confirmed=confirmed,
                feed_down=down,
                doubt=f"{doubts[0][0]}: {doubts[0][1]}" if doubts else None,
                open=False,
            )
        gap, doubt = line.doubts()
        return Evidence(
            stated=self.stated,
            confirmed=confirmed,
            feed_down=down,
            gap=gap,
            doubt=doubt,
            drift=line.drift,
            open=bool(line.holding.position.size),
        )


def keep(kept: list[Kept], one: Kept) -> bool:
    """Keep the newest; whether it is news."""
    if one in kept:
        return False
    kept.append(one)
    del kept[:-KEPT_HAPPENINGS]
    return True
