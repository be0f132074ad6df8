"""Requests the margin tiers of the dexes on which one worker's accounts hold something, and reports them.

They are requested at the start and every hour, since the exchange changes them without notice; what is as it
was is not reported again.
"""

import logging
import time
from collections.abc import Iterable

from hlposmon.domain.reports import FIRST_SCOPE, MarginTables
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.pacing import Backoff
from hlposmon.supervision.logs import Repeats
from hlposmon.venues.port import Client
from hlposmon.workers.tracker_link import TrackerLink

log = logging.getLogger(__name__)

TABLES_S = 3600.0
AGAIN_S = 15.0


class MarginTableRequests:
    """The requests of one worker, one dex at a time; after a failure, none until the backoff is over."""

    def __init__(self, client: Client, link: TrackerLink, repeats: Repeats) -> None:
        self._client, self._link, self._repeats = client, link, repeats
        self._due_s: dict[str, float] = {FIRST_SCOPE: 0.0}
        self._known: dict[str, MarginTables] = {}
        self._backoff, self._again_s = Backoff(AGAIN_S, TABLES_S), 0.0

    def welcome(self) -> None:
        """Report the known tables to a new tracker."""
        for tables in self._known.values():
            self._link.put(tables)

    def want(self, dexes: Iterable[str]) -> None:
        """Request the tables of these dexes from now on, too."""
        for dex in dexes:
            self._due_s.setdefault(dex, 0.0)

    def ask_one(self) -> bool:
        """Request the tables of the dex that has been due the longest, and report them; return False if none
        is due. Those of a dex that cannot be had stay as they are, and the other dexes come before it."""
        now_s = time.monotonic()
        dex = min(self._due_s, key=self._due_s.__getitem__)
        if now_s < max(self._again_s, self._due_s[dex]):
            return False
        try:
            found = MarginTables(dex, self._client.margin_tables(dex))
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._due_s[dex], self._again_s = now_s, now_s + self._backoff.next()
            self._repeats.log(
                log, logging.WARNING, "margin tiers not known", now=now_s, key=("margin tiers", dex), dex=dex,
                reason=error,
            )  # fmt: skip
            return True
        self._backoff.reset()
        self._due_s[dex] = now_s + TABLES_S
        if found != self._known.get(dex):
            self._known[dex] = found
            self._link.put(found)
        return True
