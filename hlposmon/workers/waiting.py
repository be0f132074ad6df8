"""How a worker sleeps: until something that it listens to speaks, it is woken, or its time has come."""

import select

from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.transport.websocket import Feed
from hlposmon.workers.outlet import Outlet

# A queue or a connection that is not there yet cannot wake us: look again as soon as this.
_ABSENT_S = 0.2


class Waiter:
    """One worker's sleep. It polls the queue to the tracker, the feed if there is one, and signals."""

    def __init__(self, pulse: Pulse, outlet: Outlet, feed: Feed | None = None) -> None:
        self._pulse, self._outlet, self._feed = pulse, outlet, feed
        self._poller = select.poll()
        self._polled: set[int] = set()

    def wait(self, most_s: float, *, for_feed: bool = True) -> None:
        """Sleep for at most `most_s` seconds: less where the feed or a connection to be made needs it, and
        never longer than a beat may take. Without `for_feed` what it says waits in the kernel's buffer."""
        idle_s, feed = min(most_s, LONGEST_NAP_S), self._feed if for_feed else None
        if self._outlet.fileno() is None or (feed is not None and not feed.is_open):
            idle_s = min(idle_s, _ABSENT_S)
        elif feed is not None:
            idle_s = min(idle_s, feed.wait_s())
        self._poll_what_is_there(feed)
        ready = self._poller.poll(max(0.0, idle_s) * 1000)
        if any(fd == self._pulse.wake_fd for fd, _ in ready):
            self._pulse.drain_wake()

    def _poll_what_is_there(self, feed: Feed | None) -> None:
        fds = self._pulse.wake_fd, self._outlet.fileno(), feed.fileno() if feed is not None else None
        wanted = {fd for fd in fds if fd is not None}
        if wanted != self._polled:
            for fd in self._polled - wanted:
                self._poller.unregister(fd)
            for fd in wanted - self._polled:
                self._poller.register(fd, select.POLLIN)
            self._polled = wanted
