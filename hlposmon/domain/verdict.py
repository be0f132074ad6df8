"""What may be claimed of a position: proven, unproven, drift or stale, and why. Pure.

The ages are handed in, with their limits: nothing here reads a clock. One rule, in one place, so
that every surface says the same.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """proven: the fills chain without a gap up to now and the venue's last statement agrees.
    unproven: not shown yet (no statement, a gap, a feed just back). drift: book and venue disagree.
    stale: the feeds that the number rests on are older than their limit."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    DRIFT = "drift"
    STALE = "stale"


class Proof(StrEnum):
    """The law by which a position's size is proven; it is the venue's, and no measure of how fresh it is.

    fills: the venue's fills chain, each stating the size before it. trades: all trades from a cursor, and a
    statement that agrees. statement: the venue's last word."""

    FILLS = "fills"
    TRADES = "trades"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Age:
    """How long ago a feed was last heard, None when never; beyond `limit_s` it is stale."""

    seconds: float | None
    limit_s: float

    @property
    def over(self) -> bool:
        """Whether it is stale: never heard, or longer ago than the limit."""
        return self.seconds is None or self.seconds > self.limit_s

    def silence(self, name: str) -> str | None:
        """Why the feed of this name is stale; None while it is not."""
        if self.seconds is None:
            return f"no {name} yet"
        # With the age itself the reason would change every second; the limit stays the same.
        return f"no {name} for more than {self.limit_s:g} s" if self.over else None


@dataclass(frozen=True, slots=True)
class Freshness:
    """The ages of the three feeds that a position of one account rests on. `behind` is the reason why fills
    are processed too late for a size to be proven, if they are.

    `is_polled`: no stream has its fills. `statement` is then the age of its last complete round, which has
    both, and `fills` counts for nothing."""

    fills: Age
    prices: Age
    statement: Age
    behind: str | None = None
    is_polled: bool = False

    # Everything that a verdict and its reason take from the ages: if it is equal, so are they.
    decisive: tuple[str | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fills, said = self.fills.silence("fills"), self.statement.silence("statements")
        if self.is_polled:
            # Before its first round it is not stale: it is not proven yet.
            fills, said = None, None if self.statement.seconds is None else self.statement.silence("round")
        found = fills, self.prices.silence("prices"), said, self.behind
        object.__setattr__(self, "decisive", found)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the book knows of one position, or of an account as a whole.

    `stated`: the venue has stated the account. `confirmed`: it has done so since the feed of fills last came
    up, or in a round of a polled account, and agreed. `feed_down` is the reason, None while a feed is live.
    `open` is False for a flat position, whose figures need no price. `unlisted`: fills are not listed any
    more that may be missing, and no statement is surely newer than they. `rests_on_fills` is False where the
    venue's word is all there is: then no feed of fills is asked for.
    """

    stated: bool
    confirmed: bool
    feed_down: str | None = None
    gap: str | None = None
    doubt: str | None = None
    drift: str | None = None
    open: bool = True
    rests_on_fills: bool = True
    unlisted: bool = False


_NO_ROUND = "polled, and not yet confirmed by a round: all its fills, and then a statement"
_UNLISTED = "some fills cannot be fetched, and the venue has not stated the sizes after them yet"

# Before anybody has said how old the feeds are, nothing counts as heard.
UNHEARD = Freshness(Age(None, 0.0), Age(None, 0.0), Age(None, 0.0))


def judge(evidence: Evidence, freshness: Freshness) -> tuple[Verdict, str | None]:
    """The verdict and its reason; the first that applies of drift, no statement, stale, unproven."""
    if evidence.drift is not None:
        return Verdict.DRIFT, evidence.drift
    if not evidence.stated:
        down = f"; {evidence.feed_down}" if evidence.feed_down else ""
        return Verdict.UNPROVEN, f"no statement from the venue yet{down}"
    fills, prices, statements, behind = freshness.decisive
    if not evidence.rests_on_fills:
        fills = behind = None
    for silence in (fills, prices if evidence.open else None, statements):
        if silence is not None:
            return Verdict.STALE, silence
    for doubt in (evidence.gap, evidence.doubt, evidence.feed_down, behind):
        if doubt is not None:
            return Verdict.UNPROVEN, doubt
    if not evidence.confirmed and not evidence.rests_on_fills:
        return Verdict.UNPROVEN, "not yet stated again since the start"
    if evidence.unlisted:
        return Verdict.UNPROVEN, _UNLISTED
    if not evidence.confirmed and freshness.is_polled:
        return Verdict.UNPROVEN, _NO_ROUND
    if not evidence.confirmed:
        return Verdict.UNPROVEN, "not yet confirmed by a statement since the feed of fills came up"
    return Verdict.PROVEN, None
