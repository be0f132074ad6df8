"""The book: all positions of all accounts, all mutable state of the domain, and its only entry point.

Each report returns the changes that follow from it. The book does no I/O, reads no clock and logs nothing:
`set_freshness` supplies the ages that a verdict needs. The cost of a report does not depend on the number of
accounts and positions that it does not concern.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from hlposmon.domain.account import Account
from hlposmon.domain.cash import LedgerMemory, Point
from hlposmon.domain.changes import Change, Filled, Funded, Liquidated, VerdictChanged, whose
from hlposmon.domain.instrument import SPOT, USD, market_of
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.prices import Prices
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    AccountEvent,
    AccountEventKind,
    AccountMode,
    AccountRole,
    Collateral,
    FeedState,
    Fill,
    Fills,
    Funding,
    MarginTables,
    Marks,
    Notice,
    PlaceRead,
    Statement,
    Unlisted,
)
from hlposmon.domain.scope import Scope
from hlposmon.domain.verdict import Freshness
from hlposmon.domain.views import AccountView, Memory, ScopeView, View


class Book:
    """Positions by account and key. Accounts are named at the start and by `watch`.

    An account has a scope for the first dex, and one for every market on which something was stated or
    traded (see account). A method with a `scope` parameter concerns that scope only, and raises KeyError if
    there is none of that name. Reports about an account that is not watched change nothing.
    """

    def __init__(self, accounts: Iterable[str]) -> None:
        self._prices = Prices()
        self._accounts: dict[str, Account] = {}
        # The token in which the figures of each market are, as far as it is known.
        self.quotes = {FIRST_SCOPE: USD, SPOT: USD}
        # The margin tiers of each key, as far as they are known.
        self.margin_tables: dict[str, MarginTable] = {}
        # The scopes of which something is to be judged; and those that were opened, not taken yet.
        self._unjudged: dict[Scope, None] = {}
        self._opened: dict[tuple[str, str], int | None] = {}
        self._booked: list[Change] = []  # noted, and not booked yet
        self.watch(accounts)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the accounts that are watched, in the order in which they were given."""
        return tuple(self._accounts)

    def watch(self, accounts: Iterable[str]) -> None:
        """Watch these accounts from now on, and forget all others."""
        before, self._accounts = self._accounts, {}
        for name in accounts:
            self._accounts[name] = before.get(name) or Account(
                name, self._prices, self.quotes, self.margin_tables
            )
        self._prices.forget_others(self._accounts)
        self._opened = {name: one for name, one in self._opened.items() if name[0] in self._accounts}
        self._judge_all()

    def open(self, account: str, scope: str) -> None:
        """Open a scope whose first statement is known to come: it is not among those that hold nothing."""
        self._scope_for(account, scope)

    def take_opened(self) -> dict[tuple[str, str], int | None]:
        """The scopes that were opened since the last call, by account and name; and since when it is known
        that nothing was held there, for one that no statement has named yet."""
        if not self._opened:
            return {}
        opened, self._opened = self._opened, {}
        return opened

    # ------------------------------------------------------------------ told

    def apply(self, fills: Fills) -> list[Change]:
        """Take fills of one account, in any order and with any repetition; the changes that follow.

        Fills with `heard_s` are live. If live ones arrive before a scope's first statement, the chain begins
        with the first of them, and older fills are history.
        """
        if fills.account not in self._accounts:
            return []
        if len(fills.fills) == 1 and fills.from_ms is None:
            scope = self._scope_for(fills.account, market_of(fills.fills[0].key))
            return self._marked(scope, scope.take(fills))
        by_scope: dict[str, list[Fill]] = {}
        for fill in fills.fills:
            by_scope.setdefault(market_of(fill.key), []).append(fill)
        changes: list[Change] = []
        for name, of_scope in by_scope.items():
            scope = self._scope_for(fills.account, name)
            part = fills if len(by_scope) == 1 else replace(fills, fills=tuple(of_scope))
            changes += self._marked(scope, scope.take(part))
        if fills.from_ms is not None:
            self.fetched(fills.account, fills.from_ms)
        return changes

    def fetched(self, account: str, from_ms: int) -> None:
        """Note that a fetch of all fills of an account from `from_ms` on has ended."""
        for scope in self._scopes_of(account):
            scope.note_fetched(from_ms)
            self._marked(scope, [])

    def mark(self, marks: Marks) -> list[tuple[str, str]]:
        """Take mark prices; (account, key) of each open position whose price moved."""
        return self._prices.mark(marks)

    def takes(self, statement: Statement) -> bool:
        """Whether `reconcile` would use this statement; it ignores old ones, and those that show nothing of a
        scope that is not open."""
        scope = self._find(statement.account, statement.scope)
        if scope is None:
            return statement.account in self._accounts and statement.holds_something
        return scope.takes(statement)

    def reconcile(self, statement: Statement) -> list[Change]:
        """Compare a scope with the venue's statement; its first one starts the scope's positions."""
        account = self._accounts.get(statement.account)
        scope = self._find(statement.account, statement.scope)
        if account is None or (scope is None and not self.takes(statement)):
            return []
        scope = scope or self._scope_for(statement.account, statement.scope)
        before = scope.statement
        changes = scope.reconcile(statement, account.events)
        account.note_equity(before, scope.statement)
        return self._marked(scope, changes)

    def apply_funding(self, funding: Funding) -> list[Change]:
        """Book a funding payment once; payments from before the scope's start are ignored."""
        scope = self._find(funding.account, market_of(funding.key))
        return [] if scope is None else self._marked(scope, scope.apply_funding(funding))

    def feed(self, state: FeedState) -> None:
        """Note that a feed of fills came up or went down. One live feed of several is enough."""
        if state.account not in self._accounts:
            return
        known_ms = self.high_water_ms(state.account)
        for scope in self._scopes_of(state.account):
            scope.note_feed(state, known_ms)
            self._unjudged[scope] = None

    def poll(self, rounds_s: Mapping[str, float]) -> None:
        """Poll these accounts, each every so many seconds; streams have the fills of all others."""
        for name, account in self._accounts.items():
            account.poll(rounds_s.get(name))
        self._judge_all()

    def note_round(self, statement: Statement, whole_ms: int, asked_s: float) -> bool:
        """Note that a statement ended a round of a polled account (see `Account.note_round`); whether the
        round is complete."""
        account = self._accounts.get(statement.account)
        if account is None or not account.note_round(statement, whole_ms, asked_s):
            return False
        self._unjudged[account.scopes[statement.scope]] = None
        return True

    def forget_feeds(self, gone: Set[str]) -> None:
        """Forget these feeds of fills: their states and notices no longer count."""
        for account in self._accounts.values():
            for scope in account.scopes.values():
                scope.forget_feeds(gone)
            account.notices = {name: one for name, one in account.notices.items() if name[0] not in gone}
        self._judge_all()

    def unlist(self, unlisted: Unlisted) -> bool:
        """Note that some fills cannot be fetched any more; whether this was new."""
        scopes = self._scopes_of(unlisted.account)
        self._unjudged |= dict.fromkeys(scopes)
        news = [scope.unlist(unlisted) for scope in scopes]
        return any(news)

    def notice(self, notice: Notice) -> bool:
        """Keep a notice about an account, or end it; whether that changes anything."""
        account = self._accounts.get(notice.account)
        return account is not None and account.take_notice(notice)

    def forget_notices(self, source: str) -> None:
        """Forget the notices of a worker that has restarted: it repeats those that still hold."""
        for account in self._accounts.values():
            account.notices = {name: one for name, one in account.notices.items() if name[0] != source}

    def place_read(self, report: PlaceRead) -> bool:
        """Note that a place was read, and what of it could not be; whether that changes a notice."""
        account = self._accounts.get(report.account)
        return account is not None and account.take_place_read(report)

    def note_nothing_else(self, flat: Statement) -> bool:
        """Note that an account held nothing on the dexes that have no scope, as this empty statement says;
        whether that is to be remembered from now on."""
        account = self._accounts.get(flat.account)
        if account is None:
            return False
        account.note_nothing_else(flat)
        return account.persist_flat()

    def persist_flat(self, name: str) -> bool:
        """Whether what is known of the dexes without a scope is to be remembered from now on: all scopes of
        the account are stated."""
        return self._accounts[name].persist_flat()

    def collateral(self, collateral: Collateral) -> None:
        """Note the token in which a market's figures are."""
        self.quotes[collateral.scope] = collateral.token

    def note_margin_tables(self, report: MarginTables) -> None:
        """Note the margin tiers of a market."""
        self.margin_tables |= report.tables

    def mode(self, mode: AccountMode) -> None:
        """Note how an account's balances are kept."""
        if mode.account in self._accounts:
            self._accounts[mode.account].take_mode(mode)

    def role(self, role: AccountRole) -> None:
        """Note the role that the venue gives an account's address."""
        if role.account in self._accounts:
            self._accounts[role.account].role = role

    def record_event(self, happened: AccountEvent) -> bool:
        """Keep an account event as a possible cause of a later drift; whether it was new."""
        account = self._accounts.get(happened.account)
        return account is not None and account.record_event(happened)

    # ------------------------------------------------------------------ cash

    def note_booked(self, changes: Iterable[Change]) -> None:
        """Note what fills and funding payments booked, for the comparison of cash. They are only collected
        here: a fill need not wait for it."""
        self._booked += changes

    def _book(self) -> None:
        """Book what was noted."""
        booked, self._booked = self._booked, []
        for change in booked:
            if isinstance(change, Filled | Funded):
                name, key = whose(change)
                if name in self._accounts:
                    self._accounts[name].note_booked(change, market_of(key))

    def take_transfer(self, event: AccountEvent) -> bool:
        """Book what an event moved, once; whether it was new."""
        self._book()
        account = self._accounts.get(event.account)
        return account is not None and account.take_transfer(event)

    def compare_cash(self, statement: Statement) -> Point | None:
        """Compare the cash of a dex with a statement that `reconcile` has taken; the point to journal, if
        there is one. Call it when everything is judged."""
        self._book()
        return self._accounts[statement.account].compare_cash(statement)

    def odd_cash_since_ms(self, name: str, scope: str) -> int | None:
        """Up to when the cash of a dex was explained, if the last statement's is not; else None."""
        pocket = self._accounts[name].cash.pockets.get(scope)
        return pocket.as_of_ms if pocket is not None and pocket.is_odd else None

    def cash_memories(self) -> dict[str, LedgerMemory]:
        """Everything that is needed to restore the cash, by account."""
        self._book()
        return {name: account.cash.memory() for name, account in self._accounts.items()}

    def liquidated(self, happened: AccountEvent, fill: Fill | None = None) -> list[Change]:
        """The positions of which this liquidation is news; call before `record_event`.

        `fill` is what tells of it, None for the venue's ledger. A position is left out where a liquidation of
        it at the same time is kept already: an order has several fills, and the ledger tells of the same.
        """
        account = self._accounts.get(happened.account)
        if account is None:
            return []
        then = (AccountEventKind.LIQUIDATION, happened.time_ms)
        known = {key for one in account.events if (one.kind, one.time_ms) == then for key in one.keys}
        method, order_id = (fill.liquidation, fill.order_id) if fill is not None else (None, None)
        return [
            Liquidated(happened.account, key, happened.time_ms, method, order_id)
            for key in happened.keys
            if key not in known and self._has(happened.account, key)
        ]

    def _has(self, account: str, key: str) -> bool:
        """Whether there is a position of this key, a flat one too."""
        scope = self._find(account, market_of(key))
        return scope is not None and key in scope.holdings and scope.holdings[key].ledger.has_base

    # ---------------------------------------------------------------- judged

    def set_freshness(self, account: str, freshness: Freshness, scope: str = FIRST_SCOPE) -> None:
        """Note how old the feeds of a scope are. It is judged again only if that may change a verdict.

        Until the first call, no feed counts as heard.
        """
        of = self._accounts[account].scopes[scope]
        of.set_freshness(freshness)
        if of.is_unjudged:
            self._unjudged[of] = None

    def judge(self) -> list[VerdictChanged]:
        """Judge what may have changed since the last call: positions that a report changed, and whole scopes
        whose feeds or freshness changed. Returns the verdicts that differ from before."""
        if not self._unjudged:
            return []
        unjudged, self._unjudged = self._unjudged, {}
        return [change for scope in unjudged for change in scope.judge()]

    # ----------------------------------------------------------------- asked

    def view(self, account: str, key: str) -> View:
        """One position; KeyError when there is none."""
        for scope in self._accounts[account].scopes.values():
            if key in scope.holdings:
                return scope.view(key)
        raise KeyError(key)

    def views(self, account: str | None = None) -> list[View]:
        """All positions, of one account or of all, in the order of their keys, flat ones too."""
        found = []
        for name in self._accounts if account is None else [account]:
            views = [view for scope in self._accounts[name].scopes.values() for view in scope.views()]
            found += sorted(views, key=lambda view: view.key)
        return found

    def keys(self, name: str, scope: str) -> list[str]:
        """The keys of the positions of an account's scope, flat ones too, in no order."""
        holdings = self._accounts[name].scopes[scope].holdings
        return [key for key, holding in holdings.items() if holding.ledger.has_base]

    def account(self, name: str) -> AccountView:
        """One account; KeyError when it is not watched."""
        return self._accounts[name].view(name)

    def scopes(self, name: str) -> list[ScopeView]:
        """The scopes of an account, in the order in which they were opened."""
        return self._accounts[name].scope_views()

    def scope_names(self, name: str) -> tuple[str, ...]:
        """The names of an account's scopes, in the order in which they were opened."""
        return tuple(self._accounts[name].scopes)

    def is_stated(self, name: str, scope: str = FIRST_SCOPE) -> bool:
        """Whether the venue has stated this scope of the account since it is watched, or had done so
        according to the journal. Until then its positions are unknown, and a count of them means nothing.
        Raises KeyError for an account that is not watched."""
        return self._accounts[name].is_stated(scope)

    def is_wholly_stated(self, name: str) -> bool:
        """Whether the venue has stated every scope of the account, so that sums over its positions are
        known."""
        return self._accounts[name].is_wholly_stated

    def statement_asked_s(self, name: str, scope: str = FIRST_SCOPE) -> float | None:
        """When the newest statement was asked for, or pushed; None before the first. Where sizes rest on
        fills and the account is polled: when those of its last complete round were asked for."""
        of = self._accounts[name].scopes[scope]
        if of.is_polled and of.continuity.rests_on_fills:
            return of.round_asked_s
        return None if of.statement is None else of.statement.asked_s

    def is_polled(self, name: str) -> bool:
        """Whether no stream has the account's fills, and it is polled."""
        return self._accounts[name].round_s is not None

    def is_live(self, name: str) -> bool:
        """Whether at least one feed of its fills is up."""
        return self._accounts[name].scopes[FIRST_SCOPE].is_live

    def doubtful(self) -> list[tuple[str, int]]:
        """The accounts with an open gap or doubt, and the time from which fills are wanted."""
        found = []
        for name, account in self._accounts.items():
            wanted = [scope.wanted_ms for scope in account.scopes.values() if scope.doubtful]
            times = [since_ms for since_ms in wanted if since_ms is not None]
            if times:
                found.append((name, min(times)))
        return found

    def doubtful_keys(self, name: str, scope: str) -> list[str]:
        """The keys of a scope whose views are `in_doubt`, in their order."""
        return sorted(self._accounts[name].scopes[scope].doubtful_keys)

    def high_water_ms(self, name: str) -> int | None:
        """Up to when the fills are known to be whole; None before the start."""
        return self._accounts[name].high_water_ms

    def unsure(self) -> dict[str, dict[str, int]]:
        """By account: the keys ("" for all) that may lack fills, and since when. Keys that are listed only by
        `partial` are not included."""
        found: dict[str, dict[str, int]] = {}
        for name, account in self._accounts.items():
            of = found[name] = {}
            for scope in account.scopes.values():
                since_ms = [at_ms for at_ms in (of.get(""), scope.unsure.get("")) if at_ms is not None]
                of |= scope.unsure | scope.gaps
                if since_ms:
                    of[""] = min(since_ms)
        return found

    def unfinished(self) -> dict[str, dict[str, int]]:
        """By account: the keys for which an unfinished fetch has brought fills, and since when."""
        return {name: partial for name in self._accounts if (partial := self.partial(name))}

    def partial(self, name: str) -> dict[str, int]:
        """The keys for which an unfinished fetch has brought fills, and since when."""
        found: dict[str, int] = {}
        for scope in self._scopes_of(name):
            if scope.doubtful:
                found |= scope.partial
        return found

    def has_recalled_gap(self, name: str) -> bool:
        """Whether it was restored with a gap or an unfinished fetch, and no feed has been live since."""
        return any(scope.unsure.keys() - {""} for scope in self._scopes_of(name))

    def has_gap(self, name: str) -> bool:
        """Whether fills wait behind one that is missing."""
        return any(scope.doubtful and scope.gaps for scope in self._scopes_of(name))

    def unreported_until_ms(self, name: str) -> int:
        """The time of the newest fill that a first statement includes and that no change reports; 0 if
        none is known."""
        holdings = (holding for scope in self._scopes_of(name) for holding in scope.holdings.values())
        return max((holding.ledger.unreported_until_ms for holding in holdings), default=0)

    def is_partly_unread(self, name: str) -> bool:
        """Whether a position of the account is entirely unknown, because its row could not be read."""
        return any(scope.is_partly_unread for scope in self._accounts[name].scopes.values())

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

    # -------------------------------------------------------------- recovery

    def memories(self) -> list[Memory]:
        """Everything that is needed to restore all positions."""
        scopes = [scope for name in self._accounts for scope in self._scopes_of(name)]
        return [memory for scope in scopes for memory in scope.memories()]

    def recall(
        self,
        memories: Iterable[Memory],
        base_ms: Mapping[str, Mapping[str, int]],
        unsure: Mapping[str, Mapping[str, int]] | None = None,
        cash: Mapping[str, LedgerMemory] | None = None,
    ) -> None:
        """Restore the accounts. `base_ms` is by account and scope, as the method returns it; `unsure` has the
        keys that may have lacked fills then, and since when; `cash` is by account."""
        by_account: dict[str, list[Memory]] = {}
        for memory in memories:
            by_account.setdefault(memory.account, []).append(memory)
        for name, account in self._accounts.items():
            account.recall(by_account.get(name, ()), base_ms.get(name, {}), (unsure or {}).get(name, {}))
            account.recall_cash((cash or {}).get(name, LedgerMemory()))
            self._opened |= {(name, of): None for of in account.scopes if of}
        self._judge_all()

    def base_ms(self) -> dict[str, dict[str, int]]:
        """By account, since when each of its stated scopes is watched (OTHER_SCOPES: the dexes without
        one)."""
        return {name: base for name, account in self._accounts.items() if (base := account.base_ms())}

    # ------------------------------------------------------------------ within

    def _find(self, account: str, scope: str) -> Scope | None:
        of = self._accounts.get(account)
        return None if of is None else of.scopes.get(scope)

    def _scopes_of(self, account: str) -> list[Scope]:
        of = self._accounts.get(account)
        return [] if of is None else list(of.scopes.values())

    def _scope_for(self, account: str, scope: str) -> Scope:
        """The scope, opened if need be; its first freshness is for `take_opened` to ask for."""
        of = self._accounts[account]
        found = of.scopes.get(scope)
        if found is None:
            found = of.scope(scope)
            self._opened[account, scope] = found.base_ms if found.stated else None
            self._unjudged[found] = None
        return found

    def _marked(self, scope: Scope, changes: list[Change]) -> list[Change]:
        """The changes, the scope being noted if it is to be judged for them."""
        if scope.is_unjudged:
            self._unjudged[scope] = None
        return changes

    def _judge_all(self) -> None:
        scopes = [scope for account in self._accounts.values() for scope in account.scopes.values()]
        self._unjudged = dict.fromkeys(scopes)
