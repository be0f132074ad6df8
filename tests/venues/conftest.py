"""The servers and the exchange of tests/transport."""

from tests.transport.conftest import deadline, server, venue

__all__ = ["deadline", "server", "venue"]
