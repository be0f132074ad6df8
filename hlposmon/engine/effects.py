"""What follows from a report, as plain facts: the engine decides, the shell carries out.

Effects come in the order in which they were decided. The shell carries out all of one turn in the order of
the law: the journal first, then the stream, then the snapshot, then what workers are told, then the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hlposmon.domain.changes import Change
from hlposmon.domain.reports import Ask, Bell, Statement
from hlposmon.domain.views import View


class Now(NamedTuple):
    """One instant on both clocks: `s` monotonic seconds, for ages; `ms` Unix milliseconds."""

    s: float
    ms: int


@dataclass(frozen=True, slots=True)
class JournalChange:
    """Journal a change of the book."""

    change: Change
    at_ms: int


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """Journal something that is no change of a position: `kind` is the line's type, `facts` its fields."""

    kind: str
    facts: Mapping[str, Any]
    at_ms: int


@dataclass(frozen=True, slots=True)
class JournalCheckpoint:
    """Journal the whole book before the next turn: the lines so far do not tell all of it."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class JournalStatement:
    """Journal what a statement said, and in which keys it and the book differ."""

    statement: Statement
    differing: tuple[str, ...]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Send a change to the stream's clients. `view` is the position as it is after the change.

    `heard_s`: when the stream of the venue brought the fill that the change is about; None for others.
    """

    change: Change
    view: View
    at_ms: int
    heard_s: float | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the stream's clients of something that concerns a whole account; `facts` are plain values."""

    kind: str
    account: str
    facts: Mapping[str, Any]
    at_ms: int


@dataclass(frozen=True, slots=True)
class PublishPrice:
    """Tell the stream's clients that unrealised P&L has moved materially."""

    view: View
    at_ms: int


@dataclass(frozen=True, slots=True)
class Show:
    """Put the position into the snapshot. Of several in one turn the last one counts."""

    view: View
    at_ms: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to one worker; it is lost if the worker is gone."""

    worker: str
    ask: Ask


@dataclass(frozen=True, slots=True)
class Ring:
    """Ring at the workers that reconcile."""

    bell: Bell


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """The configured address of an account is an agent's: watch the account at `owner` instead."""

    account: str
    agent: str
    owner: str


@dataclass(frozen=True, slots=True)
class FoundSubAccounts:
    """The account at `master` has sub-accounts, pairs of address and name, of which some are not watched."""

    account: str
    master: str
    found: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the operator. `level` is logging's; lines of the same `key` are said once a minute."""

    level: int
    message: str
    facts: Mapping[str, Any]
    key: object = None


@dataclass(frozen=True, slots=True)
class LogChange:
    """A change for the operator, in the log's words."""

    change: Change


Effect = (
    JournalChange
    | JournalEvent
    | JournalCheckpoint
    | JournalStatement
    | Publish
    | Announce
    | PublishPrice
    | Show
    | Tell
    | Ring
    | FoundAgent
    | FoundSubAccounts
    | Log
    | LogChange
)
