"""The audit journal's lines: changes as JSON objects, chained by hashes; and the state rebuilt from them.

A line is one object. Its last two fields are `prev`, the hash of the line before, and `hash`, the
SHA-256 (hex) of the line's own bytes up to, but without, `,"hash":…`:

    {"seq":8,"timestamp":…,"type":"fill",…,"prev":"<hash of line 7>","hash":"<SHA-256 of all before this>"}

Altering, removing or moving a line therefore breaks the chain, across days too. Amounts are decimal strings:
a line never holds a float.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from hlposmon.domain.cash import CashMemory, LedgerMemory
from hlposmon.domain.changes import (
    Adopted,
    Change,
    Doubt,
    Drift,
    Filled,
    Funded,
    Gap,
    Healed,
    Liquidated,
    VerdictChanged,
    whose,
)
from hlposmon.domain.instrument import market_of
from hlposmon.domain.payments import Payments
from hlposmon.domain.placing import LAG_MS, STATEMENT_BLUR_MS
from hlposmon.domain.position import Position
from hlposmon.domain.rendering import entry, fill_id, number, symbol_of, time_text
from hlposmon.domain.reports import FIRST_SCOPE, OTHER_SCOPES, Identity
from hlposmon.domain.views import Memory, window_ms
from hlposmon.errors import WireError
from hlposmon.text import dumps, loads

FIRST_PREV = "0" * 64
CHECKPOINT_MARK = b'"type":"checkpoint"'
_HASH_FIELD = b',"hash":"'


def seal(body: dict[str, Any], *, seq: int, prev: str) -> tuple[bytes, str]:
    """Return line `seq` as bytes, newline included, and its hash; `prev` is the hash of the line before."""
    raw = dumps({"seq": seq, **body, "prev": prev})
    digest = hashlib.sha256(raw[:-1]).hexdigest()
    return raw[:-1] + _HASH_FIELD + digest.encode() + b'"}\n', digest


def open_line(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line. Raises WireError unless the line is whole and has the right hash."""
    body, mark, rest = line.rstrip(b"\n").rpartition(_HASH_FIELD)
    if not mark or rest[-2:] != b'"}' or hashlib.sha256(body).hexdigest().encode() != rest[:-2]:
        raise WireError(f"a line whose hash is not that of its bytes: {line[:80]!r}")
    found = loads(line)
    if not isinstance(found, dict) or type(found.get("seq")) is not int or type(found.get("prev")) is not str:
        raise WireError(f"a line that was sealed, but not by us: {line[:80]!r}")
    return found


def body_of(change: Change, *, now_ms: int) -> dict[str, Any] | None:
    """Return the journal's object for a change, or None for a Doubt, which is not journalled.

    `now_ms` is the wall clock in Unix milliseconds. Amounts are decimal strings.
    """
    match change:
        case Filled():
            facts = _fill_facts(change)
            kind = "fill"
        case Adopted():
            facts = {
                "event": change.reason.value,
                "before": _state(change.before),
                "statement_time": time_text(change.statement_ms),
                "statement_ms": change.statement_ms,
                "holds_since_ms": change.holds_since_ms,
                "position": _state(change.position),
            }
            kind = "position_change"
        case Funded(funding=paid):
            facts = {
                "amount": number(paid.amount),
                "size": number(paid.size),
                "rate": number(paid.rate),
                "time_ms": paid.time_ms,
                "position": _state(change.position),
            }
            kind = "funding"
        case Gap():
            facts = {
                "expected": number(change.expected),
                "found": number(change.found),
                "since": time_text(change.since_ms),
                "since_ms": change.since_ms,
            }
            kind = "gap"
        case Healed():
            facts = {"missing": change.missing, "since": time_text(change.since_ms)}
            kind = "healed"
        case Drift():
            facts = {
                "book_size": number(change.ours),
                "venue_size": number(change.theirs),
                "cause": change.cause,
                "statement_time": time_text(change.statement_ms),
            }
            kind = "drift"
        case Liquidated():
            facts = {
                "method": change.method,
                "order_id": None if change.order_id is None else str(change.order_id),
                "time": time_text(change.time_ms),
                "time_ms": change.time_ms,
            }
            kind = "liquidation"
        case VerdictChanged():
            facts = {
                "verdict": change.verdict.value,
                "reason": change.reason,
                "before": change.before.value if change.before else None,
            }
            kind = "verdict"
        case Doubt():
            return None
    account, key = whose(change)
    return {
        "timestamp": time_text(now_ms),
        "type": kind,
        "account": account,
        "key": key,
        "symbol": symbol_of(key),
        **facts,
    }


