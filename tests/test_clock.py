"""The clock by which upper bounds are measured."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clock import awake_between, awake_here_s, awake_s

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="this kernel does not count how long threads wait"
)


def test_it_stands_still_while_the_processor_is_another_processs():
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as greedy:
            began_s, awake, here = time.monotonic(), awake_s(), awake_here_s()
            while (ended_s := time.monotonic()) < began_s + 1:
                pass
            counted = (awake_s() - awake, awake_here_s() - here, awake_between(began_s, ended_s))
            greedy.kill()
    finally:
        os.sched_setaffinity(0, everywhere)

    assert all(seconds < 0.8 for seconds in counted)


def test_it_goes_on_while_something_is_waited_for_that_is_no_processor():
    began_s, awake, here = time.monotonic(), awake_s(), awake_here_s()
    time.sleep(0.5)

    assert time.monotonic() - began_s >= max(awake_s() - awake, awake_here_s() - here) > 0.0
