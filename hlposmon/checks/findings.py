"""The types that checks share: their input (Place) and their results (Finding).

A finding about a private key names the file and line, and never contains the key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hlposmon.config import Flags, Paths, Settings

OK, WARN, FAIL, SKIPPED, UNKNOWN = "ok", "warn", "fail", "skipped", "unknown"
LIMIT_S = 2.0  # of most checks


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `state` is ok, warn, fail, skipped, or unknown if what was asked for could not
    be had; `remedy` says what to do, if anything.

    Of an address `about` says what the line is about, and `facts` has it as JSON values: amounts and times
    are text, and null is what is not known.
    """

    check: str
    state: str
    text: str
    remedy: str = ""
    about: str = ""
    facts: Mapping[str, Any] | None = None


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
    """One check: `look` yields its findings; `asks` is whether it sends requests to the exchange. It has
    `limit_s` seconds."""

    name: str
    look: Look
    asks: bool = False
    limit_s: float = LIMIT_S
