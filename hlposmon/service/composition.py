"""The composition root: opens the sockets, lists the children, and passes each what it needs.

At run time the supervisor is above the workers. In the import graph it is below them, and this module is
above both. No loops here, and no decisions except which process gets what.
"""

import contextlib
import logging
import os
import resource
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hlposmon.client.snapshot import Snapshot
from hlposmon.config import Account, Settings, watch_plan
from hlposmon.config.identities import behind_agents, known_agents
from hlposmon.config.sub_accounts import known_sub_accounts, with_sub_accounts
from hlposmon.errors import ConfigError, HlposmonError
from hlposmon.ipc.mailbox import Newest
from hlposmon.service import children
from hlposmon.service.fixed import as_it_runs, needing_restart
from hlposmon.service.needs import FillNeeds, HistoryNeeds, PriceNeeds, ReconcileNeeds, StateNeeds
from hlposmon.service.places import Places, lock, open_places
from hlposmon.service.preload import preload
from hlposmon.supervision import logs
from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.loop import Pulse
from hlposmon.supervision.roster import Policy
from hlposmon.supervision.signals import held_back
from hlposmon.supervision.supervisor import Supervisor
from hlposmon.supervision.systemd import Notifier
from hlposmon.transport.quota import HEADROOM, Quota, Share

if TYPE_CHECKING:
    from hlposmon.simulator.exchange import Options

log = logging.getLogger(__name__)

SIMULATED_ACCOUNT = "simulated"
# Enough for the tracker, the history, the simulated exchange, three workers and the maximum of 8 fill feeds.
BOARD_ROWS = 16
# How long the history may be blocked by a slow disk before its process counts as hung. No process waits for
# it, but missing rows should not look healthy for long.
HISTORY_SILENT_S = 20.0
# Limit of the reload failure shown to users; the log has all mistakes of the file.
FAILURE_CHARS = 1000

Needs = TypeVar("Needs")


def serve(
    settings: Settings,
    *,
    reload: Callable[[], Settings],
    simulation: "Options | None",
    log_file: Path | None,
) -> int:
    """Run the monitor until it is told to stop; return the exit status (`Supervisor.run`).

    `reload` reads the settings again on SIGHUP. `simulation` starts the simulated exchange and watches its
    accounts instead of a real venue's. `log_file` None logs to stderr. Raises InUse or NotPermitted before
    any process is started.
    """
    _raise_descriptor_limit()
    os.umask(os.umask(0o077) | 0o027)  # tighten the inherited umask: no file of ours is open to others
    fmt: logs.Format = "json" if settings.log_format == "json" else "text"
    log_settings = logs.LogSettings(settings.log_level, str(log_file) if log_file else None, fmt)
    logs.configure(log_settings.level, name="supervisor", file=log_settings.file, fmt=fmt)
    with contextlib.ExitStack() as stack:
        stack.enter_context(held_back((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)))
        locks = lock(stack, settings)
        places = open_places(stack, settings, simulated=simulation is not None)
        if simulation is not None:
            simulation = _with_accounts(simulation)
        here = stack.enter_context(contextlib.closing(Composition(places, simulation, settings)))
        _say_start(here.settings)
        preload()
        supervisor = Supervisor(
            here.specs(),
            here.board,
            policy=_policy(settings),
            notifier=Notifier(),
            on_reload=lambda: here.reload_from(reload),
            log_settings=log_settings,
            status_text=here.status_text,
            on_tick=locks.look,
        )
        status = supervisor.run()
        log.info("stopped", extra=logs.fields(status=status))
        return status


