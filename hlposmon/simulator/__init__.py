"""The simulated exchange: the embedded default of `make run`, and what tests talk to."""
