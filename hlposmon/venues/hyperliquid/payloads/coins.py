"""Coin names: which of them are watched, and the keys that they have in this program."""

import re
from functools import lru_cache

from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import FIRST_SCOPE, OTHER_SCOPES
from hlposmon.errors import WireError

VENUE = "hyperliquid"
# A key has 64 bytes in the snapshot, a symbol ("COIN-USD") 48.
MAX_COIN_BYTES = 44
MAX_TOKEN_BYTES = 42
_SETTLED_OUTCOME = re.compile(r"o[0-9]+\Z")


@lru_cache(maxsize=4096)
def is_watched(coin: str) -> bool:
    """Whether `coin` is a perpetual, of the first dex or of another (`xyz:TSLA`): not spot (`@107`,
    `PURR/USDC`), not an outcome (`#120`, `+120`, settled `o12`). A builder chooses the name behind the colon,
    which may hold any sign."""
    if ":" in coin:
        return True
    return not any(sign in coin for sign in "@#+/") and not _SETTLED_OUTCOME.match(coin)


def new_key_of(coin: str) -> str:
    """As `key_of`, but not cached: a thousand cached names of one large statement would keep the memory of
    the whole statement from being freed."""
    if not coin.isprintable() or not 0 < len(coin.encode()) <= MAX_COIN_BYTES:
        raise WireError(f"coin: not a name of 1 to {MAX_COIN_BYTES} bytes: {coin[:60]!r}")
    dex_of(coin)
    return f"{VENUE}:Perp:{coin}"


def dex_of(coin: str) -> str:
    """The dex of a perpetual's coin, "" for the first. Raises WireError where the name before the colon is
    none, or a word that means something else here."""
    dex, colon, base = coin.partition(":")
    if not colon:
        return FIRST_SCOPE
    if not base or dex in ("", SPOT, OTHER_SCOPES):
        raise WireError(f"coin: not the name of a dex before its colon: {coin[:60]!r}")
    return dex


@lru_cache(maxsize=4096)
def key_of(coin: str) -> str:
    """The key of a perpetual, `hyperliquid:Perp:BTC` for `BTC`. Raises WireError for a name that is empty,
    unprintable or longer than MAX_COIN_BYTES, or that names no dex before its colon."""
    return new_key_of(coin)


def token_key_of(token: str) -> str:
    """The key of a token's balance, `hyperliquid:BaseToken:HYPE` for `HYPE`. Raises WireError as `key_of`."""
    if not token.isprintable() or not 0 < len(token.encode()) <= MAX_TOKEN_BYTES:
        raise WireError(f"coin: not a name of 1 to {MAX_TOKEN_BYTES} bytes: {token[:60]!r}")
    return f"{VENUE}:BaseToken:{token}"


def coin_of(key: str) -> str:
    """The venue's name of a key's coin, `xyz:TSLA` for `hyperliquid:Perp:xyz:TSLA`."""
    return key.split(":", 2)[2]
