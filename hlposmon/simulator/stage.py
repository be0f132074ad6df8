"""Everything that a script may change: the world, its traders, the time, and the faults.

The exchange advances it and lets clients in; the control endpoint acts on it. No protocol here.
"""

import time
from collections.abc import Callable

from hlposmon.simulator.faults import Faults
from hlposmon.simulator.hub import Hub
from hlposmon.simulator.schedule import Flow, Schedule
from hlposmon.simulator.trader import Trader
from hlposmon.simulator.world import World


class Stage:
    """The parts of one exchange, and its clock."""

    def __init__(
        self,
        seed: int,
        accounts: tuple[str, ...],
        coins: int,
        pace: float,
        *,
        limits: bool,
        speed: float,
        clock: Callable[[], float],
        builder_coins: int = 0,
    ) -> None:
        self.clock = clock
        self.skew_ms = 0
        self.refuse_rest_until = self.refuse_feeds_until = 0.0  # on the clock
        self._speed = speed
        self._began, self._began_ms = self.clock(), int(time.time() * 1000)
        self.world = World(seed, accounts, coins, builder_coins)
        self.trader = Trader(self.world, seed)
        self.trader.live(self._began_ms)
        self.hub = Hub(self.world, self.clock, self.now, limits=limits)
        self.faults = Faults(self.clock)
        self.schedule = Schedule(seed, pace, self.clock())

    def now(self) -> int:
        """The exchange's time in ms; not before its last block, unless a script has turned it back."""
        now = self._began_ms + int((self.clock() - self._began) * self._speed * 1000) + self.skew_ms
        return now if self.skew_ms < 0 else max(now, self.world.last_block)

    def due(self) -> float:
        """When something is to be done next, on the clock."""
        return min(self.schedule.next_at(), self.faults.due())

    def advance(self) -> None:
        """Do what is due, and send it to the subscribers."""
        self._trade()
        self.world.fund_if_due(self.now())
        self.hub.tell()
        self.faults.step()
        for feed in list(self.hub.feeds):
            feed.resume_if_due()

    def run(self, flow: Flow, count: int) -> None:
        """Execute `count` fills of a flow, over its coins and accounts in turn."""
        accounts = list(self.world.accounts.values())
        coins = self.world.coins[: flow.coins]
        for _ in range(count):
            named = self.world.accounts[flow.account] if flow.account else None
            account = named or accounts[flow.done // len(coins) % len(accounts)]
            self.trader.order(account, self.now(), coins[flow.done % len(coins)], fills=1)
            flow.done += 1

    def _trade(self) -> None:
        now = self.clock()
        accounts = list(self.world.accounts.values())
        while self.schedule.trade_at <= now:
            account = self.schedule.choose(accounts)
            self.schedule.traded(len(self.trader.order(account, self.now())), now)
        for flow in self.schedule.flows:
            self.run(flow, flow.due(now))
