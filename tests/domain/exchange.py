"""A model exchange, the roads from it, and a watcher: what a book goes through in its life, from a seed.

Its arithmetic is its own (fractions.Fraction), so that it is an oracle and no mirror. Everything that
can go wrong on the way does: two feeds with delays, losses and repetitions, statements that lag behind
the fills or run ahead of them, fetches, restarts, and (only when asked for) states that two connections
push each second and sizes that change without a fill. In half of the lives sizes are large.
"""

import random
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Context, Decimal
from fractions import Fraction
from itertools import groupby

from hlposmon.domain.amounts import ZERO
from hlposmon.domain.book import Book
from hlposmon.domain.changes import Adopted, AdoptionReason, Change, Doubt, Drift, Filled, Gap
from hlposmon.domain.instrument import market_of
from hlposmon.domain.placing import STATEMENT_BLUR_MS
from hlposmon.domain.reports import FeedState, Fill, Fills, Side, StatedPosition, Statement, Unlisted
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import Memory
from tests.domain.language import ACCOUNT, FRESH, T0_MS, key

HOUR_MS, STATEMENT_EACH_MS = 3_600_000, 60_000
HORIZON = "the exchange lists only its newest fills"
UNLISTED = "fills are missing that the venue no longer lists"
COINS = ("BTC", "ETH", "xyz:TSLA")
DEXES = ("", "xyz")
# Sizes are multiples of one of these: with the large ones most have a fraction and many digits.
UNITS = (
    Fraction(1),
    Fraction("524288.7"),
    Fraction("1048576.3"),
    Fraction("1e9") + Fraction("0.01"),
    Fraction("1e12") + Fraction("0.01"),
)


@dataclass
class Truth:
    """What the exchange holds of one coin, exactly."""

    size: Fraction = Fraction(0)
    entry: Fraction = Fraction(0)

    def fill(self, moved: Fraction, price: Fraction) -> Fraction:
        """Take a fill; what it realises."""
        after = self.size + moved
        if self.size == 0 or (self.size > 0) == (moved > 0):
            self.entry = (self.size * self.entry + moved * price) / after
            gained = Fraction(0)
        else:
            closed = min(abs(moved), abs(self.size)) * (1 if self.size > 0 else -1)
            gained = closed * (price - self.entry)
            if after != 0 and (after > 0) != (self.size > 0):
                self.entry = price
        self.size = after
        return gained


def to_decimal(value: Fraction) -> Decimal:
    return Context(prec=60).divide(Decimal(value.numerator), Decimal(value.denominator))


