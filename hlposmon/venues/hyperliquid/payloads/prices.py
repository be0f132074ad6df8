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


def fast_marks(data: Any) -> tuple[dict[str, Decimal], list[str]]:
    """Mark prices by key of a fastAssetCtxs message (base64 of raw DEFLATE of JSON, by coin), and what was
    unread of it.

    The first message is whole, later ones hold what changed; a coin without `markPx` has not moved.
    """
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
    prices, unread = {}, []
    for coin, body in object_of(loads(raw), "fastAssetCtxs").items():
        try:
            context = object_of(body, f"fastAssetCtxs {coin:.44}")
            if context.get("markPx") is not None and is_watched(coin):
                prices[key_of(coin)] = amount_of(context, "markPx")
        except WireError as error:
            unread.append(f"the price of {coin:.44} could not be read: {error}")
    return prices, unread
