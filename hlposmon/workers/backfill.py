"""One account brought up to the stream: what was missed is fetched, or said again, and it is live.

From the tracker's mark on everything is handed on, then what the stream brought meanwhile. Overlap is
free, since the chain drops what it has seen. What failed is tried again; what was lost in the midst of it,
a connection or a message, makes it begin anew. It reads no stream and opens no connection to one.
"""

import logging
import time
from collections import deque
from dataclasses import dataclass, field

from hlposmon.config import Account
from hlposmon.domain.reports import Fill, Funding
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.pacing import Backoff
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.venues.hyperliquid import HyperliquidInfo
from hlposmon.workers.handing import Handing
from hlposmon.workers.recent import Recent

log = logging.getLogger(__name__)

# Fills are fetched from this far before the high-water mark: two coins' fills need not come in the
# order of their times.
OVERLAP_MS = 2_000
# How far back to look when the tracker knows nothing yet: enough to place the first statement.
FIRST_LOOK_MS = 300_000
RETRY_S, RETRY_MAX_S = 1.0, 4.0
HOUR_MS = 3_600_000
# Live fills that wait for their backfill; what is lost beyond these breaks the chain, and is seen.
EARLY_FILLS = 20_000


@dataclass(slots=True)
class Watch:
    """What is known of one account on the present connection."""

    account: Account
    acked: set[str] = field(default_factory=set)  # the streams that the exchange has promised
    live: bool = False
    failed: bool = False
    due_s: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(RETRY_S, RETRY_MAX_S))
    recent: Recent = field(default_factory=Recent)
    unpaid_from_ms: int | None = None  # funding is to be asked for from then on
    early: deque[Fill] = field(default_factory=lambda: deque(maxlen=EARLY_FILLS))


class Backfill:
    """All backfills of one worker. `feed` is the name under which the stream's fills are handed on."""

    def __init__(self, feed: str, info: HyperliquidInfo, handing: Handing, repeats: Repeats) -> None:
        self._feed, self._info, self._handing, self._repeats = feed, info, handing, repeats
        # How far the venue's clock is ahead of our monotonic one; None until it was asked.
        self._ahead_ms: int | None = None

    def connected(self) -> None:
        """There is a new connection: the venue is asked for its time again."""
        self._ahead_ms = None

    def interrupt(self, watch: Watch, reason: str = "", *, after_s: float = 0.0) -> None:
        """It is not live any more, and due again."""
        watch.due_s = time.monotonic() + after_s
        if watch.live or reason:
            self._handing.state(watch.account.name, live=False, reason=reason)
        watch.live = False

    def bring(self, watch: Watch) -> bool:
        """Hand on what was missed; whether the account is live now. The stream is heard meanwhile."""
        name, breaks, handing = watch.account.name, watch.recent.breaks, self._handing
        try:
            start_ms = self._start_ms(name)
            said_again = watch.unpaid_from_ms is None and watch.recent.is_whole_since(start_ms)
            count = (self._say_again if said_again else self._fetch)(watch, start_ms)
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._repeats.log(
                log, logging.WARNING, "backfill failed", now=time.monotonic(), account=name, reason=error
            )
            watch.failed = True
            self.interrupt(watch, f"backfill failed: {error}", after_s=watch.backoff.next())
            return False
        if watch.recent.breaks != breaks:
            return False  # something was lost meanwhile: what came is handed on, and it begins again
        # The answer may come from a server that lags behind the stream's.
        early = [fill for fill in watch.early if fill.time_ms >= start_ms]
        if not handing.is_welcome or not handing.fills(name, self._feed, early, whole=False):
            return False  # the tracker went away meanwhile
        if not said_again:
            watch.recent.is_whole_from(start_ms)
        watch.early.clear()
        handing.begin_at(name, start_ms)
        if not handing.fundings(watch.recent.fundings):
            return False
        watch.live, watch.failed = True, False
        watch.backoff.reset()
        how = "said again" if said_again else "fetched"
        log.info("feed live", extra=fields(account=name, fills=count, how=how, since_ms=start_ms))
        handing.state(name, live=True)
        return True

    def _say_again(self, watch: Watch, start_ms: int) -> int:
        again = watch.recent.fills_since(start_ms)
        self._handing.fills(watch.account.name, "again", again, whole=False)
        return len(again)

    def _fetch(self, watch: Watch, start_ms: int) -> int:
        """All since `start_ms`; how many fills. The stream waits in the socket, or among the early."""
        name, count = watch.account.name, 0
        # However often it fails after the fills, whose mark moves on, the payments are owed from here.
        owed_ms = watch.unpaid_from_ms
        watch.unpaid_from_ms = start_ms if owed_ms is None else min(owed_ms, start_ms)
        for page in self._info.fills_since(watch.account, start_ms):
            self._handing.not_watched(name, page.others)
            count += len(page.fills)
            watch.recent.add(page.fills)
            if page.hole is not None:
                self._handing.hole(name, page.hole)
            if not self._handing.fills(name, "backfill", page.fills, whole=True):
                break
        else:
            self._fetch_fundings(watch, watch.unpaid_from_ms)
        return count

    def _fetch_fundings(self, watch: Watch, since_ms: int) -> None:
        """It is paid on the hour, and the stream's snapshot need not reach back to this one."""
        paid: list[Funding] = []
        if since_ms // HOUR_MS < self._venue_ms() // HOUR_MS:
            paid = self._info.fundings_since(watch.account, since_ms)
            watch.recent.add_fundings(paid)
        if self._handing.fundings(paid):
            watch.unpaid_from_ms = None

    def _venue_ms(self) -> int:
        """The venue's time now. Asked for once on each connection, as our own wall clock may be wrong."""
        if self._ahead_ms is None:
            self._ahead_ms = self._info.now_ms() - int(time.monotonic() * 1000)
        return self._ahead_ms + int(time.monotonic() * 1000)

    def _start_ms(self, name: str) -> int:
        known_ms = self._handing.mark_ms(name)
        if known_ms is None:
            return self._venue_ms() - FIRST_LOOK_MS
        return max(0, known_ms - OVERLAP_MS)
