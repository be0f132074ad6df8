"""The book: all positions of all accounts, all mutable state of the domain, and its only entry point.

Each report returns the changes that follow from it. The book does no I/O, reads no clock and logs nothing:
`set_freshness` supplies the ages that a verdict needs. The cost of a report does not depend on the number of
accounts and positions that it does not concern.
"""

from collections.abc import Iterable, Iterator, Mapping, Set

from hlposmon.domain.account import Account
from hlposmon.domain.changes import Change, VerdictChanged
from hlposmon.domain.continuity import FILL_CHAIN, Continuity
from hlposmon.domain.prices import Prices
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    AccountEvent,
    AccountMode,
    AccountRole,
    FeedState,
    Fills,
    Funding,
    Marks,
    Notice,
    NotWatched,
    Statement,
    Unlisted,
)
from hlposmon.domain.scope import Scope, keep
from hlposmon.domain.verdict import Freshness
from hlposmon.domain.views import AccountView, Memory, ScopeView, View

_FIRST = {FIRST_SCOPE: FILL_CHAIN}


class Book:
    """Positions by account and key. Accounts are named at the start and by `watch`.

    An account has one scope, proven by its chain of fills, unless `watch_scopes` says otherwise. A method
    with a `scope` parameter concerns that scope only, and raises KeyError if there is none of that name.
    Reports about an account or a scope that is not watched change nothing.
    """

    def __init__(self, accounts: Iterable[str]) -> None:
        self._prices = Prices()
        self._accounts: dict[str, Account] = {}
        # The scopes of which something is to be judged.
        self._unjudged: dict[Scope, None] = {}
        self.watch(accounts)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the accounts that are watched, in the order in which they were given."""
        return tuple(self._accounts)

    def watch(self, accounts: Iterable[str]) -> None:
        """Watch these accounts from now on, and forget all others."""
        before, self._accounts = self._accounts, {}
        for name in accounts:
            self._accounts[name] = before.get(name) or Account(self._scopes_of(name, _FIRST))
        self._prices.forget_others(self._accounts)
        self._judge_all()

    def watch_scopes(self, account: str, scopes: Mapping[str, Continuity]) -> None:
        """Watch these scopes of an account from now on, each proven by its law, and forget all others. A
        scope whose law has changed starts anew."""
        of = self._accounts[account]
        before, of.scopes = of.scopes, self._scopes_of(account, scopes)
        for name, scope in before.items():
            if name in scopes and scope.continuity is scopes[name]:
                of.scopes[name] = scope
        self._prices.forget_others(self._accounts.keys() - {account})
        for scope in of.scopes.values():
            for holding in scope.holdings.values():
                self._prices.show_on(holding)
        self._judge_all()

    # ------------------------------------------------------------------ told

    def apply(self, fills: Fills) -> list[Change]:
        """Take fills of one account, in any order and with any repetition; the changes that follow.

        Fills with `heard_s` are live. If live ones arrive before a scope's first statement, the chain begins
        with the first of them, and older fills are history.
        """
        scope = self._find(fills.account, fills.scope)
        return [] if scope is None else self._marked(scope, scope.take(fills))

    def fetched(self, account: str, from_ms: int, scope: str = FIRST_SCOPE) -> None:
        """Note that a fetch of all fills of an account from `from_ms` on has ended."""
        of = self._find(account, scope)
        if of is not None:
            of.note_fetched(from_ms)
            self._marked(of, [])

    def mark(self, marks: Marks) -> list[tuple[str, str]]:
        """Take mark prices; (account, key) of each open position whose price moved."""
        return self._prices.mark(marks)

    def takes(self, statement: Statement) -> bool:
        """Whether `reconcile` would use this statement; it ignores old ones and those of unwatched scopes."""
        scope = self._find(statement.account, statement.scope)
        return scope is not None and scope.takes(statement)

    def reconcile(self, statement: Statement) -> list[Change]:
        """Compare a scope with the venue's statement; its first one starts the scope's positions."""
        account = self._accounts.get(statement.account)
        scope = self._find(statement.account, statement.scope)
        if account is None or scope is None:
            return []
        before = scope.statement
        changes = scope.reconcile(statement, account.events)
        account.note_equity(before, scope.statement)
        return self._marked(scope, changes)

    def apply_funding(self, funding: Funding) -> list[Change]:
        """Book a funding payment once; payments from before the scope's start are ignored."""
        scope = self._find(funding.account, funding.scope)
        return [] if scope is None else self._marked(scope, scope.apply_funding(funding))

    def feed(self, state: FeedState) -> None:
        """Note that a feed of fills came up or went down. One live feed of several is enough."""
        scope = self._find(state.account, state.scope)
        if scope is not None:
            scope.note_feed(state)
            self._unjudged[scope] = None

    def forget_feeds(self, gone: Set[str]) -> None:
        """Forget these feeds of fills: their states and notices no longer count."""
        for account in self._accounts.values():
            for scope in account.scopes.values():
                scope.forget_feeds(gone)
            account.notices = {name: one for name, one in account.notices.items() if name[0] not in gone}
        self._judge_all()

    def unlist(self, unlisted: Unlisted) -> bool:
        """Note that some fills cannot be fetched any more; whether this was new."""
        scope = self._find(unlisted.account, unlisted.scope)
        if scope is None or not scope.unlist(unlisted):
            return False
        self._unjudged[scope] = None
        return True

    def notice(self, notice: Notice) -> bool:
        """Keep a notice about an account, or end it; whether that changes anything."""
        account = self._accounts.get(notice.account)
        return account is not None and account.take_notice(notice)

    def forget_notices(self, source: str) -> None:
        """Forget the notices of a worker that has restarted: it repeats those that still hold."""
        for account in self._accounts.values():
            account.notices = {name: one for name, one in account.notices.items() if name[0] != source}

    def not_watched(self, report: NotWatched) -> bool:
        """Note what an account holds in markets that are not watched; whether that changes its notices."""
        account = self._accounts.get(report.account)
        return account is not None and account.take_not_watched(report)

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
        return account is not None and keep(account.events, happened)

    # ---------------------------------------------------------------- judged

    def set_freshness(self, account: str, freshness: Freshness, scope: str = FIRST_SCOPE) -> None:
        """Note how old the feeds of a scope are. It is judged again only if that may change a verdict.

        Until the first call, no feed counts as heard.
        """
        of = self._scope(account, scope)
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

    def keys(self, name: str) -> list[str]:
        """The keys of an account's positions, flat ones too, in no order."""
        scopes = self._accounts[name].scopes.values()
        return [key for scope in scopes for key, holding in scope.holdings.items() if holding.ledger.has_base]

    def account(self, name: str) -> AccountView:
        """One account; KeyError when it is not watched."""
        return self._accounts[name].view(name)

    def scopes(self, name: str) -> list[ScopeView]:
        """The scopes of an account, in the order in which they were named."""
        return [scope.as_whole() for scope in self._accounts[name].scopes.values()]

    def is_stated(self, name: str, scope: str = FIRST_SCOPE) -> bool:
        """Whether the venue has stated this scope of the account since it is watched, or had done so
        according to the journal. Until then its positions are unknown, and a count of them means nothing.
        Raises KeyError for an account that is not watched."""
        return self._scope(name, scope).stated

    def statement_asked_s(self, name: str, scope: str = FIRST_SCOPE) -> float | None:
        """When the newest statement was asked for, or pushed; None before the first."""
        statement = self._scope(name, scope).statement
        return None if statement is None else statement.asked_s

    def is_live(self, name: str, scope: str = FIRST_SCOPE) -> bool:
        """Whether at least one feed of its fills is up."""
        return self._scope(name, scope).is_live

    def doubtful(self, scope: str = FIRST_SCOPE) -> list[tuple[str, int]]:
        """The accounts with an open gap or doubt, and the time from which fills are wanted."""
        wanted = ((name, of.wanted_ms) for name, of in self._of_name(scope))
        return [(name, since_ms) for name, since_ms in wanted if since_ms is not None]

    def doubtful_keys(self, name: str) -> list[str]:
        """The keys of an account whose views are `in_doubt`, in their order."""
        return sorted(key for scope in self._accounts[name].scopes.values() for key in scope.doubtful_keys)

    def high_water_ms(self, name: str, scope: str = FIRST_SCOPE) -> int | None:
        """Up to when the fills are known to be whole; None before the start."""
        return self._scope(name, scope).high_water_ms

    def unsure(self, scope: str = FIRST_SCOPE) -> dict[str, dict[str, int]]:
        """By account: the keys ("" for all) that may lack fills, and since when. Keys that are listed only by
        `partial` are not included."""
        return {name: of.unsure | of.gaps for name, of in self._of_name(scope)}

    def unfinished(self, scope: str = FIRST_SCOPE) -> dict[str, dict[str, int]]:
        """By account: the keys for which an unfinished fetch has brought fills, and since when."""
        return {name: partial for name, of in self._of_name(scope) if (partial := of.partial)}

    def partial(self, name: str, scope: str = FIRST_SCOPE) -> dict[str, int]:
        """The keys for which an unfinished fetch has brought fills, and since when."""
        of = self._scope(name, scope)
        return of.partial if of.doubtful else {}

    def has_recalled_gap(self, name: str, scope: str = FIRST_SCOPE) -> bool:
        """Whether it was restored with a gap or an unfinished fetch, and no feed has been live since."""
        return any(self._scope(name, scope).unsure.keys() - {""})

    def has_gap(self, name: str, scope: str = FIRST_SCOPE) -> bool:
        """Whether fills wait behind one that is missing."""
        of = self._scope(name, scope)
        return bool(of.doubtful) and bool(of.gaps)

    def unreported_until_ms(self, name: str, scope: str = FIRST_SCOPE) -> int:
        """The time of the newest fill that a first statement includes and that no change reports; 0 if
        none is known."""
        holdings = self._scope(name, scope).holdings.values()
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

    def memories(self, scope: str = FIRST_SCOPE) -> list[Memory]:
        """Everything that is needed to restore the scopes of this name."""
        return [memory for _, of in self._of_name(scope) for memory in of.memories()]

    def recall(
        self,
        memories: Iterable[Memory],
        base_ms: Mapping[str, int],
        unsure: Mapping[str, Mapping[str, int]] | None = None,
        scope: str = FIRST_SCOPE,
    ) -> None:
        """Restore the scopes of this name. `base_ms` has the accounts for which it had been stated, and since
        when they are watched; `unsure` has the keys that may have lacked fills then, and since when."""
        by_account: dict[str, list[Memory]] = {}
        for memory in memories:
            by_account.setdefault(memory.account, []).append(memory)
        for name, of in self._of_name(scope):
            of.unsure.update((unsure or {}).get(name, {}))
            of.recall(by_account.get(name, ()), base_ms.get(name))
            self._unjudged[of] = None

    def base_ms(self, scope: str = FIRST_SCOPE) -> dict[str, int]:
        """The accounts that have been stated, and since when they are watched."""
        return {name: of.base_ms for name, of in self._of_name(scope) if of.stated}

    # ------------------------------------------------------------------ within

    def _scopes_of(self, account: str, scopes: Mapping[str, Continuity]) -> dict[str, Scope]:
        return {name: Scope(account, name, self._prices, law) for name, law in scopes.items()}

    def _find(self, account: str, scope: str) -> Scope | None:
        of = self._accounts.get(account)
        return None if of is None else of.scopes.get(scope)

    def _scope(self, account: str, scope: str) -> Scope:
        return self._accounts[account].scopes[scope]

    def _of_name(self, scope: str) -> Iterator[tuple[str, Scope]]:
        for name, account in self._accounts.items():
            if scope in account.scopes:
                yield name, account.scopes[scope]

    def _marked(self, scope: Scope, changes: list[Change]) -> list[Change]:
        """The changes, the scope being noted if it is to be judged for them."""
        if scope.is_unjudged:
            self._unjudged[scope] = None
        return changes

    def _judge_all(self) -> None:
        scopes = [scope for account in self._accounts.values() for scope in account.scopes.values()]
        self._unjudged = dict.fromkeys(scopes)
