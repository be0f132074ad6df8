"""How much of what backs an account its positions must keep: maintenance margin, and margin ratio.

The ratio is maintenance margin over the equity that backs it, and at 1 the exchange liquidates. What backs
what depends on the account mode. Source: the exchange's documentation, account abstraction modes, margining.

- Plain modes: the cross positions of each dex have their own equity. The ratio is the highest over the dexes
  of `cross maintenance / cross equity`, as a dex is liquidated by itself.
- Unified account: the cross positions of all dexes with the same collateral token have its spot balance. The
  ratio is the highest over the tokens of `cross maintenance of its dexes / (spot total - isolated margin)`.
- Portfolio margin: the exchange states the ratio, and it cannot be worked out of what is read here.

Isolated positions have their own cash and are in no ratio: how far one is from liquidation is said of the
position. Their maintenance margin follows from the margin tiers (see margin).

Example: a first dex with a cross equity of 500 that must keep 100, and `xyz` with 40 and 10. Plain: the
ratio is 10 / 40 = 0.25, that of `xyz`, and the maintenance margin 110. Unified, both in USDC, with 540 USDC
on spot: 110 / 540 = 0.2037.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.reports import MarginMode, StatedPosition, Statement

Tables = Mapping[str, MarginTable]


@dataclass(frozen=True, slots=True)
class Margin:
    """The maintenance margin in USD, and the ratio; `reason` says why one of them is None."""

    maintenance: Decimal | None
    ratio: Decimal | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Dex:
    """What was last stated of a dex; the token that its figures are in, and its worth in USD."""

    statement: Statement
    quote: str
    rate: Decimal

    @property
    def label(self) -> str:
        """As it is named in a reason."""
        return f"the dex {self.statement.scope}" if self.statement.scope else "the first dex"

    @property
    def cross_maintenance(self) -> Decimal | None:
        """What its cross positions must keep; a dex without positions needs no statement of it."""
        said = self.statement
        return said.cross_maintenance if said.positions or said.unread else ZERO

    @property
    def isolated(self) -> Iterable[StatedPosition]:
        """Its positions that are not cross."""
        return (one for one in self.statement.positions if one.margin_mode is not MarginMode.CROSS)


def plain_margin(dexes: Sequence[Dex], tables: Tables) -> Margin:
    """The margin of an account in a plain mode."""
    parts = [(f"the cross positions of {dex.label}", dex.cross_maintenance, _equity(dex)) for dex in dexes]
    return _margin(dexes, tables, *_highest(parts))


def unified_margin(dexes: Sequence[Dex], totals: Mapping[str, Decimal], tables: Tables) -> Margin:
    """The margin of a unified account; `totals` are its balances on spot by token."""
    parts = []
    for token in dict.fromkeys(dex.quote for dex in dexes):
        of_token = [dex for dex in dexes if dex.quote == token]
        isolated = _sum(one.margin_used for dex in of_token for one in dex.isolated)
        with exactly():
            backing = None if isolated is None else totals.get(token, ZERO) - isolated
        kept = _sum(dex.cross_maintenance for dex in of_token)
        parts.append((f"the cross positions in {token}", kept, backing))
    return _margin(dexes, tables, *_highest(parts))


def _margin(dexes: Sequence[Dex], tables: Tables, ratio: Decimal | None, why: str | None) -> Margin:
    reason = _unknown_reason(dexes, tables)
    if reason is not None:
        return Margin(None, ratio, reason)
    with exactly():
        kept = sum((dex.rate * amount for dex in dexes for amount in _maintenances(dex, tables)), ZERO)
    return Margin(kept, ratio, why)


def _unknown_reason(dexes: Sequence[Dex], tables: Tables) -> str | None:
    """Why the maintenance margin of one of the dexes is not known; None if all are."""
    for dex in dexes:
        if dex.statement.unread:
            return f"a position could not be read: {min(dex.statement.unread)}"
        if dex.cross_maintenance is None:
            return f"the exchange does not state the maintenance margin of {dex.label}"
        unknown = [one.key for one in dex.isolated if _maintenance(one, tables) is None]
        if unknown:
            return f"the margin tiers of {min(unknown)} are not known"
    return None


def _maintenances(dex: Dex, tables: Tables) -> Iterable[Decimal]:
    amounts = [dex.cross_maintenance, *(_maintenance(one, tables) for one in dex.isolated)]
    return (amount for amount in amounts if amount is not None)


def _maintenance(one: StatedPosition, tables: Tables) -> Decimal | None:
    """What an isolated position must keep, at the mark that was stated with it."""
    table = tables.get(one.key)
    is_known = table is not None and table.grants(one.max_leverage) and one.margin_mode is not None
    if table is None or not is_known or one.mark_price is None:
        return None
    with exactly():
        return table.maintenance(abs(one.size) * one.mark_price)


def _equity(dex: Dex) -> Decimal | None:
    said = dex.statement
    return said.cross_equity if said.positions or said.unread else ZERO


def _highest(
    parts: Iterable[tuple[str, Decimal | None, Decimal | None]],
) -> tuple[Decimal | None, str | None]:
    """The highest ratio of parts (a name, what it must keep, what backs it), and why it is not known."""
    highest = ZERO
    for name, kept, backing in parts:
        if kept is None or backing is None:
            return None, f"what {name} must keep, or what backs them, is not stated"
        if not kept:
            continue
        if backing <= 0:
            return None, f"nothing is left that backs {name}: no ratio says how far beyond liquidation"
        with exactly():
            highest = max(highest, kept / backing)
    return highest, None


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None where an amount is not known."""
    total = ZERO
    for amount in amounts:
        if amount is None:
            return None
        with exactly():
            total += amount
    return total
