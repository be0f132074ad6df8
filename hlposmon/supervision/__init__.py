"""Keeps children alive. No word of trading."""
