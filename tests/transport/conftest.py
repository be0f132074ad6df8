"""Servers, an exchange and a deadline for each test."""

from collections.abc import Callable, Iterator

import pytest

from tests.transport.venue_stage import Options, Server, Venue, Watched


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
def deadline():
    return Watched()
