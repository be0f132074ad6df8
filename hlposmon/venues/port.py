"""A venue as the program uses it: what can be asked, and what can be followed.

The workers are loops over this and name no venue; `registry` builds one by its name. A venue is a folder that
implements it: payloads (pure), a client that asks, feeds that follow. Facts come in the words of
`domain/reports`; a venue's own words stay in its folder.

For every method here: amounts are Decimal, never float. What could not be asked raises VenueUnavailable,
what the venue refused VenueRefused (RequestNotKnown where this server does not know the question), what could
not be read WireError: none of them ever answers zero or nothing, so that a position whose venue is down is
unknown and never flat. One odd row harms only itself: it is named in `unread`, and the others count. An
address is enough: nothing here takes a private key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from hlposmon.config import Account
from hlposmon.domain.reports import AccountEvent, AccountMode, Fill, Funding, Statement
from hlposmon.transport.events import Lost, Opened

# ------------------------------------------------------------------ what is asked


@dataclass(frozen=True, slots=True)
class Scope:
    """One market of an account: what one statement covers. A coin that is not in it is flat there, and
    nothing is said of coins of other scopes. `quote` is the token that its equity is in."""

    name: str
    market: str
    quote: str


@dataclass(frozen=True, slots=True)
class Costs:
    """What a request costs of the venue's limit: units of request weight, of so many a minute for all."""

    statement: int
    mode: int
    role: int


@dataclass(frozen=True, slots=True)
class UnreadFill:
    """A row that could not be read: why, and its time in milliseconds where it has one."""

    text: str
    time_ms: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of fills, asked for at `asked_s` (monotonic seconds): those of watched instruments, the
    coins of the rest, and rows that could not be read; whether it is the last, with which all fills are
    fetched. `hole` is a span in which fills cannot be had, and why."""

    fills: tuple[Fill, ...]
    others: tuple[str, ...]
    asked_s: float = 0.0
    last: bool = True
    hole: tuple[int, int, str] | None = None
    unread: tuple[UnreadFill, ...] = ()


class Client(Protocol):
    """Asks, by REST or its like. What is `urgent` may spend the weight that is kept for closing gaps."""

    costs: Costs

    def statement(
        self,
        account: Account,
        *,
        asked_s: float,
        now_ms: int,
        fills_from_ms: int | None = None,
        urgent: bool = False,
    ) -> Statement:
        """All positions of the account's scope, as the venue states them now."""

    def fills_since(self, account: Account, start_ms: int, *, urgent: bool = True) -> Iterator[Page]:
        """All fills from `start_ms` on, oldest first, a page at a time, each fill once. Pages are asked for
        as they are taken."""

    def fundings_since(
        self, account: Account, start_ms: int, *, urgent: bool = True
    ) -> tuple[list[Funding], list[str]]:
        """All funding payments from `start_ms` on, oldest first, each once, and what was unread of them."""

    def events_since(self, account: Account, start_ms: int) -> list[AccountEvent]:
        """What else changed the account from `start_ms` on: transfers, liquidations, modes; oldest first."""

    def now_ms(self) -> int:
        """The venue's clock, Unix milliseconds."""

    def role(self, account: Account) -> tuple[str, str | None]:
        """What the venue takes the address for (user, subAccount, vault, agent, missing), and who is behind
        an agent or a sub-account."""

    def mode(self, account: Account) -> AccountMode:
        """How the account's balances are kept, and whether the equity of a statement is all of it."""

    def mode_of(self, account: Account, name: str | None) -> AccountMode:
        """What a mode that is known already means for the account; asks nothing."""

    def spot_holdings(self, account: Account) -> list[str]:
        """What the account holds on spot, which no scope covers, as texts for people."""

    def dexes(self) -> list[str]:
        """The names of further derivatives markets that no scope covers."""

    def coins_held(self, account: Account, dex: str) -> list[str]:
        """The coins of the account's positions on one of `dexes`."""

    def close(self) -> None:
        """Let go of connections."""


