"""Unfinished fetches as the journal records them, so that recovery does not take half of one for all of it.

Whatever a part of a fetch changed is in doubt until the fetch ends (`Scope.take`). The lines of these fills
survive a crash, so the doubt must survive it too. Example: the position is flat, and a fetch brings 0 -> 2
and, a page later, 2 -> 0. The journal then has

    fetching  since :30      before the fills of the first page
    fill      0 -> 2
    fill      2 -> 0
    fetched                  behind those of the last

If the tracker dies after the second line, its successor starts with size 2, in doubt since :30. Only a fetch
can end that doubt; a feed that replays what it received cannot. Pure; the engine makes the lines.
"""

from collections.abc import Mapping


class UnfinishedFetches:
    """By account, the keys that are journalled as amid a fetch, each with the time from which it is in
    doubt."""

    def __init__(self) -> None:
        self._journalled: dict[str, dict[str, int]] = {}

    def note_begun(self, account: str, partial: Mapping[str, int]) -> list[tuple[str, int]]:
        """The keys of `partial` that the journal lacks, or has with another time, and their times; they count
        as journalled from here on."""
        known = self._journalled.get(account, {})
        new = [(key, since_ms) for key, since_ms in sorted(partial.items()) if known.get(key) != since_ms]
        if new:
            self._journalled[account] = known | dict(new)
        return new

    def note_ended(self, account: str, partial: Mapping[str, int]) -> list[str]:
        """The keys that are journalled as amid a fetch and no longer in `partial`; they count as ended from
        here on."""
        known = self._journalled.get(account, {})
        gone = sorted(known.keys() - partial.keys())
        if gone:
            kept = {key: since_ms for key, since_ms in known.items() if key in partial}
            if kept:
                self._journalled[account] = kept
            else:
                del self._journalled[account]
        return gone

    def keep(self, accounts: set[str]) -> None:
        """Forget all other accounts."""
        self._journalled = {name: known for name, known in self._journalled.items() if name in accounts}
