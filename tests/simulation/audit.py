"""The journal of a life, read back line by line: chained, without a hole, each fill once, each sum right."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from hlposmon.domain.amounts import CONTEXT
from hlposmon.domain.instrument import market_of
from hlposmon.domain.placing import LAG_MS
from hlposmon.domain.reports import OTHER_SCOPES, Fill
from hlposmon.errors import WireError
from hlposmon.journal.files import parts_in
from hlposmon.journal.lines import FIRST_PREV, open_line

Body = dict[str, Any]


@dataclass
class Audit:
    """What the files hold: sound lines, halves of lines, and what is wrong with them."""

    lines: list[Body] = field(default_factory=list)
    halves: list[bytes] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> "Audit":
        audit, seq, prev = cls(), 0, FIRST_PREV
        for raw in raw_lines(folder):
            try:
                body = open_line(raw)
            except WireError:
                audit.halves.append(raw)
                continue
            if (body["seq"], body["prev"]) != (seq + 1, prev):
                audit.wrong.append(f"line {body['seq']} ({body['type']}) does not follow line {seq}")
            seq, prev = body["seq"], body["hash"]
            audit.lines.append(body)
        # Where the power goes before the mark of a half line is written, a start takes it for damage.
        torn = sum(body["type"] in ("torn", "audit_damaged") for body in audit.lines)
        if len([half for half in audit.halves if half.strip()]) > torn:
            audit.wrong.append(f"{len(audit.halves)} halves of lines, and {torn} are told of")
        return audit

    def check(self, *, has_lost_lines: bool) -> list[str]:
        """No fill twice; what a position has become follows from the lines before. Where lines were lost that
        is not asked: a checkpoint may know more than the lines before it."""
        wrong, fills = list(self.wrong), set[tuple[Any, ...]]()
        books: dict[tuple[str, str], _Sums] = {}
        stated: set[tuple[str, str]] = set()
        for body in self.lines:
            kind = body["type"]
            if kind == "stated":
                # It comes behind what the first statement started; a second one starts anew.
                scope = body["account"], body.get("scope", "")
                if scope in stated:
                    books = {name: one for name, one in books.items() if _scope_of(*name) != scope}
                stated.add(scope)
            if kind not in ("fill", "funding", "position_change"):
                continue
            name = body["account"], body["key"]
            if kind == "fill":
                one = (*name, body["time_ms"], body["order_id"], body["tid"], body["start_position"])
                if one in fills:
                    wrong.append(f"line {body['seq']}: journalled twice: {one}")
                fills.add(one)
            if not has_lost_lines:
                odd = books.setdefault(name, _Sums()).take(body)
                wrong += [] if odd is None else [f"line {body['seq']}, {kind} of {name}: {odd}"]
        ends = (sums.odd() for sums in books.values() if not has_lost_lines)
        return wrong + [odd for odd in ends if odd is not None]

    def missing(self, told: Iterable[Fill]) -> Iterator[Fill]:
        """The fills from after their scope's first statement that no line tells of. That may hold some that
        look later than it."""
        base_ms = {
            (body["account"], body.get("scope", "")): body["base_ms"]
            for body in self.lines
            if body["type"] == "stated"
        }
        lines = {
            (body["account"], body["key"], body["time_ms"], body["order_id"], body["tid"])
            for body in self.lines
            if body["type"] == "fill"
        }
        for fill in told:
            one = fill.account, fill.key, fill.time_ms, str(fill.order_id), fill.trade_id
            scope = _scope_of(fill.account, fill.key)
            others_ms = base_ms.get((fill.account, OTHER_SCOPES), fill.time_ms) if scope[1] else fill.time_ms
            if fill.time_ms > base_ms.get(scope, others_ms) + LAG_MS and one not in lines:
                yield fill


def _scope_of(account: str, key: str) -> tuple[str, str]:
    return account, market_of(key)


class _Sums:
    """What the lines of one position add up to, and what the last of them says.

    Of fills that came late, and of those behind them, each line shows the position after all of them: what
    is shown may be ahead of the sum, and is equal to it in the end.
    """

    def __init__(self) -> None:
        self._sums = dict.fromkeys(("fees", "closed_pnl", "funding", "fills"), Decimal(0))
        self._shown: Body | None = None

    def take(self, body: Body) -> str | None:
        kind, before, after = body["type"], self._shown, body["position"]
        self._shown = after
        if kind == "position_change":
            was = body["before"]
            if before is not None and any(was[name] != before[name] for name in ("size", *self._sums)):
                return f"it begins from {was}, not from {before}"
            return self.odd()
        if kind == "funding":
            facts = {"funding": body["amount"]}
        else:
            facts = {"fees": body["fee"], "closed_pnl": body["closed_pnl"], "fills": 1}
        for name in facts:
            self._sums[name] = CONTEXT.add(self._sums[name], Decimal(facts[name]))
        if self._sums["fills"] > after["fills"]:
            return f"{self._sums['fills']} fills were journalled, and {after['fills']} are in it"
        return None if body.get("late") else self.odd(fills=after["fills"])

    def odd(self, fills: int | None = None) -> str | None:
        """What the sums and the last line do not agree in, once as many fills are journalled."""
        if self._shown is None or (fills is not None and self._sums["fills"] < fills):
            return None
        for name, total in self._sums.items():
            if Decimal(self._shown[name]) != total:
                return f"{name} are {self._shown[name]}, and the lines add up to {total}"
        return None


def raw_lines(folder: Path) -> Iterator[bytes]:
    """The lines of all files in their order."""
    for part in parts_in(folder)[0]:
        yield from part.path.read_bytes().splitlines(keepends=True)
