"""Errors say who must act: the person who configures, the wire's author, or the venue.

Every error carries plain values in its message (what is wrong, where, what to do) and keeps its
cause. It is raised or logged, never both. Nothing here may import anything else of ours.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from typing import Self


class HlposmonError(Exception):
    """The root of all errors that hlposmon raises on purpose."""


class ConfigError(HlposmonError):
    """The configuration is wrong; `mistakes` holds one line for each mistake, all of them at once."""

    def __init__(self, mistakes: list[str]) -> None:
        assert mistakes, "a ConfigError names at least one mistake"
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[str]]]:
        return (type(self), (self.mistakes,))


class InUse(HlposmonError):
    """A socket or folder belongs to another monitor that is alive; the message names its pid."""


class WireError(HlposmonError):
    """A payload does not have the shape it must have: nothing was decoded from it."""


class VenueUnavailable(HlposmonError):
    """The venue could not be asked (refused, timed out, overloaded, cut short): ask again later."""


class VenueRefused(HlposmonError):
    """The venue understood the request and refused it: asking again will not help."""


class RequestNotKnown(VenueRefused):
    """The venue's server does not know this type of request: what it would tell is not to be had there."""


class HistoryUnread(HlposmonError):
    """The history's file is not there, is busy or broken, or holds what no monitor writes."""


class MonitorNotRunning(HlposmonError):
    """No monitor answers at the socket or in the snapshot."""


class NotPermitted(HlposmonError):
    """The socket or a file exists, or could, but this user may not open or make it."""

    @classmethod
    def to_outsiders(cls, what: str) -> Self:
        """Of what the monitor's group may open: says that one has to be in it."""
        return cls(f"{what}; become a member of its group (hlposmon) or its user")


class TimedOut(HlposmonError):
    """The monitor did not answer in the time allowed."""
