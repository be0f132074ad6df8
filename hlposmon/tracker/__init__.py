"""The process that owns the book: reports in by queues; journal, snapshot and stream out. No network."""
