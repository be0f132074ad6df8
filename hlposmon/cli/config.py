"""`hlposmon config check` validates the settings that `run` would use, and `config print` shows them."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from hlposmon.config import Flags, Settings, load, render
from hlposmon.config.settings import MAINNET_API, TESTNET_API

F = TypeVar("F", bound=Callable[..., Any])


def _options(function: F) -> F:
    simulate = click.option("--simulate", is_flag=True, help="As 'run --simulate' would see it.")(function)
    env_file = click.option("--env-file", metavar="FILE", help="Read NAME=value lines first.")(simulate)
    return click.option("--config", metavar="FILE", help="The configuration to look at.")(env_file)


@click.group("config")
def command() -> None:
    """Validate or print the configuration."""


@command.command("check")
@_options
def check(config: str | None, env_file: str | None, simulate: bool) -> int:
    """Say every mistake, or that there is none and how the accounts are watched; exit status 78 or 0."""
    settings = load(Flags(config=config, env_file=env_file, simulate=simulate), os.environ)
    for notice in settings.notices:
        click.echo(f"hlposmon: {notice}", err=True)
    watched = ", ".join(f"{account.name} {account.address}" for account in settings.hyperliquid.accounts)
    where = settings.paths.config or "no configuration file"
    click.echo(f"{where}: ok, {_kind(settings)}, {watched or 'no accounts'}")
    if watched:
        click.echo(f"accounts: {settings.watch_plan}")
    return 0


def _kind(settings: Settings) -> str:
    """The mode, and for live runs the network, or the API URL if it belongs to neither network."""
    if settings.mode != "live":
        return settings.mode
    venue = settings.hyperliquid
    networks = {MAINNET_API: "mainnet", TESTNET_API: "testnet"}
    return f"live on {networks.get(venue.api_url, venue.api_url)}"


@command.command("print")
@_options
def show(config: str | None, env_file: str | None, simulate: bool) -> int:
    """The effective configuration as TOML, secrets left out."""
    click.echo(render(load(Flags(config=config, env_file=env_file, simulate=simulate), os.environ)), nl=False)
    return 0
