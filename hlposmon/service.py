"""The composition root: who lives here. Makes the sockets, names the children, hands them over.

At run time the supervisor stands over the workers; in the import graph it stands under them, and this
module over both. No loops, and no decisions but who gets what.
"""

import contextlib
import logging
import os
import pickle
import resource
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hlposmon.channels import queue as queues
from hlposmon.channels.door import Lock, check_folder, open_door
from hlposmon.client.snapshot import Snapshot
from hlposmon.config import Account, Settings
from hlposmon.errors import ConfigError, HlposmonError, InUse
from hlposmon.supervision import logs
from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.loop import Pulse
from hlposmon.supervision.roster import Policy
from hlposmon.supervision.supervisor import Supervisor
from hlposmon.supervision.systemd import Notifier
from hlposmon.venues.quota import Quota, Share

if TYPE_CHECKING:
    from hlposmon.simulator.exchange import Options
    from hlposmon.venues.hyperliquid import HyperliquidInfo
    from hlposmon.venues.patience import Patience
    from hlposmon.venues.websocket import Feed

log = logging.getLogger(__name__)

SIMULATED_ACCOUNT = "simulated"


@dataclass(frozen=True, slots=True)
class _Places:
    """What the supervisor holds for its children, so that it outlives any one of them."""

    doors: tuple[socket.socket, ...]
    queue: socket.socket
    queue_path: Path
    control: tuple[socket.socket, socket.socket]
    exchange: socket.socket | None


def serve(
    settings: Settings,
    *,
    reload: Callable[[], Settings],
    simulation: "Options | None",
    log_file: Path | None,
) -> int:
    """Run the monitor until it is told to stop; the exit status.

    `simulation` brings up the simulated exchange and watches its accounts instead of a real venue's.
    Raises InUse or NotPermitted before anything is started.
    """
    if settings.execution_mode == "backtest" and simulation is None:
        raise ConfigError(['execution_mode: found "backtest", which this version cannot run; wanted "live"'])
    _raise_descriptor_limit()
    os.umask(os.umask(0o077) | 0o027)  # whatever we were given: nothing of ours is for everybody
    fmt: logs.Format = "json" if settings.log_format == "json" else "text"
    log_settings = logs.LogSettings(settings.log_level, str(log_file) if log_file else None, fmt)
    logs.configure(log_settings.level, name="supervisor", file=log_settings.file, fmt=fmt)
    with contextlib.ExitStack() as stack:
        _lock(stack, settings)
        places = _open_places(stack, settings, simulated=simulation is not None)
        if simulation is not None:
            simulation = _with_accounts(simulation)
        here = stack.enter_context(contextlib.closing(_Composition(places, simulation, settings)))
        settings = here.effective(settings)
        _say_start(settings)
        specs = here.specs(settings)
        board = Board([spec.name for spec in specs])
        stack.callback(board.close)
        here.board = board
        supervisor = Supervisor(
            here.specs(settings),
            board,
            policy=_policy(settings),
            notifier=Notifier(),
            on_reload=lambda: here.reload(reload()),
            log_settings=log_settings,
            status_text=lambda: _status(settings.paths.snapshot),
        )
        status = supervisor.run()
        log.info("stopped", extra=logs.fields(status=status))
        return status


class _Composition:
    """Who is wanted, for given settings."""

    def __init__(self, places: _Places, simulation: "Options | None", settings: Settings) -> None:
        self._places, self._simulation = places, simulation
        self._settings = self.effective(settings)
        self._quota = Quota.shared()
        # One for each worker: a process is left alone by a reload when it is given what it was given.
        self._shares: dict[str, Share] = {}
        self.board: Board | None = None

    def close(self) -> None:
        self._quota.close()

    def effective(self, settings: Settings) -> Settings:
        """The settings as they are meant here: on the simulated exchange, its address and accounts."""
        if self._simulation is None or self._places.exchange is None:
            return settings
        port = self._places.exchange.getsockname()[1]
        addresses = self._simulation.accounts
        names = (
            [SIMULATED_ACCOUNT]
            if len(addresses) == 1
            else [f"simulated-{i + 1}" for i in range(len(addresses))]
        )
        given = {account.address: account.name for account in settings.hyperliquid.accounts}
        return replace(
            settings,
            simulated=True,
            hyperliquid=replace(
                settings.hyperliquid,
                api_url=f"http://127.0.0.1:{port}",
                ws_url=f"ws://127.0.0.1:{port}/ws",
                accounts=tuple(
                    Account(given.get(address, name), address)
                    for name, address in zip(names, addresses, strict=True)
                ),
            ),
        )

    def reload(self, settings: Settings) -> list[ChildSpec]:
        """The children for new settings; the tracker, which stays, is handed them."""
        settings = self.effective(settings)
        for name in _needing_restart(self._settings, settings):
            log.warning("needs a restart, not a reload", extra=logs.fields(setting=name))
        try:
            self._places.control[0].send(pickle.dumps(settings))
        except BlockingIOError:
            raise ConfigError(["the tracker has not taken the reloads before this one: try again"]) from None
        self._settings = settings
        return self.specs(settings)

    def specs(self, settings: Settings) -> list[ChildSpec]:
        places = self._places
        specs = [
            ChildSpec(
                "tracker",
                run_tracker,
                (settings, places.queue, places.doors, places.control[1], self.board, self._quota),
                stop_rank=1,
                reload="signal",
                kind="tracker",
            )
        ]
        for number in range(1, settings.hyperliquid.fill_feeds + 1):
            specs.append(self._worker("fill", run_fill, settings, number))
        for kind, run in (("price", run_price), ("state", run_state), ("reconcile", run_reconcile)):
            specs.append(self._worker(kind, run, settings))
        if self._simulation is not None:
            specs.append(
                ChildSpec(
                    "simulator",
                    run_simulator,
                    (self._simulation, places.exchange),
                    stop_rank=2,
                    reload="keep",
                    kind="simulator",
                )
            )
        return specs

    def _worker(self, kind: str, run: Callable[..., None], settings: Settings, number: int = 1) -> ChildSpec:
        name = kind if number == 1 else f"{kind}-{number}"
        share = self._shares.setdefault(name, self._quota.share(_party(name)))
        return ChildSpec(name, run, (settings, self._places.queue_path, share), kind=kind)


