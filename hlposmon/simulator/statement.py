"""The account state as the venue writes it, computed from an exact view by the venue's formulas.

Pure. Sources: section 8 of the venue's arithmetic (unrealized P&L from the exact entry at mark;
isolated margin is the pocket's value; liquidation price from what is available above maintenance,
one margin tier).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from hlposmon.simulator.account import View
from hlposmon.simulator.facts import Row
from hlposmon.simulator.ledger import ZERO, Position
from hlposmon.simulator.markets import Quote
from hlposmon.simulator.numbers import RATIO_PLACES, money, printed, rounded


def notional(position: Position, mark: Fraction) -> Fraction:
    """The position's value, always positive."""
    return abs(position.size) * mark


def unrealized(position: Position, mark: Fraction) -> Fraction:
    """Exact, at mark."""
    return position.size * (mark - position.entry)


def maintenance(position: Position, mark: Fraction) -> Fraction:
    """The margin below which it is liquidated: half the initial margin at the greatest leverage."""
    return notional(position, mark) / (2 * position.market.max_leverage)


def margin_used(position: Position, mark: Fraction) -> Fraction:
    """Cross: the notional divided by the leverage. Isolated: everything in its pocket."""
    if position.margin.isolated:
        return position.size * mark + position.raw
    return notional(position, mark) / position.margin.leverage


def liquidation_price(position: Position, mark: Fraction, available: Fraction) -> Fraction | None:
    """The mark at which `available` (value above maintenance) is used up; None where there is none."""
    sign = 1 if position.size > 0 else -1
    rate = Fraction(1, 2 * position.market.max_leverage)
    price = mark - sign * available / abs(position.size) / (1 - rate * sign)
    return price if price > 0 else None


@dataclass(frozen=True, slots=True)
class Summary:
    """The venue's margin summary of some positions."""

    value: Fraction
    raw: Fraction
    notional: Fraction
    margin: Fraction

    def row(self) -> Row:
        """As the venue writes it."""
        return {
            "accountValue": money(self.value),
            "totalNtlPos": money(self.notional),
            "totalRawUsd": money(self.raw),
            "totalMarginUsed": money(self.margin),
        }


def summary(raw: Fraction, positions: list[Position], marks: Mapping[str, Fraction]) -> Summary:
    """Account value = raw cash + the signed value of the positions."""
    pairs = [(position, marks[position.market.coin]) for position in positions]
    return Summary(
        value=raw + sum((p.size * mark for p, mark in pairs), ZERO),
        raw=raw,
        notional=sum((notional(p, mark) for p, mark in pairs), ZERO),
        margin=sum((margin_used(p, mark) for p, mark in pairs), ZERO),
    )


def clearinghouse_state(view: View, dex: str, quotes: Mapping[str, Quote], time: int) -> Row:
    """The answer of `clearinghouseState` for one dex; all zero for an account that has nothing there."""
    positions = [p for p in view.positions.values() if p.market.dex == dex]
    marks = {p.market.coin: quotes[p.market.coin].mark for p in positions}
    cross = [p for p in positions if not p.margin.isolated]
    cash = view.cash.get(dex, ZERO)
    of_cross = summary(cash, cross, marks)
    of_all = summary(cash + sum((p.raw for p in positions), ZERO), positions, marks)
    kept = sum((maintenance(p, marks[p.market.coin]) for p in cross), ZERO)
    rows = [_position_row(p, marks[p.market.coin], of_cross.value - kept, view) for p in positions]
    return {
        "marginSummary": of_all.row(),
        "crossMarginSummary": of_cross.row(),
        "crossMaintenanceMarginUsed": money(kept),
        "withdrawable": money(max(ZERO, of_cross.value - of_cross.margin)),
        "assetPositions": [{"type": "oneWay", "position": row} for row in rows],
        "time": time,
    }


def _position_row(position: Position, mark: Fraction, cross_available: Fraction, view: View) -> Row:
    coin, size = position.market.coin, position.size
    leverage: Row = {"type": "cross", "value": position.margin.leverage}
    available = cross_available
    if position.margin.isolated:
        leverage = {"type": "isolated", "value": position.margin.leverage, "rawUsd": printed(position.raw)}
        available = margin_used(position, mark) - maintenance(position, mark)
    price = liquidation_price(position, mark, available)
    pnl = unrealized(position, mark)
    basis = abs(size) * position.entry / position.margin.leverage
    return {
        "coin": coin,
        "szi": printed(size),
        "leverage": leverage,
        "entryPx": printed(position.shown_entry),
        "positionValue": printed(rounded(notional(position, mark))),
        "unrealizedPnl": money(pnl),
        "returnOnEquity": money(pnl / basis, RATIO_PLACES),
        "liquidationPx": None if price is None else money(price, RATIO_PLACES),
        "marginUsed": money(margin_used(position, mark)),
        "maxLeverage": position.market.max_leverage,
        "cumFunding": {
            "allTime": printed(view.funding.get(coin, ZERO)),
            "sinceOpen": printed(position.funding_open),
            "sinceChange": printed(position.funding_change),
        },
    }
