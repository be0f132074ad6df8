"""The board: one row of shared memory for each child, readable by every process of the service.

A row is 200 bytes: nine 8-byte words
(taken, beat, pid, state, restarts, started, last exit + 256, flapping, serving), the name in 96 bytes of
UTF-8 and the kind in 32, both padded with zeros. The child writes `beat` and `serving`; the supervisor writes
everything else and clears these two before each start. Times are nanoseconds of CLOCK_MONOTONIC.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hlposmon.supervision.states import State
from hlposmon.system.processes import is_running
from hlposmon.system.shared_memory import WORD_BYTES, SharedWords

TAKEN, BEAT, PID, STATE, RESTARTS, STARTED, EXIT, FLAPPING, SERVING = range(9)
WORDS = 9
ROW_BYTES = 200
NAME_AT, NAME_BYTES = 72, 96
KIND_AT, KIND_BYTES = 168, 32
NS = 1_000_000_000
SILENT_NS = NS  # after this long without a beat, a reader checks whether the process exists
EXIT_BIAS = 256  # exit codes go down to -64 (killed by a signal); the word 0 means "never exited"


@dataclass(frozen=True, slots=True)
class RowView:
    """One child at the time of the call. Ages are seconds; `beat_age_s` is None before the first beat.

    `state` is a State's name in lower case. `last_exit` is the last exit code (negative for a signal), or
    None if no process of this child has ended.
    """

    name: str
    kind: str
    pid: int | None
    state: str
    restarts: int
    beat_age_s: float | None
    uptime_s: float | None
    last_exit: int | None
    flapping: bool


class Board:
    """A fixed number of rows: one for each of `names` and `spare` ones, so that a reload can add children.

    Processes forked after its creation share its memory.
    """

    def __init__(self, names: Sequence[str], spare: int = 16) -> None:
        self._capacity = max(1, len(names) + spare)
        self._shared = SharedWords(self._capacity * ROW_BYTES // WORD_BYTES)
        self._bytes, self._words = self._shared.bytes, self._shared.words
        for name in names:
            self.assign(name)

    def assign(self, name: str, kind: str = "") -> "Row":
        """Give a new child a free row. Raises ValueError, and changes nothing, if it does not fit."""
        self.check_room({name})
        index = min(set(range(self._capacity)) - set(self._names().values()))
        row = Row(self, index)
        row.label(kind)
        self._put(index, NAME_AT, _padded(name, NAME_BYTES))
        row.write(TAKEN, time.monotonic_ns())
        return row

    def check_room(self, names: Iterable[str]) -> None:
        """Raises ValueError unless all of these new children can be given a row.

        The reasons are an empty or duplicate name, a name over 96 bytes, or too few free rows.
        """
        new, taken = list(names), self._names()
        for name in new:
            _padded(name, NAME_BYTES)
            if not name or name in taken:
                raise ValueError(f"a child needs a name of its own, not {name!r}")
        if len(new) > self._capacity - len(taken):
            raise ValueError(
                f"the board has {self._capacity} rows, {len(taken)} taken: no room for {len(new)} more"
            )

    def release(self, name: str) -> None:
        """Free the row of a child that was removed. Raises KeyError if it has none."""
        row = self.row(name)
        for word in range(WORDS):
            row.write(word, 0)

    def row(self, name: str) -> "Row":
        """The row of that child. Raises KeyError if it has none."""
        return Row(self, self._names()[name])

    def rows(self) -> list[RowView]:
        """All children in row order. A silent child whose process is gone is reported as down, even if the
        supervisor, which may hang, has not recorded it."""
        now = time.monotonic_ns()
        views = (self._view(index, now) for index in range(self._capacity))
        return [view for view in views if view is not None]

    def close(self) -> None:
        """Unmap the memory. Rows of this board must not be used afterwards."""
        self._shared.close()

    def _names(self) -> dict[str, int]:
        taken = (i for i in range(self._capacity) if self._words[i * ROW_BYTES // 8 + TAKEN])
        return {self._text(i, NAME_AT, NAME_BYTES): i for i in taken}

    def _view(self, index: int, now: int) -> RowView | None:
        at = index * ROW_BYTES // 8
        words = self._words[at : at + WORDS].tolist()
        name, kind = self._text(index, NAME_AT, NAME_BYTES), self._text(index, KIND_AT, KIND_BYTES)
        if not words[TAKEN] or self._words[at + TAKEN] != words[TAKEN]:
            return None  # free, or reassigned to another child during the read
        pid, state = words[PID] or None, State(words[STATE])
        silent = now - max(words[BEAT], words[STARTED]) > SILENT_NS
        if pid and silent and state in (State.STARTING, State.UP) and not is_running(pid):
            pid, state = None, State.DOWN  # a supervisor that does not hang would have recorded this
        return RowView(
            name=name,
            kind=kind,
            pid=pid,
            state=state.name.lower(),
            restarts=words[RESTARTS],
            beat_age_s=max(0, now - words[BEAT]) / NS if words[BEAT] else None,
            uptime_s=max(0, now - words[STARTED]) / NS if pid else None,
            last_exit=words[EXIT] - EXIT_BIAS if words[EXIT] else None,
            flapping=bool(words[FLAPPING]),
        )

    def _text(self, index: int, at: int, size: int) -> str:
        start = index * ROW_BYTES + at
        return bytes(self._bytes[start : start + size]).rstrip(b"\0").decode(errors="replace")

    def _put(self, index: int, at: int, text: bytes) -> None:
        start = index * ROW_BYTES + at
        self._bytes[start : start + len(text)] = text


class Row:
    """One child's row. The child writes `beat` and `serving`; the supervisor writes everything else."""

    __slots__ = ("_at", "_board", "_index", "_words")

    def __init__(self, board: Board, index: int) -> None:
        self._board = board
        self._index = index
        self._words = board._words
        self._at = index * ROW_BYTES // 8

    def beat(self) -> int:
        """Record a beat and return its time in ns of CLOCK_MONOTONIC."""
        now_ns = time.monotonic_ns()
        self._words[self._at + BEAT] = now_ns
        return now_ns

    @property
    def beat_ns(self) -> int:
        """Time of the last beat in ns of CLOCK_MONOTONIC; 0 if there was none since the start."""
        return self._words[self._at + BEAT]

    @property
    def serving(self) -> bool:
        """Whether the child last reported that it serves (`Pulse.serves`)."""
        return bool(self._words[self._at + SERVING])

    def write(self, word: int, value: int) -> None:
        """Store one word of the row; `word` is an index such as PID or STATE."""
        self._words[self._at + word] = value

    def label(self, kind: str) -> None:
        """Store the kind of the child. Raises ValueError if it is over 32 bytes of UTF-8."""
        self._board._put(self._index, KIND_AT, _padded(kind, KIND_BYTES))

    def starting(self) -> None:
        """Record that a process is about to be started: clear its beat and `serving`, note the start time."""
        self.write(BEAT, 0)
        self.write(SERVING, 0)
        self.write(STARTED, time.monotonic_ns())

    def exited(self, code: int) -> None:
        """Record that the process has ended; a negative code is minus the signal that ended it."""
        self.write(EXIT, code + EXIT_BIAS)
        self.write(PID, 0)


def _padded(text: str, size: int) -> bytes:
    data = text.encode()
    if len(data) > size or b"\0" in data:
        raise ValueError(f"{text!r} does not fit into {size} bytes of a row")
    return data.ljust(size, b"\0")
