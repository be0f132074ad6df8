"""`hlposmon ledger`: where the equity of an account came from and went, term by term.

It reads the history's file, so no monitor has to run. At the foot stands what nothing explains.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any

import click

from hlposmon.cli.fills import opened, parse_time, say_lag, unknown_names, worst_lag
from hlposmon.cli.options import given_socket, socket_option
from hlposmon.client.ledger import LedgerSpan, TransferRow
from hlposmon.config import Flags, locate
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.journal.files import written_below

USD = "USDC"
_CENT = Decimal("0.01")
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
        click.echo(json.dumps(_object(spans, transfers, since, until), ensure_ascii=False))
    elif as_csv:
        _write_csv(spans)
    else:
        _write_table(spans)
    if lag is not None:
        say_lag(lag)
    return 0


def _rows(span: LedgerSpan) -> dict[str, Decimal]:
    """The terms of a span, in the order in which they are shown; fees are what they did to the equity."""
    return {
        "equity_from": span.first.equity,
        "realized_pnl": span.realized_pnl,
        "fees": span.fees,
        "funding": span.funding,
        "transfers": span.transfers,
        "unrealized_pnl": span.unrealized_pnl,
        "equity_to": span.last.equity,
        "unexplained": _cents(span.unexplained),
    }


def _cents(value: Decimal) -> Decimal:
    """To the cent, never -0.00."""
    with localcontext(prec=60):
        cents = value.quantize(_CENT)
    return cents or abs(cents)


def _object(
    spans: Sequence[LedgerSpan], transfers: Sequence[TransferRow], since: int | None, until: int | None
) -> dict[str, Any]:
    """Everything as one object; amounts are decimal strings. `unexplained` of an account is in USD: null
    where a dex whose figures are in another token has some, which has no price here."""
    accounts: dict[str, Any] = {}
    for span in spans:
        of = accounts.setdefault(span.last.account, {"unexplained": None, "markets": [], "transfers": []})
        of["markets"].append(_head(span) | {name: _plain(value) for name, value in _rows(span).items()})
    for name, of in accounts.items():
        ours = [span for span in spans if span.last.account == name]
        rests = [(span.last.quote, _cents(span.unexplained)) for span in ours]
        if all(quote == USD or not rest for quote, rest in rests):
            of["unexplained"] = _plain(_cents(sum((rest for _, rest in rests), Decimal(0))))
    for one in transfers:
        if one.account in accounts:
            accounts[one.account]["transfers"].append(_transfer(one))
    return {"since": _time_text(since), "until": _time_text(until), "accounts": accounts}


def _head(span: LedgerSpan) -> dict[str, Any]:
    return {
        "scope": span.last.scope,
        "quote": span.last.quote,
        "from": _time_text(span.first.time_ms),
        "to": _time_text(span.last.time_ms),
    }


def _transfer(one: TransferRow) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "time": _time_text(one.time_ms),
        "transfer_type": one.type,
        "text": one.text,
        "moves": [
            {"scope": scope, "token": token, "amount": _plain(amount)} for scope, token, amount in one.moves
        ],
        "hash_of_transaction": one.hash_of_transaction,
    }


def _write_csv(spans: Iterable[LedgerSpan]) -> None:
    writer = csv.DictWriter(sys.stdout, CSV_COLUMNS)
    writer.writeheader()
    for span in spans:
        row: dict[str, Any] = {"account": span.last.account, **_head(span)}
        writer.writerow(row | {name: _plain(value) for name, value in _rows(span).items()})


def _write_table(spans: Sequence[LedgerSpan]) -> None:
    if not spans:
        click.echo(
            "nothing is known of that time: the ledger begins with the second statement of the exchange"
        )
    for span in spans:
        last = span.last
        dex = f"dex {_safe(last.scope)}" if last.scope else "first dex"
        times = f"{_time_text(span.first.time_ms)} to {_time_text(last.time_ms)}"
        click.echo(f"{_safe(last.account)}, {dex}, in {_safe(last.quote or '?')}, {times}")
        for name, value in _rows(span).items():
            signed = -value if name == "fees" else value
            shown = f"{_cents(signed):+,.2f}" if name in _TERMS else f"{_cents(signed):,.2f}"
            click.echo(f"  {_LABELS[name]:<26}{shown:>20}")


def _plain(value: Decimal) -> str:
    return format(value, "f")


def _time_text(ms: int | None) -> str | None:
    if ms is None:
        return None
    whole = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms % 1000:03d}Z"


def _safe(text: str) -> str:
    """Text from outside with non-printable characters replaced, so that it cannot control the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
