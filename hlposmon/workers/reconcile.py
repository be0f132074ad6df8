"""The reconcile worker: asks for the venue's own statement of each account and hands it on.

It does so every interval, at start, and early when the tracker sends a `Bell`. If the bell names a time, all
fills since then are fetched and handed on first, so that the statement can be compared with them, and the
tracker is told that they were. Only this worker fetches fills, for new feeds, gaps and doubts alike, so that
one fetch serves all of them. After a doubt it also asks what else changed the account. Once a minute it
fetches the fills since the last look in any case: a round trip that no stream delivered leaves every size
unchanged, and only the list of fills shows it. Only what a bell asks for may use the request weight reserved
for heals. The worker compares nothing.
"""

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import (
    Bell,
    BellReason,
    Fetched,
    Fills,
    NotFetched,
    NoticeCode,
    Unlisted,
    Welcome,
)
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.pacing import Backoff
from hlposmon.supervision.logs import Repeats
from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.system.clock import now_ms
from hlposmon.venues.port import Page, UnreadFill, Venue
from hlposmon.workers.identity import Identities
from hlposmon.workers.notices import Notices
from hlposmon.workers.other_markets import OtherMarkets
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

# Statements of one account are not asked for more often than this, however the bell rings.
SPACING_S = 0.5
HOUR_MS, FUNDING_LAG_MS = 3_600_000, 60_000
FUNDING_AGAIN_S, FUNDING_AGAIN_MAX_S = 5.0, 60.0
# A new tracker is told the last payments again; where one follows another, they are asked for once.
FUNDING_RETOLD_S = 75.0
# How often the fills since the last look are fetched, and how far that reaches back over it.
LOOK_S = 60.0
LOOK_OVERLAP_MS = 5_000
LOOK_PAGES = 2
RETRY_S, RETRY_MAX_S = 1.0, 4.0
# So often a fetch in which a row cannot be read is tried again, before it counts as lost.
UNREAD_TRIES = 5


@dataclass(slots=True)
class _Round:
    """When an account is due, and from when fills are wanted with it."""

    account: Account
    due_s: float
    backoff: Backoff
    fills_from_ms: int | None = None
    fetched_to_ms: int | None = None
    is_fetched: bool = False  # what is wanted was handed on, and only the statement behind it is lacking
    looked_ms: int | None = None
    look_due_s: float = 0.0
    asked_s: float = 0.0
    not_before_s: float = 0.0
    failed_s: float = 0.0
    urgent: bool = False
    doubted: bool = False
    stated_ms: int = 0
    answered: bool = False  # the last time that it was asked for
    funded_hour: int | None = None
    funding_wanted: bool = False  # at once, since a fetch reaches back over the hour
    unread_tries: int = 0
    given_up: dict[UnreadFill, None] = field(default_factory=dict)


