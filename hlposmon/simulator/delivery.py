"""Rules by which a script has live fills lost, repeated, delayed or reordered on WebSockets.

Pure. The fills themselves are not affected: `/info` and snapshots always show them. A rule applies a given
number of times, and is then dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hlposmon.simulator.facts import Fill

BATCH, BACKWARDS = "batch", "backwards"


@dataclass(slots=True)
class Loss:
    """The next `left` fills of an account and coin (None: any) are not sent; on one feed only, if named."""

    left: int
    account: str | None = None
    coin: str | None = None
    feed: int | None = None  # the k-th feed that watches the account, from 1

    def takes(self, fill: Fill, feed: int | None) -> bool:
        """Whether this fill is lost here; if so, count it."""
        wanted = self.account in (None, fill.account) and self.coin in (None, fill.coin)
        if not wanted or self.feed != feed or not self.left:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class Hold:
    """Messages are kept back until `count` fills (batch) or messages (backwards) are there."""

    mode: str
    count: int
    account: str | None = None
    kept: list[list[Fill]] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether enough is held for the release."""
        return (sum(map(len, self.kept)) if self.mode == BATCH else len(self.kept)) >= self.count

    def release(self) -> list[list[Fill]]:
        """Batch: one message for each account. Backwards: the messages, the last one first."""
        if self.mode == BACKWARDS:
            return self.kept[::-1]
        by_account: dict[str, list[Fill]] = {}
        for fills in self.kept:
            by_account.setdefault(fills[0].account, []).extend(fills)
        return list(by_account.values())


@dataclass(slots=True)
class Repeat:
    """The next `left` messages of an account (None: any)."""

    left: int
    account: str | None = None

    def takes(self, fills: Sequence[Fill]) -> bool:
        """Whether this message is one of them; if so, count it."""
        if not self.left or self.account not in (None, fills[0].account):
            return False
        self.left -= 1
        return True


class Delivery:
    """All the rules in force."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.holds: list[Hold] = []
        self.doubled: list[Repeat] = []
        self.turned: list[Repeat] = []

    def messages(self, fills: list[Fill]) -> list[list[Fill]]:
        """The messages that one account's fills of one block become."""
        left = self.spared(fills, None)
        if not left:
            return []
        hold = next((hold for hold in self.holds if hold.account in (None, left[0].account)), None)
        found = [left]
        if hold is not None:
            hold.kept.append(left)
            if not hold.full:
                return []
            self.holds.remove(hold)
            found = hold.release()
        return [copy for message in found for copy in self._shaped(message)]

    def spared(self, fills: Sequence[Fill], feed: int | None) -> list[Fill]:
        """The fills that are not lost: for everybody (None), or on the k-th feed."""
        left = [fill for fill in fills if not any(loss.takes(fill, feed) for loss in self.losses)]
        self.losses = [loss for loss in self.losses if loss.left]
        return left

    def _shaped(self, fills: list[Fill]) -> list[list[Fill]]:
        if len(fills) > 1 and any(rule.takes(fills) for rule in self.turned):
            fills = fills[::-1]
        times = 2 if any(rule.takes(fills) for rule in self.doubled) else 1
        return [fills] * times
