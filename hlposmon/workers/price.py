"""The price worker: mark prices for every coin from the stream, at most one batch each interval.

When the stream is silent, or by configuration, it polls instead: an account's statement has the marks of the
coins that it holds, and costs a tenth of asking for all marks. Prices conflate: a newer one replaces an older
one, and none is waited for.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from hlposmon.config import Account, PriceSettings
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import FIRST_SCOPE, Marks, Statement, StatementsWanted, Welcome
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.transport.events import Lost, Opened
from hlposmon.venues.port import NotUnderstood, PushedPrices, Refused, Venue
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

# A stream without a price for this long counts as silent, and polling starts. Marks move about every 3 s.
SILENT_S = 7.0
# Polling statements spends at most this weight a minute, evenly spaced: spending it at once would let prices
# go stale. The prices of tokens come on top.
POLL_WEIGHT = 180
# Interval of polls for the prices of tokens, which cost ten times a statement; prices are stale after 15 s.
TOKENS_POLL_S = 8.0
# Tokens are listed at any time; and when the pairs are asked for again if they could not be had.
PAIRS_S, PAIRS_AGAIN_S = 3600.0, 15.0


class PriceWorker:
    """Reports mark prices to the tracker, from the stream or by polling statements (`settings.source`)."""

    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        settings: PriceSettings,
        venue: Venue,
        queue: Path,
    ) -> None:
        self._pulse, self._client = pulse, venue.client()
        self._feed = None if settings.source == "poll" else venue.price_feed()
        self._accounts, self._settings = accounts, settings
        self._link = TrackerLink(queue, pulse, "price", accounts)
        self._waiter = Waiter(pulse, self._link, self._feed)
        self._has_pairs = False
        self._are_tokens_priced = True  # no price of them is known that could grow old
        self._pairs_due_s = self._tokens_due_s = 0.0
        self._known: dict[str, Decimal] = {}
        self._fresh: dict[str, Decimal] = {}
        self._missing: tuple[str, ...] = ()
        self._heard_s = self._streamed_s = 0.0
        self._told_s = 0.0
        self._next_batch_s = self._next_poll_s = 0.0
        # By account, the scopes of which statements are polled.
        self._scopes: dict[str, tuple[str, ...]] = {account.name: () for account in accounts}
        self._polling = settings.source == "poll"
        self._began_s = time.monotonic()
        self._repeats = Repeats()

    def run(self) -> None:
        """Work until the pulse is stopping, then close the feed, the client and the queue."""
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                self._hear_venue()
                self._ask_pairs_if_due()
                self._poll_if_silent()
                self._send_batch()
                self._wait()
        finally:
            if self._feed is not None:
                self._feed.close()
            self._client.close()
            self._link.close()

    def _hear_tracker(self) -> None:
        for ask in self._link.poll():
            if isinstance(ask, Welcome):
                self._fresh = dict(self._known)  # a new tracker knows no price
                self._told_s = 0.0
            elif isinstance(ask, StatementsWanted) and ask.account in self._scopes:
                self._scopes[ask.account] = ask.scopes

    def _hear_venue(self) -> None:
        if self._feed is None:
            return
        for _ in range(64):
            match self._feed.next():
                case PushedPrices():
                    self._heard_s = self._streamed_s = time.monotonic()
                    self._are_tokens_priced = self._has_pairs or self._tokens_due_s == 0.0
                    self._missing = tuple(self._without_prices())
                    self._feed.reset_backoff()
                case Refused(text=text):
                    self._warn("the exchange refused", text=text)
                case NotUnderstood(reason=reason):
                    # Its changes are not sent again; a new subscription begins with all prices.
                    self._warn("message not understood", reason=reason)
                    self._feed.lose(f"a message was not understood: {reason}")
                case Opened():
                    log.info("prices connected", extra=fields(url=self._feed.url))
                    self._link.connected(self._feed.opened)
                case Lost(reason=reason, retry_s=retry_s):
                    self._warn("prices lost", reason=reason, retry_s=f"{retry_s:.1f}")
                case None:
                    return

    def _take(self, prices: dict[str, Decimal]) -> None:
        self._known.update(prices)
        self._fresh.update(prices)

    @property
    def _wants_tokens(self) -> bool:
        """Whether an account holds tokens, or trades on a dex, whose figures may be in one."""
        return any(self._scopes.values())

    def _ask_pairs_if_due(self) -> None:
        """Once prices of tokens are wanted, ask which pairs have them; then the stream returns them."""
        now_s = time.monotonic()
        if self._feed is None or now_s < self._pairs_due_s or not self._wants_tokens:
            return
        try:
            self._feed.use_pairs(self._client.spot_pairs())
            self._has_pairs, self._pairs_due_s = True, now_s + PAIRS_S
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._pairs_due_s = now_s + PAIRS_AGAIN_S
            self._warn("tokens are not priced", reason=error)

    def _poll_tokens(self, now_s: float) -> None:
        """Poll the prices of tokens, if they are wanted and due."""
        if not self._wants_tokens or now_s < self._tokens_due_s:
            return
        self._tokens_due_s = now_s + TOKENS_POLL_S
        try:
            self._take(self._client.token_prices())
            self._are_tokens_priced = True
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._are_tokens_priced = False
            self._warn("tokens not polled", reason=error)

    def _without_prices(self) -> set[str]:
        """The accounts with tokens whose prices are not being refreshed."""
        return set() if self._are_tokens_priced else {name for name, of in self._scopes.items() if SPOT in of}

    def _poll_if_silent(self) -> None:
        now_s = time.monotonic()
        silent = now_s - max(self._streamed_s, self._began_s) > SILENT_S
        wanted = self._settings.source == "poll" or (self._settings.source == "auto" and silent)
        if wanted != self._polling:
            self._polling = wanted
            how = "polling" if wanted else "stream"
            self._repeats.log(log, logging.INFO, "prices", now=now_s, key=how, how=how)
        if not wanted or now_s < self._next_poll_s:
            return
        scopes = sum(1 + len({*others} - {SPOT}) for others in self._scopes.values())
        weight = self._client.costs.statement * scopes
        self._next_poll_s = now_s + max(self._settings.interval_s, 60 * weight / POLL_WEIGHT)
        # An account whose request fails must not cost the others their prices.
        asked = {account.name: self._ask_all(account, now_s) for account in self._accounts}
        statements = [one for found in asked.values() for one in found if one is not None]
        if statements or not asked:
            self._heard_s = time.monotonic()
            self._poll_tokens(now_s)
            unpriced = self._without_prices()
            self._missing = tuple(name for name, found in asked.items() if None in found or name in unpriced)
            self._take_streamed()
            self._take(marks_of(statements))
            if self._feed is not None:
                self._feed.forget()  # its next price is newer than the polled one, even if it is a repetition

    def _ask_all(self, account: Account, now_s: float) -> list[Statement | None]:
        """Statements of the first dex and of the scopes wanted; None for one that cannot be had."""
        scopes = (FIRST_SCOPE, *self._scopes[account.name])
        return [self._ask(account, scope, now_s) for scope in scopes if scope != SPOT]

    def _ask(self, account: Account, scope: str, now_s: float) -> Statement | None:
        try:
            statement = self._client.statement(account, scope=scope, asked_s=now_s, now_ms=0)
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("prices not polled", account=account.name, reason=error)
            return None
        for key, text in statement.unread.items():
            self._warn("a price was not understood", account=account.name, key=key, reason=text)
        return statement

    def _send_batch(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_batch_s or self._heard_s <= self._told_s:
            return
        self._take_streamed()
        # An empty batch still shows that the feed is alive.
        if self._link.put_newest(Marks(self._fresh, self._heard_s, self._missing)):
            self._fresh, self._told_s = {}, self._heard_s
        self._next_batch_s = now_s + self._settings.interval_s

    def _take_streamed(self) -> None:
        if self._feed is None:
            return
        prices, unread = self._feed.changed()
        for text in unread:
            self._warn("a price was not understood", reason=text)
        self._take(prices)

    def _wait(self) -> None:
        """Sleep. Before the next batch is due nothing is sent, so the feed need not be read either."""
        now_s = time.monotonic()
        batch_s = self._next_batch_s - now_s
        if batch_s > 0:
            self._waiter.wait(batch_s, for_feed=False)
            return
        poll_s = self._next_poll_s if self._polling else max(self._streamed_s, self._began_s) + SILENT_S
        self._waiter.wait(poll_s - now_s if self._settings.source != "stream" else LONGEST_NAP_S)

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)


def marks_of(statements: Iterable[Statement]) -> dict[str, Decimal]:
    """The mark prices in these statements, by key; positions without a mark price are left out."""
    return {
        position.key: position.mark_price
        for statement in statements
        for position in statement.positions
        if position.mark_price is not None
    }
