"""The book against a statement: where they agree, where they do not, and when that is drift.

A statement and a fill have no common sequence number. A statement that equals the book after some
prefix of the recent fills agrees with it. Drift is confirmed only when two statements, seconds
apart, say the same against the book with no fill in between, and the fills since the last agreement
were fetched before the second. Pure: nothing here changes the book.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.changes import Gap
from hlposmon.domain.ledger import Ledger
from hlposmon.domain.placing import LAG_MS
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    FillCause,
    StatedPosition,
    Statement,
    Unlisted,
)

# How much older than the fills it may be when it is read.
LATE_MS = 60_000
# Two statements count as two only when they are this far apart.
APART_S = 2.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A disagreement that was seen. `arrivals` counts the fills seen when it was, `gap` is the one that
    was open then. `asked_s` is when the first statement that told it was asked for; None while
    none has that counts: no fills were fetched after a push, and one that is LATE proves nothing."""

    ours: Decimal
    theirs: Decimal
    arrivals: int
    asked_s: float | None
    statement_ms: int
    since_ms: int
    gap: Gap | None = None


class Finding(StrEnum):
    """What a statement means for one position. WAIT: the present suspicion stands unchanged. LATE: it states
    the size that a drift has just replaced. Either it is older than the drift, or the drift was wrong; it
    cannot confirm another drift."""

    AGREES = "agrees"
    SUSPECT = "suspect"
    LATE = "late"
    WAIT = "wait"
    DRIFT = "drift"


def compare(
    ledger: Ledger,
    stated: StatedPosition | None,
    statement: Statement,
    suspicion: Suspicion | None,
    lost: Sequence[Unlisted] = (),
) -> Finding:
    """What `statement` says of `ledger`; `stated` is its row there, None when it is flat there.

    A push never confirms a drift and never replaces a suspicion that a requested statement can confirm. While
    a suspicion stands, a match with a former size proves nothing (most positions have been flat before). It
    ends when fills explain it, or when a statement no older than it states our present size.
    """
    theirs = stated.size if stated else ZERO
    if agrees(ledger, theirs, statement.time_ms):
        if suspicion is None:
            return Finding.AGREES
        is_over = theirs == ledger.position.size and statement.time_ms >= suspicion.statement_ms
        return Finding.AGREES if is_over else Finding.WAIT
    if ledger.gap is None and ledger.has_replaced(theirs, *_window_ms(statement.time_ms)):
        return Finding.LATE if suspicion is None else Finding.WAIT
    if statement.pushed:
        return _of_push(ledger, theirs, suspicion)
    if suspicion is None or suspicion.asked_s is None or ledger.gap != suspicion.gap:
        return Finding.SUSPECT
    if ledger.gap is None and (suspicion.theirs, suspicion.arrivals) != (theirs, ledger.arrivals):
        return Finding.SUSPECT
    if statement.asked_s - suspicion.asked_s < APART_S or not _is_fetched(statement, suspicion, lost):
        return Finding.WAIT
    if ledger.gap is not None and _is_before(ledger, theirs, statement.time_ms):
        return Finding.WAIT
    return Finding.DRIFT


def agrees(ledger: Ledger, theirs: Decimal, statement_ms: int) -> bool:
    """Whether the fills account for a size that was stated at about `statement_ms`."""
    return ledger.gap is None and _had(ledger, theirs, statement_ms)


def _had(ledger: Ledger, size: Decimal, statement_ms: int) -> bool:
    return ledger.had_size(size, *_window_ms(statement_ms))


def _window_ms(statement_ms: int) -> tuple[int, int]:
    """The times at which a book may have had what is stated at about `statement_ms`."""
    return statement_ms - LAG_MS, statement_ms + LATE_MS


def _of_push(ledger: Ledger, theirs: Decimal, suspicion: Suspicion | None) -> Finding:
    """What a push means that does not agree. With a gap it is remembered, as fills may close the gap and not
    lead to what was said."""
    if ledger.gap is not None:
        return Finding.SUSPECT if suspicion is None or suspicion.asked_s is None else Finding.WAIT
    if suspicion is None or suspicion.gap is not None or suspicion.arrivals != ledger.arrivals:
        return Finding.SUSPECT
    if suspicion.asked_s is None and suspicion.theirs != theirs:
        return Finding.SUSPECT
    return Finding.WAIT


def _is_fetched(statement: Statement, suspicion: Suspicion, lost: Sequence[Unlisted]) -> bool:
    """Whether all fills since the suspicion's time were fetched. Those that cannot be had count with them
    where the statement is surely newer: one that lags behind them says what we had before."""
    from_ms = statement.fills_from_ms
    newest_ms = max((gone.until_ms for gone in lost), default=0)
    if from_ms is None or newest_ms > max(suspicion.since_ms, statement.time_ms - LAG_MS):
        return False
    for gone in sorted(lost, key=lambda gone: gone.until_ms, reverse=True):
        if gone.until_ms >= from_ms - 1:
            from_ms = min(from_ms, gone.since_ms)
    return from_ms <= suspicion.since_ms


def _is_before(ledger: Ledger, theirs: Decimal, statement_ms: int) -> bool:
    """Whether a statement may be older than the gap, so that it proves nothing about the gap.

    It is not older if the waiting fills lead through the stated size. If it states our own size, it may be
    older as long as a waiting fill is newer than its time less LAG_MS. Any other size makes it older if the
    book had that size around the statement's time.
    """
    if ledger.waiting_lead_through(theirs):
        return False
    if theirs == ledger.position.size:
        return ledger.waiting_until_ms > statement_ms - LAG_MS
    return _had(ledger, theirs, statement_ms)


def is_explained(ledger: Ledger, suspicion: Suspicion) -> bool:
    """Whether fills that came after the statement account for what it said."""
    return agrees(ledger, suspicion.theirs, suspicion.statement_ms)


def cause_of(
    ledger: Ledger,
    statement: Statement,
    since_ms: int,
    events: Sequence[AccountEvent] = (),
    lost: Sequence[Unlisted] = (),
) -> str:
    """The cause of a confirmed drift, as far as it can be named; `since_ms` is before the doubt began."""
    of_us = [one for one in events if not one.keys or ledger.key in one.keys]
    recent = {one.kind: f"{one.kind} ({one.text})" for one in of_us if one.time_ms >= since_ms}
    if any(fill.cause is FillCause.LIQUIDATION for fill in ledger.waiting):
        return recent.get(AccountEventKind.LIQUIDATION, "liquidation")
    if AccountEventKind.LIQUIDATION in recent:
        return recent[AccountEventKind.LIQUIDATION]
    gone = [one.reason for one in lost if one.until_ms >= since_ms]
    if gone:
        return gone[-1]
    if ledger.gap is not None:
        return "fills are missing that the venue no longer lists"
    for kind in (AccountEventKind.MODE_CHANGE, AccountEventKind.TRANSFER):
        if kind in recent:
            return recent[kind]
    if ledger.applied and statement.time_ms < ledger.applied[-1].fill.time_ms:
        return "the statement is older than the last fill"
    return "no fill explains it"


def entry_differs(ledger: Ledger, stated: StatedPosition, statement: Statement) -> bool | None:
    """Whether the venue's entry price is another than ours; None while it cannot be told, the sizes not
    being equal or a fill fresh."""
    ours = ledger.position.entry_price
    if ours is None or stated.entry_price is None or stated.size != ledger.position.size:
        return None
    last_ms = ledger.last_fill_ms
    if last_ms is not None and last_ms > statement.time_ms - LAG_MS:
        return None
    with exactly():
        return abs(ours - stated.entry_price) > stated.tolerance
