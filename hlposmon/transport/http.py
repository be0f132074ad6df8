"""HTTP POST with rate-limit weight, an overall deadline, a size limit, and retries.

The only module that imports requests, and one of the two that retry (the other is `websocket`). Every read
of Hyperliquid is a POST, which no library retries by itself; and requests' read time-out applies to each
receive, so a slowly dripping body would never end.
"""

import time
from collections.abc import Callable

import requests

from hlposmon.errors import RequestNotKnown, VenueRefused, VenueUnavailable
from hlposmon.pacing import Backoff
from hlposmon.transport.deadline import BlockingCalls, Deadline
from hlposmon.transport.loopback import is_loopback
from hlposmon.transport.quota import Share

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 5.0
# The largest answer of the API is a page of 2000 fills: about 0.8 MB.
MAX_BYTES = 16 << 20
_CHUNK = 1 << 16
# A request that is not urgent waits no longer than this for weight: an urgent one may come next.
PATIENT_S = 1.0
# The longest time between two heartbeats of a waiting caller.
_SLICE_S = 0.4
# The 4xx statuses that are worth a retry: Request Timeout, Too Early.
_PASSING = (408, 425)


class _Unheard(VenueUnavailable):
    """The connection failed before an answer; the request counts as not seen by the venue."""


class Requests:
    """POSTs JSON to one URL. Not thread-safe."""

    def __init__(self, url: str, *, budget: Share, deadline: Deadline, attempts: int = 3) -> None:
        self.url = url
        self.budget = budget
        self._deadline = deadline
        self._blocking = BlockingCalls(deadline)
        self._attempts = attempts
        self._session = requests.Session()
        self._session.auth = _no_credentials
        # The environment's proxy does not apply to loopback, as in `transport/websocket`.
        self._session.trust_env = not (url.startswith("http:") and is_loopback(url))
        # Only one request runs at a time; abandoned ones must not pile up as idle connections.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=1))

    def post(
        self,
        body: bytes,
        *,
        weight: int,
        deadline_s: float = 10.0,
        most: int = 0,
        extra: Callable[[bytes], int] | None = None,
        urgent: bool = True,
    ) -> bytes:
        """POST `body`; the body of the answer.

        `weight` and a reserve of `most` are spent before each attempt. `extra` computes from the answer what
        it cost beyond `weight` (rows returned), and the difference to the reserve is settled. A request that
        is not `urgent` leaves the weight reserved for closing gaps untouched.

        Raises VenueUnavailable if there is no answer within `deadline_s` seconds, all attempts and waits for
        weight included (a request that is not urgent waits PATIENT_S for weight at most); VenueRefused if the
        venue understood the request and refused it.
        """
        until = time.monotonic() + deadline_s
        pauses = Backoff(0.2, 2.0)
        for attempt in range(1, self._attempts + 1):
            taken_s = self._await_weight(weight + most, until, urgent=urgent)
            try:
                answer = self._blocking.within(
                    max(0.1, until - time.monotonic()), f"POST {self.url}", lambda: self._once(body, until)
                )
            except VenueUnavailable as error:
                self.budget.give_back(most + (weight if isinstance(error, _Unheard) else 0), taken_s)
                pause_s = pauses.next()
                blocked_s = max(pause_s, self.budget.quota.silent_s(time.monotonic(), urgent=urgent))
                out_of_time = time.monotonic() + blocked_s >= until
                if attempt == self._attempts or out_of_time or self._deadline.stopping:
                    raise  # the reason of this attempt, not that there is no time for another
                self._pause(pause_s)
            except VenueRefused:
                self.budget.give_back(most, taken_s)
                raise
            else:
                self._settle(most, extra(answer) if extra is not None else 0, taken_s)
                return answer
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Close the connections that were kept open."""
        self._session.close()

    def _pause(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while (left_s := until - time.monotonic()) > 0 and not self._deadline.stopping:
            self._deadline.wait(min(left_s, _SLICE_S))

    def _await_weight(self, weight: int, until: float, *, urgent: bool) -> float:
        """Wait until `weight` is spent; the time at which it was (monotonic seconds)."""
        while True:
            wait_s, taken_s = self.budget.take(weight, urgent=urgent)
            if wait_s <= 0:
                return taken_s
            too_long = time.monotonic() + wait_s > until or (not urgent and wait_s > PATIENT_S)
            if too_long or self._deadline.stopping:
                raise VenueUnavailable(f"{self.url}: the request weight of this minute is used up")
            self._pause(min(wait_s, _SLICE_S))

    def _settle(self, reserved: int, cost: int, taken_s: float) -> None:
        if cost < reserved:
            self.budget.give_back(reserved - cost, taken_s)
        elif cost > reserved:
            self.budget.add(cost - reserved)

    def _once(self, body: bytes, until: float) -> bytes:
        try:
            with self._session.post(
                self.url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                stream=True,
                allow_redirects=False,
            ) as response:
                raw = self._read(response, until)
                self._check(response.status_code, raw)
                return raw
        except requests.ConnectionError as error:
            raise _Unheard(f"POST {self.url}: {_plainly(error)}") from error
        except (requests.RequestException, OSError) as error:
            raise VenueUnavailable(f"POST {self.url}: {_plainly(error)}") from error

    def _read(self, response: requests.Response, until: float) -> bytes:
        try:
            return self._read_on(response, until)
        except VenueUnavailable:
            raise
        except Exception as error:  # urllib3's own errors are not requests'
            raise VenueUnavailable(f"POST {self.url}: the answer was cut short: {_plainly(error)}") from error

    def _read_on(self, response: requests.Response, until: float) -> bytes:
        parts, length = [], 0
        while part := response.raw.read1(_CHUNK, decode_content=True):
            parts.append(part)
            length += len(part)
            if length > MAX_BYTES:
                raise VenueUnavailable(f"POST {self.url}: the answer is longer than {MAX_BYTES} bytes")
            if time.monotonic() > until:
                raise VenueUnavailable(f"POST {self.url}: the answer came too slowly")
        expected = response.headers.get("Content-Length")
        if expected is not None and "Content-Encoding" not in response.headers and length < int(expected):
            raise VenueUnavailable(f"POST {self.url}: the answer was cut at {length} of {expected} bytes")
        return b"".join(parts)

    def _check(self, status: int, raw: bytes) -> None:
        if status == requests.codes.ok:
            return
        said = raw[:120].decode("utf-8", "replace")
        if status == requests.codes.too_many_requests:
            self.budget.punish()
            raise VenueUnavailable(f"POST {self.url}: 429, too many requests from this address")
        if status == requests.codes.unprocessable_entity:
            raise RequestNotKnown(f"POST {self.url}: {status}: {said}")
        if 400 <= status < 500 and status not in _PASSING:
            raise VenueRefused(f"POST {self.url}: {status}: {said}")
        raise VenueUnavailable(f"POST {self.url}: {status}: {said}")


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send no credentials, as no request needs any; without this, requests would use a ~/.netrc."""
    return request


def _plainly(error: BaseException) -> str:
    """The innermost reason: `Connection refused` rather than the repr of a pool."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
