"""Encodes reports and asks as bytes for a queue, and decodes them without loss.

A message is one JSON array: its kind, then the fields in the order of the class. Decimals are strings:
`["funding","main","hyperliquid:Perp:BTC",1764000000000,"1.2","0.5","0.0000125"]`. Both ends belong to one
installation, so there is no version number.
"""

import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any

from hlposmon.domain.margin import MarginTable, Tier
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    AccountEvent,
    AccountEventKind,
    AccountMode,
    AccountRole,
    Ask,
    Bell,
    BellReason,
    Collateral,
    Connected,
    FeedState,
    Fetched,
    Fill,
    FillCause,
    Fills,
    Following,
    Funding,
    Heard,
    HistoryEvent,
    HistoryRemark,
    HistoryState,
    Joined,
    Left,
    Live,
    MarginMode,
    MarginPool,
    MarginTables,
    Marks,
    Movement,
    NotFetched,
    Notice,
    NoticeCode,
    Place,
    PlaceRead,
    Report,
    Side,
    StatedPosition,
    Statement,
    StatementsWanted,
    SubAccounts,
    TradedOnSpot,
    Unlisted,
    Welcome,
)
from hlposmon.errors import WireError
from hlposmon.text import dumps, loads

_Writer = Callable[[Any], Iterable[Any]]
_Reader = Callable[..., Report | Ask]


def encode(report: Report | Ask) -> bytes:
    """Return a report or ask as the bytes of one message. Raises KeyError for a class that is neither."""
    kind, fields_of = _WRITERS[type(report)]
    return dumps([kind, *fields_of(report)])


def decode(raw: bytes) -> Report | Ask:
    """Return the report or ask that `encode` made these bytes of. Raises WireError for any other bytes."""
    body = loads(raw)
    try:
        return _READERS[body[0]](*body[1:])
    except (KeyError, TypeError, ValueError, ArithmeticError, IndexError, AttributeError) as error:
        raise WireError(f"not a report: {raw[:60]!r}") from error


def _fills_row(fills: Fills) -> list[Any]:
    row = [fills.account, fills.source, [_fill_row(fill) for fill in fills.fills], fills.heard_s]
    return row if fills.from_ms is None else [*row, fills.from_ms]


def _fill_row(fill: Fill) -> list[Any]:
    row = [
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
    if fill.cause is FillCause.ORDER and fill.twap_id is None and fill.builder_fee is None:
        return row  # as nearly all fills are: a burst of them is under way in one queue
    return [*row, fill.cause, fill.twap_id, fill.builder_fee]


def _fill_of(row: list[Any]) -> Fill:
    account, key, time_ms, side, size, price, start, fee, fee_token, closed_pnl, *rest = row
    order_id, trade_id, digest, direction, crossed, liquidation, *more = rest
    cause, twap_id, builder_fee = more or _OF_AN_ORDER
    # Thousands of fills stay in memory: equal texts and amounts share one object.
    return Fill(
        sys.intern(account),
        sys.intern(key),
        time_ms,
        _SIDES[side],
        _repeated(size),
        _repeated(price),
        _repeated(start),
        _repeated(fee),
        sys.intern(fee_token),
        _repeated(closed_pnl),
        order_id,
        trade_id,
        digest,
        sys.intern(direction),
        crossed,
        liquidation,
        _CAUSES[cause],
        twap_id,
        None if builder_fee is None else _repeated(builder_fee),
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
                *_optional_row(stated),
            ]
            for stated in statement.positions
        ],
        statement.equity,
        statement.margin_used,
        statement.withdrawable,
        statement.fills_from_ms,
        statement.pushed,
        statement.unread,
        statement.scope,
        statement.cross_equity,
        statement.cross_cash,
        statement.cross_maintenance,
        statement.margin_ratio,
    ]


