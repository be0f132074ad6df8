"""Pure: reports in, effects out. No clock, no I/O, no logging."""
