"""Starts a child by forking the supervisor, which has one thread and all modules loaded that children need.

The child shares the supervisor's memory until one of the two writes to it, and starts in milliseconds. It
begins inside the supervisor's call stack, with the supervisor's signal handlers, descriptors and log. It must
not use or unwind any of these: only the supervisor may remove its locks and socket files. The child therefore
closes every descriptor that it was not given, and ends with os._exit without returning from the function that
it runs.

A descriptor closed here still has a Python object in the supervisor's frames. If that object were finalized,
it would close the number again, which may belong to another file by then. This cannot happen: the child never
leaves those frames, and os._exit runs no finalizer.
Never in here: which children exist.
"""

import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from hlposmon.supervision import logs

EXIT_FAILED = 1
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # blocked until the child has its handlers
PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_NAME = 15
COMM_BYTES = 15


def fork(work: Callable[[], None], *, name: str, keeping: Iterable[int] = ()) -> int:
    """Fork a process that runs `work` and is killed when this process dies; return its pid.

    The child keeps the descriptors in `keeping` and the standard streams. `name` is what ps and top show, cut
    to 15 bytes. The child starts with HELD_BACK blocked and without a log. It exits with 0 when `work`
    returns, with the status of a SystemExit, or else with 1. Raises OSError if the fork fails. Call it from
    the main thread only: the kernel kills the child when the thread that forked it ends (PR_SET_PDEATHSIG,
    prctl(2)).
    """
    assert threading.current_thread() is threading.main_thread(), "PDEATHSIG follows the thread"
    _settle_std_streams()  # otherwise both processes would write the buffered text
    parent_pid = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(work, set(keeping), name, parent_pid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def exit_code(pid: int) -> int | None:
    """Reap the child if it has ended and return its exit code; return None while it runs.

    The code is minus the signal number if a signal ended it, as in subprocess.
    """
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # something else has reaped it
        return EXIT_FAILED
    return os.waitstatus_to_exitcode(status) if found else None


def signal_of(code: int) -> dict[str, str]:
    """The log field that names the signal behind a negative exit code; empty for an exit status."""
    try:
        return {"signal": signal.Signals(-code).name} if code < 0 else {}
    except ValueError:  # a realtime signal has no name
        return {"signal": f"SIG{-code}"}


def _be_child(work: Callable[[], None], kept: set[int], name: str, parent_pid: int) -> None:
    """Run `work` as the child and exit. Never returns and never raises."""
    code = EXIT_FAILED
    try:
        _tie_to_parent(name, parent_pid)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        logs.forget()
        _close_all_but(kept | _standard())
        _renew_std_streams()
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - it must not unwind the supervisor's frames
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            logs.finish()
            _settle_std_streams()
        os._exit(code)


def _tie_to_parent(name: str, parent_pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NAME, name.encode()[:COMM_BYTES], 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(EXIT_FAILED)  # the parent died before PR_SET_PDEATHSIG took effect


def _standard() -> set[int]:
    """The descriptors of the standard streams that were open when Python started.

    The number of one that was closed may belong to another file.
    """
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return {fd for fd, stream in enumerate(streams) if stream is not None}


def _renew_std_streams() -> None:
    """Reopen stdout and stderr: the parent may have replaced them by a file that the child has closed."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        stream = None
        if fd in _standard():
            with suppress(OSError):
                stream = open(fd, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def _close_all_but(kept: set[int]) -> None:
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd not in kept:
            with suppress(OSError):  # the descriptor that listed the folder is closed already
                os.close(fd)


def _settle_std_streams() -> None:
    """Flush the standard streams; replace by /dev/null one that fails, for example because its reader is gone
    or its disk is full."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - stays open in its place