def _optional_row(stated: StatedPosition) -> list[Any]:
    """What only some positions have, where there is any: none of it for most tokens."""
    if stated.margin_mode is None and stated.max_leverage is None and stated.cash is None:
        return [] if stated.hold is None else [stated.hold]
    return [stated.hold, stated.margin_mode, stated.max_leverage, stated.cash]


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
    scope: str = FIRST_SCOPE,
    cross_equity: str | None = None,
    cross_cash: str | None = None,
    cross_maintenance: str | None = None,
    margin_ratio: str | None = None,
) -> Statement:
    return Statement(
        account=account,
        venue=venue,
        time_ms=time_ms,
        asked_s=asked_s,
        positions=tuple(_stated_of(*row) for row in positions),
        equity=_maybe(equity),
        margin_used=_maybe(margin_used),
        withdrawable=_maybe(withdrawable),
        fills_from_ms=fills_from_ms,
        pushed=pushed,
        unread=unread,
        scope=sys.intern(scope),
        cross_equity=_maybe(cross_equity),
        cross_cash=_maybe(cross_cash),
        cross_maintenance=_maybe(cross_maintenance),
        margin_ratio=_maybe(margin_ratio),
    )


def _stated_of(
    key: str,
    size: str,
    entry_price: str | None,
    mark_price: str | None,
    leverage: str | None,
    used: str | None,
    liquidation_price: str | None,
    tolerance: str,
    hold: str | None = None,
    margin_mode: str | None = None,
    max_leverage: str | None = None,
    cash: str | None = None,
) -> StatedPosition:
    return StatedPosition(
        key=sys.intern(key),
        size=_number(size),
        entry_price=_maybe(entry_price),
        mark_price=_maybe(mark_price),
        leverage=None if leverage is None else _repeated(leverage),
        margin_used=_maybe(used),
        liquidation_price=_maybe(liquidation_price),
        tolerance=_number(tolerance),
        hold=_maybe(hold),
        margin_mode=None if margin_mode is None else MarginMode(margin_mode),
        max_leverage=None if max_leverage is None else _repeated(max_leverage),
        cash=_maybe(cash),
    )


def _margin_tables_row(report: MarginTables) -> list[Any]:
    """Each table once, with the keys that have it: hundreds of coins share a dozen tables."""
    keys: dict[MarginTable, list[str]] = {}
    for key, table in report.tables.items():
        keys.setdefault(table, []).append(key)
    rows = [[[[tier.lower, tier.max_leverage] for tier in table.tiers], of] for table, of in keys.items()]
    return [report.scope, rows]


def _margin_tables_of(scope: str, rows: list[Any]) -> MarginTables:
    tables: dict[str, MarginTable] = {}
    for tiers, keys in rows:
        table = MarginTable(tuple(Tier(_number(lower), _number(leverage)) for lower, leverage in tiers))
        tables |= dict.fromkeys(map(sys.intern, keys), table)
    return MarginTables(scope, tables)


def _number(text: str) -> Decimal:
    value = Decimal(text) if type(text) is str else None
    if value is None or not value.is_finite():
        raise ValueError(f"not an amount: {text!r:.60}")
    return value


# In a burst of fills, about half of the amounts repeat an earlier one.
_repeated = lru_cache(maxsize=1024)(_number)
_SIDES = {side.value: side for side in Side}
_CAUSES = {cause.value: cause for cause in FillCause}
# What a shorter row of a fill stands for: its cause, TWAP order and builder's fee.
_OF_AN_ORDER = (FillCause.ORDER.value, None, None)


def _prices_of(texts: dict[str, str]) -> dict[str, Decimal]:
    """Convert all prices as `_number` does, but in three bulk passes: there are hundreds a second."""
    if not {*map(type, texts.values())} <= {str}:
        raise ValueError("a price is no text")
    prices = dict(zip(texts, map(Decimal, texts.values()), strict=True))
    if not all(map(Decimal.is_finite, prices.values())):
        raise ValueError("a price is not finite")
    return prices


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else _number(text)


def _plain(kind: str, of: type[Any], *names: str) -> tuple[str, type[Any], _Writer, _Reader]:
    """Return the table's row for a class of plain values; `names` are its fields in the class's order."""
    return kind, of, attrgetter(*names), of


