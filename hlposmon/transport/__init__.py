"""One HTTP request, one WebSocket feed, deadlines and the rate limit; no venue's name."""
