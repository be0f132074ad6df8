"""Tracks which hourly funding payments are booked, so that each counts once, even late or after a restart."""

from dataclasses import dataclass

# Accept payments up to two days late: one payment an hour.
REMEMBERED = 48


@dataclass(frozen=True, slots=True)
class Payments:
    """Of one holding: all up to `floor_ms` count as booked, and of those since then `booked`, by time."""

    floor_ms: int = 0
    booked: tuple[int, ...] = ()

    @property
    def last_ms(self) -> int:
        """The newest that is booked."""
        return max(self.booked, default=self.floor_ms)

    def owes(self, time_ms: int) -> bool:
        """Whether the payment of this time is not booked."""
        return time_ms > self.floor_ms and time_ms not in self.booked

    def paid(self, time_ms: int) -> "Payments":
        """With this one booked; of more than are remembered the oldest becomes the floor."""
        if not self.owes(time_ms):
            return self
        booked = tuple(sorted((*self.booked, time_ms)))
        if len(booked) <= REMEMBERED:
            return Payments(self.floor_ms, booked)
        return Payments(booked[0], booked[1:])
