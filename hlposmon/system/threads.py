"""How a thread of ours is started: as a daemon that takes no signals.

They are for the main thread, which may be waiting for one. Never in here: what a thread does.
"""

import signal
import threading
from collections.abc import Callable


def start_deaf(work: Callable[[], object], *, name: str) -> threading.Thread:
    """Start `work` in a thread of that name."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
