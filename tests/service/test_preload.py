"""What is loaded before the first fork: all that children run, and nothing that starts a thread."""

import ast
import inspect
import subprocess
import sys

from hlposmon.service import children

SCRIPT = """
import gc, os, sys, threading
from hlposmon.service.preload import preload
preload()
print(threading.active_count(), len(os.listdir("/proc/self/task")), gc.get_freeze_count() > 10_000)
print(*sys.modules)
"""


def imported_when_run() -> set[str]:
    """The modules of ours that the functions of `children` import, but for the simulated exchange's."""
    tree = ast.parse(inspect.getsource(children))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    nodes = [node for function in functions for node in ast.walk(function)]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name for name in names if not name.startswith("hlposmon.simulator")}


def test_what_children_import_is_there_before_they_are_forked_and_no_thread_is():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    said, modules = done.stdout.splitlines()

    assert said == "1 1 True"
    assert len(imported_when_run()) >= 6
    assert imported_when_run() <= set(modules.split())
    # What the venue loads only when a part of it is asked for.
    assert {f"hlposmon.venues.hyperliquid.{name}" for name in ("client", "feed", "venue")} <= set(
        modules.split()
    )
    assert not [name for name in modules.split() if name.startswith("hlposmon.simulator")]
