"""A small language for the domain's tests: fills, statements and books as sentences.

`fill("tid=7 buy 0.1 BTC @ 51000 from 0.1 at 12.5 fee 0.02 pnl 3")`: times are seconds after T0_MS, the
size before the fill is `from` (0 when left out). `chain("BTC 0: +1@100 -2@101 at 5 +1@99")` makes fills
that chain. `Desk` is a Book of one account called `main`, told in this language.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count

from hlposmon.domain.amounts import CONTEXT, ZERO
from hlposmon.domain.book import Book
from hlposmon.domain.changes import Adopted, Change, Drift, Filled, Gap, Healed
from hlposmon.domain.position import Position
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    AccountMode,
    FeedState,
    Fill,
    FillCause,
    Fills,
    Funding,
    Place,
    PlaceRead,
    Side,
    StatedPosition,
    Statement,
    Unlisted,
)
from hlposmon.domain.verdict import Age, Freshness
from hlposmon.domain.views import View

T0_MS = 1_700_000_000_000
ACCOUNT = "main"
FRESH = Freshness(Age(0.1, 5), Age(0.1, 5), Age(1, 120))

_WORDS = {"from": "start", "at": "at", "fee": "fee", "pnl": "pnl", "hash": "hash", "dir": "dir", "liq": "liq"}


def ms(seconds: float | str) -> int:
    return T0_MS + int(Decimal(str(seconds)) * 1000)


def key(coin: str) -> str:
    return f"hyperliquid:Perp:{coin}"


def fill(text: str) -> Fill:
    """`[tid=N] [oid=N] buy|sell SIZE COIN @ PRICE`, then any of `from SIZE`, `at S`, `fee F`, `pnl P`,
    `hash H`, `dir Open_Long`, `liq market`."""
    words = text.split()
    ids = {name: int(number) for name, number in (word.split("=") for word in words if "=" in word)}
    side, size, coin, _, price, *rest = [word for word in words if "=" not in word]
    more = {_WORDS[name]: value for name, value in zip(rest[::2], rest[1::2], strict=True)}
    return Fill(
        account=ACCOUNT,
        key=key(coin),
        time_ms=ms(more.get("at", "0")),
        side=Side(side),
        size=Decimal(size),
        price=Decimal(price),
        start_position=Decimal(more.get("start", "0")),
        fee=Decimal(more.get("fee", "0")),
        fee_token="USDC",
        closed_pnl=Decimal(more.get("pnl", "0")),
        order_id=ids.get("oid", ids.get("tid", 1)),
        trade_id=ids.get("tid", 1),
        hash=more.get("hash", ""),
        direction=more.get("dir", "").replace("_", " "),
        liquidation=more.get("liq"),
        cause=FillCause.LIQUIDATION if "liq" in more else FillCause.ORDER,
    )


def chain(text: str) -> list[Fill]:
    """`COIN SIZE: +1@100 at 5 -1@101 ...`: fills that chain on from SIZE; each a second after the last,
    `at S` sets the time of the next, `=` puts the next into the same millisecond."""
    coin, size, *words = re.sub(":", " ", text).split()
    now, held = Decimal(0), Decimal(size)
    fills: list[Fill] = []
    numbers = count(1)
    steps = iter(words)
    step = Decimal(0)
    for word in steps:
        if word == "at":
            now, step = Decimal(next(steps)), Decimal(0)
            continue
        if word == "=":
            step = Decimal(0)
            continue
        moved, price = word.split("@")
        now, step = now + step, Decimal(1)
        side = "buy" if Decimal(moved) > 0 else "sell"
        number = next(numbers)
        fills.append(
            fill(
                f"tid={number} {side} {abs(Decimal(moved))} {coin} @ {price} from {held} at {now} "
                f"fee 0.{number:03} pnl {number}"
            )
        )
        held += Decimal(moved)
    return fills


def stated(text: str) -> tuple[StatedPosition, ...]:
    """`BTC long 0.1 @ 50000, ETH short 2 @ 3000 ~ 0.1 mark 3001`; empty when all is flat."""
    positions = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        words = part.split()
        coin, side, size, _, entry = words[:5]
        more = dict(zip(words[5::2], words[6::2], strict=True))
        positions.append(
            StatedPosition(
                key=key(coin),
                size=Decimal(size) if side == "long" else -Decimal(size),
                entry_price=None if entry == "?" else Decimal(entry),
                mark_price=Decimal(more["mark"]) if "mark" in more else None,
                leverage=Decimal(more["x"]) if "x" in more else None,
                tolerance=Decimal(more.get("~", "0")),
            )
        )
    return tuple(positions)


def statement(
    text: str, *, at: float | str = 0, asked: float | None = None, fetched: float | str | None = None
) -> Statement:
    """What the venue states at `at`; `fetched`: the fills since then were fetched before."""
    return Statement(
        account=ACCOUNT,
        venue="hyperliquid",
        time_ms=ms(at),
        asked_s=float(Decimal(str(at))) if asked is None else asked,
        positions=stated(text),
        equity=Decimal(1000),
        margin_used=Decimal(10),
        withdrawable=Decimal(900),
        fills_from_ms=None if fetched is None else ms(fetched),
    )


class Desk:
    """A book of one account, and all that it has said."""

    def __init__(self, *, live: bool = True, plain: bool = True) -> None:
        """`plain`: its balances are known to be kept in the ordinary way, none of them on spot."""
        self.book = Book([ACCOUNT])
        self.said: list[Change] = []
        if plain:
            self.book.mode(AccountMode(ACCOUNT, "default", plain=True))
            self.book.place_read(PlaceRead(ACCOUNT, Place.SPOT, ()))
        if live:
            self.book.feed(FeedState(ACCOUNT, "first", True, -1000.0))

    def told(self, *fills: Fill) -> list[Change]:
        """Fills that were fetched, all at once."""
        return self._heard(self.book.apply(Fills(ACCOUNT, "fetch", fills, from_ms=0)))

    def told_in_part(self, *fills: Fill) -> list[Change]:
        """Fills of a fetch that goes on."""
        return self._heard(self.book.apply(Fills(ACCOUNT, "fetch", fills)))

    def heard(self, *fills: Fill) -> list[Change]:
        """Fills that came live on a stream."""
        return self._heard(self.book.apply(Fills(ACCOUNT, "feed", fills, heard_s=1.0)))

    def stated(
        self,
        text: str,
        *,
        at: float | str = 0,
        asked: float | None = None,
        fetched: float | str | None = None,
    ) -> list[Change]:
        return self._heard(self.book.reconcile(statement(text, at=at, asked=asked, fetched=fetched)))

    def funded(self, coin: str, received: str, at: float | str) -> list[Change]:
        paid = Funding(ACCOUNT, key(coin), ms(at), Decimal(received), Decimal(1), Decimal("0.0001"))
        return self._heard(self.book.apply_funding(paid))

    def restarted(self, *, live: bool = True) -> "Desk":
        """A desk that knows only what a checkpoint holds; `live`: a feed has come up since."""
        again = Desk(live=False)
        again.book.recall(self.book.memories(), self.book.base_ms())
        if live:
            again.book.feed(FeedState(ACCOUNT, "first", True, -1000.0))
        return again

    def befell(self, kind: str, text: str, *coins: str, at: float | str = 0) -> bool:
        keys = tuple(key(coin) for coin in coins)
        return self.book.record_event(AccountEvent(ACCOUNT, ms(at), AccountEventKind(kind), text, keys))

    def unlisted(self, since: float | str, until: float | str, reason: str) -> bool:
        return self.book.unlist(Unlisted(ACCOUNT, ms(since), ms(until), reason))

    def position(self, coin: str = "BTC") -> Position:
        return self.view(coin).position

    def size(self, coin: str = "BTC") -> Decimal:
        return self.position(coin).size

    def view(self, coin: str = "BTC") -> View:
        return self.book.view(ACCOUNT, key(coin))

    def judged(self, coin: str = "BTC", freshness: Freshness = FRESH) -> tuple[str, str | None]:
        self.book.set_freshness(ACCOUNT, freshness)
        self._heard(self.book.judge())
        view = self.view(coin)
        return view.verdict.value, view.reason

    def judged_account(self) -> tuple[str, str | None]:
        self.book.set_freshness(ACCOUNT, FRESH)
        self._heard(self.book.judge())
        account = self.book.account(ACCOUNT)
        return account.verdict.value, account.reason

    def filled(self) -> Counter[Fill]:
        return filled(self.said)

    def of(self, *kinds: type) -> list[Change]:
        return [change for change in self.said if isinstance(change, kinds)]

    def _heard(self, changes: Sequence[Change]) -> list[Change]:
        self.said += changes
        return list(changes)


def book_of(text: str, *, at: float | str = -3600) -> Desk:
    """A desk whose account was stated so, an hour before T0 if not said otherwise."""
    desk = Desk()
    desk.stated(text, at=at)
    desk.said.clear()
    return desk


def filled(changes: Iterable[Change]) -> Counter[Fill]:
    """How often each fill was reported as taken."""
    return Counter(change.fill for change in changes if isinstance(change, Filled))


def kinds(changes: Iterable[Change]) -> list[str]:
    return [type(change).__name__ for change in changes]


def alarms(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if isinstance(change, Gap | Healed | Drift | Adopted)]


def near(ours: Decimal | None, theirs: Decimal | None, digits: int = 40) -> bool:
    """Whether two amounts agree to so many digits."""
    if ours is None or theirs is None:
        return ours is theirs
    allowed = CONTEXT.scaleb(max(abs(theirs), Decimal(1)), -digits)
    return abs(CONTEXT.subtract(ours, theirs)) <= allowed


def at(fills: Iterable[Fill], seconds: float | str) -> list[Fill]:
    """The same fills, all in one millisecond."""
    return [replace(one, time_ms=ms(seconds)) for one in fills]


def end_of(fills: Sequence[Fill], size: Decimal = ZERO) -> Decimal:
    return CONTEXT.add(size, sum((one.signed_size for one in fills), ZERO))
