"""How a worker sleeps: until something that it listens to speaks, it is woken, or its time has come."""

import select
from typing import TYPE_CHECKING

from hlposmon.supervision.loop import Pulse
from hlposmon.workers.outlet import Outlet

if TYPE_CHECKING:  # who has no feed goes without the memory of its libraries
    from hlposmon.transport.websocket import Feed

# A queue or a connection that is not there yet cannot wake us: look again as soon as this.
_ABSENT_S = 0.2


def wait(pulse: Pulse, outlet: Outlet, feed: "Feed | None", most_s: float) -> None:
    """Sleep for at most `most_s` seconds, less where the feed or a connection to be made needs it."""
    poller = select.poll()
    for fd in (pulse.wake_fd, outlet.fileno(), feed.fileno() if feed is not None else None):
        if fd is not None:
            poller.register(fd, select.POLLIN)
    idle_s = most_s
    if outlet.fileno() is None or (feed is not None and not feed.is_open):
        idle_s = min(idle_s, _ABSENT_S)
    elif feed is not None:
        idle_s = min(idle_s, feed.wait_s())
    poller.poll(max(0.0, idle_s) * 1000)
    pulse.drain_wake()
