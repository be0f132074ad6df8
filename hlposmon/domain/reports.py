"""Facts that come in, as a venue tells them: frozen, checked where they were read, owned by nobody.

A venue's own field names never reach here. `account` is the name a person gave the account, `key`
is `venue:type:symbol` (split at the first two colons only: HIP-3 coins hold a colon themselves).
Times are the venue's, in milliseconds since the epoch, UTC, unless they end in `_s`: those are
seconds of this machine's monotonic clock, which all processes share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from hlposmon.domain.amounts import CONTEXT
from hlposmon.domain.margin import MarginTable

Identity = tuple[int, str, int, int, str, Decimal, Decimal]


# The scope that every account has: what a statement of the first dex covers (see scope).
FIRST_SCOPE = ""
# Stands for all dexes on which an account has held nothing so far: they have no scope yet.
OTHER_SCOPES = "*"


class Side(StrEnum):
    """The side of the account's own order in a fill."""

    BUY = "buy"
    SELL = "sell"


class FillCause(StrEnum):
    """Why a fill happened, for the account whose fill it is.

    The other party of a liquidation has an ordinary fill: its own order was executed.
    """

    ORDER = "order"
    TWAP = "twap"  # a slice of a TWAP order
    LIQUIDATION = "liquidation"  # of the account itself
    ADL = "adl"  # auto-deleveraging
    SETTLEMENT = "settlement"  # the venue closed the market at its own price
    VAULT = "vault"  # child vaults of one vault netted their positions
    DUST = "dust"  # the venue converted a spot balance too small to trade
    OTHER = "other"  # the venue says something that is not known here


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one order of an account. `size` is positive; `fee` is negative for a rebate.

    `start_position` is the signed size just before this fill, by the venue. `closed_pnl` is what the
    venue books as realised, gross of fees. `trade_id` is None in data older than 2023. `liquidation` is how
    the account itself was liquidated (market, backstop), None if it was not. `builder_fee` is the part of
    `fee` that a front end takes; None where the venue states none.
    """

    account: str
    key: str
    time_ms: int
    side: Side
    size: Decimal
    price: Decimal
    start_position: Decimal
    fee: Decimal
    fee_token: str
    closed_pnl: Decimal
    order_id: int
    trade_id: int | None
    hash: str = ""
    direction: str = ""
    crossed: bool = False
    liquidation: str | None = None
    cause: FillCause = FillCause.ORDER
    twap_id: int | None = None
    builder_fee: Decimal | None = None
    _identity: Identity | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def signed_size(self) -> Decimal:
        """What the fill adds to the position: by side and size alone, whatever `direction` says."""
        return self.size if self.side is Side.BUY else -self.size

    @property
    def end_position(self) -> Decimal:
        """The signed size just after this fill, by the venue."""
        return CONTEXT.add(self.start_position, self.signed_size)

    @property
    def identity(self) -> Identity:
        """What tells two fills of one account apart; `trade_id` alone does not (self-trades, dust)."""
        found = self._identity
        if found is None:
            found = (
                self.time_ms,
                self.key,
                self.order_id,
                self.trade_id or 0,
                str(self.side),
                self.start_position,
                self.size,
            )
            object.__setattr__(self, "_identity", found)  # it is asked for several times
        return found


@dataclass(frozen=True, slots=True)
class Fills:
    """Fills of one account in the order in which a feed or an answer gave them. `heard_s` is when the
    stream brought them; None for those that were fetched or waited for others.

    What is fetched comes in several of these. `from_ms` is for the last: with it all fills from then on that
    the venue lists were handed on. None says that more of the same fetch may follow.
    """

    account: str
    source: str
    fills: tuple[Fill, ...]
    heard_s: float | None = None
    from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Marks:
    """Mark prices by key, of one instant. `missing` are accounts whose coins they do not cover: when prices
    are polled, those whose request failed."""

    prices: dict[str, Decimal]
    heard_s: float
    missing: tuple[str, ...] = ()


class MarginMode(StrEnum):
    """What backs a position: the cash and profits of all cross positions of its market, or its own cash."""

    CROSS = "cross"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class StatedPosition:
    """One position as the venue states it. `entry_price` is exact where the statement lets it be
    worked out; `None` where the venue gives none. `hold` is what of a token is reserved. `cash` is that of an
    isolated position alone, negative for most longs; `max_leverage` the greatest that the venue grants it."""

    key: str
    size: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None = None
    leverage: Decimal | None = None
    margin_used: Decimal | None = None
    liquidation_price: Decimal | None = None
    tolerance: Decimal = Decimal(0)
    hold: Decimal | None = None
    margin_mode: MarginMode | None = None
    max_leverage: Decimal | None = None
    cash: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """All open positions of one scope; a coin of that scope that is not in it is flat.

    `asked_s` is when the question was put. `fills_from_ms`: all fills since that time were fetched
    and handed on before this statement was asked for; None when none were. `pushed`: nobody asked, it
    came over the stream and `asked_s` is when it was heard; no fills were fetched before it. `unread` has
    the keys whose rows could not be read, and why: of these it says nothing, not even that they are flat.

    Of the cross positions together: `cross_equity` is what they and their cash `cross_cash` are worth, and
    `cross_maintenance` the margin below which they are liquidated; None where the venue does not say.
    `margin_ratio`: that of the whole account, where the venue works it out (portfolio margin).
    """

    account: str
    venue: str
    time_ms: int
    asked_s: float
    positions: tuple[StatedPosition, ...]
    equity: Decimal | None = None
    margin_used: Decimal | None = None
    withdrawable: Decimal | None = None
    fills_from_ms: int | None = None
    pushed: bool = False
    unread: Mapping[str, str] = field(default_factory=dict)
    scope: str = FIRST_SCOPE
    cross_equity: Decimal | None = None
    cross_cash: Decimal | None = None
    cross_maintenance: Decimal | None = None
    margin_ratio: Decimal | None = None

    @property
    def holds_something(self) -> bool:
        """Whether it shows a position (one that could not be read counts) or money."""
        return bool(self.positions or self.unread or self.equity)


@dataclass(frozen=True, slots=True)
class Funding:
    """One funding payment; `amount` is positive when the account received it."""

    account: str
    key: str
    time_ms: int
    amount: Decimal
    size: Decimal
    rate: Decimal


# Two coins' fills need not come in the order of their times: fills are fetched, and told again, from this far
# before the time up to which they are known.
REPLAY_OVERLAP_MS = 2_000


@dataclass(frozen=True, slots=True)
class Following:
    """A feed follows the fills of an account without a break since `since_s`, as the exchange acknowledged.

    `whole_from_ms`: it has handed on all fills and payments from then on, so that nothing has to be fetched
    for it if the tracker knows all before that. None when it cannot say.
    """

    account: str
    feed: str
    since_s: float
    whole_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """All fills of an account from `from_ms` on were handed on, as far as the exchange listed them when the
    last of them was asked for, at `asked_s`."""

    account: str
    from_ms: int
    asked_s: float


@dataclass(frozen=True, slots=True)
class NotFetched:
    """Fills that are wanted of an account could not be fetched; it is tried again."""

    account: str
    reason: str


@dataclass(frozen=True, slots=True)
class FeedState:
    """A feed of fills is live for an account (it follows, and what came before was fetched), or is not."""

    account: str
    feed: str
    live: bool
    at_s: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """A feed's connection last said anything at all at `at_s`: it is not frozen."""

    feed: str
    at_s: float


