"""Name, level and fields of a change's log line. Logs nothing itself."""

import logging

from hlposmon.domain.changes import (
    Adopted,
    AdoptionReason,
    Change,
    Drift,
    Gap,
    Liquidated,
    VerdictChanged,
    whose,
)


def level_of(change: Change) -> int:
    """Return WARNING for a gap, a drift, an adoption after a drift and a liquidation, else INFO.

    Somebody who reads only warnings must see that fills are missing, that book and venue disagreed, and that
    the account was liquidated.
    """
    drifted = isinstance(change, Adopted) and change.reason is AdoptionReason.DRIFT
    return logging.WARNING if drifted or isinstance(change, Gap | Drift | Liquidated) else logging.INFO


def name_of(change: Change) -> str:
    """Return the name of a change in the log: its class in lower case, or "verdict"."""
    return "verdict" if isinstance(change, VerdictChanged) else type(change).__name__.lower()


def facts_of(change: Change) -> dict[str, object]:
    """Return the fields of a change's log line: account, key, and its own attributes."""
    account, key = whose(change)
    if isinstance(change, Adopted):
        return {
            "account": account,
            "key": key,
            "reason": change.reason,
            "before": change.before.size,
            "size": change.position.size,
        }
    names = [name for name in type(change).__slots__ if name not in ("account", "key")]
    return {"account": account, "key": key, **{name: getattr(change, name) for name in names}}
