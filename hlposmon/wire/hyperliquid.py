"""Hyperliquid's payloads to facts, and our requests to its payloads. Strict, total, pure.

A row that lacks a number, or has a float where money should be, raises WireError with the name of
the field: nothing is made up for it. Keys that are not needed are passed over, as the set grows
without notice. Shapes: the exchange's API documentation, info endpoint and subscriptions.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hlposmon.domain.amounts import amount, exactly, plain
from hlposmon.domain.reports import Fill, Funding, Happened, Happening, Side, StatedPosition, Statement
from hlposmon.errors import WireError
from hlposmon.wire.text import dumps, loads

VENUE = "hyperliquid"
# A key has 64 bytes in the snapshot, a symbol ("COIN-USD") 48.
MAX_COIN_BYTES = 44
_SIDES = {"B": Side.BUY, "A": Side.SELL}
# A conflated price message of all dexes is about 20 kB when unpacked; this is a guard, not a limit.
_MAX_UNPACKED = 8 << 20
# What can be written as a date: the last millisecond of the year 9999.
_LAST_MS = 253_402_300_799_999
_SETTLED_OUTCOME = re.compile(r"o[0-9]+\Z")
PING = dumps({"method": "ping"})


@dataclass(frozen=True, slots=True)
class Message:
    """One WebSocket message: the channel's name and its data. `channel` is "" for plain text."""

    channel: str
    data: Any


def message(raw: bytes | str) -> Message:
    """Read one text frame. The greeting after the connect is not JSON and is no error."""
    if raw[:1] not in (b"{", "{"):
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        if text.startswith("Websocket connection established"):
            return Message("", text)
        raise WireError(f"not a message: {text[:60]!r}")
    body = _object(loads(raw), "message")
    return Message(_text(body, "channel"), body.get("data"))


# ------------------------------------------------------------------ requests


def subscription(kind: str, **fields: Any) -> bytes:
    return dumps({"method": "subscribe", "subscription": {"type": kind, **fields}})


def info(kind: str, **fields: Any) -> bytes:
    return dumps({"type": kind, **fields})


def acknowledges(data: Any, kind: str, address: str | None = None) -> bool:
    """Whether a subscriptionResponse is the answer to that subscription: the echo is normalised."""
    if not isinstance(data, dict) or data.get("method") != "subscribe":
        return False
    echo = data.get("subscription")
    if not isinstance(echo, dict) or echo.get("type") != kind:
        return False
    return address is None or str(echo.get("user", "")).lower() == address.lower()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the `error` channel says of a subscription, and which it is where the text names it.

    `already`: we have it, so it is no loss. `limit`: there is no room for more (users, channels); such
    a text never names the subscription that was refused.
    """

    text: str
    already: bool = False
    limit: bool = False
    kind: str | None = None
    user: str | None = None


def refusal(data: Any) -> Refusal:
    """Read the text of an `error` message; total: what is not known is a refusal that names nothing."""
    text = str(data)
    kind = user = None
    if (at := text.find("{")) >= 0:
        try:
            echo = loads(text[at : text.rindex("}") + 1])
        except (WireError, ValueError):
            echo = None
        if isinstance(echo, dict):
            kind, user = (
                echo[name] if isinstance(echo.get(name), str) else None for name in ("type", "user")
            )
    return Refusal(
        text=text,
        already=text.startswith("Already subscribed"),
        limit=text.startswith(("Cannot track more than", "Cannot subscribe to more than")),
        kind=kind,
        user=user.lower() if user else None,
    )


# ------------------------------------------------------------------ keys


def is_watched(coin: str) -> bool:
    """Whether `coin` is a perpetual of the first dex: not spot (`@107`, `PURR/USDC`), not an outcome
    (`#120`, `+120`, settled `o12`), not another dex's (`xyz:TSLA`)."""
    return not any(sign in coin for sign in "@#+/:") and not _SETTLED_OUTCOME.match(coin)


