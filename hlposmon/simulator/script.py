"""Reads one scripted action's arguments strictly: a missing, unknown or mistyped one raises ScriptError.

Pure. A typing mistake in a test's script must fail at once, and not let the test pass.
"""

import math
from fractions import Fraction
from typing import Any

from hlposmon.simulator.numbers import amount

MISSING = object()


class ScriptError(Exception):
    """The action cannot be done as asked; the message says why. Nothing was changed."""


class Script:
    """The JSON object of one action. Call `end` when everything is read, before anything is changed."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._read: set[str] = {"action"}

    def value(self, name: str, default: Any = MISSING) -> Any:
        """Any JSON value. Raises ScriptError if it is missing and has no default."""
        self._read.add(name)
        found = self._given.get(name, default)
        if found is MISSING:
            raise ScriptError(f"{name} is missing")
        return found

    def whole(self, name: str, default: Any = MISSING) -> int:
        """A whole number of at least 0."""
        found = self.value(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise ScriptError(f"{name} must be a whole number of at least 0, not {found!r}")
        return found

    def seconds(self, name: str, default: Any = MISSING) -> float:
        """A number of at least 0 (also for rates)."""
        found = self.value(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= math.inf:
            raise ScriptError(f"{name} must be a number of at least 0, not {found!r}")
        return float(found)

    def offset(self, name: str) -> float:
        """A number of seconds of either sign."""
        found = self.value(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise ScriptError(f"{name} must be a number, not {found!r}")
        return float(found)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """true or false."""
        found = self.value(name, default)
        if not isinstance(found, bool):
            raise ScriptError(f"{name} must be true or false, not {found!r}")
        return found

    def one_of(self, name: str, choices: tuple[str, ...], default: Any = MISSING) -> str:
        """One of `choices`."""
        found = self.value(name, default)
        if found not in choices:
            raise ScriptError(f"{name} must be one of {', '.join(choices)}, not {found!r}")
        return str(found)

    def exact(self, name: str, default: Any = MISSING) -> Fraction:
        """An exact amount, written as text or as a whole number."""
        found = self.value(name, default)
        try:
            return found if isinstance(found, Fraction) else amount(found)
        except (ValueError, ZeroDivisionError) as error:
            raise ScriptError(f"{name}: {error}") from None

    def end(self) -> None:
        """Raise ScriptError if an argument is left that was not read."""
        unknown = sorted(set(self._given) - self._read)
        if unknown:
            raise ScriptError(f"unknown: {', '.join(unknown)}")
