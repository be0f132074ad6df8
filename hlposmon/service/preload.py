"""What the supervisor loads before its first fork, so that its children share the memory of it.

A module that a child imports by itself is a copy of its own in each, and takes its time at each start. What
is loaded here is there once: pages are copied when somebody writes to them, and counting a reference is
writing, so some are. gc.freeze keeps the garbage collector, which writes to every object that it looks at,
away from all that is there before the first fork.
"""

import gc
import importlib

from hlposmon.supervision.memory import disable_adaptive_malloc

MODULES = (
    "hlposmon.tracker.tracker",
    "hlposmon.workers.fill",
    "hlposmon.workers.price",
    "hlposmon.workers.state",
    "hlposmon.workers.reconcile",
    "hlposmon.workers.history",
    "hlposmon.venues.registry",
    "hlposmon.venues.hyperliquid.client",
    "hlposmon.venues.hyperliquid.feed",
    "hlposmon.venues.hyperliquid.venue",
)


def preload() -> None:
    """Import what the children run, and set it aside from garbage collection; once, before the first fork."""
    disable_adaptive_malloc()
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
