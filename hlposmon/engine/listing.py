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
    """Account and key of every listed position, and its verdict."""

    def __init__(self) -> None:
        self._verdicts: dict[Name, Verdict] = {}
        self._doubtful: set[Name] = set()
        self.counts: Counter[Verdict] = Counter()

    def note(self, view: View) -> None:
        """The position is like this now."""
        name, before = (view.account, view.key), self._verdicts.get((view.account, view.key))
        if not is_listed(view):
            if before is not None:
                self.counts[before] -= 1
                del self._verdicts[name]
            self._doubtful.discard(name)
            return
        if before is not view.verdict:
            if before is not None:
                self.counts[before] -= 1
            self._verdicts[name] = view.verdict
            self.counts[view.verdict] += 1
        if view.verdict is Verdict.PROVEN and not view.in_doubt:
            self._doubtful.discard(name)
        else:
            self._doubtful.add(name)

    def begin(self, views: Iterable[View]) -> None:
        """These are all positions that there are."""
        self._verdicts.clear()
        self._doubtful.clear()
        self.counts.clear()
        for view in views:
            self.note(view)

    def doubtful(self, book: Book) -> list[View]:
        """The listed positions that are not proven, as they are now, by account and key."""
        for name in list(self._doubtful):
            self.note(book.view(*name))
        views = (book.view(*name) for name in sorted(self._doubtful))
        return [view for view in views if view.verdict is not Verdict.PROVEN]
