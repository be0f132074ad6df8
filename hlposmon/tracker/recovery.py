"""What a tracker's book begins with: what the journal says; where its files are lost, the history's last
checkpoint.

The journal is enough as long as it is whole. Where the folder is empty, or lacks its newest files, or no
sound checkpoint is in it, the history's file is opened for a moment. What came behind its last checkpoint
is replayed as far as the journal still has it; the rest the exchange is asked for, like anything that
happened while nobody ran.
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

# Up to this many missing lines are a lost end, to be fetched again; more mean that a file is missing.
FORGET_LINES = 5_000


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known of the book, and how far the history had come (0: there is none that can be read)."""

    found: Recovered
    history_seq: int


def recover(journal: Journal, state_dir: Path, now_ms: int) -> Beginning:
    """Read the journal back, and the history in `state_dir` where that knows more; the journal goes on behind
    whichever came further. Call once, before anything is appended."""
    found = journal.recover(now_ms)
    known = last_known(state_dir, journal.seq)
    if known is None:
        return Beginning(found, 0)
    if known.mark is not None and not _has(journal, *known.mark):
        return Beginning(found, known.seq)  # it followed another journal
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
    """Whether the journal's line of that number has that hash; one that is missing is no contradiction."""
    try:
        line = line_at(journal.folder, seq)
    except (OSError, HlposmonError):
        return True
    return line is None or line["hash"] == digest


def _lost_its_end(journal: Journal, seq: int, newest_fill_ms: int | None) -> bool:
    """Whether only the last lines are missing, as after a power cut, and not a file: then the journal goes on
    where it ends, the exchange is asked for those fills again, and the history goes back by itself."""
    if seq - journal.seq > FORGET_LINES:
        return False
    return newest_fill_ms is None or day_of(newest_fill_ms) == journal.day


def _from_checkpoint(checkpoint: dict[str, Any], folder: Path, until_seq: int) -> Recovered:
    """The book of a checkpoint, with the lines behind it that the journal's files still have."""
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
        # A payment may have been in a line that is lost, and is in the sums of the next.
        found.forget_owed_payments()
    found.seq = max(seq, until_seq)
    return found
