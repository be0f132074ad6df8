"""One file a command: click, printing and exit codes; nothing else."""
