"""Listen or ask at one venue and put facts into a queue. No arithmetic."""
