"""The settings as facts: frozen, complete, already checked. No reading, no defaults from outside."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

MAINNET_API = "https://api.hyperliquid.xyz"
MAINNET_WS = "wss://api.hyperliquid.xyz/ws"
TESTNET_API = "https://api.hyperliquid-testnet.xyz"
TESTNET_WS = "wss://api.hyperliquid-testnet.xyz/ws"

# What is wanted in place of execution_mode = "backtest".
NO_BACKTEST = "live: there is no backtest source yet"


@dataclass(frozen=True, slots=True)
class Account:
    """One watched account: a unique name of at most 32 ASCII bytes, a lower-case 0x address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class HyperliquidSettings:
    """`[venues.hyperliquid]`; `fill_feeds` independent connections carry the same fills, of `max_users`
    accounts at most: the exchange follows so many for one IP address."""

    enabled: bool = True
    testnet: bool = False
    api_url: str = MAINNET_API
    ws_url: str = MAINNET_WS
    fill_feeds: int = 2
    max_users: int = 10
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """`[prices]`; `source` is auto, stream or poll."""

    interval_s: float = 1.0
    source: str = "auto"


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """`[reconcile]`; how often the venue's own statement is asked for."""

    interval_s: float = 60.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """`[stream]`; a price update is worth a message when P&L moved by this many USD."""

    min_pnl_change: Decimal = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """`[tcp]`; `listen` is `host:port`, or empty for no TCP at all. What a request may name as its host
    beside this machine, and which web pages may read beside our own; all in lower case."""

    listen: str = ""
    allow_remote: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`[audit]`; `fsync` is each, batch or off."""

    fsync: str = "batch"


@dataclass(frozen=True, slots=True)
class SupervisionSettings:
    """`[supervision]`; the first and longest wait before a restart, and the silence that is death."""

    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    silent_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are; all absolute. `config` is None when there is no file."""

    config: Path | None
    socket: Path
    snapshot: Path
    state_dir: Path
    log_dir: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `hlposmon run` obeys. `notices` are lines that the log must say at start.

    `execution_mode` is "backtest" only where the run is simulated and so asks no source of old data.
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
    record: Path | None = None  # where all that the tracker's engine is told is recorded

    @property
    def mode(self) -> str:
        """live, simulated or backtest: what every surface says."""
        return "simulated" if self.simulated else self.execution_mode

    @property
    def world(self) -> str:
        """Whose fills these are: the mode, but `testnet` for what trades live on the test network.

        The same address has other positions there: what one world wrote is never taken up in another.
        """
        return "testnet" if self.mode == "live" and self.hyperliquid.testnet else self.mode


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line gave; None or empty means not given.

    `derived_addresses` is no flag: a reload passes the addresses that a private key stood for at
    start, since the key itself is gone by then. They count only when nothing else names an account.
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
