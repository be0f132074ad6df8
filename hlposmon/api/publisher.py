"""Turns changes into numbered stream messages. The engine decides which changes get one.

`seq` numbers the published messages without holes.
"""

from collections.abc import Mapping
from typing import Any

from hlposmon.api import messages
from hlposmon.api.subscribers import Published, Subscribers
from hlposmon.domain.changes import (
    Adopted,
    Change,
    Doubt,
    Drift,
    Filled,
    Funded,
    Gap,
    Healed,
    Liquidated,
    VerdictChanged,
)
from hlposmon.domain.rendering import Renderer, number, symbol_of, time_text
from hlposmon.domain.views import View
from hlposmon.serving.frames import text_frame
from hlposmon.text import dumps


class Publisher:
    """Numbers messages and encodes them; `flush` sends them."""

    def __init__(self, subscribers: Subscribers, renderer: Renderer) -> None:
        self._subscribers, self._renderer = subscribers, renderer
        self._first_seq = subscribers.seq

    @property
    def published(self) -> int:
        """How many messages this tracker has published."""
        return self._subscribers.seq - self._first_seq

    def flush(self) -> None:
        """Send what was published since the last call, for at most about `subscribers.FLUSH_S`."""
        self._subscribers.flush()

    def price(self, view: View, now_ms: int) -> None:
        """Publish a `price_update` of a position: its mark price and unrealised P&L changed."""
        self._update("price_update", view, now_ms)

    def change(self, change: Change, view: View, now_ms: int) -> None:
        """Publish a change of the book. `view` is the position after it, `now_ms` Unix milliseconds.

        A Doubt gives no message of its own: the change of the verdict that follows reports it.
        """
        match change:
            case Filled(fill=fill):
                self._update("fill", view, now_ms, fill=messages.fill(fill))
            case Adopted():
                self._update("position_change", view, now_ms, reason=change.reason.value)
            case Funded(funding=paid):
                funding = {
                    "amount": number(paid.amount),
                    "timestamp": time_text(paid.time_ms),
                }
                self._update("position_change", view, now_ms, reason="funding", funding=funding)
            case VerdictChanged():
                before = change.before.value if change.before else None
                self._update("verdict", view, now_ms, before=before)
            case Gap():
                facts = {
                    "expected": number(change.expected),
                    "found": number(change.found),
                }
                self._announce("gap", view, now_ms, since=time_text(change.since_ms), **facts)
            case Healed():
                since = time_text(change.since_ms)
                self._announce("healed", view, now_ms, since=since, missing=change.missing)
            case Drift():
                sizes = {
                    "book_size": number(change.ours),
                    "venue_size": number(change.theirs),
                }
                self._announce("drift", view, now_ms, cause=change.cause, **sizes)
            case Liquidated(method=method, order_id=order_id):
                order = None if order_id is None else str(order_id)
                time = time_text(change.time_ms)
                self._announce("liquidation", view, now_ms, time=time, method=method, order_id=order)
            case Doubt():
                pass  # the VerdictChanged that follows reports it

    def of_account(self, kind: str, account: str, facts: Mapping[str, Any], now_ms: int) -> None:
        """Publish something that concerns a whole account: a transfer, a change of its mode."""
        seq = self._subscribers.seq + 1
        head = {"type": kind, "seq": seq, "account": account, "timestamp": time_text(now_ms)}
        self._subscribers.publish(Published(seq, kind, account, text_frame(dumps({**head, **facts}))))

    def _update(self, event: str, view: View, now_ms: int, **more: Any) -> None:
        facts = {
            "event_type": event,
            "position": messages.encoded_position(self._renderer.render(view), now_ms),
            "fill": None,
            **more,
        }
        self._send("position_update", event, view, now_ms, facts)

    def _announce(self, kind: str, view: View, now_ms: int, **facts: Any) -> None:
        self._send(kind, kind, view, now_ms, facts)

    def _send(self, kind: str, event: str, view: View, now_ms: int, facts: dict[str, Any]) -> None:
        seq = self._subscribers.seq + 1
        body = {
            "type": kind,
            "seq": seq,
            "account": view.account,
            "key": view.key,
            "symbol": symbol_of(view.key),
            "timestamp": time_text(now_ms),
            **facts,
        }
        self._subscribers.publish(Published(seq, event, view.account, text_frame(dumps(body))))
