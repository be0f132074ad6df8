"""When the accounts trade: by themselves at a pace, and in flows that a script has ordered.

Pure: `now` (s) is an argument, and this module only computes what is due. The pace is in fills per second
of real time, over all accounts; a flow is a burst with a known number of fills.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeVar

_T = TypeVar("_T")

MAX_LATE_S = 1.0  # a loop that was held up does not make up for more than this


@dataclass(slots=True)
class Flow:
    """`count` fills, `per_second` of them a second, over the first `coins` coins in turn."""

    number: int
    count: int
    coins: int
    per_second: float
    account: str | None
    began: float
    done: int = 0

    @property
    def next_at(self) -> float:
        """When the next fill is due; never, when all are done."""
        return inf if self.done >= self.count else self.began + self.done / self.per_second

    def due(self, now: float) -> int:
        """How many fills are due."""
        return max(0, min(self.count, int((now - self.began) * self.per_second) + 1) - self.done)


class Schedule:
    """The pace and the flows."""

    def __init__(self, seed: int, pace: float, now: float) -> None:
        self._dice = random.Random(f"schedule {seed}")
        self.flows: list[Flow] = []
        self.pace = 0.0
        self.trade_at = inf
        self.set_pace(pace, now)

    def set_pace(self, pace: float, now: float) -> None:
        """Fills a second from now on; 0 for none."""
        self.pace = pace
        self.trade_at = now
        self.traded(1, now)

    def traded(self, fills: int, now: float) -> None:
        """Note that an order with this many fills was made, and set the time of the next one."""
        if self.pace <= 0:
            self.trade_at = inf
            return
        gap = self._dice.expovariate(self.pace) * fills
        self.trade_at = max(self.trade_at, now - MAX_LATE_S) + gap

    def flow(self, count: int, coins: int, per_second: float, account: str | None, now: float) -> Flow:
        """Begin a flow."""
        self.flows.append(Flow(len(self.flows) + 1, count, coins, per_second, account, now))
        return self.flows[-1]

    def choose(self, accounts: Sequence[_T]) -> _T:
        """Choose at random whose turn it is."""
        return self._dice.choice(accounts)

    def next_at(self) -> float:
        """When something is due next."""
        return min([self.trade_at, *(flow.next_at for flow in self.flows)])
