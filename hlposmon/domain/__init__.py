"""Positions, pure: Decimal, no I/O, no clock."""
