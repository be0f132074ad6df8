"""What went wrong since the start: gaps, their healing, drifts; and the drifts of late, to be seen.

Once the venue's size is adopted a drift is over with the next statement, a second later; who looks each
minute would never hear of it. So health names it for a while. Pure: `now_s` is given.
"""

from collections import Counter, deque
from collections.abc import Iterable

from hlposmon.domain.changes import Change, Drift, Gap, Healed
from hlposmon.domain.reports import Unlisted
from hlposmon.wire.published import number, symbol_of, time_text

# As long as this a drift that is over is still named.
NAMED_S = 300.0
_KEPT = 16


class Incidents:
    """Counts by kind (gap, healed, drift, unlisted), since this process began."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(gap=0, healed=0, drift=0, unlisted=0)
        self._drifts: deque[tuple[float, str]] = deque(maxlen=_KEPT)

    def note(self, changes: Iterable[Change], now_s: float) -> None:
        for change in changes:
            if isinstance(change, Gap):
                self.counts["gap"] += 1
            elif isinstance(change, Healed):
                self.counts["healed"] += 1
            elif isinstance(change, Drift):
                self.counts["drift"] += 1
                sizes = f"the book had {number(change.ours)}, the venue {number(change.theirs)}"
                where = f"{change.account} {symbol_of(change.key)}"
                said = f"{where}: {change.cause}: {sizes}; the venue's was adopted"
                self._drifts.append((now_s, f"a drift: {said}"))

    def unlisted(self, unlisted: Unlisted, now_s: float) -> None:
        """Fills that cannot be had: what was earned with them is in no figure here."""
        self.counts["unlisted"] += 1
        window = f"{time_text(unlisted.since_ms)} to {time_text(unlisted.until_ms)}"
        said = f"account {unlisted.account}: fills from {window} cannot be fetched: {unlisted.reason}"
        self._drifts.append((now_s, said))

    def recent(self, now_s: float) -> list[str]:
        """The drifts and losses of the last minutes, the newest first."""
        return [
            f"{now_s - at_s:.0f} s ago {text}"
            for at_s, text in reversed(self._drifts)
            if now_s - at_s <= NAMED_S
        ]
