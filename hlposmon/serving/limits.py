"""How much one client may ask of the server: bytes, seconds, and how many clients there may be.

A client is never waited for and never trusted: everything it may make us keep has a bound here,
and everything it may leave unfinished has a deadline. No socket and no protocol in this module.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server. Bytes are counted for each connection, seconds by the server's clock."""

    max_connections: int = 1200  # beyond it a newcomer is answered 503 and closed
    few_connections: int = 8  # each user may hold this many even if only the reserved places are left
    max_header_bytes: int = 16 * 1024
    max_headers: int = 100
    max_body_bytes: int = 4 * 1024
    max_message_bytes: int = 16 * 1024  # one incoming WebSocket message, all its fragments together
    max_buffer_bytes: int = 1 << 20  # waiting for one WebSocket peer, beside its largest frame
    max_buffered_bytes: int = 64 << 20  # for all clients together; then peers above FAIR_BYTES are cut off
    header_timeout_s: float = 10.0  # from the first byte of a request to its last
    idle_timeout_s: float = 120.0  # HTTP only: between two requests, or between two reads of an answer
    close_timeout_s: float = 3.0  # from our last answer or close frame to the end of the connection
    keepalive_s: float = 30.0  # Session.idle is called when nothing was sent to a WebSocket peer this long

    @property
    def kept_connections(self) -> int:
        """Places reserved for users with few connections, so that no user can shut the others out."""
        return self.max_connections // 6
