"""Random orders of the accounts, with valid sizes and prices, now and for a short history.

An order opens, adds, reduces, closes or flips, in one to four fills of one block. The trader has its own
random generator, so that scripted actions do not change its later orders.
"""

import random
from fractions import Fraction

from hlposmon.simulator.account import Account
from hlposmon.simulator.facts import Fill
from hlposmon.simulator.ledger import Margin
from hlposmon.simulator.markets import Quote
from hlposmon.simulator.numbers import lawful, tick_of
from hlposmon.simulator.world import HOUR_MS, START_CASH, World

HISTORY_HOURS = 6
HISTORY_ORDERS = 30  # of each account
MIN_USD, MAX_USD = 200, 6_000  # notional of one order
MAX_HELD_USD = 30_000  # of one position: beyond it only reductions
# With a scale: the largest position, in orders; and the most significant digits of a size, which is what a
# double preserves.
MAX_HELD_ORDERS = 4
DIGITS = 15
HELD_AT_START = 4


class Trader:
    """Places orders for any account of a world."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._dice = random.Random(f"trader {seed}")
        self.scales: dict[str, Fraction] = {}  # by address: about how large an order is; 0 is the usual

    def live(self, now: int) -> None:
        """Give every account its past: a deposit, some hours of trading, positions that are open now."""
        begin = now - HISTORY_HOURS * HOUR_MS
        world = self._world
        for account in world.accounts.values():
            world.transfer(account, {"type": "deposit", "usdc": START_CASH}, START_CASH, begin)
            if len(world.coins) > 2:
                world.margin(account, world.coins[2], Margin(5, isolated=True))
        for n in range(HISTORY_ORDERS):
            time = begin + (n + 1) * (HISTORY_HOURS * HOUR_MS - 60_000) // (HISTORY_ORDERS + 1)
            world.walk()
            world.fund_if_due(time)
            for account in world.accounts.values():
                self.order(account, time + self._dice.randrange(20_000))
        for account in world.accounts.values():
            self._hold(account, now - 30_000)
        world.fund_if_due(now)
        world.news.clear()

    def order(self, account: Account, now: int, coin: str | None = None, fills: int = 0) -> list[Fill]:
        """One order of an account; `fills` says in how many executions (0: by chance)."""
        world, dice = self._world, self._dice
        coin = coin or dice.choice(world.coins)
        change = self._change(account, coin)
        pieces = self._pieces(coin, change, fills or dice.choice((1, 1, 1, 2, 2, 3, 4)))
        crossed = dice.random() < 0.6
        order = world.order(crossed=crossed, builder=dice.random() < 0.1, named=dice.random() < 0.3)
        quote, time = world.quotes[coin], world.block(now)
        first = quote.ask if (change > 0) == crossed else quote.bid
        step = tick_of(first, quote.market.sz_decimals) * (1 if change > 0 else -1)
        made = []
        for n, piece in enumerate(pieces):
            price = lawful(first + step * n, quote.market.sz_decimals) if crossed else first
            made.append(world.trade(account, coin, piece, price, order, time))
        return made

    def _change(self, account: Account, coin: str) -> Fraction:
        """What to do with a coin: a signed size, never 0."""
        dice, quote = self._dice, self._world.quotes[coin]
        lot = Fraction(1, 10**quote.market.sz_decimals)
        size, most = self._size(account, quote, lot)
        held = account.size(coin)
        if not held:
            return size if dice.random() < 0.5 else -size
        sign = 1 if held > 0 else -1
        chance = dice.random()
        if chance < 0.35 and abs(held) < most:
            return sign * size
        if chance < 0.75 and abs(held) > lot:
            return -sign * max(abs(held) * dice.randrange(10, 90) / 100 // lot * lot, lot)
        return -held if chance < 0.9 else -held - sign * size

    def _size(self, account: Account, quote: Quote, lot: Fraction) -> tuple[Fraction, Fraction]:
        """The size of an order, and the size of a position beyond which it is only reduced."""
        dice, scale = self._dice, self.scales.get(account.address)
        if not scale:
            usd = Fraction(dice.randrange(MIN_USD, MAX_USD))
            return max(usd / quote.mark // lot * lot, lot), MAX_HELD_USD / quote.mark
        usual = min(scale, Fraction(10) ** (DIGITS - 1 - quote.market.sz_decimals))
        rough = usual * dice.randrange(500_000, 1_500_000) / 1_000_000 // 1
        return max(rough + lot * dice.randint(1, 10**quote.market.sz_decimals), lot), usual * MAX_HELD_ORDERS

    def _pieces(self, coin: str, change: Fraction, count: int) -> list[Fraction]:
        lot = Fraction(1, 10 ** self._world.quotes[coin].market.sz_decimals)
        sign = 1 if change > 0 else -1
        left = abs(change)
        pieces = []
        for n in range(count, 1, -1):
            part = left / n // lot * lot
            if part:
                pieces.append(sign * part)
                left -= part
        return [*pieces, sign * left]

    def _hold(self, account: Account, now: int) -> None:
        """Open what is missing: long and short by turns, the third of them isolated."""
        world = self._world
        for n, coin in enumerate(world.coins[:HELD_AT_START]):
            held = account.size(coin)
            wanted = 1 if n % 2 == 0 else -1
            if held * wanted <= 0:
                quote = world.quotes[coin]
                lot = Fraction(1, 10**quote.market.sz_decimals)
                size = max(Fraction(3000) / quote.mark // lot * lot, lot)
                price = quote.ask if wanted > 0 else quote.bid
                world.trade(account, coin, wanted * size - held, price, world.order(), world.block(now))
