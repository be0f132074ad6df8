"""The exchange without its network: markets, accounts, and what happens to them; time is an argument.

Everything that happens becomes a fact in `news`, which the hub takes and sends. Positions follow from the
fills made here, and change otherwise only by a script's explicit action.
The same seed gives the same addresses, prices and trades; only the times differ.
"""

import hashlib
import random
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from hlposmon.simulator.account import Account
from hlposmon.simulator.facts import ZERO_HASH, Fact, Fill, LedgerUpdate, Order, Row
from hlposmon.simulator.ledger import ZERO, Margin, moved
from hlposmon.simulator.markets import MARKETS, Market, Quote
from hlposmon.simulator.numbers import printed, rounded

HOUR_MS = 3_600_000
START_CASH = Fraction(250_000)
DEX_CASH = Fraction(10_000)  # moved to a builder's dex before the first trade there
TAKER_RATE = Fraction("0.00045")
MAKER_RATE = Fraction("0.00015")
REBATE_RATE = Fraction("-0.00002")  # every other account is a market maker
BUILDER_RATE = Fraction("0.0001")


def addresses(seed: int, count: int) -> tuple[str, ...]:
    """`count` account addresses, determined by the seed; a longer list begins with the shorter one."""
    return tuple(
        "0x" + hashlib.sha256(f"hlposmon:{seed}:{n}".encode()).hexdigest()[:40] for n in range(count)
    )


