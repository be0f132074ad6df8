"""What the tracker is at one instant, as metrics are made of it. Plain values and pictures, no text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hlposmon.api.server import Traffic
from hlposmon.domain.reports import HistoryState
from hlposmon.domain.views import AccountView, View
from hlposmon.engine.feeds import Feeds
from hlposmon.engine.health import Health
from hlposmon.engine.incidents import Incidents
from hlposmon.journal.writer import Journal
from hlposmon.metrics.measures import Counts


@dataclass(frozen=True, slots=True)
class MetricsInput:
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
    history: HistoryState
    workers: Mapping[str, Any]
    usage: Mapping[str, float]
    waiting_bytes: Mapping[str, int]
    traffic: Traffic
    published: int
