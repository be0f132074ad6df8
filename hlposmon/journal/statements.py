"""Which statements the journal notes, and as what line: a digest of the sizes, and where book and venue
differ. Pure.

Each that was asked for is noted; of the pushed ones, which come each second, one that agrees where the one
before did not, or differs where it did not. A line is about 330 bytes: 0.5 MB a day for an account that is
asked each minute.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from hlposmon.domain.amounts import CONTEXT, plain
from hlposmon.domain.reports import Statement
from hlposmon.journal.lines import event

_DIGEST_BYTES = 8


class StatementNotes:
    """Knows what was last said of each account."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, ...]] = {}

    def body_of(
        self, statement: Statement, differing: Sequence[str], *, now_ms: int
    ) -> dict[str, Any] | None:
        """The journal's object for a statement, with the keys in which it and the book differ; None for a
        pushed one that says nothing new."""
        keys = tuple(sorted(differing))
        before, self._last[statement.account] = self._last.get(statement.account), keys
        if statement.pushed and before == keys:
            return None
        return event(
            "statement",
            now_ms=now_ms,
            account=statement.account,
            source="push" if statement.pushed else "rest",
            statement_ms=statement.time_ms,
            digest=digest_of(statement).hex(),
            agreed=not keys,
            **({"differing": list(keys)} if keys else {}),
        )


def digest_of(statement: Statement) -> bytes:
    """A short hash of the sizes that a statement holds: equal for equal sizes, whatever their order."""
    held = sorted(
        f"{one.key}={plain(one.size.normalize(CONTEXT))}" for one in statement.positions if one.size
    )
    return hashlib.sha256("\n".join(held).encode()).digest()[:_DIGEST_BYTES]
