"""What waits to be sent to one client, frame by frame, in order.

A frame that is partly sent must be sent to its end, or the stream is garbage; every other frame may
still be dropped. So frames are kept apart and never joined.
"""

import socket
from collections import deque

MAX_PIECES = 64  # buffers given to the kernel in one call


class BufferedBytes:
    """What waits in all outboxes together, in bytes. A frame that is shared counts for each."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class Outbox:
    """A queue of byte strings, the first of which may be partly sent."""

    __slots__ = ("_frames", "_sent", "_size", "_tally")

    def __init__(self, tally: BufferedBytes | None = None) -> None:
        self._tally = tally or BufferedBytes()
        self._frames: deque[bytes] = deque()
        self._sent = 0  # bytes of the first frame that are gone
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, frame: bytes, *, sent: int = 0) -> None:
        """Append a frame; an empty one is ignored. `sent`: how many of its bytes are sent already, which only
        the first frame may have."""
        assert not sent or not self._frames, "only the first frame can be partly sent"
        if frame:
            self._frames.append(frame)
            self._sent = sent or self._sent
            self._grow(len(frame) - sent)

    def cut(self) -> None:
        """Drop every frame of which nothing has been sent."""
        kept = [self._frames[0]] if self._sent else []
        self._frames = deque(kept)
        self._grow((len(kept[0]) - self._sent if kept else 0) - self._size)

    def clear(self) -> None:
        """Drop everything: the connection is gone."""
        self._frames.clear()
        self._sent = 0
        self._grow(-self._size)

    def flush(self, sock: socket.socket) -> int:
        """Send what the kernel takes and return how many bytes; OSError when the connection is gone."""
        total = 0
        while self._frames:
            pieces = [memoryview(self._frames[0])[self._sent :]]
            pieces += [memoryview(self._frames[i]) for i in range(1, min(len(self._frames), MAX_PIECES))]
            try:
                count = sock.sendmsg(pieces)
            except (BlockingIOError, InterruptedError):
                break
            total += count
            self._forget(count)
            if count < sum(map(len, pieces)):
                break
        return total

    def _forget(self, count: int) -> None:
        self._grow(-count)
        count += self._sent
        while self._frames and count >= len(self._frames[0]):
            count -= len(self._frames.popleft())
        self._sent = count

    def _grow(self, count: int) -> None:
        self._size += count
        self._tally.size += count
