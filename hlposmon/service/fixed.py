"""What is fixed when the monitor starts: its sockets, folders and locks, its logs, its patience.

A reload leaves that as it runs, for the tracker and for every process that is started later, and says
what the configuration wants otherwise, each time that it does.
"""

from dataclasses import replace

from hlposmon.config import Settings
from hlposmon.errors import ConfigError


def as_it_runs(running: Settings, wanted: Settings) -> Settings:
    """`wanted`, but for what is fixed. ConfigError for another mode: its accounts are no others of ours,
    but those of another world."""
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
    """The settings that are fixed and wanted otherwise, by the names that they have in the file."""
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