class ReconcileWorker:
    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        interval_s: float,
        venue: Venue,
        queue: Path,
        look_s: float = LOOK_S,
        reached_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`reached_s` returns when the venue last accepted a connection of any process (monotonic seconds):
        if that is after a failure, the venue is back."""
        self._pulse, self._interval_s, self._look_s = pulse, interval_s, look_s
        self._client = client = venue.client()
        self._reached_s = reached_s
        self._link = TrackerLink(queue, pulse, "reconcile", accounts)
        self._waiter = Waiter(pulse, self._link)
        self._welcomed = False
        self._rounds = {
            account.name: _Round(account, 0.0, Backoff(RETRY_S, RETRY_MAX_S)) for account in accounts
        }
        self._fund_due_s, self._fund_backoff = 0.0, Backoff(FUNDING_AGAIN_S, FUNDING_AGAIN_MAX_S)
        self._repeats = Repeats()
        self._notices = Notices(self._link, pulse.name)
        self._identities = Identities(accounts, client, self._link, self._notices, self._repeats)
        self._other_markets = OtherMarkets(
            accounts, client, self._link, self._notices, self._repeats, interval_s=interval_s
        )

    def run(self) -> None:
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                for round_ in self._rounds.values():
                    self._pulse.beat()
                    if time.monotonic() >= round_.due_s and not self._pulse.stopping:
                        self._ask(round_)
                asked = False
                if self._welcomed:
                    self._ask_funding_of_one()
                    asked = self._identities.ask_one() or self._other_markets.ask_one()
                if not asked:
                    self._wait()
        finally:
            self._client.close()
            self._link.close()

    def _hear_tracker(self) -> None:
        for ask in self._link.poll():
            if isinstance(ask, Bell):
                self._rung(ask)
            elif isinstance(ask, Welcome):
                self._be_welcomed(ask)
        if self._link.fileno() is None:
            self._welcomed = False

    def _be_welcomed(self, welcome: Welcome) -> None:
        self._welcomed = True
        self._notices.repeat()
        self._identities.welcome(welcome)
        self._other_markets.welcome()
        self._fund_due_s = max(self._fund_due_s, time.monotonic() + FUNDING_RETOLD_S)
        for name, round_ in self._rounds.items():  # a new tracker: it needs a statement now
            round_.due_s = 0.0
            if name in welcome.high_water_ms:
                # The last tracker may not have journalled what it got; the new one asks for what it lacks.
                round_.fills_from_ms = round_.fetched_to_ms = None
                round_.unread_tries = 0
            if round_.funded_hour is not None:
                round_.funded_hour -= 1  # the last payments may not have been journalled

    def _rung(self, bell: Bell) -> None:
        round_ = self._rounds.get(bell.account)
        if round_ is None:
            return
        now_s = time.monotonic()
        # However it rings, what failed is tried again in its own time, or when the venue is back.
        not_before_s = 0.0 if self._reached_s() > round_.failed_s else round_.not_before_s
        round_.due_s = min(round_.due_s, max(now_s, round_.asked_s + SPACING_S, not_before_s))
        if bell.reason is BellReason.MODE:
            self._identities.want_mode(bell.account)
        elif bell.reason in (BellReason.SPOT, BellReason.NOT_WATCHED):
            self._other_markets.rung(bell.account, dexes=bell.reason is BellReason.NOT_WATCHED)
        else:
            round_.urgent = True
        round_.doubted |= bell.reason is BellReason.DOUBT
        wanted = round_.fills_from_ms
        if bell.since_ms is not None:
            round_.is_fetched = False
        if bell.since_ms is not None and (wanted is None or bell.since_ms < wanted):
            round_.fills_from_ms, round_.fetched_to_ms = bell.since_ms, None
        self._repeats.log(
            log, logging.INFO, "asked early", now=now_s, key=("asked early", bell.account, bell.reason),
            account=bell.account, reason=bell.reason.value,
        )  # fmt: skip

    def _ask(self, round_: _Round) -> None:
        account = round_.account
        if not self._welcomed:
            return  # nobody to tell
        since_ms = self._fetch(round_)
        try:
            round_.answered = False
            round_.asked_s = asked_s = time.monotonic()
            statement = self._client.statement(
                account,
                asked_s=asked_s,
                now_ms=now_ms(),
                fills_from_ms=since_ms,
                urgent=round_.urgent,
            )
        except (VenueUnavailable, VenueRefused, WireError) as error:
            # Where statements alone are refused, the same fills are not fetched each time.
            round_.is_fetched |= since_ms is not None and since_ms == round_.fills_from_ms
            self._again(round_)
            self._warn("no statement", account=account.name, reason=error)
            return
        round_.is_fetched = False
        round_.urgent, round_.answered, round_.stated_ms = False, True, statement.time_ms
        self._identities.stated(statement)
        if round_.fills_from_ms is not None and since_ms is None:
            # Fills that are wanted still are asked for again soon; the statement did not wait for them.
            self._again(round_)
        else:
            round_.backoff.reset()
            round_.due_s = time.monotonic() + self._interval_s
        if self._link.put(statement):
            if round_.looked_ms is None:
                round_.look_due_s = time.monotonic() + self._look_s
            if round_.looked_ms is None or (since_ms is not None and since_ms <= round_.looked_ms):
                round_.looked_ms = statement.time_ms
            if since_ms is not None and since_ms == round_.fills_from_ms:
                round_.fills_from_ms = round_.fetched_to_ms = None
        self._other_markets.look_at_spot(account)

    def _again(self, round_: _Round) -> None:
        round_.failed_s = time.monotonic()
        round_.due_s = round_.not_before_s = round_.failed_s + min(round_.backoff.next(), self._interval_s)

    def _fetch(self, round_: _Round) -> int | None:
        """Fetch and hand on the fills that are wanted; since when, or None if not all could be had.

        How far it came is kept, so that a long fetch does not begin anew each time that it is broken off.
        """
        try:
            if round_.is_fetched:
                return None  # it is fetched once more when a statement can be had
            if round_.fills_from_ms is not None:
                return self._fetch_wanted(round_, round_.fills_from_ms)
            if round_.looked_ms is not None and time.monotonic() >= round_.look_due_s:
                round_.look_due_s = time.monotonic() + self._look_s
                return self._look(round_, max(0, round_.looked_ms - LOOK_OVERLAP_MS))
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("fills not fetched", account=round_.account.name, reason=error)
            if round_.fills_from_ms is not None:
                self._link.put(NotFetched(round_.account.name, str(error)))
        return None

    def _fetch_wanted(self, round_: _Round, since_ms: int) -> int | None:
        """All fills from then on, told as fetched; None while some of them cannot be read."""
        name = round_.account.name
        asked_s, unread = self._fetch_all(round_, since_ms)
        if self._link.fileno() is None:
            return None  # the tracker is gone, and was not told all
        if unread and round_.unread_tries < UNREAD_TRIES:
            round_.unread_tries, round_.fetched_to_ms = round_.unread_tries + 1, None
            self._link.put(NotFetched(name, unread[0].text))
            return None
        for one in unread:
            at_ms = one.time_ms
            hole = (since_ms, max(since_ms, round_.stated_ms)) if at_ms is None else (at_ms, at_ms)
            self._link.put(Unlisted(name, *hole, one.text))
            round_.given_up[one] = None
        round_.unread_tries = 0
        self._notices.end(name, NoticeCode.UNREADABLE)  # what was given up is named as lost
        hour = since_ms // HOUR_MS
        if not round_.stated_ms or hour < round_.stated_ms // HOUR_MS:
            round_.funded_hour = hour if round_.funded_hour is None else min(hour, round_.funded_hour)
            round_.funding_wanted = True
        self._link.put(Fetched(name, since_ms, asked_s))
        self._ask_events(round_, since_ms)
        return since_ms

    def _fetch_all(self, round_: _Round, since_ms: int) -> tuple[float, list[UnreadFill]]:
        """When the last page was asked for, and what could not be read."""
        count, asked_s = 0, time.monotonic()
        unread: list[UnreadFill] = []
        for page in self._client.fills_since(round_.account, round_.fetched_to_ms or since_ms):
            unread += self._not_given_up(round_, page)
            self._hand_on(
                round_, page, from_ms=since_ms if page.last and not unread else None, first=not count
            )
            count += len(page.fills)
            if self._link.fileno() is None:
                break
            if page.fills and not unread:  # a page with a row that could not be read is asked for again
                round_.fetched_to_ms = page.fills[-1].time_ms
            asked_s = page.asked_s
        self._repeats.log(
            log, logging.INFO, "fills fetched", now=time.monotonic(), key=("fetched", round_.account.name),
            account=round_.account.name, since_ms=since_ms, fills=count,
        )  # fmt: skip
        return asked_s, unread

    def _not_given_up(self, round_: _Round, page: Page) -> list[UnreadFill]:
        """What could not be read of a page; what was told as lost before is no news."""
        unread = [one for one in page.unread if one not in round_.given_up]
        if unread:
            self._notices.say(round_.account.name, NoticeCode.UNREADABLE, unread[0].text)
        return unread

    def _look(self, round_: _Round, since_ms: int) -> int | None:
        """A few pages: of an account that trades more than that a minute, a look would cost too much."""
        pages = self._client.fills_since(round_.account, since_ms, urgent=False)
        for number, page in enumerate(itertools.islice(pages, LOOK_PAGES)):
            unread = self._not_given_up(round_, page)
            is_end = page.last and not unread
            self._hand_on(round_, page, from_ms=since_ms if is_end else None, first=not number)
            if unread:
                # From now on it is tried again, and the tries are counted.
                round_.fills_from_ms, round_.fetched_to_ms = since_ms, None
                return None
            if page.last:
                return since_ms
        # The rest of this minute is not looked at: the next look begins with what is new by then.
        round_.looked_ms = max(round_.looked_ms or 0, round_.stated_ms)
        self._warn("too many fills for a look each minute", account=round_.account.name)
        return None

    def _ask_events(self, round_: _Round, since_ms: int) -> None:
        """Where a statement was doubted: what may be the cause of a drift."""
        if not round_.doubted:
            return
        try:
            for happened in self._client.events_since(round_.account, since_ms):
                self._link.put(happened)
            self._identities.ask_mode(round_.account)
            round_.doubted = False
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("causes not asked", account=round_.account.name, reason=error)

    def _ask_funding_of_one(self) -> None:
        """Once an hour, a minute after it began: what was paid and what no stream may have brought.

        Of one account at a time, of one that answers, and never with the weight that is kept for heals: no
        statement waits for it.
        """
        now_s = time.monotonic()
        for round_ in self._rounds.values():
            hour, ms = divmod(round_.stated_ms, HOUR_MS)
            if round_.funded_hour is None and round_.stated_ms:
                round_.funded_hour = hour
            is_due = round_.funded_hour not in (None, hour) and (
                ms >= FUNDING_LAG_MS or round_.funding_wanted
            )
            if is_due and round_.answered and now_s >= self._fund_due_s:
                self._ask_funding(round_, hour)
                return

    def _ask_funding(self, round_: _Round, hour: int) -> None:
        assert round_.funded_hour is not None, "it was stated"
        try:
            since_ms = (round_.funded_hour - 1) * HOUR_MS
            paid, unread = self._client.fundings_since(round_.account, since_ms, urgent=False)
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("funding not asked", account=round_.account.name, reason=error)
            self._fund_due_s = time.monotonic() + self._fund_backoff.next()
            return
        self._fund_backoff.reset()
        for text in unread:
            self._warn("not understood", account=round_.account.name, reason=text)
        if all(self._link.put(each) for each in paid):
            round_.funded_hour, round_.funding_wanted = hour, False

    def _hand_on(self, round_: _Round, page: Page, *, from_ms: int | None, first: bool) -> None:
        """Hand a page on; `from_ms` with the last one: all since then were handed on with it."""
        self._pulse.beat()
        name = round_.account.name
        if page.hole is not None:
            self._link.put(Unlisted(name, *page.hole))
        self._link.put_fills(name, "fetch", page.fills, from_ms=from_ms)
        if from_ms is not None and not page.fills and not first:
            self._link.put(Fills(name, "fetch", (), from_ms=from_ms))

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

    def _wait(self) -> None:
        due_s = min((round_.due_s for round_ in self._rounds.values()), default=time.monotonic() + 1)
        # With nobody to tell, what is due waits for somebody.
        self._waiter.wait(due_s - time.monotonic() if self._welcomed else LONGEST_NAP_S)
