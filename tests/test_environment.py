"""What a process forgets of its environment is forgotten by the kernel too."""

import os
import subprocess
import sys

SCRIPT = """
import os, pathlib
from hlposmon.system.environment import wipe
wipe("SECRET")
wipe("NOBODY_HAS_SET_IT")
os.environ.pop("SECRET")
print(pathlib.Path("/proc/self/environ").read_bytes())
"""


def test_a_wiped_variable_is_not_shown_by_the_kernel_and_the_others_are():
    environ = os.environ | {"SECRET": "c0ffee" * 10, "OTHER": "stays"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=True
    )

    assert "c0ffee" not in done.stdout
    assert "OTHER=stays" in done.stdout
