"""Hyperliquid: payloads (pure), the client that asks, the feeds that follow, and the venue of all three."""
