"""Rules by which a script makes rows undecodable, and where rows are found in each message.

Pure; the world is not affected. A row is replaced by an odd copy and never changed, since all messages about
a fill share its row. Rows of other coins and accounts in the same message stay correct.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hlposmon.simulator import metas
from hlposmon.simulator.facts import Row

STREAM, REST, BOTH = "stream", "rest", "both"
PLACES = (BOTH, STREAM, REST)
# What a script may name: the kind of row, and for those of fills the place too.
KIND = {
    "fill": "fill",
    "fill_rest": "fill",
    "fill_everywhere": "fill",
    "state": "state",
    "funding": "funding",
    "price": "price",
}
PLACE = {"fill": STREAM, "fill_rest": REST, "fill_everywhere": BOTH}
# The first field of a kind is the one that is odd unless a script names another.
ODD: dict[str, dict[str, Any]] = {
    "fill": {
        "sz": None,
        "px": 1.5,
        "startPosition": [],
        "side": 7,
        "time": "now",
        "fee": {},
        "closedPnl": None,
        "oid": "one",
        "tid": "one",
        "coin": 7,
    },
    "state": {"szi": [], "positionValue": None, "unrealizedPnl": {}, "leverage": None, "coin": 7},
    "funding": {"usdc": None, "szi": [], "fundingRate": {}, "coin": 7},
    "price": {"markPx": {}, "oraclePx": None, "midPx": 1.5},
}


class Slot(NamedTuple):
    """A row and where it stands: `holder[key] is row`. The row of a mid is its text alone."""

    kind: str
    account: str  # "" for prices, which are everybody's
    coin: str
    holder: Any
    key: Any

    @property
    def row(self) -> Any:
        return self.holder[self.key]


@dataclass(slots=True)
class Rule:
    """The next `left` rows that match are odd.

    For `fill` and `fill_everywhere` each fill counts once, and is odd for as long as the rule lasts; for the
    other kinds each written row counts.
    """

    what: str
    odd_field: str
    left: int
    since: int  # ms: of fills only those after it; a fill that is named by its `tid` may be older
    account: str | None = None
    coin: str | None = None
    tid: int | None = None
    feed: int | None = None  # the k-th open WebSocket, from 1
    place: str = BOTH
    taken: set[int] = field(default_factory=set)  # fills by their tid

    @property
    def counts_fills(self) -> bool:
        """Whether a fill counts once, however often it is written."""
        return self.what in ("fill", "fill_everywhere")

    @property
    def over(self) -> bool:
        """Whether it does nothing more."""
        return not self.left and not self.counts_fills

    def takes(self, slot: Slot, place: str, feed: int | None) -> bool:
        """Whether this row is odd here; if so, count it."""
        wanted = self.account in (None, slot.account) and self.coin in (None, slot.coin)
        if KIND[self.what] != slot.kind or self.place not in (BOTH, place) or not wanted:
            return False
        if self.feed not in (None, feed):
            return False
        if slot.kind == "fill" and not self._takes_fill(slot.row):
            return False
        if self.counts_fills:
            return True
        self.left -= 1
        return self.left >= 0

    def _takes_fill(self, row: Row) -> bool:
        tid = row["tid"]
        if tid in self.taken:
            return True
        is_next = row["time"] > self.since if self.tid is None else tid == self.tid
        if not self.left or not is_next:
            return False
        if self.counts_fills:
            self.taken.add(tid)
            self.left -= 1
        return True

    def odd(self, row: Any) -> Any:
        """The undecodable copy of a row."""
        value = ODD[KIND[self.what]][self.odd_field]
        return {**row, self.odd_field: value} if isinstance(row, dict) else value


class Garbling:
    """The rules in force. Messages and answers are changed in place; all but their rows must be fresh."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def answer(self, request: Row, answer: Any) -> None:
        """Apply the rules to an answer of `/info`."""
        slots = IN_ANSWERS.get(str(request.get("type")))
        if self.rules and slots is not None:
            self._apply(slots(answer, request), REST, None)

    def message(self, message: Row, user: str, feed: int | None = None) -> None:
        """Apply the rules to a message for the k-th feed, or for all; `user` is the subscription's."""
        slots = IN_MESSAGES.get(message["channel"])
        if self.rules and slots is not None:
            self._apply(slots(message["data"], user), STREAM, feed)

    def fast(self, contexts: dict[str, Any]) -> set[str]:
        """Apply the rules to the prices of a `fastAssetCtxs` message before it is packed; the odd coins."""
        slots = [Slot("price", "", coin, contexts, coin) for coin in contexts] if self.rules else []
        return {slot.coin for slot in self._apply(slots, STREAM, None)}

    def _apply(self, slots: Iterable[Slot], place: str, feed: int | None) -> list[Slot]:
        changed = []
        for slot in slots:
            rule = next((rule for rule in self.rules if rule.takes(slot, place, feed)), None)
            if rule is not None:
                slot.holder[slot.key] = rule.odd(slot.row)
                changed.append(slot)
        self.rules = [rule for rule in self.rules if not rule.over]
        return changed


