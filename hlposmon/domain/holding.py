"""One position and what the venue states about it: compares them, raises doubts, adopts the venue's figures.

Owned by the Book. `reconcile` decides what a statement means; this module acts on it. It knows no feeds and
nothing about the account as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from hlposmon.domain.amounts import CONTEXT, ZERO, exactly
from hlposmon.domain.changes import AdoptionReason, Change, Doubt, Drift, Filled, VerdictChanged
from hlposmon.domain.ledger import Ledger
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.placing import LAG_MS
from hlposmon.domain.position import Position
from hlposmon.domain.reconcile import (
    Finding,
    Suspicion,
    cause_of,
    compare,
    entry_differs,
    is_explained,
)
from hlposmon.domain.reports import AccountEvent, Fill, StatedPosition, Statement, Unlisted
from hlposmon.domain.verdict import Evidence, Freshness, Proof, Verdict, judge
from hlposmon.domain.views import View

# The price feed tells changes only; beyond this a statement's mark counts as the newer one.
QUIET_MARK_S = 15.0


@dataclass(slots=True)
class Holding:
    """A ledger, with what the venue says of the same position."""

    ledger: Ledger
    mark: Decimal | None = None
    stated: StatedPosition | None = None
    suspicion: Suspicion | None = None
    # A push that disagreed while fills were coming in: it may only be ahead of those under way.
    hint: Suspicion | None = None
    arrivals_at_push: int = 0
    # The time from which fills are wanted because entry prices differ; and when they last agreed.
    entry_since_ms: int | None = None
    entry_agreed_ms: int | None = None
    # Time of the first fill that changed it and came from an unfinished fetch, or live but very late: fills
    # after it may still be on their way.
    fetched_since_ms: int | None = None
    drift: str | None = None
    # Why the venue's last row of it could not be read: what it states now is not known.
    unread: str | None = None
    # Why the venue's own statements contradict each other, where nothing but these is known.
    disputed: str | None = None
    marked_s: float = 0.0
    agreed_ms: int | None = None
    matched_ms: int | None = None
    last_fill_ms: int | None = None
    # Size and time of the newest statement about it, whatever the outcome was.
    told_size: Decimal = ZERO
    told_ms: int = 0
    verdict: Verdict | None = None
    reason: str | None = None
    # The position with which a statement agreed last, in size and entry, and its entry price.
    _confirmed: tuple[Position, Decimal | None] | None = None
    # What was last shown, and what the venue had stated then.
    _shown: View | None = None
    _shown_stated: StatedPosition | None = None
    _shown_table: MarginTable | None = None
    _shown_available: Decimal | None = None

    def as_of_ms(self, whole_ms: int | None = None) -> int | None:
        """The venue's time up to which the position is known, None before its start.

        It is that of the last fill in it, or of a later statement of this very size; of that no later than
        `whole_ms`, since when fills may have been missed (None: no limit). While fills are asked for,
        nothing is known after the time from which they are wanted.

        For example: a fill at 10, statements of the same size at 12 and 14. With a feed of fills live that
        is 14. With the feed down since 12 it stays 12. With a gap behind the fill it is 10.
        """
        ledger = self.ledger
        if not ledger.has_base:
            return None
        agreed_ms = self.agreed_ms or 0
        if whole_ms is not None and whole_ms < agreed_ms:
            agreed_ms = whole_ms
        known_ms = max(ledger.known_ms, self.last_fill_ms or 0, agreed_ms)
        if not self.is_doubtful:
            return known_ms
        wanted_ms = self.wanted_ms
        return known_ms if wanted_ms is None else min(known_ms, wanted_ms)

    def view(
        self,
        proof: Proof,
        quote: str | None,
        whole_ms: int | None = None,
        table: MarginTable | None = None,
        available: Decimal | None = None,
    ) -> View:
        """The position as it may be shown. `proof` is the law that proves it, `quote` the token of its
        figures and `table` its margin tiers, if they are known; after `whole_ms`, if given, fills may be
        missing. `available` is the equity above maintenance of all cross positions at present marks, if this
        is one and that is known; else the stated liquidation price counts. Returns the same object as last
        time if nothing has changed."""
        ledger, as_of_ms, shown = self.ledger, self.as_of_ms(whole_ms), self._shown
        if (
            shown is not None
            and shown.position is ledger.position
            and shown.mark is self.mark
            and self._shown_stated is self.stated
            and shown.verdict is self.verdict
            and shown.reason == self.reason
            and shown.as_of_ms == as_of_ms
            and shown.last_fill_ms == self.last_fill_ms
            and shown.in_doubt == self.is_doubtful
            and shown.proof is proof
            and shown.quote == quote
            and self._shown_table is table
            and self._shown_available is available
        ):
            return shown
        stated = self.stated if ledger.position.size else None
        # Margin and liquidation price are of the size that the venue stated, and of no other.
        same = stated is not None and stated.size == ledger.position.size
        self._shown_stated, self._shown_table = self.stated, table
        self._shown_available = available
        greatest = stated.max_leverage if stated else None
        self._shown = View(
            account=ledger.account,
            key=ledger.key,
            position=ledger.position,
            mark=self.mark,
            verdict=self.verdict or Verdict.UNPROVEN,
            reason=self.reason if self.verdict else "not judged yet",
            leverage=stated.leverage if stated else None,
            margin_used=stated.margin_used if stated and same else None,
            liquidation_price=self._liquidation_price(stated, table, available) if stated and same else None,
            last_fill_ms=self.last_fill_ms,
            in_doubt=self.is_doubtful,
            proof=proof,
            as_of_ms=as_of_ms,
            quote=quote,
            hold=stated.hold if stated else None,
            margin_mode=stated.margin_mode if stated else None,
            max_leverage=greatest,
            margin_table=table if table is not None and table.grants(greatest) else None,
        )
        return self._shown

    def _liquidation_price(
        self, stated: StatedPosition, table: MarginTable | None, available: Decimal | None
    ) -> Decimal | None:
        """The price by present marks where it follows from them; else the stated one."""
        if table is None or available is None or self.mark is None:
            return stated.liquidation_price
        return table.liquidation_price(stated.size, self.mark, available)

    def is_confirmed_by(self, stated: StatedPosition | None, statement: Statement, *, newest: bool) -> bool:
        """Whether a statement repeats the last one that agreed, with nothing changed or in doubt since; if
        so, note it. This is the common case, since a state is pushed every second."""
        ledger = self.ledger
        if self._confirmed is None or self._confirmed[0] is not ledger.position:
            return False
        if self.hint is not None or self.drift is not None or self.is_doubtful:
            return False
        if statement.time_ms < (self.matched_ms or 0) or ledger.key in statement.unread:
            return False
        if not _is_same(stated, *self._confirmed):
            return False
        self.agreed_ms = self.matched_ms = statement.time_ms
        if statement.time_ms >= self.told_ms:
            self.told_size, self.told_ms = ledger.position.size, statement.time_ms
        if stated is not None:
            self.entry_agreed_ms = statement.time_ms
        if statement.pushed:
            self.arrivals_at_push = ledger.arrivals
        if newest:
            self.keep_details(stated, statement.asked_s)
        return True

    def expect_agreement(self) -> None:
        """Have the next statement, the first since a feed came up, compared strictly: a push that differs is
        doubted at once, even though it may be ahead of fills under way."""
        self.arrivals_at_push = self.ledger.arrivals

    def reconcile(
        self,
        stated: StatedPosition | None,
        statement: Statement,
        events: Sequence[AccountEvent],
        lost: Sequence[Unlisted],
    ) -> list[Change]:
        """Compare with what the venue states; `events` and `lost` may name the cause of a drift."""
        ledger = self.ledger
        theirs = stated.size if stated else ZERO
        if statement.time_ms >= self.told_ms:
            self.told_size, self.told_ms = theirs, statement.time_ms
        finding = compare(ledger, stated, statement, self.suspicion, lost)
        # Of fills that came in since the last push more may be on their way, but not after so long.
        in_flow = ledger.arrivals != self.arrivals_at_push and statement.time_ms <= ledger.known_ms + LAG_MS
        hint = self.hint
        if statement.pushed:
            self.hint, self.arrivals_at_push = None, ledger.arrivals
        if finding is Finding.AGREES:
            self.suspicion = self.hint = self.drift = None
            # A size that the book once had may be met by chance: such a match counts with the next one.
            equal = theirs == ledger.position.size
            self.agreed_ms = statement.time_ms if equal else self.matched_ms or self.agreed_ms
            self.matched_ms = statement.time_ms
            if stated is None:
                self.entry_since_ms = None  # what is flat has no entry
                if equal:
                    self._confirmed = ledger.position, None
                return []
            return self._compare_entry(stated, statement)
        if finding is Finding.DRIFT:
            return self._resolve(stated, statement, events, lost)
        if finding is Finding.WAIT:
            # The shell asks again by itself: a push each second need not remind it.
            if statement.pushed or self.suspicion is None:
                return []
            return [self._doubt(theirs)]
        found = self._suspicion_of(theirs, statement, is_evidence=finding is not Finding.LATE)
        has_gap = ledger.gap is not None  # which has been reported
        if statement.pushed and self.suspicion is None and in_flow and hint is None and not has_gap:
            self.hint = found
            return []
        said = statement.pushed and (self.suspicion is not None or has_gap)
        self.suspicion = found
        return [] if said else [self._doubt(theirs)]

    def _compare_entry(self, stated: StatedPosition, statement: Statement) -> list[Change]:
        """Compare entry prices where the sizes agree. A difference means that a round trip was lost: ask for
        its fills, and adopt the venue's entry price only if they cannot be fetched or explain nothing."""
        ledger, doubted_ms = self.ledger, self.entry_since_ms
        differs = entry_differs(ledger, stated, statement)
        if not differs:
            if differs is False:
                self.entry_agreed_ms, self.entry_since_ms = statement.time_ms, None
                self._confirmed = ledger.position, ledger.position.entry_price
            return []
        if doubted_ms is not None:
            from_ms = statement.fills_from_ms
            if from_ms is None or from_ms > doubted_ms:
                return []  # the shell asks again by itself
            self.entry_agreed_ms, self.entry_since_ms = statement.time_ms, None
            return ledger.adopt(stated, statement.time_ms, AdoptionReason.ENTRY)
        known_ms = ledger.base_ms if self.entry_agreed_ms is None else self.entry_agreed_ms
        self.entry_since_ms = max(0, min(known_ms, statement.time_ms) - LAG_MS)
        size = ledger.position.size
        return [Doubt(ledger.account, ledger.key, size, size, self.entry_since_ms)]

    def _resolve(
        self,
        stated: StatedPosition | None,
        statement: Statement,
        events: Sequence[AccountEvent],
        lost: Sequence[Unlisted],
    ) -> list[Change]:
        """End a disagreement that two statements told: close a gap that is none, or adopt after a drift."""
        ledger = self.ledger
        theirs = stated.size if stated else ZERO
        healed: list[Change] = []
        if ledger.gap is not None:
            healed = ledger.rotate_round_trip(theirs)
            if not healed and theirs == ledger.position.size:
                healed = ledger.close_gap_as_included()
        assert self.suspicion is not None, "a drift has a suspicion behind it"
        since_ms = self.suspicion.since_ms
        self.suspicion = self.hint = None
        if healed:
            self.agreed_ms = statement.time_ms
            return healed
        ours = ledger.position.size
        cause = cause_of(ledger, statement, since_ms, events, lost)
        self.agreed_ms, self.entry_since_ms = statement.time_ms, None
        self.drift = f"{cause}: the book had {ours:f}, the venue {theirs:f}; the venue's size was adopted"
        found = Drift(ledger.account, ledger.key, ours, theirs, cause, statement.time_ms)
        return [found, *ledger.adopt(stated, statement.time_ms, AdoptionReason.DRIFT)]

    def _suspicion_of(self, theirs: Decimal, statement: Statement, *, is_evidence: bool) -> Suspicion:
        ledger = self.ledger
        agreed_ms = ledger.known_ms if self.agreed_ms is None else self.agreed_ms
        since_ms = max(0, min(agreed_ms, statement.time_ms) - LAG_MS)
        if ledger.gap is not None:
            since_ms = min(since_ms, ledger.gap.since_ms)
        return Suspicion(
            ours=ledger.position.size,
            theirs=theirs,
            arrivals=ledger.arrivals,
            asked_s=statement.asked_s if is_evidence and not statement.pushed else None,
            statement_ms=statement.time_ms,
            since_ms=since_ms,
            gap=ledger.gap,
        )

    def _doubt(self, theirs: Decimal) -> Doubt:
        suspicion = self.suspicion
        assert suspicion is not None, "a doubt has a suspicion behind it"
        return Doubt(self.ledger.account, self.ledger.key, suspicion.ours, theirs, suspicion.since_ms)

    def keep_details(self, stated: StatedPosition | None, asked_s: float) -> None:
        """Keep what the venue states besides the size. The price feed sends changes only: if it has long been
        silent about a coin, the mark that the statement implies is the newer one."""
        self.stated = stated
        if stated is None or stated.mark_price is None:
            return
        if self.mark is None or (
            asked_s - self.marked_s > QUIET_MARK_S and _differ(stated.mark_price, self.mark)
        ):
            self.mark, self.marked_s = stated.mark_price, asked_s

    def take_next(self, fill: Fill) -> Filled | None:
        """Apply a live fill that is plainly the next, while no disagreement is open; else None."""
        if self.suspicion is not None or self.hint is not None:
            return None
        filled = self.ledger.take_next(fill)
        if filled is not None:
            self.last_fill_ms = fill.time_ms
        return filled

    def note_part(self, changes: Sequence[Change]) -> None:
        """Note the changes from one part of a fetch that has not ended."""
        times = [change.fill.time_ms for change in changes if isinstance(change, Filled) and change.effect]
        if times:
            known_ms = self.fetched_since_ms
            self.fetched_since_ms = min(times if known_ms is None else [known_ms, *times])

    def note_fetched(self, from_ms: int) -> bool:
        """Note that a fetch of all fills from `from_ms` on has ended; whether that ends a doubt."""
        if self.fetched_since_ms is None or self.fetched_since_ms < from_ms:
            return False
        self.fetched_since_ms = None
        self.doubt_fetched()
        return True

    def note_fills(self) -> None:
        """See whether fills that were taken explain what a statement said."""
        if self.ledger.applied:
            self.last_fill_ms = self.ledger.applied[-1].fill.time_ms
            if self.suspicion is not None and is_explained(self.ledger, self.suspicion):
                self.suspicion = None
            if self.hint is not None and is_explained(self.ledger, self.hint):
                self.hint = None

    def doubt_fetched(self) -> None:
        """Doubt the size after a fetch if the newest statement surely includes all its fills and states
        another size. That statement was compared on arrival, when the book did not have these fills.

        Example: the position is flat, and a statement of :32 says so. A fetch brings 0 -> 3 of :15. A size of
        3 may be right again by now, but no statement says so.
        """
        ledger = self.ledger
        if self.suspicion is not None or ledger.gap is not None or not ledger.has_base:
            return
        if self.told_size == ledger.position.size or ledger.known_ms + LAG_MS > self.told_ms:
            return
        self.suspicion = Suspicion(
            ours=ledger.position.size,
            theirs=self.told_size,
            arrivals=ledger.arrivals,
            asked_s=None,
            statement_ms=self.told_ms,
            since_ms=max(0, ledger.known_ms - LAG_MS),
        )

    @property
    def basis(self) -> tuple[object, ...]:
        """All that a statement can change in the input of `judge`: if equal, so is the verdict."""
        ledger = self.ledger
        return (
            ledger.has_base,
            ledger.gap,
            self.suspicion,
            self.entry_since_ms,
            self.unread,
            self.disputed,
            self.drift,
            ledger.position,
        )

    @property
    def is_doubtful(self) -> bool:
        """Whether `doubts` names any."""
        return (
            self.ledger.gap is not None
            or self.suspicion is not None
            or self.entry_since_ms is not None
            or self.fetched_since_ms is not None
            or self.unread is not None
            or self.disputed is not None
        )

    @property
    def wanted_ms(self) -> int | None:
        """The time from which fills are wanted that may end the doubt; None if none are."""
        missing_ms, suspicion, wanted = self.missing_ms, self.suspicion, []
        if missing_ms is not None:
            wanted.append(missing_ms)
        if suspicion is not None:
            wanted.append(suspicion.since_ms)
        if self.entry_since_ms is not None:
            wanted.append(self.entry_since_ms)
        return min(wanted, default=None)

    @property
    def missing_ms(self) -> int | None:
        """The time since which a fill is missing, or may be while a fetch has not ended; None if none is."""
        gap, fetched_ms = self.ledger.gap, self.fetched_since_ms
        if gap is None or fetched_ms is None:
            return fetched_ms if gap is None else gap.since_ms
        return min(gap.since_ms, fetched_ms)

    def judge(self, evidence: Evidence, freshness: Freshness) -> VerdictChanged | None:
        """Judge the position by its scope's `evidence` and its own state; the verdict if it has changed."""
        gap, doubt = self.doubts()
        found = Evidence(
            stated=evidence.stated,
            confirmed=evidence.confirmed,
            feed_down=evidence.feed_down,
            unlisted=evidence.unlisted,
            rests_on_fills=evidence.rests_on_fills,
            gap=gap,
            doubt=doubt,
            drift=self.drift,
            open=bool(self.ledger.position.size),
        )
        verdict, reason = judge(found, freshness)
        before = self.verdict
        if (verdict, reason) == (before, self.reason):
            return None
        self.verdict, self.reason = verdict, reason
        return VerdictChanged(self.ledger.account, self.ledger.key, verdict, reason, before)

    def doubts(self) -> tuple[str | None, str | None]:
        """The reason of a gap, and the reason of any other doubt; each None if there is none."""
        gap = doubt = None
        if (broken := self.ledger.gap) is not None:
            gap = f"a fill is missing: the next starts at {broken.found:f}, the book has {broken.expected:f}"
        if (seen := self.suspicion) is not None:
            doubt = f"the venue states {seen.theirs:f}, the book has {seen.ours:f}; asking again"
        elif self.entry_since_ms is not None:
            doubt = "the venue states another entry price: fills are asked for that the book may lack"
        elif self.fetched_since_ms is not None:
            doubt = "older fills of it have come, and more may be on their way"
        elif self.unread is not None:
            doubt = f"the venue's row of it could not be read: {self.unread}"
        elif self.disputed is not None:
            doubt = self.disputed
        return gap, doubt


def _is_same(stated: StatedPosition | None, position: Position, entry_price: Decimal | None) -> bool:
    """Whether what is stated is this position, its entry price within the tolerance."""
    if stated is None or entry_price is None:
        return stated is None and entry_price is None
    if stated.size != position.size or stated.entry_price is None:
        return False
    return CONTEXT.subtract(stated.entry_price, entry_price).copy_abs() <= stated.tolerance


def _differ(ours: Decimal, theirs: Decimal) -> bool:
    """Whether two marks differ by more than the rounding of what they were worked out from."""
    with exactly():
        return abs(ours - theirs) * 1_000_000 > abs(theirs)
