"""Keeps the wanted children alive: one loop, whose steps are listed in `_turn`.

Signal handlers only note the signal. systemd gets READY once every wanted child has beaten, and its watchdog
is fed while every wanted child beats or is in a bounded restart. Only requests, connections and processes are
retried; this module retries processes. Never in here: the work of the children.
"""

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from hlposmon.errors import ConfigError
from hlposmon.supervision import overflow
from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.entry import EXIT_CONFIG
from hlposmon.supervision.forking import EXIT_FAILED
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.logs import LogSettings, fields
from hlposmon.supervision.roster import Policy, Roster
from hlposmon.supervision.signals import Signals, Wake
from hlposmon.supervision.systemd import Notifier

__all__ = ["Policy", "Supervisor"]

ASLEEP_S = 2.0  # a turn this late means that the supervisor was stopped or starved, and the children with it
STATUS_EVERY_S = 1.0  # interval of the status line while children are missing; the other is for all up
SERVICE_STATUS_EVERY_S = 5.0
DEFAULT_POLICY = Policy()
DEFAULT_LOG = LogSettings()

log = logging.getLogger(__name__)


class Supervisor:
    """Starts the children of `specs`, keeps them alive, and stops them in the order of their ranks.

    `on_reload` returns new specs on SIGHUP; if it returns None or raises, the children stay as they are.
    `on_tick` is called once a turn, at least every `policy.turn_s`, in the supervisor's own thread; it must
    not block. `status_text` returns what `systemctl status` shows once everything is up.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        board: Board,
        *,
        policy: Policy = DEFAULT_POLICY,
        notifier: Notifier,
        on_reload: Callable[[], Sequence[ChildSpec] | None] | None = None,
        log_settings: LogSettings = DEFAULT_LOG,
        on_tick: Callable[[], None] | None = None,
        status_text: Callable[[], str] | None = None,
    ) -> None:
        self._roster = Roster(specs, board, policy, log_settings)
        self._policy = policy
        self._notifier = notifier
        self._on_reload = on_reload
        self._on_tick = on_tick
        self._status_text = status_text
        self._noted: deque[int] = deque()
        self._exit_status = 0
        self._stopping = False
        self._was_ready = False
        self._owes_ready = True
        self._owes_word = "ready"
        self._awake_since = self._due_at = 0.0  # when the loop last woke late; when its next turn is due
        self._had_terminal = _has_terminal()
        self._fed_at = self._status_at = float("-inf")
        self._status, self._was_settled = "", False

    def run(self) -> int:
        """Supervise until told to stop, and return the exit status: 0 after a stop, 78 if a child refused
        the configuration at boot, 1 after an error in the supervisor itself. Main thread only."""
        assert threading.current_thread() is threading.main_thread(), "PDEATHSIG follows the thread"
        if not faulthandler.is_enabled() and sys.__stderr__ is not None:
            faulthandler.enable(sys.__stderr__)  # systemd's watchdog sends SIGABRT
        wake = Wake()
        try:
            # SIGUSR1 is a reload that a child asks for; SIGHUP may also say that the terminal is gone.
            heard = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
            with Signals(heard, self._noted.append, wake):
                self._awake_since = self._due_at = time.monotonic()
                while not self._is_over():
                    self._turn(wake)
        except Exception:
            log.exception("the supervisor cannot go on")
            self._exit_status = EXIT_FAILED
        finally:
            self._roster.end_all()
            wake.close()
        return self._exit_status

    def _is_over(self) -> bool:
        return self._stopping and self._roster.all_down()

    def _turn(self, wake: Wake) -> None:
        now = self._note_time()
        self._take_signals(wake, now)
        self._reap(now)
        self._roster.notice_beats(now)
        self._roster.kill_silent(now, self._awake_since)
        self._roster.retire(now)
        self._roster.kill_overdue(now)
        self._roster.start_due(now)
        self._report(now)
        self._feed_watchdog(now)
        overflow.settle()
        if self._on_tick is not None:
            self._on_tick()
        if not self._is_over():
            self._wait(wake)

    def _note_time(self) -> float:
        now = time.monotonic()
        if now - self._due_at > ASLEEP_S:
            # Ctrl-Z or a paused machine: the children were silent for the same reason
            log.warning("was asleep", extra=fields(for_s=round(now - self._due_at, 1)))
            self._awake_since = now
        return now

    def _take_signals(self, wake: Wake, now: float) -> None:
        wake.drain()
        while self._noted:
            number = signal.Signals(self._noted.popleft())
            if number is signal.SIGCHLD:
                continue  # it only wakes the loop; this turn reaps
            if self._stopping:
                if number is signal.SIGINT:
                    log.warning("stopping at once")
                    self._roster.want_none(stop_by=now)
            elif number is signal.SIGUSR1 or (number is signal.SIGHUP and not self._hung_up()):
                self._reload()
            else:
                self._stop(now, number.name)

    def _hung_up(self) -> bool:
        # SIGHUP means "reload" to a service, and "the terminal is gone" to a program started from one
        return self._had_terminal and not _has_terminal()

    def _stop(self, now: float, reason: str) -> None:
        log.info("stopping", extra=fields(reason=reason))
        self._stopping = True
        self._notifier.stopping()
        self._roster.want_none(stop_by=now + self._policy.stop_total_s)

    def _reload(self) -> None:
        log.info("reloading")
        if self._was_ready:
            self._notifier.reloading()
        self._owes_ready = True  # systemd waits for READY, even if the reload fails
        self._status_at = float("-inf")  # update the status line at once
        try:
            specs = self._on_reload() if self._on_reload is not None else None
        except ConfigError as error:
            for mistake in error.mistakes:
                log.error("not reloaded: bad configuration", extra=fields(mistake=mistake))
            return
        except Exception:  # a reload must never cost the monitor
            log.exception("not reloaded")
            return
        try:
            if specs is not None:
                self._roster.apply(specs)
        except ValueError as error:
            log.error("not reloaded: restart instead", extra=fields(error=error))
        else:
            self._owes_word = self._owes_word or "reloaded"

    def _reap(self, now: float) -> None:
        for child, code in self._roster.reap(now):
            if code == EXIT_CONFIG and child.at_boot and not self._stopping:
                log.critical("child refused its configuration", extra=fields(child=child.name))
                self._exit_status = EXIT_CONFIG
                self._stop(now, "bad configuration")

    def _report(self, now: float) -> None:
        missing = self._roster.missing()
        if self._owes_ready and not missing and not self._stopping:
            self._notifier.ready()
            if self._owes_word:
                log.info(self._owes_word)
            self._owes_ready, self._owes_word = False, ""
            self._was_ready = True
        settled = self._was_settled and not missing and not self._stopping
        every_s = SERVICE_STATUS_EVERY_S if settled else STATUS_EVERY_S
        if self._notifier.is_heard and now - self._status_at >= every_s:
            self._status_at, self._was_settled = now, not missing
            status = self._describe(missing)
            if status != self._status:
                self._notifier.status(status)
                self._status = status

    def _describe(self, missing: list[str]) -> str:
        if self._stopping:
            return "stopping"
        up, wanted = self._roster.counts()
        if missing:
            return f"{up} of {wanted} up, waiting for {', '.join(missing)}"
        return self._status_text() if self._status_text is not None else f"{up} of {wanted} up"

    def _feed_watchdog(self, now: float) -> None:
        interval_s = self._notifier.watchdog_interval_s
        if interval_s is None or now - self._fed_at < interval_s:
            return
        if self._roster.is_under_control(now):
            self._notifier.watchdog()
            self._fed_at = now

    def _wait(self, wake: Wake) -> None:
        now = time.monotonic()
        nap_s = min(self._roster.nap_s(now, self._awake_since), self._feed_in_s(now))
        self._due_at = now + nap_s
        wake.wait(nap_s)

    def _feed_in_s(self, now: float) -> float:
        """Seconds until systemd's watchdog is due; infinite without a watchdog, or if feeding is overdue
        because it is withheld (another turn soon would not change that)."""
        interval_s = self._notifier.watchdog_interval_s
        if interval_s is None or now >= self._fed_at + interval_s:
            return float("inf")
        return self._fed_at + interval_s - now


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
