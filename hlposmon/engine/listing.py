"""Which positions are listed, by verdict: counted as they change, so that health looks at few.

A position is listed while it is open, and while it is flat and in doubt (`domain.rendering.is_listed`).
"""

from collections import Counter
from collections.abc import Iterable

from hlposmon.domain.book import Book
from hlposmon.domain.rendering import is_listed
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import View

Name = tuple[str, str]


class Listing:
    """Account and key of every listed position, and its verdict; of those that are not proven, or in doubt,
    the position as it was noted last."""

    def __init__(self) -> None:
        self._verdicts: dict[Name, Verdict] = {}
        self._doubtful: dict[Name, View] = {}
        self._in_order: list[View] | None = None  # those not proven, until one is another
        self.counts: Counter[Verdict] = Counter()

    def note(self, view: View) -> None:
        """Note a position as it is now."""
        name, before = (view.account, view.key), self._verdicts.get((view.account, view.key))
        if not is_listed(view):
            if before is not None:
                self.counts[before] -= 1
                del self._verdicts[name]
            self._forget_doubt(name)
            return
        if before is not view.verdict:
            if before is not None:
                self.counts[before] -= 1
            self._verdicts[name] = view.verdict
            self.counts[view.verdict] += 1
        if view.verdict is Verdict.PROVEN and not view.in_doubt:
            self._forget_doubt(name)
        else:
            self._doubtful[name] = view
            self._in_order = None

    def begin(self, views: Iterable[View]) -> None:
        """Start over with these, which are all positions."""
        self._verdicts.clear()
        self._doubtful.clear()
        self._in_order = None
        self.counts.clear()
        for view in views:
            self.note(view)

    def doubtful(self, book: Book) -> list[View]:
        """The listed positions that are not proven, with their verdicts of now, by account and key.

        Every change of a verdict is noted; only that a doubt has ended may change no verdict.
        """
        for name in [name for name, view in self._doubtful.items() if view.in_doubt]:
            self.note(book.view(*name))
        if self._in_order is None:
            views = (self._doubtful[name] for name in sorted(self._doubtful))
            self._in_order = [view for view in views if view.verdict is not Verdict.PROVEN]
        return self._in_order

    def _forget_doubt(self, name: Name) -> None:
        if self._doubtful.pop(name, None) is not None:
            self._in_order = None
