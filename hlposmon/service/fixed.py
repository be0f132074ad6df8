"""Settings that are fixed at start: sockets, folders, locks, log format and level, supervision limits.

A reload keeps their values, for the tracker and for every process started later, and logs each one that the
configuration would change.
"""

from dataclasses import replace

from hlposmon.config import Settings
from hlposmon.errors import ConfigError


def as_it_runs(running: Settings, wanted: Settings) -> Settings:
    """`wanted`, with the fixed settings of `running`.

    Raises ConfigError for another mode or network (`Settings.world`), where an address has other positions.
    """
    if wanted.world != running.world:
        setting = "execution_mode" if wanted.mode != running.mode else "testnet"
        raise ConfigError([f"{setting}: found {wanted.world}, but {running.world} runs: restart instead"])
    return replace(
        wanted,
        tcp=running.tcp,
        supervision=running.supervision,
        paths=running.paths,
        log_level=running.log_level,
        log_format=running.log_format,
    )


def needing_restart(running: Settings, wanted: Settings) -> list[str]:
    """Names, as in the file, of the fixed settings that differ between `running` and `wanted`."""
    pairs = {
        "log_level": (running.log_level, wanted.log_level),
        "log_format": (running.log_format, wanted.log_format),
        "[tcp]": (running.tcp, wanted.tcp),
        "[supervision]": (running.supervision, wanted.supervision),
        "socket": (running.paths.socket, wanted.paths.socket),
        "state_dir": (running.paths.state_dir, wanted.paths.state_dir),
        "log_dir": (running.paths.log_dir, wanted.paths.log_dir),
    }
    return [name for name, (was, now) in pairs.items() if was != now]
