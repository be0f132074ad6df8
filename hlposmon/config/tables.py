"""Reads a TOML table key by key; each mistake gives the file, the key, the value found and the value wanted.

A Reader never raises for a wrong value: it notes the mistake and returns the default, so that one run finds
all mistakes. Unknown keys are mistakes too; `done` reports them.
"""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from hlposmon.config.accounts import looks_like_a_key, shown

_SECRET_WORDS = (
    "private",
    "secret",
    "mnemonic",
    "password",
    "passphrase",
    "api_key",
    "apikey",
    "seed_phrase",
)


class Reader:
    """Reads one table of a file. `place` is its name, such as `venues.hyperliquid`; empty for the top level.

    Mistakes are appended to `mistakes`.
    """

    def __init__(self, file: str, table: Mapping[str, Any], mistakes: list[str], place: str = "") -> None:
        self.file = file
        self.place = place
        self.mistakes = mistakes
        self._table = table
        self._known: list[str] = []

    def key(self, name: str) -> str:
        """The full name of a key, as messages show it."""
        return f"{self.place}.{name}" if self.place else name

    def wrong(self, name: str, found: str, wanted: str) -> None:
        """Note one mistake."""
        self.mistakes.append(f"{self.file}: {self.key(name)}: found {found}, wanted {wanted}")

    def value(self, name: str) -> Any:
        """The raw value, or None if the key is absent (TOML has no null). Marks the key as known."""
        self._known.append(name)
        return self._table.get(name)

    def text(self, name: str, default: str, *, choices: tuple[str, ...] = ()) -> str:
        """A string, one of `choices` if there are any."""
        value = self.value(name)
        if value is None:
            return default
        wanted = "one of " + ", ".join(choices) if choices else "a string"
        if not isinstance(value, str) or (choices and value not in choices):
            self.wrong(name, shown(value), wanted)
            return default
        return value

    def boolean(self, name: str, default: bool) -> bool:
        """A TOML boolean."""
        value = self.value(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(name, shown(value), "true or false")
            return default
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A finite number from `least` to `most`, both included; for seconds and the like, not for money."""
        value = self.value(name)
        if value is None:
            return default
        sound = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not sound or not least <= value <= most:
            self.wrong(name, shown(value), f"a number from {least:g} to {most:g}")
            return default
        return float(value)

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number from `least` to `most`, both included."""
        value = self.value(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.wrong(name, shown(value), f"a whole number from {least} to {most}")
            return default
        return value

    def money(self, name: str, default: Decimal) -> Decimal:
        """A decimal amount of zero or more, written as a string, since a TOML float would not be exact."""
        value = self.value(name)
        if value is None:
            return default
        amount = _decimal(value)
        if amount is None:
            self.wrong(name, shown(value), f'a decimal of zero or more in quotes, like "{default}"')
            return default
        return amount

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty if the key is absent."""
        value = self.value(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.wrong(name, shown(value), "a list of strings")
            return ()
        return tuple(value)

    def table(self, name: str) -> "Reader":
        """A reader of a table inside this one; of an empty table if the key is absent."""
        value = self.value(name)
        if value is not None and not isinstance(value, dict):
            self.wrong(name, shown(value), f"a table [{self.key(name)}]")
        return Reader(self.file, value if isinstance(value, dict) else {}, self.mistakes, self.key(name))

    def tables(self, name: str) -> list["Reader"]:
        """Readers of a list of tables, `[[name]]`; none if the key is absent."""
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.wrong(name, shown(value), f"a list of tables [[{self.key(name)}]]")
            return []
        key = self.key(name)
        return [
            Reader(self.file, item, self.mistakes, f"{key}[{number}]") for number, item in enumerate(value, 1)
        ]

    def done(self) -> None:
        """Note a mistake for each key that was not read; one that looks like a credential is not shown."""
        for name, value in self._table.items():
            if name in self._known:
                continue
            # In a damaged file the name of a TOML key may itself be a private key.
            if any(word in name.lower() for word in _SECRET_WORDS) or looks_like_a_key(f"{name} {value}"):
                place = "a key" if looks_like_a_key(name) else self.key(name)
                self.mistakes.append(
                    f"{self.file}: {place}: found what looks like a credential (not shown), wanted none"
                    " in this file: remove it; watching needs the address alone"
                )
                continue
            self.wrong(name, "an unknown key", self._suggestion(name))

    def _suggestion(self, name: str) -> str:
        import difflib

        near = difflib.get_close_matches(name, self._known, n=1)
        known = "one of " + ", ".join(self._known)
        return f"{near[0]} perhaps ({known})" if near else known


def _decimal(value: object) -> Decimal | None:
    if not isinstance(value, str):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
