"""Worker processes: each reads one venue and reports facts to the tracker over a queue. No arithmetic."""
