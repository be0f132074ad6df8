"""The facts of lines and messages about a whole account, as plain values: transfers, and the cash ledger.

Amounts are decimal strings. Nothing is decided here.
"""

from typing import Any

from hlposmon.domain.cash import Point
from hlposmon.domain.rendering import number, time_text
from hlposmon.domain.reports import AccountEvent


def transfer(event: AccountEvent) -> dict[str, Any]:
    """What is said of a transfer: the venue's type and time, and what it moved. A row of a type that is not
    known is given whole, as `row`."""
    return {
        "transfer_type": event.type,
        "time": time_text(event.time_ms),
        "time_ms": event.time_ms,
        "id": event.id[1],
        "text": event.text,
        "moves": [
            {"scope": move.scope, "token": move.token, "amount": number(move.amount)} for move in event.moves
        ],
        "hash_of_transaction": event.hash,
        **({"row": event.row} if event.row else {}),
    }


def ledger(point: Point, quote: str | None) -> dict[str, Any]:
    """How the equity of a dex came about since `since_ms`, in its quote token."""
    terms = point.terms
    return {
        "account": point.account,
        "scope": point.scope,
        "quote": quote,
        "statement_ms": point.time_ms,
        "since_ms": point.since_ms,
        "opening": number(point.opening),
        "equity": number(point.equity),
        "unrealized_pnl": number(point.unrealized),
        "realized_pnl": number(terms.realized),
        "fees": number(terms.fees),
        "funding": number(terms.funding),
        "transfers": number(terms.transfers),
        "unexplained": number(point.unexplained),
    }
