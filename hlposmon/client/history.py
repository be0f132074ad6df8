"""The history's reader: reads fills from the monitor's SQLite file. Standard library only.

It only reads, and may do so while the monitor writes. Rows are fetched in pages, so that a slow consumer
never holds a read transaction open, which would keep SQLite from resetting its write-ahead log.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from hlposmon.client.fill_row import FillRow, coin_of, columns, fill_of
from hlposmon.errors import HlposmonError, NotPermitted
from hlposmon.history.ledger import LedgerSpan, TransferRow, account_ids, ledger_of, transfers_of
from hlposmon.history.schema import APPLICATION_ID, VERSION

T = TypeVar("T")
_Reader = Callable[[sqlite3.Connection, int | None, int | None, Sequence[int] | None], T]
_PAGE_ROWS = 1000
_BUSY_S = 2.0


class NoHistory(HlposmonError):
    """There is no history at the path, or it is not one that this program can read."""


class History:
    """An open history; for use by one thread. Every method raises NoHistory if the file cannot be read.

    `is_immutable`: the file is opened on the assumption that nobody writes it meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db, self.is_immutable = _connect(path)
        [(version,)] = self._all("PRAGMA user_version")
        self._columns = columns(version)

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the history at `path`: the file `history.sqlite3` in the monitor's state folder.

        Raises NoHistory (no file, not a history, or of a later version) and NotPermitted.
        """
        return cls(Path(path))

    def fills(
        self,
        since_ms: int | None = None,
        until_ms: int | None = None,
        *,
        coin: str | None = None,
        account: str | None = None,
    ) -> Iterator[FillRow]:
        """Yield the fills with `since_ms <= time < until_ms` (Unix milliseconds), ordered by time.

        `coin` is a coin (`BTC`), a symbol (`BTC-USD`) or a whole key, in any case; `account` is a name (exact
        case) or an address (any case). Fills that arrive meanwhile are included. Raises NoHistory if the file
        cannot be read or holds a fill that no monitor writes.
        """
        where = self._filter(coin, account)
        until = 1 << 62 if until_ms is None else until_ms
        at, behind = (-(1 << 62) if since_ms is None else since_ms), -1
        sql = (
            f"SELECT {self._columns} FROM fills WHERE time_ms >= ? AND time_ms < ?"
            f" AND (time_ms > ? OR seq > ?){where} ORDER BY time_ms, seq LIMIT {_PAGE_ROWS}"
        )
        while True:
            rows = self._all(sql, (at, until, at, behind))
            yield from map(self._fill, rows)
            if len(rows) < _PAGE_ROWS:
                return
            behind, at = rows[-1][0], rows[-1][1]

    def ledger(
        self, since_ms: int | None = None, until_ms: int | None = None, *, account: str | None = None
    ) -> list[LedgerSpan]:
        """Return how the equity of each dex came about between the two times (Unix milliseconds), by account
        and dex; empty where nothing is known of that time. `account` is as in `fills`."""
        return self._read(ledger_of, since_ms, until_ms, account)

    def transfers(
        self, since_ms: int | None = None, until_ms: int | None = None, *, account: str | None = None
    ) -> list[TransferRow]:
        """Return the transfers with `since_ms <= time < until_ms`, oldest first; parameters as in `fills`."""
        return self._read(transfers_of, since_ms, until_ms, account)

    def coins(self) -> list[str]:
        """Return the coins that the history has rows of, sorted."""
        return sorted({coin_of(str(key)) for (key,) in self._all("SELECT key FROM instruments")})

    def knows(self, *, coin: str | None = None, account: str | None = None) -> bool:
        """Return whether the history knows the coin and the account, if given; both as in `fills`.

        Says nothing about whether this account traded this coin.
        """
        return not (
            (coin is not None and not self._instruments(coin))
            or (account is not None and not self._accounts(account))
        )

    def accounts(self) -> list[str]:
        """Return the names of the accounts that the history has rows of, sorted."""
        return sorted({str(name) for (name,) in self._all("SELECT name FROM accounts")})

    @property
    def seq(self) -> int:
        """The number of the last line of the audit journal that the history holds."""
        [(seq,)] = self._all("SELECT journal_seq FROM meta")
        if not isinstance(seq, int):
            raise NoHistory(f"{self.path}: it does not say how far it has come")
        return seq

    @property
    def end(self) -> tuple[int, str]:
        """Number and hash of the last line of the audit journal that it holds; number 0 before the first."""
        [(seq, digest)] = self._all("SELECT journal_seq, journal_hash FROM meta")
        return int(seq), str(digest)

    @property
    def mode(self) -> str:
        """The mode of the runs it was written by: live or simulated; empty if nothing was written yet."""
        rows = self._all("SELECT mode FROM meta")
        return str(rows[0][0]) if rows else ""

    def close(self) -> None:
        """Close the file; everything afterwards raises NoHistory."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ within

    def _filter(self, coin: str | None, account: str | None) -> str:
        """Return SQL conditions on row ids for a coin and an account: compared before names are looked up."""
        where = ""
        if coin is not None:
            where += f" AND instrument_id IN ({', '.join(self._instruments(coin))})"
        if account is not None:
            where += f" AND account_id IN ({', '.join(self._accounts(account))})"
        return where

    def _read(self, read: _Reader[T], since_ms: int | None, until_ms: int | None, account: str | None) -> T:
        try:
            ids = None if account is None else account_ids(self._db, account)
            return read(self._db, since_ms, until_ms, ids)
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error
        except (ValueError, TypeError, ArithmeticError, LookupError) as error:
            raise NoHistory(f"{self.path}: a row of the ledger is none: {error}") from error

    def _instruments(self, coin: str) -> list[str]:
        rows = self._all("SELECT id, key, symbol FROM instruments")
        return [str(int(one)) for one, key, symbol in rows if _is(coin, str(key), str(symbol))]

    def _accounts(self, account: str) -> list[str]:
        rows = self._all("SELECT id, name, address FROM accounts")
        wanted = account.lower()
        return [
            str(int(one)) for one, name, address in rows if account == name or wanted == str(address).lower()
        ]

    def _fill(self, row: tuple[Any, ...]) -> FillRow:
        """Convert a row; raise NoHistory that names it if no monitor writes such a row."""
        try:
            return fill_of(row)
        except (ValueError, TypeError, ArithmeticError, LookupError) as error:
            raise NoHistory(f"{self.path}: the fill of seq {row[0]!r:.40} is none: {error}") from error

    def _all(self, sql: str, given: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, given).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _explain(self.path, error) from error


