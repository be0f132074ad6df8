"""Mark prices of the conflated stream, which come packed."""

import base64
import binascii
import zlib
from decimal import Decimal
from typing import Any

from hlposmon.errors import WireError
from hlposmon.text import loads
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.coins import is_watched, key_of
from hlposmon.venues.hyperliquid.payloads.fields import object_of

# A conflated price message of all dexes is about 20 kB when unpacked; this is a guard, not a limit.
_MAX_UNPACKED = 8 << 20


class FastMarks:
    """The newest mark price of each coin, from fastAssetCtxs messages: texts, of which numbers are made when
    they are asked for. Most prices of a busy stream are replaced before anybody wants them.

    The first message of a subscription is whole, later ones hold what changed; a coin without `markPx` has
    not moved.
    """

    def __init__(self) -> None:
        self._newest: dict[str, Any] = {}
        self._changed: dict[str, Any] = {}
        self._odd: list[str] = []

    def read(self, data: Any) -> None:
        """Take one message's data; WireError where it cannot be read at all."""
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
        """By key the prices of watched perpetuals that differ from what was given here before, and what was
        unread of them since."""
        prices, unread = {}, self._odd
        for coin, price in self._changed.items():
            if not is_watched(coin):
                continue
            try:
                prices[key_of(coin)] = amount_of({"markPx": price}, "markPx")
            except WireError as error:
                unread.append(_unread(coin, str(error)))
        self._changed, self._odd = {}, []
        return prices, unread

    def forget(self) -> None:
        """What was said before says nothing of what is said next."""
        self._newest.clear()


def fast_marks(data: Any) -> tuple[dict[str, Decimal], list[str]]:
    """Mark prices by key of one fastAssetCtxs message, and what was unread of it."""
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
