"""The stream's subscribers, and the replay buffer, which holds each message once, encoded, for all of them.

Unsent messages live only in the shared replay buffer. `flush` sends each subscriber the messages that it
lacks, joined in pieces, longest-waiting subscriber first, and stops when its time is over. A subscriber that
lacks more than the buffer holds is cut off, never waited for. A question is answered once its subscriber has
all messages older than the answer. This module knows no paths and no requests.

    buffer 101…180, last 180. A was sent 180, B 150, C 90.
    A is current. B gets 151…180 in pieces of SLICE_BYTES. C is cut off: 91…100 are gone.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from hlposmon.api.messages import compact_of
from hlposmon.serving.frames import payload_of, text_frame
from hlposmon.serving.messages import Peer
from hlposmon.text import dumps, loads

log = logging.getLogger(__name__)

# Limits of the replay buffer: how many messages, and how many bytes of frames.
REPLAY_MESSAGES = 4096
REPLAY_BYTES = 4 << 20
# Default time budget of one `flush`, in seconds: the publisher does nothing else meanwhile.
FLUSH_S = 0.01
SLICE_BYTES = 16 * 1024  # a piece sent to a subscriber ends with the message that reaches this size
SLICES = 256  # pieces cached in one flush, for subscribers with the same position and filters
INTERNAL_ERROR = 1011  # close code of RFC 6455, 7.4.1
WAITING_QUESTIONS = 256  # the most unanswered questions of one subscriber

Wanted = tuple[bool, frozenset[str], frozenset[str]]
Slices = dict[tuple[int, Wanted], tuple[int, bytes]]


class Published:
    """One message of the stream as a WebSocket frame; `event` and `account` are for filters."""

    __slots__ = ("_compact", "account", "event", "frame", "seq")

    def __init__(self, seq: int, event: str, account: str, frame: bytes) -> None:
        self.seq, self.event, self.account, self.frame = seq, event, account, frame
        self._compact: bytes | None = None

    @property
    def compact(self) -> bytes:
        """The frame of the compact form, encoded on first use."""
        if self._compact is None:
            self._compact = text_frame(dumps(compact_of(loads(payload_of(self.frame)))))
        return self._compact


@dataclass(slots=True, eq=False)
class Listener:
    """One subscriber: its peer, its filters (empty: everything), and its unanswered `questions`.

    `sent_seq` is the number of the last message that it was sent or that its filters exclude.
    """

    peer: Peer
    compact: bool = False
    events: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    sent_seq: int = 0
    questions: deque[Callable[["Listener"], None]] = field(default_factory=deque)

    @property
    def wanted(self) -> Wanted:
        """The form and the filters; subscribers with equal values are sent the same bytes."""
        return self.compact, self.events, self.accounts

    def frame(self, message: Published) -> bytes:
        """Return the bytes to send for a message; empty if the filters exclude it."""
        if self.events and message.event not in self.events:
            return b""
        if self.accounts and message.account not in self.accounts:
            return b""
        return message.compact if self.compact else message.frame


class Subscribers:
    """All subscribers. `seq` is the number of the last message; numbers are published without holes."""

    def __init__(self, first_seq: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """The first message gets `first_seq` + 1. `clock` returns monotonic seconds."""
        self.seq = first_seq
        # Whether the last flush ran out of time: call it again soon.
        self.is_owed = False
        self._clock = clock
        self._listeners: dict[Peer, Listener] = {}
        self._current: dict[Peer, Listener] = {}  # were sent everything up to the same message
        self._lagging: dict[Peer, Listener] = {}
        self._replay: deque[Published] = deque()
        self.replay_bytes = 0

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def replay_messages(self) -> int:
        """How many messages the replay buffer holds."""
        return len(self._replay)

    def publish(self, message: Published) -> None:
        """Add a message to the replay buffer; `flush` sends it. The oldest messages make room."""
        self.seq = message.seq
        self._replay.append(message)
        self.replay_bytes += len(message.frame)
        while len(self._replay) > REPLAY_MESSAGES or self.replay_bytes > REPLAY_BYTES:
            self.replay_bytes -= len(self._replay.popleft().frame)

    def flush(self, most_s: float | None = None) -> None:
        """Send subscribers what they lack, for at most about `most_s` seconds (default FLUSH_S).

        Those that were not reached come first next time; `is_owed` then asks for another call.
        """
        if self._current and next(iter(self._current.values())).sent_seq != self.seq:
            self._lagging |= self._current
            self._current.clear()
        if not self._lagging:
            self.is_owed = False
            return
        until_s = self._clock() + (FLUSH_S if most_s is None else most_s)
        slices: Slices = {}
        was_sent, left = False, len(self._lagging)
        for peer, listener in list(self._lagging.items()):
            left -= 1
            was_sent |= self._catch_up(listener, slices)
            if peer in self._lagging:
                self._lagging[peer] = self._lagging.pop(peer)  # to the end of the queue
            if left and self._clock() >= until_s:
                break
        self.is_owed = bool(left) or (was_sent and bool(self._lagging))

    def join(self, listener: Listener, since: int | None) -> bool:
        """Add a subscriber that has all messages up to `since`, and send it the ones after.

        False if the buffer does not reach back that far, or `since` is None: the caller then sends the state.
        """
        self._listeners[listener.peer] = listener
        is_kept = since is not None and self._is_kept_since(since)
        listener.sent_seq = since if is_kept and since is not None else self.seq
        if not is_kept:
            self._mark_current(listener)
            return False
        self._lagging[listener.peer] = listener
        self._catch_up(listener, {})
        return True

    def leave(self, peer: Peer) -> None:
        """Remove a subscriber; does nothing if it is not one."""
        for listeners in (self._listeners, self._current, self._lagging):
            listeners.pop(peer, None)

    def ask(self, peer: Peer, answer: Callable[[Listener], None]) -> None:
        """Queue a question: `answer` is called in a flush, once the subscriber has all older messages.

        A subscriber with WAITING_QUESTIONS unanswered questions is cut off: it asks without reading.
        """
        listener = self._listeners[peer]
        if len(listener.questions) >= WAITING_QUESTIONS:
            self._cut_off(listener)
            return
        listener.questions.append(answer)
        self._current.pop(peer, None)
        self._lagging.setdefault(peer, listener)
        self.is_owed = True

    def drained(self, peer: Peer) -> None:
        """Send a subscriber more of what it lacks, now that its send buffer is empty."""
        if (listener := self._lagging.get(peer)) is not None:
            self._catch_up(listener, {})

    # ------------------------------------------------------------------ within

    def _mark_current(self, listener: Listener) -> None:
        """Move a subscriber that has every message to `_current`.

        All in `_current` have the same `sent_seq`, so `flush` need look at only one of them.
        """
        self._lagging.pop(listener.peer, None)
        if self._current and next(iter(self._current.values())).sent_seq != listener.sent_seq:
            self._lagging |= self._current
            self._current.clear()
        self._current[listener.peer] = listener

    def _cut_off(self, listener: Listener) -> None:
        listener.questions.clear()
        listener.peer.cut_off()

    def _catch_up(self, listener: Listener, slices: Slices) -> bool:
        """Send what a subscriber lacks until its send buffer is in use, then answer one question.

        Returns whether anything was sent or answered, so that another call may do more. `slices` caches
        pieces for subscribers at the same position with the same filters. Only one question is answered per
        call, so that one subscriber cannot hold up the others.
        """
        was_sent = False
        while listener.sent_seq != self.seq:
            if listener.peer.buffered:
                self._pass_over(listener)
            if not self._is_kept_since(listener.sent_seq):
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
        if not listener.questions and listener.peer in self._listeners:
            self._mark_current(listener)
        return was_sent

    def _answer(self, listener: Listener, answer: Callable[[Listener], None]) -> None:
        """Call `answer`; if it raises, close this subscriber's connection and leave the others alone."""
        try:
            answer(listener)
        except Exception:
            log.exception("a question on the stream could not be answered")
            listener.questions.clear()
            listener.peer.close(INTERNAL_ERROR, "internal error")

    def _pass_over(self, listener: Listener) -> None:
        """Advance a filtered subscriber over messages that it does not want, so that they do not cut it off.

        Only done when it lacks more than half of the buffer, since it costs a look at each message.
        """
        if not (listener.events or listener.accounts) or not self._replay:
            return
        begin = listener.sent_seq + 1 - self._replay[0].seq
        if 0 <= begin < len(self._replay) // 2:
            for message in islice(self._replay, begin, None):
                if listener.frame(message):
                    return
                listener.sent_seq = message.seq

    def _slice(self, listener: Listener, slices: Slices) -> tuple[int, bytes]:
        """Return the number of the last message in a subscriber's next piece, and the joined frames."""
        sent_seq = listener.sent_seq
        name = sent_seq, listener.wanted
        if name not in slices:
            frames, size = [], 0
            for index in range(sent_seq + 1 - self._replay[0].seq, len(self._replay)):
                message = self._replay[index]  # a deque is fast near its ends, where most subscribers are
                frames.append(listener.frame(message))
                sent_seq, size = message.seq, size + len(frames[-1])
                if size >= SLICE_BYTES:
                    break
            if len(slices) >= SLICES:
                slices.clear()
            slices[name] = sent_seq, b"".join(frames)
        return slices[name]

    def _is_kept_since(self, since: int) -> bool:
        """Return whether every message after `since` is in the buffer (for the last one, none is needed)."""
        if since == self.seq:
            return True
        return bool(self._replay) and self._replay[0].seq <= since + 1 <= self.seq
