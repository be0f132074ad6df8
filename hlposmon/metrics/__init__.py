"""Prometheus metrics: counters kept while the tracker works, and their exposition."""
