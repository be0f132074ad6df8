"""The snapshot in shared memory, as the tracker keeps it: written to, beaten, and made anew.

No fault of it ends the tracker. `failure` says why there is no snapshot, or why positions are missing in it,
until making it anew has succeeded. `complaints` name the positions that it cannot show as they are.
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
    """The snapshot's file."""

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
        """The account of each position that is not shown as it is, and what health repeats of it."""
        return [(account, said) for (account, _), said in self._complaints.items()]

    def show(self, view: View, updated_ms: int) -> None:
        """Show the position from now on; what hinders that is in `failure` or `complaints`.

        `updated_ms` is when it last changed, in Unix milliseconds.
        """
        writer, name = self._writer, (view.account, view.key)
        shown = self._renderer.render(view)  # the sums are of what was rendered, with a snapshot or without
        if writer is None:
            return
        if self.failure is not None and not writer.has_room_for(*name):
            return  # `renew` tries for more room: once in a tick, and not at each fill
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
        """A new file in the place of the old one, with what is watched now and nothing else.

        `shown` are the positions and when each last changed. Without room for the new file the old one is
        kept, and says of what is no longer watched that it is stale.
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
        """Say that it is kept; the number of the last message, and health's status in a word."""
        self._beaten = seq, status
        if self._writer is not None:
            self._writer.beat(wall_ms=now_ms(), seq=seq, healthy=status)

    def close(self) -> None:
        """Say in the snapshot that its writer is gone, and remove it."""
        if self._writer is not None:
            self._writer.close()

    def _failed(self, error: OSError) -> None:
        self.failure = f"{self._path}: {error.strerror}"
        said = "the snapshot cannot be written"
        self._repeats.log(log, logging.ERROR, said, now=time.monotonic(), reason=self.failure)


def _show(writer: SnapshotWriter, record: RecordTexts) -> str | None:
    """Write the record, or the nearest that fits; then say why. OSError for want of room."""
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
    """Slots for so many positions in one file, which then need not grow while it is being filled."""
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
