"""Writes to stdout and stderr that survive a closed pipe, a full disk, or a stream that is not there."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from typing import TextIO


def silence(stream: TextIO | None = None) -> None:
    """What is still buffered goes nowhere, and nobody is told. Without a stream: of stdout."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, (stream or sys.stdout).fileno())
        os.close(null)
    except (OSError, ValueError, AttributeError):
        pass  # it is no file, or not there: nothing is left to be flushed at exit


def write(text: str) -> None:
    """Print and flush, for a check, whose status must not depend on who reads.

    What cannot be printed is lost without a word; what the terminal's encoding lacks is escaped.
    """
    _put(sys.stdout, text)


def complain(line: str) -> None:
    """One line on stderr, or nowhere when nobody listens there."""
    _put(sys.stderr, f"{line}\n")


def _put(stream: TextIO | None, text: str) -> None:
    if stream is None:  # it was closed before we began
        return
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError):
        silence(stream)
