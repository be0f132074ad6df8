"""Venues by name: the one that the service uses, and the position interfaces that programs ask for.

A venue's libraries are imported only when it is built. No policy in here: the caller decides what to do
about a venue that failed.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hlposmon.config import Account
from hlposmon.config.accounts import plain_address, with_names
from hlposmon.config.settings import MAINNET_API, MAINNET_WS, NO_BACKTEST, TESTNET_API, TESTNET_WS
from hlposmon.errors import ConfigError, HlposmonError
from hlposmon.transport.deadline import Deadline, NoDeadline
from hlposmon.transport.quota import Quota, Share
from hlposmon.venues.port import PositionInterface, Venue


def create_venue(name: str, config: Mapping[str, Any], *, share: Share, deadline: Deadline) -> Venue:
    """Build the venue `name` for the workers.

    `config` is its table of the configuration, of which only `api_url`, `ws_url` and `testnet` are read.
    Requests and connections are counted on `share`; waits end when `deadline` is stopping. Raises ValueError
    for an unknown venue.
    """
    build = _BUILDERS.get(name)
    if build is None:
        known = ", ".join(_BUILDERS)
        raise ValueError(f"unsupported venue for position monitoring: {name!r}; known: {known}")
    return build(config, share, deadline)


def create_position_interface(
    venue: str, execution_mode: str, config: Mapping[str, Any]
) -> PositionInterface:
    """The position interface of `venue`. `config` is the effective configuration as the TOML spells it, or
    the part of it under `venues.<venue>`.

    Raises ValueError for an unknown venue or mode; ConfigError for an unusable configuration, and for mode
    `backtest`, which has no data source yet.
    """
    section = config.get("venues", {}).get(venue, {}) if "venues" in config else config
    made = create_venue(venue, section, share=Quota().share(), deadline=NoDeadline())
    if execution_mode not in ("live", "backtest"):
        raise ValueError(f"execution_mode is live or backtest, not {execution_mode!r}")
    if execution_mode == "backtest":
        raise ConfigError([f"execution_mode: found {execution_mode!r}, wanted {NO_BACKTEST}"])
    accounts = _accounts(section.get("accounts"), f"venues.{venue}.accounts")
    from hlposmon.venues.positions import LivePositions

    return LivePositions(made, accounts)


def get_position_interfaces(
    venues: Iterable[str], execution_mode: str, config: Mapping[str, Any]
) -> dict[str, PositionInterface | None]:
    """The position interfaces of several venues, by name; None for each that cannot be built."""
    found: dict[str, PositionInterface | None] = {}
    for venue in venues:
        try:
            found[venue] = create_position_interface(venue, execution_mode, config)
        except (ValueError, HlposmonError):
            found[venue] = None
    return found


def _hyperliquid(section: Mapping[str, Any], share: Share, deadline: Deadline) -> Venue:
    from hlposmon.venues.hyperliquid.venue import Hyperliquid

    api_url, ws_url = str(section.get("api_url") or ""), str(section.get("ws_url") or "")
    if not api_url and not ws_url:  # one URL given alone is not completed with another server's
        is_test = bool(section.get("testnet", False))
        api_url, ws_url = (TESTNET_API, TESTNET_WS) if is_test else (MAINNET_API, MAINNET_WS)
    return Hyperliquid(api_url, ws_url, share=share, deadline=deadline)


def _accounts(rows: Any, where: str) -> tuple[Account, ...]:
    if not isinstance(rows, list | tuple) or not rows:
        raise ConfigError([f"{where}: at least one account with an address is wanted"])
    mistakes: list[str] = []
    pairs = []
    for row in rows:
        try:
            pairs.append((str(row.get("name") or ""), plain_address(str(row.get("address", "")))))
        except (AttributeError, ValueError) as error:
            mistakes.append(f"{where}: {error}")
    accounts = with_names(pairs, mistakes, where)
    if mistakes:
        raise ConfigError(mistakes)
    return accounts


_BUILDERS: dict[str, Callable[[Mapping[str, Any], Share, Deadline], Venue]] = {"hyperliquid": _hyperliquid}
