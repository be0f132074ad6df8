"""What a reader who has had enough may do to us: nothing that anybody has to hear of."""

import os
import sys


def silence() -> None:
    """What is still buffered goes nowhere, and nobody is told."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # stdout is no file: nothing is left to be flushed at exit


def write(text: str) -> None:
    """Print and flush; a broken pipe is quiet, and what the terminal's encoding lacks is escaped."""
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:
            sys.stdout.write(text.encode("ascii", "backslashreplace").decode())
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
