"""Reads the audit back at a start: from the last sound checkpoint to the last line.

Nothing older is read. A partial line at the end was left by a crash; the caller marks it. Any other unsound
line was altered: it is reported and not believed. This module only reads; the journal writes.
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
    """A line whose hash does not match its bytes. `end` is the offset of its end in the file, `length` its
    bytes without the newline, `digest` their SHA-256 in hex."""

    path: Path
    end: int
    length: int
    digest: str

    @property
    def line(self) -> int:
        """The line's number in its file, from 1; counted by reading the file up to it. Raises OSError."""
        with self.path.open("rb") as file:
            left, count = self.end - self.length, 1
            while left > 0 and (raw := file.read(min(left, 1 << 20))):
                count += raw.count(b"\n")
                left -= len(raw)
        return count


@dataclass(slots=True)
class ReadBack:
    """What the files hold, as `read_back` found it.

    `found` is the recovered state. `day` (YYYY-MM-DD) is that of the newest file, `headless` means that this
    file has no sound line. `torn` are the unsound lines at the very end, `damaged` those before a sound line.
    `anew`: there are lines but no sound checkpoint, so the book is unknown. `is_whole`: a checkpoint was
    found (its number is `checkpoint_seq`), and no line after it is missing.
    """

    found: Recovered = field(default_factory=Recovered)
    day: str = ""
    torn: list[Unsound] = field(default_factory=list)
    damaged: list[Unsound] = field(default_factory=list)
    anew: bool = False
    headless: bool = False
    is_whole: bool = False
    checkpoint_seq: int = 0


def read_back(folder: Path) -> ReadBack:
    """Read the files in `folder` back to the last sound checkpoint and replay the lines after it.

    Example: the older file has a checkpoint at line 5 and ends with 7; of the newer one, the checkpoint 8 was
    altered, 9 is sound, and 10 is half written. The newer file is read whole, the older one from 5 on; 5, 6,
    7 and 9 are replayed, 8 is `damaged`, 10 is `torn`, and `is_whole` is False since 8 is missing.

    Raises OSError for a file that cannot be read, and NotPermitted for the folder.
    """
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
                # A start that crashed may have marked only some of the torn lines.
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
        # A lost line may have held a payment; the sums of the next line include it already.
        back.found.forget_owed_payments()
    back.damaged = unsound
    back.headless = bool(wanted) and not wanted[0][0].is_numbered
    back.anew = bool(wanted) and not is_found and (back.found.seq > 0 or bool(unsound))
    return back


def opened(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a sound line; None for any other. As `open_line`, without an exception."""
    try:
        return open_line(line)
    except WireError:
        return None


def _newest_first(folder: Path, back: ReadBack) -> Iterator[Part]:
    """Yield the files, newest first; skip compressed files without a sound line. Sets the day of `back`."""
    for part in newest_first(folder):
        if part.is_packed and not part.is_numbered:
            continue
        back.day = back.day or part.day
        yield part


def _match_mark(unsound: list[Unsound], mark: dict[str, Any]) -> bool:
    """Remove the nearest unsound line before the `torn` line `mark` that it describes; False if none fits."""
    for at in range(len(unsound) - 1, -1, -1):
        one = unsound[at]
        if one.length == mark.get("bytes") and mark.get("sha256") in (None, one.digest):
            del unsound[at]
            return True
    return False


def _from_last_checkpoint(part: Part) -> tuple[bytes, int, bool]:
    """Return the file's bytes from its last sound checkpoint on, their offset, and True.

    If it has none: all its bytes, 0, and False. An uncompressed file is read backwards in growing pieces.
    """
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
    """Return the offset of the last sound checkpoint; `is_whole`: the first line of `raw` is not cut off."""
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
