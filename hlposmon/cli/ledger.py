"""`hlposmon ledger`: where the equity of an account came from and went, term by term.

It reads the history's file, so no monitor has to run. At the foot stands what nothing explains.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from hlposmon.cli.fills import opened, parse_time, say_lag, unknown_names, worst_lag
from hlposmon.cli.options import given_socket, socket_option
from hlposmon.config import Flags, locate
from hlposmon.history.ledger import LedgerSpan, as_object, cents, head_of, plain, rows_of, time_text
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.journal.files import written_below

_TERMS = ("realized_pnl", "fees", "funding", "transfers", "unrealized_pnl")
_LABELS = {
    "equity_from": "equity at the start",
    "realized_pnl": "realised P&L",
    "fees": "fees",
    "funding": "funding",
    "transfers": "transfers",
    "unrealized_pnl": "change of unrealised P&L",
    "equity_to": "equity at the end",
    "unexplained": "unexplained",
}
CSV_COLUMNS = ("account", "scope", "quote", "from", "to", *_LABELS)


@click.command("ledger", short_help="Where equity came from and went.")
@click.option("--since", callback=parse_time, metavar="TIME", help="From this time on.")
@click.option("--until", callback=parse_time, metavar="TIME", help="Up to this time.")
@click.option("--account", metavar="NAME", help="Only this account: its name or address.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with each transfer.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV (RFC 4180) with a header, a row for each dex.")
@click.option("--state-dir", metavar="DIR", help="Where the history is kept.")
@click.option("--log-dir", metavar="DIR", help="The monitor's log folder, to see whether rows are missing.")
@click.option("--simulate", is_flag=True, help="The history of simulated runs.")
@socket_option
@click.pass_context
def command(
    ctx: click.Context,
    since: int | None,
    until: int | None,
    account: str | None,
    as_json: bool,
    as_csv: bool,
    state_dir: str | None,
    log_dir: str | None,
    simulate: bool,
    socket: str | None,
) -> int:
    """Where the equity of each dex came from and went, and at the foot what nothing explains.

    A TIME is a date (UTC), an RFC 3339 time, or 90m, 2h, 3d for so long ago. Sums are known at
    statements of the exchange, after each minute in which something was booked and each hour: the
    newest one at or before each TIME counts, and its time is shown. Balances on spot are not part of
    it. Exit status 0, or 1 for an account of which the history has never heard.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two forms of the same: choose one.")
    if since is not None and until is not None and since > until:
        raise click.UsageError("--since is later than --until.")
    flags = Flags(socket=given_socket(ctx, socket), state_dir=state_dir, log_dir=log_dir, simulate=simulate)
    paths = locate(flags, os.environ)
    with opened(paths.state_dir / HISTORY_FILE) as history:
        unknown = unknown_names(history, None, account)
        if unknown is not None:
            click.echo(f"hlposmon: {unknown}", err=True)
            return 1
        lag = worst_lag(history, written_below(paths.log_dir))
        spans = history.ledger(since, until, account=account)
        transfers = history.transfers(since, until, account=account)
    if as_json:
        click.echo(json.dumps(as_object(spans, transfers, since, until), ensure_ascii=False))
    elif as_csv:
        _write_csv(spans)
    else:
        _write_table(spans)
    if lag is not None:
        say_lag(lag)
    return 0


def _write_csv(spans: Iterable[LedgerSpan]) -> None:
    writer = csv.DictWriter(sys.stdout, CSV_COLUMNS)
    writer.writeheader()
    for span in spans:
        row: dict[str, Any] = {"account": span.last.account, **head_of(span)}
        writer.writerow(row | {name: plain(value) for name, value in rows_of(span).items()})


def _write_table(spans: Sequence[LedgerSpan]) -> None:
    if not spans:
        click.echo(
            "nothing is known of that time: the ledger begins with the second statement of the exchange"
        )
    for span in spans:
        last = span.last
        dex = f"dex {_safe(last.scope)}" if last.scope else "first dex"
        times = f"{time_text(span.first.time_ms)} to {time_text(last.time_ms)}"
        click.echo(f"{_safe(last.account)}, {dex}, in {_safe(last.quote or '?')}, {times}")
        for name, value in rows_of(span).items():
            signed = -value if name == "fees" else value
            shown = f"{cents(signed):+,.2f}" if name in _TERMS else f"{cents(signed):,.2f}"
            click.echo(f"  {_LABELS[name]:<26}{shown:>20}")


def _safe(text: str) -> str:
    """Text from outside with non-printable characters replaced, so that it cannot control the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