# One row per class: its kind on the wire, the class, a function from an object to its fields, and one back.
_KINDS: tuple[tuple[str, type[Any], _Writer, _Reader], ...] = (
    (
        "fills",
        Fills,
        _fills_row,
        lambda account, source, rows, heard_s, from_ms=None: Fills(
            account, source, tuple(map(_fill_of, rows)), heard_s, from_ms=from_ms
        ),
    ),
    (
        "marks",
        Marks,
        lambda one: (one.heard_s, {key: str(price) for key, price in one.prices.items()}, one.missing),
        lambda heard_s, prices, missing: Marks(_prices_of(prices), heard_s, tuple(missing)),
    ),
    ("statement", Statement, _statement_row, _statement_of),
    (
        "funding",
        Funding,
        attrgetter("account", "key", "time_ms", "amount", "size", "rate"),
        lambda account, key, time_ms, paid, size, rate: Funding(
            account, key, time_ms, _number(paid), _number(size), _number(rate)
        ),
    ),
    _plain("feed", FeedState, "account", "feed", "live", "at_s", "reason"),
    _plain("heard", Heard, "feed", "at_s"),
    _plain("following", Following, "account", "feed", "since_s", "whole_from_ms"),
    _plain("fetched", Fetched, "account", "from_ms", "asked_s"),
    _plain("not fetched", NotFetched, "account", "reason"),
    (
        "notice",
        Notice,
        attrgetter("account", "code", "text", "source"),
        lambda account, code, text, source: Notice(account, NoticeCode(code), text, source),
    ),
    (
        "place read",
        PlaceRead,
        attrgetter("account", "place", "unread", "time_ms", "asked_s"),
        lambda account, place, unread, *as_of: PlaceRead(account, Place(place), tuple(unread), *as_of),
    ),
    (
        "traded on spot",
        TradedOnSpot,
        attrgetter("account", "coins"),
        lambda account, coins: TradedOnSpot(account, tuple(coins)),
    ),
    (
        "statements wanted",
        StatementsWanted,
        attrgetter("account", "scopes"),
        lambda account, scopes: StatementsWanted(account, tuple(scopes)),
    ),
    _plain("collateral", Collateral, "scope", "token"),
    ("margin tables", MarginTables, _margin_tables_row, _margin_tables_of),
    (
        "mode",
        AccountMode,
        attrgetter("account", "mode", "plain", "reason", "pool"),
        lambda account, mode, plain, reason, pool=None: AccountMode(
            account, mode, plain, reason, None if pool is None else MarginPool(pool)
        ),
    ),
    _plain("role", AccountRole, "account", "role", "owner"),
    (
        "sub-accounts",
        SubAccounts,
        attrgetter("account", "found"),
        lambda account, found: SubAccounts(account, tuple((address, name) for address, name in found)),
    ),
    (
        "account event",
        AccountEvent,
        lambda one: (
            one.account,
            one.time_ms,
            one.kind,
            one.text,
            one.keys,
            one.type,
            [(move.scope, move.token, move.amount) for move in one.moves],
            one.hash,
            one.row,
        ),
        lambda account, time_ms, kind, text, keys, type_, moves, hash_, row: AccountEvent(
            account,
            time_ms,
            AccountEventKind(kind),
            text,
            tuple(keys),
            type_,
            tuple(Movement(scope, token, _number(amount)) for scope, token, amount in moves),
            hash_,
            row,
        ),
    ),
    _plain("unlisted", Unlisted, "account", "since_ms", "until_ms", "reason"),
    _plain("history", HistoryState, "seq", "failure"),
    (
        "history remark",
        HistoryRemark,
        attrgetter("event", "facts"),
        lambda event, facts: HistoryRemark(HistoryEvent(event), dict(facts)),
    ),
    _plain("connected", Connected, "worker", "count"),
    _plain("joined", Joined, "worker", "kind", "addresses"),
    _plain("left", Left, "worker", "kind"),
    (
        "welcome",
        Welcome,
        attrgetter("high_water_ms", "modes", "roles"),
        lambda marks_ms, modes, roles: Welcome(
            marks_ms, modes, {name: (role, owner) for name, (role, owner) in roles.items()}
        ),
    ),
    (
        "bell",
        Bell,
        attrgetter("account", "since_ms", "reason"),
        lambda account, since_ms, reason: Bell(account, since_ms, BellReason(reason)),
    ),
    _plain("live", Live, "account", "known_ms", "since_s"),
)
_WRITERS = {of: (kind, fields_of) for kind, of, fields_of, _ in _KINDS}
_READERS = {kind: report_of for kind, _, _, report_of in _KINDS}