def _party(name: str) -> int:
    """A worker's own place in the quota: the same one through all restarts and reloads."""
    kind, _, number = name.partition("-")
    return {"price": 0, "state": 1, "reconcile": 2, "fill": 2}[kind] + (int(number or 1) * (kind == "fill"))


# ---------------------------------------------------------------- the children
#
# Each imports what it needs when it runs: a spawned child imports this module, and would otherwise
# carry the libraries of all its siblings in its memory.


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
    return quota.weight.used(time.monotonic(), _party(name))


# ------------------------------------------------------------------ the places


def _lock(stack: contextlib.ExitStack, settings: Settings) -> None:
    paths = settings.paths
    socket_path = paths.socket
    check_folder(socket_path.parent)
    stack.enter_context(Lock(socket_path.with_name(f".{socket_path.name}.lock"), str(socket_path)))
    for folder, what in {paths.state_dir: "the state folder", paths.log_dir: "the log folder"}.items():
        stack.enter_context(Lock(folder / ".lock", f"{what} {folder}"))
    stack.enter_context(Lock(paths.snapshot.with_name(".snapshot.lock"), f"the snapshot {paths.snapshot}"))


def _open_places(stack: contextlib.ExitStack, settings: Settings, *, simulated: bool) -> _Places:
    path = settings.paths.socket
    doors = [_open(stack, open_door(path), path)]
    if settings.tcp.listen:
        doors.append(_listen_tcp(stack, settings.tcp.listen))
    queue_path = path.with_name(f".{path.name}.q")
    queue = _open(stack, queues.listen(queue_path), queue_path)
    control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in control:
        end.setblocking(False)
        stack.callback(end.close)
    exchange = _open(stack, socket.create_server(("127.0.0.1", 0), backlog=128)) if simulated else None
    # The tracker removes its snapshot; one that was killed could not.
    stack.callback(settings.paths.snapshot.unlink, missing_ok=True)
    return _Places(tuple(doors), queue, queue_path, control, exchange)


def _open(stack: contextlib.ExitStack, sock: socket.socket, path: Path | None = None) -> socket.socket:
    if path is not None:
        stack.callback(path.unlink, missing_ok=True)
    stack.callback(sock.close)
    return sock


def _listen_tcp(stack: contextlib.ExitStack, listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return _open(stack, socket.create_server((host.strip("[]"), int(port)), family=family, backlog=512))
    except OSError as error:
        raise InUse(
            f"[tcp] listen = {listen!r}: {error.strerror or error}; choose another or leave it empty"
        ) from error


def _raise_descriptor_limit() -> None:
    """Clients must not take the descriptors that the audit needs: as many as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(8192, hard) if hard != resource.RLIM_INFINITY else 8192
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _needing_restart(old: Settings, new: Settings) -> list[str]:
    """What changed that is fixed when the monitor starts."""
    pairs = {
        "log_level": (old.log_level, new.log_level),
        "log_format": (old.log_format, new.log_format),
        "[tcp]": (old.tcp, new.tcp),
        "[supervision]": (old.supervision, new.supervision),
        "socket": (old.paths.socket, new.paths.socket),
        "state_dir": (old.paths.state_dir, new.paths.state_dir),
        "log_dir": (old.paths.log_dir, new.paths.log_dir),
    }
    return [name for name, (was, now) in pairs.items() if was != now]


def _with_accounts(options: "Options") -> "Options":
    """An account whose address is made anew: what an earlier world journalled is not taken for its own."""
    if options.accounts:
        return options
    return replace(options, accounts=("0x" + secrets.token_hex(20),))


def _policy(settings: Settings) -> Policy:
    given = settings.supervision
    return Policy(backoff_s=given.backoff_s, backoff_max_s=given.backoff_max_s, silent_s=given.silent_s)


def _say_start(settings: Settings) -> None:
    for notice in settings.notices:
        log.warning(notice)
    if settings.simulated:
        log.warning("SIMULATED: no venue is contacted, these are no real positions")
    accounts: Iterator[str] = (
        f"{account.name}={account.address}" for account in settings.hyperliquid.accounts
    )
    log.info(
        "starting",
        extra=logs.fields(
            mode=settings.mode,
            accounts=",".join(accounts),
            api_url=settings.hyperliquid.api_url,
            socket=settings.paths.socket,
            snapshot=settings.paths.snapshot,
            log_dir=settings.paths.log_dir,
        ),
    )


def _status(snapshot: Path) -> str:
    """One line for `systemctl status`."""
    try:
        with Snapshot.open(snapshot) as opened:
            records = opened.positions()
            doubtful = sum(record.verdict != "proven" for record in records)
            return f"{opened.status}: {len(records)} positions, {doubtful or 'none'} not proven"
    except (HlposmonError, OSError, ValueError) as error:
        return str(error)