class Exchange:
    """Positions of one account, all its fills, and what could be read at any earlier time.

    Its clock may be another than ours, by `clock_ms`.
    """

    def __init__(
        self, rng: random.Random, start: bool, fine: bool = False, unit: Fraction = UNITS[0]
    ) -> None:
        self.rng = rng
        self.unit = unit
        self.fine = fine
        self.fills: list[Fill] = []
        self.clock_ms = 0
        self.truth = {coin: Truth() for coin in COINS}
        self.changed = 0
        self.realized: Counter[Fill] = Counter()
        self._history: list[tuple[int, dict[str, tuple[Fraction, Fraction]]]] = []
        self._ids = 0
        if start:
            for truth in self.truth.values():
                truth.size, truth.entry = unit * rng.randint(-3, 3), Fraction(rng.randint(90, 110))
        self._note(0)

    def trade(self, now_ms: int) -> list[Fill]:
        """A block: one to several fills of one or two coins, all of one millisecond."""
        block: list[Fill] = []
        for coin in self.rng.sample(COINS, self.rng.choice((1, 1, 2))):
            for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
                block.append(self._fill(coin, now_ms))
        for fill in block:
            insort(self.fills, fill, key=lambda fill: fill.time_ms)
        self._note(now_ms)
        return block

    def change(self, now_ms: int) -> str:
        """A size changes, and no fill tells of it."""
        coin = self.rng.choice(COINS)
        truth = self.truth[coin]
        truth.size += self.rng.choice((-1, 1)) * 1000 * self.unit
        self.changed += 1
        self._note(now_ms)
        return coin

    def since(self, time_ms: int) -> list[Fill]:
        return self.fills[bisect_left(self.fills, time_ms, key=lambda fill: fill.time_ms) :]

    def statements(
        self, now_ms: int, lag_ms: int, asked_s: float, fetched_ms: int | None, *, pushed: bool = False
    ) -> list[Statement]:
        """A statement of each dex, of now, whose contents are `lag_ms` old."""
        then = next(
            state for at_ms, state in reversed(self._history) if at_ms <= now_ms - lag_ms or at_ms == 0
        )
        return [
            Statement(
                account=ACCOUNT,
                venue="hyperliquid",
                time_ms=now_ms + self.clock_ms,
                asked_s=asked_s,
                positions=tuple(
                    StatedPosition(key(coin), to_decimal(size), to_decimal(entry), tolerance=Decimal("1e-40"))
                    for coin, (size, entry) in then.items()
                    if size and market_of(key(coin)) == dex
                ),
                fills_from_ms=fetched_ms,
                pushed=pushed,
                scope=dex,
            )
            for dex in DEXES
        ]

    def sizes(self, coin: str, since_ms: int) -> set[Decimal]:
        """All sizes of a coin since then, on our clock."""
        at = max(0, bisect_right(self._history, since_ms, key=lambda state: state[0]) - 1)
        return {to_decimal(state[coin][0]) for _, state in self._history[at:]}

    def _note(self, now_ms: int) -> None:
        state = {coin: (truth.size, truth.entry) for coin, truth in self.truth.items()}
        self._history.append((now_ms, state))

    def _fill(self, coin: str, now_ms: int) -> Fill:
        truth = self.truth[coin]
        # Sizes meet again and again: round trips, flat, flips.
        moved = self.unit * self.rng.choice((-2, -1, -1, 1, 1, 2))
        if self.fine:  # no size comes twice
            moved *= Fraction(self.rng.randint(500_000, 1_000_000), 1_000_000)
        if truth.size and self.rng.random() < 0.15:
            moved = -truth.size
        price = Fraction(self.rng.randint(9000, 11000), 100)
        start = truth.size
        gained = truth.fill(moved, price)
        self._ids += 1
        made = Fill(
            account=ACCOUNT,
            key=key(coin),
            time_ms=now_ms + self.clock_ms,
            side=Side.BUY if moved > 0 else Side.SELL,
            size=to_decimal(abs(moved)),
            price=to_decimal(price),
            start_position=to_decimal(start),
            fee=Decimal(self._ids) / 1000,
            fee_token="USDC",
            closed_pnl=to_decimal(gained).quantize(Decimal("0.000001"), ROUND_DOWN),
            order_id=self._ids,
            trade_id=self._ids,
            direction=self.rng.choice(("Open Long", "Close Short", "Auto-Deleveraging", "")),
        )
        self.realized[made] = gained  # type: ignore[assignment]
        return made


@dataclass
class Road:
    """One feed: blocks in their order, late, some lost, some twice."""

    delay_ms: int
    loss: float
    under_way: list[tuple[int, list[Fill]]] = field(default_factory=list)

    def send(self, block: list[Fill], now_ms: int, rng: random.Random) -> bool:
        if brought := rng.random() >= self.loss:
            due_ms = now_ms + rng.randint(0, self.delay_ms)
            if self.under_way:
                due_ms = max(due_ms, self.under_way[-1][0])
            self.under_way.append((due_ms, block))
            if rng.random() < 0.05:
                self.under_way.append((due_ms, block))
        return brought

    def due(self, now_ms: int) -> list[list[Fill]]:
        come = [block for due_ms, block in self.under_way if due_ms <= now_ms]
        del self.under_way[: len(come)]
        return come


