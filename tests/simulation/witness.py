"""What is claimed, held against the exchange after every step of the tracker.

A size that is shown as proven has to be one that the exchange had, and had no longer ago than this:

1. Not before the newest fill of that coin that the tracker was told, in this process or in one before whose
   journal is whole: chained fills leave no choice.
2. Not more than LAG_S before the contents of the newest statement that counts. One that equals a size of the
   last ten seconds agrees with the book (`domain.reconcile`), as it may lag behind the fills; so a fill that
   no feed brought may go unseen for these ten seconds. They count from the time that the statement gives:
   its contents may be newer by the plan's `answer_early_s`. An answer counts when it is told, a push when
   another one is told after it: the first that differs may only be ahead of fills under way
   (`domain.holding`).
   `tests.chaos` allows 3 s where no fault is under way: so does this once all was whole again.
3. With feeds, prices and statements that were heard within the limits that the contract names.
4. Of a polled account: with a round (fills, and then a statement) of each scope within two and a half times
   its length, in place of feeds and statements; and at its `as_of`, or later, the exchange had that size
   (or less than LAG_S before, where a size changed without a fill: a statement may lag).

A coin that is not listed in an account that is proven is claimed to be flat, once its dexes were stated.
Before a statement was told to this process nothing is proven, and nothing is known of equity.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from hlposmon.domain.book import Book
from hlposmon.domain.changes import Adopted, AdoptionReason, Change, Filled, Gap, whose
from hlposmon.domain.instrument import market_of
from hlposmon.domain.rendering import is_listed
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    OTHER_SCOPES,
    Bell,
    Fill,
    Fills,
    Heard,
    Marks,
    PlaceRead,
    Statement,
)
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import WINDOW_MS
from hlposmon.engine.effects import JournalChange
from hlposmon.engine.freshness import ROUNDS_STALE
from tests.simulation.scheduler import BEGIN_MS, Scheduler
from tests.simulation.shell import Shell, watched
from tests.simulation.venue import ZERO, Name, Past, Venue

ScopeName = tuple[str, str]  # account, scope
LAG_S = 10.0
CALM_LAG_S = 3.0
# An answer is of a moment between two milliseconds, and the exchange's blocks are whole ones.
BLUR_S = 0.01
FEEDS_S, PRICES_S = 15.0, 15.0
LOOK_S = 1.0
# A tick, and a sleep that is too short to count (`tracker.SLEPT_S`).
SLACK_S = 2.6


class Witness:
    def __init__(self, venue: Venue, time: Scheduler) -> None:
        self._venue, self._time = venue, time
        self.wrong: list[str] = []
        self.claims = 0
        self._adopted: set[str] = set()
        self.has_polled = False  # whether a polled account was proven at any time
        self._polled: tuple[str, ...] = ()
        self.calm_since_s: float | None = None
        self._stale_s = watched({}, 0, venue.plan.interval_s).limits.reconcile[1]
        # By name, after which change of the truth the newest fill stands that was told.
        self._told: dict[Name, int] = {}
        # All fills that any process was told of, while they could be placed, and lived on to write down.
        self.told: set[Fill] = set()
        self._begins()

    def _begins(self) -> None:
        """What this process was told: of statements when their contents are from, of feeds and prices when
        they were heard, by a clock that runs while the machine sleeps."""
        self._contents_s: dict[ScopeName, float] = {}
        self._pushed_s: dict[ScopeName, float] = {}
        self._stated_s: dict[ScopeName, float] = {}
        self._rounds_s: dict[ScopeName, float] = {}
        self._heard_s = self._priced_s = -1e9
        self._messages = 0
        self._looked_s = -1e9
        self._proven: list[str] = []  # the accounts that are
        # What was found true of a name, of contents from then on, not before that change: it stays so.
        self._held_true: dict[tuple[str, Name], tuple[Any, ...]] = {}
        self._seq: int | None = None
        self._published: set[tuple[Any, ...]] = set()

    def process_begins(self, *, whole: bool) -> None:
        """A new tracker; `whole` if all that the one before had taken is in the journal."""
        self._begins()
        if not whole:
            self._told.clear()
            self.told.clear()

    # ------------------------------------------------------------------ a step

    def look(self, shell: Shell) -> None:
        """After a turn or a tick: what it was told counts, and what it shows is checked.

        Where nothing was told but that feeds are heard, and nothing done, no claim can become wrong but by
        its age: that is looked at now and then.
        """
        self._polled = shell.engine.watched.polled
        has_news = len(shell.client.messages) > self._messages
        before = dict(self._contents_s) if has_news else {}
        is_quiet = self._take(shell)
        if has_news:
            self._hear(shell, {**self._contents_s, **before})
        if shell.client.early:
            self._say(f"published before it was journalled: {shell.client.early}")
            shell.client.early = 0
        is_due = self._time.s >= self._looked_s + LOOK_S
        if is_due or not is_quiet:
            self._look(shell)
        if is_due or any(step.effects for step in shell.steps):
            self._is_shown(shell)
        if is_due:
            self._looked_s = self._time.s
            self._is_summed_up(shell)

    def is_whole(self, shell: Shell) -> bool:
        """Whether all is proven and as the exchange has it now."""
        return next(self.differences(shell), None) is None

    def differences(self, shell: Shell) -> Iterator[str]:
        """Everything that is not as the exchange has it, or not proven."""
        book, venue = shell.engine.book, self._venue
        views = {(view.account, view.key): view for view in book.views()}
        for name in venue.names:
            account = book.account(name)
            if account.verdict is not Verdict.PROVEN:
                yield f"{name} is {account.verdict}: {account.reason}"
        for name, view in views.items():
            if view.verdict is not Verdict.PROVEN:
                yield f"{name} is {view.verdict}: {view.reason}"
        for name in venue.names_held():
            view = views.get(name)
            size, entry = (view.position.size, view.position.entry_price) if view else (ZERO, None)
            if size != venue.size(name):
                yield f"{name}: {size} is shown, {venue.size(name)} is held"
            elif size and not _near(entry, venue.entry(name), size):
                yield f"{name}: entry {entry} is shown, {venue.entry(name)} is right"

    def unexplained(self, shell: Shell) -> Iterator[str]:
        """Money that is called unexplained, though everything that moved any was told.

        Where the exchange's size or entry price was adopted, or a fill counts as in a size, nobody knows what
        was realised meanwhile: that is unexplained rightly.
        """
        for name in self._venue.names:
            rest = shell.engine.book.account(name).unexplained
            if rest and name not in self._adopted:
                yield f"of {name} {rest} is unexplained"

    # ------------------------------------------------------------------ within

    def _take(self, shell: Shell) -> bool:
        """Whether nothing was told or done that bears on a position."""
        is_quiet = bool(shell.steps)
        for step in shell.steps:
            report = step.report
            if step.effects or not isinstance(report, Heard | Marks):
                is_quiet = False
            for effect in step.effects:
                if isinstance(effect, JournalChange) and isinstance(effect.change, Gap):
                    self._is_asked_for(effect.change, shell.rung)
                if isinstance(effect, JournalChange) and _is_adoption(effect.change):
                    self._adopted.add(whose(effect.change)[0])
            if isinstance(report, Statement):
                assert step.then_s is not None
                self._count(report, step.then_s)
            elif isinstance(report, PlaceRead) and report.asked_s is not None:
                assert step.then_s is not None
                self._count_others(report.account, report.asked_s, step.then_s)
            elif isinstance(report, Fills):
                for fill in report.fills:
                    self._note(fill)
            elif isinstance(report, Heard):
                self._heard_s = max(self._heard_s, self._time.s - self._time.mono_s + report.at_s)
            elif isinstance(report, Marks):
                self._priced_s = max(self._priced_s, self._time.s - self._time.mono_s + report.heard_s)
        return is_quiet

    def _is_asked_for(self, gap: Gap, rung: list[Bell]) -> None:
        """What is missing is fetched at once, and not when a second look at the doubt is due."""
        for bell in rung:
            since_ms = bell.since_ms
            if bell.account == gap.account and since_ms is not None and since_ms <= gap.since_ms:
                return
        self._say(f"a gap of {gap.account} since {gap.since_ms}, and nobody is asked to fetch: {rung}")

    def _count(self, statement: Statement, then_s: float) -> None:
        account, counts_s = (statement.account, statement.scope), then_s
        heard_s = self._time.s - self._time.mono_s + statement.asked_s
        self._stated_s[account] = max(heard_s, self._stated_s.get(account, heard_s))
        if statement.fills_from_ms is not None:
            self._rounds_s[account] = max(heard_s, self._rounds_s.get(account, heard_s))
        if statement.pushed:
            counts_s = self._pushed_s.get(account, -1e9)
            self._pushed_s[account] = max(then_s, counts_s)
        self._contents_s[account] = max(counts_s, self._contents_s.get(account, counts_s))

    def _count_others(self, account: str, asked_s: float, then_s: float) -> None:
        """On the dexes of which no statement was told before, nothing was held then."""
        name = account, OTHER_SCOPES
        heard_s = self._time.s - self._time.mono_s + asked_s
        self._stated_s[name] = max(heard_s, self._stated_s.get(name, heard_s))
        self._contents_s[name] = max(then_s, self._contents_s.get(name, then_s))

    def _of_scope(self, times: dict[ScopeName, float], account: str, scope: str) -> float | None:
        """The time of a scope; or, unless it is the first, that of all others if it is later."""
        names = [(account, scope), *([(account, OTHER_SCOPES)] if scope else [])]
        return max((times[name] for name in names if name in times), default=None)

    def _note(self, fill: Fill) -> None:
        name = fill.account, fill.key
        index = self._venue.past[name].after[fill.identity]
        self._told[name] = max(self._told.get(name, 0), index)
        if self._venue.ms - fill.time_ms <= WINDOW_MS:
            self.told.add(fill)

    def _hear(self, shell: Shell, contents_s: dict[ScopeName, float]) -> None:
        """The stream: numbered without a hole, each fill once, and nothing proven that is not. A message made
        amid a turn knows what was told before: `contents_s` are of statements before the turn."""
        messages = shell.client.messages
        for message in messages[self._messages :]:
            if self._seq is not None and message["seq"] != self._seq + 1:
                self._say(f"message {message['seq']} follows {self._seq}")
            self._seq = message["seq"]
            if message.get("event_type") == "fill":
                fill = message["fill"]
                one = message["account"], message["key"], fill["order_id"], fill["tid"], fill["timestamp"]
                if one in self._published:
                    self._say(f"published twice: {one}")
                self._published.add(one)
            row = message.get("position")
            if row is not None and row["verdict"] == "proven":
                name, size = (row["account"], row["key"]), Decimal(row["size"])
                if message.get("event_type") == "fill":
                    as_of = datetime.fromisoformat(row["as_of"])
                    self._claim_as_of(name, size, int(as_of.timestamp() * 1000))
                else:
                    self._claim("stream", name, size, 0, contents_s)
        self._messages = len(messages)

    def _is_shown(self, shell: Shell) -> None:
        """The snapshot holds each position as the book has it."""
        shown = shell.shown
        for view in shell.engine.book.views():
            name = view.account, view.key
            known = shown.get(name)
            if known is view or (known is None and not is_listed(view)):
                continue  # fills that came before the first statement: nothing is claimed yet
            if known is None or (known.verdict, known.position) != (view.verdict, view.position):
                self._say(f"{name} is {view.verdict} {view.position.size}, and was not shown: {known}")

    def _is_summed_up(self, shell: Shell) -> None:
        """An account is what its scopes are, and has no figures before it was stated."""
        book = shell.engine.book
        for name in self._venue.names:
            account = book.account(name)
            if (account.verdict is Verdict.PROVEN) != _is_proven(book, name):
                self._say(f"{name} is {account.verdict}, and its scopes are {book.scopes(name)}")
            if (name, FIRST_SCOPE) not in self._contents_s and account.equity is not None:
                self._say(f"{name} has an equity before it was stated")

    def _look(self, shell: Shell) -> None:
        book, shown, polled = shell.engine.book, shell.shown, shell.engine.watched.polled
        proven = [name for name in self._venue.names if _is_proven(book, name)]
        if proven != self._proven:
            self._proven = proven
            self._is_summed_up(shell)
        has_size = False
        for name, view in shown.items():
            if view.verdict is Verdict.PROVEN:
                size = view.position.size
                self._claim_once("snapshot", name, size)
                if name[0] in polled:
                    self._claim_as_of(name, size, view.as_of_ms)
                if size:
                    has_size = True
        for name in self._venue.names_held():
            # While other dexes were not looked at, the account says that it is not settled.
            is_told = not market_of(name[1]) or book.account(name[0]).unsettled is None
            if name[0] in proven and is_told and not (name in shown and is_listed(shown[name])):
                self._claim_once("summary", name, ZERO)
        if has_size:
            self._is_fresh("prices", self._priced_s, PRICES_S)
        if any(name not in polled for name in proven):
            self._is_fresh("fills", self._heard_s, FEEDS_S)
        for name in proven:
            for scope in book.scope_names(name):
                if name in polled:
                    self.has_polled = True
                    round_s = self._rounds_s.get((name, scope), -1e9)
                    self._is_fresh("rounds", round_s, ROUNDS_STALE * shell.engine.watched.round_s)
                    continue
                stated_s = self._of_scope(self._stated_s, name, scope)
                self._is_fresh("statements", -1e9 if stated_s is None else stated_s, self._stale_s)

    def _is_fresh(self, what: str, heard_s: float, limit_s: float) -> None:
        age_s = self._time.s - heard_s
        # A tick tells the engine of a sleep: until then it knows no better.
        if age_s > limit_s + SLACK_S and self._time.s > self._time.awake_s_since + SLACK_S:
            self._say(f"proven with {what} that are {age_s:.1f} s old")

    def _claim_once(self, where: str, name: Name, size: Decimal) -> None:
        """What was once true of contents from then on stays true of them: it is what the exchange had. Only
        that a calm exchange has it now is asked each time."""
        at_least = self._told.get(name, 0)
        claim = size, self._of_scope(self._contents_s, name[0], market_of(name[1])), at_least
        past = self._venue.past.get(name)
        is_now = past is not None and past.size == size
        if self._held_true.get((where, name)) == claim and (is_now or self.calm_since_s is None):
            self.claims += 1
            return
        if self._claim(where, name, size, at_least):
            self._held_true[where, name] = claim

    def _claim(
        self,
        where: str,
        name: Name,
        size: Decimal,
        at_least: int,
        told_s: dict[ScopeName, float] | None = None,
    ) -> bool:
        self.claims += 1
        times = self._contents_s if told_s is None else told_s
        contents_s = self._of_scope(times, name[0], market_of(name[1]))
        if contents_s is None:
            self._say(f"{where}: {name} is called proven at {size} before a statement was told")
            return False
        since_s = contents_s - self._venue.plan.answer_early_s - LAG_S - BLUR_S
        past = self._venue.past.get(name)
        if past is None:
            past = Past()
        if not past.had(size, since_s, at_least):
            recent = [f"{one} at {began_s:.3f}" for began_s, one in past.sizes[-6:]]
            self._say(
                f"{where}: {name} is called proven at {size}; told up to change {at_least} of"
                f" {len(past.sizes) - 1}, stated at {contents_s:.3f}; it was {', '.join(recent)}"
            )
            return False
        is_calm = self.calm_since_s is not None and self._time.s > self.calm_since_s + CALM_LAG_S
        if is_calm and name[0] not in self._polled and not past.had(size, self._time.s - CALM_LAG_S):
            self._say(f"{where}: {name} is called proven at {size}, of more than {CALM_LAG_S:g} s ago")
            return False
        return True

    def _claim_as_of(self, name: Name, size: Decimal, as_of_ms: int | None) -> None:
        """Of fills that are told together each comes with the size after it, as of its own time; and the
        positions of polled accounts are of the time that they say."""
        self.claims += 1
        if as_of_ms is None:
            self._say(f"{name} is called proven at {size} as of no time")
            return
        past = self._venue.past.get(name) or Past()
        at_s = (as_of_ms - self._venue.plan.venue_clock_ms - BEGIN_MS) / 1000
        if not past.had(size, at_s - BLUR_S - (LAG_S if name in self._venue.corrected else 0.0)):
            self._say(f"{name} is called proven at {size} as of {at_s:.3f}")

    def _say(self, text: str) -> None:
        self.wrong.append(f"at {self._time.s:.3f}: {text}")
        self._time.is_over = True


def _is_adoption(change: Change) -> bool:
    """Whether the exchange's figures were taken over, or a fill's effect on them is not known."""
    if isinstance(change, Adopted):
        return change.reason is not AdoptionReason.START
    return isinstance(change, Filled) and change.effect is None


def _is_proven(book: Book, name: str) -> bool:
    return all(scope.verdict is Verdict.PROVEN for scope in book.scopes(name))


def _near(ours: Decimal | None, theirs: Decimal | None, size: Decimal) -> bool:
    """Whether two entry prices are equal as far as a statement lets them be told apart."""
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= 2 * (Decimal("0.000003") / abs(size) + abs(theirs) / 1_000_000)
