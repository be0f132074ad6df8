"""Reads how far the journal had come from a history's file, for a restart that lost its logs."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hlposmon.errors import WireError
from hlposmon.history.schema import APPLICATION_ID, HISTORY_FILE, VERSION
from hlposmon.text import loads

_BUSY_S = 1.0
_WITH_CHECKPOINT = 4


@dataclass(frozen=True, slots=True)
class LastKnown:
    """What a history knows of its journal.

    `seq` and `hash` are those of its last line. `checkpoint` is the last checkpoint line up to there (None:
    it has none), `mark` the number and hash of the newest mark up to the number asked for. `newest_fill_ms`
    is when the fill with the newest exchange time was received, in Unix milliseconds; None unless its line
    comes after the number asked for.
    """

    seq: int
    hash: str
    checkpoint: dict[str, Any] | None
    mark: tuple[int, str] | None
    newest_fill_ms: int | None


def last_known(state_dir: Path, behind_seq: int) -> LastKnown | None:
    """Read the history in `state_dir`; `behind_seq` is the last line that the journal still has.

    None if there is no history or it cannot be read now; never raises for a damaged one.
    """
    path = state_dir / HISTORY_FILE
    if not path.is_file():
        return None
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        db = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            db.execute("BEGIN")
            return _read(db, behind_seq)
        finally:
            db.close()
    except (sqlite3.Error, WireError, UnicodeDecodeError, ValueError, TypeError):
        return None  # the history's own process finds the same problem and reports it


def _read(db: sqlite3.Connection, behind_seq: int) -> LastKnown | None:
    [application_id] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID or version > VERSION:
        return None
    seq, digest = db.execute("SELECT journal_seq, journal_hash FROM meta").fetchone()
    # The newest by the venue's time, because the table is ordered by it: a start must not scan all fills.
    newest = db.execute("SELECT seq, time_ms + lag_ms FROM fill ORDER BY time_ms DESC LIMIT 1").fetchone()
    newest_ms = newest[1] if newest is not None and newest[0] > behind_seq else None
    checkpoint = mark = None
    if version >= _WITH_CHECKPOINT:
        found = db.execute("SELECT line FROM checkpoint").fetchone()
        checkpoint = None if found is None else loads(found[0])
        sql = "SELECT seq, hash FROM marks WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
        mark = db.execute(sql, (behind_seq,)).fetchone()
    return LastKnown(seq, digest, checkpoint, mark, newest_ms)
