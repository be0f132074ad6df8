"""What the operating system offers, wrapped once: clock, files, threads, processes, shared memory."""
