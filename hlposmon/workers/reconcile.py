"""The reconcile worker: requests the venue's own statement of each account and reports it.

It does so every interval, at start, and early when the tracker sends a `Bell`. If the Bell names a time, the
worker first fetches and reports all fills since then, so that the statement can be compared with them, and
then reports `Fetched`. Only this worker fetches fills, for new feeds, gaps and doubts alike, so that one
fetch serves all of them. After a doubt it also asks for other events that changed the account. Once a minute
it fetches the fills since the last look in any case: a round trip that no stream delivered leaves every size
unchanged, and only the list of fills shows it. Only requests caused by a Bell may use the weight reserved for
heals. The worker compares nothing.

A polled account has no stream. After its first statement nothing of it is requested unasked: the tracker
rings for each of its rounds, and a round may not use the weight for heals. In each turn one polled account is
asked at most, so that the others do not wait for a row of them.

Example: a Bell asks for fills since 1000 ms. The worker fetches them page by page and reports each page, the
last with from_ms=1000, then Fetched(from_ms=1000), then a statement with fills_from_ms=1000. If the fetch
fails after a page that ends at 4000 ms, the next attempt continues there (`fetched_to_ms`).
"""

import itertools
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import (
    Bell,
    BellReason,
    Fetched,
    Fills,
    NotFetched,
    NoticeCode,
    StatementsWanted,
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
from hlposmon.workers.margin_tables import MarginTableRequests
from hlposmon.workers.notices import Notices
from hlposmon.workers.other_markets import OtherMarkets
from hlposmon.workers.sub_accounts import SubAccountSearch
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

# Shortest time between two statement requests for one account, however many Bells arrive.
SPACING_S = 0.5
HOUR_MS, FUNDING_LAG_MS = 3_600_000, 60_000
FUNDING_AGAIN_S, FUNDING_AGAIN_MAX_S = 5.0, 60.0
# Delay before funding is requested for a new tracker; trackers that follow one another share one request.
FUNDING_RETOLD_S = 75.0
# Interval of the look (the regular fetch of fills), and how far it reaches back before the previous one.
LOOK_S = 60.0
LOOK_OVERLAP_MS = 5_000
LOOK_PAGES = 2
# A look that failed is repeated after this long: most fail because the request weight is used up.
LOOK_AGAIN_S = 10.0
# Shortest interval between statements of one scope other than the first dex, unless a Bell wants them.
OTHERS_S = 10.0
RETRY_S, RETRY_MAX_S = 1.0, 4.0
# How often a fetch with an unreadable row is repeated before the row counts as lost.
UNREAD_TRIES = 5


@dataclass(slots=True)
class _Round:
    """The schedule of one account: when its statement is due, and since when fills are wanted with it.

    Times ending in `_ms` are the venue's, those ending in `_s` monotonic seconds. `fills_from_ms`: fetch all
    fills since then; None if none are wanted. `fetched_to_ms`: how far that fetch has come. `looked_ms`:
    where the next look begins, less LOOK_OVERLAP_MS; None before the first statement. `not_before_s`: end of
    the backoff. `funded_hour`: the hour (Unix time) up to which funding is reported. `given_up`: rows
    reported as lost.
    """

    account: Account
    due_s: float
    backoff: Backoff
    is_polled: bool = False
    # Those of which statements are wanted besides the first, and when they are due.
    scopes: tuple[str, ...] = ()
    others_due_s: float = 0.0
    fills_from_ms: int | None = None
    fetched_to_ms: int | None = None
    is_fetched: bool = False  # the wanted fills were reported, but the statement after them failed
    looked_ms: int | None = None
    look_due_s: float = 0.0
    asked_s: float = 0.0
    not_before_s: float = 0.0
    failed_s: float = 0.0
    urgent: bool = False
    doubted: bool = False
    stated_ms: int = 0
    answered: bool = False  # whether the last statement request succeeded
    funded_hour: int | None = None
    funding_wanted: bool = False  # request it at once, since a fetch reaches back before this hour
    unread_tries: int = 0
    given_up: dict[UnreadFill, None] = field(default_factory=dict)


class ReconcileWorker:
    """Requests statements, fills, funding, modes, roles and unwatched holdings, and reports them."""

    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        interval_s: float,
        venue: Venue,
        queue: Path,
        polled: Collection[str] = (),
        look_s: float = LOOK_S,
        reached_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`interval_s` and `look_s` are the seconds between statements and between looks; `polled` are the
        names of the accounts that no stream follows.

        `reached_s` returns when the venue last accepted a connection of any process (monotonic seconds): if
        that is after a failure, the venue is back, and a Bell ends the backoff.
        """
        self._pulse, self._interval_s, self._look_s = pulse, interval_s, look_s
        self._client = client = venue.client()
        self._reached_s = reached_s
        self._link = TrackerLink(queue, pulse, "reconcile", accounts)
        self._waiter = Waiter(pulse, self._link)
        self._welcomed = False
        self._rounds = {
            account.name: _Round(account, 0.0, Backoff(RETRY_S, RETRY_MAX_S), account.name in polled)
            for account in accounts
        }
        self._fund_due_s, self._fund_backoff = 0.0, Backoff(FUNDING_AGAIN_S, FUNDING_AGAIN_MAX_S)
        self._repeats = Repeats()
        self._notices = Notices(self._link, pulse.name)
        self._identities = Identities(
            accounts, client, self._link, self._notices, self._repeats, polled=polled
        )
        self._other_markets = OtherMarkets(
            accounts, client, self._link, self._notices, self._repeats, interval_s=interval_s
        )
        self._margin_tables = MarginTableRequests(client, self._link, self._repeats)
        self._sub_accounts = SubAccountSearch(accounts, client, self._link, self._notices, self._repeats)

    def run(self) -> None:
        """Work until the pulse is stopping, then close the client and the queue."""
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                asked = False
                for round_ in self._due():
                    self._pulse.beat()
                    if time.monotonic() >= round_.due_s and not self._pulse.stopping:
                        self._ask(round_)
                        asked |= round_.is_polled  # there may be more that are due
                if self._welcomed:
                    self._ask_funding_of_one()
                    asked |= (
                        self._identities.ask_one()
                        or self._other_markets.ask_one()
                        or self._sub_accounts.ask_one()
                        or self._margin_tables.ask_one()
                    )
                if not asked:
                    self._wait()
        finally:
            self._client.close()
            self._link.close()

    def _due(self) -> list[_Round]:
        """The accounts to ask in this turn: those that are followed, and of the polled ones that are due that
        of a Bell for a heal, else the longest due one."""
        now_s = time.monotonic()
        followed = [one for one in self._rounds.values() if not one.is_polled]
        polled = [one for one in self._rounds.values() if one.is_polled and one.due_s <= now_s]
        if polled and self._welcomed:
            followed.append(min(polled, key=lambda one: (not one.urgent, one.due_s)))
        return followed

    def _hear_tracker(self) -> None:
        for ask in self._link.poll():
            if isinstance(ask, Bell):
                self._rung(ask)
            elif isinstance(ask, Welcome):
                self._be_welcomed(ask)
            elif isinstance(ask, StatementsWanted) and ask.account in self._rounds:
                round_ = self._rounds[ask.account]
                round_.scopes, round_.others_due_s = ask.scopes, 0.0
                dexes = [scope for scope in ask.scopes if scope != SPOT]
                self._other_markets.want_collateral(dexes)
                self._margin_tables.want(dexes)
        if self._link.fileno() is None:
            self._welcomed = False

    def _be_welcomed(self, welcome: Welcome) -> None:
        self._welcomed = True
        self._notices.repeat()
        self._identities.welcome(welcome)
        self._other_markets.welcome()
        self._sub_accounts.welcome()
        self._margin_tables.welcome()
        self._fund_due_s = max(self._fund_due_s, time.monotonic() + FUNDING_RETOLD_S)
        for name, round_ in self._rounds.items():  # a new tracker: it needs a statement now
            round_.due_s = 0.0
            if name in welcome.high_water_ms:
                # The last tracker may not have journalled all it received; the new one asks for the rest.
                round_.fills_from_ms = round_.fetched_to_ms = None
                round_.unread_tries = 0
            if round_.funded_hour is not None:
                round_.funded_hour -= 1  # the last payments may not have been journalled

    def _rung(self, bell: Bell) -> None:
        round_ = self._rounds.get(bell.account)
        if round_ is None:
            return
        now_s = time.monotonic()
        # A Bell does not shorten the backoff after a failure, unless the venue has been reached since.
        not_before_s = 0.0 if self._reached_s() > round_.failed_s else round_.not_before_s
        round_.due_s = min(round_.due_s, max(now_s, round_.asked_s + SPACING_S, not_before_s))
        if bell.reason is BellReason.MODE:
            self._identities.want_mode(bell.account)
        elif bell.reason in (BellReason.SPOT, BellReason.NOT_WATCHED):
            self._other_markets.rung(bell.account, dexes=bell.reason is BellReason.NOT_WATCHED)
        elif bell.reason is not BellReason.ROUND:
            round_.urgent = True
        round_.doubted |= bell.reason in (BellReason.DOUBT, BellReason.CASH)
        if bell.reason is BellReason.CASH and bell.since_ms is not None and round_.funded_hour is not None:
            round_.funded_hour = min(round_.funded_hour, bell.since_ms // HOUR_MS - 1)
            round_.funding_wanted = True
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
            return  # there is no tracker to report to
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
            # If only the statement fails, the retry must not fetch the same fills again.
            round_.is_fetched |= since_ms is not None and since_ms == round_.fills_from_ms
            self._again(round_)
            self._warn("no statement", account=account.name, reason=error)
            if isinstance(error, WireError):
                self._ask_other_scopes(round_, since_ms)
                if round_.stated_ms:
                    self._other_markets.look_at_spot(account, round_.stated_ms)
            return
        round_.is_fetched = False
        round_.answered, round_.stated_ms = True, statement.time_ms
        self._identities.stated(statement)
        if round_.fills_from_ms is not None and since_ms is None:
            # The fetch failed but the statement did not: retry the fetch soon.
            self._again(round_)
        else:
            round_.backoff.reset()
            round_.due_s = float("inf") if round_.is_polled else time.monotonic() + self._interval_s
        if self._link.put(statement):
            if round_.looked_ms is None:
                round_.look_due_s = time.monotonic() + self._look_s
            if round_.looked_ms is None or (since_ms is not None and since_ms <= round_.looked_ms):
                round_.looked_ms = statement.time_ms
            if since_ms is not None and since_ms == round_.fills_from_ms:
                round_.fills_from_ms = round_.fetched_to_ms = None
        self._ask_other_scopes(round_, since_ms)
        round_.urgent = False
        self._other_markets.look_at_spot(account, statement.time_ms)

    def _ask_other_scopes(self, round_: _Round, since_ms: int | None) -> None:
        """Request and report statements of the further scopes that the tracker watches: after a fetch or a
        Bell, else every OTHERS_S at most, since pushes state them for nothing.

        One that fails leaves its scope as it was; a doubt about it is rung again.
        """
        if not round_.urgent and since_ms is None and time.monotonic() < round_.others_due_s:
            return
        round_.others_due_s = time.monotonic() + OTHERS_S
        for scope in round_.scopes:
            if scope == SPOT:
                continue  # it is asked for with the holdings of all accounts
            self._pulse.beat()
            asked_s = time.monotonic()
            try:
                statement = self._client.statement(
                    round_.account,
                    scope=scope,
                    asked_s=asked_s,
                    now_ms=now_ms(),
                    fills_from_ms=since_ms,
                    urgent=round_.urgent,
                )
            except (VenueUnavailable, VenueRefused, WireError) as error:
                self._warn("no statement", account=round_.account.name, dex=scope, reason=error)
                if isinstance(error, VenueUnavailable):
                    return  # the others would wait for as long, and so would other accounts
                continue
            self._link.put(statement)

    def _again(self, round_: _Round) -> None:
        round_.failed_s = time.monotonic()
        round_.due_s = round_.not_before_s = round_.failed_s + min(round_.backoff.next(), self._interval_s)

    def _fetch(self, round_: _Round) -> int | None:
        """Fetch and report the fills that are wanted or due by a look. Return since when all fills were
        reported, or None if nothing was fetched or not everything could be fetched or read.

        `fetched_to_ms` keeps the progress, so that a long fetch continues after an interruption.
        """
        try:
            if round_.is_fetched:
                return None  # they are fetched once more after the next statement that succeeds
            if round_.fills_from_ms is not None:
                return self._fetch_wanted(round_, round_.fills_from_ms)
            if round_.is_polled:
                return None
            if round_.looked_ms is not None and time.monotonic() >= round_.look_due_s:
                round_.look_due_s = time.monotonic() + self._look_s
                return self._look(round_, max(0, round_.looked_ms - LOOK_OVERLAP_MS))
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("fills not fetched", account=round_.account.name, reason=error)
            round_.look_due_s = min(round_.look_due_s, time.monotonic() + LOOK_AGAIN_S)
            if round_.fills_from_ms is not None:
                self._link.put(NotFetched(round_.account.name, str(error)))
        return None

    def _fetch_wanted(self, round_: _Round, since_ms: int) -> int | None:
        """Fetch and report all fills since `since_ms`, then report `Fetched`; return `since_ms`.

        Returns None if the tracker is gone, or if a row cannot be read and is to be tried again. After
        UNREAD_TRIES the row is reported as `Unlisted`, over its own time if it has one, else over the whole
        span up to the last statement, and the fetch counts as complete.
        """
        name = round_.account.name
        asked_s, unread = self._fetch_all(round_, since_ms)
        if self._link.fileno() is None:
            return None  # the tracker is gone and did not receive everything
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
        self._notices.end(name, NoticeCode.UNREADABLE)  # the rows given up are reported as lost instead
        hour = since_ms // HOUR_MS
        if not round_.stated_ms or hour < round_.stated_ms // HOUR_MS:
            round_.funded_hour = hour if round_.funded_hour is None else min(hour, round_.funded_hour)
            round_.funding_wanted = True
        self._link.put(Fetched(name, since_ms, asked_s))
        self._ask_events(round_, since_ms)
        return since_ms

    def _fetch_all(self, round_: _Round, since_ms: int) -> tuple[float, list[UnreadFill]]:
        """Fetch and report all pages. Return when the last one was requested (monotonic seconds), and the
        rows that could not be read."""
        count, asked_s = 0, time.monotonic()
        unread: list[UnreadFill] = []
        urgent = round_.urgent or not round_.is_polled
        for page in self._client.fills_since(round_.account, round_.fetched_to_ms or since_ms, urgent=urgent):
            unread += self._not_given_up(round_, page)
            self._hand_on(
                round_, page, from_ms=since_ms if page.last and not unread else None, first=not count
            )
            count += len(page.fills)
            if self._link.fileno() is None:
                break
            if page.fills and not unread:  # a page with an unreadable row is fetched again
                round_.fetched_to_ms = page.fills[-1].time_ms
            asked_s = page.asked_s
        self._repeats.log(
            log, logging.INFO, "fills fetched", now=time.monotonic(), key=("fetched", round_.account.name),
            account=round_.account.name, since_ms=since_ms, fills=count,
        )  # fmt: skip
        return asked_s, unread

    def _not_given_up(self, round_: _Round, page: Page) -> list[UnreadFill]:
        """The unreadable rows of a page, without those already reported as lost; sends a notice for them."""
        unread = [one for one in page.unread if one not in round_.given_up]
        if unread:
            self._notices.say(round_.account.name, NoticeCode.UNREADABLE, unread[0].text)
        return unread

    def _look(self, round_: _Round, since_ms: int) -> int | None:
        """Fetch up to LOOK_PAGES pages since `since_ms`. Return `since_ms` if these were all, else None.

        An account with more fills than that a minute would cost too much weight.
        """
        pages = self._client.fills_since(round_.account, since_ms, urgent=False)
        for number, page in enumerate(itertools.islice(pages, LOOK_PAGES)):
            unread = self._not_given_up(round_, page)
            is_end = page.last and not unread
            self._hand_on(round_, page, from_ms=since_ms if is_end else None, first=not number)
            if unread:
                # Turn it into a wanted fetch, whose tries are counted.
                round_.fills_from_ms, round_.fetched_to_ms = since_ms, None
                return None
            if page.last:
                return since_ms
        # Skip the rest of this span: the next look begins at the last statement.
        round_.looked_ms = max(round_.looked_ms or 0, round_.stated_ms)
        self._warn("too many fills for a look each minute", account=round_.account.name)
        return None

    def _ask_events(self, round_: _Round, since_ms: int) -> None:
        """After a doubt, report the account events and the mode, which may be the cause of a drift."""
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
        """Request the funding payments of one account that is due: once an hour, FUNDING_LAG_MS after it
        began, in case no stream delivered them.

        It asks only an account whose last statement succeeded, and never uses the weight kept for heals, so
        no statement waits for it. Example: with `funded_hour` 10 and a statement from 11:00:30, the lag is
        not over; one from 11:01:05 makes the account due, and payments since 09:00 are requested.
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
        """Report one page. `from_ms` goes with the last page: all fills since then are reported by then."""
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
        # Without a tracker, nothing is requested.
        self._waiter.wait(due_s - time.monotonic() if self._welcomed else LONGEST_NAP_S)
