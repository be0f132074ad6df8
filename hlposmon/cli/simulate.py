"""`hlposmon simulate`: runs only the simulated exchange, on a loopback port that it prints."""

import json
import signal
import socket

import click

from hlposmon.cli.options import log_format_option, parse_addresses, simulation_options

STEP_S = 0.2


@click.command("simulate", short_help="The simulated exchange alone, on a loopback port.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The port on 127.0.0.1; 0 picks a free one."
)
@click.option(
    "--accounts", "count", type=click.IntRange(1, 1000), metavar="N", help="How many accounts trade."
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="0x...",
    callback=parse_addresses,
    help="An account that trades; repeatable.",
)
@click.option(
    "--builder-coins",
    type=click.IntRange(0, 3),
    default=0,
    help="How many coins of the builder's dex xyz are traded.",
)
@click.option("--no-limits", is_flag=True, help="Without the venue's limits on requests and connections.")
@log_format_option
@simulation_options
def command(
    port: int,
    count: int | None,
    addresses: tuple[str, ...],
    builder_coins: int,
    no_limits: bool,
    log_format: str | None,
    seed: int | None,
    pace: float | None,
    coins: int | None,
) -> int:
    """The simulated exchange, until SIGINT or SIGTERM (exit status 0).

    Prints one line of JSON: api_url, ws_url, control_url and the accounts that trade.
    """
    if count is not None and addresses:
        raise click.UsageError("--accounts and --address exclude each other.")
    from hlposmon.simulator.exchange import Exchange, Options
    from hlposmon.simulator.exchange import addresses as made_addresses
    from hlposmon.supervision import logs

    logs.configure("INFO", name="simulator", fmt="json" if log_format == "json" else "text")
    base = Options()
    seed = base.seed if seed is None else seed
    plain = tuple(text.rpartition("=")[2] for text in addresses)
    options = Options(
        seed=seed,
        accounts=tuple(made_addresses(seed, count)) if count is not None else plain,
        coins=base.coins if coins is None else coins,
        builder_coins=builder_coins,
        pace=base.pace if pace is None else pace,
        limits=not no_limits,
    )
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, _frame: stop.append(signum))
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        exchange = Exchange(options, listener)
        click.echo(json.dumps(_description(listener.getsockname()[1], exchange.accounts)))
        while not stop:
            exchange.step(STEP_S)
        exchange.close()
    return 0


def _description(port: int, accounts: tuple[str, ...]) -> dict[str, object]:
    api_url = f"http://127.0.0.1:{port}"
    return {
        "api_url": api_url,
        "ws_url": f"ws://127.0.0.1:{port}/ws",
        "control_url": f"{api_url}/control",
        "accounts": list(accounts),
    }
