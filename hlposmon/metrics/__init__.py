"""Prometheus figures: what is counted, and their exposition."""
