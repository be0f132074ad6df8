"""Keeps the snapshot in shared memory: writes positions and heartbeats, and builds new files.

No failure of the snapshot ends the tracker. `failure` says why there is no snapshot, or why it lacks
positions, until a new file has been built. `complaints` name positions that it cannot show exactly.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from hlposmon.config import Settings
from hlposmon.domain.rendering import Rendered, Renderer, symbol_of
from hlposmon.domain.views import View
from hlposmon.snapshot.layout import RecordTexts, fitted
from hlposmon.snapshot.writer import SnapshotWriter
from hlposmon.supervision.logs import Repeats
from hlposmon.system.clock import now_ms

log = logging.getLogger(__name__)

LEAST_CAPACITY = 1024


class SnapshotOutput:
    """The snapshot as an output; it has no file before the first `renew`."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.failure: str | None = None
        self._writer: SnapshotWriter | None = None
        self._path: Path | None = None
        self._complaints: dict[tuple[str, str], str] = {}
        self._beaten = (0, "unhealthy")
        self._repeats = Repeats()

    @property
    def complaints(self) -> list[tuple[str, str]]:
        """For each position that is not shown exactly, its account and the text for health."""
        return [(account, said) for (account, _), said in self._complaints.items()]

    def show(self, view: View, updated_ms: int) -> None:
        """Write a position to the snapshot; problems are in `failure` or `complaints`, never raised.

        `updated_ms` is when the position last changed, in Unix milliseconds.
        """
        writer, name = self._writer, (view.account, view.key)
        shown = self._renderer.render(view)  # also without a snapshot: the sums add up what was rendered
        if writer is None:
            return
        if self.failure is not None and not writer.has_room_for(*name):
            return  # only `renew` tries to get more room, once a tick, not at every fill
        try:
            complaint = _show(writer, _record(shown, updated_ms))
        except OSError as error:
            self._failed(error)
            return
        if complaint is None:
            self._complaints.pop(name, None)
            return
        said = self._complaints[name] = f"{view.account} {symbol_of(view.key)}: {complaint}"
        message = "a position does not fit the snapshot"
        self._repeats.log(log, logging.ERROR, message, now=time.monotonic(), key=name, reason=said)

    def renew(self, settings: Settings, shown: Iterable[tuple[View, int]]) -> None:
        """Replace the file by a new one that holds only the positions in `shown`.

        `shown` are the watched positions, each with the time of its last change in Unix milliseconds. If
        there is no room for a new file, the old one is kept and its other positions are marked stale.
        """
        old, shown = self._writer, list(shown)
        for view, _ in shown:
            self._renderer.render(view)
        self._path = settings.paths.snapshot
        try:
            capacity = _capacity_for(len(shown))
            self._writer = SnapshotWriter(self._path, mode=settings.mode, capacity=capacity)
        except OSError as error:
            self._failed(error)
            if old is not None:
                for name in old.names - {(view.account, view.key) for view, _ in shown}:
                    old.mark_stale(*name, "no longer watched")
            return
        if self.failure is not None:
            log.info("the snapshot is written again")
        self.failure, self._complaints = None, {}
        for view, updated_ms in shown:
            self.show(view, updated_ms)
        if old is not None:
            self.beat(*self._beaten)
            old.close()

    def beat(self, seq: int, status: str) -> None:
        """Write a heartbeat with the number of the last stream message and the status of the health."""
        self._beaten = seq, status
        if self._writer is not None:
            self._writer.beat(wall_ms=now_ms(), seq=seq, healthy=status)

    def close(self) -> None:
        """Mark the snapshot as closed and remove its file."""
        if self._writer is not None:
            self._writer.close()

    def _failed(self, error: OSError) -> None:
        self.failure = f"{self._path}: {error.strerror}"
        said = "the snapshot cannot be written"
        self._repeats.log(log, logging.ERROR, said, now=time.monotonic(), reason=self.failure)


def _show(writer: SnapshotWriter, record: RecordTexts) -> str | None:
    """Write the record, or if it does not fit, the nearest one that does; return the complaint, if any.

    If nothing fits, mark the position stale. Raises OSError if there is no room for a new position.
    """
    try:
        writer.write(record)
        return None
    except ValueError as error:
        complaint = str(error)
    try:
        writer.write(fitted(record.record()))
    except ValueError as error:
        writer.mark_stale(record.account, record.key, f"cannot be shown: {error}")
        return f"cannot be shown: {error}"
    return complaint


def _capacity_for(count: int) -> int:
    """Return the slots for `count` positions: a power of two, at least LEAST_CAPACITY.

    The file then need not grow while it is being filled.
    """
    return max(LEAST_CAPACITY, 1 << (count - 1).bit_length())


def _record(shown: Rendered, updated_ms: int) -> RecordTexts:
    view = shown.view
    return RecordTexts(
        account=shown.account,
        key=shown.key,
        symbol=shown.symbol,
        verdict=str(view.verdict),
        verdict_reason=view.reason or "",
        size=shown.size,
        entry_price=shown.entry_price,
        mark_price=shown.mark_price,
        unrealized_pnl=shown.unrealized_pnl,
        realized_pnl=shown.realized_pnl,
        fees=shown.fees,
        funding=shown.funding,
        notional_value=shown.notional_value,
        leverage=shown.leverage,
        margin_used=shown.margin_used,
        liquidation_price=shown.liquidation_price,
        last_fill_ms=view.last_fill_ms,
        last_updated_ms=updated_ms,
        fills=view.position.fills,
        proof=str(view.proof),
        as_of_ms=view.as_of_ms,
        block=view.block,
    )
