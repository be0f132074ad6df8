"""The law by which the sizes of a scope are proven: what a fill does, and what a statement does.

Two laws are built. FILL_CHAIN is for venues where each fill states the size before it: the chain of fills is
the position, and statements confirm it or are doubted. STATEMENT is for venues that tell nothing but what is
held: their newest word is the position. How fresh a word must be is the verdict's, and which statement is
newer the scope's.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from hlposmon.domain.amounts import CONTEXT, ZERO
from hlposmon.domain.changes import AdoptionReason, Change
from hlposmon.domain.holding import Holding
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import AccountEvent, Fill, StatedPosition, Statement, Unlisted
from hlposmon.domain.verdict import Proof


class Continuity(Protocol):
    """One law. It has no state of its own: everything about a position is in the holding."""

    @property
    def proof(self) -> Proof:
        """The proof that views of positions under this law name."""

    @property
    def rests_on_fills(self) -> bool:
        """Whether nothing is proven without a live feed of fills, and a statement since it came up."""

    def take(self, holding: Holding, fills: Sequence[Fill], *, live: bool) -> list[Change]:
        """Take fills of its instrument, in any order; the changes. `live`: they came on a stream."""

    def reconcile(
        self,
        holding: Holding,
        stated: StatedPosition | None,
        statement: Statement,
        events: Sequence[AccountEvent],
        lost: Sequence[Unlisted],
    ) -> list[Change]:
        """Compare with a statement; the changes. `stated` is the holding's row in it, None if it is flat
        there. `events` and `lost` may name the cause of a drift."""


class FillChain:
    """Each fill states the size before it, so that a missing one shows; a statement confirms the chain."""

    proof = Proof.FILLS
    rests_on_fills = True

    def take(self, holding: Holding, fills: Sequence[Fill], *, live: bool) -> list[Change]:
        """Put the fills into the chain; the changes: none, a gap, or several fills at once."""
        changes = holding.ledger.take(fills, live=live)
        holding.note_fills()
        return changes

    def reconcile(
        self,
        holding: Holding,
        stated: StatedPosition | None,
        statement: Statement,
        events: Sequence[AccountEvent],
        lost: Sequence[Unlisted],
    ) -> list[Change]:
        """Compare the venue's size with the chain's after any recent prefix: agreement, doubt, drift."""
        changes: list[Change] = []
        is_start = not holding.ledger.has_base
        # If live fills came, they determine the size, and the first statement is compared like any other.
        is_compared = not is_start or holding.ledger.has_live_fills
        if is_start:
            changes += holding.ledger.adopt(stated, statement.time_ms, AdoptionReason.START)
            if is_compared:
                holding.arrivals_at_push = holding.ledger.arrivals  # a push that differs is doubted at once
            else:
                holding.agreed_ms = statement.time_ms
        if is_compared:
            changes += holding.reconcile(stated, statement, events, lost)
        holding.note_fills()
        return changes


class StatementOnly:
    """The venue's newest statement is the position. Two different statements of the same time dispute each
    other until there is a newer one.

    Example: at 10 the venue states 1, at 12 it states 3: the position is 3, as of 12. Another answer, also of
    12, that states 2 leaves it at 3, but unproven; one of 13 that states 2 makes it 2, and proven.
    """

    proof = Proof.STATEMENT
    rests_on_fills = False

    def take(self, holding: Holding, fills: Sequence[Fill], *, live: bool) -> list[Change]:  # noqa: ARG002
        """Ignore the fills: statements include all of them."""
        return []

    def reconcile(
        self,
        holding: Holding,
        stated: StatedPosition | None,
        statement: Statement,
        events: Sequence[AccountEvent],  # noqa: ARG002  # nothing drifts here
        lost: Sequence[Unlisted],  # noqa: ARG002
    ) -> list[Change]:
        """Adopt the statement, unless it is older than the one before, or disputes it."""
        ledger, time_ms = holding.ledger, statement.time_ms
        ours, theirs = ledger.position, stated.size if stated else ZERO
        if holding.agreed_ms is not None and time_ms <= holding.agreed_ms:
            if time_ms == holding.agreed_ms and theirs != ours.size:
                holding.disputed = f"two statements of one time differ: {ours.size:f} and {theirs:f}"
            return []
        holding.agreed_ms, holding.disputed = time_ms, None
        if ledger.has_base and theirs == ours.size and not (stated and _differs(ours.entry_price, stated)):
            return []
        return ledger.adopt(
            stated, time_ms, AdoptionReason.STATED if ledger.has_base else AdoptionReason.START
        )


def _differs(entry_price: Decimal | None, stated: StatedPosition) -> bool:
    """Whether the stated entry price differs by more than the tolerance; False if either one is None."""
    if entry_price is None or stated.entry_price is None:
        return False
    return CONTEXT.subtract(entry_price, stated.entry_price).copy_abs() > stated.tolerance


FILL_CHAIN: Continuity = FillChain()
STATEMENT_ONLY: Continuity = StatementOnly()


def law_of(scope: str) -> Continuity:
    """The law of a scope: the venue's word for spot, whose balances move without fills; else the chain."""
    return STATEMENT_ONLY if scope == SPOT else FILL_CHAIN
