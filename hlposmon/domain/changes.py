"""Outgoing facts: the changes that the book returns for a report. Frozen.

The tracker journals or publishes each, or asks the reconcile worker to fetch because of it. None knows JSON.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from hlposmon.domain.position import FillEffect, Position
from hlposmon.domain.reports import Fill, Funding
from hlposmon.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Filled:
    """A fill was taken into the book for the first and only time.

    `effect` is None for a fill that the size included already (the venue's size was adopted before the
    fill was seen). `late`: it was inserted before fills that the book had already applied.
    """

    fill: Fill
    effect: FillEffect | None
    position: Position
    late: bool = False


class AdoptionReason(StrEnum):
    """Why a position was changed without a fill."""

    START = "start"
    DRIFT = "drift"
    ENTRY = "entry"
    STATED = "stated"  # in a scope whose sizes rest on statements alone


@dataclass(frozen=True, slots=True)
class Adopted:
    """The venue's figures were adopted; `before` is what the book had. `holds_since_ms`: the time of the
    first fill that they include and that is reported after this change; None if there is none."""

    account: str
    key: str
    reason: AdoptionReason
    before: Position
    position: Position
    statement_ms: int
    holds_since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Funded:
    """A funding payment was booked."""

    funding: Funding
    position: Position


@dataclass(frozen=True, slots=True)
class Gap:
    """A fill does not chain: at least one fill before it is missing, from `since_ms` on. `again`: the same
    gap, reported once more because a late fill shows that fills are missing from an earlier time on."""

    account: str
    key: str
    expected: Decimal
    found: Decimal
    since_ms: int
    at_ms: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Healed:
    """The chain is whole again: `missing` fills came that the stream had not brought."""

    account: str
    key: str
    missing: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Drift:
    """Book and venue disagree, confirmed: two statements, seconds apart, no fill in between, and the
    fills of the window fetched before the second."""

    account: str
    key: str
    ours: Decimal
    theirs: Decimal
    cause: str
    statement_ms: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """A statement differs from the book for the first time: ask again, with the fills since then."""

    account: str
    key: str
    ours: Decimal
    theirs: Decimal
    since_ms: int


@dataclass(frozen=True, slots=True)
class Liquidated:
    """The account itself was liquidated in this position at the venue's time `time_ms`. It is reported once,
    though several fills of one order and the venue's ledger may tell it.

    `method` (market, backstop) and `order_id` are those of the first fill; None where only the ledger tells.
    """

    account: str
    key: str
    time_ms: int
    method: str | None
    order_id: int | None


@dataclass(frozen=True, slots=True)
class VerdictChanged:
    """The verdict of a position, or its reason, has changed."""

    account: str
    key: str
    verdict: Verdict
    reason: str | None
    before: Verdict | None


Change = Filled | Adopted | Funded | Gap | Healed | Drift | Doubt | Liquidated | VerdictChanged


def whose(change: Change) -> tuple[str, str]:
    """The account and the key that a change is about."""
    if isinstance(change, Filled):
        return change.fill.account, change.fill.key
    if isinstance(change, Funded):
        return change.funding.account, change.funding.key
    return change.account, change.key
