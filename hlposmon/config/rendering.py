"""Renders the effective configuration as TOML for `load`. Settings contain no secrets to leave out."""

import json
from decimal import Decimal

from hlposmon.config.settings import Settings

Value = str | bool | int | float | Decimal | tuple[str, ...]


def render(settings: Settings) -> str:
    """TOML with the effective value of every option; comments give the mode, the file and the notices."""
    venue = settings.hyperliquid
    mode = "SIMULATED: no venue is contacted" if settings.simulated else settings.mode
    lines = [f"# mode: {mode}", f"# config: {settings.paths.config or 'none'}"]
    lines += [f"# notice: {notice}" for notice in settings.notices]
    lines += _keys(
        execution_mode=settings.execution_mode,
        log_level=settings.log_level,
        log_format=settings.log_format,
        socket=str(settings.paths.socket),
        state_dir=str(settings.paths.state_dir),
        log_dir=str(settings.paths.log_dir),
    )
    lines += ["", "[venues.hyperliquid]"]
    lines += _keys(
        enabled=venue.enabled,
        testnet=venue.testnet,
        api_url=venue.api_url,
        ws_url=venue.ws_url,
        fill_feeds=venue.fill_feeds,
        max_users=venue.max_users,
    )
    for account in venue.accounts:
        lines += ["", "[[venues.hyperliquid.accounts]]"]
        lines += _keys(name=account.name, address=account.address, discover=account.discover)
    lines += ["", "[prices]", *_keys(interval_s=settings.prices.interval_s, source=settings.prices.source)]
    lines += ["", "[reconcile]", *_keys(interval_s=settings.reconcile.interval_s)]
    lines += ["", "[stream]", *_keys(min_pnl_change=settings.stream.min_pnl_change)]
    lines += ["", "[tcp]", *_keys(listen=settings.tcp.listen, allow_remote=settings.tcp.allow_remote)]
    lines += _keys(allowed_hosts=settings.tcp.allowed_hosts, allowed_origins=settings.tcp.allowed_origins)
    lines += ["", "[audit]", *_keys(fsync=settings.audit.fsync)]
    supervision = settings.supervision
    lines += ["", "[supervision]"]
    lines += _keys(
        backoff_s=supervision.backoff_s,
        backoff_max_s=supervision.backoff_max_s,
        silent_s=supervision.silent_s,
    )
    return "\n".join(lines) + "\n"


def _keys(**values: Value) -> list[str]:
    return [f"{name} = {_literal(value)}" for name, value in values.items()]


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f'"{value:f}"'
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)
