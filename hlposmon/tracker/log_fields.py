"""What the log says of a change: its name, its level, and its fields. Says nothing itself."""

import logging

from hlposmon.domain.changes import Adopted, AdoptionReason, Change, Drift, Gap, VerdictChanged, whose


def level_of(change: Change) -> int:
    """Who reads only warnings must see that fills are missing, and that book and venue disagreed."""
    drifted = isinstance(change, Adopted) and change.reason is AdoptionReason.DRIFT
    return logging.WARNING if drifted or isinstance(change, Gap | Drift) else logging.INFO


def name_of(change: Change) -> str:
    """What the log calls a change."""
    return "verdict" if isinstance(change, VerdictChanged) else type(change).__name__.lower()


def facts_of(change: Change) -> dict[str, object]:
    """A change as the facts of a log line."""
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
