"""HTTP/1.1 and WebSocket over any stream socket, in one selectors loop. Nothing about trading."""
