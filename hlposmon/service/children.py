"""What runs in each process.

Each function imports what it needs when it runs: a spawned child imports this module, and would
otherwise carry the libraries of all its siblings in its memory.
"""

import contextlib
import pickle
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hlposmon.config import Settings
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.loop import Pulse
from hlposmon.venues.quota import Quota, Share

if TYPE_CHECKING:
    from hlposmon.simulator.exchange import Options
    from hlposmon.venues.hyperliquid import HyperliquidInfo
    from hlposmon.venues.patience import Patience
    from hlposmon.venues.websocket import Feed


def party(name: str) -> int:
    """A worker's own place in the quota: the same one through all restarts and reloads."""
    kind, _, number = name.partition("-")
    return {"price": 0, "state": 1, "reconcile": 2, "fill": 2}[kind] + (int(number or 1) * (kind == "fill"))


def run_tracker(
    pulse: Pulse,
    settings: Settings,
    queue: socket.socket,
    doors: tuple[socket.socket, ...],
    control: socket.socket,
    board: Board,
    quota: Quota,
) -> None:
    from hlposmon.tracker.tracker import Tracker

    control.setblocking(False)

    def reload() -> Settings:
        nonlocal settings
        with contextlib.suppress(BlockingIOError):
            while True:
                settings = pickle.loads(control.recv(1 << 20))
        return settings

    Tracker(
        pulse,
        settings,
        queue=queue,
        sockets=doors,
        board=board.rows,
        reload=reload,
        usage=lambda: _usage(quota),
        spent=lambda name: _spent(quota, name),
    ).run()


def run_fill(pulse: Pulse, settings: Settings, queue: Path, share: Share) -> None:
    from hlposmon.workers.fill import FillWorker

    FillWorker(
        pulse,
        accounts=settings.hyperliquid.accounts,
        feed=_feed(pulse, settings, share),
        info=lambda patience: _info(patience, settings, share),
        queue=queue,
        max_users=settings.hyperliquid.max_users,
    ).run()


def run_price(pulse: Pulse, settings: Settings, queue: Path, share: Share) -> None:
    from hlposmon.workers.price import PriceWorker

    PriceWorker(
        pulse,
        accounts=settings.hyperliquid.accounts,
        settings=settings.prices,
        feed=None if settings.prices.source == "poll" else _feed(pulse, settings, share),
        info=_info(pulse, settings, share),
        queue=queue,
    ).run()


def run_state(pulse: Pulse, settings: Settings, queue: Path, share: Share) -> None:
    from hlposmon.workers.state import StateWorker

    venue = settings.hyperliquid
    StateWorker(
        pulse,
        accounts=venue.accounts[: venue.max_users],
        feed=_feed(pulse, settings, share),
        queue=queue,
    ).run()


def run_reconcile(pulse: Pulse, settings: Settings, queue: Path, share: Share) -> None:
    from hlposmon.workers.reconcile import ReconcileWorker

    ReconcileWorker(
        pulse,
        accounts=settings.hyperliquid.accounts,
        interval_s=settings.reconcile.interval_s,
        info=_info(pulse, settings, share),
        queue=queue,
        reached_s=lambda: share.opened_s,
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


def _info(patience: "Patience", settings: Settings, share: Share) -> "HyperliquidInfo":
    from hlposmon.venues.hyperliquid import HyperliquidInfo

    return HyperliquidInfo(settings.hyperliquid.api_url, budget=share, patience=patience)


def _feed(pulse: Pulse, settings: Settings, share: Share) -> "Feed":
    from hlposmon.venues.websocket import Feed
    from hlposmon.wire.hyperliquid import PING

    return Feed(settings.hyperliquid.ws_url, ping=PING, patience=pulse, share=share)


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
    if name in ("tracker", "simulator"):
        return None
    return quota.weight.used(time.monotonic(), party(name))
