"""Assembles the monitor: its locks and sockets, its processes, and what each process is given."""