class NoticeCode(StrEnum):
    """What a notice is about; `details` of health carry the same word."""

    UNKNOWN_ADDRESS = "unknown_address"
    AGENT_ADDRESS = "agent_address"
    BEHIND_AGENT = "behind_agent"
    ACCOUNT_MODE = "account_mode"
    FEED_REFUSED = "feed_refused"
    NO_PUSHES = "no_pushes"
    NOT_WATCHED = "not_watched"
    HOLDINGS_UNKNOWN = "holdings_unknown"
    UNREADABLE = "unreadable"
    SUB_ACCOUNTS = "sub_accounts"


# With these an account is not watched as its owner means it: health is degraded and the monitor not ready.
SEVERE = frozenset(NoticeCode) - {
    NoticeCode.ACCOUNT_MODE,
    NoticeCode.BEHIND_AGENT,
    NoticeCode.HOLDINGS_UNKNOWN,
    NoticeCode.NO_PUSHES,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about an account that its owner should know, from `source` (a worker, or what it looked at).

    Of one source and code the newest counts, and one with no text ends it: its cause is gone.
    """

    account: str
    code: NoticeCode
    text: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Collateral:
    """The token that profit, margin and fees of a market are in, by the venue's name: USDC, USDH, ..."""

    scope: str
    token: str


@dataclass(frozen=True, slots=True)
class MarginTables:
    """The margin tiers of a market by key; a key that is not among them is not known."""

    scope: str
    tables: Mapping[str, MarginTable]


class Place(StrEnum):
    """Where else an account may hold something: on other dexes, on spot."""

    DEXES = "dexes"
    SPOT = "spot"


@dataclass(frozen=True, slots=True)
class PlaceRead:
    """A place was read for an account, and statements of all that it holds there were reported before this.
    `unread` is what could not be read: of DEXES their names, of SPOT a text.

    On the dexes of which no statement was reported it held nothing at `time_ms`, the venue's time of the
    oldest answer, and `asked_s` is when that was asked for, or heard; None where there was no answer.
    """

    account: str
    place: Place
    unread: tuple[str, ...]
    time_ms: int = 0
    asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class TradedOnSpot:
    """An account traded these spot pairs: its balances have changed and should be requested."""

    account: str
    coins: tuple[str, ...]


class MarginPool(StrEnum):
    """What backs the cross positions of an account whose mode is not plain."""

    TOKEN = "token"  # those of all markets in a token: its balance on spot
    ACCOUNT = "account"  # all of it, by rules of the venue, which states the ratio


@dataclass(frozen=True, slots=True)
class AccountMode:
    """How an account's balances are kept, as the exchange answered; None where it does not say.

    `plain`: the equity, margin and withdrawable of its statements are those of the whole account. `reason`
    says why they are not known otherwise, and `pool` what backs its positions then, None if not known.
    """

    account: str
    mode: str | None
    plain: bool
    reason: str = ""
    pool: MarginPool | None = None


@dataclass(frozen=True, slots=True)
class AccountRole:
    """What the exchange takes an address for: user, vault, subAccount, agent, missing; None where it does
    not say. `owner` is the account behind an agent or a sub-account."""

    account: str
    role: str | None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class SubAccounts:
    """The sub-accounts that the exchange lists of an account, as pairs of address and name (any text)."""

    account: str
    found: tuple[tuple[str, str], ...]


class AccountEventKind(StrEnum):
    """What else can happen to an account."""

    LIQUIDATION = "liquidation"
    TRANSFER = "transfer"
    MODE_CHANGE = "mode change"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Movement:
    """What a transfer adds to one market of an account (`spot` or a dex); negative where it takes."""

    scope: str
    token: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Something happened to an account that is no fill; `keys` are what it is about, none for the whole
    account. `time_ms` is the venue's: where it gives none, that of its last statement.

    `type` is the venue's word for it, `moves` the amounts that it moved, as far as they are known, and `row`
    the venue's whole row as JSON, for one whose type is not known.
    """

    account: str
    time_ms: int
    kind: AccountEventKind
    text: str
    keys: tuple[str, ...] = ()
    type: str = ""
    moves: tuple[Movement, ...] = ()
    hash: str = ""
    row: str = ""

    @property
    def id(self) -> tuple[int, str]:
        """What tells two events of one account apart: its time, and a name. One transaction may have
        several."""
        amounts = (f"{move.scope}:{move.token}:{move.amount}" for move in self.moves)
        return self.time_ms, "|".join((self.hash, self.type, *amounts, *self.keys))


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Fills of an account from `since_ms` to `until_ms`, both included, cannot be fetched any more, all
    or some of them. What else there was from `since_ms` on counts as fetched with it."""

    account: str
    since_ms: int
    until_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryState:
    """The history holds the journal's lines up to number `seq`; `failure` says why it does not follow, if
    so."""

    seq: int
    failure: str | None = None


class HistoryEvent(StrEnum):
    """What happened to the history; the journal has it as the type of a line."""

    REBUILT = "history_rebuilt"  # its file was broken or taken away, and is filled anew
    HOLE = "history_hole"  # the journal's files lack lines
    END_LOST = "end_lost"  # the journal lost lines that the history had: it went back
    OTHER_JOURNAL = "other_journal"  # it was written from another journal, and is set aside


@dataclass(frozen=True, slots=True)
class HistoryRemark:
    """Something happened to the history: the journal should say so. `facts` are plain values."""

    event: HistoryEvent
    facts: Mapping[str, int | str | list[str] | None]


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker's first message: its name, its kind, and the address that each account name means to it. A
    reload may give a name to another address while reports are under way."""

    worker: str
    kind: str
    addresses: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Left:
    """A worker's process is gone, as its closed queue shows, and no other of that name has joined since."""

    worker: str
    kind: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A worker's feed has a connection: its `count`th since the worker's process began."""

    worker: str
    count: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """The tracker's answer to Joined: the time up to which each account's fills are known, None if not at
    all. It is sent again for accounts that are added later. `modes` and `roles` (with the owner of an agent
    or a sub-account) are known already, and need not be requested again soon."""

    high_water_ms: dict[str, int | None]
    modes: dict[str, str] = field(default_factory=dict)
    roles: dict[str, tuple[str, str | None]] = field(default_factory=dict)


class BellReason(StrEnum):
    """Why the tracker rings."""

    ROUND = "round"  # a polled account is due; it may wait for weight
    FEED = "feed"  # a feed of fills has come up: what came before is wanted
    LIVE = "live"  # a feed of fills is live: a statement is wanted that confirms it
    GAP = "gap"
    DOUBT = "doubt"  # a statement differs from the book
    CASH = "cash"  # a statement has more or less money than what was booked explains
    STILL_IN_DOUBT = "still in doubt"
    MODE = "mode"  # the equity fell to zero: are the balances kept otherwise?
    SPOT = "spot"  # its balances on spot may have changed
    NOT_WATCHED = "not watched"  # no push tells what it holds on other dexes


@dataclass(frozen=True, slots=True)
class Bell:
    """The tracker wants a statement of an account now; with `since_ms`, all fills since then first."""

    account: str
    since_ms: int | None
    reason: BellReason


@dataclass(frozen=True, slots=True)
class Live:
    """The tracker to a feed that said it follows an account since `since_s`: it counts as live.

    `known_ms`: up to then all fills are journalled, and what came after the feed has brought or will bring.
    None where the journal lacks some: a gap is open, or the first statement holds fills from shortly before.
    """

    account: str
    known_ms: int | None
    since_s: float


@dataclass(frozen=True, slots=True)
class StatementsWanted:
    """Besides that of the first dex, statements of these scopes of an account are wanted from now on."""

    account: str
    scopes: tuple[str, ...]


Ask = Welcome | Bell | Live | StatementsWanted
Report = (
    Joined
    | Left
    | Connected
    | Fills
    | Marks
    | Statement
    | Funding
    | Following
    | Fetched
    | NotFetched
    | FeedState
    | Heard
    | Notice
    | PlaceRead
    | TradedOnSpot
    | Collateral
    | MarginTables
    | AccountMode
    | AccountRole
    | SubAccounts
    | AccountEvent
    | Unlisted
    | HistoryState
    | HistoryRemark
)
