"""`hlposmon status`: the positions as a table, as one JSON object, or live."""

import json
import threading

import click

from hlposmon.cli.options import find_api, socket_option, timeout_option
from hlposmon.cli.selection import Selection, Sort, parse_sort
from hlposmon.client.api import Api
from hlposmon.errors import HlposmonError, NotPermitted

JQ = "hlposmon status --json | jq '.positions[] | select(.verdict != \"proven\")'"


def _parse_sort(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Sort | None:
    if text is None:
        return None
    try:
        return parse_sort(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on one line.")
@click.option("--watch", "-w", is_flag=True, help="Anew each second, until interrupted.")
@click.option("--account", metavar="NAME", help="Only this account.")
@click.option(
    "--sort",
    callback=_parse_sort,
    metavar="[-]COLUMN",
    help="Order the rows of each market by this column; with -, the largest first.",
)
@click.option(
    "--filter",
    "words",
    default="",
    metavar="TEXT",
    help="Only positions with these words in account, symbol, key, dex or verdict.",
)
@socket_option
@timeout_option
@click.pass_context
def command(
    ctx: click.Context,
    as_json: bool,
    watch: bool,
    account: str | None,
    sort: Sort | None,
    words: str,
    socket: str | None,
    timeout_s: float,
) -> int:
    """Each account with its equity and margin, and below it its positions: profit and loss, verdicts, ages.

    uPnL is unrealized; rPnL is realized, before fees and funding; FEES+FUND is funding received less
    fees paid. ENTRY and LIQ have the decimals of the mark; --json has all digits. --watch goes on through
    restarts of the monitor; Ctrl-C ends it with exit status 0.

    A COLUMN is symbol, side, size, entry, mark, upnl, rpnl, fees+fund, total, notional, lev, liq, last-fill,
    proof, as-of or verdict (the worst first). What is unknown comes last. Of TEXT all words have to match, in
    any case. Under --filter the total is that of the rows shown.
    """
    selection = Selection.of(sort, words)
    if as_json and (sort is not None or selection.is_partial):
        raise click.UsageError(f"--sort and --filter are for the table; for --json use jq: {JQ}")
    api = find_api(ctx, socket, timeout_s)
    if watch:
        try:
            _watch(api, account, selection, as_json=as_json)
        except KeyboardInterrupt:
            pass  # the way to end it
        return 0
    if as_json:
        click.echo(json.dumps(api.summary(account)))
        return 0
    from hlposmon.cli.live import make_console, picture

    make_console().print(picture(api, account, selection))
    return 0


def _watch(api: Api, account: str | None, selection: Selection, *, as_json: bool) -> None:
    stop = threading.Event()
    if not as_json:
        from hlposmon.cli.live import Viewer, make_console, watch

        watch(make_console(), Viewer(api, account, selection).look, stop)
        return
    while True:
        try:
            click.echo(json.dumps(api.summary(account)))
        except NotPermitted:
            raise
        except HlposmonError as error:
            click.echo(f"hlposmon: {error}", err=True)
        stop.wait(1.0)
