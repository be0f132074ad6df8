"""For all tests: temporary folders with short paths, since a Unix socket's may have 107 bytes."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hlp-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
