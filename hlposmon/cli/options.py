"""Options that several commands share, and the client that they lead to."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from hlposmon.client.api import Api
from hlposmon.config import Flags, locate, named_account

F = TypeVar("F", bound=Callable[..., Any])


def socket_option(function: F) -> F:
    """Add `--socket PATH`. It takes precedence over a `--socket` before the command."""
    return click.option("--socket", metavar="PATH", help="The monitor's socket.")(function)


def timeout_option(function: F) -> F:
    """Add `--timeout S`, the seconds to wait for one answer (0.05 to 3600, default 2)."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.05, max=3600),
        default=2.0,
        show_default=True,
        metavar="S",
        help="Seconds to wait for an answer.",
    )(function)


def given_socket(ctx: click.Context, socket: str | None) -> str | None:
    """The socket given on the command line, after the command or else before it; None if there is none."""
    before = ctx.find_root().obj
    return socket or (before if isinstance(before, str) else None)


def find_api(ctx: click.Context, socket: str | None, timeout_s: float = 2.0) -> Api:
    """A client for the monitor that the command line, the environment and the config select."""
    paths = locate(Flags(socket=given_socket(ctx, socket)), os.environ)
    return Api(paths.socket, timeout_s=timeout_s)


def parse_addresses(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """A click callback that returns the addresses unchanged. Raises click.BadParameter for a wrong one."""
    for text in texts:
        try:
            named_account(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return texts


def simulation_options(function: F) -> F:
    """Add `--seed`, `--pace` and `--coins` of the simulated exchange."""
    coins = click.option("--coins", type=click.IntRange(1, 200), help="Simulated: how many coins are traded.")
    pace = click.option("--pace", type=click.FloatRange(min=0), help="Simulated: fills per second.")
    seed = click.option("--seed", type=int, help="Simulated: the same seed gives the same trades.")
    return seed(pace(coins(function)))


def log_format_option(function: F) -> F:
    """Add `--log-format`, for commands that keep running."""
    return click.option(
        "--log-format", type=click.Choice(("text", "json")), help="Log lines as key=value or as JSON objects."
    )(function)
