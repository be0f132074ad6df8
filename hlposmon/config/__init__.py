"""What this monitor shall do: settings from the command line, the environment and one TOML file.

The only package that reads an environment, and even it is handed the mapping. `load` either returns
settings that are right as a whole or raises ConfigError with every mistake it found. It never
repeats a secret: a private key is used to derive an address, or refused, and in no message.
"""

from hlposmon.config.accounts import account_of, forget_secrets, named_account
from hlposmon.config.loading import load
from hlposmon.config.paths import locate
from hlposmon.config.rendering import render
from hlposmon.config.settings import (
    Account,
    AuditSettings,
    Flags,
    HyperliquidSettings,
    Paths,
    PriceSettings,
    ReconcileSettings,
    Settings,
    StreamSettings,
    SupervisionSettings,
    TcpSettings,
)

__all__ = [
    "Account",
    "AuditSettings",
    "Flags",
    "HyperliquidSettings",
    "Paths",
    "PriceSettings",
    "ReconcileSettings",
    "Settings",
    "StreamSettings",
    "SupervisionSettings",
    "TcpSettings",
    "account_of",
    "forget_secrets",
    "load",
    "locate",
    "named_account",
    "render",
]
