"""Recovers the book at a start: from the journal, or from the history's last checkpoint if files are lost.

The journal is enough if it is whole. If its folder is empty, lacks the newest files, or holds no sound
checkpoint, the last checkpoint of the history is used. Lines after it are replayed as far as the journal
still has them; the rest is fetched from the exchange, like everything that happened while no monitor ran.

    journal whole up to 900, history at 880       use the journal
    journal whole up to 900, history at 905       lost its end: use the journal, fetch the missing fills again
    journal empty, history at 905, checkpoint 870 start from 870 and continue the chain after 905
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hlposmon.errors import HlposmonError
from hlposmon.history.last_known import last_known
from hlposmon.journal.lines import Recovered, replay
from hlposmon.journal.reader import line_at, lines_after
from hlposmon.journal.tail import day_of
from hlposmon.journal.writer import Journal

# Up to this many missing lines count as a lost end, to be fetched again; more mean that a file is missing.
FORGET_LINES = 5_000


@dataclass(frozen=True, slots=True)
class Beginning:
    """The recovered state, and the last line that the history holds (0: no history that can be read)."""

    found: Recovered
    history_seq: int


def recover(journal: Journal, state_dir: Path, now_ms: int) -> Beginning:
    """Recover from the journal, and from the history in `state_dir` if that knows more.

    The journal may be set to continue after the history's last line. Call once, before anything is appended;
    `now_ms` is Unix milliseconds.
    """
    found = journal.recover(now_ms)
    known = last_known(state_dir, journal.seq)
    if known is None:
        return Beginning(found, 0)
    if known.mark is not None and not _has(journal, *known.mark):
        return Beginning(found, known.seq)  # the history followed another journal
    is_ahead = known.seq > journal.seq
    if journal.is_whole and (not is_ahead or _lost_its_end(journal, known.seq, known.newest_fill_ms)):
        return Beginning(found, known.seq)
    if is_ahead:
        journal.continue_after(known.seq, known.hash)
    checkpoint = known.checkpoint
    if checkpoint is None or checkpoint["seq"] < journal.checkpoint_seq:
        return Beginning(found, known.seq)
    return Beginning(_from_checkpoint(checkpoint, journal.folder, known.seq), known.seq)


def _has(journal: Journal, seq: int, digest: str) -> bool:
    """Return whether line `seq` of the journal has this hash; also True if it is missing or unreadable."""
    try:
        line = line_at(journal.folder, seq)
    except (OSError, HlposmonError):
        return True
    return line is None or line["hash"] == digest


def _lost_its_end(journal: Journal, seq: int, newest_fill_ms: int | None) -> bool:
    """Return whether only the last lines are missing, as after a power cut, rather than a whole file.

    The journal then continues where it ends, the fills are fetched from the exchange again, and the history
    rolls back by itself.
    """
    if seq - journal.seq > FORGET_LINES:
        return False
    return newest_fill_ms is None or day_of(newest_fill_ms) == journal.day


def _from_checkpoint(checkpoint: dict[str, Any], folder: Path, until_seq: int) -> Recovered:
    """Return the state of a checkpoint plus the lines after it that the journal's files still have."""
    found = Recovered()
    replay(checkpoint, found)
    seq, is_whole = checkpoint["seq"], True
    try:
        for line, _, _ in lines_after(folder, seq, lambda _name, _reason: None):
            is_whole &= line["seq"] == seq + 1
            replay(line, found)
            seq = line["seq"]
    except (OSError, HlposmonError):
        is_whole = False
    if not is_whole and seq > checkpoint["seq"]:
        # A lost line may have held a payment; the sums of the next line include it already.
        found.forget_owed_payments()
    found.seq = max(seq, until_seq)
    return found
