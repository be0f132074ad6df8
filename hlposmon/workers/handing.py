"""What a fill worker hands on, and how far that has come: the tracker's end of it.

The tracker says with its welcome how far it knows each account; from there on it is to be told
everything. The mark moves on with what is handed on whole, and is gone with the tracker: the next one
brings its own. Notices are said to each tracker anew.
"""

import logging
import time
from collections.abc import Iterable, Sequence

from hlposmon.domain.reports import FeedState, Fill, Fills, Funding, Notice, Report, Unlisted, Welcome
from hlposmon.supervision.logs import fields
from hlposmon.workers.outlet import Outlet

log = logging.getLogger(__name__)

# Fills a datagram, so that one message stays small.
PIECE_FILLS = 100


class Handing:
    """One worker's. What is said of fills, funding and states answers False when the tracker is gone."""

    def __init__(self, outlet: Outlet, feed: str, notices: Iterable[Notice]) -> None:
        self._outlet, self._feed = outlet, feed
        self._notices = dict.fromkeys(notices)
        self._marks_ms: dict[str, int | None] | None = None

    @property
    def is_welcome(self) -> bool:
        """Whether a tracker has said how far it knows."""
        return self._marks_ms is not None

    def hear(self) -> set[str]:
        """Hear the tracker; the accounts that it wants to be told of from its mark on."""
        had_queue = self._outlet.fileno() is not None
        welcomed: set[str] = set()
        for ask in self._outlet.poll():
            if isinstance(ask, Welcome):
                # A new tracker names all its accounts, one that has come to watch more names those.
                self._marks_ms = (self._marks_ms or {}) | ask.high_water_ms
                welcomed |= ask.high_water_ms.keys()
                for notice in self._notices:
                    self._outlet.put(notice)
        if had_queue and self._outlet.fileno() is None:
            self._marks_ms = None
        return welcomed

    def mark_ms(self, name: str) -> int | None:
        """How far all of an account is known; None where nothing is."""
        return (self._marks_ms or {}).get(name)

    def begin_at(self, name: str, start_ms: int) -> None:
        """All behind that time was handed on once: the mark of an account that had none."""
        if self._marks_ms is not None and self._marks_ms.get(name) is None:
            self._marks_ms[name] = start_ms

    def fills(
        self, name: str, source: str, fills: Sequence[Fill], heard_s: float | None = None, *, whole: bool
    ) -> bool:
        """`whole`: nothing is missing before them, so that the mark moves on."""
        for at in range(0, len(fills), PIECE_FILLS):
            piece = tuple(fills[at : at + PIECE_FILLS])
            if not self._put(Fills(name, source, piece, heard_s)):
                return False
            known_ms = self.mark_ms(name)
            if self._marks_ms is not None and known_ms is not None and whole:
                self._marks_ms[name] = max(known_ms, piece[-1].time_ms)
        return self.is_welcome

    def fundings(self, fundings: Iterable[Funding]) -> bool:
        """Oldest first."""
        return all(self._put(paid) for paid in sorted(fundings, key=lambda paid: paid.time_ms))

    def hole(self, name: str, hole: tuple[int, int, str]) -> bool:
        """What cannot be fetched any more."""
        return self._put(Unlisted(name, *hole))

    def state(self, name: str, *, live: bool, reason: str = "") -> bool:
        """Whether all fills of an account come in."""
        return self._put(FeedState(name, self._feed, live, time.monotonic(), reason))

    def notice(self, name: str, text: str, *, grave: bool = False) -> None:
        """Say it to this tracker, and to each one after it."""
        notice = Notice(name, text, grave)
        if notice not in self._notices:
            self._notices[notice] = None
            log.warning("notice", extra=fields(account=name, text=text))
            self._outlet.put(notice)

    def _put(self, report: Report) -> bool:
        """What the tracker did not get it does not know: there is no mark any more."""
        if self._outlet.put(report):
            return True
        self._marks_ms = None
        return False

    def not_watched(self, name: str, coins: Iterable[str]) -> None:
        """Tell of coins that are traded and are none of ours."""
        for coin in sorted(set(coins)):
            self.notice(name, f"{coin} is traded but not watched: only perpetuals of the first dex are")
