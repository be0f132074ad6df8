"""Entry point of a child: sets up its log and its signal handlers, then runs its target.

A child writes a traceback on SIGABRT. It exits with 78 for a ConfigError and with 1 for any other error.
"""

import faulthandler
import logging
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hlposmon.errors import ConfigError
from hlposmon.supervision import logs
from hlposmon.supervision.forking import EXIT_FAILED, HELD_BACK
from hlposmon.supervision.heartbeat import Row
from hlposmon.supervision.loop import Pulse

EXIT_CONFIG = 78  # sysexits(3) EX_CONFIG

log = logging.getLogger(__name__)


def enter(
    name: str,
    row: Row,
    parent_pid: int,
    settings: logs.LogSettings,
    target: Callable[..., None],
    args: tuple[Any, ...],
) -> None:
    """Run `target(pulse, *args)` in a process that has just been forked.

    `parent_pid` is the supervisor's: the pulse stops once that process is gone. Raises SystemExit with
    EXIT_CONFIG for a ConfigError and with EXIT_FAILED for any other exception, after logging it.
    """
    _trace_aborts()
    logs.configure(settings.level, name=name, file=settings.file, fmt=settings.fmt)
    pulse = Pulse(name, row, parent_pid)
    pulse.listen()
    pulse.manage_garbage()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    try:
        target(pulse, *args)
    except ConfigError as error:
        for mistake in error.mistakes:
            log.critical("bad configuration", extra=logs.fields(mistake=mistake))
        sys.exit(EXIT_CONFIG)
    except Exception:
        log.exception("failed")
        sys.exit(EXIT_FAILED)
    if not pulse.stopping:
        log.warning("returned without having been asked to")


def _trace_aborts() -> None:
    # SIGABRT is meant to produce a traceback; a core file would contain credentials.
    if sys.stderr is not None:
        faulthandler.enable()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    with suppress(OSError, ValueError):  # a system call filter may forbid it
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
