"""What is held, parsed once: `venue:type:name`.

The one place that takes a key apart. What only a venue knows of an instrument (its quote token, the
token that profit and margin are in, decimals of its sizes) is None until the venue has said it.
"""

import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

# The market of tokens; the venue reserves the word, so that no dex has this name.
SPOT = "spot"
# The token that counts as one US dollar; the first dex's figures are in it.
USD = "USDC"


class InstrumentType(StrEnum):
    """What kind of thing it is; the middle of a key."""

    PERP = "Perp"
    BASE_TOKEN = "BaseToken"
    A_TOKEN = "aToken"
    DEBT_TOKEN = "debtToken"
    LST = "LST"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument at one venue.

    `name` is the venue's own (`BTC`, `xyz:TSLA`, `ETHUSDT`) and may hold colons. `dex` is "" for the first
    dex, and where a venue has none. `base` is the name without its dex, unless the venue says better.
    `decimals` are those of a size.
    """

    key: str
    venue: str
    type: InstrumentType
    name: str
    dex: str
    base: str
    quote: str | None = None
    collateral: str | None = None
    decimals: int | None = None

    @staticmethod
    def of(key: str) -> "Instrument":
        """The instrument of this key, parsed once; ValueError for what is no key."""
        return _parsed(key)

    @property
    def market(self) -> str:
        """The scope of an account that holds it: the dex of a perpetual, `spot` for a token."""
        return self.dex if self.type is InstrumentType.PERP else SPOT

    @property
    def label(self) -> str:
        """`BTC-USD` for a perpetual (whatever its quote token is); else the bare name."""
        return f"{self.name}-USD" if self.type is InstrumentType.PERP else self.name


@lru_cache(maxsize=16_384)
def market_of(key: str) -> str:
    """The market of the instrument of this key; ValueError for what is no key."""
    return _parsed(key).market


# More than one venue lists; a key that is pushed out is parsed again.
@lru_cache(maxsize=16_384)
def _parsed(key: str) -> Instrument:
    parts = key.split(":", 2)
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"a key is venue:type:name, not {key[:60]!r}")
    venue, kind, name = parts
    dex, colon, base = name.partition(":")
    if not colon:
        dex, base = "", name
    return Instrument(key, sys.intern(venue), InstrumentType(kind), name, dex, base)
