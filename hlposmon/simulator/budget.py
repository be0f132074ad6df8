"""What one client address may use of the exchange in a minute. Pure: `now` (s) is an argument.

All clients of the simulator come from loopback and so share one budget, as all programs behind one
address share the venue's. Sources: the venue's rate limits; 15 users were seen on the server.
"""

from collections import deque

WINDOW_S = 60.0
WEIGHT_A_MINUTE = 1200
CONNECTIONS = 10
NEW_CONNECTIONS_A_MINUTE = 30
USERS = 15
SUBSCRIPTIONS = 1000
MESSAGES_A_MINUTE = 2000


class Budget:
    """A sum over the last minute that must not pass its limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.most = 0  # the largest sum of any minute
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def used(self, now: float) -> int:
        """What was spent in the last minute."""
        while self._spent and self._spent[0][0] <= now - WINDOW_S:
            self._sum -= self._spent.popleft()[1]
        return self._sum

    def has(self, cost: int, now: float) -> bool:
        """Whether `cost` is left."""
        return self.used(now) + cost <= self.limit

    def spend(self, cost: int, now: float) -> None:
        """Spend `cost`, whether it is left or not."""
        self._spent.append((now, cost))
        self._sum += cost
        self.most = max(self.most, self.used(now))


class Budgets:
    """The budgets of the one address that all clients share, and the weight asked of it, refused or not."""

    def __init__(self, *, enforced: bool) -> None:
        self.enforced = enforced
        self.weight = Budget(WEIGHT_A_MINUTE)
        self.connections = Budget(NEW_CONNECTIONS_A_MINUTE)
        self.messages = Budget(MESSAGES_A_MINUTE)
        self.asked = Budget(WEIGHT_A_MINUTE)  # a measurement only, which a script restarts

    def weigh(self) -> None:
        """Restart the measurement; the limits are not affected."""
        self.asked = Budget(WEIGHT_A_MINUTE)

    def allows(self, budget: Budget, cost: int, now: float) -> bool:
        """Spend `cost` if it is left, or if limits are not enforced; else False. A refusal costs nothing."""
        if self.enforced and not budget.has(cost, now):
            return False
        budget.spend(cost, now)
        return True
