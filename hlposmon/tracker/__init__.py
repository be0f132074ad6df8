"""The one owner of the book: queues in; journal, snapshot and stream out. No network."""
