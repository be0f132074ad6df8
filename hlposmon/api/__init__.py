"""The socket's HTTP and WebSocket API: routes, messages, subscribers."""
