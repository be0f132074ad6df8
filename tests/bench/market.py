"""The scripted exchange's account and prices: exact whole numbers, and the rows that the venue makes of them.

Sizes count in lots of 0.001, prices in ticks of 0.1, so that money is a whole number of 0.0001. What is
printed has the venue's shapes (plain decimals as text); nothing here waits, opens or asks the time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
START_CASH = 10_000_000 * 10_000
LEVERAGE, MAX_LEVERAGE = 20, 40
# The ids of the n-th fill's order and trade are these plus n.
FIRST_ORDER, FIRST_TRADE = 400_000_000_000, 900_000_000_000_000
# The first names are real ones, so that clients with lists of their own know at least these.
NAMED = ("BTC", "ETH", "SOL", "HYPE", "DOGE", "XRP", "LINK", "AVAX", "ARB", "OP")
OTHER_DEXES = ("xyz", "flx", "vntl", "hyna", "km", "abcd", "cash", "para")


def coins(count: int) -> list[str]:
    """The names of the first `count` perpetuals."""
    return [*NAMED, *(f"C{number}" for number in range(len(NAMED), count))][:count]


def decimal(value: int | Fraction, places: int) -> str:
    """`value` is in units of 10^-places; as the venue prints it, at least one digit behind the point."""
    whole = round(value)
    sign, digits = ("-" if whole < 0 else ""), str(abs(whole)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:].rstrip('0') or '0'}"


def first_mark(number: int) -> int:
    """Ticks: different prices of about the same size, so that no coin dominates an account."""
    return 1_000_0 + number * 37


@dataclass(slots=True)
class Held:
    """A position: signed lots and what they cost (0.0001 USD, signed as the lots)."""

    lots: int
    cost: Fraction


@dataclass(slots=True)
class Account:
    """One address, with what it holds and the rows of the fills that it made here, oldest first."""

    address: str
    held: dict[str, Held] = field(default_factory=dict)
    cash: Fraction = Fraction(START_CASH)
    fills: list[Row] = field(default_factory=list)


class Market:
    """All accounts and marks. The marks walk; a fill trades at the mark."""

    def __init__(self, addresses: Iterable[str], *, positions: int, coin_count: int) -> None:
        """Every account holds the same `positions` first coins, opened before anybody looked."""
        self.coins = coins(max(coin_count, positions, 1))
        self.marks = {coin: first_mark(number) for number, coin in enumerate(self.coins)}
        self.accounts = {address: Account(address) for address in addresses}
        self._tids = 0
        self._turn = 0
        for account in self.accounts.values():
            for coin in self.coins[:positions]:
                self._trade(account, coin, 1000)

    def move_marks(self, names: Iterable[str]) -> None:
        """Each mark moves by about 2 basis points, up and down in turn, and so stays where it was."""
        self._turn += 1
        for number, coin in enumerate(names):
            step = 2 + number % 3
            self.marks[coin] += step if (self._turn + number) % 2 else -step

    def fill(self, address: str, coin: str, lots: int, time_ms: int) -> Row:
        """Trade at the mark; the row of `userFills`."""
        account, mark = self.accounts[address], self.marks[coin]
        held = account.held.get(coin)
        start = held.lots if held else 0
        closed = Fraction(0)
        if held and start * lots < 0:
            closed = -lots * (mark - held.cost / start)
        fee = Fraction(abs(lots) * mark * 45, 1000)  # 0.045 %, in 0.000001 USD
        self._trade(account, coin, lots)
        account.cash -= fee / 100
        self._tids += 1
        opens = start * lots >= 0
        row: Row = {
            "coin": coin,
            "px": decimal(mark, 1),
            "sz": decimal(abs(lots), 3),
            "side": "B" if lots > 0 else "A",
            "time": time_ms,
            "startPosition": decimal(start, 3),
            "dir": f"{'Open' if opens else 'Close'} {'Long' if (lots > 0) == opens else 'Short'}",
            "closedPnl": decimal(closed * 100, 6),
            "hash": f"0x{self._tids:064x}",
            "oid": FIRST_ORDER + self._tids,
            "crossed": True,
            "fee": decimal(fee, 6),
            "tid": FIRST_TRADE + self._tids,
            "feeToken": "USDC",
            "twapId": None,
        }
        account.fills.append(row)
        return row

    def _trade(self, account: Account, coin: str, lots: int) -> None:
        """Never past flat: the script keeps each position on its side."""
        held = account.held.setdefault(coin, Held(0, Fraction(0)))
        traded = lots * self.marks[coin]
        account.cash -= traded
        held.cost += traded if held.lots * lots >= 0 else held.cost * Fraction(lots, held.lots)
        held.lots += lots
        if not held.lots:
            del account.held[coin]

    def state(self, address: str, time_ms: int) -> Row:
        """`clearinghouseState` of the first dex; all zero for an address that is not ours."""
        account = self.accounts.get(address)
        if account is None:
            return empty_state(time_ms)
        marks = self.marks
        values = {coin: held.lots * marks[coin] for coin, held in account.held.items()}
        total = sum(abs(value) for value in values.values())
        equity = account.cash + sum(values.values())
        summary = {
            "accountValue": decimal(equity * 100, 6),
            "totalNtlPos": decimal(total, 4),
            "totalRawUsd": decimal(account.cash * 100, 6),
            "totalMarginUsed": decimal(Fraction(total, LEVERAGE) * 100, 6),
        }
        return {
            "marginSummary": summary,
            "crossMarginSummary": dict(summary),
            "crossMaintenanceMarginUsed": decimal(Fraction(total, 2 * MAX_LEVERAGE) * 100, 6),
            "withdrawable": decimal((equity - Fraction(total, LEVERAGE)) * 100, 6),
            "assetPositions": [
                {"type": "oneWay", "position": self._position(coin, held, values[coin])}
                for coin, held in account.held.items()
            ],
            "time": time_ms,
        }

    def _position(self, coin: str, held: Held, value: int) -> Row:
        pnl = value - held.cost
        return {
            "coin": coin,
            "szi": decimal(held.lots, 3),
            "leverage": {"type": "cross", "value": LEVERAGE},
            "entryPx": decimal(int(held.cost * 100 / held.lots), 3),
            "positionValue": decimal(abs(value), 4),
            "unrealizedPnl": decimal(pnl * 100, 6),
            "returnOnEquity": decimal(pnl * LEVERAGE * 10**10 / abs(held.cost), 10),
            "liquidationPx": None,
            "marginUsed": decimal(Fraction(abs(value), LEVERAGE) * 100, 6),
            "maxLeverage": MAX_LEVERAGE,
            "cumFunding": {"allTime": "0.0", "sinceOpen": "0.0", "sinceChange": "0.0"},
        }

    def fast_contexts(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """What `fastAssetCtxs` tells of some coins, unpacked."""
        prices = {coin: f"{self.marks[coin] // 10}.{self.marks[coin] % 10}" for coin in names}
        return {coin: {"markPx": price, "midPx": price} for coin, price in prices.items()}


def empty_state(time_ms: int) -> Row:
    """The state of an account that holds nothing on a dex."""
    summary = dict.fromkeys(("accountValue", "totalNtlPos", "totalRawUsd", "totalMarginUsed"), "0.0")
    return {
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "crossMaintenanceMarginUsed": "0.0",
        "withdrawable": "0.0",
        "assetPositions": [],
        "time": time_ms,
    }
