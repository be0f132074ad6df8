"""The settings of this monitor: from the command line, the environment and one TOML file.

No other package takes the monitor's settings from the environment, and this one is passed the mapping. `load`
returns settings that are valid as a whole, or raises ConfigError with every mistake that it found. No message
contains a secret: a private key is used only to derive an address, or is refused.

Each name is imported on first use, since `health` needs only `places` and must start fast.
"""

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
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

# The module of each name; names not listed here are in `settings`.
_ROOMS = {
    "account_of": "accounts",
    "forget_secrets": "accounts",
    "load": "loading",
    "locate": "paths",
    "named_account": "accounts",
    "render": "rendering",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_ROOMS.get(name, 'settings')}"), name)
