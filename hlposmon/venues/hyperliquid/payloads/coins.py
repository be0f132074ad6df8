"""Coin names: which of them are watched, and the keys that they have in this program."""

import re
from functools import lru_cache

from hlposmon.errors import WireError

VENUE = "hyperliquid"
# A key has 64 bytes in the snapshot, a symbol ("COIN-USD") 48.
MAX_COIN_BYTES = 44
_SETTLED_OUTCOME = re.compile(r"o[0-9]+\Z")


@lru_cache(maxsize=4096)
def is_watched(coin: str) -> bool:
    """Whether `coin` is a perpetual of the first dex: not spot (`@107`, `PURR/USDC`), not an outcome
    (`#120`, `+120`, settled `o12`), not another dex's (`xyz:TSLA`)."""
    return not any(sign in coin for sign in "@#+/:") and not _SETTLED_OUTCOME.match(coin)


def new_key_of(coin: str) -> str:
    """As `key_of`, but not cached: a thousand cached names of one large statement would keep the memory of
    the whole statement from being freed."""
    if not coin.isprintable() or not 0 < len(coin.encode()) <= MAX_COIN_BYTES:
        raise WireError(f"coin: not a name of 1 to {MAX_COIN_BYTES} bytes: {coin[:60]!r}")
    return f"{VENUE}:Perp:{coin}"


@lru_cache(maxsize=4096)
def key_of(coin: str) -> str:
    """The key of a perpetual, `hyperliquid:Perp:BTC` for `BTC`. Raises WireError for a name that is empty,
    unprintable or longer than MAX_COIN_BYTES."""
    return new_key_of(coin)


def coin_of(key: str) -> str:
    """The venue's name of a key's coin, `xyz:TSLA` for `hyperliquid:Perp:xyz:TSLA`."""
    return key.split(":", 2)[2]
