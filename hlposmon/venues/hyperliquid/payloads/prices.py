"""Decodes the mark prices of the conflated stream, which are compressed."""

import base64
import binascii
import zlib
from decimal import Decimal
from typing import Any

from hlposmon.domain.instrument import USD
from hlposmon.errors import WireError
from hlposmon.text import loads
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.coins import is_watched, key_of, token_key_of
from hlposmon.venues.hyperliquid.payloads.fields import object_of

# A conflated price message of all dexes is about 20 kB when unpacked; this is a guard, not a limit.
_MAX_UNPACKED = 8 << 20
ONE = Decimal(1)


class FastMarks:
    """Keeps the newest mark price of each coin from fastAssetCtxs messages. Prices stay text until `changed`
    is called, since most prices of a busy stream are replaced before that.

    The first message of a subscription has all coins, later ones only changes; a coin without `markPx` has
    not moved.
    """

    def __init__(self) -> None:
        self._pairs: dict[str, str] = {}
        self._has_pairs = False
        self._newest: dict[str, Any] = {}
        self._changed: dict[str, Any] = {}
        self._odd: list[str] = []

    def read(self, data: Any) -> None:
        """Take the data of one message. Raises WireError if it cannot be read at all; an odd row is noted."""
        newest, changed = self._newest, self._changed
        for coin, context in object_of(loads(_unpacked(data)), "fastAssetCtxs").items():
            if type(context) is not dict:
                why = f"fastAssetCtxs {coin:.44}: an object is wanted, not {type(context).__name__}"
                self._odd.append(_unread(coin, why))
                continue
            price = context.get("markPx")
            if price is not None and newest.get(coin) != price:
                newest[coin] = changed[coin] = price

    def changed(self) -> tuple[dict[str, Decimal], list[str]]:
        """The prices of perpetuals and of the tokens in use, by key, that changed since the last call; and a
        text for each one that could not be read since then."""
        prices, unread, pairs = {}, self._odd, self._pairs
        for coin, price in self._changed.items():
            if coin not in pairs and not is_watched(coin):
                continue
            try:
                key = pairs[coin] if coin in pairs else key_of(coin)
                prices[key] = amount_of({"markPx": price}, "markPx")
            except WireError as error:
                unread.append(_unread(coin, str(error)))
        self._changed, self._odd = {}, []
        if self._has_pairs:
            prices[token_key_of(USD)] = ONE
        return prices, unread

    def use_pairs(self, pairs: dict[str, str]) -> None:
        """Return the prices of these tokens too, by their keys, those known already at once; `pairs` has the
        tokens' keys by the names of their pairs. USDC is 1."""
        self._pairs, self._has_pairs = dict(pairs), True
        self._changed |= {coin: self._newest[coin] for coin in pairs if coin in self._newest}

    def forget(self) -> None:
        """Forget the known prices, so that the next of each coin counts as changed."""
        self._newest.clear()


def fast_marks(data: Any) -> tuple[dict[str, Decimal], list[str]]:
    """The mark prices, by key, of one fastAssetCtxs message; and a text for each that could not be read."""
    marks = FastMarks()
    marks.read(data)
    return marks.changed()


def _unread(coin: str, why: str) -> str:
    return f"the price of {coin:.44} could not be read: {why}"


def _unpacked(data: Any) -> bytes:
    """The JSON in the data of a message: base64 of raw DEFLATE."""
    if not isinstance(data, str):
        raise WireError(f"fastAssetCtxs: text is wanted, not {type(data).__name__}")
    try:
        unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        raw = unpacker.decompress(base64.b64decode(data, validate=True), _MAX_UNPACKED)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise WireError(f"fastAssetCtxs: not base64 of DEFLATE: {error}") from error
    if len(raw) >= _MAX_UNPACKED:
        raise WireError(f"fastAssetCtxs: more than {_MAX_UNPACKED} bytes when unpacked")
    if not unpacker.eof:
        raise WireError("fastAssetCtxs: cut short")
    return raw
