"""The one factory of position interfaces, with the second seed's verbs.

A venue's optional libraries are imported only when it is asked for. No policy: what to do with a venue
that failed is the caller's choice.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hlposmon.config import Account
from hlposmon.config.accounts import plain_address, with_names
from hlposmon.config.settings import NO_BACKTEST
from hlposmon.errors import ConfigError, HlposmonError
from hlposmon.venues.port import PositionInterface

_APIS = {False: "https://api.hyperliquid.xyz", True: "https://api.hyperliquid-testnet.xyz"}


def create_position_interface(
    venue: str, execution_mode: str, config: Mapping[str, Any]
) -> PositionInterface:
    """The interface of `venue`. `config` is the effective configuration as the TOML spells it, or the
    part of it under `venues.<venue>`.

    Raises ValueError for a venue or a mode that is not known, ConfigError for a configuration that will not
    do and for a backtest, which has no source yet.
    """
    build = _BUILDERS.get(venue)
    if build is None:
        raise ValueError(
            f"unsupported venue for position monitoring: {venue!r}; known: {', '.join(_BUILDERS)}"
        )
    if execution_mode not in ("live", "backtest"):
        raise ValueError(f"execution_mode is live or backtest, not {execution_mode!r}")
    if execution_mode == "backtest":
        raise ConfigError([f"execution_mode: found {execution_mode!r}, wanted {NO_BACKTEST}"])
    section = config.get("venues", {}).get(venue, {}) if "venues" in config else config
    return build(section)


def get_position_interfaces(
    venues: Iterable[str], execution_mode: str, config: Mapping[str, Any]
) -> dict[str, PositionInterface | None]:
    """The interfaces of several venues; one that cannot be built is None and the rest go on."""
    found: dict[str, PositionInterface | None] = {}
    for venue in venues:
        try:
            found[venue] = create_position_interface(venue, execution_mode, config)
        except (ValueError, HlposmonError):
            found[venue] = None
    return found


def _hyperliquid(section: Mapping[str, Any]) -> PositionInterface:
    from hlposmon.venues.hyperliquid.client import HyperliquidPositions

    api_url = str(section.get("api_url") or _APIS[bool(section.get("testnet", False))])
    return HyperliquidPositions.at(api_url, _accounts(section.get("accounts")))


def _accounts(rows: Any) -> tuple[Account, ...]:
    where = "venues.hyperliquid.accounts"
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


_BUILDERS: dict[str, Callable[[Mapping[str, Any]], PositionInterface]] = {"hyperliquid": _hyperliquid}
