"""The state machine of a child: states, events, and the table of transitions.

The table is complete: a pair that is not in it is a bug in the supervisor, raises Impossible and changes
nothing. Whether a child is wanted is not part of its state; the supervisor compares the two and sends WANTED
and UNWANTED. Never in here: processes, clocks, signals.
"""

from enum import Enum, IntEnum
from types import MappingProxyType


class State(IntEnum):
    """The state of a child. The numbers are written to shared memory."""

    DOWN = 0  # no process, and no restart is scheduled
    STARTING = 1  # a process that has not beaten yet
    UP = 2  # beating
    BACKOFF = 3  # no process; a restart is scheduled
    ABORTING = 4  # silent; SIGABRT sent, for a traceback
    STOPPING = 5  # SIGTERM sent
    KILLING = 6  # SIGKILL sent, not yet reaped


class Event(Enum):
    """What can happen to a child."""

    WANTED = "wanted"
    BEAT = "beat"
    SILENT = "silent"
    EXITED = "exited"
    DUE = "due"
    OVERDUE = "overdue"
    UNWANTED = "unwanted"


class Impossible(Exception):
    """An event that cannot happen in this state: a mistake in the supervisor."""


NEXT = MappingProxyType(
    {
        (State.DOWN, Event.WANTED): State.STARTING,
        (State.STARTING, Event.BEAT): State.UP,
        (State.STARTING, Event.SILENT): State.ABORTING,
        (State.STARTING, Event.EXITED): State.BACKOFF,
        (State.STARTING, Event.UNWANTED): State.STOPPING,
        (State.UP, Event.SILENT): State.ABORTING,
        (State.UP, Event.EXITED): State.BACKOFF,
        (State.UP, Event.UNWANTED): State.STOPPING,
        (State.BACKOFF, Event.DUE): State.STARTING,
        (State.BACKOFF, Event.UNWANTED): State.DOWN,
        (State.ABORTING, Event.EXITED): State.BACKOFF,
        (State.ABORTING, Event.OVERDUE): State.KILLING,
        (State.ABORTING, Event.UNWANTED): State.KILLING,  # it hangs, so it would not handle SIGTERM
        (State.STOPPING, Event.EXITED): State.DOWN,
        (State.STOPPING, Event.OVERDUE): State.KILLING,
        (State.KILLING, Event.EXITED): State.BACKOFF,  # a following UNWANTED moves it to DOWN
    }
)


def after(state: State, event: Event) -> State:
    """The next state. Raises Impossible for a pair that is not in the table."""
    try:
        return NEXT[state, event]
    except KeyError:
        raise Impossible(f"{event.name} cannot happen to a child that is {state.name}") from None
