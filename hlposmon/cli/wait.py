"""`hlposmon wait --ready`: blocks until all positions are proven and no holding of an account is left out."""

import time

import click

from hlposmon.cli.options import find_api, socket_option
from hlposmon.cli.probe.verdict import reasons_of
from hlposmon.client.connection import RequestRefused
from hlposmon.errors import MonitorNotRunning, TimedOut, WireError

PAUSE_S = 0.2


@click.command("wait", short_help="Block until the monitor serves proven positions.")
@click.option("--ready", is_flag=True, help="Until all is proven and nothing held is left out (the default).")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Give up after this many seconds.",
)
@socket_option
@click.pass_context
def command(ctx: click.Context, ready: bool, timeout_s: float, socket: str | None) -> int:  # noqa: ARG001
    """Wait for the monitor; also for one that has not been started yet.

    Exit status 0 when it is ready, 124 when the time is over, 4 without permission, 130 on Ctrl-C.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = max(0.05, min(2.0, deadline - time.monotonic()))
        try:
            health = find_api(ctx, socket, left_s).health()
            if health.get("ready") is True:
                return 0
            why = "; ".join(reasons_of(health)) or f"it is {health.get('status')}"
        except (MonitorNotRunning, TimedOut, RequestRefused, WireError) as error:
            why = str(error)
        if time.monotonic() + PAUSE_S >= deadline:
            raise TimedOut(f"the monitor was not ready within {timeout_s:g} s: {why}")
        time.sleep(PAUSE_S)
