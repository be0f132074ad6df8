"""Free memory goes back to the kernel: large blocks at once, the rest by itself, soon after the start and
once a minute, also amid what is in use."""

import ctypes
import subprocess
import sys

import pytest

# In a process of its own, since other tests leave memory in this one in any state.
SCRIPT = """
import threading
from hlposmon.supervision import loop, memory

def anonymous_kb():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))

def work():
    pieces = [bytes(1500) for _ in range(20_000)]  # 30 MB
    kept.extend(pieces[::100])  # and what is needed still lies amid it

kept = []
before = anonymous_kb()
thread = threading.Thread(target=work)
thread.start()
thread.join()
after = anonymous_kb()
loop.FIRST_GIVE_BACK_S = {give_back_s}
pulse = loop.Pulse.alone("worker")
pulse.beat()
print(before, after, anonymous_kb())
"""


def grown_mb(give_back_s: float) -> tuple[float, float]:
    """By how much a process has grown after its work, and after its next beat."""
    script = SCRIPT.format(give_back_s=give_back_s)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    before, after, at_last = map(int, said.split())
    return (after - before) / 1024, (at_last - before) / 1024


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_a_beat_gives_back_what_is_free():
    worked_mb, beaten_mb = grown_mb(0)

    assert worked_mb > 20, "the C library has given it back by itself: there is nothing to show here"
    assert beaten_mb < 5


def test_not_every_beat_does():
    worked_mb, beaten_mb = grown_mb(60)

    assert beaten_mb > worked_mb / 2


GARBAGE = """
import gc
from hlposmon.supervision import loop, memory

class Knot:
    def __init__(self):
        self.me = self

def knots():
    return sum(isinstance(one, Knot) for one in gc.get_objects())

memory.COLLECT_S = memory.OVERDUE_S = 0
pulse = loop.Pulse.alone("worker")
pulse.manage_garbage()
for _ in range(20_000):
    Knot()
print(knots())
pulse.{call}()
print(knots())
"""


@pytest.mark.parametrize("call", ["rest", "beat"])
def test_garbage_is_collected_at_rest_and_not_while_it_is_made(call):
    """Where a child never rests a beat collects it, some seconds later."""
    script = GARBAGE.format(call=call)

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert said.split() == ["20000", "0"]


LARGE_BLOCKS = """
import sys
from hlposmon.supervision.memory import disable_adaptive_malloc

def anonymous_kb():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))

if sys.argv[1] == "keep little":
    disable_adaptive_malloc()
largest = bytes(24 << 20)
del largest  # glibc keeps up to this size from here on, unless it is told not to
before = anonymous_kb()
large = [bytes(range(256)) * 4096 for _ in range(20)]  # 20 MB
kept = bytes(range(256)) * 4  # and what is needed still lies behind it
del large
print(anonymous_kb() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_large_blocks_go_back_when_they_are_free():
    def left_kb(how: str) -> int:
        command = [sys.executable, "-c", LARGE_BLOCKS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert left_kb("as glibc does") > 10_000, "glibc gives it back by itself: there is nothing to show here"
    assert left_kb("keep little") < 1_000
