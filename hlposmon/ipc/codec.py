"""Reports to the bytes that a queue carries, and back, exactly.

One JSON array a report: its kind, then its fields in the order of the class. Decimals are strings.
Both ends are of one installation, so there is no version; a strange datagram raises WireError.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from hlposmon.domain.reports import (
    AccountMode,
    AccountRole,
    Ask,
    Bell,
    BellReason,
    Connected,
    FeedState,
    Fetched,
    Fill,
    Fills,
    Following,
    Funding,
    Happened,
    Happening,
    Heard,
    HistoryEvent,
    HistoryRemark,
    HistoryState,
    Joined,
    Left,
    Live,
    Marks,
    NotFetched,
    Notice,
    NoticeCode,
    NotWatched,
    Place,
    Report,
    Side,
    StatedPosition,
    Statement,
    Unlisted,
    Welcome,
)
from hlposmon.errors import WireError
from hlposmon.text import dumps, loads


def encode(report: Report | Ask) -> bytes:
    match report:
        case Fills():
            rows = [_fill_row(fill) for fill in report.fills]
            end = () if report.from_ms is None else (report.from_ms,)
            return dumps(["fills", report.account, report.source, rows, report.heard_s, *end])
        case Marks():
            prices = {key: str(price) for key, price in report.prices.items()}
            return dumps(["marks", report.heard_s, prices, report.missing])
        case Statement():
            return dumps(["statement", *_statement_row(report)])
        case Funding():
            return dumps(
                [
                    "funding",
                    report.account,
                    report.key,
                    report.time_ms,
                    report.amount,
                    report.size,
                    report.rate,
                ]
            )
        case FeedState():
            return dumps(["feed", report.account, report.feed, report.live, report.at_s, report.reason])
        case Heard():
            return dumps(["heard", report.feed, report.at_s])
        case Following():
            return dumps(["following", report.account, report.feed, report.since_s, report.whole_from_ms])
        case Fetched():
            return dumps(["fetched", report.account, report.from_ms, report.asked_s])
        case NotFetched():
            return dumps(["not fetched", report.account, report.reason])
        case Notice():
            return dumps(["notice", report.account, report.code.value, report.text, report.source])
        case NotWatched():
            return dumps(["not watched", report.account, report.place.value, report.holdings])
        case AccountMode():
            return dumps(["mode", report.account, report.mode, report.plain, report.reason])
        case AccountRole():
            return dumps(["role", report.account, report.role, report.owner])
        case Happened():
            return dumps(
                ["happened", report.account, report.time_ms, report.kind.value, report.text, report.keys]
            )
        case Unlisted():
            return dumps(["unlisted", report.account, report.since_ms, report.until_ms, report.reason])
        case HistoryState():
            return dumps(["history", report.seq, report.failure])
        case HistoryRemark():
            return dumps(["history remark", report.event.value, report.facts])
        case Connected():
            return dumps(["connected", report.worker, report.count])
        case Joined():
            return dumps(["joined", report.worker, report.kind, report.addresses])
        case Left():
            return dumps(["left", report.worker, report.kind])
        case Welcome():
            return dumps(["welcome", report.high_water_ms, report.modes, report.roles])
        case Bell():
            return dumps(["bell", report.account, report.since_ms, report.reason.value])
        case Live():
            return dumps(["live", report.account, report.known_ms, report.since_s])


def decode(raw: bytes) -> Report | Ask:
    body = loads(raw)
    try:
        return _READERS[body[0]](*body[1:])
    except (KeyError, TypeError, ValueError, ArithmeticError, IndexError, AttributeError) as error:
        raise WireError(f"not a report: {raw[:60]!r}") from error


def _fill_row(fill: Fill) -> list[Any]:
    return [
        fill.account,
        fill.key,
        fill.time_ms,
        fill.side,
        str(fill.size),
        str(fill.price),
        str(fill.start_position),
        str(fill.fee),
        fill.fee_token,
        str(fill.closed_pnl),
        fill.order_id,
        fill.trade_id,
        fill.hash,
        fill.direction,
        fill.crossed,
        fill.liquidation,
    ]


def _fill_of(row: list[Any]) -> Fill:
    account, key, time_ms, side, size, price, start, fee, fee_token, closed_pnl, *rest = row
    return Fill(
        account,
        key,
        time_ms,
        _SIDES[side],
        _repeated(size),
        _repeated(price),
        _repeated(start),
        _repeated(fee),
        fee_token,
        _repeated(closed_pnl),
        *rest,
    )


def _statement_row(statement: Statement) -> list[Any]:
    return [
        statement.account,
        statement.venue,
        statement.time_ms,
        statement.asked_s,
        [
            [
                stated.key,
                stated.size,
                stated.entry_price,
                stated.mark_price,
                stated.leverage,
                stated.margin_used,
                stated.liquidation_price,
                stated.tolerance,
            ]
            for stated in statement.positions
        ],
        statement.equity,
        statement.margin_used,
        statement.withdrawable,
        statement.fills_from_ms,
        statement.pushed,
        statement.unread,
    ]


def _statement_of(
    account: str,
    venue: str,
    time_ms: int,
    asked_s: float,
    positions: list[list[Any]],
    equity: str | None,
    margin_used: str | None,
    withdrawable: str | None,
    fills_from_ms: int | None,
    pushed: bool,
    unread: dict[str, str],
) -> Statement:
    return Statement(
        account=account,
        venue=venue,
        time_ms=time_ms,
        asked_s=asked_s,
        positions=tuple(
            StatedPosition(
                key=key,
                size=_number(size),
                entry_price=_maybe(entry_price),
                mark_price=_maybe(mark_price),
                leverage=_maybe(leverage),
                margin_used=_maybe(used),
                liquidation_price=_maybe(liquidation_price),
                tolerance=_number(tolerance),
            )
            for key, size, entry_price, mark_price, leverage, used, liquidation_price, tolerance in positions
        ),
        equity=_maybe(equity),
        margin_used=_maybe(margin_used),
        withdrawable=_maybe(withdrawable),
        fills_from_ms=fills_from_ms,
        pushed=pushed,
        unread=unread,
    )


def _number(text: str) -> Decimal:
    value = Decimal(text) if type(text) is str else None
    if value is None or not value.is_finite():
        raise ValueError(f"not an amount: {text!r:.60}")
    return value


# Of the amounts of a burst of fills about half are spelled as one before.
_repeated = lru_cache(maxsize=1024)(_number)
_SIDES = {side.value: side for side in Side}


def _prices_of(texts: dict[str, str]) -> dict[str, Decimal]:
    """As `_number` for each, in three sweeps: there are hundreds each second."""
    if not {*map(type, texts.values())} <= {str}:
        raise ValueError("a price is no text")
    prices = dict(zip(texts, map(Decimal, texts.values()), strict=True))
    if not all(map(Decimal.is_finite, prices.values())):
        raise ValueError("a price is not finite")
    return prices


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else _number(text)


_READERS: dict[str, Callable[..., Report | Ask]] = {
    "fills": lambda account, source, rows, heard_s, from_ms=None: Fills(
        account, source, tuple(map(_fill_of, rows)), heard_s, from_ms=from_ms
    ),
    "marks": lambda heard_s, prices, missing: Marks(_prices_of(prices), heard_s, tuple(missing)),
    "statement": _statement_of,
    "funding": lambda account, key, time_ms, paid, size, rate: Funding(
        account, key, time_ms, _number(paid), _number(size), _number(rate)
    ),
    "feed": FeedState,
    "heard": Heard,
    "following": Following,
    "fetched": Fetched,
    "not fetched": NotFetched,
    "notice": lambda account, code, text, source: Notice(account, NoticeCode(code), text, source),
    "not watched": lambda account, place, holdings: NotWatched(account, Place(place), tuple(holdings)),
    "mode": AccountMode,
    "role": AccountRole,
    "happened": lambda account, time_ms, kind, text, keys: Happened(
        account, time_ms, Happening(kind), text, tuple(keys)
    ),
    "unlisted": Unlisted,
    "history": HistoryState,
    "history remark": lambda event, facts: HistoryRemark(HistoryEvent(event), dict(facts)),
    "connected": Connected,
    "joined": Joined,
    "left": Left,
    "welcome": lambda marks_ms, modes, roles: Welcome(
        marks_ms, modes, {name: (role, owner) for name, (role, owner) in roles.items()}
    ),
    "bell": lambda account, since_ms, reason: Bell(account, since_ms, BellReason(reason)),
    "live": Live,
}
