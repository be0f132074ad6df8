"""For all tests: temporary folders with short paths (a Unix socket's may have 107 bytes), and a clock."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import clock


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hlp-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _rested_clock() -> Iterator[None]:
    yield
    clock.rest()
