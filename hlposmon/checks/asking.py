"""How a check asks the exchange: each question has its own time limit, and one that fails costs no other.

An answer that cannot be had is a finding of the state `unknown` with the reason, never zero and never empty.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from hlposmon.checks.findings import FAIL, UNKNOWN, Finding
from hlposmon.config import Settings
from hlposmon.errors import HlposmonError, RequestNotKnown, VenueUnavailable
from hlposmon.transport.quota import HEADROOM, PARTIES, WEIGHT_PER_MINUTE, Quota, Share
from hlposmon.venues.port import Client, Venue
from hlposmon.venues.registry import create_venue

T = TypeVar("T")
QUESTION_S = 1.8  # less than the time limit of a check that puts one question
ADDRESS_S = 7.8  # for all questions about one address
_STOPPED = "as we are stopping"  # how a request ends at a deadline (`transport/deadline`)
_SPENT = "request weight of this minute is used up"
_LATER = "run doctor again in a minute, for this account alone: --address NAME=0x..."


class Hurry:
    """The deadline of one question after another; in the place of a Pulse for the venue's waits."""

    def __init__(self, total_s: float = QUESTION_S) -> None:
        """All questions together have `total_s` seconds."""
        self._end_s = time.monotonic() + total_s
        self._until_s = 0.0
        self.restart()

    def restart(self) -> None:
        """Begin the time of the next question."""
        self._until_s = min(self._end_s, time.monotonic() + QUESTION_S)

    @property
    def stopping(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._until_s

    def wait(self, timeout_s: float) -> bool:
        """Sleep `timeout_s` seconds or until the deadline; return whether the deadline was reached."""
        time.sleep(min(timeout_s, max(0.0, self._until_s - time.monotonic())))
        return self.stopping


class Exchange:
    """The exchange as all checks of one run ask it: with one quota, and the list of dexes asked for once."""

    def __init__(self, settings: Settings, *, weight_used: int | None = None) -> None:
        """`weight_used` is what a running monitor has used of this minute's weight, None if none runs. What
        it may need to close gaps is left to it."""
        self.settings = settings
        kept = 0 if weight_used is None else weight_used + HEADROOM
        self.room = max(1, WEIGHT_PER_MINUTE - kept)
        self._quota = Quota(per_minute=self.room, headroom=0)
        self._parties = 0
        self._dexes_lock = Lock()
        self._dexes: list[str] | HlposmonError | None = None

    def share(self) -> Share:
        """A share of the quota for one more thread. Not thread-safe."""
        self._parties += 1
        return self._quota.share((self._parties - 1) % PARTIES)

    def venue(self, deadline: Hurry, share: Share) -> Venue:
        """The venue, asked until `deadline`."""
        urls = {"api_url": self.settings.hyperliquid.api_url, "ws_url": self.settings.hyperliquid.ws_url}
        return create_venue("hyperliquid", urls, share=share, deadline=deadline)

    def dexes(self, client: Client) -> list[str]:
        """The names of all dexes but the first, asked for once. Raises what `Client.dexes` raised then."""
        with self._dexes_lock:
            if self._dexes is None:
                try:
                    self._dexes = client.dexes()
                except HlposmonError as error:
                    self._dexes = error
        if isinstance(self._dexes, HlposmonError):
            raise self._dexes
        return self._dexes


class Asker:
    """Puts the questions about one address; `name` is that of the check."""

    def __init__(self, exchange: Exchange, name: str, share: Share) -> None:
        self._exchange, self.name, self._share = exchange, name, share
        self._hurry = Hurry(ADDRESS_S)
        self._client: Client | None = None
        self._answered = False
        self._silent: list[VenueUnavailable] = []

    @property
    def silence(self) -> VenueUnavailable | None:
        """Why the exchange is not heard at all: it has answered nothing, and two questions got no answer.
        More would only take time."""
        return self._silent[-1] if not self._answered and len(self._silent) >= 2 else None

    def ask(self, about: str, question: Callable[[Client], T]) -> T | Finding:
        """The answer; or the finding that it is not known, with the reason."""
        self._hurry.restart()
        if self._client is None:
            self._client = self._exchange.venue(self._hurry, self._share).client()
        try:
            answer = question(self._client)
        except VenueUnavailable as error:
            self.close()  # a request that hangs keeps its connection from asking anything else
            if _SPENT not in str(error):
                self._silent.append(error)
            return not_known(self.name, about, error)
        except HlposmonError as error:
            self._answered = True
            return not_known(self.name, about, error)
        self._answered = True
        return answer

    def dexes(self) -> list[str] | Finding:
        """The names of all dexes but the first, or the finding that they are not known."""
        return self.ask("other dexes", self._exchange.dexes)

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def not_known(name: str, about: str, error: HlposmonError) -> Finding:
    """The finding that something about an address is not known, because of this error."""
    text = " ".join(str(error).split())
    if isinstance(error, RequestNotKnown):
        reason, remedy = "this server does not know the request", "ask another server: --api-url"
    elif _STOPPED in text:
        reason, remedy = "no answer in time", _LATER
    elif _SPENT in text:
        reason, remedy = "the request weight of this minute is used up", _LATER
    elif isinstance(error, VenueUnavailable):
        reason, remedy = text[:200], _LATER
    else:
        reason, remedy = text[:200], "if it stays, please report it with this line"
    return Finding(name, UNKNOWN, f"{about}: not known: {reason}", remedy, about)


def unheard(name: str, url: str, error: HlposmonError) -> Finding:
    """The finding that nothing is heard of the exchange at `url`."""
    reason = "no answer in time" if _STOPPED in str(error) else " ".join(str(error).split())[:200]
    remedy = "is the network up, is the address right, does a firewall let it out?"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        remedy = (
            "who vouches for it is not known here. Behind a proxy of your own: give doctor what the service's"
            " drop-in has, as REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt (docs/operations.md)"
        )
    return Finding(name, FAIL, f"{url}: {reason}", remedy)
