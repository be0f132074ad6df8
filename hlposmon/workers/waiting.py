"""Lets a worker sleep until its queue or feed is readable, a signal arrives, or a timeout has passed."""

import select
from typing import NamedTuple

from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.venues.port import Connection
from hlposmon.workers.tracker_link import TrackerLink

# A queue or a connection that does not exist yet cannot wake the worker, so it looks again after this time.
_ABSENT_S = 0.2


class Woken(NamedTuple):
    """Whether the link to the tracker, or the feed, is worth reading; both are True after a timeout."""

    link: bool
    feed: bool


class Waiter:
    """Polls one worker's queue to the tracker, its feed if there is one, and its signals."""

    def __init__(self, pulse: Pulse, link: TrackerLink, feed: Connection | None = None) -> None:
        self._pulse, self._link, self._feed = pulse, link, feed
        self._poller = select.poll()
        self._polled: set[int] = set()

    def wait(self, most_s: float, *, for_feed: bool = True) -> Woken:
        """Sleep for at most `most_s` seconds, and return what woke the worker.

        The sleep is shorter if the feed has a timer or something has to be connected, and never longer than
        LONGEST_NAP_S, so that beats go on. Without `for_feed`, messages of the feed stay in the kernel's
        buffer.
        """
        self._pulse.rest()
        idle_s, feed = min(most_s, LONGEST_NAP_S), self._feed if for_feed else None
        if self._link.fileno() is None or (feed is not None and not feed.is_open):
            idle_s = min(idle_s, _ABSENT_S)
        elif feed is not None:
            idle_s = min(idle_s, feed.wait_s())
        self._poll_what_is_there(feed)
        ready = {fd for fd, _ in self._poller.poll(max(0.0, idle_s) * 1000)}
        if self._pulse.wake_fd in ready:
            self._pulse.drain_wake()
        link_fd, feed_fd = self._link.fileno(), None if feed is None else feed.fileno()
        is_time = not ready - {self._pulse.wake_fd}
        return Woken(link=is_time or link_fd is None or link_fd in ready, feed=is_time or feed_fd in ready)

    def _poll_what_is_there(self, feed: Connection | None) -> None:
        fds = self._pulse.wake_fd, self._link.fileno(), feed.fileno() if feed is not None else None
        wanted = {fd for fd in fds if fd is not None}
        if wanted != self._polled:
            for fd in self._polled - wanted:
                self._poller.unregister(fd)
            for fd in wanted - self._polled:
                self._poller.register(fd, select.POLLIN)
            self._polled = wanted
