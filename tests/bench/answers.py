"""What the scripted exchange answers: `/info` requests, and what a subscription is sent.

Shapes are the venue's. A request or subscription that is not known is refused in the venue's words, so
that a client that needs it shows that it does.
"""

import base64
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from tests.bench.market import MAX_LEVERAGE, OTHER_DEXES, Market, Row, empty_state

FAR = 1 << 60
PAGE = 2000
SNAPSHOTS = {
    "userFills": "fills",
    "userFundings": "fundings",
    "userNonFundingLedgerUpdates": "nonFundingLedgerUpdates",
}
# Told each second, to all who asked.
STATES = ("allDexsClearinghouseState", "clearinghouseState", "spotState")
# Told whenever prices move.
PRICES = ("fastAssetCtxs", "allMids", "activeAssetCtx", "bbo", "assetCtxs", "allDexsAssetCtxs")
OF_FILLS = ("userFills", "userEvents", "orderUpdates")
SILENT = ("notification", "openOrders", "trades", "candle", "l2Book", "webData2", "userTwapSliceFills")
KNOWN = frozenset((*SNAPSHOTS, *STATES, *PRICES, *OF_FILLS, *SILENT))


class Refused(Exception):
    """No answer: 422, or the error channel."""


def packed(contexts: Row) -> str:
    """base64 of raw DEFLATE of JSON."""
    squeeze = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
    return base64.b64encode(squeeze.compress(orjson.dumps(contexts)) + squeeze.flush()).decode()


