"""Hyperliquid: payload decoders (pure), the REST client, the feeds, and the venue class that builds them."""
