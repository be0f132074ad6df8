"""Reading the audit back at a start: from the last checkpoint that is sound, to the last line.

Nothing before is read. Half a line at the end is what a crash leaves: the caller marks it. Any other
line that is not sound was altered: it is not believed, and named. Only reading; the journal writes.
"""

import gzip
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hlposmon.errors import WireError
from hlposmon.journal.files import UNPACKABLE, Part, newest_first
from hlposmon.journal.lines import CHECKPOINT_MARK, Recovered, open_line, replay

_REACH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Unsound:
    """A line whose hash is not that of its bytes; `end` is where it ends, for its number to be counted."""

    path: Path
    end: int
    length: int
    digest: str

    @property
    def line(self) -> int:
        """Its number in its file, from 1."""
        with self.path.open("rb") as file:
            left, count = self.end - self.length, 1
            while left > 0 and (raw := file.read(min(left, 1 << 20))):
                count += raw.count(b"\n")
                left -= len(raw)
        return count


@dataclass(slots=True)
class ReadBack:
    """`day` is that of the newest file, which is `headless` when no sound line is in it. `torn` ends it;
    `damaged` stands before sound lines. `anew`: there are lines and no sound checkpoint, so the book is
    not known. `is_whole`: a checkpoint was found, whose number is `checkpoint_seq`, and every line behind
    it."""

    found: Recovered = field(default_factory=Recovered)
    day: str = ""
    torn: list[Unsound] = field(default_factory=list)
    damaged: list[Unsound] = field(default_factory=list)
    anew: bool = False
    headless: bool = False
    is_whole: bool = False
    checkpoint_seq: int = 0


def read_back(folder: Path) -> ReadBack:
    """What the files know. Raises OSError when there are some that cannot be read."""
    back = ReadBack()
    wanted: list[tuple[Part, bytes, int]] = []
    is_found = False
    for part in _newest_first(folder, back):
        raw, offset, is_found = _from_last_checkpoint(part)
        wanted.append((part, raw, offset))
        if is_found:
            break
    unsound: list[Unsound] = []
    back.is_whole = is_found
    for part, raw, offset in reversed(wanted):
        unsound += back.torn
        back.torn = []
        at = offset
        for line in io.BytesIO(raw):  # ends at a newline alone: splitlines would end at a return, too
            at += len(line)
            text = line.removesuffix(b"\n")
            body = opened(line)
            if body is None:
                end = at - (len(line) - len(text))
                back.torn.append(Unsound(part.path, end, len(text), hashlib.sha256(text).hexdigest()))
                continue
            if body.get("type") == "torn":
                # A crash may have left some marks of those that a start had to make, and not all.
                _match_mark(back.torn, body) or _match_mark(unsound, body)
            else:
                unsound, back.torn = [*unsound, *back.torn], []
            back.is_whole &= back.found.seq in (0, body["seq"] - 1)
            if is_found:
                replay(body, back.found)
                if body.get("type") == "checkpoint":
                    back.checkpoint_seq = body["seq"]
            back.found.seq, back.found.prev = body["seq"], body["hash"]
    if is_found and not back.is_whole:
        # A payment may have been in a line that is lost, and is in the sums of the next.
        back.found.forget_owed_payments()
    back.damaged = unsound
    back.headless = bool(wanted) and not wanted[0][0].is_numbered
    back.anew = bool(wanted) and not is_found and (back.found.seq > 0 or bool(unsound))
    return back


def opened(line: bytes) -> dict[str, Any] | None:
    """A sound line's object; None for any other."""
    try:
        return open_line(line)
    except WireError:
        return None


def _newest_first(folder: Path, back: ReadBack) -> Iterator[Part]:
    """The files from the newest on. Of the compressed ones only those that hold lines count."""
    for part in newest_first(folder):
        if part.is_packed and not part.is_numbered:
            continue
        back.day = back.day or part.day
        yield part


def _match_mark(unsound: list[Unsound], mark: dict[str, Any]) -> bool:
    """A `torn` line tells of the last half line before it that fits."""
    for at in range(len(unsound) - 1, -1, -1):
        one = unsound[at]
        if one.length == mark.get("bytes") and mark.get("sha256") in (None, one.digest):
            del unsound[at]
            return True
    return False


def _from_last_checkpoint(part: Part) -> tuple[bytes, int, bool]:
    """The file from its last sound checkpoint on, its offset, True; or all of it, 0, False if it has none."""
    if part.is_packed:
        try:
            with gzip.open(part.path, "rb") as packed:
                raw = packed.read()
        except UNPACKABLE:
            return b"", 0, False
        at = _checkpoint_in(raw, is_whole=True)
        return (raw, 0, False) if at is None else (raw[at:], at, True)
    with part.path.open("rb") as file:
        size, reach = os.fstat(file.fileno()).st_size, _REACH_BYTES
        while True:
            offset = max(0, size - reach)
            file.seek(offset)
            raw = file.read(size - offset)
            at = _checkpoint_in(raw, is_whole=offset == 0)
            if at is not None:
                return raw[at:], offset + at, True
            if offset == 0:
                return raw, 0, False
            reach *= 4


def _checkpoint_in(raw: bytes, *, is_whole: bool) -> int | None:
    """Where the last sound checkpoint begins; the first line counts only if it is whole."""
    end = len(raw)
    while (mark := raw.rfind(CHECKPOINT_MARK, 0, end)) >= 0:
        start = raw.rfind(b"\n", 0, mark) + 1
        if start == 0 and not is_whole:
            return None
        stop = raw.find(b"\n", mark)
        if opened(raw[start : stop if stop >= 0 else len(raw)]) is not None:
            return start
        end = start
    return None
