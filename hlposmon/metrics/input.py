"""The tracker's state at one instant, from which the metrics are built."""

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
    """The input of `exposition`.

    `now_s` is monotonic seconds and `wall_s` Unix seconds of the same instant. `ages` (by kind of news; None:
    never) and `feed_ages` (by feed) are seconds. `written_ms` is when journal lines were last written, in
    Unix milliseconds. `workers` is the answer of the socket's workers path, `usage` the use of the exchange's
    rate limits, `waiting_bytes` by worker, and `published` the number of stream messages.
    """

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
