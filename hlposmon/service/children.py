"""What runs in each process.

Each function imports what it needs when it runs: to name it in a ChildSpec costs nothing, and the simulated
exchange is loaded only where it runs. What is loaded before the first fork is `service.preload`'s choice.
"""

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


# All feeds are sent a fill at the same instant. Those beside the first read it this much later: with two
# processors the copies would keep the tracker from taking the first one. Far less than connections differ by.
STANDBY_S = 0.002


def party(name: str) -> int:
    """A worker's own place in the quota: the same one through all restarts and reloads."""
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
        usage=lambda: _usage(quota),
        spent=lambda name: _spent(quota, name),
    ).run()


def run_fill(pulse: Pulse, needs: FillNeeds, queue: Path, share: Share) -> None:
    from hlposmon.workers.fill import FillWorker

    FillWorker(
        pulse,
        accounts=needs.accounts,
        venue=_venue(pulse, share, ws_url=needs.ws_url),
        queue=queue,
        max_users=needs.max_users,
        standby_s=0.0 if pulse.name == "fill" else STANDBY_S,
    ).run()


def run_price(pulse: Pulse, needs: PriceNeeds, queue: Path, share: Share) -> None:
    from hlposmon.workers.price import PriceWorker

    PriceWorker(
        pulse,
        accounts=needs.accounts,
        settings=needs.prices,
        venue=_venue(pulse, share, api_url=needs.api_url, ws_url=needs.ws_url),
        queue=queue,
    ).run()


def run_state(pulse: Pulse, needs: StateNeeds, queue: Path, share: Share) -> None:
    from hlposmon.workers.state import StateWorker

    StateWorker(
        pulse, accounts=needs.accounts, venue=_venue(pulse, share, ws_url=needs.ws_url), queue=queue
    ).run()


def run_reconcile(pulse: Pulse, needs: ReconcileNeeds, queue: Path, share: Share) -> None:
    from hlposmon.workers.reconcile import ReconcileWorker

    ReconcileWorker(
        pulse,
        accounts=needs.accounts,
        interval_s=needs.interval_s,
        venue=_venue(pulse, share, api_url=needs.api_url),
        queue=queue,
        reached_s=lambda: share.opened_s,
    ).run()


def run_history(pulse: Pulse, needs: HistoryNeeds, queue: Path) -> None:
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
    from hlposmon.simulator.exchange import Exchange

    exchange = Exchange(options, listener)
    try:
        while not pulse.stopping:
            pulse.beat()
            exchange.step(0.2)
    finally:
        exchange.close()


def _venue(pulse: Pulse, share: Share, **urls: str) -> "Venue":
    """The venue as one worker uses it, at those of its URLs that this worker needs."""
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
    """The weight that a worker spent in the last minute; None for a process that asks nothing."""
    if name in ("tracker", "history", "simulator"):
        return None
    return quota.weight.used(time.monotonic(), party(name))
