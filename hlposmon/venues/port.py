"""The port: a venue as the rest of the program sees it. The client sends requests, the feeds follow.

The workers are written against this module and name no venue; `registry` builds a venue by its name. A venue
is a folder that implements the port: payload decoders (pure), a client, and feeds. All facts are those of
`domain/reports`; a venue's own terms stay in its folder.

Contract of every method here: amounts are Decimal, never float. A request that could not be carried out
raises VenueUnavailable; one that the venue refused raises VenueRefused (RequestNotKnown if this server does
not know its type); an answer that cannot be read raises WireError. No method returns zero or an empty result
instead, so a position whose venue is down is unknown and never flat. An unreadable row affects only itself:
it is named in `unread`, and the other rows count. An address is enough: nothing here takes a private key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from hlposmon.config import Account
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.reports import FIRST_SCOPE, AccountEvent, AccountMode, Fill, Funding, Statement
from hlposmon.transport.events import Lost, Opened

# ------------------------------------------------------------------ what is asked


@dataclass(frozen=True, slots=True)
class Scope:
    """One market of an account: what one statement covers. A coin of this market that is not in the statement
    is flat; the statement says nothing about other scopes. `quote` is the token in which equity is stated."""

    name: str
    market: str
    quote: str


@dataclass(frozen=True, slots=True)
class Costs:
    """What each request costs, in units of the venue's request weight. The limit is a weight per minute,
    shared by all processes."""

    statement: int
    mode: int
    role: int


@dataclass(frozen=True, slots=True)
class UnreadFill:
    """A fill row that could not be read: the reason, and its time in Unix milliseconds if it has one."""

    text: str
    time_ms: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of fills, requested at `asked_s` (monotonic seconds).

    `fills` are those of watched instruments, `others` the coins of all other fills, `unread` the rows that
    could not be read. `last`: no page follows, so all fills are fetched. `hole` is a span (first and last
    Unix millisecond, reason) in which some fills cannot be fetched.
    """

    fills: tuple[Fill, ...]
    others: tuple[str, ...]
    asked_s: float = 0.0
    last: bool = True
    hole: tuple[int, int, str] | None = None
    unread: tuple[UnreadFill, ...] = ()


