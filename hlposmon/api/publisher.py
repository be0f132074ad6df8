"""What is worth saying, and how: changes to stream messages, each numbered, P&L only when it moved.

`seq` counts published messages without holes. It starts at the wall clock's milliseconds, so that the
numbers of a new tracker lie beyond those of the one before, and a client never takes up the thread of
a stream that is gone.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hlposmon.api import messages as published
from hlposmon.api.server import PublicServer
from hlposmon.domain import rendering
from hlposmon.domain.amounts import exactly
from hlposmon.domain.changes import Adopted, Change, Doubt, Drift, Filled, Funded, Gap, Healed, VerdictChanged
from hlposmon.domain.views import View


class Publisher:
    """Numbers and sends messages. `min_pnl_change` is in USD."""

    def __init__(self, server: PublicServer, *, first_seq: int, min_pnl_change: Decimal) -> None:
        self._server = server
        self.seq = self._first_seq = first_seq
        self.min_pnl_change = min_pnl_change
        self._told_pnl: dict[tuple[str, str], Decimal | None] = {}
        self._updated_ms: dict[tuple[str, str], int] = {}

    @property
    def published(self) -> int:
        """How many messages were sent."""
        return self.seq - self._first_seq

    def updated_ms(self, account: str, key: str) -> int | None:
        return self._updated_ms.get((account, key))

    def touch(self, account: str, key: str, now_ms: int) -> None:
        self._updated_ms[account, key] = now_ms

    def price(self, view: View, now_ms: int) -> None:
        """A mark moved: worth a message when unrealised P&L did, by more than the threshold."""
        name = view.account, view.key
        self.touch(*name, now_ms)
        pnl, told = rendering.figures(view).unrealized, self._told_pnl.get(name)
        if pnl is None:
            return
        if told is not None:
            with exactly():
                if abs(pnl - told) <= self.min_pnl_change:
                    return
        self._update("price_update", view, now_ms)

    def change(self, change: Change, view: View, now_ms: int) -> None:
        """Say what the book said. `view` is of the position concerned, as it is now."""
        self.touch(view.account, view.key, now_ms)
        match change:
            case Filled(fill=fill):
                # Of several fills taken together each is told with the position after it, as of then.
                as_of_ms = None if view.as_of_ms is None else min(view.as_of_ms, fill.time_ms)
                then = replace(view, position=change.position, last_fill_ms=fill.time_ms, as_of_ms=as_of_ms)
                self._update("fill", then, now_ms, fill=published.fill(fill))
            case Adopted():
                self._update("position_change", view, now_ms, reason=change.reason.value)
            case Funded(funding=paid):
                funding = {
                    "amount": rendering.number(paid.amount),
                    "timestamp": rendering.time_text(paid.time_ms),
                }
                self._update("position_change", view, now_ms, reason="funding", funding=funding)
            case VerdictChanged():
                before = change.before.value if change.before else None
                self._update("verdict", view, now_ms, before=before)
            case Gap():
                facts = {
                    "expected": rendering.number(change.expected),
                    "found": rendering.number(change.found),
                }
                self._announce("gap", view, now_ms, since=rendering.time_text(change.since_ms), **facts)
            case Healed():
                since = rendering.time_text(change.since_ms)
                self._announce("healed", view, now_ms, since=since, missing=change.missing)
            case Drift():
                sizes = {
                    "book_size": rendering.number(change.ours),
                    "venue_size": rendering.number(change.theirs),
                }
                self._announce("drift", view, now_ms, cause=change.cause, **sizes)
            case Doubt():
                pass  # the verdict that follows from it says so

    def _update(self, event: str, view: View, now_ms: int, **more: Any) -> None:
        pnl = rendering.figures(view).unrealized
        self._told_pnl[view.account, view.key] = pnl
        position = published.position(view, now_ms)
        self._send(
            "position_update",
            event,
            view,
            now_ms,
            {"event_type": event, "position": position, "fill": None, **more},
            _compact(event, view, position, more),
        )

    def _announce(self, kind: str, view: View, now_ms: int, **facts: Any) -> None:
        compact = {"e": kind, "a": view.account, "k": rendering.symbol_of(view.key), **facts}
        self._send(kind, kind, view, now_ms, facts, compact)

    def _send(
        self, kind: str, event: str, view: View, now_ms: int, facts: dict[str, Any], compact: dict[str, Any]
    ) -> None:
        self.seq += 1
        body = {
            "type": kind,
            "seq": self.seq,
            "account": view.account,
            "key": view.key,
            "symbol": rendering.symbol_of(view.key),
            "timestamp": rendering.time_text(now_ms),
            **facts,
        }
        self._server.publish(self.seq, event, view.account, body, {"seq": self.seq, **compact})


def _compact(event: str, view: View, position: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Only what changed: about 100 bytes for a price.

    `e` event, `a` account, `k` symbol, `m` mark, `u` unrealised P&L in USD, `t` as of when. A price changes
    nothing of what the position rests on, and no event changes its proof.
    """
    short: dict[str, Any] = {"e": event, "a": view.account, "k": position["symbol"]}
    if event == "price_update":
        return {**short, "e": "p", "m": position["mark_price"], "u": position["unrealized_pnl"]}
    short["t"] = position["as_of"]
    if event == "verdict":
        return {**short, "v": position["verdict"], "why": position["verdict_reason"]}
    short |= {"s": position["size"], "x": position["entry_price"], "r": position["realized_pnl"]}
    if "fill" in more:
        fill = more["fill"]
        short |= {"side": fill["side"], "q": fill["quantity"], "p": fill["price"], "id": fill["fill_id"]}
    return short
