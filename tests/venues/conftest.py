"""The servers and the exchange of tests/transport."""

from tests.transport.conftest import patience, server, venue

__all__ = ["patience", "server", "venue"]
