"""The positions of a summary by account and by market, and what they come to. Pure: nothing here prints.

What a sum lacks is unknown, never 0: a sum with an unknown part is unknown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hlposmon.cli.formats import decimal
from hlposmon.cli.rows import BALANCE, PERP, SPOT, USD, Row, severity
from hlposmon.cli.selection import Selection

Summary = dict[str, Any]
Account = dict[str, Any]

# Sums of the summary, by the field of a position that they add up.
SUMS = {"total_exposure": "notional_value", "unrealized_pnl": "unrealized_pnl", "total_pnl": "total_pnl"}


@dataclass(frozen=True, slots=True)
class Market:
    """The rows of one scope of an account. `quote` is the token of their amounts, None while unknown."""

    scope: str
    quote: str | None
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """What it is called, with the token of its amounts where that is not USDC."""
        if self.scope == SPOT:
            return SPOT
        name = f"dex {self.scope}" if self.rows[0].type == PERP else self.scope
        token = "" if self.quote in (None, USD) else f", amounts in {self.quote}"
        return (name if self.scope else "first dex") + token


@dataclass(frozen=True, slots=True)
class Group:
    """An account, its fields in the summary, and its markets that have rows, in the order of its scopes."""

    name: str
    account: Account
    markets: tuple[Market, ...]
    is_stated: bool

    @property
    def rows(self) -> list[Row]:
        """The rows of all its markets."""
        return [row for market in self.markets for row in market.rows]


@dataclass(frozen=True, slots=True)
class Shown:
    """The groups to show, and of how many rows theirs are a part."""

    groups: tuple[Group, ...]
    whole: int

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]


@dataclass(frozen=True, slots=True)
class Total:
    """What is shown under the table: sums as decimal strings, None while unknown; a sum without a key is not
    shown. `verdict` is the worst of those whose figures are in it."""

    sums: dict[str, str | None]
    verdict: str


def arrange(summary: Summary, selection: Selection, *, is_old: bool) -> Shown:
    """The positions to show, grouped. With `is_old` every verdict is stale: what was proven then is not now.

    An account without positions is shown too; under a filter only if its name has all of the words.
    """
    accounts: dict[str, Account] = dict(summary.get("accounts") or {})
    if is_old:
        accounts = {name: {**account, "verdict": "stale"} for name, account in accounts.items()}
    by_account: dict[str, list[Row]] = {name: [] for name in accounts}
    for label, position in listed(summary).items():
        shown = {**position, "verdict": "stale"} if is_old else position
        row = Row(label, _account_of(position, accounts), shown)
        by_account.setdefault(row.account, []).append(row)
    unknown = set(unstated(summary))
    groups = []
    for name, own in by_account.items():
        taken = selection.order([row for row in own if selection.takes(row)])
        if taken or (not own and selection.takes_text(name)):
            account = accounts.get(name, {})
            groups.append(Group(name, account, _markets(account, taken), is_stated=name not in unknown))
    return Shown(tuple(groups), sum(map(len, by_account.values())))


def listed(summary: Summary) -> dict[str, dict[str, Any]]:
    """The positions to show, by name: open ones, and flat ones that are not proven."""
    return {
        name: position
        for name, position in (summary.get("positions") or {}).items()
        if not position.get("is_flat") or position.get("verdict") != "proven"
    }


def unstated(summary: Summary) -> list[str]:
    """Names of the accounts that the venue has not stated yet.

    Unknown equity alone does not show that, so `stated` of the summary comes first.
    """
    if summary.get("stated") is True:
        return []
    return [
        name
        for name, account in (summary.get("accounts") or {}).items()
        if account.get("equity") is None and account.get("verdict") not in (None, "proven")
    ]


def total_of(summary: Summary, shown: Shown, *, is_partial: bool) -> Total | None:
    """What all accounts come to; of a part of the rows, what these rows come to. None if there is nothing
    to add up.

    The sums over accounts are the summary's own, which have what was earned on closed positions. Equity
    belongs to whole accounts, so that a part has none.
    """
    verdicts = [row.verdict for row in shown.rows]
    if not is_partial:
        verdicts += [str(group.account.get("verdict") or "unproven") for group in shown.groups]
        sums = _equity(shown.groups) | {key: summary[key] for key in SUMS if key in summary}
    else:
        sums = _sums([row for row in shown.rows if row.type != BALANCE])
    if not sums or not verdicts:
        return None
    return Total(sums, min(verdicts, key=severity))


def _account_of(position: dict[str, Any], accounts: dict[str, Account]) -> str:
    return str(position.get("account") or (next(iter(accounts)) if len(accounts) == 1 else ""))


def _markets(account: Account, rows: Sequence[Row]) -> tuple[Market, ...]:
    scopes: dict[str, Any] = {str(scope.get("name")): scope for scope in account.get("scopes") or []}
    by_scope: dict[str, list[Row]] = {name: [] for name in scopes}
    for row in rows:
        by_scope.setdefault(row.scope, []).append(row)
    return tuple(
        Market(name, scopes.get(name, {}).get("quote"), tuple(own)) for name, own in by_scope.items() if own
    )


def _equity(groups: Iterable[Group]) -> dict[str, str | None]:
    amounts = [group.account.get("equity") for group in groups if group.account]
    return {"equity": _sum(amounts)} if amounts else {}


def _sums(rows: Sequence[Row]) -> dict[str, str | None]:
    """The sums over these rows, which are none of them balances: those are in no sum of the summary either.

    Amounts in another token than USDC, or in one that is not known, are never added.
    """
    if not rows:
        return {}
    is_usd = all(row.position.get("quote", USD) == USD for row in rows)
    return {
        key: _sum([row.position.get(name) for row in rows]) if is_usd else None for key, name in SUMS.items()
    }


def _sum(amounts: Iterable[object]) -> str | None:
    total = Decimal(0)
    for amount in amounts:
        value = decimal(amount)
        if value is None:
            return None
        total += value
    return format(total, "f")
