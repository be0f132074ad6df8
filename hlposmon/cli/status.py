"""`hlposmon status`: the positions as a table, as one JSON object, or live."""

import json
import threading

import click

from hlposmon.cli.options import find_api, socket_option, timeout_option
from hlposmon.client.api import Api
from hlposmon.errors import HlposmonError, NotPermitted


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object on one line.")
@click.option("--watch", "-w", is_flag=True, help="Anew each second, until interrupted.")
@click.option("--account", metavar="NAME", help="Only this account.")
@socket_option
@timeout_option
@click.pass_context
def command(
    ctx: click.Context, as_json: bool, watch: bool, account: str | None, socket: str | None, timeout_s: float
) -> int:
    """Each account with its equity and margin, and below it its positions: profit and loss, verdicts, ages.

    uPnL is unrealized; rPnL is realized, before fees and funding; FEES+FUND is funding received less
    fees paid. ENTRY and LIQ have the decimals of the mark; --json has all digits. --watch goes on through
    restarts of the monitor; Ctrl-C ends it with exit status 0.
    """
    api = find_api(ctx, socket, timeout_s)
    if watch:
        try:
            _watch(api, account, as_json=as_json)
        except KeyboardInterrupt:
            pass  # the way to end it
        return 0
    if as_json:
        click.echo(json.dumps(api.summary(account)))
        return 0
    from hlposmon.cli.live import make_console, picture

    make_console().print(picture(api, account))
    return 0


def _watch(api: Api, account: str | None, *, as_json: bool) -> None:
    stop = threading.Event()
    if not as_json:
        from hlposmon.cli.live import Viewer, make_console, watch

        watch(make_console(), Viewer(api, account).look, stop)
        return
    while True:
        try:
            click.echo(json.dumps(api.summary(account)))
        except NotPermitted:
            raise
        except HlposmonError as error:
            click.echo(f"hlposmon: {error}", err=True)
        stop.wait(1.0)