def _fill_facts(change: Filled) -> dict[str, Any]:
    fill = change.fill
    return {
        "side": str(fill.side),
        "quantity": number(fill.size),
        "price": number(fill.price),
        "fee": number(fill.fee),
        "fee_token": fill.fee_token,
        "fill_id": fill_id(fill),
        "order_id": str(fill.order_id),
        "start_position": number(fill.start_position),
        "closed_pnl": number(fill.closed_pnl),
        "direction": fill.direction,
        "crossed": fill.crossed,
        "liquidation": fill.liquidation,
        "cause": str(fill.cause),
        "twap_id": fill.twap_id,
        "builder_fee": None if fill.builder_fee is None else number(fill.builder_fee),
        "tid": fill.trade_id,
        "hash_of_transaction": fill.hash,
        "time_ms": fill.time_ms,
        "effect": str(change.effect) if change.effect else None,
        "late": change.late,
        "position": _state(change.position),
    }


def event(kind: str, *, now_ms: int, **facts: Any) -> dict[str, Any]:
    """Return the journal's object for an event that is not a change of a position, for example a start."""
    return {"timestamp": time_text(now_ms), "type": kind, **facts}


# ------------------------------------------------------------------ recovery


@dataclass(slots=True)
class Recovered:
    """The state that the lines since the last checkpoint add up to.

    `seq` and `prev` are number and hash of the last line; `addresses` are by account, `base_ms` (time of the
    first statement, Unix milliseconds) by account and scope, `memories` by account and key.
    """

    seq: int = 0
    prev: str = FIRST_PREV
    addresses: dict[str, str] = field(default_factory=dict)
    base_ms: dict[str, dict[str, int]] = field(default_factory=dict)
    memories: dict[tuple[str, str], Memory] = field(default_factory=dict)
    # By account and key ("" for the whole account), since when in Unix milliseconds: `gaps` where a fill is
    # missing or no feed was live, `unfinished` where a fetch has not ended. Each is closed by its own line.
    gaps: dict[str, dict[str, int]] = field(default_factory=dict)
    unfinished: dict[str, dict[str, int]] = field(default_factory=dict)
    # How the cash of each account's dexes came about.
    cash: dict[str, LedgerMemory] = field(default_factory=dict)
    mode: str = ""

    @property
    def unsure(self) -> dict[str, dict[str, int]]:
        """By account, the keys whose fills may be incomplete, since the earlier of `gaps` and `unfinished`.

        The key "" stands for the whole account; times are Unix milliseconds.
        """
        found = {name: dict(since_ms) for name, since_ms in self.gaps.items()}
        for name, keys in self.unfinished.items():
            of = found.setdefault(name, {})
            for key, since_ms in keys.items():
                of[key] = min(since_ms, of.get(key, since_ms))
        return found

    def forget_owed_payments(self) -> None:
        """Count all funding up to the newest known payment as booked; call when lines are missing."""
        self.memories = {
            name: replace(one, payments=Payments(one.payments.last_ms)) for name, one in self.memories.items()
        }


def checkpoint(
    memories: list[Memory],
    base_ms: Mapping[str, Mapping[str, int]],
    addresses: dict[str, str],
    *,
    unsure: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    unfinished: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    cash: Mapping[str, LedgerMemory] = MappingProxyType({}),
    mode: str = "",
) -> dict[str, Any]:
    """Return the facts of a checkpoint line: all that recovery needs, so that it reads nothing older.

    `base_ms` is by account and scope, `addresses` by account; `unsure` and `unfinished` as in `Recovered`, in
    Unix milliseconds. `replay` reads the same fields back. The line has the first dex's base by account, and
    those of other scopes, where there are any, in `scopes`.
    """
    first = {name: base[FIRST_SCOPE] for name, base in base_ms.items() if FIRST_SCOPE in base}
    scopes = {
        name: {scope: at_ms for scope, at_ms in base.items() if scope != FIRST_SCOPE}
        for name, base in base_ms.items()
    }
    scopes = {name: base for name, base in scopes.items() if base}
    return {
        "mode": mode,
        "unsure": {name: dict(since_ms) for name, since_ms in unsure.items()},
        "unfinished": {name: dict(since_ms) for name, since_ms in unfinished.items()},
        "addresses": addresses,
        "base_ms": first,
        **({"scopes": scopes} if scopes else {}),
        "cash": {name: _cash_row(memory) for name, memory in cash.items() if memory.floor_ms},
        "book": [
            {
                "account": memory.account,
                "key": memory.key,
                "known_ms": memory.known_ms,
                "is_first": memory.is_first,
                "last_funding_ms": memory.payments.last_ms,
                "funding_floor_ms": memory.payments.floor_ms,
                "fundings": list(memory.payments.booked),
                "position": _state(memory.position),
                "seen": [list(identity) for identity in memory.seen],
            }
            for memory in memories
        ],
    }


