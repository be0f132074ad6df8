"""Parses thresholds in the syntax of monitoring plugins; each range below is followed by what breaks it.
Pure. Bounds are Decimal, so that 0.1 is exact.

    10      below 0 or above 10        10:     below 10         ~:10    above 10
    10:20   below 10 or above 20       @10:20  from 10 to 20, both included

https://www.monitoring-plugins.org/doc/guidelines.html#THRESHOLDFORMAT
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from hlposmon.cli.probe.figures import FIGURES

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_RANGE = re.compile(rf"(@?)(?:(~|{_NUMBER})?(:))?({_NUMBER})?", re.ASCII)
LONGEST = 80
LEVELS = ("warning", "critical")


class Range:
    """A range of good values, or of bad ones if `inside`. A bound of None is infinite. `text` is as given."""

    __slots__ = ("high", "inside", "low", "text")

    def __init__(self, text: str) -> None:
        """Parse the text. Raises ValueError if it is no range, or begins above its end."""
        match = _RANGE.fullmatch(text)
        start, colon, end = match.group(2, 3, 4) if match else (None, None, None)
        if match is None or (start is None and end is None) or len(text) > LONGEST:
            hint = "; quote a range with ~, or the shell replaces it" if text.startswith("/") else ""
            raise ValueError(
                f"{text[:LONGEST]!r} is no range; ranges are 10, 10:, ~:10, 10:20 or @10:20{hint}"
            )
        self.text = text
        self.inside = bool(match.group(1))
        # Without a start, with or without a colon, the range begins at zero.
        self.low = None if start == "~" else Decimal(start or 0)
        self.high = Decimal(end) if end is not None else None
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(
                f"the range {text!r} begins above its end" + ("" if colon else f"; ~:{end} has no lower end")
            )

    def is_broken_by(self, value: Decimal) -> bool:
        """Whether this value calls for an alarm."""
        below = self.low is not None and value < self.low
        above = self.high is not None and value > self.high
        return not (below or above) if self.inside else below or above


def read_thresholds(warning: Sequence[str], critical: Sequence[str]) -> dict[str, dict[str, Range]]:
    """Parse METRIC=RANGE texts into ranges by metric and level (`warning`, `critical`), in the order given.

    The last one counts for a repeated metric. Raises ValueError for a wrong form, an unknown metric or range.
    """
    found: dict[str, dict[str, Range]] = {}
    for level, texts in zip(LEVELS, (warning, critical), strict=True):
        for text in texts:
            metric, equals, range_text = text.partition("=")
            if not equals:
                raise ValueError(f"--{level} {text!r} is not METRIC=RANGE, such as fills_age=30")
            if metric not in FIGURES:
                raise ValueError(f"--{level}: there is no metric {metric!r}; there are {', '.join(FIGURES)}")
            try:
                found.setdefault(metric, {})[level] = Range(range_text)
            except ValueError as error:
                raise ValueError(f"--{level} {metric}: {error}") from error
    return found
