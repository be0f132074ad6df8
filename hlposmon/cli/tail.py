"""`hlposmon tail`: prints the stream as JSON lines, and resumes it when the monitor restarts a part."""

import json
import time

import click

from hlposmon.cli.options import find_api, socket_option
from hlposmon.client.api import Api
from hlposmon.client.connection import RequestRefused
from hlposmon.client.websocket import Stream, StreamClosed
from hlposmon.errors import MonitorNotRunning, TimedOut

SILENCE_S = 75.0  # the monitor pings after 30 s of silence, so two pings were missed
RECONNECT_S = 30.0
PAUSE_S = 0.2
EVENTS = ("fill", "price_update", "position_change", "verdict", "gap", "healed", "drift", "liquidation")


@click.command("tail", short_help="The stream as JSON lines, until interrupted.")
@click.option("--since", type=click.IntRange(min=0), metavar="SEQ", help="Resume after this message.")
@click.option(
    "--events",
    metavar="A,B",
    default="",
    help="Only these: fill, price_update, position_change, verdict, gap, healed, drift, liquidation.",
)
@click.option("--account", "accounts", multiple=True, metavar="NAME", help="Only this account; repeatable.")
@click.option("--compact", is_flag=True, help="Only what changed, in short.")
@socket_option
@click.pass_context
def command(
    ctx: click.Context,
    since: int | None,
    events: str,
    accounts: tuple[str, ...],
    compact: bool,
    socket: str | None,
) -> int:
    """The stream of messages as JSON lines, until interrupted (exit status 0).

    When the monitor restarts a part, the stream is resumed after the last message and that is said on
    stderr. When no monitor answers for 30 s: exit status 3.
    """
    wanted = [name.strip() for name in events.split(",") if name.strip()]
    if strange := sorted(set(wanted) - set(EVENTS)):
        raise click.BadParameter(
            f"{', '.join(map(repr, strange))}: wanted some of {', '.join(EVENTS)}.", param_hint="'--events'"
        )
    api = find_api(ctx, socket)
    for account in accounts:
        api.summary(account)  # an account that is not watched would be waited for without end
    tail = _Tail(api, since, wanted, accounts, compact=compact)
    try:
        while True:
            why = tail.print_all(tail.connect())
            click.echo(f"hlposmon: {why}; connecting again", err=True)
    except KeyboardInterrupt:
        return 0  # the way to end it


class _Tail:
    """The filters of the stream, and the number of the last message printed (`since`)."""

    def __init__(
        self, api: Api, since: int | None, events: list[str], accounts: tuple[str, ...], *, compact: bool
    ) -> None:
        self.api = api
        self.since = since
        self.events = events
        self.accounts = accounts
        self.compact = compact
        self.was_connected = False

    def connect(self) -> Stream:
        """Open the stream after the last message. Once connected, it retries for RECONNECT_S, then raises."""
        deadline = time.monotonic() + (RECONNECT_S if self.was_connected else 0)
        while True:
            try:
                stream = self.api.stream(
                    since=self.since,
                    compact=self.compact,
                    events=self.events,
                    accounts=self.accounts,
                    timeout_s=SILENCE_S,
                )
            except (MonitorNotRunning, TimedOut, StreamClosed, RequestRefused) as error:
                final = isinstance(error, RequestRefused) and error.status != 503
                if final or time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE_S)
                continue
            if self.was_connected:
                after = "" if self.since is None else f", after seq {self.since}"
                click.echo(f"hlposmon: the stream is back{after}", err=True)
            self.was_connected = True
            return stream

    def print_all(self, stream: Stream) -> str:
        """Print messages until the connection ends, and return the reason."""
        with stream:
            try:
                for message in stream:
                    click.echo(json.dumps(message, separators=(",", ":"), ensure_ascii=False))
                    seq = message.get("seq")
                    self.since = seq if isinstance(seq, int) else self.since
            except (StreamClosed, TimedOut) as error:
                return str(error)
        return "the monitor closed the stream"
