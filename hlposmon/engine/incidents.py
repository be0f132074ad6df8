"""Counts of gaps, healed gaps and drifts since the start, and the recent drifts for health to name.

A drift ends with the first statement after the venue's size was adopted, about a second later, so a check
that runs once a minute would miss it. Health therefore names it for NAMED_S. Pure: the caller passes in
`now_s`.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable

from hlposmon.domain.changes import Change, Drift, Gap, Healed
from hlposmon.domain.rendering import number, symbol_of, time_text
from hlposmon.domain.reports import Unlisted

# How long health still names a drift that is over.
NAMED_S = 300.0
_KEPT = 16
KINDS = ("gap", "healed", "drift", "unlisted")


class Incidents:
    """Counts by account and kind, since this process began. A gap that is told again is the same gap."""

    def __init__(self) -> None:
        self.by_account: dict[str, Counter[str]] = defaultdict(lambda: Counter(dict.fromkeys(KINDS, 0)))
        self._drifts: deque[tuple[float, str, str]] = deque(maxlen=_KEPT)

    @property
    def counts(self) -> dict[str, int]:
        """The counts by kind, over all accounts."""
        return {kind: sum(one[kind] for one in self.by_account.values()) for kind in KINDS}

    def watch(self, accounts: Collection[str]) -> None:
        """Forget all accounts except these: their names may be given to other addresses."""
        for name in self.by_account.keys() - accounts:
            del self.by_account[name]
        self._drifts = deque((one for one in self._drifts if one[1] in accounts), maxlen=_KEPT)

    def note(self, changes: Iterable[Change], now_s: float) -> None:
        """Count the gaps, healed gaps and drifts among these changes, by account; a drift is kept with its
        text and the time `now_s` (monotonic seconds). A gap that is told once more counts once."""
        for change in changes:
            if isinstance(change, Gap) and not change.again:
                self.by_account[change.account]["gap"] += 1
            elif isinstance(change, Healed):
                self.by_account[change.account]["healed"] += 1
            elif isinstance(change, Drift):
                self.by_account[change.account]["drift"] += 1
                sizes = f"the book had {number(change.ours)}, the venue {number(change.theirs)}"
                where = f"{change.account} {symbol_of(change.key)}"
                said = f"{where}: {change.cause}: {sizes}; the venue's was adopted"
                self._drifts.append((now_s, change.account, f"a drift: {said}"))

    def unlisted(self, unlisted: Unlisted, now_s: float) -> None:
        """Note fills that cannot be fetched: what they earned is missing from all figures."""
        self.by_account[unlisted.account]["unlisted"] += 1
        window = f"{time_text(unlisted.since_ms)} to {time_text(unlisted.until_ms)}"
        said = f"account {unlisted.account}: fills from {window} cannot be fetched: {unlisted.reason}"
        self._drifts.append((now_s, unlisted.account, said))

    def recent(self, now_s: float) -> list[tuple[str, str]]:
        """The drifts and losses of the last minutes with their accounts, the newest first."""
        return [
            (account, f"{now_s - at_s:.0f} s ago {text}")
            for at_s, account, text in reversed(self._drifts)
            if now_s - at_s <= NAMED_S
        ]
