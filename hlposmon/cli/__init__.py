"""The command line: one module for each command, with click options, printing and exit codes only."""
