"""How a peer's process tells what it heard and when. Standard library alone: it runs in the peer's own venv.

The process says `ready` once it hears fills. For each line that it is sent then, it answers with one line of
JSON: the fills that were in hand since the last, each with its trade id and its time (CLOCK_MONOTONIC, ns).
"""

import json
import sys
import threading
import time


class Heard:
    """The fills that a callback was given, from whatever thread."""

    def __init__(self) -> None:
        self._fills: list[tuple[int, int]] = []

    def fill(self, tid: int) -> None:
        """A callback of the peer has this fill in hand."""
        self._fills.append((tid, time.monotonic_ns()))

    def serve(self) -> None:
        """Say that fills are heard, and answer until nobody asks any more."""
        print("ready", flush=True)
        for _ in sys.stdin:
            fills, self._fills = self._fills, []
            print(json.dumps(fills), flush=True)

    def serve_beside(self) -> threading.Thread:
        """The same on a thread of its own, for a peer that wants the main one."""
        thread = threading.Thread(target=self.serve, daemon=True)
        thread.start()
        return thread
