"""Programs of Debian's that tests run: installed, or unpacked into the venv by `make debian-tools`."""

import os
import shutil
import sys
from pathlib import Path

import pytest

UNPACKED = Path(sys.prefix) / "debian"
_PLACES = ("/usr/sbin", str(UNPACKED / "usr/bin"), str(UNPACKED / "usr/sbin"))


def program(name: str) -> str:
    """Where it is; skips the test where it is not."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_PLACES]))
    if found is None:
        pytest.skip(f"{name} is not here: `make debian-tools` fetches it on Debian, and says why where not")
    return found
