"""The types that checks share: their input (Place) and their results (Finding).

A finding about a private key names the file and line, and never contains the key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Flags, Paths, Settings

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `state` is ok, warn, fail or skipped; `remedy` says what to do, if anything."""

    check: str
    state: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The input of every check.

    `settings` is None if the configuration has `mistakes`. `root` stands for `/`, so that a test can use
    another folder.
    """

    flags: Flags
    environ: Mapping[str, str]
    paths: Paths
    settings: Settings | None
    mistakes: tuple[str, ...]
    root: Path = Path("/")

    @property
    def runtime(self) -> Path:
        """The folder of the socket and the snapshot."""
        return self.paths.socket.parent


Look = Callable[[Place], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `look` yields its findings; `asks` is whether it sends requests to the exchange."""

    name: str
    look: Look
    asks: bool = False
