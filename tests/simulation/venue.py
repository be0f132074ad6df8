"""The exchange of a life: the simulated exchange's own core, its past, and the ways from it.

Markets, accounts, fills and fees are `simulator.world` and `simulator.ledger`, as in every simulated run.
In one life of twelve each fill and each statement is written as the exchange writes it, and read by the
venue's payload parser. In the others they are made from the ledger's facts, with the parser's formulas: the
text takes a tenth of a life's time.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from hlposmon.domain.amounts import CONTEXT
from hlposmon.domain.reports import (
    AccountEvent,
    Fill,
    FillCause,
    Funding,
    Identity,
    Side,
    StatedPosition,
    Statement,
)
from hlposmon.simulator.account import Account, View
from hlposmon.simulator.facts import Fill as Fact
from hlposmon.simulator.facts import Order, Row
from hlposmon.simulator.ledger import Position
from hlposmon.simulator.markets import BUILDER_DEX
from hlposmon.simulator.numbers import MONEY_PLACES, nearest, rounded
from hlposmon.simulator.statement import clearinghouse_state
from hlposmon.simulator.world import World
from hlposmon.venues.hyperliquid import payloads
from tests.simulation.plan import Plan
from tests.simulation.scheduler import Scheduler

NAMES = ("main", "alt", "third")
HORIZON = "the exchange lists only its newest fills"
# So long every fill is listed.
LISTED_S = 20.0
# Of a size in the exchange's texts.
DIGITS = 15
ZERO = Decimal(0)

Name = tuple[str, str]  # account, key


def exact(value: Fraction) -> Decimal:
    number, below = value.as_integer_ratio()
    return CONTEXT.divide(Decimal(number), Decimal(below))


@dataclass(slots=True)
class Past:
    """All sizes that a coin has had, each with when it began; and after which of them each fill stands."""

    sizes: list[tuple[float, Decimal]] = field(default_factory=lambda: [(-1e9, ZERO)])
    after: dict[Identity, int] = field(default_factory=dict)

    @property
    def size(self) -> Decimal:
        return self.sizes[-1][1]

    def had(self, size: Decimal, since_s: float, at_least: int = 0) -> bool:
        """Whether it was the size at any time from then on, not before the change of that number."""
        for number in range(len(self.sizes) - 1, -1, -1):
            began_s, one = self.sizes[number]
            if one == size:
                return True
            if began_s <= since_s or number <= at_least:
                return False
        return False


class Venue:
    def __init__(self, plan: Plan, dice: random.Random, time: Scheduler, seed: int) -> None:
        self.plan, self._dice, self._time = plan, dice, time
        self.names = NAMES[: plan.accounts]
        self.addresses = {name: f"0x{number:040x}" for number, name in enumerate(self.names, 0xA1)}
        self._of_address = {address: name for name, address in self.addresses.items()}
        self.world = World(seed, self.addresses.values(), plan.coins)
        # In two lives of five some of the coins are of another dex.
        builders = random.Random(f"dexes {seed}")
        others = [coin for coin, quote in self.world.quotes.items() if quote.market.dex]
        traded = builders.choice((0, 0, 0, 1, 2))
        self.coins = (*self.world.coins, *others[:traded])
        self.dexes = ("", BUILDER_DEX)
        self.past: dict[Name, Past] = {}
        self.fills: dict[str, list[Fill]] = {name: [] for name in self.names}
        self.fundings: dict[str, list[Funding]] = {name: [] for name in self.names}
        self.corrected: set[Name] = set()
        self.is_away = False  # nothing is taken or answered
        self.silent_until_s = 0.0  # nothing is answered
        self.marks = {payloads.key_of(coin): exact(self._mark(coin)) for coin in self.coins}
        self._through_text = dice.random() < 1 / 12

    # ------------------------------------------------------------------ trading

    @property
    def ms(self) -> int:
        return self._time.true_ms + self.plan.venue_clock_ms

    def account(self, name: str) -> Account:
        return self.world.account(self.addresses[name])

    def trade(self, name: str) -> list[Fill]:
        """A block: one to several fills of one or two coins, all of one millisecond."""
        dice, account = self._dice, self.account(name)
        block = self.world.block(self.ms)
        made = []
        for coin in dice.sample(self.coins, min(len(self.coins), dice.choice((1, 1, 2)))):
            for _ in range(dice.choice((1, 1, 1, 2, 3))):
                held = account.size(coin)
                change = self._change(held)
                # Prices have at most six decimals less those of the sizes.
                price = self._moved(coin, dice.randint(9900, 10100), 1)
                made.append(self.world.trade(account, coin, change, price, self.world.order(), block))
        return self._take(name, made)

    def back_and_forth(self, name: str) -> list[list[Fill]]:
        """Five blocks of one coin: there and back, and three times there."""
        coin, step = self._dice.choice(self.coins), self._dice.choice((-1, 1))
        return [self.move(name, coin, units) for units in (step, -step, step, step, step)]

    def flat_and_other(self, name: str) -> tuple[str, str] | None:
        """A coin that is not held, and another one; None where there are no such two."""
        coins, account = self.coins, self.account(name)
        flat = [coin for coin in coins if coin not in account.positions]
        if not flat or len(coins) < 2:
            return None
        coin = self._dice.choice(flat)
        return coin, self._dice.choice([one for one in coins if one != coin])

    def move(self, name: str, coin: str, units: int) -> list[Fill]:
        """A block of one fill at the mark."""
        block, order = self.world.block(self.ms), self.world.order()
        change, price = units * self.plan.unit, self._mark(coin)
        return self._take(name, [self.world.trade(self.account(name), coin, change, price, order, block)])

    def close_by_force(self, name: str) -> list[Fill]:
        """A liquidation of half, or all, or the venue settles a position; nothing where none is held."""
        account = self.account(name)
        if not account.positions:
            return []
        coin = self._dice.choice(sorted(account.positions))
        if self._dice.random() < 0.5:
            # Half of an odd number of units would have more digits, in the end, than the exchange's text.
            share = Fraction(1) if account.size(coin) / 2 % self.plan.unit else Fraction(1, 2)
            return self._take(name, [self.world.liquidate(account, coin, share, self.ms)])
        price = self._mark(coin)
        return self._take(name, [self.world.settle(account, coin, price, "Settlement", self.ms)])

    def correct(self, name: str) -> None:
        """A size changes, and no fill tells of it. It stays within the 15 digits of the exchange's text."""
        account, coin = self.account(name), self._dice.choice(self.coins)
        before, step = account.size(coin), self._dice.choice((-1, 1)) * 40 * self.plan.unit
        sizes = (before + step, before - step, Fraction(0), step)
        size = next(size for size in sizes if size != before and _digits(size) <= DIGITS)
        self.world.ghost(account, coin, size, self.ms)
        key = payloads.key_of(coin)
        self.corrected.add((name, key))
        self._of((name, key)).sizes.append((self._time.s, exact(size)))

    def fund(self) -> list[Funding]:
        """An hour's funding of all positions."""
        before = len(self.world.news)
        self.world.fund(self.ms)
        paid = []
        for fact in self.world.news[before:]:
            name = self._of_address[fact.account]
            read, unread = payloads.fundings([fact.flat()], name)  # type: ignore[union-attr]
            assert not unread
            self.fundings[name] += read
            paid += read
        return paid

    def move_marks(self) -> dict[str, Decimal]:
        """One step of every price; all of them."""
        for coin in self.coins:
            quote = self.world.quotes[coin]
            quote.hold(self._moved(coin, self._dice.randint(9995, 10005), 2))
            self.marks[payloads.key_of(coin)] = exact(quote.mark)
        return dict(self.marks)

    # ------------------------------------------------------------------ asked

    def since(self, name: str, from_ms: int) -> tuple[list[Fill], tuple[int, int, str] | None]:
        """All fills from then on that are listed still; and the hole before them, if it is told.

        The exchange does not tell where its list ends. It lists the newest 10 000, so that none is gone after
        seconds. A hole that it tells, a millisecond of more than two pages, may be of any time.
        """
        fills = self.fills[name]
        found = fills[bisect_left(fills, from_ms, key=lambda fill: fill.time_ms) :]
        most = self.plan.horizon
        if most is None or len(fills) <= most or from_ms > fills[-most - 1].time_ms:
            return found, None
        if self.plan.is_hole_told:
            return fills[-most:], (from_ms, fills[-most].time_ms, HORIZON)
        listed_ms = self.ms - int(LISTED_S * 1000)
        return [fill for fill in found if fill.time_ms >= listed_ms or fill in fills[-most:]], None

    def statement(
        self, name: str, dex: str, lag_s: float, asked_s: float, fetched_ms: int | None, *, pushed: bool
    ) -> tuple[Statement, float]:
        """A statement of a dex, of now, whose contents are so old, and of when these are."""
        then_s, time_ms = self._time.s - lag_s, self.ms
        if not pushed:
            time_ms -= int(self.plan.answer_early_s * 1000)
        view = self.account(name).view(self.ms - int(lag_s * 1000))
        if self._through_text:
            row = clearinghouse_state(view, dex, self.world.quotes, time_ms)
            read = payloads.statement(
                row, name, dex=dex, asked_s=asked_s, now_ms=time_ms, fills_from_ms=fetched_ms, pushed=pushed
            )
            assert not read.unread
            return read, then_s
        held = view.positions.values()
        positions = tuple(self._stated(one) for one in held if one.market.dex == dex)
        stated = Statement(
            account=name,
            venue="hyperliquid",
            time_ms=time_ms,
            asked_s=asked_s,
            positions=positions,
            equity=self._equity(view, dex),
            margin_used=Decimal(10),
            withdrawable=Decimal(900),
            fills_from_ms=fetched_ms,
            pushed=pushed,
            scope=dex,
        )
        return stated, then_s

    def size(self, name: Name) -> Decimal:
        """What is held now."""
        past = self.past.get(name)
        return ZERO if past is None else past.size

    def entry(self, name: Name) -> Decimal | None:
        """The exact average price of what is held now."""
        held = self.account(name[0]).positions.get(payloads.coin_of(name[1]))
        return None if held is None else exact(held.entry)

    def names_held(self) -> Iterator[Name]:
        """Every coin that an account has or had a position in."""
        yield from self.past

    # ------------------------------------------------------------------ within

    def _of(self, name: Name) -> Past:
        return self.past.setdefault(name, Past())

    def _mark(self, coin: str) -> Fraction:
        return self.world.quotes[coin].mark

    def _moved(self, coin: str, share: int, places: int) -> Fraction:
        """The mark times so many ten-thousandths."""
        mark = self._mark(coin)
        return nearest(mark.numerator * share, mark.denominator * 10_000, places)

    def _change(self, held: Fraction) -> Fraction:
        """Sizes meet again and again: round trips, flat, flips."""
        dice, unit = self._dice, self.plan.unit
        if held and dice.random() < 0.15:
            return -held
        moved = unit * dice.choice((-2, -1, -1, 1, 1, 2))
        if self.plan.fine:
            scale = Fraction("0.01") if unit < 10**10 else Fraction(1)  # no more than 15 digits
            moved = round(moved * Fraction(dice.randint(500, 1500), 1000) / scale) * scale or scale
        return moved

    def _take(self, name: str, made: list[Fact]) -> list[Fill]:
        """Note what happened, and read it as it is written."""
        if self._through_text:
            read = payloads.fills([fact.row() for fact in made], name, self.addresses[name])
            assert not read.unread and not read.others
            fills = read.fills
        else:
            fills = [_fill(name, fact) for fact in made]
        for fill in fills:
            past = self._of((name, fill.key))
            past.sizes.append((self._time.s, fill.end_position))
            past.after[fill.identity] = len(past.sizes) - 1
        self.fills[name] += fills
        return fills

    def _stated(self, held: Position) -> StatedPosition:
        """As `payloads.statements` reads it: the entry from the unrealised P&L, which has six decimals."""
        mark, size = exact(self._mark(held.market.coin)), exact(held.size)
        pnl = exact(self._pnl(held))
        value = CONTEXT.multiply(size, mark)
        entry = CONTEXT.divide(CONTEXT.subtract(value, pnl), size)
        tolerance = CONTEXT.add(
            CONTEXT.divide(Decimal("0.000003"), abs(size)), CONTEXT.divide(abs(entry), Decimal(1_000_000))
        )
        return StatedPosition(
            key=payloads.key_of(held.market.coin),
            size=size,
            entry_price=entry,
            mark_price=mark,
            leverage=Decimal(held.margin.leverage),
            tolerance=tolerance,
        )

    def _equity(self, view: View, dex: str) -> Decimal:
        """Cash and the value of what is held, with six decimals, as the exchange prints it."""
        held = [one for one in view.positions.values() if one.market.dex == dex]
        value = sum((one.raw + one.size * self._mark(one.market.coin) for one in held), Fraction(0))
        return exact(rounded(view.cash.get(dex, Fraction(0)) + value))

    def transfer(self, name: str) -> None:
        """Money comes to the first dex, or goes."""
        usdc = Fraction(self._dice.randint(-50_000, 50_000) * 2 + 1, 100)
        delta: Row = {"type": "deposit", "usdc": usdc}
        if usdc < 0:
            delta = {"type": "withdraw", "usdc": -usdc, "nonce": 1, "fee": Fraction(0)}
        self.world.transfer(self.account(name), delta, usdc, self.ms)

    def updates(self, name: str, from_ms: int = 0) -> list[AccountEvent]:
        """What the exchange's ledger lists of an account."""
        rows = [update.row() for update in self.account(name).updates if update.time >= from_ms]
        return payloads.account_events(rows, name, self.addresses[name])

    def _pnl(self, held: Position) -> Fraction:
        """Unrealised, size * (mark - entry), with six decimals."""
        size, size_below = held.size.as_integer_ratio()
        entry, entry_below = held.entry.as_integer_ratio()
        mark, mark_below = self._mark(held.market.coin).as_integer_ratio()
        moved = size * (mark * entry_below - entry * mark_below)
        return nearest(moved, size_below * entry_below * mark_below, MONEY_PLACES)


def _fill(name: str, fact: Fact) -> Fill:
    """As `payloads.fills` reads its row; there are liquidations of ours alone."""
    order = fact.order
    return Fill(
        account=name,
        key=payloads.key_of(fact.coin),
        time_ms=fact.time,
        side=Side.BUY if fact.side == "B" else Side.SELL,
        size=exact(fact.size),
        price=exact(fact.price),
        start_position=exact(fact.start),
        fee=exact(fact.fee),
        fee_token="USDC",
        closed_pnl=exact(fact.closed_pnl),
        order_id=order.oid,
        trade_id=fact.tid,
        hash=order.hash,
        direction=fact.word,
        crossed=order.crossed,
        liquidation=None if order.liquidation is None else order.liquidation["method"],
        cause=_cause(order),
        builder_fee=exact(fact.builder_fee) if fact.builder_fee else None,
    )


def _cause(order: Order) -> FillCause:
    if order.liquidation is not None:
        return FillCause.LIQUIDATION
    return FillCause.ORDER if order.word is None else FillCause.SETTLEMENT


def _digits(size: Fraction) -> int:
    return len(exact(size).normalize(CONTEXT).as_tuple().digits)