def replay(body: dict[str, Any], into: Recovered) -> None:
    """Apply one opened line to `into`. Lines must come in order, the first one being a checkpoint.

    A checkpoint may be ahead of the lines that follow it, because it holds everything that one report
    changed. Lines whose effect it already holds are skipped.
    """
    kind = body["type"]
    if kind == "checkpoint":
        into.addresses = dict(body["addresses"])
        into.base_ms = {name: {FIRST_SCOPE: at_ms} for name, at_ms in body["base_ms"].items()}
        for name, base in body.get("scopes", {}).items():
            into.base_ms.setdefault(name, {}).update(base)
        into.mode = body["mode"]
        into.gaps = {name: dict(since_ms) for name, since_ms in body["unsure"].items()}
        into.unfinished = {name: dict(keys) for name, keys in body.get("unfinished", {}).items()}
        into.memories = {(row["account"], row["key"]): _memory(row) for row in body["book"]}
        into.cash = {name: _cash_memory(row) for name, row in body.get("cash", {}).items()}
    elif kind in ("transfer", "ledger"):
        _replay_cash(body, into)
    elif kind == "stated":
        _replay_stated(body, into)
    elif kind in ("gap", "healed", "feed", "fetching", "fetched"):
        _replay_doubt(body, into)
    elif kind in ("fill", "position_change", "funding"):
        if body.get("event") == "drift":
            _replay_drift(body, into)
        _replay_change(body, into)


def _replay_stated(body: dict[str, Any], into: Recovered) -> None:
    """A scope's first statement. If it had one before, what was known from that one no longer counts."""
    account, scope = body["account"], body.get("scope", FIRST_SCOPE)
    base_ms = into.base_ms.setdefault(account, {})
    before, base_ms[scope] = base_ms.get(scope), body["base_ms"]
    if before is not None and before != body["base_ms"]:
        into.memories = {
            name: one
            for name, one in into.memories.items()
            if name[0] != account or market_of(name[1]) != scope
        }


def _replay_doubt(body: dict[str, Any], into: Recovered) -> None:
    """Open or close a gap, outage or fetch: a restart must still know that fills may be missing."""
    kind, key = body["type"], body.get("key", "")
    of = into.unfinished if kind in ("fetching", "fetched") else into.gaps
    since_ms = of.setdefault(body["account"], {})
    if kind in ("gap", "fetching") or (kind == "feed" and not body["live"]):
        if body["since_ms"] is not None:
            since_ms[key] = min(body["since_ms"], since_ms.get(key, body["since_ms"]))
    else:
        since_ms.pop(key, None)


def _replay_cash(body: dict[str, Any], into: Recovered) -> None:
    """A transfer that was booked, or what a statement said of a dex's cash."""
    account = body["account"]
    memory = into.cash.get(account, LedgerMemory())
    if body["type"] == "transfer":
        moves = [(move["scope"], Decimal(move["amount"])) for move in body["moves"]]
        into.cash[account] = memory.with_transfer((body["time_ms"], body["id"]), moves)
        return
    one = CashMemory(
        opening=Decimal(body["opening"]),
        since_ms=body["since_ms"],
        transfers=Decimal(body["transfers"]),
        unexplained=Decimal(body["unexplained"]),
        as_of_ms=body["statement_ms"],
    )
    floor_ms = memory.floor_ms or max(1, body["since_ms"] - LAG_MS)
    into.cash[account] = LedgerMemory({**memory.dexes, body["scope"]: one}, floor_ms, memory.seen)


def _cash_row(memory: LedgerMemory) -> dict[str, Any]:
    return {
        "floor_ms": memory.floor_ms,
        "seen": [list(one) for one in memory.seen],
        "dexes": {
            scope: {
                "opening": number(one.opening),
                "since_ms": one.since_ms,
                "transfers": number(one.transfers),
                "unexplained": number(one.unexplained),
                "as_of_ms": one.as_of_ms,
            }
            for scope, one in memory.dexes.items()
        },
    }


