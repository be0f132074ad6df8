"""Starts a child by forking the supervisor, which has one thread and all modules loaded that children need.

The child shares the supervisor's memory until one of the two writes to it, and starts in milliseconds. It
also begins inside the supervisor's call stack, with its signal handlers, its descriptors and its log. None of
that may be used or unwound: the locks and socket files are the supervisor's to remove. So the child closes
every descriptor that it was not handed, and ends by os._exit without leaving the function that it runs.

A descriptor that is closed here still has its Python object in the supervisor's frames. Nothing closes it a
second time, when the number may be another file's: those frames are never left, and no finalizer runs.
Never in here: which children there are.
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
    """Run `work` in a new process that ends with it, and dies with us; the new process's pid.

    `keeping` are the descriptors that it is handed, beside the standard streams. `name` is what ps and top
    show. It begins with HELD_BACK blocked, without a log, and ends with 0 when `work` returns, with the
    status of a SystemExit, else with 1. Raises OSError when the system has no process for us. Main thread
    only: the death signal of a child follows the thread that made it.
    """
    assert threading.current_thread() is threading.main_thread(), "PDEATHSIG follows the thread"
    _settle_std_streams()  # what they still hold would be written by both processes
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
    """The exit code of a child that has ended, which is then gone; None while it runs.

    Minus the number of the signal that ended it, as subprocess has it.
    """
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else has taken it
        return EXIT_FAILED
    return os.waitstatus_to_exitcode(status) if found else None


def signal_of(code: int) -> dict[str, str]:
    """The name of the signal that an exit code tells of, as a field of a log line; none for a status."""
    try:
        return {"signal": signal.Signals(-code).name} if code < 0 else {}
    except ValueError:  # a realtime signal has no name
        return {"signal": f"SIG{-code}"}


def _be_child(work: Callable[[], None], kept: set[int], name: str, parent_pid: int) -> None:
    """Never returns, whatever happens."""
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
        sys.exit(EXIT_FAILED)  # the parent died before the kernel knew whom to tell


def _standard() -> set[int]:
    """The standard streams that there were when Python started; else their numbers are other files'."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return {fd for fd, stream in enumerate(streams) if stream is not None}


def _renew_std_streams() -> None:
    """What stands in their place may be a file of the parent's, which is closed here."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        stream = None
        if fd in _standard():
            with suppress(OSError):
                stream = open(fd, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def _close_all_but(kept: set[int]) -> None:
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd not in kept:
            with suppress(OSError):  # the one that listed them
                os.close(fd)


def _settle_std_streams() -> None:
    """Flush the standard streams, and give up those that can no longer be written: nobody reads the log any
    more, or its disk is full."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - in the place of the stream, for good
