"""hlposmon: a live position monitor for Hyperliquid that proves what it shows."""

__version__ = "0.1.0"
