"""For other programs and for the CLI: the socket and the shared-memory snapshot, standard library only."""
