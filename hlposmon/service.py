"""The composition root: who lives here. Makes the sockets, names the children, hands them over.

At run time the supervisor stands over the workers; in the import graph it stands under them, and this
module over both. No loops, and no decisions but who gets what.
"""

import contextlib
import logging
import pickle
import resource
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hlposmon.channels import queue as queues
from hlposmon.channels.door import Lock, open_door
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

if TYPE_CHECKING:
    from hlposmon.simulator.exchange import Options
    from hlposmon.venues.hyperliquid import HyperliquidInfo

log = logging.getLogger(__name__)

# The venue allows 1200 of weight a minute to one address. Each process keeps to its own share, so that
# all together leave some of it to what else asks from here; the fill feeds share theirs.
FILL_WEIGHT, PRICE_WEIGHT, RECONCILE_WEIGHT = 400, 200, 400
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
    log_settings = logs.LogSettings(settings.log_level, str(log_file) if log_file else None)
    logs.configure(log_settings.level, name="supervisor", file=log_settings.file)
    with contextlib.ExitStack() as stack:
        _lock(stack, settings)
        places = _open_places(stack, settings, simulated=simulation is not None)
        if simulation is not None:
            simulation = _with_accounts(simulation)
        here = _Composition(places, simulation, settings)
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
        self.board: Board | None = None

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
        places, queue = self._places, self._places.queue_path
        specs = [
            ChildSpec(
                "tracker",
                run_tracker,
                (settings, places.queue, places.doors, places.control[1], self.board),
                stop_rank=1,
                reload="signal",
                kind="tracker",
            )
        ]
        for number in range(1, settings.hyperliquid.fill_feeds + 1):
            name = "fill" if number == 1 else f"fill-{number}"
            specs.append(ChildSpec(name, run_fill, (settings, queue), kind="fill"))
        specs.append(ChildSpec("price", run_price, (settings, queue), kind="price"))
        specs.append(ChildSpec("reconcile", run_reconcile, (settings, queue), kind="reconcile"))
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
) -> None:
    from hlposmon.tracker.tracker import Tracker

    control.setblocking(False)

    def reload() -> Settings:
        nonlocal settings
        with contextlib.suppress(BlockingIOError):
            while True:
                settings = pickle.loads(control.recv(1 << 20))
        return settings

    Tracker(pulse, settings, queue=queue, sockets=doors, board=board.rows, reload=reload).run()


def run_fill(pulse: Pulse, settings: Settings, queue: Path) -> None:
    from hlposmon.venues.websocket import Feed
    from hlposmon.wire.hyperliquid import PING
    from hlposmon.workers.fill import FillWorker

    venue = settings.hyperliquid
    FillWorker(
        pulse,
        accounts=venue.accounts,
        feed=Feed(venue.ws_url, ping=PING, patience=pulse),
        info=_info(pulse, settings, FILL_WEIGHT // venue.fill_feeds),
        queue=queue,
    ).run()


def run_price(pulse: Pulse, settings: Settings, queue: Path) -> None:
    from hlposmon.venues.websocket import Feed
    from hlposmon.wire.hyperliquid import PING
    from hlposmon.workers.price import PriceWorker

    venue = settings.hyperliquid
    polled = settings.prices.source == "poll"
    PriceWorker(
        pulse,
        accounts=venue.accounts,
        settings=settings.prices,
        feed=None if polled else Feed(venue.ws_url, ping=PING, patience=pulse),
        info=_info(pulse, settings, PRICE_WEIGHT),
        queue=queue,
    ).run()


def run_reconcile(pulse: Pulse, settings: Settings, queue: Path) -> None:
    from hlposmon.workers.reconcile import ReconcileWorker

    ReconcileWorker(
        pulse,
        accounts=settings.hyperliquid.accounts,
        interval_s=settings.reconcile.interval_s,
        info=_info(pulse, settings, RECONCILE_WEIGHT),
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


def _info(pulse: Pulse, settings: Settings, weight: int) -> "HyperliquidInfo":
    from hlposmon.pacing import WeightBudget
    from hlposmon.venues.hyperliquid import HyperliquidInfo

    return HyperliquidInfo(settings.hyperliquid.api_url, budget=WeightBudget(weight), patience=pulse)


# ------------------------------------------------------------------ the places


def _lock(stack: contextlib.ExitStack, settings: Settings) -> None:
    paths = settings.paths
    socket_path = paths.socket
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
