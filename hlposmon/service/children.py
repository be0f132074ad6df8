"""The entry functions of all processes: each builds its worker and runs it until the pulse is stopping.

Each function imports its modules when it runs, so naming it in a ChildSpec costs nothing, and the simulated
exchange is loaded only where it runs. `service.preload` chooses the modules loaded before the first fork.
"""

import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hlposmon.config import Settings
from hlposmon.ipc.listeners import FileId
from hlposmon.ipc.mailbox import Newest
from hlposmon.service.needs import FillNeeds, HistoryNeeds, PriceNeeds, ReconcileNeeds, StateNeeds
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.loop import Pulse
from hlposmon.transport.quota import Quota, Share

if TYPE_CHECKING:
    from hlposmon.simulator.exchange import Options
    from hlposmon.venues.port import Venue


# The one venue that can be configured today.
VENUE = "hyperliquid"


# The exchange sends a fill to all feeds at the same time. All feeds but the first read it this much later,
# since on two processors the copies would delay the tracker. Connections differ by far more than this.
STANDBY_S = 0.002


def party(name: str) -> int:
    """A worker's party number in the quota: price 0, state 1, reconcile 2, the Nth fill feed 2 + N.

    It stays the same through restarts and reloads. Raises KeyError for a process that makes no requests.
    """
    kind, _, number = name.partition("-")
    return {"price": 0, "state": 1, "reconcile": 2, "fill": 2}[kind] + (int(number or 1) * (kind == "fill"))


def run_tracker(
    pulse: Pulse,
    settings: Newest[Settings],
    reload_failure: Newest[str | None],
    queue: socket.socket,
    doors: tuple[socket.socket, ...],
    files: Mapping[Path, FileId],
    board: Board,
    quota: Quota,
) -> None:
    """Run the tracker on the workers' queue and the public sockets (`doors`).

    `files` are the device and inode of each socket's file, `board` and `quota` the shared memory that the API
    reports from.
    """
    from hlposmon.tracker.tracker import Tracker

    Tracker(
        pulse,
        settings.get(),
        queue=queue,
        sockets=doors,
        files=files,
        board=board.rows,
        reload=settings.get,
        reload_failure=reload_failure.get,
        ask_reload=lambda: os.kill(os.getppid(), signal.SIGUSR1),
        usage=lambda: _usage(quota),
        spent=lambda name: _spent(quota, name),
    ).run()


def run_fill(pulse: Pulse, needs: FillNeeds, queue: Path, share: Share) -> None:
    """Run one feed of fills. Every feed but the first reads STANDBY_S later."""
    from hlposmon.workers.fill import FillWorker

    FillWorker(
        pulse,
        accounts=needs.accounts,
        venue=_venue(pulse, share, ws_url=needs.ws_url),
        queue=queue,
        standby_s=0.0 if pulse.name == "fill" else STANDBY_S,
    ).run()


def run_price(pulse: Pulse, needs: PriceNeeds, queue: Path, share: Share) -> None:
    """Run the worker that reports mark prices."""
    from hlposmon.workers.price import PriceWorker

    PriceWorker(
        pulse,
        accounts=needs.accounts,
        settings=needs.prices,
        venue=_venue(pulse, share, api_url=needs.api_url, ws_url=needs.ws_url),
        queue=queue,
    ).run()


def run_state(pulse: Pulse, needs: StateNeeds, queue: Path, share: Share) -> None:
    """Run the worker that reports pushed statements."""
    from hlposmon.workers.state import StateWorker

    StateWorker(
        pulse, accounts=needs.accounts, venue=_venue(pulse, share, ws_url=needs.ws_url), queue=queue
    ).run()


def run_reconcile(pulse: Pulse, needs: ReconcileNeeds, queue: Path, share: Share) -> None:
    """Run the worker that requests statements, fills and funding by REST."""
    from hlposmon.workers.reconcile import ReconcileWorker

    ReconcileWorker(
        pulse,
        accounts=needs.accounts,
        interval_s=needs.interval_s,
        polled=needs.polled,
        venue=_venue(pulse, share, api_url=needs.api_url),
        queue=queue,
        reached_s=lambda: share.opened_s,
    ).run()


def run_history(pulse: Pulse, needs: HistoryNeeds, queue: Path) -> None:
    """Run the worker that imports the journal into the history."""
    from hlposmon.journal.files import written_below
    from hlposmon.workers.history import HistoryWorker

    HistoryWorker(
        pulse,
        journal=written_below(needs.log_dir),
        state_dir=needs.state_dir,
        fsync=needs.fsync,
        queue=queue,
    ).run()


def run_simulator(pulse: Pulse, options: "Options", listener: socket.socket) -> None:
    """Run the simulated exchange on a listening TCP socket."""
    from hlposmon.simulator.exchange import Exchange

    exchange = Exchange(options, listener)
    try:
        while not pulse.stopping:
            pulse.beat()
            exchange.step(0.2)
    finally:
        exchange.close()


def _venue(pulse: Pulse, share: Share, **urls: str) -> "Venue":
    """The venue for one worker, with the URLs that this worker needs and its share of the rate limit."""
    from hlposmon.venues.registry import create_venue

    return create_venue(VENUE, urls, share=share, deadline=pulse)


def _usage(quota: Quota) -> dict[str, float]:
    now_s = time.monotonic()
    return {
        "weight_used": quota.weight.used(now_s),
        "weight_limit": quota.per_minute,
        "weight_kept_for_heals": quota.headroom,
        "connections_used": quota.connections.used(now_s),
        "connections_limit": quota.connections_per_minute,
        "silent_s": round(quota.silent_s(now_s), 1),
    }


def _spent(quota: Quota, name: str) -> int | None:
    """Request weight that a worker spent in the last minute; None for a process that makes no requests."""
    if name in ("tracker", "history", "simulator"):
        return None
    return quota.weight.used(time.monotonic(), party(name))
