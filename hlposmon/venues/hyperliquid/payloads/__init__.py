"""Decodes Hyperliquid's payloads into facts, and encodes our requests. Strict, total, pure.

A row that lacks a number, or has a float where money should be, raises WireError with the name of the
field; no value is invented. Unused keys are ignored, since the exchange adds keys without notice. Source of
the shapes: the exchange's API documentation, info endpoint and subscriptions.
"""

from hlposmon.venues.hyperliquid.payloads.coins import MAX_COIN_BYTES, VENUE, coin_of, is_watched, key_of
from hlposmon.venues.hyperliquid.payloads.fill_rows import FillRows, fills, times
from hlposmon.venues.hyperliquid.payloads.fundings import fundings
from hlposmon.venues.hyperliquid.payloads.holdings import joined, staking, sub_accounts, vault, vault_stakes
from hlposmon.venues.hyperliquid.payloads.ledger import account_events
from hlposmon.venues.hyperliquid.payloads.margins import margin_tables
from hlposmon.venues.hyperliquid.payloads.messages import (
    PING,
    Message,
    Refusal,
    abstraction,
    acknowledges,
    agent_expiries,
    info,
    message,
    refusal,
    role,
    subscription,
    user_of,
    venue_time,
)
from hlposmon.venues.hyperliquid.payloads.prices import FastMarks, fast_marks
from hlposmon.venues.hyperliquid.payloads.statements import (
    collateral_token,
    dex_names,
    spot_pairs,
    spot_statement,
    state_push,
    statement,
    token_names,
    token_prices,
)

__all__ = [
    "FastMarks",
    "FillRows",
    "MAX_COIN_BYTES",
    "Message",
    "PING",
    "Refusal",
    "VENUE",
    "abstraction",
    "acknowledges",
    "agent_expiries",
    "coin_of",
    "collateral_token",
    "dex_names",
    "fast_marks",
    "fills",
    "fundings",
    "account_events",
    "info",
    "is_watched",
    "joined",
    "key_of",
    "margin_tables",
    "message",
    "refusal",
    "role",
    "spot_pairs",
    "spot_statement",
    "staking",
    "state_push",
    "statement",
    "sub_accounts",
    "subscription",
    "times",
    "token_names",
    "token_prices",
    "user_of",
    "vault",
    "vault_stakes",
    "venue_time",
]
