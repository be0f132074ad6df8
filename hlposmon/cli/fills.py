"""`hlposmon fills`: the fills in the history, as a table, JSON lines or CSV, with the position after each.

It reads the history's file, so no monitor has to run. Rows are written as they are read.
"""

import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import click

from hlposmon.cli.options import given_socket, socket_option
from hlposmon.client.fill_row import FillRow
from hlposmon.client.history import History, NoHistory
from hlposmon.config import Flags, locate
from hlposmon.domain.moments import moment_ms
from hlposmon.errors import HlposmonError
from hlposmon.history.lag import Lag, lag_of
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.journal.files import written_below

_BLOCK_ROWS = 500
# Lag that is not worth a message: the history process imports the journal twice a second.
_BEHIND_S = 3.0
_TITLES = (
    *("TIME", "ACCOUNT", "COIN", "SIDE", "CAUSE"),
    *("QUANTITY", "PRICE", "FEE", "CLOSED PNL", "POSITION", "ENTRY"),
)
_RIGHT = 5  # columns from this one on are numbers, aligned to the right


def parse_time(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Parse a time option into Unix milliseconds: a date, an ISO 8601 time (UTC unless it says otherwise), or
    an age such as 90m. Raises click.BadParameter for anything else."""
    if text is None:
        return None
    try:
        return moment_ms(text, int(time.time() * 1000))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command("fills", short_help="The fills in the history.")
@click.option("--since", callback=parse_time, metavar="TIME", help="Only from this time on.")
@click.option("--until", callback=parse_time, metavar="TIME", help="Only before this time.")
@click.option("--coin", metavar="COIN", help="Only this coin: BTC, or a whole key.")
@click.option("--account", metavar="NAME", help="Only this account: its name or address.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as in the audit journal.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV (RFC 4180) with a header.")
@click.option("--state-dir", metavar="DIR", help="Where the history is kept.")
@click.option("--log-dir", metavar="DIR", help="The monitor's log folder, to see whether rows are missing.")
@click.option("--simulate", is_flag=True, help="The history of simulated runs.")
@socket_option
@click.pass_context
def command(
    ctx: click.Context,
    since: int | None,
    until: int | None,
    coin: str | None,
    account: str | None,
    as_json: bool,
    as_csv: bool,
    state_dir: str | None,
    log_dir: str | None,
    simulate: bool,
    socket: str | None,
) -> int:
    """The fills in the history, the oldest first, with the position after each.

    A TIME is a date (UTC), an RFC 3339 time, or 90m, 2h, 3d for so long ago. The monitor may run
    meanwhile, and need not. Exit status 0 also when there are none; 1 for a coin or an account of
    which the history has never heard. Where the history is behind the audit journal, that is said
    on stderr: fills are missing then.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two forms of the same: choose one.")
    if since is not None and until is not None and since > until:
        raise click.UsageError("--since is later than --until.")
    place = given_socket(ctx, socket)
    flags = Flags(socket=place, state_dir=state_dir, log_dir=log_dir, simulate=simulate)
    paths = locate(flags, os.environ)
    path = paths.state_dir / HISTORY_FILE
    with opened(path) as history:
        unknown = unknown_names(history, coin, account)
        if unknown is not None:
            click.echo(f"hlposmon: {unknown}", err=True)
            return 1
        lag = worst_lag(history, written_below(paths.log_dir))
        rows = history.fills(since, until, coin=coin, account=account)
        write = _write_json if as_json else _write_csv if as_csv else _write_table
        write(rows, sys.stdout.write)
    if lag is not None:
        say_lag(lag)
    return 0


def opened(path: Path) -> History:
    """The history at `path`, opened. Raises NoHistory with a hint where there is none."""
    try:
        return History.open(path)
    except NoHistory as error:
        if path.exists():
            raise
        simulated = path.parent / "simulated" / HISTORY_FILE
        hint = "; --simulate reads that of simulated runs" if simulated.exists() else ""
        raise NoHistory(f"{error}: 'hlposmon run' begins one; --state-dir says where one is{hint}") from error


def worst_lag(history: History, journal: Path) -> Lag | None:
    """How far the history was behind the journal before its rows were read.

    None if it was less than _BEHIND_S, or if it is unknown because there is no readable journal.
    """
    try:
        lag = lag_of(journal, *history.end)
    except (OSError, HlposmonError):
        return None
    return lag if lag is not None and time.time() - lag.since_ms / 1000 > _BEHIND_S else None


def say_lag(lag: Lag) -> None:
    """Print the lag to stderr. Called last, so that it is visible below many rows."""
    age_s = time.time() - lag.since_ms / 1000
    click.echo(
        f"hlposmon: the history is {lag.lines} lines and {age_s:.0f} s behind the audit journal: fills since"
        f" {_time_text(lag.since_ms)} may be missing; 'hlposmon workers' shows whether its process lives",
        err=True,
    )


def unknown_names(history: History, coin: str | None, account: str | None) -> str | None:
    """A message if the history has never seen this coin or account, which is probably misspelt; else None."""
    if account is not None and not history.knows(account=account):
        known = ", ".join(map(_plain, history.accounts())) or "none yet"
        return f"the history knows no account {account!r}; it knows {known}"
    if coin is not None and not history.knows(coin=coin):
        known = ", ".join(map(_plain, history.coins())) or "none yet"
        return f"the history knows no coin {coin!r}; it knows {known}"
    return None


def _blocks(rows: Iterator[FillRow]) -> Iterator[list[FillRow]]:
    while block := list(islice(rows, _BLOCK_ROWS)):
        yield block


# ------------------------------------------------------------------ forms


def _write_json(rows: Iterator[FillRow], write: Callable[[str], object]) -> int:
    count = 0
    for block in _blocks(rows):
        lines = [json.dumps(_object(row), separators=(",", ":"), ensure_ascii=False) for row in block]
        write("\n".join(lines) + "\n")
        count += len(block)
    return count


def _write_csv(rows: Iterator[FillRow], write: Callable[[str], object]) -> int:
    count, first = 0, True
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for block in _blocks(rows):
        if first:
            writer.writerow(_flat(block[0]))
            first = False
        writer.writerows(_flat(row).values() for row in block)
        write(text.getvalue())
        text.seek(0)
        text.truncate()
        count += len(block)
    if first:
        writer.writerow(CSV_COLUMNS)
        write(text.getvalue())
    return count


def _write_table(rows: Iterator[FillRow], write: Callable[[str], object]) -> int:
    """Write a table whose columns fit the first block of rows; a later block may widen them."""
    count, widths = 0, [len(title) for title in _TITLES]
    for block in _blocks(rows):
        cells = [_cells(row) for row in block]
        if not count:
            cells.insert(0, _TITLES)
        widths = [max(width, *(len(row[at]) for row in cells)) for at, width in enumerate(widths)]
        write("".join(_line(row, widths) for row in cells))
        count += len(block)
    return count


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    placed = [
        cell.rjust(width) if at >= _RIGHT else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(placed).rstrip() + "\n"


def _cells(row: FillRow) -> tuple[str, ...]:
    return (
        _time_text(row.time_ms),
        _plain(row.account),
        _plain(row.coin),
        _plain(row.side),
        "-" if row.cause is None else _plain(row.cause),
        _number(row.quantity),
        _number(row.price),
        _number(row.fee),
        _number(row.closed_pnl),
        _number(row.position.size),
        "-" if row.position.entry_price is None else _number(row.position.entry_price),
    )


def _object(row: FillRow) -> dict[str, Any]:
    """The row as an object with the fields of its audit line, and the account's address and mode."""
    after = row.position
    return {
        "seq": row.seq,
        "timestamp": _time_text(row.heard_ms),
        "type": "fill",
        "account": row.account,
        "key": row.key,
        "symbol": row.symbol,
        "side": row.side,
        "quantity": _number(row.quantity),
        "price": _number(row.price),
        "fee": _number(row.fee),
        "fee_token": row.fee_token,
        "fill_id": row.fill_id,
        "order_id": str(row.order_id),
        "start_position": _number(row.start_position),
        "closed_pnl": _number(row.closed_pnl),
        "direction": row.direction,
        "crossed": row.crossed,
        "liquidation": row.liquidation,
        "cause": row.cause,
        "twap_id": row.twap_id,
        "builder_fee": None if row.builder_fee is None else _number(row.builder_fee),
        "tid": row.tid,
        "hash_of_transaction": row.hash_of_transaction,
        "time_ms": row.time_ms,
        "effect": row.effect,
        "late": row.late,
        "position": {
            "size": _number(after.size),
            "entry_price": None if after.entry_price is None else _number(after.entry_price),
            "realized_pnl": _number(after.realized_pnl),
            "closed_pnl": _number(after.closed_pnl),
            "fees": _number(after.fees),
            "funding": _number(after.funding),
            "fills": after.fills,
        },
        "address": row.address,
        "mode": row.mode,
    }


CSV_COLUMNS = (
    "time", "account", "key", "symbol", "side", "cause", "quantity", "price", "fee", "fee_token",
    "builder_fee", "closed_pnl",
    "start_position", "position_size", "position_entry_price", "position_realized_pnl",
    "position_closed_pnl", "position_fees", "position_funding", "position_fills", "effect", "late",
    "direction", "crossed", "liquidation", "twap_id", "fill_id", "order_id", "tid",
    "hash_of_transaction", "time_ms", "heard", "address", "mode", "seq",
)  # fmt: skip


def _flat(row: FillRow) -> dict[str, Any]:
    """The row as CSV fields by column name; a missing value is an empty field."""
    found = _object(row)
    found |= {f"position_{name}": value for name, value in found["position"].items()}
    found |= {"time": _time_text(row.time_ms), "heard": found["timestamp"]}
    found |= {name: "true" if found[name] else "false" for name in ("late", "crossed")}
    return {name: found[name] for name in CSV_COLUMNS}


def _number(value: Decimal) -> str:
    return format(value, "f")


def _time_text(ms: int) -> str:
    whole = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms % 1000:03d}Z"


def _plain(text: str) -> str:
    """Text from outside with non-printable characters replaced, so that it cannot control the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
