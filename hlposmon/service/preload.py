"""Imports modules in the supervisor before its first fork, so that its children share their memory.

A module that a child imports itself takes memory in each child and time at each start. One loaded here exists
once: the kernel copies a page only when a process writes to it. Counting references writes, so some pages are
copied. gc.freeze keeps the garbage collector, which writes to every object it visits, away from all objects
created before the first fork.
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
    """Import MODULES and exclude all present objects from garbage collection. Call it once, before the first
    fork."""
    disable_adaptive_malloc()
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