class Answers:
    """Pure but for the market that it reads."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._by_type: dict[str, Callable[[Row, int], Any]] = {
            "meta": lambda ask, _: self._meta(ask.get("dex")),
            "metaAndAssetCtxs": lambda ask, _: [self._meta(ask.get("dex")), self._contexts(ask.get("dex"))],
            "allPerpMetas": lambda _ask, _now: [self._meta(""), *(self._meta(dex) for dex in OTHER_DEXES)],
            "spotMeta": lambda _ask, _now: _SPOT,
            "spotMetaAndAssetCtxs": lambda _ask, _now: [_SPOT, []],
            "outcomeMeta": lambda _ask, _now: {"outcomes": [], "questions": []},
            "allMids": lambda ask, _: self.mids() if not ask.get("dex") else {},
            "perpDexs": lambda _ask, _now: [None, *(_dex(name) for name in OTHER_DEXES)],
            "clearinghouseState": self._state,
            "batchClearinghouseStates": lambda ask, now: [
                self._state({"user": user, "dex": ask.get("dex")}, now) for user in ask["users"]
            ],
            "spotClearinghouseState": lambda _ask, _now: _SPOT_STATE,
            "userFills": lambda ask, _: self._fills(ask)[-PAGE:][::-1],
            "userFillsByTime": self._fills_by_time,
            "userFunding": lambda _ask, _now: [],
            "userNonFundingLedgerUpdates": lambda _ask, _now: [],
            "userRole": lambda ask, _: {"role": "user" if self._known(ask) else "missing"},
            "userAbstraction": lambda _ask, _now: "default",
            "exchangeStatus": lambda _ask, now: {"time": now, "specialStatuses": None},
            "openOrders": lambda _ask, _now: [],
            "frontendOpenOrders": lambda _ask, _now: [],
            "historicalOrders": lambda _ask, _now: [],
            "subAccounts": lambda _ask, _now: None,
            "userFees": lambda _ask, _now: _FEES,
            "extraAgents": lambda _ask, _now: [],
            "userVaultEquities": lambda _ask, _now: [],
            "userRateLimit": lambda _ask, _now: _RATE_LIMIT,
            "referral": lambda _ask, _now: {"referredBy": None, "cumVlm": "0.0"},
        }

    def info(self, ask: Any, now_ms: int) -> Any:
        """The JSON value of an answer; Refused where there is none."""
        if not isinstance(ask, dict) or ask.get("type") not in self._by_type:
            raise Refused
        return self._by_type[ask["type"]](ask, now_ms)

    def first(self, subscription: Row) -> Row | None:
        """The snapshot that a stream begins with."""
        kind = subscription["type"]
        if kind not in SNAPSHOTS:
            return None
        rows = self._fills(subscription)[-PAGE:] if kind == "userFills" else []
        data = {"user": _user(subscription), SNAPSHOTS[kind]: rows, "isSnapshot": True}
        return {"channel": kind, "data": data}

    def state(self, subscription: Row, now_ms: int) -> Row:
        """What one of STATES is told each second."""
        kind, user = subscription["type"], _user(subscription)
        data: Row = {"user": user}
        if kind == "allDexsClearinghouseState":
            others = [[dex, empty_state(now_ms)] for dex in OTHER_DEXES]
            data["clearinghouseStates"] = [["", self._market.state(user, now_ms)], *others]
        elif kind == "clearinghouseState":
            dex = subscription.get("dex") or ""
            data |= {"dex": dex, "clearinghouseState": self._state(subscription, now_ms)}
        else:
            data["spotState"] = _SPOT_STATE
        return {"channel": kind, "data": data}

    def prices(self, subscription: Row, moved: Iterable[str], now_ms: int) -> Row | None:
        """What one of PRICES is told when the coins in `moved` have moved."""
        kind, coin = subscription["type"], subscription.get("coin")
        if kind == "fastAssetCtxs":
            return {"channel": kind, "data": packed(self._market.fast_contexts(moved))}
        if kind == "allMids":
            return {"channel": kind, "data": {"mids": self.mids()}}
        if kind == "assetCtxs":
            dex = subscription.get("dex") or ""
            return {"channel": kind, "data": {"dex": dex, "ctxs": self._contexts(dex)}}
        if kind == "allDexsAssetCtxs":
            others = [[dex, []] for dex in OTHER_DEXES]
            return {"channel": kind, "data": {"ctxs": [["", self._contexts("")], *others]}}
        if coin not in self._market.marks or coin not in moved:
            return None
        if kind == "activeAssetCtx":
            return {"channel": kind, "data": {"coin": coin, "ctx": self._context(coin)}}
        level = {"px": self._price(coin), "sz": "10.0", "n": 1}
        return {"channel": kind, "data": {"coin": coin, "time": now_ms, "bbo": [level, level]}}

    def mids(self) -> dict[str, str]:
        return {coin: self._price(coin) for coin in self._market.coins}

    def _price(self, coin: str) -> str:
        return f"{self._market.marks[coin] // 10}.{self._market.marks[coin] % 10}"

    def _state(self, ask: Row, now_ms: int) -> Row:
        return empty_state(now_ms) if ask.get("dex") else self._market.state(_user(ask), now_ms)

    def _known(self, ask: Row) -> bool:
        return _user(ask) in self._market.accounts

    def _fills(self, ask: Row) -> list[Row]:
        account = self._market.accounts.get(_user(ask))
        return account.fills if account else []

    def _fills_by_time(self, ask: Row, _now_ms: int) -> list[Row]:
        first, last = ask.get("startTime") or 0, ask.get("endTime") or FAR
        found = [row for row in self._fills(ask) if first <= row["time"] <= last]
        return found[::-1][:PAGE] if ask.get("reversed") else found[:PAGE]

    def _meta(self, dex: str | None) -> Row:
        market = {"szDecimals": 3, "maxLeverage": MAX_LEVERAGE, "marginTableId": MAX_LEVERAGE}
        names = [] if dex else self._market.coins
        return {
            "universe": [{"name": name, **market} for name in names],
            "marginTables": [],
            "collateralToken": 0,
        }

    def _contexts(self, dex: str | None) -> list[Row]:
        return [] if dex else [self._context(coin) for coin in self._market.coins]

    def _context(self, coin: str) -> Row:
        price = self._price(coin)
        return {
            "funding": "0.0000125",
            "openInterest": "1000.0",
            "prevDayPx": price,
            "dayNtlVlm": "1000000.0",
            "premium": "0.0",
            "oraclePx": price,
            "markPx": price,
            "midPx": price,
            "impactPxs": [price, price],
            "dayBaseVlm": "1000.0",
        }


def _user(ask: Row) -> str:
    user = ask.get("user")
    return user.lower() if isinstance(user, str) else ""


def _dex(name: str) -> Row:
    return {
        "name": name,
        "fullName": name.upper(),
        "deployer": "0x" + "0" * 40,
        "oracleUpdater": None,
        "feeRecipient": None,
        "assetToStreamingOiCap": [],
        "subDeployers": [],
        "deployerFeeScale": "1.0",
        "lastDeployerFeeScaleChangeTime": "1970-01-01T00:00:00",
        "assetToFundingMultiplier": [],
    }


_SPOT: Row = {
    "tokens": [
        {
            "name": name,
            "szDecimals": decimals,
            "weiDecimals": 8,
            "index": index,
            "tokenId": f"0x{index:032x}",
            "isCanonical": True,
            "evmContract": None,
            "fullName": None,
            "deployerTradingFeeShare": "0.0",
        }
        for index, (name, decimals) in enumerate((("USDC", 8), ("PURR", 0)))
    ],
    "universe": [{"name": "PURR/USDC", "tokens": [1, 0], "index": 0, "isCanonical": True}],
}
_SPOT_STATE: Row = {
    "balances": [{"coin": "USDC", "token": 0, "total": "0.0", "hold": "0.0", "entryNtl": "0.0"}]
}
_RATE_LIMIT: Row = {"cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": 10_000, "nRequestsSurplus": 0}
_FEES: Row = {"dailyUserVlm": [], "userCrossRate": "0.00045", "userAddRate": "0.00015"}
