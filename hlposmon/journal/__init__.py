"""The audit journal: hash-chained lines, one file a UTC day."""
