"""What each kind of worker needs of the settings, and nothing else: a worker is replaced by a reload when
this is another than it was, and left alone otherwise."""

from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Account, PriceSettings, Settings


@dataclass(frozen=True, slots=True)
class FillNeeds:
    """Of the accounts the first `max_users` are followed, and the others are named."""

    accounts: tuple[Account, ...]
    max_users: int
    ws_url: str

    @classmethod
    def of(cls, settings: Settings) -> "FillNeeds":
        venue = settings.hyperliquid
        return cls(venue.accounts, venue.max_users, venue.ws_url)


@dataclass(frozen=True, slots=True)
class PriceNeeds:
    """Where the stream is silent, the accounts' statements tell the prices."""

    accounts: tuple[Account, ...]
    prices: PriceSettings
    api_url: str
    ws_url: str

    @classmethod
    def of(cls, settings: Settings) -> "PriceNeeds":
        venue = settings.hyperliquid
        return cls(venue.accounts, settings.prices, venue.api_url, venue.ws_url)


@dataclass(frozen=True, slots=True)
class StateNeeds:
    """The accounts whose states are pushed: as many as the exchange follows."""

    accounts: tuple[Account, ...]
    ws_url: str

    @classmethod
    def of(cls, settings: Settings) -> "StateNeeds":
        venue = settings.hyperliquid
        return cls(venue.accounts[: venue.max_users], venue.ws_url)


@dataclass(frozen=True, slots=True)
class ReconcileNeeds:
    accounts: tuple[Account, ...]
    interval_s: float
    api_url: str

    @classmethod
    def of(cls, settings: Settings) -> "ReconcileNeeds":
        venue = settings.hyperliquid
        return cls(venue.accounts, settings.reconcile.interval_s, venue.api_url)


@dataclass(frozen=True, slots=True)
class HistoryNeeds:
    """Where the journal is, where its rows go, and what is synced."""

    log_dir: Path
    state_dir: Path
    fsync: str

    @classmethod
    def of(cls, settings: Settings) -> "HistoryNeeds":
        paths = settings.paths
        return cls(paths.log_dir, paths.state_dir, settings.audit.fsync)
