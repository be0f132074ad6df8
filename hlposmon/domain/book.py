"""The book: all positions of all accounts, the one mutable thing, the domain's only door.

Told a report, it answers with the changes that follow. It does no I/O, reads no clock and logs
nothing: the ages that a verdict needs are handed to `judge`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.changes import Change, Doubt, Drift, Funded, Reason, VerdictChanged
from hlposmon.domain.holding import Holding
from hlposmon.domain.position import Position
from hlposmon.domain.reconcile import (
    LAG_MS,
    Finding,
    Suspicion,
    cause_of,
    compare,
    entry_differs,
    is_explained,
    is_put_back,
)
from hlposmon.domain.reports import (
    FeedState,
    Fills,
    Funding,
    Happened,
    Marks,
    Notice,
    StatedPosition,
    Statement,
    Unlisted,
)
from hlposmon.domain.verdict import Evidence, Freshness, Verdict, judge
from hlposmon.domain.views import AccountView, Memory, View

# The price feed tells changes only; beyond this a statement's mark counts as the newer one.
QUIET_MARK_S = 15.0
# An answer is asked for at least so often.
OLD_ANSWER_MS = 75_000
# So long a push that is older than the last one is passed over.
OLD_PUSHES_S = 10.0
# What befell an account is kept as the cause of a drift: the newest so many.
KEPT_HAPPENINGS = 64


@dataclass(slots=True)
class _Line:
    """A holding, with what the venue says of it."""

    holding: Holding
    mark: Decimal | None = None
    stated: StatedPosition | None = None
    suspicion: Suspicion | None = None
    # A push that disagreed while fills were coming in: it may only be ahead of those under way.
    hint: Suspicion | None = None
    heard_arrivals: int = 0
    drift: str | None = None
    marked_s: float = 0.0
    agreed_ms: int | None = None
    matched_ms: int | None = None
    last_fill_ms: int | None = None
    verdict: Verdict | None = None
    reason: str | None = None


@dataclass(slots=True)
class _Account:
    stated: bool = False
    base_ms: int = 0
    # The newest told, the newest that was asked for, and the newest pushed.
    statement: Statement | None = None
    answer: Statement | None = None
    push: Statement | None = None
    feeds: dict[str, FeedState] = field(default_factory=dict)
    live_since_s: float | None = None
    lines: dict[str, _Line] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    unlisted: list[Unlisted] = field(default_factory=list)
    # Keys (or "" for all) whose fills are not known to be whole since a time, in milliseconds.
    unsure: dict[str, int] = field(default_factory=dict)
    verdict: Verdict | None = None
    reason: str | None = None


class Book:
    """Positions by account and key. Accounts are named at the start and by `watch`."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self._accounts: dict[str, _Account] = {name: _Account() for name in accounts}
        self._prices: dict[str, Decimal] = {}

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(self._accounts)

    def watch(self, accounts: Iterable[str]) -> None:
        """Watch these accounts from now on; those not named are let go."""
        self._accounts = {name: self._accounts.get(name) or _Account() for name in accounts}

    # ------------------------------------------------------------------ told

    def apply(self, fills: Fills) -> list[Change]:
        """Take fills of one account, in any order, with any repetition."""
        account = self._accounts.get(fills.account)
        if account is None:
            return []
        by_key: dict[str, list[int]] = {}
        for index, fill in enumerate(fills.fills):
            by_key.setdefault(fill.key, []).append(index)
        changes: list[Change] = []
        for key, indexes in by_key.items():
            line = self._line(fills.account, account, key)
            changes += line.holding.take([fills.fills[i] for i in indexes])
            self._note_fills(line)
        return changes

    def mark(self, marks: Marks) -> list[tuple[str, str]]:
        """Take mark prices; the (account, key) of the open positions whose price moved."""
        moved = {key: price for key, price in marks.prices.items() if self._prices.get(key) != price}
        self._prices.update(moved)
        touched = []
        for name, account in self._accounts.items():
            for key in moved.keys() & account.lines.keys():
                line = account.lines[key]
                line.mark, line.marked_s = moved[key], marks.heard_s
                if line.holding.position.size:
                    touched.append((name, key))
        return touched

    def settle(self, statement: Statement) -> list[Change]:
        """Compare with the venue's statement; the first one of an account starts its positions.

        Answers are taken in the order in which they were asked for, pushes in the order of their times:
        an answer that was asked for before a push was heard counts all the same.
        """
        account = self._accounts.get(statement.account)
        if account is None or _is_old(statement, account):
            return []
        newest = account.statement is None or statement.asked_s >= account.statement.asked_s
        stated = {position.key: position for position in statement.positions}
        changes: list[Change] = []
        for key in sorted(stated.keys() | account.lines.keys()):
            line = self._line(statement.account, account, key)
            if not account.stated and not line.holding.based:
                changes += line.holding.adopt(stated.get(key), statement.time_ms, Reason.START)
                line.agreed_ms = statement.time_ms
            else:
                if is_put_back(line.holding, statement):
                    # The fills since then are wanted: they may be as old as the answer before this one.
                    changes += line.holding.rewind(statement.time_ms - OLD_ANSWER_MS)
                    line.agreed_ms = line.matched_ms = None
                    line.suspicion = line.hint = None
                changes += self._compare(account, line, stated.get(key), statement)
            if newest:
                line.holding.clock_ms = statement.time_ms
                self._detail(line, stated.get(key), statement.asked_s)
            self._note_fills(line)
        if not account.stated:
            account.stated, account.base_ms = True, statement.time_ms
        if statement.pushed:
            account.push = statement
        else:
            account.answer = statement
        if newest:
            account.statement = statement
        return changes

    def fund(self, funding: Funding) -> list[Change]:
        """Book a funding payment once; those from before the start are not ours."""
        account = self._accounts.get(funding.account)
        if account is None or not account.stated:
            return []
        holding = self._line(funding.account, account, funding.key).holding
        if funding.time_ms <= max(holding.last_funding_ms, account.base_ms):
            return []
        holding.last_funding_ms = funding.time_ms
        holding.position = holding.position.funded(funding.amount)
        return [Funded(funding, holding.position)]

    def feed(self, state: FeedState) -> None:
        """Note that a feed of fills came up or went down. One live feed of several is enough."""
        account = self._accounts.get(state.account)
        if account is None:
            return
        was_live, known_ms = self.is_live(state.account), self.high_water_ms(state.account)
        account.feeds[state.feed] = state
        if state.live:
            account.unsure.clear()  # it was backfilled from there
        if state.live and not was_live:
            account.live_since_s = state.at_s
        elif was_live and not self.is_live(state.account) and known_ms is not None:
            # What comes in now by other ways does not make the time before it whole.
            account.unsure[""] = known_ms

    def notice(self, notice: Notice) -> bool:
        """Keep a notice about an account; whether it is a new one."""
        account = self._accounts.get(notice.account)
        if account is None or notice in account.notices:
            return False
        account.notices.append(notice)
        return True

    def happen(self, happened: Happened) -> bool:
        """Keep what befell an account, as the cause of a drift to come; whether it is news."""
        account = self._accounts.get(happened.account)
        if account is None or happened in account.happened:
            return False
        account.happened = [*account.happened, happened][-KEPT_HAPPENINGS:]
        return True

    def unlist(self, unlisted: Unlisted) -> bool:
        """Keep that some fills cannot be fetched any more; whether it is news."""
        account = self._accounts.get(unlisted.account)
        if account is None or unlisted in account.unlisted:
            return False
        account.unlisted = [*account.unlisted, unlisted][-KEPT_HAPPENINGS:]
        return True

    # ------------------------------------------------------------------ asked

    def judge(self, freshness: Mapping[str, Freshness]) -> list[VerdictChanged]:
        """Judge every position and account; what changed since the last time."""
        changes: list[VerdictChanged] = []
        for name, account in self._accounts.items():
            fresh = freshness[name]
            evidence = self._evidence(account, None)
            account.verdict, account.reason = judge(evidence, fresh)
            for key, line in account.lines.items():
                if not line.holding.based:
                    continue  # fills that wait for the first statement are no position yet
                verdict, reason = judge(self._evidence(account, line), fresh)
                if (verdict, reason) != (line.verdict, line.reason):
                    changes.append(VerdictChanged(name, key, verdict, reason, line.verdict))
                    line.verdict, line.reason = verdict, reason
        return changes

    def view(self, account: str, key: str) -> View:
        """One position; KeyError when there is none."""
        line = self._accounts[account].lines[key]
        holding = line.holding
        stated = line.stated if holding.position.size else None
        # Margin and liquidation price are of the size that the venue stated, and of no other.
        same = stated is not None and stated.size == holding.position.size
        return View(
            account=account,
            key=key,
            position=line.holding.position,
            mark=line.mark,
            verdict=line.verdict or Verdict.UNPROVEN,
            reason=line.reason if line.verdict else "not judged yet",
            leverage=stated.leverage if stated else None,
            margin_used=stated.margin_used if stated and same else None,
            liquidation_price=stated.liquidation_price if stated and same else None,
            last_fill_ms=line.last_fill_ms,
            in_doubt=holding.gap is not None or line.suspicion is not None,
        )

    def views(self, account: str | None = None) -> list[View]:
        """All positions, of one account or of all, in the order of their keys, flat ones too."""
        names = self._accounts if account is None else [account]
        return [self.view(name, key) for name in names for key in sorted(self._accounts[name].lines)]

    def account(self, name: str) -> AccountView:
        """One account; KeyError when it is not watched."""
        account = self._accounts[name]
        statement = account.statement
        return AccountView(
            account=name,
            verdict=account.verdict or Verdict.UNPROVEN,
            reason=account.reason if account.verdict else "not judged yet",
            equity=statement.equity if statement else None,
            margin_used=statement.margin_used if statement else None,
            withdrawable=statement.withdrawable if statement else None,
            notices=tuple(notice.text for notice in account.notices),
            statement_asked_s=statement.asked_s if statement else None,
            grave=tuple(notice.text for notice in account.notices if notice.grave),
        )

    def is_stated(self, name: str) -> bool:
        return self._accounts[name].stated

    def is_live(self, name: str) -> bool:
        """Whether at least one feed of fills of this account is up."""
        return any(feed.live for feed in self._accounts[name].feeds.values())

    def doubtful(self) -> list[tuple[str, int]]:
        """The accounts with an open gap or suspicion, and the time from which fills are wanted."""
        wanted: dict[str, int] = {}
        for name, account in self._accounts.items():
            for line in account.lines.values():
                for since_ms in (
                    line.holding.gap.since_ms if line.holding.gap else None,
                    line.suspicion.since_ms if line.suspicion else None,
                ):
                    if since_ms is not None:
                        wanted[name] = min(since_ms, wanted.get(name, since_ms))
        return list(wanted.items())

    def high_water_ms(self, name: str) -> int | None:
        """Up to when the fills of this account are known to be whole; None before its start."""
        account = self._accounts[name]
        if not account.stated:
            return None
        known_ms = max((line.holding.known_ms for line in account.lines.values()), default=account.base_ms)
        return min([known_ms, *self.unsure()[name].values()])

    def unsure(self) -> dict[str, dict[str, int]]:
        """By account, the keys ("" for all) whose fills are not known to be whole, and since when."""
        found = {}
        for name, account in self._accounts.items():
            found[name] = dict(account.unsure)
            for key, line in account.lines.items():
                if line.holding.gap is not None:
                    found[name][key] = line.holding.gap.since_ms
        return found

    # -------------------------------------------------------------- recovery

    def memories(self) -> list[Memory]:
        """All that is needed to take the book up again."""
        found = []
        for name, account in self._accounts.items():
            for key, line in account.lines.items():
                holding = line.holding
                if holding.based:
                    known_ms = holding.remembered_ms
                    seen = holding.taken_since(known_ms)
                    found.append(Memory(name, key, holding.position, known_ms, holding.last_funding_ms, seen))
        return found

    def recall(
        self,
        memories: Iterable[Memory],
        base_ms: Mapping[str, int],
        unsure: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """Take a book up again; `base_ms` holds the accounts that had been stated, and since when, and
        `unsure` what was not known to be whole then."""
        for name, since_ms_of in (unsure or {}).items():
            if name in self._accounts:
                self._accounts[name].unsure.update(since_ms_of)
        for name, since_ms in base_ms.items():
            if name in self._accounts:
                self._accounts[name].stated = True
                self._accounts[name].base_ms = since_ms
        for memory in memories:
            account = self._accounts.get(memory.account)
            if account is None:
                continue
            line = self._line(memory.account, account, memory.key)
            line.holding.start(memory.position, memory.known_ms, memory.seen)
            line.holding.last_funding_ms = memory.last_funding_ms
            line.last_fill_ms = max((identity[0] for identity in memory.seen), default=None)

    def base_ms(self) -> dict[str, int]:
        """The accounts that have been stated, and since when they are watched."""
        return {name: account.base_ms for name, account in self._accounts.items() if account.stated}

    # ------------------------------------------------------------------ within

    def _line(self, name: str, account: _Account, key: str) -> _Line:
        line = account.lines.get(key)
        if line is None:
            line = _Line(Holding(name, key), mark=self._prices.get(key))
            if account.stated:
                # The venue stated the account without this coin: it was flat then.
                line.holding.start(Position(), account.base_ms)
                line.agreed_ms = account.statement.time_ms if account.statement else None
            account.lines[key] = line
        return line

    def _compare(
        self, account: _Account, line: _Line, stated: StatedPosition | None, statement: Statement
    ) -> list[Change]:
        holding = line.holding
        theirs = stated.size if stated else ZERO
        finding = compare(holding, stated, statement, line.suspicion, account.unlisted)
        hint, in_flow = line.hint, holding.arrivals != line.heard_arrivals
        if statement.pushed:
            line.hint, line.heard_arrivals = None, holding.arrivals
        if finding is Finding.AGREES:
            line.suspicion = line.hint = line.drift = None
            # A size that the book once had may be met by chance: such a match counts with the next one.
            equal = theirs == holding.position.size
            line.agreed_ms = statement.time_ms if equal else line.matched_ms or line.agreed_ms
            line.matched_ms = statement.time_ms
            if stated is not None and entry_differs(holding, stated, statement):
                return holding.adopt(stated, statement.time_ms, Reason.ENTRY)
            return []
        if finding is Finding.DRIFT:
            return self._confirm(account, line, stated, statement)
        if finding is Finding.WAIT:
            # The shell asks again by itself: a push each second need not remind it.
            if statement.pushed or line.suspicion is None:
                return []
            return [_doubt(line, theirs)]
        found = self._suspicion(line, theirs, statement)
        if statement.pushed and line.suspicion is None and in_flow and hint is None:
            line.hint = found
            return []
        said = statement.pushed and line.suspicion is not None
        line.suspicion = found
        return [] if said else [_doubt(line, theirs)]

    def _confirm(
        self, account: _Account, line: _Line, stated: StatedPosition | None, statement: Statement
    ) -> list[Change]:
        """End a disagreement that two statements told: excuse it, or say the drift and adopt."""
        holding = line.holding
        theirs = stated.size if stated else ZERO
        healed: list[Change] = []
        if holding.gap is not None:
            healed = holding.turn(theirs)
            if not healed and theirs == holding.position.size:
                healed = holding.excuse()
        assert line.suspicion is not None, "a drift has a suspicion behind it"
        since_ms = line.suspicion.since_ms
        line.suspicion = line.hint = None
        if healed:
            line.agreed_ms = statement.time_ms
            return healed
        ours = holding.position.size
        cause = cause_of(holding, stated, statement, since_ms, account.happened, account.unlisted)
        line.agreed_ms = statement.time_ms
        line.drift = f"{cause}: the book had {ours:f}, the venue {theirs:f}; the venue's size was adopted"
        found = Drift(holding.account, holding.key, ours, theirs, cause, statement.time_ms)
        return [found, *holding.adopt(stated, statement.time_ms, Reason.DRIFT)]

    def _suspicion(self, line: _Line, theirs: Decimal, statement: Statement) -> Suspicion:
        holding = line.holding
        agreed_ms = holding.known_ms if line.agreed_ms is None else line.agreed_ms
        # A venue's clock may have been put back since.
        since_ms = max(0, min(agreed_ms, statement.time_ms) - LAG_MS)
        if holding.gap is not None:
            since_ms = min(since_ms, holding.gap.since_ms)
        return Suspicion(
            ours=holding.position.size,
            theirs=theirs,
            arrivals=holding.arrivals,
            asked_s=None if statement.pushed else statement.asked_s,
            statement_ms=statement.time_ms,
            since_ms=since_ms,
            gap=holding.gap,
        )

    def _detail(self, line: _Line, stated: StatedPosition | None, asked_s: float) -> None:
        """Keep what the venue says beside the size. The price feed tells changes only: where it has long
        been silent about a coin, the mark that the statement implies is the newer one."""
        line.stated = stated
        if stated is None or stated.mark_price is None:
            return
        if line.mark is None or (
            asked_s - line.marked_s > QUIET_MARK_S and _differ(stated.mark_price, line.mark)
        ):
            line.mark, line.marked_s = stated.mark_price, asked_s

    def _note_fills(self, line: _Line) -> None:
        if line.holding.applied:
            line.last_fill_ms = line.holding.applied[-1].fill.time_ms
            if line.suspicion is not None and is_explained(line.holding, line.suspicion):
                line.suspicion = None
            if line.hint is not None and is_explained(line.holding, line.hint):
                line.hint = None

    def _evidence(self, account: _Account, line: _Line | None) -> Evidence:
        live = any(feed.live for feed in account.feeds.values())
        down = None
        if not live:
            reasons = [feed.reason for feed in account.feeds.values() if feed.reason]
            down = (
                f"the feed of fills is down: {reasons[-1]}" if reasons else "the feed of fills is not up yet"
            )
        asked_s = account.statement.asked_s if account.statement else None
        confirmed = (
            asked_s is not None and account.live_since_s is not None and asked_s >= account.live_since_s
        )
        if line is None:
            doubts = [(key, one) for key, other in account.lines.items() for one in _doubts(other) if one]
            return Evidence(
                stated=account.stated,
                confirmed=confirmed,
                feed_down=down,
                doubt=f"{doubts[0][0]}: {doubts[0][1]}" if doubts else None,
                open=False,
            )
        gap, doubt = _doubts(line)
        return Evidence(
            stated=account.stated,
            confirmed=confirmed,
            feed_down=down,
            gap=gap,
            doubt=doubt,
            drift=line.drift,
            open=bool(line.holding.position.size),
        )


def _doubts(line: _Line) -> tuple[str | None, str | None]:
    """Why a line is in doubt: by its fills, by a statement."""
    gap = doubt = None
    if (broken := line.holding.gap) is not None:
        gap = f"a fill is missing: the next starts at {broken.found:f}, the book has {broken.expected:f}"
    if (seen := line.suspicion) is not None:
        doubt = f"the venue states {seen.theirs:f}, the book has {seen.ours:f}; asking again"
    return gap, doubt


def _differ(ours: Decimal, theirs: Decimal) -> bool:
    """Whether two marks differ by more than the rounding of what they were worked out from."""
    with exactly():
        return abs(ours - theirs) * 1_000_000 > abs(theirs)


def _doubt(line: _Line, theirs: Decimal) -> Doubt:
    suspicion = line.suspicion
    assert suspicion is not None, "a doubt has a suspicion behind it"
    return Doubt(line.holding.account, line.holding.key, suspicion.ours, theirs, suspicion.since_ms)


def _is_old(statement: Statement, account: _Account) -> bool:
    """Whether a newer one of its kind was told. Pushes of two connections come slightly out of order;
    but where nothing newer has come for a while, the venue's clock was put back."""
    if not statement.pushed:
        return account.answer is not None and statement.asked_s <= account.answer.asked_s
    last = account.push
    return (
        last is not None
        and statement.time_ms < last.time_ms
        and statement.asked_s - last.asked_s < OLD_PUSHES_S
    )
