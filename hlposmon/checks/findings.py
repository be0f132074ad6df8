"""What a check says, and what it is given to look at. A finding never holds a key, only where one is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Flags, Paths, Settings

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `state` is ok, warn, fail or skipped; `remedy` is what to do about it."""

    check: str
    state: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """What is looked at. `settings` is None when the configuration has mistakes; `root` stands for `/`."""

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
    """A name, how to look, and whether it asks the exchange."""

    name: str
    look: Look
    asks: bool = False
