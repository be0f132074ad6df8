"""The snapshot in shared memory, as the tracker keeps it: written to, beaten, and made anew.

One that could not be made is tried again, and `failure` says why there is none.
"""

import logging
import time
from collections.abc import Callable, Iterable

from hlposmon.channels.snapshot import SnapshotWriter
from hlposmon.config import Settings
from hlposmon.domain.views import View
from hlposmon.supervision.logs import Repeats
from hlposmon.tracker.wall import now_ms
from hlposmon.wire import published

log = logging.getLogger(__name__)


class Picture:
    """The snapshot's file. `seq` is the number of the last message, `healthy` the status in a word."""

    def __init__(
        self,
        *,
        seq: Callable[[], int],
        updated_ms: Callable[[str, str], int | None],
        healthy: Callable[[], str],
    ) -> None:
        self.failure: str | None = None
        self._seq, self._updated_ms, self._healthy = seq, updated_ms, healthy
        self._writer: SnapshotWriter | None = None
        self._repeats = Repeats()

    def record(self, view: View) -> None:
        if self._writer is None:
            return
        updated_ms = self._updated_ms(view.account, view.key) or now_ms()
        self._writer.write(published.record(view, updated_ms))

    def renew(self, settings: Settings, views: Iterable[View]) -> None:
        """A new file in the place of the old one, with what is watched now and nothing else."""
        old, path = self._writer, settings.paths.snapshot
        try:
            self._writer = SnapshotWriter(path, mode=settings.mode)
        except OSError as error:
            self.failure = f"{path}: {error.strerror}"
            said = "the snapshot cannot be written"
            self._repeats.log(log, logging.ERROR, said, now=time.monotonic(), reason=self.failure)
            return
        self.failure = None
        for view in views:
            self.record(view)
        if old is not None:
            self.beat()
            old.close()

    def beat(self) -> None:
        """Say that it is kept, and how the monitor is."""
        if self._writer is not None:
            self._writer.beat(wall_ms=now_ms(), seq=self._seq(), healthy=self._healthy())

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