class Composition:
    """The wanted children for the current settings, and the shared memory and mailboxes that they use."""

    def __init__(self, places: Places, simulation: "Options | None", settings: Settings) -> None:
        self._places, self._simulation = places, simulation
        self.settings = self.effective(settings)
        # The tracker survives a reload and receives the settings here, as does each tracker after it.
        self._handed = Newest(self.settings)
        self._reload_failure: str | None = None
        self._told_failure = Newest[str | None](None)
        self.board = Board([], spare=BOARD_ROWS)
        # Kept across reloads, as all processes hold it: polled accounts that one adds have longer rounds.
        is_polling = bool(self.settings.hyperliquid.polled)
        self._quota = Quota.shared(watch_plan.HEADROOM if is_polling else HEADROOM)
        # One for each worker, kept across reloads: a reload replaces each process whose arguments differ.
        self._shares: dict[str, Share] = {}

    def close(self) -> None:
        """Release the shared memory and mailboxes. Call it once all children have ended."""
        self.board.close()
        self._quota.close()
        self._handed.close()
        self._told_failure.close()

    def effective(self, settings: Settings) -> Settings:
        """The settings with the accounts behind known agents and with the known sub-accounts; in a simulated
        run with the URLs and accounts
        of the simulated exchange filled in."""
        if self._simulation is None or self._places.exchange is None:
            venue, folder = settings.hyperliquid, settings.paths.state_dir
            accounts = behind_agents(venue.accounts, known_agents(folder, venue.api_url))
            accounts = with_sub_accounts(accounts, known_sub_accounts(folder, venue.api_url))
            return replace(settings, hyperliquid=replace(venue, accounts=accounts))
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

    def reload_from(self, read: Callable[[], Settings]) -> list[ChildSpec]:
        """Call `reload` with the settings that `read` returns, and raise what either raises.

        After a failure everything goes on as before. The tracker and `systemctl status` report the failure
        until a reload succeeds.
        """
        try:
            specs = self.reload(read())
        except ConfigError as error:
            self._tell_failure("; ".join(map(str, error.mistakes)))
            raise
        except Exception as error:
            self._tell_failure(f"{type(error).__name__}: {error}")
            raise
        self._tell_failure(None)
        return specs

    def _tell_failure(self, failure: str | None) -> None:
        failure = failure if failure is None else failure[:FAILURE_CHARS]
        self._reload_failure = failure
        self._told_failure.put(failure)

    def status_text(self) -> str:
        """One line for `systemctl status`."""
        status = _status(self.settings.paths.snapshot)
        failure = self._reload_failure
        return status if failure is None else f"{status}; not reloaded: {failure}"

    def reload(self, settings: Settings) -> list[ChildSpec]:
        """Take new settings, pass them to the tracker, and return the children that they want.

        Logs a warning for each changed setting that needs a restart. Raises ConfigError for another mode or
        network.
        """
        kept = as_it_runs(self.settings, settings)
        for name in needing_restart(self.settings, settings):
            log.warning("needs a restart, not a reload", extra=logs.fields(setting=name))
        self.settings = self.effective(kept)
        self._handed.put(self.settings)
        return self.specs()

    def specs(self) -> list[ChildSpec]:
        """The children that the current settings want, in start order."""
        places, settings = self._places, self.settings
        fill, feeds = FillNeeds.of(settings), settings.hyperliquid.fill_feeds
        specs = [
            ChildSpec(
                "tracker",
                children.run_tracker,
                (
                    self._handed,
                    self._told_failure,
                    places.queue,
                    places.doors,
                    places.files,
                    self.board,
                    self._quota,
                ),
                keeps=(*self._handed.ends, *self._told_failure.ends, places.queue, *places.doors),
                stop_rank=1,
                reload="signal",
                kind="tracker",
            ),
            *(self._worker("fill", children.run_fill, fill, number) for number in range(1, feeds + 1)),
            self._worker("price", children.run_price, PriceNeeds.of(settings)),
            self._worker("state", children.run_state, StateNeeds.of(settings)),
            self._worker("reconcile", children.run_reconcile, ReconcileNeeds.of(settings)),
            # It stops after the tracker, when the journal is closed. Its `silent_s` is longer, since a
            # blocked disk is not a fault of the process, and no process waits for the history.
            ChildSpec(
                "history",
                children.run_history,
                (HistoryNeeds.of(settings), places.queue_path),
                stop_rank=2,
                silent_s=HISTORY_SILENT_S,
                kind="history",
            ),
        ]
        if self._simulation is not None and places.exchange is not None:
            specs.append(
                ChildSpec(
                    "simulator",
                    children.run_simulator,
                    (self._simulation, places.exchange),
                    keeps=(places.exchange,),
                    stop_rank=2,
                    reload="keep",
                    kind="simulator",
                )
            )
        return specs

    def _worker(
        self, kind: str, run: Callable[[Pulse, Needs, Path, Share], None], needs: Needs, number: int = 1
    ) -> ChildSpec:
        """The spec of one worker. Fill feeds are guards: positions stay proven while one of them serves."""
        name = kind if number == 1 else f"{kind}-{number}"
        share = self._shares.setdefault(name, self._quota.share(children.party(name)))
        return ChildSpec(name, run, (needs, self._places.queue_path, share), kind=kind, guard=kind == "fill")


def _raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors to 8192 or the hard limit, so that clients cannot take those that
    the audit needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(8192, hard) if hard != resource.RLIM_INFINITY else 8192
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _with_accounts(options: "Options") -> "Options":
    """The options with a random address if they name no account, so that the records of an earlier simulation
    are not taken for this one's."""
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
    """One line for `systemctl status`, read from the snapshot; the reason if it cannot be read."""
    try:
        with Snapshot.open(snapshot, patience_s=0.05) as opened:  # it must not block the supervisor
            records = opened.positions()
            doubtful = sum(record.verdict != "proven" for record in records)
            return f"{opened.status}: {len(records)} positions, {doubtful or 'none'} not proven"
    except (HlposmonError, OSError, ValueError) as error:
        return str(error)
