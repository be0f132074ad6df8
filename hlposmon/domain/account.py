"""An account as a whole: its scopes, notices, account mode, role, and events.

Owned by the Book. Positions, statements and feeds belong to the scopes.
"""

from dataclasses import dataclass, field

from hlposmon.domain.reports import (
    AccountEvent,
    AccountMode,
    AccountRole,
    Notice,
    NoticeCode,
    NotWatched,
    Place,
    Statement,
)
from hlposmon.domain.scope import Scope
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView

# The places that must have been checked before an account counts as fully covered.
LOOKS = frozenset({Place.DEXES, Place.SPOT})
# Roles of an address that has no account of its own; the venue answers for it as for an empty account.
NO_ACCOUNT = ("missing", "agent")
_NOT_WATCHED = "not watched: only perpetuals of the first dex are"


@dataclass(slots=True)
class Account:
    """One account. Its scopes are in the order in which they were named."""

    scopes: dict[str, Scope]
    notices: dict[tuple[str, NoticeCode], Notice] = field(default_factory=dict)
    # Unwatched holdings by the place where they were found; and the coins of unwatched fills, each with the
    # places that have been checked since.
    elsewhere: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    traded: dict[str, set[Place]] = field(default_factory=dict)
    mode: AccountMode | None = None
    role: AccountRole | None = None
    is_mode_in_doubt: bool = False
    events: list[AccountEvent] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """The newest statement of each scope that has one."""
        return [scope.statement for scope in self.scopes.values() if scope.statement is not None]

    def note_equity(self, before: Statement | None, after: Statement | None) -> None:
        """Note a scope's new newest statement: the mode is in doubt if equity fell to zero."""
        if before and after and before.equity and not after.equity and self._is_plain:
            # It may be withdrawn, or kept elsewhere from now on: the mode can change at any time.
            self.is_mode_in_doubt = True

    def take_notice(self, notice: Notice) -> bool:
        """Replace the notice of the same source and code, or remove it if this one has no text; whether that
        changed anything."""
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
        """The texts of notices about what it holds or trades and is not watched."""
        held = [f"{one} is held but {_NOT_WATCHED}" for found in self.elsewhere.values() for one in found]
        return held + [f"{coin} is traded but {_NOT_WATCHED}" for coin in sorted(self.traded)]

    @property
    def _is_plain(self) -> bool:
        return self.mode is not None and self.mode.plain

    @property
    def _equity_reason(self) -> str | None:
        """Why the figures of its statements do not cover the whole account; None if they do."""
        if not self.statements:
            return "no statement from the venue yet"
        if self.role is not None and self.role.role in NO_ACCOUNT:
            return "the venue has no account at this address"
        if len(self.scopes) > 1:
            return "each of its scopes has figures of its own"
        if self.mode is None:
            return "it is not known yet how its balances are kept (account mode)"
        if self.is_mode_in_doubt:
            return "its equity fell to zero: it is asked again how its balances are kept (account mode)"
        return None if self.mode.plain else self.mode.reason

    @property
    def _unsettled(self) -> str | None:
        """What must still be learned before the account counts as fully covered; None if nothing."""
        if not self.elsewhere.keys() >= LOOKS:
            missing = ", ".join(sorted(LOOKS - self.elsewhere.keys()))
            return f"not looked yet at what else it holds ({missing})"
        known = self.role is not None and self.role.role
        if not known and self.statements and not any(one.positions or one.equity for one in self.statements):
            return "it holds nothing, and it is not known yet whether the venue knows its address"
        return None

    @property
    def _verdict(self) -> tuple[Verdict, str | None]:
        """The verdict and reason of the first scope that is not proven."""
        for scope in self.scopes.values():
            if scope.verdict is None:
                return Verdict.UNPROVEN, "not judged yet"
            if scope.verdict is not Verdict.PROVEN:
                return scope.verdict, f"{scope.name}: {scope.reason}" if scope.name else scope.reason
        return Verdict.PROVEN, None

    def view(self, name: str) -> AccountView:
        """The account as it may be shown under that name: the verdict, and equity where it is known. An
        amount that is not known is None, with the reason in `equity_reason`."""
        statements, reason = self.statements, self._equity_reason
        shown = statements[0] if reason is None else None
        left_out = (Notice(name, NoticeCode.NOT_WATCHED, text) for text in self._left_out())
        verdict, why = self._verdict
        return AccountView(
            account=name,
            verdict=verdict,
            reason=why,
            equity=shown.equity if shown else None,
            margin_used=shown.margin_used if shown else None,
            withdrawable=shown.withdrawable if shown else None,
            notices=(*self.notices.values(), *left_out),
            equity_reason=reason,
            mode=self.mode.mode if self.mode else None,
            role=self.role.role if self.role else None,
            owner=self.role.owner if self.role else None,
            unsettled=self._unsettled,
            stated=all(scope.stated for scope in self.scopes.values()),
            as_of_ms=min(one.time_ms for one in statements) if len(statements) == len(self.scopes) else None,
        )
