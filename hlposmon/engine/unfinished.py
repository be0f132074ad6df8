"""Fetches that have not ended, as the journal knows them: a crash must not take half of one for all of it.

What a part of a fetch has changed is in doubt until the fetch ends (`Scope.take`). The lines of these fills
outlive a crash, and the doubt has to as well. Example: flat, and a fetch brings 0 -> 2 and, a page later,
2 -> 0. The journal then has

    fetching  since :30      before the fills of the first page
    fill      0 -> 2
    fill      2 -> 0
    fetched                  behind those of the last

If the tracker dies behind the second line, the next one begins with 2, unsure since :30: no feed that tells
again what it has heard makes that proven, only a fetch. Pure; the engine makes the lines.
"""

from collections.abc import Mapping


class UnfinishedFetches:
    """By account, of which keys the journal says that a fetch goes on, and since when."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, int]] = {}

    def begun(self, account: str, partial: Mapping[str, int]) -> list[tuple[str, int]]:
        """Of `partial`, the keys in doubt and since when, what the journal does not say yet: it will now."""
        told = self._told.get(account, {})
        new = [(key, since_ms) for key, since_ms in sorted(partial.items()) if told.get(key) != since_ms]
        if new:
            self._told[account] = told | dict(new)
        return new

    def ended(self, account: str, partial: Mapping[str, int]) -> list[str]:
        """The keys that the journal takes for unfinished and that are so no more: it will say that now."""
        told = self._told.get(account, {})
        gone = sorted(told.keys() - partial.keys())
        if gone:
            self._told[account] = {key: since_ms for key, since_ms in told.items() if key in partial}
            if not self._told[account]:
                del self._told[account]
        return gone

    def since_ms(self, account: str, key: str) -> int | None:
        """Since when a fetch of it goes on; None where none does."""
        return self._told.get(account, {}).get(key)

    def keep(self, accounts: set[str]) -> None:
        """Forget all other accounts."""
        self._told = {name: told for name, told in self._told.items() if name in accounts}