def key_of(coin: str) -> str:
    """The key of a perpetual; WireError for a name that no key has room for."""
    if not coin.isprintable() or len(coin.encode()) > MAX_COIN_BYTES:
        raise WireError(f"coin: not a name of at most {MAX_COIN_BYTES} bytes: {coin[:60]!r}")
    return f"{VENUE}:Perp:{coin}"


def coin_of(key: str) -> str:
    return key.split(":", 2)[2]


# ------------------------------------------------------------------ fills


def fills(rows: Any, account: str, address: str) -> tuple[list[Fill], list[str]]:
    """The fills of watched perpetuals in the order given, and the coins of the others."""
    found, others = [], []
    for row in _list(rows, "fills"):
        body = _object(row, "fill")
        coin = _text(body, "coin")
        if is_watched(coin):
            found.append(_fill(body, coin, account, address))
        else:
            others.append(coin)
    return found, others


def times(rows: Any) -> list[int]:
    """The times of rows of any kind, in the order given."""
    return [_time(_object(row, "row")) for row in _list(rows, "rows")]


def _fill(body: dict[str, Any], coin: str, account: str, address: str) -> Fill:
    side = _SIDES.get(_text(body, "side"))
    if side is None:
        raise WireError(f"fill: side is neither B nor A: {body['side']!r}")
    size = _amount(body, "sz")
    if size <= 0:
        raise WireError(f"fill: sz is not positive: {body['sz']!r}")
    liquidation = body.get("liquidation")
    if liquidation is not None:
        liquidation = _object(liquidation, "liquidation")
    # Both sides' fills carry it; it was ours only when the liquidated user is.
    ours = liquidation is not None and str(liquidation.get("liquidatedUser", "")).lower() == address.lower()
    return Fill(
        account=account,
        key=key_of(coin),
        time_ms=_time(body),
        side=side,
        size=size,
        price=_amount(body, "px"),
        start_position=_amount(body, "startPosition"),
        fee=_amount(body, "fee"),
        # Rows of 2023 have neither: fees were in USDC, and no trade id was given.
        fee_token=_text(body, "feeToken") if "feeToken" in body else "USDC",
        closed_pnl=_amount(body, "closedPnl"),
        order_id=_integer(body, "oid"),
        trade_id=_integer(body, "tid") if "tid" in body else None,
        hash=_text(body, "hash"),
        direction=_text(body, "dir"),
        crossed=body.get("crossed") is True,
        liquidation=str(liquidation.get("method", "market")) if ours and liquidation else None,
    )


# ------------------------------------------------------------------ statements


def statement(
    body: Any,
    account: str,
    *,
    asked_s: float,
    now_ms: int,
    fills_from_ms: int | None = None,
    pushed: bool = False,
) -> Statement:
    """A clearinghouseState as a statement of the first dex. Answers of 2023 have no time: `now_ms`."""
    state = _object(body, "clearinghouseState")
    summary = _object(state.get("marginSummary"), "marginSummary")
    rows = _list(state.get("assetPositions"), "assetPositions")
    return Statement(
        account=account,
        venue=VENUE,
        time_ms=_time(state) if "time" in state else now_ms,
        asked_s=asked_s,
        positions=tuple(_stated(_object(row, "assetPosition").get("position")) for row in rows),
        equity=_amount(summary, "accountValue"),
        margin_used=_amount(summary, "totalMarginUsed"),
        withdrawable=_amount(state, "withdrawable"),
        fills_from_ms=fills_from_ms,
        pushed=pushed,
    )


