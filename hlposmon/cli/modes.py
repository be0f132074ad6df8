"""Checks which mode wrote the existing files: simulated and testnet runs must not write into live ones.

Simulated fills in a history could not be told from real ones when they are added up. The journal and the
history record the mode that wrote them. Files that cannot be read are skipped here; the tracker handles them.
"""

from collections.abc import Iterator
from pathlib import Path

from hlposmon.client.history import History
from hlposmon.config import Settings
from hlposmon.errors import ConfigError, HlposmonError
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.journal.files import written_below
from hlposmon.journal.recovery import read_back


def refuse_another_mode(settings: Settings) -> None:
    """Raises ConfigError (exit status 78) if the log or state folder has files of another mode or network."""
    paths = settings.paths
    mistakes = []
    for setting, folder, what, flag, modes in (
        ("log_dir", paths.log_dir, "audit", "--log-dir and LOG_DIR", _audit_mode(paths.log_dir)),
        ("state_dir", paths.state_dir, "history", "--state-dir", _history_mode(paths.state_dir)),
    ):
        mistakes += [
            f"{setting}: found {folder} with the {what} of {mode} runs, wanted one of its own for"
            f" {settings.world} ones: {_advice(folder, flag, mode, settings.world)}"
            for mode in modes
            if mode not in ("", settings.world)
        ]
    if mistakes:
        raise ConfigError(mistakes)


def _advice(folder: Path, flag: str, theirs: str, ours: str) -> str:
    """What to do: a simulated run has its own folders by default, but mainnet and testnet share theirs."""
    return (
        f"name another, as {folder / ours}"
        if "testnet" in (theirs, ours)
        else f"leave {flag} out or name another"
    )


def _audit_mode(log_dir: Path) -> Iterator[str]:
    folder = written_below(log_dir)
    try:
        if folder.is_dir():
            yield read_back(folder).found.mode
    except (OSError, HlposmonError):
        return


def _history_mode(state_dir: Path) -> Iterator[str]:
    try:
        with History.open(state_dir / HISTORY_FILE) as history:
            yield history.mode
    except (OSError, HlposmonError):
        return
