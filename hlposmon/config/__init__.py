"""What this monitor shall do: settings from the command line, the environment and one TOML file.

The only package that reads an environment, and even it is handed the mapping. `load` either returns
settings that are right as a whole or raises ConfigError with every mistake it found. It never
repeats a secret: a private key is used to derive an address, or refused, and in no message.

Each name is imported when it is asked for: `health` needs `places` alone, and pays for no more.
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

# Where each name lives; those not named here are settings.
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