@dataclass
class Plan:
    """What may happen in a life; drawn from the seed."""

    pace_ms: int
    steps: int = 120
    start_open: bool = True
    loss: float = 0.1
    delay_ms: int = 1500
    lag_ms: int = 9_000
    restarts: float = 0.01
    changes: float = 0.0
    push_lag_ms: int | None = None
    fine: bool = False
    horizon: int | None = None
    clock_ms: int = 0
    unit: Fraction = UNITS[0]
    early: int = 0

    @classmethod
    def drawn(
        cls,
        rng: random.Random,
        *,
        restarts: bool,
        changes: bool,
        pushes: bool = False,
        horizon: bool = False,
        clocks: bool = False,
        early: bool = False,
    ) -> "Plan":
        plan = cls._drawn(rng, restarts=restarts, changes=changes)
        if pushes:
            plan = replace(plan, push_lag_ms=rng.choice((0, 400, 4000)))
        if horizon:
            plan = replace(plan, horizon=rng.choice((5, 30)))
        if clocks:
            plan = replace(plan, clock_ms=rng.choice((-1, 0, 1)) * HOUR_MS)
        if early:
            plan = replace(plan, early=rng.choice((1, 3, 15, 60)), fine=rng.random() < 0.5)
        return plan

    @classmethod
    def _drawn(cls, rng: random.Random, *, restarts: bool, changes: bool) -> "Plan":
        return cls(
            pace_ms=rng.choice((2, 20, 200, 1000, 5000, 30_000)),
            steps=rng.choice((40, 120)),
            start_open=rng.random() < 0.7,
            loss=rng.choice((0.0, 0.05, 0.4)),
            delay_ms=rng.choice((0, 300, 1500, 6000)),
            lag_ms=rng.choice((0, 500, 9_000)),
            restarts=rng.choice((0.0, 0.03)) if restarts else 0.0,
            changes=0.02 if changes else 0.0,
        )


