"""Who listens to the stream, and what is kept for them: each message once, encoded, the same bytes for all.

What a client has not been sent yet waits in what is kept for all, and nowhere else: behind that it is who
was away, who reads slowly, and, when so many listen that to send to each would keep the publisher from its
work, everybody. They are sent all that they lack at once, in turns. Who is so far behind that it is not
kept any more is cut off, never waited for. No path, no request and no JSON in here.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from hlposmon.serving.messages import Peer

# What a client may come back for: the last so many messages, or bytes of them.
REPLAY_MESSAGES = 4096
REPLAY_BYTES = 4 << 20
# So long may sending keep a publisher busy between two turns, and a turn be busy with those who are behind.
PUBLISH_S = 0.01
TURN_S = 0.02
SLICE_BYTES = 16 * 1024  # of what a client lacks, at once

Wanted = tuple[bool, frozenset[str], frozenset[str]]
Slices = dict[tuple[int, Wanted], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Published:
    """One message of the stream as a frame in each form. `event` and `account` are for filters."""

    seq: int
    event: str
    account: str
    frame: bytes
    compact: bytes


@dataclass(slots=True)
class Listener:
    """What one client asked for; `sent_seq` is how far it has come while it is behind."""

    peer: Peer
    compact: bool = False
    events: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    sent_seq: int | None = None
    asked: int = 0  # states that it is to be sent once it has come so far

    @property
    def wanted(self) -> Wanted:
        """The same for those who are sent the same."""
        return self.compact, self.events, self.accounts

    def frame(self, message: Published) -> bytes:
        """What it is sent of a message; empty when it does not want it."""
        if self.events and message.event not in self.events:
            return b""
        if self.accounts and message.account not in self.accounts:
            return b""
        return message.compact if self.compact else message.frame


class Audience:
    """All listeners. `turn` it often; `publish` is called with numbers that have no hole."""

    def __init__(self, seq: Callable[[], int], state: Callable[[Peer], None]) -> None:
        """`seq` is the number of the last message there was; `state` sends the state as it is now."""
        self._seq, self._state = seq, state
        self._listeners: dict[Peer, Listener] = {}
        self._abreast: dict[Peer, Listener] = {}  # those who were sent all
        self._behind: dict[Peer, Listener] = {}
        self._busy_s = 0.0  # with sending, since the last turn
        self._replay: deque[Published] = deque()
        self.replay_bytes = 0

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def replay_messages(self) -> int:
        """How many are kept."""
        return len(self._replay)

    def publish(self, message: Published) -> None:
        """Send it to everyone who wants it, as far as there is time, and keep it for the others."""
        self._replay.append(message)
        self.replay_bytes += len(message.frame) + len(message.compact)
        while len(self._replay) > REPLAY_MESSAGES or self.replay_bytes > REPLAY_BYTES:
            gone = self._replay.popleft()
            self.replay_bytes -= len(gone.frame) + len(gone.compact)
        began_s = time.monotonic()
        until_s = began_s + PUBLISH_S - self._busy_s
        for listener in list(self._abreast.values()):
            if listener.peer.buffered or time.monotonic() >= until_s:
                self._fall_behind(listener, message.seq - 1)
            elif frame := listener.frame(message):
                listener.peer.send_frame(frame)
        self._busy_s += time.monotonic() - began_s

    def turn(self) -> bool:
        """Send on to those who are behind; False when there was no time for all of them."""
        self._busy_s = 0.0
        until_s = time.monotonic() + TURN_S
        slices: Slices = {}
        for listener in list(self._behind.values()):
            self._catch_up(listener, slices)
            if time.monotonic() >= until_s:
                return False
        return True

    def finish(self) -> None:
        """The last turn: whoever reads is sent what it lacks, however long it takes."""
        slices: Slices = {}
        for listener in list(self._behind.values()):
            self._catch_up(listener, slices)

    def join(self, listener: Listener, since: int | None) -> bool:
        """One more, who has had all up to `since`; False when that is not kept: it is sent the state then."""
        self._listeners[listener.peer] = self._abreast[listener.peer] = listener
        if since is None or not self._is_kept_since(since):
            return False
        self._fall_behind(listener, since)
        self._catch_up(listener, {})
        return True

    def leave(self, peer: Peer) -> None:
        """It is gone."""
        for listeners in (self._listeners, self._abreast, self._behind):
            listeners.pop(peer, None)

    def subscribe(self, peer: Peer, events: frozenset[str], accounts: frozenset[str]) -> None:
        """From here on it is sent only these; empty: all."""
        listener = self._listeners[peer]
        listener.events, listener.accounts = events, accounts

    def ask(self, peer: Peer) -> None:
        """It wants the state: behind all messages that are older than it."""
        listener = self._listeners[peer]
        listener.asked += 1
        if listener.sent_seq is None:
            self._fall_behind(listener, self._seq())
        self._catch_up(listener, {})

    def drained(self, peer: Peer) -> None:
        """What it was sent is gone: send on what it lacks."""
        if (listener := self._behind.get(peer)) is not None:
            self._catch_up(listener, {})

    # ------------------------------------------------------------------ within

    def _fall_behind(self, listener: Listener, sent_seq: int) -> None:
        del self._abreast[listener.peer]
        self._behind[listener.peer] = listener
        listener.sent_seq = sent_seq

    def _come_abreast(self, listener: Listener) -> None:
        del self._behind[listener.peer]
        self._abreast[listener.peer] = listener
        listener.sent_seq = None
        asked, listener.asked = listener.asked, 0
        for _ in range(asked):
            self._state(listener.peer)

    def _catch_up(self, listener: Listener, slices: Slices) -> None:
        """Send on what it lacks, until something has to wait; at its end it is sent what is new.

        `slices` has what was put together for others who have come as far and want the same.
        """
        while listener.sent_seq is not None:
            if listener.sent_seq == self._seq():
                self._come_abreast(listener)
                return
            if not self._is_kept_since(listener.sent_seq):
                listener.peer.cut_off()
                return
            if listener.peer.buffered:
                return
            name = listener.sent_seq, listener.wanted
            if name not in slices:
                slices[name] = self._slice(listener)
            listener.sent_seq, frames = slices[name]
            if frames:
                listener.peer.send_frame(frames)

    def _slice(self, listener: Listener) -> tuple[int, bytes]:
        """What comes next for it, many frames in one piece, and up to which message."""
        frames, size, sent_seq = [], 0, listener.sent_seq or 0
        for message in islice(self._replay, sent_seq + 1 - self._replay[0].seq, None):
            frames.append(listener.frame(message))
            sent_seq, size = message.seq, size + len(frames[-1])
            if size >= SLICE_BYTES:
                break
        return sent_seq, b"".join(frames)

    def _is_kept_since(self, since: int) -> bool:
        """Whether all behind this message is here; nothing is, behind the last one."""
        if since == self._seq():
            return True
        return bool(self._replay) and self._replay[0].seq <= since + 1 <= self._seq()
