"""A canned monitor and a command line for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.canned_monitor import Commands, Monitor


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Monitor]:
    """A healthy monitor with one position."""
    running = Monitor(tmp_path / "s")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def hlposmon(tmp_path: Path) -> Commands:
    """The command line, pointed at the canned monitor."""
    return Commands(tmp_path)