class Life:
    """A book, and the workers around it, from the first statement to the last."""

    def __init__(
        self,
        seed: int,
        *,
        restarts: bool = False,
        changes: bool = False,
        pushes: bool = False,
        horizon: bool = False,
        clocks: bool = False,
        early: bool = False,
        plan: Plan | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.plan = plan or Plan.drawn(
            self.rng,
            restarts=restarts,
            changes=changes,
            pushes=pushes,
            horizon=horizon,
            clocks=clocks,
            early=early,
        )
        if plan is None:  # by dice of its own: a life goes the same way, whatever its sizes are
            large = random.Random(f"unit {seed}")
            self.plan.unit = large.choice((UNITS[0],) * (len(UNITS) - 1) + UNITS[1:])
        self.exchange = Exchange(self.rng, self.plan.start_open, self.plan.fine, self.plan.unit)
        self.exchange.clock_ms = self.plan.clock_ms
        self.roads = [Road(self.plan.delay_ms, self.plan.loss) for _ in range(2)]
        self.later: list[tuple[int, list[Fill]]] = []
        self.now_ms = T0_MS
        self.said: list[Change] = []
        self.restarted = 0
        # From when on fills have to be told: the first that a feed brought, by key.
        self.heard_ms: dict[str, int] = {}
        self.heard_first_ms: dict[str, int] = {}  # before the first statement
        self.unsafe: list[str] = []
        # Lost when a restart came, and older than what is remembered over it.
        self.history: set[Fill] = set()
        self.begun_ms = 0
        self._wanted_ms: int | None = None
        self._due_ms = 0
        self._push_ms = 0
        self._pushed: list[list[Statement]] = []
        self._rung_ms = 0
        self._changed_ms: dict[str, int] = {}
        self.mended_after_ms: list[int] = []
        self.asked = 0
        self.fetched = 0
        self.book = Book([ACCOUNT])

    def run(self) -> "Life":
        for _ in range(self.rng.randint(0, 5)):  # from before our time
            self._trade()
        self.book.feed(FeedState(ACCOUNT, "first", True, 0.0))
        if self.plan.early:
            self._listen()
        self.heard_first_ms = dict(self.heard_ms)
        self._ask()
        self.begun_ms = self._push_ms = self.now_ms
        if self.plan.early and self.plan.restarts and self.rng.random() < 0.5:
            self._restart()
        for _ in range(self.plan.steps):
            self._step()
        self._end()
        return self

    def _listen(self) -> None:
        """Follow the feeds for a while before the first statement; history is fetched in the midst of it."""
        for road in self.roads:
            road.under_way.clear()  # what was before is not on the stream
        self.later.clear()
        fetched = self.rng.randrange(self.plan.early)
        for step in range(self.plan.early):
            self._trade()
            self._deliver()
            if step == fetched:
                since_ms = self.now_ms - self.rng.choice((0, 20_000, 300_000))
                self._tell(self._fetch(since_ms + self.plan.clock_ms))

    def _trade(self) -> None:
        self._wait(self.now_ms + self.rng.randint(1, 2 * self.plan.pace_ms))
        block = self.exchange.trade(self.now_ms)
        sent = [road.send(block, self.now_ms, self.rng) for road in self.roads]
        if not any(sent):
            # No feed brings it: a fetch does, at some later time, whether or not anyone missed it.
            self.later.append((self.now_ms + self.rng.randint(0, 60_000), block))

    def _wait(self, until_ms: int) -> None:
        """Let time pass; what two connections push meanwhile comes when it is due, and so do fills."""
        while self.plan.push_lag_ms is not None and self.begun_ms and self._push_ms + 1000 < until_ms:
            self._push_ms += 1000
            self.now_ms = max(self.now_ms, self._push_ms)
            self._deliver()
            self._push(self.plan.push_lag_ms)
            for _, since_ms in self.book.doubtful():
                if self.now_ms > self._rung_ms + 3000:  # as the tracker does
                    self._ring(since_ms, 0)
            if self.now_ms >= self._due_ms:
                self._ask()
        self.now_ms = until_ms

    def _push(self, lag_ms: int) -> None:
        """Both connections push; what the second one says may come behind its next, or twice."""
        first, second = (
            self.exchange.statements(
                at_ms, self.rng.randint(0, lag_ms), self.now_ms / 1000, None, pushed=True
            )
            for at_ms in (self.now_ms, self.now_ms - self.rng.randint(0, 400))
        )
        held, self._pushed = self._pushed, []
        for said in (first, *held):
            self._hear_stated([replace(one, asked_s=self.now_ms / 1000) for one in said])
        if self.rng.random() < 0.1:
            self._pushed = [second]
        else:
            self._hear_stated(second)
            if self.rng.random() < 0.05:
                self._hear_stated(second)

    def _hear_stated(self, statements: list[Statement]) -> None:
        """All dexes are stated, and with that those on which nothing is held."""
        for said in statements:
            self._hear(self.book.reconcile(said))
        self.book.note_nothing_else(replace(statements[0], positions=()))

    def _step(self) -> None:
        self._trade()
        if self.rng.random() < self.plan.changes:
            self.now_ms += 1
            self._changed_ms.setdefault(key(self.exchange.change(self.now_ms)), self.now_ms)
        self._deliver()
        if self.rng.random() < self.plan.restarts:
            self._restart()
        if self.now_ms >= self._due_ms:
            self._ask()
        if self.plan.early:
            self._claim()

    def _deliver(self) -> None:
        for road in self.rng.sample(self.roads, 2):
            for block in road.due(self.now_ms):
                self._tell(block, heard=True)
        for due_ms, block in list(self.later):
            if due_ms <= self.now_ms:
                self.later.remove((due_ms, block))
                self._tell(self._listed(block))

    def _tell(self, fills: list[Fill], *, heard: bool = False) -> None:
        for fill in fills if heard else ():
            # What a feed brings so late that no first statement can lack it is history; so is what was made
            # before the statement, heard after it, and could not be told up to a restart.
            so_late = fill.time_ms < self.begun_ms - STATEMENT_BLUR_MS + self.plan.clock_ms
            if not so_late and not self.restarted:
                self.heard_ms[fill.key] = min(fill.time_ms, self.heard_ms.get(fill.key, fill.time_ms))
        heard_s = self.now_ms / 1000 if heard else None
        self._hear(self.book.apply(Fills(ACCOUNT, "feed", tuple(fills), heard_s, from_ms=0)))

    def _hear(self, changes: list[Change]) -> None:
        self.said += changes
        for change in changes:
            if isinstance(change, Gap | Doubt):
                self._ring(change.since_ms, self.rng.choice((0, 2500)))
            if isinstance(change, Drift) and (since_ms := self._changed_ms.pop(change.key, None)):
                self.mended_after_ms.append(self.now_ms - since_ms)

    def _ring(self, since_ms: int, delay_ms: int) -> None:
        self._rung_ms = self.now_ms
        self._wanted_ms = since_ms if self._wanted_ms is None else min(since_ms, self._wanted_ms)
        self._due_ms = min(self._due_ms, self.now_ms + delay_ms)

    def _ask(self, lag_ms: int | None = None) -> None:
        """Fetch what is wanted, hand it on, then ask for a statement, as the worker does."""
        fetched_ms, self._wanted_ms = self._wanted_ms, None
        self.asked += 1
        self._due_ms = self.now_ms + STATEMENT_EACH_MS
        if fetched_ms is not None:
            fetched = self._fetch(fetched_ms)
            self.fetched += len(fetched)
            blocks = [list(block) for _, block in groupby(fetched, key=lambda fill: fill.time_ms)]
            size = self.rng.choice((1, 7, 2000))
            for at in range(0, len(blocks), size):
                self._tell([fill for block in blocks[at : at + size] for fill in block])
        if lag_ms is None:
            lag_ms = self.rng.randint(0, self.plan.lag_ms)
        said = self.exchange.statements(self.now_ms, lag_ms, self.now_ms / 1000, fetched_ms)
        for road in self.roads:  # the statement has its own way to go, and fills go on meanwhile
            if self.rng.random() < 0.3:
                for block in road.due(self.now_ms + 500):
                    self._tell(block, heard=True)
        self._hear_stated(said)

    def _restart(self) -> None:
        self.restarted += 1
        self.heard_ms = dict(self.heard_first_ms)
        memories, base_ms = self._remembered()
        self._forget_history()
        self.book = Book([ACCOUNT])
        self.book.recall(memories, base_ms)
        self.book.feed(FeedState(ACCOUNT, "first", True, self.now_ms / 1000))
        self._wanted_ms, self._due_ms = None, self.now_ms
        known_ms = self.book.high_water_ms(ACCOUNT)
        assert known_ms is not None
        self._tell(self._fetch(known_ms - 10_000))

    def _remembered(self) -> tuple[list[Memory], dict[str, dict[str, int]]]:
        return self.book.memories(), self.book.base_ms()

    def _forget_history(self) -> None:
        """What is older by a minute than the last fill that was taken, or by two hundred, or than a drift."""
        for coin in COINS:
            times = sorted(
                change.fill.time_ms
                for change in self.said
                if isinstance(change, Filled) and change.fill.key == key(coin)
            )
            known_ms = max(times[-1] - 60_000, times[-200:][0]) if times else 0
            for change in self.said:
                if (
                    isinstance(change, Adopted)
                    and change.key == key(coin)
                    and change.reason is AdoptionReason.DRIFT
                ):
                    known_ms = max(known_ms, change.statement_ms)
            self.history |= {
                fill for fill in self.exchange.fills if fill.key == key(coin) and fill.time_ms < known_ms
            }

    def _listed(self, block: list[Fill]) -> list[Fill]:
        most = self.plan.horizon
        return block if most is None else [fill for fill in block if fill in self.exchange.fills[-most:]]

    def _fetch(self, since_ms: int) -> list[Fill]:
        """All fills since then that are listed still, and word of those that are not."""
        fills = self.exchange.since(since_ms)
        most = self.plan.horizon
        if most is None or len(self.exchange.fills) <= most:
            return fills
        oldest = self.exchange.fills[-most]
        if since_ms <= oldest.time_ms:
            self.book.unlist(Unlisted(ACCOUNT, since_ms, oldest.time_ms, HORIZON))
        return fills[-most:]

    def _end(self) -> None:
        """Let all that is under way arrive, then read statements as long as something is in doubt."""
        for road in self.roads:
            for block in road.due(self.now_ms + 10**9):
                self._tell(block, heard=True)
        self.rng.shuffle(self.later)
        for _, block in self.later:
            self._tell(self._listed(block))
        for _ in range(4):
            self._wait(self.now_ms + 20_000)
            for _, since_ms in self.book.doubtful():
                self._ring(since_ms, 0)  # as the tracker does
            self._ask(lag_ms=0)

    # ------------------------------------------------------------------ judged

    def faults(self) -> list[str]:
        """Everything that is not as it must be at the end; empty when all is well."""
        found = []
        for scope in self.book.scope_names(ACCOUNT):
            self.book.set_freshness(ACCOUNT, FRESH, scope)
        self.book.judge()
        for coin, truth in self.exchange.truth.items():
            views = [view for view in self.book.views(ACCOUNT) if view.key == key(coin)]
            size = views[0].position.size if views else ZERO
            if size != to_decimal(truth.size):
                found.append(f"{coin}: the book has {size}, the exchange {truth.size}")
            elif (
                views
                and truth.size
                and abs(Fraction(views[0].position.entry_price or 0) - truth.entry) > Fraction(1, 10**38)
            ):
                found.append(
                    f"{coin}: entry {views[0].position.entry_price}, the exchange {float(truth.entry)}"
                )
        if self.book.doubtful():
            found.append(f"still in doubt: {self.book.doubtful()}")
        unproven = [view for view in self.book.views(ACCOUNT) if view.verdict is not Verdict.PROVEN]
        if unproven:
            found.append(f"not proven: {[(view.key, view.verdict, view.reason) for view in unproven]}")
        # What was lost before a restart has no place any more; a gap then ends with both figures equal.
        drifts = [
            change
            for change in self.said
            if isinstance(change, Drift) and not (self.restarted and change.ours == change.theirs)
        ]
        if self.plan.horizon is not None:
            # Of several gaps before the start the last ones may end with a later drift.
            causes = (HORIZON, "no fill explains it", *([UNLISTED] if self.plan.early else []))
            unnamed = [drift for drift in drifts if drift.cause not in causes]
            if unnamed and not self.exchange.changed:
                found.append(f"drift, and its cause is not named: {unnamed}")
        elif drifts and not self.exchange.changed:
            found.append(f"drift, and nothing had changed: {drifts}")
        taken = Counter(change.fill for change in self.said if isinstance(change, Filled))
        twice = [fill for fill, times in taken.items() if times > 1]
        if twice:
            found.append(f"taken twice: {twice}")
        lost = [
            fill
            for fill in self.exchange.fills
            if fill.time_ms >= self._ours_ms(fill.key) and fill not in taken and fill not in self.history
        ]
        excused = self.exchange.changed or self.plan.horizon is not None
        if lost and not excused:
            found.append(f"never taken: {lost}")
        for view in self.book.views(ACCOUNT):
            mine = [fill for fill in taken if fill.key == view.key]
            if (view.position.fees, view.position.closed_pnl, view.position.fills) != (
                sum((fill.fee for fill in mine), ZERO),
                sum((fill.closed_pnl for fill in mine), ZERO),
                len(mine),
            ):
                found.append(f"{view.key}: fees, closed_pnl or the count are not those of its fills")
        return found + self.unsafe + self._out_of_order()

    def _claim(self) -> None:
        """What is called proven now has to have been true of late: a loss shows with the next statement."""
        for scope in self.book.scope_names(ACCOUNT):
            self.book.set_freshness(ACCOUNT, FRESH, scope)
        self.book.judge()
        for view in self.book.views(ACCOUNT):
            coin = view.key.removeprefix(key(""))
            if view.verdict is Verdict.PROVEN and view.position.size not in self.exchange.sizes(
                coin, self.now_ms - 2 * STATEMENT_EACH_MS
            ):
                self.unsafe.append(f"{coin}: {view.position.size} was called proven at {self.now_ms - T0_MS}")

    def _out_of_order(self) -> list[str]:
        """Fills that were not told as they were made, one after the other, each with the size after it."""
        found = []
        last_ms: dict[str, int] = {}
        drifted: set[str] = set()
        for change in self.said:
            if (
                isinstance(change, Adopted)
                and change.reason is AdoptionReason.START
                and change.key in last_ms
            ):
                found.append(f"a start after its fills: {change}")
            if isinstance(change, Drift):
                drifted.add(change.key)  # fills that its figures may hold or lack come in any order
            if not isinstance(change, Filled):
                continue
            fill = change.fill
            late = change.late or change.effect is None or fill.key in drifted
            if not late and (
                fill.time_ms < last_ms.get(fill.key, 0) or change.position.size != fill.end_position
            ):
                found.append(f"not in its order, or with another size: {change}")
            last_ms[fill.key] = max(fill.time_ms, last_ms.get(fill.key, 0))
        return found

    def _ours_ms(self, of_key: str) -> int:
        """From when on fills have to be told: what a feed brought, and all since then and since the start."""
        begun_ms = self.begun_ms + self.plan.clock_ms + 1
        return min(begun_ms, self.heard_ms.get(of_key, begun_ms))

    @property
    def entries_adopted(self) -> int:
        return sum(
            isinstance(change, Adopted) and change.reason is AdoptionReason.ENTRY for change in self.said
        )
