"""Between the world and its listeners: one way in for requests, one way out for what happened.

It counts, limits and delays; it neither trades nor speaks a protocol. `clock` is in seconds and for
deadlines, `now()` is the exchange's own time in milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol

from hlposmon.serving.messages import Peer
from hlposmon.simulator import budget, channels
from hlposmon.simulator.delivery import Delivery
from hlposmon.simulator.facts import Fact, Fill, Row
from hlposmon.simulator.garbling import Garbling
from hlposmon.simulator.info import Info, row_weight, weight
from hlposmon.simulator.question import BadRequest
from hlposmon.simulator.subscription import Subscription
from hlposmon.simulator.world import World

# Request types that an older server does not know.
NEWER = ("exchangeStatus", "userRole", "perpDexs", "userAbstraction")
UNREADABLE = "Failed to deserialize the JSON body into the target type"


class Listener(Protocol):
    """A feed as the hub sees it."""

    subscriptions: dict[Subscription, None]
    peer: Peer | None
    sent: int
    stalled_until: float

    @property
    def stalled(self) -> bool:
        """Whether it must stay silent now."""

    def say(self, row: Row) -> None:
        """Send one message."""

    def send_frame(self, frame: bytes) -> None:
        """Send one message that is encoded already."""

    def push_fast(self) -> None:
        """Send the prices that changed."""

    def stall(self, seconds: float) -> None:
        """Stay open and silent."""

    def resume(self) -> None:
        """Speak again."""

    def resume_if_due(self) -> None:
        """Speak again when the time has come."""


class Hub:
    """What all connections share."""

    def __init__(
        self, world: World, clock: Callable[[], float], now: Callable[[], int], *, limits: bool
    ) -> None:
        self.world = world
        self.info = Info(world)
        self.clock = clock
        self.now = now
        self.budgets = budget.Budgets(enforced=limits)
        self.delivery = Delivery()
        self.feeds: list[Listener] = []
        self.coins = frozenset(world.quotes)
        self.asked: Counter[str] = Counter()
        self.refused: dict[
            str, str
        ] = {}  # types of subscription that a script has refused, and the text's name
        self.unknown: set[str] = set()  # types of request that a script has refused
        self.garbling = Garbling()

    def ask(self, request: Any) -> tuple[int, Any]:
        """Answer a request: (200, value), (422, text) or (429, None)."""
        kind = request.get("type") if isinstance(request, dict) else None
        self.asked[str(kind)] += 1
        now = self.clock()
        cost = weight(request) if isinstance(request, dict) else 20
        self.budgets.asked.spend(cost, now)
        if not self.budgets.allows(self.budgets.weight, cost, now):
            return 429, None
        if kind in self.unknown:
            return 422, UNREADABLE
        try:
            answer = self.info.answer(request, self.now())
        except BadRequest:
            return 422, UNREADABLE
        cost = row_weight(request, answer)
        self.budgets.asked.spend(cost, now)
        self.budgets.weight.spend(cost, now)
        self.garbling.answer(request, answer)
        return 200, answer

    def refusal_of(self, wanted: Subscription) -> str | None:
        """The venue's text when a new subscription would pass a limit."""
        if not self.budgets.enforced:
            return None
        held = [one for feed in self.feeds for one in feed.subscriptions]
        if len(held) >= budget.SUBSCRIPTIONS:
            return f"Cannot subscribe to more than {budget.SUBSCRIPTIONS} channels."
        users = {one.user for one in held if one.user}
        if wanted.user and wanted.user not in users and len(users) >= budget.USERS:
            return f"Cannot track more than {budget.USERS} total users."
        return None

    def tell(self) -> None:
        """Send the world's news to the subscribers: one message for each user and block."""
        news, self.world.news = self.world.news, []
        for _block, group in groupby(news, key=lambda fact: (fact.account, fact.time)):
            facts = list(group)
            fills = [fact for fact in facts if isinstance(fact, Fill)]
            for message in self.delivery.messages(fills) if fills else []:
                self._send(message)
            others = [fact for fact in facts if not isinstance(fact, Fill)]
            if others:
                self._send(others)

    def _send(self, facts: Sequence[Fact]) -> None:
        account = facts[0].account
        fills = [fact for fact in facts if isinstance(fact, Fill)]
        watching = 0
        for number, feed in enumerate(list(self.feeds), 1):
            wanted = [one for one in feed.subscriptions if one.user == account]
            spared: Sequence[Fact] = facts
            if fills and any(one.kind in channels.OF_FILLS for one in wanted):
                watching += 1
                spared = self.delivery.spared(fills, watching)
            for one in wanted:
                for row in channels.told(one, spared) if spared else []:
                    self.garbling.message(row, account, number)
                    feed.say(row)

    def first(self, wanted: Subscription, feed: Listener) -> Row | None:
        """What a new subscription is sent at once: its snapshot, or what is pushed each second."""
        row = channels.snapshot(wanted, self.info) or self._pushed(wanted)
        if row is not None:
            self.garbling.message(row, wanted.user, self.feeds.index(feed) + 1)
        return row

    def _pushed(self, wanted: Subscription) -> Row | None:
        return channels.pushed(wanted, self.world, self.info, self.now())

    def push(self, encode: Callable[[Row], bytes]) -> None:
        """Send what is pushed each second, encoded once for all feeds with the same subscription."""
        frames: dict[Subscription, bytes | None] = {}
        for feed in list(self.feeds):
            if feed.stalled:
                continue
            for one in list(feed.subscriptions):
                if one.kind == "fastAssetCtxs":
                    feed.push_fast()
                    continue
                if one not in frames:
                    row = self._pushed(one)
                    if row is not None:
                        self.garbling.message(row, one.user)
                    frames[one] = None if row is None else encode(row)
                frame = frames[one]
                if frame is not None:
                    feed.send_frame(frame)
