"""The server loop: accepts connections, serves those that are ready, keeps deadlines, closes what ended.

One selector, no threads, and nothing blocks: `step` handles what is ready and returns, so the server fits
into any loop (an outer selector may wait on `fileno`, and must call `step` at least once a second for the
deadlines). The application knows what a path means; `http` and `websocket` know the protocols.
"""

import logging
import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import h11
from wsproto.utilities import RemoteProtocolError

from hlposmon.serving.callers import Refusal, caller_of, plain
from hlposmon.serving.connection import Connection
from hlposmon.serving.http import HttpSide
from hlposmon.serving.limits import Limits
from hlposmon.serving.messages import App, Handover, Request, Upgrade
from hlposmon.serving.outbox import BufferedBytes
from hlposmon.serving.websocket import WebSocketPeer

log = logging.getLogger(__name__)
SWEEP_S = 0.25  # how often the deadlines of all connections are looked at
ACCEPTS_A_TURN = 64
MAX_TURNED_AWAY = 64  # newcomers beyond the limit that are being told so
ACCEPT_PAUSE_S = 0.5  # after accept() failed, most likely for want of a file descriptor
TURN_S = 0.05  # how long clients may keep one step busy; those not served come first in the next


class Server:
    """HTTP/1.1 and WebSocket over any listening stream sockets, for one application."""

    def __init__(
        self,
        app: App,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        refused: Callable[[Refusal], None] | None = None,
    ) -> None:
        """`clock` counts seconds and never goes back; `refused` is called for every refused call."""
        self.limits = limits or Limits()
        self.clock = clock
        self.cut_off = 0  # WebSocket clients that did not read and were closed with 1013
        self.tally = BufferedBytes()
        self._app = app
        self._refused = refused
        self._selector = selectors.EpollSelector()
        self._listeners: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._turned_away: set[Connection] = set()
        self._peers: dict[Connection, WebSocketPeer] = {}
        self._doomed: list[Connection] = []
        self._held_by: Counter[int | str] = Counter()  # connections of each user, or of each address
        self._waiting: list[Connection] = []  # those with more to do than one turn allowed
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._unheard: set[Connection] = set()
        self._next_sweep = clock() + SWEEP_S
        self._accept_again_at: float | None = None
        self._starved = False  # accept() fails: logged once, until it works again

    @property
    def connections(self) -> int:
        """How many connections are served, WebSockets among them."""
        return len(self._connections)

    @property
    def peers(self) -> int:
        """How many WebSockets are open or being closed."""
        return len(self._peers)

    def listen(self, sock: socket.socket) -> None:
        """Accept connections from a bound and listening socket, which its owner closes."""
        sock.setblocking(False)
        self._listeners.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, sock)

    def unlisten(self, sock: socket.socket) -> None:
        """Accept no more connections from it."""
        self._listeners.remove(sock)
        if self._accept_again_at is None:
            self._selector.unregister(sock)

    def fileno(self) -> int:
        """Readable when `step` has something to do."""
        return self._selector.fileno()

    def step(self, timeout: float = 0.0) -> None:
        """Wait at most `timeout` seconds, handle all that is ready, expire what is due, return."""
        self._bury()
        if self._connections or self._turned_away or self._accept_again_at is not None:
            timeout = min(timeout, max(0.0, self._next_sweep - self.clock()))
        self._hear(self._selector.select(timeout))
        if self.clock() >= self._next_sweep:
            self._sweep()
        self._bury()

    def _hear(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        """Serve the ready connections for up to TURN_S, first those for which the last step had no time."""
        waiting, self._waiting = self._waiting, []
        if self._rung:
            self._rung = False
            os.eventfd_read(self._bell)
        until = time.monotonic() + TURN_S
        unheard, self._unheard = self._unheard, set()
        for key, mask in sorted(ready, key=lambda pair: pair[0].data not in unheard):
            if isinstance(key.data, Connection):
                if time.monotonic() >= until:
                    self._unheard.add(key.data)  # the selector will say so again
                else:
                    self._guard(key.data, partial(key.data.ready, mask))
            elif key.data is not None:
                self._accept(key.data)
        for connection in waiting:
            if time.monotonic() >= until:
                self.again(connection)
            else:
                self._guard(connection, connection.go_on)

    def close(self) -> None:
        """Send 1001 to every WebSocket; close all but the listening sockets, without waiting."""
        for peer in list(self._peers.values()):
            peer.close(1001, "going away")
        for connection in [*self._connections, *self._turned_away]:
            connection.drop()
        self._bury()
        for sock in list(self._listeners):
            self.unlisten(sock)
        self._selector.close()
        os.close(self._bell)

    def watch(self, connection: Connection) -> None:
        """For connections: from now on wait for the events in `connection.interest`."""
        events = connection.interest
        known = connection.sock.fileno() in self._selector.get_map()
        if known and events:
            self._selector.modify(connection.sock, events, connection)
        elif known:
            self._selector.unregister(connection.sock)
        elif events:
            self._selector.register(connection.sock, events, connection)

    def again(self, connection: Connection) -> None:
        """For connections: schedule one more turn after those of the others."""
        self._waiting.append(connection)
        self.ring()

    def ring(self) -> None:
        """Make `fileno` readable, so that `step` is called again at once."""
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def refused(self, connection: Connection, status: int, reason: str) -> None:
        """For connections: report a refused call."""
        if self._refused is not None:
            try:
                self._refused(Refusal(status, plain(reason), connection.caller))
            except Exception:
                log.exception("a refusal could not be told")

    def doom(self, connection: Connection) -> None:
        """For connections: close it at the end of this step, or at the start of the next one."""
        self._doomed.append(connection)

    def _guard(self, connection: Connection, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("a connection failed")
            connection.drop()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(error)
                return
            self._starved = False
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, self, caller_of(sock))
        side = HttpSide(connection, self._app, self._upgrade, self._hand_over)
        connection.side = side
        reason = self._no_room_for(connection.caller.party)
        if reason and len(self._turned_away) >= MAX_TURNED_AWAY:
            self.refused(connection, 503, reason)
            sock.close()
            return
        if reason:
            self._turned_away.add(connection)
        else:
            self._connections.add(connection)
            self._held_by[connection.caller.party] += 1
        self.watch(connection)
        if reason:
            side.turn_away(503, reason)

    def _no_room_for(self, party: int | str) -> str:
        """Why this user may not have one more connection; "" when they may."""
        limits, room = self.limits, self.limits.max_connections - len(self._connections)
        if room <= 0:
            return "too many connections"
        if room <= limits.kept_connections and self._held_by[party] >= limits.few_connections:
            return "too many connections of yours: the last places are kept for others"
        return ""

    def _release(self, connection: Connection) -> None:
        """Free the connection's place, and drop what waits for it."""
        if connection in self._connections:
            self._connections.remove(connection)
            party = connection.caller.party
            self._held_by[party] -= 1
            if not self._held_by[party]:
                del self._held_by[party]
        self._turned_away.discard(connection)
        connection.outbox.clear()

    def _pause_accepting(self, error: OSError) -> None:
        """Accept nothing for ACCEPT_PAUSE_S: most likely no file descriptor is free, and the selector would
        report the same sockets again and again."""
        if not self._starved:
            log.warning("cannot accept (%s): trying again every %s s", error, ACCEPT_PAUSE_S)
        self._starved = True
        if self._accept_again_at is None:
            for sock in self._listeners:
                self._selector.unregister(sock)
        self._accept_again_at = self.clock() + ACCEPT_PAUSE_S

    def _sweep(self) -> None:
        now = self.clock()
        self._next_sweep = now + SWEEP_S
        for connection in [*self._connections, *self._turned_away]:
            connection.expire(now)
        if self._accept_again_at is not None and now >= self._accept_again_at:
            self._accept_again_at = None
            for sock in self._listeners:
                self._selector.register(sock, selectors.EVENT_READ, sock)

    def _upgrade(
        self, connection: Connection, head: h11.Request, request: Request, answer: Upgrade, early: bytes
    ) -> None:
        try:
            peer = WebSocketPeer(connection, head, request, answer.session)
        except (RemoteProtocolError, UnicodeError, h11.ProtocolError) as error:
            side = connection.side
            assert isinstance(side, HttpSide), "only HTTP asks for an upgrade"
            side.turn_away(getattr(getattr(error, "event_hint", None), "status_code", 400), str(error))
            return
        connection.side = peer
        self._peers[connection] = peer
        peer.open(early)

    def _hand_over(self, connection: Connection, answer: Handover) -> None:
        self._release(connection)
        if connection.sock.fileno() in self._selector.get_map():
            self._selector.unregister(connection.sock)
        connection.dropped = True
        connection.side = None
        answer.take(connection.sock)

    def _bury(self) -> None:
        while self._doomed:
            connection = self._doomed.pop()
            if connection.sock.fileno() in self._selector.get_map():
                self._selector.unregister(connection.sock)
            self._release(connection)
            self._peers.pop(connection, None)
            connection.sock.close()
            if connection.side is not None:
                connection.side.lost()