class World:
    """All markets and accounts. Times are milliseconds since the epoch, and never go back."""

    def __init__(self, seed: int, accounts: Iterable[str], coins: int, builder_coins: int = 0) -> None:
        """`coins` of the first dex are traded, and `builder_coins` of the builder's."""
        self.quotes = {market.coin: Quote(market) for market in MARKETS}
        for quote in self.quotes.values():
            quote.held = quote.market.delisted
        tradable = [m for m in MARKETS if not m.delisted and not m.only_isolated and not m.dex]
        of_builder = [m for m in MARKETS if m.dex]
        self.coins = tuple(m.coin for m in (*tradable[: max(1, coins)], *of_builder[:builder_coins]))
        self.accounts = {address: Account(address) for address in accounts}
        self.news: list[Fact] = []
        self._walker = random.Random(f"prices {seed}")
        self._dice = random.Random(f"orders {seed}")
        self._oid = 400_000_000_000
        self.last_block = 0
        self._funded_hour = 0

    def account(self, address: str) -> Account:
        """The account of an address. Raises KeyError if the exchange does not know it."""
        return self.accounts[address.lower()]

    def walk(self) -> None:
        """One step of every price."""
        for quote in self.quotes.values():
            quote.walk(self._walker)

    def block(self, now: int) -> int:
        """The time of a new block: `now`, but later than every block before it."""
        self.last_block = max(now, self.last_block + 1)
        return self.last_block

    def order(self, *, crossed: bool = True, builder: bool = False, named: bool = False) -> Order:
        """A new order's identity; `named` gives it a client's id."""
        self._oid += self._dice.randrange(1, 5000)
        cloid = f"0x{self._dice.getrandbits(128):032x}" if named else None
        return Order(self._oid, self.new_hash(), crossed, cloid, builder)

    def new_hash(self) -> str:
        """A transaction's hash."""
        return f"0x{self._dice.getrandbits(256):064x}"

    def trade(
        self, account: Account, coin: str, change: Fraction, price: Fraction, order: Order, time: int
    ) -> Fill:
        """Execute `change` (signed, not 0) at `price`, in the block of `time`."""
        market = self.quotes[coin].market
        if market.dex and market.dex not in account.cash:
            self._open_dex(account, market, time)
        before = account.positions.get(coin)
        move = moved(before, market, account.margin(market), change, price)
        fee, builder_fee = self._fees(account, abs(change) * price, order)
        fill = Fill(
            account=account.address,
            coin=coin,
            price=price,
            size=abs(change),
            side="B" if change > 0 else "A",
            time=time,
            start=before.size if before else ZERO,
            word=order.word or move.word,
            closed_pnl=move.closed_pnl,
            fee=fee,
            builder_fee=builder_fee,
            tid=self._dice.getrandbits(50),
            order=order,
        )
        account.book(fill, market, move)
        self.news.append(fill)
        return fill

    def fund(self, now: int) -> int:
        """Pay funding on every position now; the number of payments."""
        time = self.block(now)
        count = 0
        for account in self.accounts.values():
            for coin in sorted(account.positions):
                quote = self.quotes[coin]
                self.news.append(account.fund(coin, quote.oracle, quote.rate, time))
                count += 1
        return count

    def fund_if_due(self, now: int) -> None:
        """Pay funding once in each hour, at its beginning."""
        hour = now // HOUR_MS
        if self._funded_hour and hour > self._funded_hour:
            self.fund(now)
        self._funded_hour = hour

    def transfer(self, account: Account, delta: Row, cash: Fraction, now: int, dex: str = "") -> LedgerUpdate:
        """Move money in or out (negative), with the ledger row that says why."""
        time = self.block(now)
        account.pay(dex, cash)
        account.remember(time)
        return self.note(account, delta, time)

    def note(self, account: Account, delta: Row, time: int, tx: str | None = None) -> LedgerUpdate:
        """Add a ledger row; no balance changes."""
        update = LedgerUpdate(account.address, time, tx or self.new_hash(), delta)
        account.updates.append(update)
        self.news.append(update)
        return update

    def slice_of_twap(self, number: int) -> Order:
        """The order of a slice of the TWAP order `number`, which has no transaction of its own."""
        return replace(self.order(), hash=ZERO_HASH, twap=number)

    def against(self, order: Order, victim: str, coin: str) -> Order:
        """The same order, executed against the forced order of a liquidated user: its fills say so."""
        mark = printed(self.quotes[coin].mark)
        return replace(order, liquidation={"liquidatedUser": victim, "markPx": mark, "method": "market"})

    def settle(
        self, account: Account, coin: str, price: Fraction, word: str, now: int, *, hashed: bool = False
    ) -> Fill:
        """Close a position by the venue's own act, without a fee: settlement, deleveraging, netting.

        `hashed`: the act has a transaction's hash.
        """
        held = account.positions[coin]
        order = self.order(crossed=False)
        order = replace(order, hash=order.hash if hashed else ZERO_HASH, word=word, free=True)
        return self.trade(account, coin, -held.size, price, order, self.block(now))

    def liquidate(
        self, account: Account, coin: str, share: Fraction, now: int, *, backstop: bool = False
    ) -> Fill:
        """Close `share` of a position by force, at a price a little worse than mark."""
        held, quote = account.positions[coin], self.quotes[coin]
        lot = Fraction(1, 10**held.market.sz_decimals)
        size = max((abs(held.size) * share) // lot * lot, min(lot, abs(held.size)))
        sign = 1 if held.size > 0 else -1
        price = quote.bid if sign > 0 else quote.ask
        method = "backstop" if backstop else "market"
        about = {"liquidatedUser": account.address, "markPx": printed(quote.mark), "method": method}
        kind = "Isolated" if held.margin.isolated else "Cross"
        word = f"Liquidated {kind} {'Long' if sign > 0 else 'Short'}" if backstop else None
        order = replace(self.order(), liquidation=about, word=word)
        time = self.block(now)
        value = account.cash.get(held.market.dex, ZERO) + held.size * quote.mark + held.raw
        fill = self.trade(account, coin, -sign * size, price, order, time)
        delta: Row = {
            "type": "liquidation",
            "liquidatedNtlPos": rounded(size * quote.mark),
            "accountValue": rounded(value),
            "leverageType": kind,
            "liquidatedPositions": [{"coin": coin, "szi": sign * size}],
        }
        self.note(account, delta, time, order.hash)
        return fill

    def ghost(self, account: Account, coin: str, size: Fraction, now: int) -> None:
        """Correct a position to `size` with no fill; the account's value at mark stays what it was."""
        quote = self.quotes[coin]
        held = account.positions.get(coin)
        move = moved(held, quote.market, account.margin(quote.market), size - account.size(coin), quote.mark)
        account.correct(quote.market, move.after, move.cash, self.block(now))

    def margin(self, account: Account, coin: str, margin: Margin) -> None:
        """Set how a coin is margined; only where nothing is held."""
        assert coin not in account.positions, "margin mode changes only where nothing is held"
        account.margins[coin] = margin

    def _open_dex(self, account: Account, market: Market, time: int) -> None:
        account.pay("", -DEX_CASH)
        account.pay(market.dex, DEX_CASH)
        delta: Row = {
            "type": "send",
            "user": account.address,
            "destination": account.address,
            "sourceDex": "",
            "destinationDex": market.dex,
            "token": "USDC",
            "amount": DEX_CASH,
            "usdcValue": DEX_CASH,
            "fee": "0.0",
            "nativeTokenFee": "0.0",
            "nonce": time,
            "feeToken": "",
        }
        self.note(account, delta, time)

    def _fees(self, account: Account, notional: Fraction, order: Order) -> tuple[Fraction, Fraction]:
        """The whole fee and the builder's part of it."""
        if order.free:
            return ZERO, ZERO
        maker = REBATE_RATE if int(account.address, 16) % 2 else MAKER_RATE
        builder = rounded(notional * BUILDER_RATE) if order.builder and order.crossed else ZERO
        return rounded(notional * (TAKER_RATE if order.crossed else maker)) + builder, builder