def _fills(rows: list[Any], user: str) -> Iterator[Slot]:
    for n, row in enumerate(rows):
        yield Slot("fill", user, row["coin"], rows, n)


def _fundings(rows: Sequence[Any], user: str) -> Iterator[Slot]:
    """Flat rows on the stream, those of requests with a `delta`."""
    for n, row in enumerate(rows):
        flat = row.get("delta", row)
        yield Slot("funding", user, flat["coin"], *((row, "delta") if "delta" in row else (rows, n)))


def _state(state: Row, user: str) -> Iterator[Slot]:
    for each in state["assetPositions"]:
        yield Slot("state", user, each["position"]["coin"], each, "position")


def _contexts(rows: list[Any], dex: str) -> Iterator[Slot]:
    for n, market in enumerate(metas.markets_of(dex)):
        yield Slot("price", "", market.coin, rows, n)


def _mids(mids: Row) -> Iterator[Slot]:
    for coin in mids:
        yield Slot("price", "", coin, mids, coin)


def _event(data: Row, user: str) -> Iterator[Slot]:
    """A message of `userEvents` has one of these."""
    yield from _fills(data.get("fills", []), user)
    if "funding" in data:
        yield Slot("funding", user, data["funding"]["coin"], data, "funding")


def _user(request: Row) -> str:
    return str(request["user"]).lower()


IN_ANSWERS: dict[str, Callable[[Any, Row], Iterable[Slot]]] = {
    "userFills": lambda rows, asked: _fills(rows, _user(asked)),
    "userFillsByTime": lambda rows, asked: _fills(rows, _user(asked)),
    "userFunding": lambda rows, asked: _fundings(rows, _user(asked)),
    "clearinghouseState": lambda state, asked: _state(state, _user(asked)),
    "batchClearinghouseStates": lambda states, asked: (
        slot
        for state, user in zip(states, asked["users"], strict=True)
        for slot in _state(state, user.lower())
    ),
    "metaAndAssetCtxs": lambda answer, asked: _contexts(answer[1], asked.get("dex") or ""),
    "allMids": lambda mids, _: _mids(mids),
}
IN_MESSAGES: dict[str, Callable[[Row, str], Iterable[Slot]]] = {
    "userFills": lambda data, user: _fills(data["fills"], user),
    "user": _event,
    "userFundings": lambda data, user: _fundings(data["fundings"], user),
    "clearinghouseState": lambda data, user: _state(data["clearinghouseState"], user),
    "allDexsClearinghouseState": lambda data, user: (
        slot for _, state in data["clearinghouseStates"] for slot in _state(state, user)
    ),
    "allMids": lambda data, _: _mids(data["mids"]),
    "activeAssetCtx": lambda data, _: [Slot("price", "", data["coin"], data, "ctx")],
    "assetCtxs": lambda data, _: _contexts(data["ctxs"], data["dex"]),
    "allDexsAssetCtxs": lambda data, _: (slot for dex, rows in data["ctxs"] for slot in _contexts(rows, dex)),
}
