"""Payloads in the exchange's shapes, sound until a test changes a field. Ellipsis takes a field away."""

import base64
import json
import zlib
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

US = "0x" + "ab" * 20
THEM = "0x" + "cd" * 20
AT_MS = 1791171591707

PAID: Row = {
    "coin": "ETH",
    "usdc": "-3.625312",
    "szi": "49.1477",
    "fundingRate": "0.0000417",
    "nSamples": None,
}


def key(coin: str) -> str:
    return f"hyperliquid:Perp:{coin}"


def token_key(token: str) -> str:
    return f"hyperliquid:BaseToken:{token}"


def without(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not ...}


def fill_row(**changes: Any) -> Row:
    row = {
        "coin": "BTC",
        "px": "86324.0",
        "sz": "0.00494",
        "side": "B",
        "time": AT_MS,
        "startPosition": "-2.30402",
        "dir": "Close Short",
        "closedPnl": "1.23994",
        "hash": "0xa2cb",
        "oid": 565434428158,
        "crossed": False,
        "fee": "-0.004264",
        "tid": 348339424011870,
        "feeToken": "USDC",
        "twapId": None,
    }
    return without(row | changes)


def position_row(**changes: Any) -> Row:
    row = {
        "coin": "HYPE",
        "szi": "-4.0",
        "leverage": {"type": "isolated", "value": 10, "rawUsd": "211.144417"},
        "entryPx": "47.9932",
        "positionValue": "192.58",
        "unrealizedPnl": "-0.6071",
        "liquidationPx": "50.2724802381",
        "marginUsed": "18.564417",
        "maxLeverage": 10,
    }
    return without(row | changes)


def state(*positions: Any, **changes: Any) -> Row:
    """A clearinghouseState."""
    body = {
        "marginSummary": {"accountValue": "76.206517", "totalMarginUsed": "18.564417", "totalRawUsd": "-5.1"},
        "withdrawable": "57.6421",
        "assetPositions": [{"type": "oneWay", "position": row} for row in positions],
        "time": 1761803589961,
    }
    return without(body | changes)


def all_dexes(*states: Any, user: str = US) -> Row:
    return {"user": user, "clearinghouseStates": [list(one) for one in states]}


def one_dex(dex: Any, body: Any, user: str = US) -> Row:
    return {"dex": dex, "user": user, "clearinghouseState": body}


def balance(coin: Any, total: Any, hold: Any = "0.0", cost: Any = "0.0") -> Row:
    return without({"coin": coin, "token": 0, "total": total, "hold": hold, "entryNtl": cost})


def spot_state(*balances: Any) -> Row:
    """A spotClearinghouseState."""
    return {"balances": list(balances)}


def sub_row(**changes: Any) -> Row:
    """A row of subAccounts."""
    row = {
        "name": "arb",
        "subAccountUser": THEM,
        "master": US,
        "clearinghouseState": state(position_row()),
        "spotState": spot_state(),
    }
    return without(row | changes)


def pair_row(name: Any = "@107", tokens: Any = (150, 0)) -> Row:
    return {"name": name, "tokens": list(tokens), "index": 107, "isCanonical": False}


# Neither tokens nor pairs stand at the place of their index.
TOKENS = {0: "USDC", 150: "HYPE", 1: "PURR", 268: "USDT0"}


def spot_meta(*pairs: Any) -> Row:
    """A spotMeta with these pairs, or with one of HYPE and one of PURR."""
    return {
        "tokens": [{"name": name, "index": index, "szDecimals": 2} for index, name in TOKENS.items()],
        "universe": list(pairs or (pair_row(), pair_row("PURR/USDC", (1, 0)))),
    }


def spot_context(coin: Any, mark: Any) -> Row:
    return without({"coin": coin, "markPx": mark, "midPx": mark, "prevDayPx": "1.0"})


def paid_row(**changes: Any) -> Row:
    """A payment as the stream tells it."""
    return without({"time": 5, **PAID} | changes)


def ledger(kind: Any, **fields: Any) -> Row:
    return {"time": 7, "hash": "0x00", "delta": {"type": kind, **fields}}


def packed(value: Any) -> str:
    """Prices as fastAssetCtxs has them; bytes are packed as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    deflate = zlib.compressobj(9, wbits=-15)
    return base64.b64encode(deflate.compress(raw) + deflate.flush()).decode()


def printed(value: Decimal) -> str:
    """`value` as the servers print it: a double with ten decimals, of which the zeros are cut but one."""
    text = f"{float(value):.10f}".rstrip("0")
    return text + "0" if text.endswith(".") else text
