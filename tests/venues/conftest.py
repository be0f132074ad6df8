"""Servers, an exchange and a patience for each test; `venue_stage` is imported by name."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from venue_stage import Options, Server, Venue, Watched  # noqa: E402


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(serve):
        servers.append(Server(serve))
        return servers[-1]

    yield start
    for one in servers:
        one.close()


@pytest.fixture
def venue() -> Iterator[Callable[..., Venue]]:
    """`venue(accounts=(...))`: an exchange that trades only by script."""
    venues: list[Venue] = []

    def start(**options):
        venues.append(Venue(Options(**{"pace": 0.0, "limits": False, "seed": 7} | options)))
        return venues[-1]

    yield start
    for one in venues:
        one.close()


@pytest.fixture
def patience():
    return Watched()