def state_push(
    data: Any, channel: str, names: Mapping[str, str], *, heard_s: float, now_ms: int
) -> tuple[str, Statement | None, list[str]] | None:
    """A pushed account state: whose (the address), what the first dex states, and the coins that are
    held on other dexes, in their order. `names` has the account's name by address.

    For `clearinghouseState` (one dex) and `allDexsClearinghouseState` (the first dex is ""). No
    statement where the first dex is not in it: that is unknown and not flat. None for a stranger.
    """
    body = _object(data, channel)
    user = _text(body, "user").lower()
    if channel == "clearinghouseState":
        states = [(_text(body, "dex"), body.get("clearinghouseState"))]
    else:
        states = [_pair(row) for row in _list(body.get("clearinghouseStates"), "clearinghouseStates")]
    if user not in names:
        return None
    first, others = None, set()
    for dex, state in states:
        if dex == "":
            first = statement(state, names[user], asked_s=heard_s, now_ms=now_ms, pushed=True)
            continue
        for row in _list(_object(state, f"dex {dex}").get("assetPositions"), "assetPositions"):
            others.add(_text(_object(_object(row, "assetPosition").get("position"), "position"), "coin"))
    return user, first, sorted(others)


def _pair(row: Any) -> tuple[str, Any]:
    pair = _list(row, "clearinghouseStates")
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise WireError(f"clearinghouseStates: a dex and its state are wanted, not {row!r:.60}")
    return pair[0], pair[1]


def _stated(row: Any) -> StatedPosition:
    """One position. The shown entry price is truncated; the exact one, and the mark, are worked out:
    `mark = positionValue / |szi|`, `entry = (szi * mark - unrealizedPnl) / szi`."""
    body = _object(row, "position")
    size, value = _amount(body, "szi"), _amount(body, "positionValue")
    leverage = _object(body.get("leverage"), "leverage")
    liquidation = body.get("liquidationPx")
    if not size:
        raise WireError("position: szi is zero; flat coins are left out of a statement")
    if value < 0:
        raise WireError(f"position: positionValue is negative: {body['positionValue']!r}")
    with exactly():
        held = value if size > 0 else -value
        entry = (held - _amount(body, "unrealizedPnl")) / size
        # Both amounts are given to six decimals; beyond that and a part in a million they are equal.
        tolerance = Decimal("0.000003") / abs(size) + abs(entry) / 1_000_000
        mark = value / abs(size)
    return StatedPosition(
        key=key_of(_text(body, "coin")),
        size=size,
        entry_price=entry,
        mark_price=mark if value else None,
        leverage=Decimal(_integer(leverage, "value")),
        margin_used=_amount(body, "marginUsed"),
        liquidation_price=None if liquidation is None else _amount(body, "liquidationPx"),
        tolerance=tolerance,
    )


# ------------------------------------------------------------------ funding


def fundings(rows: Any, account: str) -> list[Funding]:
    """Funding payments of watched perpetuals; REST wraps each in `delta`, the stream does not."""
    found = []
    for row in _list(rows, "fundings"):
        body = _object(row, "funding")
        delta = _object(body["delta"], "delta") if "delta" in body else body
        coin = _text(delta, "coin")
        if is_watched(coin):
            found.append(
                Funding(
                    account=account,
                    key=key_of(coin),
                    time_ms=_time(body),
                    amount=_amount(delta, "usdc"),
                    size=_amount(delta, "szi"),
                    rate=_amount(delta, "fundingRate"),
                )
            )
    return found


# ------------------------------------------------------------------ what else befalls an account

_AMOUNTS = ("usdc", "netWithdrawnUsd", "amount")
_MOVES = frozenset(
    (
        "deposit",
        "withdraw",
        "internalTransfer",
        "accountClassTransfer",
        "subAccountTransfer",
        "spotTransfer",
        "send",
        "spotGenesis",
        "rewardsClaim",
        "vaultCreate",
        "vaultDeposit",
        "vaultDistribution",
        "vaultWithdraw",
        "vaultLeaderCommission",
        "cStakingTransfer",
        "borrowLend",
        "deployGasAuction",
        "accountActivationGas",
        "perpDexClassTransfer",
    )
)


