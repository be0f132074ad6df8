"""The settings that each kind of worker needs, and no others.

A reload replaces a worker only if its needs have changed, so an extra field here would cost restarts.
"""

from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Account, PriceSettings, Settings


@dataclass(frozen=True, slots=True)
class FillNeeds:
    """Settings of a fill feed: the accounts that are followed by stream."""

    accounts: tuple[Account, ...]
    ws_url: str

    @classmethod
    def of(cls, settings: Settings) -> "FillNeeds":
        """Select them from all settings."""
        venue = settings.hyperliquid
        return cls(venue.streamed, venue.ws_url)


@dataclass(frozen=True, slots=True)
class PriceNeeds:
    """Settings of the price worker. It polls the accounts' statements while the stream is silent."""

    accounts: tuple[Account, ...]
    prices: PriceSettings
    api_url: str
    ws_url: str

    @classmethod
    def of(cls, settings: Settings) -> "PriceNeeds":
        """Select them from all settings."""
        venue = settings.hyperliquid
        return cls(venue.accounts, settings.prices, venue.api_url, venue.ws_url)


@dataclass(frozen=True, slots=True)
class StateNeeds:
    """Settings of the state worker: the accounts that are followed by stream."""

    accounts: tuple[Account, ...]
    ws_url: str

    @classmethod
    def of(cls, settings: Settings) -> "StateNeeds":
        """Select them from all settings."""
        venue = settings.hyperliquid
        return cls(venue.streamed, venue.ws_url)


@dataclass(frozen=True, slots=True)
class ReconcileNeeds:
    """Settings of the reconcile worker; `interval_s` is the seconds between two statements of an account that
    is followed by stream. `polled` are the names of the others."""

    accounts: tuple[Account, ...]
    interval_s: float
    api_url: str
    polled: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "ReconcileNeeds":
        """Select them from all settings."""
        venue = settings.hyperliquid
        polled = tuple(account.name for account in venue.polled)
        return cls(venue.accounts, settings.reconcile.interval_s, venue.api_url, polled)


@dataclass(frozen=True, slots=True)
class HistoryNeeds:
    """Settings of the history worker: the folders of journal and history, and `fsync` as in `[audit]`."""

    log_dir: Path
    state_dir: Path
    fsync: str

    @classmethod
    def of(cls, settings: Settings) -> "HistoryNeeds":
        """Select them from all settings."""
        paths = settings.paths
        return cls(paths.log_dir, paths.state_dir, settings.audit.fsync)
