"""What the tracker is at one instant, as metrics are made of it. Plain values and pictures, no text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hlposmon.channels.history import History
from hlposmon.channels.journal import Journal
from hlposmon.channels.server import Traffic
from hlposmon.domain.views import AccountView, View
from hlposmon.tracker.counts import Counts
from hlposmon.tracker.feeds import Feeds
from hlposmon.tracker.health import Health
from hlposmon.tracker.incidents import Incidents


@dataclass(frozen=True, slots=True)
class Sight:
    """`now_s` is of the monotonic clock and `wall_s` of the wall clock, at the same instant. `workers` is
    what the socket answers of them; `published` counts messages of the stream."""

    now_s: float
    wall_s: float
    mode: str
    health: Health
    views: Sequence[View]
    accounts: Sequence[AccountView]
    ages: Mapping[str, float | None]
    feed_ages: Mapping[str, float]
    feeds: Feeds
    incidents: Incidents
    counts: Counts
    journal: Journal
    written_ms: int | None
    history: History
    workers: Mapping[str, Any]
    usage: Mapping[str, float]
    waiting_bytes: Mapping[str, int]
    traffic: Traffic
    published: int
