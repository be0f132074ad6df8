"""Words for what a statement shows, as several checks print them. Pure."""

from datetime import UTC, datetime

from hlposmon.domain.amounts import plain
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import Statement

FIRST_DEX = "first dex"
MOST_TEXT = 60


def label(text: str) -> str:
    """A text from outside as it may be printed: at most 60 characters, and none that a terminal obeys."""
    shown = text if text.isprintable() and text else repr(text)
    return shown if len(shown) <= MOST_TEXT else shown[: MOST_TEXT - 3] + "..."


def moment(time_ms: int) -> str:
    """Unix milliseconds as a date in UTC, `2026-11-20T08:00:00Z`."""
    try:
        return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%FT%TZ}"
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms, which is no date"


def dex_name(scope: str) -> str:
    """`the first dex`, or the name of another."""
    return label(scope) if scope else f"the {FIRST_DEX}"


def on_dex(statement: Statement) -> str:
    """`3 positions on xyz, account value 12.5`; the value is in the token of the dex."""
    count = len(statement.positions) + len(statement.unread)
    said = f"{count} position{'' if count == 1 else 's'} on {dex_name(statement.scope)}"
    return said if not statement.equity else f"{said} (account value {plain(statement.equity)})"


def token_amounts(statement: Statement) -> dict[str, str]:
    """The sizes of a spot statement's balances by token."""
    return {label(held.key.split(":", 2)[2]): plain(held.size) for held in statement.positions}


def holdings(statements: tuple[Statement, ...]) -> str:
    """What the statements of an account show: `2 positions on xyz (account value 5), 2.5 HYPE on spot`; empty
    if they show nothing."""
    said = [on_dex(one) for one in statements if one.scope != SPOT and one.holds_something]
    for one in statements:
        if one.scope == SPOT:
            said += [f"{size} {token} on spot" for token, size in token_amounts(one).items()]
            said += [f"{label(key)} (could not be read)" for key in one.unread]
    return ", ".join(said)
