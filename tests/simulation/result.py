"""What lives came to."""

from collections import Counter
from dataclasses import dataclass, field

NOT_WHOLE = "not whole"


@dataclass
class Result:
    """`wrong` has what was wrong by seed; `slowest_s` is from the last fault until all was whole."""

    lives: int = 0
    fills: int = 0
    claims: int = 0
    slowest_s: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Result") -> None:
        self.lives += other.lives
        self.fills += other.fills
        self.claims += other.claims
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.seen += other.seen
        self.wrong |= other.wrong

    @property
    def late(self) -> list[int]:
        """The seeds of lives that were safe, and not whole in time."""
        return [seed for seed, texts in self.wrong.items() if texts[0].startswith(NOT_WHOLE)]

    @property
    def unsafe(self) -> list[int]:
        """The seeds of all others that failed."""
        return [seed for seed, texts in self.wrong.items() if not texts[0].startswith(NOT_WHOLE)]
