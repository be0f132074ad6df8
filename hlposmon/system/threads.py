"""Starts threads as daemons that receive no signals.

Signals are for the main thread, which may be waiting for one.
"""

import signal
import threading
from collections.abc import Callable


def start_deaf(work: Callable[[], object], *, name: str) -> threading.Thread:
    """Run `work` in a new daemon thread with this name and all signals blocked; return the started thread."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