@dataclass(frozen=True, slots=True)
class SubAccount:
    """A sub-account of an account, by the name that its owner gave it (any text) and its address.

    `statements` has one of each scope that the venue stated; `unread` a text for each that could not be read
    or was not stated. A scope in neither is not known: it is not empty.
    """

    name: str
    address: str
    statements: tuple[Statement, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VaultStake:
    """What an account has in a vault, in USDC, and until when it cannot be withdrawn (Unix milliseconds; None
    if the venue does not say)."""

    vault: str
    equity: Decimal
    locked_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Vault:
    """A vault: its leader's address, and its `relation` (normal, child, parent). The positions of a parent
    are those of its `children`, which are addresses. `unread` names the children that could not be read."""

    name: str
    leader: str
    relation: str
    children: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Staking:
    """What an account has staked, in the venue's staking token: delegated to validators, in the staking
    account and not delegated, and on its way back to the spot balances."""

    delegated: Decimal
    undelegated: Decimal
    withdrawing: Decimal


class Client(Protocol):
    """Sends requests, by REST or the like. An `urgent` one may use the weight reserved for closing gaps."""

    costs: Costs

    def statement(
        self,
        account: Account,
        *,
        scope: str = FIRST_SCOPE,
        asked_s: float,
        now_ms: int,
        fills_from_ms: int | None = None,
        urgent: bool = False,
    ) -> Statement:
        """All positions of one scope of the account, as the venue states them now.

        `asked_s` is now in monotonic seconds; `now_ms` (Unix) dates an answer that has no time of its own.
        `fills_from_ms`: the caller has fetched all fills since then, which the statement records.
        """

    def fills_since(self, account: Account, start_ms: int, *, urgent: bool = True) -> Iterator[Page]:
        """All fills from `start_ms` (Unix milliseconds) on, oldest first, in pages, each fill once. A page is
        requested only when the iterator reaches it."""

    def fundings_since(
        self, account: Account, start_ms: int, *, urgent: bool = True
    ) -> tuple[list[Funding], list[str]]:
        """All funding payments from `start_ms` on, oldest first, each once; and a text for each row that
        could not be read."""

    def events_since(self, account: Account, start_ms: int) -> list[AccountEvent]:
        """Other changes of the account from `start_ms` on (transfers, liquidations, modes), oldest first."""

    def now_ms(self) -> int:
        """The venue's clock, Unix milliseconds."""

    def role(self, account: Account) -> tuple[str, str | None]:
        """The role that the venue gives the address (user, subAccount, vault, agent, missing), and the
        address of the account behind an agent or a sub-account; None for others."""

    def key_expiry_ms(self, account: Account) -> int | None:
        """When the key of the account's configured agent expires, Unix milliseconds; None if the venue lists
        no such agent."""

    def mode(self, account: Account) -> AccountMode:
        """How the account's balances are kept, and whether a statement's equity covers the whole account."""

    def mode_of(self, account: Account, name: str | None) -> AccountMode:
        """The AccountMode for a mode name that is known already; sends no request."""

    def spot(self, account: Account, *, asked_s: float, time_ms: int) -> Statement:
        """The account's balances of tokens, now; the answer has no time, so `time_ms` is the venue's."""

    def spot_pairs(self) -> dict[str, str]:
        """By the name of a pair in the price feed, the key of the token that it prices in USD."""

    def token_prices(self) -> dict[str, Decimal]:
        """The prices of all tokens in USD, by key."""

    def sub_accounts(
        self, account: Account, *, now_ms: int, whole: bool = True
    ) -> tuple[list[SubAccount], list[str]]:
        """The account's sub-accounts, and a text for each that could not be read. Without `whole`, their
        names and addresses are enough. `now_ms` (Unix) dates what has no time of its own."""

    def vault_stakes(self, account: Account) -> tuple[list[VaultStake], list[str]]:
        """What the account has in vaults, and a text for each stake that could not be read."""

    def vault(self, address: str) -> Vault | None:
        """The vault at an address; None if the venue says that there is none."""

    def staking(self, account: Account) -> Staking:
        """What the account has staked."""

    def dexes(self) -> list[str]:
        """The names of all derivatives markets but the first; each is a scope."""

    def collateral(self, scope: str) -> str:
        """The token that profit, margin and fees of a market are in."""

    def margin_tables(self, scope: str) -> dict[str, MarginTable]:
        """The margin tiers of a market's instruments, by key; one that cannot be read is left out."""

    def close(self) -> None:
        """Let go of connections."""


# ---------------------------------------------------------------- what is followed


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The venue has confirmed a subscription: what happens to the account from now on is pushed."""

    account: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue refused a subscription; `text` is its message. `accounts` are those that it will not push on
    this connection; empty if all are followed anyway."""

    text: str
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A message could not be read. `account` is the one that it concerns, None if that is unknown."""

    reason: str
    account: str | None = None


@dataclass(frozen=True, slots=True)
class PushedFills:
    """The fills of one message in their order, the coins of fills that no scope covers, and a text for each
    row that could not be read."""

    account: str
    fills: Sequence[Fill]
    others: Sequence[str] = ()
    unread: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PushedFundings:
    """The funding payments of one message, and a text for each row that could not be read. A payment may
    arrive more than once."""

    account: str
    payments: Sequence[Funding]
    unread: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PushedState:
    """An account state that the venue pushed: a statement of each scope that the message covers and that
    could be read. `unread` names the others. `is_whole`: it covers all derivatives markets that there are."""

    account: str
    statements: tuple[Statement, ...]
    unread: tuple[str, ...] = ()
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class PushedEvents:
    """What happened to an account besides fills and funding, the oldest first. Old events come again on every
    new connection."""

    account: str
    events: tuple[AccountEvent, ...]


@dataclass(frozen=True, slots=True)
class PushedPrices:
    """Prices arrived; `PriceFeed.changed` returns those that moved."""


FillEvent = Opened | Lost | Acknowledged | Refused | NotUnderstood | PushedFills | PushedFundings
StateEvent = Opened | Lost | Acknowledged | Refused | NotUnderstood | PushedState | PushedEvents
PriceEvent = Opened | Lost | Refused | NotUnderstood | PushedPrices


class Connection(Protocol):
    """What all feeds have in common: one connection, which `next` reopens after each loss."""

    @property
    def url(self) -> str:
        """The address that it connects to."""

    @property
    def is_open(self) -> bool:
        """Whether a connection exists now; it may be open and silent."""

    @property
    def opened(self) -> int:
        """How many connections have been opened so far, the present one included."""

    @property
    def heard_s(self) -> float | None:
        """When anything at all was last received (monotonic seconds); None before the first."""

    @property
    def has_unread(self) -> bool:
        """Whether something was received that `next` has not returned yet."""

    def fileno(self) -> int | None:
        """The descriptor for a selector; None while there is no connection."""

    def wait_s(self) -> float:
        """How long a caller may sleep on `fileno` before it must call `next` again."""

    def lose(self, reason: str) -> Lost:
        """Drop the connection for the caller's reason; `next` reopens it after the time in the result."""

    def reset_backoff(self) -> None:
        """Start the backoff over because the connection works: the next loss is retried soon."""

    def close(self) -> None:
        """Close the connection. Do not call `next` afterwards: it would open another."""


class FillFeed(Connection, Protocol):
    """The fills and funding payments of some accounts, as they happen. It subscribes by itself, and drops a
    connection on which the venue does not acknowledge the subscriptions."""

    def next(self) -> FillEvent | None:
        """The next event; None if there is none. Does not block for long, except while connecting."""


class StateFeed(Connection, Protocol):
    """The states of some accounts as the venue pushes them, and what happened to them besides fills and
    funding. An account whose state it pushes on no channel is reported as Refused."""

    def next(self) -> StateEvent | None:
        """As `FillFeed.next`."""


class PriceFeed(Connection, Protocol):
    """Mark prices of all instruments. After NotUnderstood, changes may be missing: drop the connection."""

    def next(self) -> PriceEvent | None:
        """As `FillFeed.next`."""

    def changed(self) -> tuple[dict[str, Decimal], list[str]]:
        """The prices, by key, that changed since the last call; and a text for each unreadable one."""

    def use_pairs(self, pairs: dict[str, str]) -> None:
        """Return the prices of these tokens too: keys of tokens by the names of their pairs."""

    def forget(self) -> None:
        """Forget the prices returned so far, because others are in use: the next of each coin is a change."""


# -------------------------------------------------------------------- the venue itself


class Venue(Protocol):
    """One venue, used through one process's share of its rate limit. Each method builds one part and loads
    only the libraries of that part: a worker that only follows never loads an HTTP client."""

    name: str
    scopes: tuple[Scope, ...]

    def client(self) -> Client:
        """The client for requests: statements, fills, funding, roles."""

    def fill_feed(self, accounts: Sequence[Account]) -> FillFeed:
        """A feed of the fills and funding payments of these accounts."""

    def state_feed(self, accounts: Sequence[Account]) -> StateFeed:
        """A feed of the states of these accounts, as the venue pushes them."""

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
        """The positions of all accounts now. `timestamp` only labels the answer: a live venue has no past."""

    def get_balance(self, asset: str) -> Decimal:
        """The balance of one asset, summed over the configured accounts."""

    def get_position_history(self, start_time: int, end_time: int) -> list[dict[str, Any]]:
        """The changes of positions between the two times, both included, oldest first."""
