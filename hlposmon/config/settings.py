"""The settings as frozen dataclasses, complete and already checked. Nothing is read here."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from hlposmon.config.watch_plan import WatchPlan, plan_for

MAINNET_API = "https://api.hyperliquid.xyz"
MAINNET_WS = "wss://api.hyperliquid.xyz/ws"
TESTNET_API = "https://api.hyperliquid-testnet.xyz"
TESTNET_WS = "wss://api.hyperliquid-testnet.xyz/ws"

# The "wanted" part of the message about execution_mode = "backtest".
NO_BACKTEST = "live: there is no backtest source yet"


SUB_ACCOUNTS = "subaccounts"
DISCOVERABLE = (SUB_ACCOUNTS,)


@dataclass(frozen=True, slots=True)
class Account:
    """One watched account: a unique name of at most 32 ASCII bytes, a lower-case 0x address. `agent` is the
    address that was configured, if that is of an agent of this account. What `discover` names (DISCOVERABLE)
    is looked for and watched too. The name of one that was so found is `<master>/<name>`."""

    name: str
    address: str
    agent: str | None = None
    discover: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HyperliquidSettings:
    """`[venues.hyperliquid]`. `fill_feeds` independent connections carry the same fills. `max_users` is how
    many accounts they follow at most; the exchange limits it for each IP address. The others are polled."""

    enabled: bool = True
    testnet: bool = False
    api_url: str = MAINNET_API
    ws_url: str = MAINNET_WS
    fill_feeds: int = 2
    max_users: int = 10
    accounts: tuple[Account, ...] = ()

    @property
    def streamed(self) -> tuple[Account, ...]:
        """The accounts that are followed by stream: the first ones."""
        return self.accounts[: self.max_users]

    @property
    def polled(self) -> tuple[Account, ...]:
        """The accounts that are polled: all others."""
        return self.accounts[self.max_users :]


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """`[prices]`. `interval_s` is the seconds between two batches; `source` is auto, stream or poll."""

    interval_s: float = 1.0
    source: str = "auto"


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """`[reconcile]`. `interval_s` is the seconds between two requests for the venue's statement."""

    interval_s: float = 60.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """`[stream]`. A price update is sent to subscribers once P&L has moved by `min_pnl_change` USD."""

    min_pnl_change: Decimal = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """`[tcp]`. `listen` is `host:port`, or empty for no TCP. `allowed_hosts` are the host names that a
    request may use besides this machine's, `allowed_origins` the web pages that may read besides our own; in
    lower case."""

    listen: str = ""
    allow_remote: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`[audit]`. `fsync` is each, batch or off."""

    fsync: str = "batch"


@dataclass(frozen=True, slots=True)
class SupervisionSettings:
    """`[supervision]`, in seconds: the first and the longest delay before a restart, and how long a process
    may go without a beat before it is aborted."""

    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    silent_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of one monitor, all absolute. `config` is None without a config file."""

    config: Path | None
    socket: Path
    snapshot: Path
    state_dir: Path
    log_dir: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of `hlposmon run`. `notices` are lines to log at start.

    `execution_mode` is "backtest" only in a simulated run, which needs no source of historical data.
    """

    execution_mode: str
    simulated: bool
    hyperliquid: HyperliquidSettings
    prices: PriceSettings
    reconcile: ReconcileSettings
    stream: StreamSettings
    tcp: TcpSettings
    audit: AuditSettings
    supervision: SupervisionSettings
    paths: Paths
    log_level: str = "INFO"
    log_format: str = "text"
    notices: tuple[str, ...] = ()
    record: Path | None = None  # folder in which the input of the tracker's engine is recorded

    @property
    def watch_plan(self) -> WatchPlan:
        """How many accounts are watched by stream and by poll, and what that costs."""
        venue = self.hyperliquid
        return plan_for(len(venue.accounts), max_users=venue.max_users, interval_s=self.reconcile.interval_s)

    @property
    def mode(self) -> str:
        """live, simulated or backtest, as every output shows it."""
        return "simulated" if self.simulated else self.execution_mode

    @property
    def world(self) -> str:
        """The mode, but `testnet` for a live run on the test network.

        The same address has other positions there, so files that one world wrote are never used in another.
        """
        return "testnet" if self.mode == "live" and self.hyperliquid.testnet else self.mode


@dataclass(frozen=True, slots=True)
class Flags:
    """The command line's options; None or empty means not given.

    `derived_addresses` is not an option: a reload passes the addresses that were derived from a private key
    at start, since the key is gone by then. They are used only if nothing else names an account.
    """

    addresses: tuple[str, ...] = ()
    api_url: str | None = None
    ws_url: str | None = None
    socket: str | Path | None = None
    state_dir: str | Path | None = None
    log_dir: str | Path | None = None
    simulate: bool = False
    config: str | Path | None = None
    env_file: str | Path | None = None
    derived_addresses: tuple[str, ...] = ()
    log_format: str | None = None
    record: str | Path | None = None
