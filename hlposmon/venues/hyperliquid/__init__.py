"""Hyperliquid: payloads (pure) and the REST client."""
