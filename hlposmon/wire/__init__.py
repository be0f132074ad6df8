"""Payloads to facts and back: strict, total, pure."""