def happenings(rows: Any, account: str) -> list[Happened]:
    """What userNonFundingLedgerUpdates tells, in the order given: REST's rows, or the stream's data.

    A type that is not known is told too, as something other: it may have moved balances.
    """
    if isinstance(rows, dict):
        rows = rows.get("nonFundingLedgerUpdates")
    found = []
    for row in _list(rows, "nonFundingLedgerUpdates"):
        body = _object(row, "ledger update")
        delta = _object(body.get("delta"), "delta")
        found.append(_happened(delta, _text(delta, "type"), account, _time(body)))
    return found


def _happened(delta: dict[str, Any], kind: str, account: str, time_ms: int) -> Happened:
    if kind == "liquidation":
        lost = _list(delta.get("liquidatedPositions"), "liquidatedPositions")
        coins = [_text(_object(row, "liquidated position"), "coin") for row in lost]
        keys = tuple(key_of(coin) for coin in coins if is_watched(coin))
        return Happened(account, time_ms, Happening.LIQUIDATION, ", ".join(coins), keys)
    if kind == "activateDexAbstraction":
        return Happened(account, time_ms, Happening.MODE_CHANGE, "dex abstraction was activated")
    moved = next((name for name in _AMOUNTS if name in delta), None)
    text = kind[:60]
    if moved is not None:
        token = delta.get("token", "USDC")
        text = f"{text} of {plain(_amount(delta, moved))} {token if isinstance(token, str) else '?':.20}"
    return Happened(account, time_ms, Happening.TRANSFER if kind in _MOVES else Happening.OTHER, text)


def venue_time(body: Any) -> int:
    """An exchangeStatus answer: the venue's time in milliseconds."""
    return _time(_object(body, "exchangeStatus"))


def abstraction(body: Any) -> str:
    """A userAbstraction answer, a bare string: default, disabled, unifiedAccount, portfolioMargin,
    dexAbstraction, or whatever mode comes after these."""
    if not isinstance(body, str) or not body.isprintable() or not 0 < len(body) <= 60:
        raise WireError(f"userAbstraction: a short text is wanted, not {body!r:.60}")
    return body


# ------------------------------------------------------------------ prices


def fast_marks(data: Any) -> dict[str, Decimal]:
    """Mark prices by key of a fastAssetCtxs message: base64 of raw DEFLATE of JSON, by coin.

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
    prices = {}
    for coin, body in _object(loads(raw), "fastAssetCtxs").items():
        context = _object(body, f"fastAssetCtxs {coin}")
        if context.get("markPx") is not None and is_watched(coin):
            prices[key_of(coin)] = _amount(context, "markPx")
    return prices


def marks_of(statements: Iterable[Statement]) -> dict[str, Decimal]:
    """The mark prices that statements imply, exact where the venue's are."""
    return {
        position.key: position.mark_price
        for statement in statements
        for position in statement.positions
        if position.mark_price is not None
    }


# ------------------------------------------------------------------ identity


def role(body: Any) -> tuple[str, str | None]:
    """A userRole answer: the role, and the master's address of an agent or sub-account."""
    answer = _object(body, "userRole")
    data = answer.get("data")
    if data is None:
        return _text(answer, "role"), None
    owner = _object(data, "userRole data")
    name = next((name for name in ("user", "master") if name in owner), None)
    return _text(answer, "role"), _text(owner, name).lower() if name else None


# ------------------------------------------------------------------ fields


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WireError(f"{name}: an object is wanted, not {type(value).__name__}")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise WireError(f"{name}: a list is wanted, not {type(value).__name__}")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise WireError(f"{name}: text is wanted, not {value!r:.60}")
    return value


def _integer(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise WireError(f"{name}: a whole number is wanted, not {value!r:.60}")
    return value


def _time(body: dict[str, Any]) -> int:
    value = _integer(body, "time")
    if not 0 <= value <= _LAST_MS:
        raise WireError(f"time: not milliseconds of a date: {value}")
    return value


def _amount(body: dict[str, Any], name: str) -> Decimal:
    value = body.get(name)
    try:
        return amount(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise WireError(f"{name}: {error}") from error