def _cash_memory(row: dict[str, Any]) -> LedgerMemory:
    dexes = {
        scope: CashMemory(
            opening=Decimal(one["opening"]),
            since_ms=one["since_ms"],
            transfers=Decimal(one["transfers"]),
            unexplained=Decimal(one["unexplained"]),
            as_of_ms=one["as_of_ms"],
        )
        for scope, one in row["dexes"].items()
    }
    return LedgerMemory(dexes, row["floor_ms"], tuple((at_ms, name) for at_ms, name in row["seen"]))


def _replay_drift(body: dict[str, Any], into: Recovered) -> None:
    """Mark the key as in doubt since the first fill that the adopted size includes. Lines of these fills
    follow the drift, then a checkpoint ends the doubt; if the checkpoint is missing, some of them may be
    missing too."""
    since_ms = into.gaps.setdefault(body["account"], {})
    since_ms.pop(body["key"], None)
    if body.get("holds_since_ms") is not None:
        since_ms[body["key"]] = body["holds_since_ms"]


def _replay_change(body: dict[str, Any], into: Recovered) -> None:
    account, key, kind = body["account"], body["key"], body["type"]
    # Without a first statement of the scope, nothing before this line is known.
    of_account, market = into.base_ms.get(account, {}), market_of(key)
    others_ms = of_account.get(OTHER_SCOPES) if market != FIRST_SCOPE else None
    base_ms = of_account.get(market, body.get("time_ms", 0) if others_ms is None else others_ms)
    old = into.memories.get((account, key)) or _flat(account, key, base_ms)
    position = _position(body["position"])
    known_ms, seen, payments = old.known_ms, old.seen, old.payments
    starts = kind == "position_change" and body["event"] == "start"
    is_first = starts or (old.is_first and (kind == "funding" or body.get("event") == "entry"))
    if position.fills < old.position.fills and not starts:
        return
    if kind == "funding":
        payments = payments.paid(body["time_ms"])
    elif starts:
        known_ms, seen = body["statement_ms"], ()
    elif kind == "position_change":
        # An adopted entry price says nothing about fills: one from before the statement may still arrive.
        if body["event"] != "entry":
            known_ms = max(known_ms, body["statement_ms"] - STATEMENT_BLUR_MS)
            known_ms = min(known_ms, body.get("holds_since_ms") or known_ms)
    else:
        identity = _identity_of(body)
        if body["effect"] is not None and not seen:
            known_ms = min(known_ms, identity[0])  # the statement lagged: it did not hold this fill yet
        if identity not in seen:
            seen = (*seen, identity)
        known_ms = window_ms((one[0] for one in seen), known_ms)
    seen = tuple(identity for identity in seen if identity[0] >= known_ms)
    into.memories[account, key] = Memory(account, key, position, known_ms, payments, seen, is_first)


def _flat(account: str, key: str, since_ms: int) -> Memory:
    """Return the memory of a key that the account's first statement did not name: a flat position."""
    return Memory(account, key, Position(), since_ms, Payments(), (), is_first=True)


def _identity_of(body: dict[str, Any]) -> Identity:
    return (
        body["time_ms"],
        body["key"],
        int(body["order_id"]),
        body["tid"] or 0,
        body["side"],
        Decimal(body["start_position"]),
        Decimal(body["quantity"]),
    )


def _memory(row: dict[str, Any]) -> Memory:
    seen = tuple(
        (time_ms, key, order_id, trade_id, side, Decimal(start), Decimal(size))
        for time_ms, key, order_id, trade_id, side, start, size in row["seen"]
    )
    position = _position(row["position"])
    return Memory(
        account=row["account"],
        key=row["key"],
        position=position,
        known_ms=row["known_ms"],
        # Older checkpoints hold only the time of the newest payment.
        payments=Payments(
            row.get("funding_floor_ms", row["last_funding_ms"]), tuple(row.get("fundings", ()))
        ),
        seen=seen,
        # Checkpoints of older versions lack it; in those, a position without fills is as first stated.
        is_first=row.get("is_first", not position.fills),
    )


def _state(position: Position) -> dict[str, Any]:
    return {
        "size": number(position.size),
        "entry_price": entry(position.entry_price),
        "cost": number(position.cost),
        "realized_pnl": number(position.realized),
        "closed_pnl": number(position.closed_pnl),
        "fees": number(position.fees),
        "funding": number(position.funding),
        "fills": position.fills,
    }


def _position(body: dict[str, Any]) -> Position:
    return Position(
        size=Decimal(body["size"]),
        cost=Decimal(body["cost"]),
        realized=Decimal(body["realized_pnl"]),
        closed_pnl=Decimal(body["closed_pnl"]),
        fees=Decimal(body["fees"]),
        funding=Decimal(body["funding"]),
        fills=body["fills"],
    )