def _is(wanted: str, key: str, symbol: str) -> bool:
    names = (key, symbol, coin_of(key))
    return wanted in names or wanted.casefold() in [name.casefold() for name in names]


def _connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Return a connection that was read from successfully, and whether it was opened as immutable.

    Raises NoHistory or NotPermitted.
    """
    try:
        path.stat()
        readable = os.access(path, os.R_OK)
    except FileNotFoundError as error:
        raise NoHistory(f"{path}: there is no history yet") from error
    except PermissionError as error:
        raise NotPermitted.to_outsiders(f"{path}: the history may not be read") from error
    except OSError as error:
        raise NoHistory(f"{path}: {error.strerror}") from error
    if not readable:
        raise NotPermitted.to_outsiders(f"{path}: the history may not be read")
    address = f"file:{quote(os.fspath(path.absolute()))}?mode=ro"
    try:
        return _looked_at(path, address), False
    except sqlite3.OperationalError as error:
        # No monitor has the file open, and we may not create SQLite's -wal and -shm files beside it.
        log = path.with_name(path.name + "-wal")
        with contextlib.suppress(OSError, sqlite3.Error):
            if not log.exists() or not log.stat().st_size:
                return _looked_at(path, address + "&immutable=1"), True
        raise _explain(path, error) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _explain(path, error) from error


def _looked_at(path: Path, address: str) -> sqlite3.Connection:
    db = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        [application_id] = db.execute("PRAGMA application_id").fetchone()
        [version] = db.execute("PRAGMA user_version").fetchone()
        if not version and not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise NoHistory(f"{path}: there is no history yet")
        if application_id != APPLICATION_ID:
            raise NoHistory(f"{path}: this is not a history")
        if version > VERSION:
            raise NoHistory(f"{path}: its schema is version {version}, this hlposmon reads up to {VERSION}")
        db.execute("SELECT journal_seq FROM meta").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _explain(path: Path, error: Exception) -> HlposmonError:
    return NoHistory(f"{path}: the history cannot be read: {error}")
