"""What the book shows and what it must remember: frozen pictures, never without a verdict."""

from dataclasses import dataclass
from decimal import Decimal

from hlposmon.domain.position import Position
from hlposmon.domain.reports import Identity
from hlposmon.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class View:
    """One position as it may be shown: never without its verdict.

    `in_doubt`: a fill is missing, or the venue states another size; then it is shown though it be flat.
    """

    account: str
    key: str
    position: Position
    mark: Decimal | None
    verdict: Verdict
    reason: str | None
    leverage: Decimal | None
    margin_used: Decimal | None
    liquidation_price: Decimal | None
    last_fill_ms: int | None
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as it may be shown. Of the `notices` the `grave` ones say that it is not watched well."""

    account: str
    verdict: Verdict
    reason: str | None
    equity: Decimal | None
    margin_used: Decimal | None
    withdrawable: Decimal | None
    notices: tuple[str, ...]
    statement_asked_s: float | None
    grave: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What must be kept to take a holding up again: `seen` are the fills since `known_ms`
    that the position holds."""

    account: str
    key: str
    position: Position
    known_ms: int
    last_funding_ms: int
    seen: tuple[Identity, ...]
