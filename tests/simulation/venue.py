"""The exchange of a life: the simulated exchange's own core, its past, and the ways from it.

Markets, accounts, fills and fees are `simulator.world` and `simulator.ledger`, as in every simulated run;
each fill is written as the exchange writes it and read by the venue's payload parser. Statements are made
from the ledger's views with the formulas of `payloads.statements`: to write and read each as text takes half
a millisecond, and there is one a second. In one life of eight they do go through the text.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hlposmon.domain.amounts import CONTEXT
from hlposmon.domain.reports import Fill, Funding, Identity, StatedPosition, Statement
from hlposmon.simulator.account import Account
from hlposmon.simulator.facts import Fill as Fact
from hlposmon.simulator.ledger import Position
from hlposmon.simulator.numbers import rounded
from hlposmon.simulator.statement import clearinghouse_state
from hlposmon.simulator.world import World
from hlposmon.venues.hyperliquid import payloads
from tests.simulation.plan import Plan
from tests.simulation.scheduler import Scheduler

NAMES = ("main", "alt", "third")
HORIZON = "the exchange lists only its newest fills"
ZERO = Decimal(0)

Name = tuple[str, str]  # account, key


def exact(value: Fraction) -> Decimal:
    return CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


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
        self.past: dict[Name, Past] = {}
        self.fills: dict[str, list[Fill]] = {name: [] for name in self.names}
        self.fundings: dict[str, list[Funding]] = {name: [] for name in self.names}
        self.corrected: set[Name] = set()
        self.is_away = False  # nothing is taken or answered
        self.marks = {payloads.key_of(coin): exact(self._mark(coin)) for coin in self.world.coins}
        self._through_text = dice.random() < 1 / 8

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
        for coin in dice.sample(self.world.coins, min(len(self.world.coins), dice.choice((1, 1, 2)))):
            for _ in range(dice.choice((1, 1, 1, 2, 3))):
                held = account.size(coin)
                change = self._change(held)
                # Prices have at most six decimals less those of the sizes.
                price = rounded(self._mark(coin) * Fraction(dice.randint(9900, 10100), 10_000), 1)
                made.append(self.world.trade(account, coin, change, price, self.world.order(), block))
        return self._take(name, made)

    def close_by_force(self, name: str) -> list[Fill]:
        """A liquidation of half, or the venue settles a position; nothing where none is held."""
        account = self.account(name)
        if not account.positions:
            return []
        coin = self._dice.choice(sorted(account.positions))
        if self._dice.random() < 0.5:
            return self._take(name, [self.world.liquidate(account, coin, Fraction(1, 2), self.ms)])
        price = self._mark(coin)
        return self._take(name, [self.world.settle(account, coin, price, "Settlement", self.ms)])

    def correct(self, name: str) -> None:
        """A size changes, and no fill tells of it."""
        account, coin = self.account(name), self._dice.choice(self.world.coins)
        size = account.size(coin) + self._dice.choice((-1, 1)) * 40 * self.plan.unit
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
        for coin in self.world.coins:
            quote = self.world.quotes[coin]
            quote.hold(rounded(quote.mark * Fraction(self._dice.randint(9995, 10005), 10_000), 2))
            self.marks[payloads.key_of(coin)] = exact(quote.mark)
        return dict(self.marks)

    # ------------------------------------------------------------------ asked

    def since(self, name: str, from_ms: int) -> tuple[list[Fill], tuple[int, int, str] | None]:
        """All fills from then on that are listed still; and the hole before them, if there is one."""
        fills = self.fills[name]
        found = fills[bisect_left(fills, from_ms, key=lambda fill: fill.time_ms) :]
        most = self.plan.horizon
        if most is None or len(fills) <= most or from_ms > fills[-most - 1].time_ms:
            return found, None
        return fills[-most:], (from_ms, fills[-most].time_ms, HORIZON)

    def statement(
        self, name: str, lag_s: float, asked_s: float, fetched_ms: int | None, *, pushed: bool
    ) -> tuple[Statement, float]:
        """A statement of now whose contents are so old, and of when these are."""
        then_s = self._time.s - lag_s
        view = self.account(name).view(self.ms - int(lag_s * 1000))
        if self._through_text:
            row = clearinghouse_state(view, "", self.world.quotes, self.ms)
            read = payloads.statement(
                row, name, asked_s=asked_s, now_ms=self.ms, fills_from_ms=fetched_ms, pushed=pushed
            )
            assert not read.unread
            return read, then_s
        positions = tuple(self._stated(one) for one in view.positions.values())
        stated = Statement(
            account=name,
            venue="hyperliquid",
            time_ms=self.ms,
            asked_s=asked_s,
            positions=positions,
            equity=Decimal(1000),
            margin_used=Decimal(10),
            withdrawable=Decimal(900),
            fills_from_ms=fetched_ms,
            pushed=pushed,
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
        read = payloads.fills([fact.row() for fact in made], name, self.addresses[name])
        assert not read.unread and not read.others
        for fill in read.fills:
            past = self._of((name, fill.key))
            past.sizes.append((self._time.s, fill.end_position))
            past.after[fill.identity] = len(past.sizes) - 1
        self.fills[name] += read.fills
        return read.fills

    def _stated(self, held: Position) -> StatedPosition:
        """As `payloads.statements` reads it: the entry from the unrealised P&L, which has six decimals."""
        mark, size = held_mark(self.world, held), exact(held.size)
        pnl = exact(rounded(held.size * (mark - held.entry)))
        value = exact(held.size * mark)
        entry = CONTEXT.divide(CONTEXT.subtract(value, pnl), size)
        tolerance = CONTEXT.add(
            CONTEXT.divide(Decimal("0.000003"), abs(size)), CONTEXT.divide(abs(entry), Decimal(1_000_000))
        )
        return StatedPosition(
            key=payloads.key_of(held.market.coin),
            size=size,
            entry_price=entry,
            mark_price=exact(mark),
            leverage=Decimal(held.margin.leverage),
            tolerance=tolerance,
        )


def held_mark(world: World, held: Position) -> Fraction:
    return world.quotes[held.market.coin].mark


def rows_of(fills: list[Any], size: int) -> Iterator[list[Any]]:
    """In pages of so many."""
    for at in range(0, len(fills), size):
        yield fills[at : at + size]