# ---------------------------------------------------------------- what is followed


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The venue follows the account from now on: all that comes after this is pushed."""

    account: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue refused something, in its words. `accounts` are those that it will not push on this
    connection; none where all are followed all the same."""

    text: str
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A message could not be read: of this account, or of any where it is None."""

    reason: str
    account: str | None = None


@dataclass(frozen=True, slots=True)
class PushedFills:
    """Fills of one message in their order, the coins of fills that no scope covers, and what was unread."""

    account: str
    fills: Sequence[Fill]
    others: Sequence[str] = ()
    unread: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PushedFundings:
    """Funding payments of one message, and what was unread. A payment may come more than once."""

    account: str
    payments: Sequence[Funding]
    unread: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PushedState:
    """What the venue states of an account by itself; no statement where it says nothing of our scope.
    `others` are the coins held in markets that no scope covers; None where this push does not tell."""

    account: str
    statement: Statement | None
    others: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PushedPrices:
    """The prices of the venue were heard: `PriceFeed.changed` has those that moved."""


FillEvent = Opened | Lost | Acknowledged | Refused | NotUnderstood | PushedFills | PushedFundings
StateEvent = Opened | Lost | Acknowledged | Refused | NotUnderstood | PushedState
PriceEvent = Opened | Lost | Refused | NotUnderstood | PushedPrices


class Connection(Protocol):
    """What every feed is besides its events: one connection that is made anew for as long as it is wanted.

    `opened` counts its connections, `heard_s` (monotonic seconds) is when it last said anything at all.
    """

    @property
    def url(self) -> str:
        """The address that it connects to."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection now; one may be open and silent."""

    @property
    def opened(self) -> int:
        """How many connections there were, this one included."""

    @property
    def heard_s(self) -> float | None:
        """When anything at all was last received (monotonic seconds); None before the first."""

    @property
    def has_unread(self) -> bool:
        """Whether something was received that `next` has not returned yet."""

    def fileno(self) -> int | None:
        """For a selector; None while there is no connection."""

    def wait_s(self) -> float:
        """How long a caller may sleep on `fileno` before it must call `next` again."""

    def lose(self, reason: str) -> Lost:
        """Give the connection up, for a reason that the caller found."""

    def reset_backoff(self) -> None:
        """All is well on this connection: the next loss is retried soon."""

    def close(self) -> None:
        """End the connection, and make no other."""


class FillFeed(Connection, Protocol):
    """The fills and funding payments of some accounts, as they are made. It subscribes by itself, and gives
    the connection up where the venue acknowledges nothing."""

    def next(self) -> FillEvent | None:
        """What happened next; None when nothing did. Never blocks for long but while connecting."""


class StateFeed(Connection, Protocol):
    """The venue's own statements of some accounts, as it pushes them. An account that the venue pushes in no
    way is Refused."""

    def next(self) -> StateEvent | None:
        """As `FillFeed.next`."""


class PriceFeed(Connection, Protocol):
    """Mark prices of all instruments. After NotUnderstood, changes may be missing: give it up."""

    def next(self) -> PriceEvent | None:
        """As `FillFeed.next`."""

    def changed(self) -> tuple[dict[str, Decimal], list[str]]:
        """By key the prices that differ from those that were taken here before, and what was unread."""

    def forget(self) -> None:
        """Other prices are used meanwhile: the next of each coin counts as changed."""


# -------------------------------------------------------------------- the venue itself


class Venue(Protocol):
    """One venue, under one share of its rate limit. Each method makes what one process uses and loads no
    library that it does not need: a worker that only follows never loads an HTTP client."""

    name: str
    scopes: tuple[Scope, ...]

    def client(self) -> Client:
        """What asks the venue: statements, fills, funding, roles."""

    def fill_feed(self, accounts: Sequence[Account]) -> FillFeed:
        """Fills and funding of these accounts, as they are made."""

    def state_feed(self, accounts: Sequence[Account]) -> StateFeed:
        """The venue's own statements of these accounts, as it pushes them."""

    def price_feed(self) -> PriceFeed:
        """Mark prices of all instruments."""


# ------------------------------------------------------------ for programs, not for workers


class PositionInterface(Protocol):
    """Positions, balances and history of the configured accounts of one venue, for programs that import us.

    `timestamp`, `start_time` and `end_time` are Unix milliseconds, UTC.
    """

    venue: str
    execution_mode: str

    def get_positions(self, timestamp: int | None = None) -> dict[str, Any]:
        """The venue's positions now. `timestamp` labels the answer; a live venue knows only now."""

    def get_balance(self, asset: str) -> Decimal:
        """The balance of one asset, summed over the configured accounts."""

    def get_position_history(self, start_time: int, end_time: int) -> list[dict[str, Any]]:
        """What changed positions in the range (both ends included), oldest first."""
