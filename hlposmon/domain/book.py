"""The book: all positions of all accounts, the one mutable thing, the domain's only door.

Told a report, it answers with the changes that follow. It does no I/O, reads no clock and logs
nothing: the ages that a verdict needs are handed in by `set_freshness`. What a report costs does not
depend on how many accounts and positions it leaves alone.
"""

from collections.abc import Iterable, Mapping, Set
from decimal import Decimal

from hlposmon.domain.account import Account, keep
from hlposmon.domain.changes import Change, Filled, Funded, Reason, VerdictChanged
from hlposmon.domain.holding import Holding
from hlposmon.domain.line import Line
from hlposmon.domain.position import Position
from hlposmon.domain.reports import (
    AccountMode,
    AccountRole,
    FeedState,
    Fills,
    Funding,
    Happened,
    Marks,
    Notice,
    NotWatched,
    StatedPosition,
    Statement,
    Unlisted,
)
from hlposmon.domain.verdict import Freshness
from hlposmon.domain.views import AccountView, Memory, View


class Book:
    """Positions by account and key. Accounts are named at the start and by `watch`."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self._accounts: dict[str, Account] = {name: Account() for name in accounts}
        self._prices: dict[str, Decimal] = {}
        # By key, the accounts that have a line of it; and the accounts of which something is to be judged.
        self._holders: dict[str, dict[str, Line]] = {}
        self._unjudged: dict[str, None] = dict.fromkeys(self._accounts)

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(self._accounts)

    def watch(self, accounts: Iterable[str]) -> None:
        """Watch these accounts from now on; those not named are let go."""
        before, self._accounts = self._accounts, {}
        for name in accounts:
            self._accounts[name] = before.get(name) or Account()
        self._unjudged = dict.fromkeys(self._accounts)
        for holders in self._holders.values():
            for name in holders.keys() - self._accounts.keys():
                del holders[name]

    # ------------------------------------------------------------------ told

    def apply(self, fills: Fills) -> list[Change]:
        """Take fills of one account, in any order, with any repetition.

        Those with `heard_s` are live: of what came before an account's first statement the chain begins
        with the first live one, and what is older is history.
        """
        account = self._accounts.get(fills.account)
        if account is None:
            return []
        if len(fills.fills) == 1 and (filled := self._apply_next(account, fills)) is not None:
            return [filled]
        by_key: dict[str, list[int]] = {}
        for index, fill in enumerate(fills.fills):
            by_key.setdefault(fill.key, []).append(index)
        changes: list[Change] = []
        for key, indexes in by_key.items():
            line = self._line(fills.account, account, key)
            of_key = [fills.fills[index] for index in indexes]
            changes += line.holding.take(of_key, heard=fills.heard_s is not None)
            line.note_fills()
            self._note_change(fills.account, account, key, line)
        return changes

    def mark(self, marks: Marks) -> list[tuple[str, str]]:
        """Take mark prices; the (account, key) of the open positions whose price moved."""
        moved = {key: price for key, price in marks.prices.items() if self._prices.get(key) != price}
        self._prices.update(moved)
        touched = []
        for key, price in moved.items():
            for name, line in self._holders.get(key, {}).items():
                line.mark, line.marked_s = price, marks.heard_s
                if line.holding.position.size:
                    touched.append((name, key))
        return touched

    def settle(self, statement: Statement) -> list[Change]:
        """Compare with the venue's statement; the first one of an account starts its positions.

        Answers are taken in the order in which they were asked for, pushes in the order of their times:
        an answer that was asked for before a push was heard counts all the same.
        """
        account = self._accounts.get(statement.account)
        if account is None or account.is_old(statement) or account.is_far_behind(statement):
            return []
        first, newest = not account.stated, account.is_newest(statement)
        stated = {position.key: position for position in statement.positions}
        changes: list[Change] = []
        keys = {
            key
            for key, line in account.lines.items()
            if not line.is_confirmed_by(stated.get(key), statement, newest=newest)
        }
        for key in sorted(keys.union(stated.keys() - account.lines.keys(), statement.unread)):
            line = self._line(statement.account, account, key)
            before = line.basis
            line.unread = statement.unread.get(key)
            if line.unread is None:
                changes += self._settle(line, stated.get(key), statement, account, newest=newest)
            if line.basis != before:
                self._note_change(statement.account, account, key, line)
        if first:
            account.stated, account.base_ms = True, statement.time_ms
            if not account.is_live:
                # Fills that come in before a feed is live do not make the time before them whole.
                account.unsure[""] = statement.time_ms
        account.note(statement)
        self._unjudged[statement.account] = None
        return changes

    def fund(self, funding: Funding) -> list[Change]:
        """Book a funding payment once; those from before the start are not ours."""
        account = self._accounts.get(funding.account)
        if account is None or not account.stated:
            return []
        holding = self._line(funding.account, account, funding.key).holding
        if funding.time_ms <= account.base_ms or not holding.payments.owes(funding.time_ms):
            return []
        holding.payments = holding.payments.paid(funding.time_ms)
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
            account.unsure.clear()  # all from there on was fetched
        if state.live and not was_live:
            account.live_since_s = state.at_s
        elif was_live and not self.is_live(state.account) and known_ms is not None:
            # What comes in now by other ways does not make the time before it whole.
            account.unsure[""] = known_ms
        self._unjudged[state.account] = None

    def notice(self, notice: Notice) -> bool:
        """Keep a notice about an account, or end it; whether that changes anything."""
        account = self._accounts.get(notice.account)
        return account is not None and account.take_notice(notice)

    def forget_notices(self, source: str) -> None:
        """A worker begins anew: it says again what still holds."""
        for account in self._accounts.values():
            account.notices = {name: one for name, one in account.notices.items() if name[0] != source}

    def not_watched(self, report: NotWatched) -> bool:
        """Note what an account holds elsewhere; whether that changes what is told of it."""
        account = self._accounts.get(report.account)
        return account is not None and account.take_not_watched(report)

    def mode(self, mode: AccountMode) -> None:
        """Note how an account's balances are kept."""
        if mode.account in self._accounts:
            self._accounts[mode.account].take_mode(mode)

    def role(self, role: AccountRole) -> None:
        """Note what the venue takes an account's address for."""
        if role.account in self._accounts:
            self._accounts[role.account].role = role

    def modes(self) -> dict[str, str]:
        """The account modes that the venue has named."""
        modes = {name: account.mode for name, account in self._accounts.items()}
        return {name: one.mode for name, one in modes.items() if one is not None and one.mode is not None}

    def roles(self) -> dict[str, tuple[str, str | None]]:
        """The roles that the venue has named, with the owner of an agent or a sub-account."""
        roles = {name: account.role for name, account in self._accounts.items()}
        return {name: (one.role, one.owner) for name, one in roles.items() if one is not None and one.role}

    def modes_in_doubt(self) -> list[str]:
        """The accounts whose equity fell to zero since their mode was asked for."""
        return [name for name, account in self._accounts.items() if account.is_mode_in_doubt]

    def is_mode_in_doubt(self, name: str) -> bool:
        """Whether the equity fell to zero since the mode was asked for."""
        return self._accounts[name].is_mode_in_doubt

    def forget_feeds(self, gone: Set[str]) -> None:
        """These feeds of fills are wanted no more: nothing of them counts."""
        self._unjudged = dict.fromkeys(self._accounts)
        for account in self._accounts.values():
            account.feeds = {name: state for name, state in account.feeds.items() if name not in gone}
            account.notices = {name: one for name, one in account.notices.items() if name[0] not in gone}

    def is_partly_unread(self, name: str) -> bool:
        """Whether something that the account holds is not known at all, as its row could not be read."""
        doubtful = self._accounts[name].doubtful.values()
        return any(line.unread is not None and not line.holding.based for line in doubtful)

    def happen(self, happened: Happened) -> bool:
        """Keep what befell an account, as the cause of a drift to come; whether it is news."""
        account = self._accounts.get(happened.account)
        return account is not None and keep(account.happened, happened)

    def unlist(self, unlisted: Unlisted) -> bool:
        """Keep that some fills cannot be fetched any more; whether it is news."""
        account = self._accounts.get(unlisted.account)
        return account is not None and keep(account.unlisted, unlisted)

    # ------------------------------------------------------------------ asked

    def set_freshness(self, account: str, freshness: Freshness) -> None:
        """Keep how old the feeds of an account are; it is judged anew only where a verdict may differ for it.

        KeyError when the account is not watched. Before the first time nothing counts as heard.
        """
        if self._accounts[account].set_freshness(freshness):
            self._unjudged[account] = None

    def judge(self) -> list[VerdictChanged]:
        """Judge what may have changed since the last time: positions that a report changed, and all of an
        account whose feeds or freshness did. The verdicts that are others than they were."""
        unjudged, self._unjudged = self._unjudged, {}
        return [change for name in unjudged for change in self._accounts[name].judge()]

    def view(self, account: str, key: str) -> View:
        """One position; KeyError when there is none."""
        of = self._accounts[account]
        return of.lines[key].view(of.whole_until_ms)

    def views(self, account: str | None = None) -> list[View]:
        """All positions, of one account or of all, in the order of their keys, flat ones too."""
        names = self._accounts if account is None else [account]
        return [
            line.view(self._accounts[name].whole_until_ms)
            for name in names
            for _, line in sorted(self._accounts[name].lines.items())
            if line.holding.based or line.unread is None
        ]

    def keys(self, name: str) -> list[str]:
        """The keys of an account's positions, flat ones too, in no order."""
        return [key for key, line in self._accounts[name].lines.items() if line.holding.based]

    def account(self, name: str) -> AccountView:
        """One account; KeyError when it is not watched."""
        return self._accounts[name].view(name)

    def is_stated(self, name: str) -> bool:
        return self._accounts[name].stated

    def statement_asked_s(self, name: str) -> float | None:
        """When the account's newest statement was asked for, or pushed; None before the first."""
        statement = self._accounts[name].statement
        return None if statement is None else statement.asked_s

    def is_live(self, name: str) -> bool:
        """Whether at least one feed of fills of this account is up."""
        return self._accounts[name].is_live

    def doubtful(self) -> list[tuple[str, int]]:
        """The accounts with an open gap or doubt, and the time from which fills are wanted."""
        wanted: dict[str, int] = {}
        for name, account in self._accounts.items():
            for line in account.doubtful.values():
                if (since_ms := line.wanted_ms) is not None:
                    wanted[name] = min(since_ms, wanted.get(name, since_ms))
        return list(wanted.items())

    def doubtful_keys(self, name: str) -> list[str]:
        """The keys of an account whose views are `in_doubt`, in their order."""
        lines = self._accounts[name].doubtful.items()
        return sorted(key for key, line in lines if line.holding.based or line.unread is None)

    def high_water_ms(self, name: str) -> int | None:
        """Up to when the fills of this account are known to be whole; None before its start."""
        account = self._accounts[name]
        if not account.stated:
            return None
        known_ms = account.base_ms if account.known_ms is None else account.known_ms
        return min([known_ms, *account.unsure.values(), *account.gaps.values()])

    def unsure(self) -> dict[str, dict[str, int]]:
        """By account, the keys ("" for all) whose fills are not known to be whole, and since when."""
        return {name: account.unsure | account.gaps for name, account in self._accounts.items()}

    def has_gap(self, name: str) -> bool:
        """Whether fills wait behind one that is missing."""
        return bool(self._accounts[name].gaps)

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
                    found.append(Memory(name, key, holding.position, known_ms, holding.payments, seen))
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
                self._unjudged[name] = None
        for memory in memories:
            account = self._accounts.get(memory.account)
            if account is None:
                continue
            line = self._line(memory.account, account, memory.key)
            line.holding.start(memory.position, memory.known_ms, memory.seen)
            line.holding.payments = memory.payments
            line.last_fill_ms = max((identity[0] for identity in memory.seen), default=None)
            self._note_change(memory.account, account, memory.key, line)
        for name in base_ms.keys() & self._accounts.keys():
            known_ms = self.high_water_ms(name)
            assert known_ms is not None, "it was stated"
            self._accounts[name].unsure[""] = known_ms  # until a feed is live

    def base_ms(self) -> dict[str, int]:
        """The accounts that have been stated, and since when they are watched."""
        return {name: account.base_ms for name, account in self._accounts.items() if account.stated}

    # ------------------------------------------------------------------ within

    def _line(self, name: str, account: Account, key: str) -> Line:
        line = account.lines.get(key)
        if line is None:
            line = Line(Holding(name, key), mark=self._prices.get(key))
            if account.stated and not (account.statement and key in account.statement.unread):
                # The venue stated the account without this coin: it was flat then.
                line.holding.start(Position(), account.base_ms)
                line.agreed_ms = account.statement.time_ms if account.statement else None
            account.lines[key] = self._holders.setdefault(key, {})[name] = line
            self._note_change(name, account, key, line)
        return line

    def _apply_next(self, account: Account, fills: Fills) -> Filled | None:
        [fill] = fills.fills
        line = account.lines.get(fill.key)
        if line is None:
            return None
        filled = line.take_next(fill, heard=fills.heard_s is not None)
        if filled is not None and account.note_next(fill.key, line, filled):
            self._unjudged[fills.account] = None
        return filled

    def _note_change(self, name: str, account: Account, key: str, line: Line) -> None:
        account.note_change(key, line)
        self._unjudged[name] = None

    def _settle(
        self,
        line: Line,
        stated: StatedPosition | None,
        statement: Statement,
        account: Account,
        *,
        newest: bool,
    ) -> list[Change]:
        changes: list[Change] = []
        is_start = not line.holding.based
        # Where fills were heard they tell the size, and the first statement is compared like any other.
        is_compared = not is_start or line.holding.is_heard
        if is_start:
            changes += line.holding.adopt(stated, statement.time_ms, Reason.START)
            if is_compared:
                line.heard_arrivals = line.holding.arrivals  # a push that differs is doubted at once
            else:
                line.agreed_ms = statement.time_ms
        if is_compared:
            changes += line.settle(stated, statement, account.happened, account.unlisted)
        if newest:
            line.detail(stated, statement.asked_s)
        line.note_fills()
        return changes
