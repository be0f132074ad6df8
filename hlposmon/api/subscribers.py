"""The stream's subscribers, and the replay buffer: each message once, encoded, the same bytes for all.

Messages that a subscriber has not been sent live only in the shared replay buffer. `flush` sends each
subscriber all that it lacks in one piece, those who have waited longest first, and stops when its time is
over. Who lacks more than the buffer holds is cut off, never waited for. A question is answered when its
subscriber has all messages that are older than the answer. No path, no request in here.
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

# What a client may come back for: the last so many messages, or bytes of them.
REPLAY_MESSAGES = 4096
REPLAY_BYTES = 4 << 20
# How long sending may keep the publisher from its work at once.
FLUSH_S = 0.01
SLICE_BYTES = 16 * 1024  # of what a subscriber lacks, in one piece
SLICES = 256  # kept in one flush for others
INTERNAL_ERROR = 1011
WAITING_QUESTIONS = 256  # of one subscriber

Wanted = tuple[bool, frozenset[str], frozenset[str]]
Slices = dict[tuple[int, Wanted], tuple[int, bytes]]


class Published:
    """One message of the stream as a frame. `event` and `account` are for filters; the compact form is made
    when the first one wants it."""

    __slots__ = ("_compact", "account", "event", "frame", "seq")

    def __init__(self, seq: int, event: str, account: str, frame: bytes) -> None:
        self.seq, self.event, self.account, self.frame = seq, event, account, frame
        self._compact: bytes | None = None

    @property
    def compact(self) -> bytes:
        """The frame with only what changed, made when somebody first wants it."""
        if self._compact is None:
            self._compact = text_frame(dumps(compact_of(loads(payload_of(self.frame)))))
        return self._compact


@dataclass(slots=True, eq=False)
class Listener:
    """What one client asked for, and the number of the last message that it was sent or does not want."""

    peer: Peer
    compact: bool = False
    events: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    sent_seq: int = 0
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


class Subscribers:
    """All listeners. `seq` is the number of the last message; those that are published have no hole."""

    def __init__(self, first_seq: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds and never goes back."""
        self.seq = first_seq
        # Whether there was no time for all: `flush` should be called again, soon.
        self.is_owed = False
        self._clock = clock
        self._listeners: dict[Peer, Listener] = {}
        self._current: dict[Peer, Listener] = {}  # those who were sent all
        self._lagging: dict[Peer, Listener] = {}
        self._replay: deque[Published] = deque()
        self.replay_bytes = 0

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def replay_messages(self) -> int:
        """How many are kept."""
        return len(self._replay)

    def publish(self, message: Published) -> None:
        """Keep it for everyone; `flush` sends it."""
        self.seq = message.seq
        self._replay.append(message)
        self.replay_bytes += len(message.frame)
        while len(self._replay) > REPLAY_MESSAGES or self.replay_bytes > REPLAY_BYTES:
            self.replay_bytes -= len(self._replay.popleft().frame)

    def flush(self, most_s: float | None = None) -> None:
        """Send everyone what it lacks, for FLUSH_S or so long; who is not reached is first next time."""
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
                self._lagging[peer] = self._lagging.pop(peer)  # the others come before it
            if left and self._clock() >= until_s:
                break
        self.is_owed = bool(left) or (was_sent and bool(self._lagging))

    def join(self, listener: Listener, since: int | None) -> bool:
        """One more, who has had all up to `since`; False when that is not kept: it is sent the state then."""
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
        """It is gone."""
        for listeners in (self._listeners, self._current, self._lagging):
            listeners.pop(peer, None)

    def ask(self, peer: Peer, answer: Callable[[Listener], None]) -> None:
        """It wants something: `answer` is called in a flush, when it has all messages that are older. Who
        asks on and on while it does not read is cut off."""
        listener = self._listeners[peer]
        if len(listener.questions) >= WAITING_QUESTIONS:
            self._cut_off(listener)
            return
        listener.questions.append(answer)
        self._current.pop(peer, None)
        self._lagging.setdefault(peer, listener)
        self.is_owed = True

    def drained(self, peer: Peer) -> None:
        """What it was sent is gone: send on what it lacks."""
        if (listener := self._lagging.get(peer)) is not None:
            self._catch_up(listener, {})

    # ------------------------------------------------------------------ within

    def _mark_current(self, listener: Listener) -> None:
        """It was sent all. Those in `_current` have all come as far: one of them tells for all."""
        self._lagging.pop(listener.peer, None)
        if self._current and next(iter(self._current.values())).sent_seq != listener.sent_seq:
            self._lagging |= self._current
            self._current.clear()
        self._current[listener.peer] = listener

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
        """What fails costs this client its connection, and nobody else anything."""
        try:
            answer(listener)
        except Exception:
            log.exception("a question on the stream could not be answered")
            listener.questions.clear()
            listener.peer.close(INTERNAL_ERROR, "internal error")

    def _pass_over(self, listener: Listener) -> None:
        """Who wants few messages is not cut off for the others; looked at when half of those kept are new."""
        if not (listener.events or listener.accounts) or not self._replay:
            return
        begin = listener.sent_seq + 1 - self._replay[0].seq
        if 0 <= begin < len(self._replay) // 2:
            for message in islice(self._replay, begin, None):
                if listener.frame(message):
                    return
                listener.sent_seq = message.seq

    def _slice(self, listener: Listener, slices: Slices) -> tuple[int, bytes]:
        """What comes next for it, many frames in one piece, and up to which message."""
        sent_seq = listener.sent_seq
        name = sent_seq, listener.wanted
        if name not in slices:
            frames, size = [], 0
            for index in range(sent_seq + 1 - self._replay[0].seq, len(self._replay)):
                message = self._replay[index]  # cheap near both ends, which is where it is looked for
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
        if since == self.seq:
            return True
        return bool(self._replay) and self._replay[0].seq <= since + 1 <= self.seq
