"""The first thing a child runs: tie it to its supervisor, make it talk, then do its work.

A child dies with its supervisor, writes a traceback when aborted, and ends with 78 for a ConfigError, with
1 for any other error. It closes nothing that it was not given.
"""

import ctypes
import faulthandler
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hlposmon.errors import ConfigError
from hlposmon.supervision import logs
from hlposmon.supervision.heartbeat import Row
from hlposmon.supervision.loop import Pulse

EXIT_FAILED = 1
EXIT_CONFIG = 78  # sysexits(3) EX_CONFIG
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # blocked until the child has its handlers
PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_NAME = 15
COMM_BYTES = 15

log = logging.getLogger(__name__)


def enter(
    name: str,
    row: Row,
    parent_pid: int,
    settings: logs.LogSettings,
    target: Callable[..., None],
    args: tuple[Any, ...],
) -> None:
    """Run `target(pulse, *args)` in a process that has just been spawned."""
    _tie_to_parent(name, parent_pid)
    _trace_aborts()
    logs.configure(settings.level, name=name, file=settings.file, fmt=settings.fmt)
    pulse = Pulse(name, row, parent_pid)
    pulse.listen()
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


def _tie_to_parent(name: str, parent_pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NAME, name.encode()[:COMM_BYTES], 0, 0, 0)  # what ps and top show
    if os.getppid() != parent_pid:
        sys.exit(EXIT_FAILED)  # the supervisor died before the kernel knew whom to tell


def _trace_aborts() -> None:
    # An abort is a question for a traceback; a core file of it would hold credentials.
    if sys.stderr is not None:
        faulthandler.enable()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    with suppress(OSError, ValueError):  # a system call filter may forbid it
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
