"""The book against a statement: where they agree, where they do not, and when that is drift.

A statement and a fill have no common sequence number. A statement that equals the book after some
prefix of the recent fills agrees with it. Drift is confirmed only when two statements, seconds
apart, say the same against the book with no fill in between, and the fills since the last agreement
were fetched before the second. Pure: nothing here changes the book.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.changes import Gap
from hlposmon.domain.holding import Holding
from hlposmon.domain.reports import StatedPosition, Statement

# How far a statement may lag behind the fills and still be understood as one of their prefixes.
LAG_MS = 10_000
# Two statements count as two only when they are this far apart.
APART_S = 2.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A disagreement that was seen once. `arrivals` counts the fills seen when it was, `gap` is the one
    that was open then."""

    ours: Decimal
    theirs: Decimal
    arrivals: int
    asked_s: float
    statement_ms: int
    since_ms: int
    gap: Gap | None = None


class Finding(StrEnum):
    """What a statement means for one holding."""

    AGREES = "agrees"
    SUSPECT = "suspect"
    WAIT = "wait"
    DRIFT = "drift"


def compare(
    holding: Holding, stated: StatedPosition | None, statement: Statement, suspicion: Suspicion | None
) -> Finding:
    """What `statement` says of `holding`; `stated` is its line there, None when it is flat there."""
    theirs = stated.size if stated else ZERO
    if holding.gap is None and holding.accounts_for(theirs, statement.time_ms - LAG_MS):
        return Finding.AGREES
    if suspicion is None or not _same(holding, theirs, suspicion):
        return Finding.SUSPECT
    fetched = statement.fills_from_ms is not None and statement.fills_from_ms <= suspicion.since_ms
    if statement.asked_s - suspicion.asked_s < APART_S or not fetched:
        return Finding.WAIT
    return Finding.DRIFT


def _same(holding: Holding, theirs: Decimal, suspicion: Suspicion) -> bool:
    if holding.gap != suspicion.gap:
        return False
    if suspicion.theirs == theirs and suspicion.arrivals == holding.arrivals:
        return True
    # Fills go on behind a gap that no fill can close: the venue's size is one that they lead
    # through, or it is ours still and they belong to nothing.
    return holding.gap is not None and (theirs == holding.position.size or holding.waiting_reach(theirs))


def is_explained(holding: Holding, suspicion: Suspicion) -> bool:
    """Whether fills that came after the statement account for what it said."""
    return holding.gap is None and holding.accounts_for(suspicion.theirs, suspicion.statement_ms - LAG_MS)


def cause_of(holding: Holding, statement: Statement) -> str:
    """The cause of a confirmed drift, as far as it can be named."""
    if any(fill.liquidation for fill in holding.waiting):
        return "liquidation"
    if holding.gap is not None:
        return "fills are missing that the venue no longer lists"
    if holding.applied and statement.time_ms < holding.applied[-1].fill.time_ms:
        return "the statement is older than the last fill"
    return "no fill explains it"


def entry_differs(holding: Holding, stated: StatedPosition, statement: Statement) -> bool:
    """Whether the venue's entry price is another than ours, size being equal and no fill fresh."""
    ours = holding.position.entry_price
    if ours is None or stated.entry_price is None or stated.size != holding.position.size:
        return False
    last_ms = holding.last_fill_ms
    if last_ms is not None and last_ms > statement.time_ms - LAG_MS:
        return False
    with exactly():
        return abs(ours - stated.entry_price) > stated.tolerance
