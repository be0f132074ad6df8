"""Process supervision: forks children, restarts them, and writes their logs. Knows nothing of trading."""
