"""Who listens to the stream, and what is kept for them: each message once, encoded, the same bytes for all.

What a client has not been sent yet waits in what is kept for all, and nowhere else: behind that it is who
was away, who reads slowly, and, when so many listen that to send to each would keep the publisher from its
work, everybody. They are sent all that they lack at once, in turns. Who is so far behind that it is not
kept any more is cut off, never waited for. What a client asks for is answered when it has all that is
older than the answer. No path, no request and no JSON in here.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from hlposmon.serving.messages import Peer

log = logging.getLogger(__name__)

# What a client may come back for: the last so many messages, or bytes of them.
REPLAY_MESSAGES = 4096
REPLAY_BYTES = 4 << 20
# So long may sending keep a publisher busy between two turns, and a turn be busy with those who are behind.
PUBLISH_S = 0.01
TURN_S = 0.02
SLICE_BYTES = 16 * 1024  # of what a client lacks, at once
SLICES = 256  # kept in one turn for others
INTERNAL_ERROR = 1011
WAITING_QUESTIONS = 256  # of one client

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


@dataclass(slots=True, eq=False)
class Listener:
    """What one client asked for; `sent_seq` is how far it has come while it is behind."""

    peer: Peer
    compact: bool = False
    events: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    sent_seq: int | None = None
    questions: deque[Callable[["Listener"], None]] = field(default_factory=deque)

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

    def __init__(
        self,
        seq: Callable[[], int],
        *,
        ring: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seq` is the number of the last message there was; `ring` is called when there was no time for all
        and `turn` should be, soon. `clock` counts seconds and never goes back."""
        self._seq, self._ring, self._clock = seq, ring, clock
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
        began_s = self._clock()
        until_s = began_s + PUBLISH_S - self._busy_s
        for listener in list(self._abreast.values()):
            is_late = self._clock() >= until_s
            if is_late or listener.peer.buffered:
                self._fall_behind(listener, message.seq - 1)
                if is_late:
                    self._ring()
            elif frame := listener.frame(message):
                listener.peer.send_frame(frame)
        self._busy_s += self._clock() - began_s

    def turn(self, most_s: float = TURN_S) -> None:
        """Send on to those who are behind, for so long at most; who is not reached is first the next time."""
        self._busy_s = 0.0
        until_s = self._clock() + most_s
        slices: Slices = {}
        was_sent = False
        for peer, listener in list(self._behind.items()):
            was_sent |= self._catch_up(listener, slices)
            if peer in self._behind:
                self._behind[peer] = self._behind.pop(peer)  # the others come before it
            if self._clock() >= until_s:
                break
        if was_sent and self._behind:
            self._ring()

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

    def ask(self, peer: Peer, answer: Callable[[Listener], None]) -> None:
        """It wants something: `answer` is called in a turn, when it has all messages that are older. Who
        asks on and on while it does not read is cut off."""
        listener = self._listeners[peer]
        if len(listener.questions) >= WAITING_QUESTIONS:
            self._cut_off(listener)
            return
        listener.questions.append(answer)
        if listener.sent_seq is None:
            self._fall_behind(listener, self._seq())
        self._ring()

    def drained(self, peer: Peer) -> None:
        """What it was sent is gone: send on what it lacks."""
        if (listener := self._behind.get(peer)) is not None:
            self._catch_up(listener, {})

    # ------------------------------------------------------------------ within

    def _fall_behind(self, listener: Listener, sent_seq: int) -> None:
        del self._abreast[listener.peer]
        self._behind[listener.peer] = listener
        listener.sent_seq = sent_seq

    def _cut_off(self, listener: Listener) -> None:
        listener.questions.clear()
        listener.peer.cut_off()

    def _catch_up(self, listener: Listener, slices: Slices) -> bool:
        """Send on what it lacks, until something has to wait; then answer it, and send it what is new.
        Whether anything was done that may go on.

        `slices` has what was put together for others who have come as far and want the same. One question
        is answered at a time: the others have their turn between.
        """
        was_sent = False
        while listener.sent_seq != self._seq():
            if listener.peer.buffered:
                self._pass_over(listener)
            if not self._is_kept_since(listener.sent_seq or 0):
                self._cut_off(listener)
                return False
            if listener.peer.buffered:
                return False
            listener.sent_seq, frames = self._slice(listener, slices)
            was_sent = True
            if frames:
                listener.peer.send_frame(frames)
        if listener.questions and not listener.peer.buffered:
            self._answer(listener, listener.questions.popleft())
            was_sent = True
        if not listener.questions:
            del self._behind[listener.peer]
            self._abreast[listener.peer] = listener
            listener.sent_seq = None
        return was_sent

    def _answer(self, listener: Listener, answer: Callable[[Listener], None]) -> None:
        """What fails costs this client its connection, and nobody else anything."""
        try:
            answer(listener)
        except Exception:
            log.exception("a question on the stream could not be answered")
            listener.questions.clear()
            listener.peer.close(INTERNAL_ERROR, "internal error")

    def _pass_over(self, listener: Listener) -> None:
        """Who wants few messages is not cut off for the others; looked at when half of those kept are new."""
        if not (listener.events or listener.accounts) or listener.sent_seq is None or not self._replay:
            return
        begin = listener.sent_seq + 1 - self._replay[0].seq
        if 0 <= begin < len(self._replay) // 2:
            for message in islice(self._replay, begin, None):
                if listener.frame(message):
                    return
                listener.sent_seq = message.seq

    def _slice(self, listener: Listener, slices: Slices) -> tuple[int, bytes]:
        """What comes next for it, many frames in one piece, and up to which message."""
        sent_seq = listener.sent_seq or 0
        name = sent_seq, listener.wanted
        if name not in slices:
            frames, size = [], 0
            for message in islice(self._replay, sent_seq + 1 - self._replay[0].seq, None):
                frames.append(listener.frame(message))
                sent_seq, size = message.seq, size + len(frames[-1])
                if size >= SLICE_BYTES:
                    break
            if len(slices) >= SLICES:
                slices.clear()
            slices[name] = sent_seq, b"".join(frames)
        return slices[name]

    def _is_kept_since(self, since: int) -> bool:
        """Whether all behind this message is here; nothing is, behind the last one."""
        if since == self._seq():
            return True
        return bool(self._replay) and self._replay[0].seq <= since + 1 <= self._seq()
