"""Writes to stdout and stderr that survive a closed pipe, a full disk, or a closed stream."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from typing import TextIO


def silence(stream: TextIO | None = None) -> None:
    """Redirect the stream (default stdout) to /dev/null, so that flushing it at exit cannot fail."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, (stream or sys.stdout).fileno())
        os.close(null)
    except (OSError, ValueError, AttributeError):
        pass  # no file, or already closed: nothing will be flushed at exit


def write(text: str) -> None:
    """Print to stdout and flush, for a check, whose status must not depend on its reader.

    Text that cannot be written is dropped silently; characters that the encoding lacks are escaped.
    """
    _put(sys.stdout, text)


def complain(line: str) -> None:
    """Print one line to stderr; it is dropped if stderr is closed."""
    _put(sys.stderr, f"{line}\n")


def _put(stream: TextIO | None, text: str) -> None:
    if stream is None:  # it was closed before the start
        return
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError):
        silence(stream)
