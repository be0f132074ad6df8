"""Client for a simulated exchange's control endpoint: one method per action. Standard library only.

The table in `hlposmon.simulator.control` lists the actions and their arguments; amounts are text.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
TIMEOUT_S = 30.0


class ControlError(Exception):
    """The exchange refused the action; the message is the exchange's."""


class Control:
    """Scripted actions over HTTP. `url` is the exchange's, such as http://127.0.0.1:3001."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s

    def do(self, action: str, **given: Any) -> Json:
        """Any action by its name; arguments that are None are left out."""
        body = {"action": action} | {name: value for name, value in given.items() if value is not None}
        return self._open("/control", json.dumps(body).encode())

    def state(self) -> Json:
        """The exact state of the exchange, without the fills."""
        return self._open("/control/state", None)

    def made(self, account: str, *, since: int = 0) -> Iterator[Json]:
        """Every fill of an account except the first `since`, in execution order: exact rows of
        `userFills`."""
        return self._pages("fills", account, since)

    def paid(self, account: str, *, since: int = 0) -> Iterator[Json]:
        """Every funding payment of an account except the first `since`: exact rows of `userFundings`."""
        return self._pages("fundings", account, since)

    def fills(self, *fills: Json, same_block: bool = False) -> list[Json]:
        """Execute exactly these fills; their rows. Each has account, coin, side ("B" or "A"), size, price,
        and what the table says besides: `crossed` if it is false, `builder`, `twap`, `liquidated`."""
        made: list[Json] = self.do("fills", fills=list(fills), same_block=same_block)["fills"]
        return made

    def fill(self, account: str, coin: str, side: str, size: str, price: str) -> Json:
        """Execute exactly this fill; its row."""
        return self.fills({"account": account, "coin": coin, "side": side, "size": size, "price": price})[0]

    def random_fills(
        self, count: int, coins: int | None = None, account: str | None = None, rate: float | None = None
    ) -> Json:
        """Execute random fills: at once, and the answer has `fills`; or `rate` a second, as a flow."""
        return self.do("fills", count=count, coins=coins, account=account, rate=rate)

    def flow(
        self, count: int, per_second: float = 100, coins: int | None = None, account: str | None = None
    ) -> int:
        """Start a flow of random fills; its number."""
        begun = self.do("flow", count=count, per_second=per_second, coins=coins, account=account)
        return int(begun["flow"])

    def status(self, flow: int | None = None) -> Json:
        """{count, done, finished} of a flow, or of all."""
        return self.do("status", flow=flow)

    def pace(self, per_second: float) -> None:
        """Set how many fills a second the accounts make by themselves."""
        self.do("pace", per_second=per_second)

    def scale(self, size: str, account: str | None = None) -> None:
        """Set about how large random orders are, in base units; "0" restores the default."""
        self.do("scale", size=size, account=account)

    def liquidate(self, account: str, coin: str, share: str = "1", *, backstop: bool = False) -> Json:
        """Liquidate a share of a position; the row of the fill."""
        return self._one("liquidate", account=account, coin=coin, share=share, backstop=backstop)

    def adl(self, account: str, coin: str, price: str | None = None) -> Json:
        """Close a position by Auto-Deleveraging; the row of the fill."""
        return self._one("adl", account=account, coin=coin, price=price)

    def settle(self, account: str, coin: str, price: str | None = None) -> Json:
        """Close a position by Settlement; the row of the fill."""
        return self._one("settle", account=account, coin=coin, price=price)

    def net(self, account: str, coin: str, price: str | None = None) -> Json:
        """Close a position by Net Child Vaults; the row of the fill."""
        return self._one("net", account=account, coin=coin, price=price)

    def ghost(self, account: str, coin: str, size: str) -> None:
        """Set a signed size with no fill."""
        self.do("ghost", account=account, coin=coin, size=size)

    def funding(self) -> int:
        """Pay an hour's funding now; the number of payments."""
        return int(self.do("funding")["payments"])

    def transfer(self, account: str, usdc: str, dex: str = "") -> Json:
        """Deposit, or withdraw if negative; the ledger row."""
        row: Json = self.do("transfer", account=account, usdc=usdc, dex=dex)["update"]
        return row

    def ledger(self, account: str, type: str, **fields: Any) -> Json:
        """Add a ledger row of a type, such as gossipPriorityGasAuction; the row. Fields that are not given
        have their usual values. No balance changes."""
        row: Json = self.do("ledger", account=account, type=type, **fields)["update"]
        return row

    def spot(self, account: str, coin: str, total: str) -> None:
        """Set a spot balance: USDC, PURR, HYPE, or an outcome such as +107580."""
        self.do("spot", account=account, coin=coin, total=total)

    def set_mark(self, coin: str, price: str, oracle: str | None = None) -> None:
        """Put the prices of a coin there and hold them."""
        self.do("set_mark", coin=coin, price=price, oracle=oracle)

    def release_mark(self, coin: str) -> None:
        """Let the prices of a coin walk again."""
        self.do("set_mark", coin=coin, release=True)

    def agent(self, address: str, master: str, *, expires_ms: int | None = None, listed: bool = True) -> None:
        """Make an address an API wallet of another. Its key expires in 90 days, or at `expires_ms` (Unix);
        one that is not `listed` stands in no list of keys."""
        self.do(
            "agent",
            address=address,
            master=master,
            expires_ms=expires_ms,
            listed=None if listed else False,
        )

    def sub_account(self, address: str, master: str, name: str) -> None:
        """Make an address a sub-account of another; what it holds stays its own."""
        self.do("sub_account", address=address, master=master, name=name)

    def vault(self, address: str, leader: str, name: str, children: list[str] | None = None) -> None:
        """Make an address a vault; with children, their parent."""
        self.do("vault", address=address, leader=leader, name=name, children=children)

    def vault_stake(self, address: str, vault: str, equity: str, locked_until_ms: int | None = None) -> None:
        """Set what an address has in a vault, in USDC."""
        self.do("vault_stake", address=address, vault=vault, equity=equity, locked_until_ms=locked_until_ms)

    def staking(
        self, address: str, delegated: str, undelegated: str | None = None, withdrawing: str | None = None
    ) -> None:
        """Set what an address has staked, in HYPE."""
        self.do(
            "staking", address=address, delegated=delegated, undelegated=undelegated, withdrawing=withdrawing
        )

    def mode(self, account: str, mode: str | None) -> None:
        """Change what userAbstraction says of an account; None: null."""
        self.do("mode", account=account, mode=mode or "null")

    def state_delay(self, seconds: float) -> None:
        """Make statements this many seconds old."""
        self.do("state_delay", seconds=seconds)

    def clock_skew(self, seconds: float) -> None:
        """Set the exchange's clock ahead by some seconds, or back if negative."""
        self.do("clock_skew", seconds=seconds)

    def lose(self, count: int = 1, account: str | None = None, coin: str | None = None) -> None:
        """Send the next fills on no WebSocket."""
        self.do("lose", count=count, account=account, coin=coin)

    def lose_feed(
        self, feed: int, count: int = 1, account: str | None = None, coin: str | None = None
    ) -> None:
        """Do not send the next fills on the k-th connection (from 1) that watches the account."""
        self.do("lose_feed", feed=feed, count=count, account=account, coin=coin)

    def duplicate(self, count: int = 1, account: str | None = None) -> None:
        """The next messages of fills come twice."""
        self.do("duplicate", count=count, account=account)

    def reverse(self, count: int = 2, account: str | None = None, *, within: bool = False) -> None:
        """The next messages come backwards, or the fills inside each of them."""
        self.do("reverse", count=count, account=account, within=within)

    def batch(self, count: int, account: str | None = None) -> None:
        """The next fills come in one message."""
        self.do("batch", count=count, account=account)

    def drop(self, code: int = 1000, feed: int | None = None) -> int:
        """Close every WebSocket, or the k-th; the number closed."""
        return int(self.do("drop", code=code, feed=feed)["closed"])

    def abort(self, feed: int | None = None) -> int:
        """Reset every WebSocket, or the k-th; the number reset."""
        return int(self.do("abort", feed=feed)["closed"])

    def stall(self, seconds: float | None = None, feed: int | None = None) -> int:
        """Keep every WebSocket, or the k-th, open but silent and deaf; the number stalled."""
        return int(self.do("stall", seconds=seconds, feed=feed)["stalled"])

    def resume(self) -> None:
        """End every stall, refusal and outage."""
        self.do("resume")

    def refuse(self, seconds: float, what: str = "all") -> None:
        """Close new requests ("rest"), WebSockets ("websocket") or both ("all") without an answer."""
        self.do("refuse", seconds=seconds, what=what)

    def outage(self, seconds: float) -> None:
        """Reset every WebSocket, and accept neither requests nor WebSockets for a time."""
        self.do("outage", seconds=seconds)

    def refuse_subscription(self, type: str, *, words: str | None = None, release: bool = False) -> None:
        """Answer new subscriptions of a type with an error, or with `release` stop doing so.

        `words` selects the error: the type does not exist ("unknown"), or the request is bad ("invalid").
        """
        self.do("refuse_subscription", type=type, words=words, release=release or None)

    def refuse_request(self, type: str = "newer", *, release: bool = False) -> None:
        """Answer requests of a type with 422, or with `release` stop doing so.

        "newer" stands for all types that an older server does not know.
        """
        self.do("refuse_request", type=type, release=release or None)

    def horizon(self, rows: int | None) -> None:
        """List only so many of an account's newest fills; None: all."""
        self.do("horizon", rows=rows, release=True if rows is None else None)

    def garble(
        self,
        what: str,
        count: int = 1,
        account: str | None = None,
        coin: str | None = None,
        *,
        field: str | None = None,
        tid: int | None = None,
        feed: int | None = None,
        place: str | None = None,
    ) -> None:
        """Make the next rows of fill, fill_rest, fill_everywhere, state, funding or price undecodable.

        `field` is the wrong field of a row. `tid` selects one fill, and `feed` the WebSocket on which fills
        are wrong. `place` says where rows of the other kinds are wrong: "stream", "rest" or "both".
        """
        self.do(
            "garble", what=what, count=count, account=account, coin=coin, field=field, tid=tid, feed=feed,
            place=place,
        )  # fmt: skip

    def ungarble(self, what: str | None = None) -> None:
        """End the rules of `garble`, or those of one kind."""
        self.do("garble", release=True, what=what)

    def weigh(self) -> None:
        """Restart `weight_most` of the state: the most weight asked in any minute from now on."""
        self.do("weigh")

    def http_fault(
        self, kind: str, type: str = "*", times: int = 1, delay_s: float = 1.0, bytes: int | None = None
    ) -> None:
        """Spoil the next answers to a type: 429, 500, html, null, cut, drip, delay, huge or close."""
        self.do("http_fault", kind=kind, type=type, times=times, delay_s=delay_s, bytes=bytes)

    def ws_junk(self, kind: str, bytes: int | None = None, feed: int | None = None) -> None:
        """Send text, cut_json, wrong_types, unknown_channel, binary or huge."""
        self.do("ws_junk", kind=kind, bytes=bytes, feed=feed)

    def clear(self) -> None:
        """Forget every rule."""
        self.do("clear")

    def _pages(self, what: str, account: str, since: int) -> Iterator[Json]:
        offset, total = since, since + 1
        while offset < total:
            query = urllib.parse.urlencode({"account": account, "offset": offset})
            page = self._open(f"/control/{what}?{query}", None)
            total, offset = page["total"], offset + len(page[what])
            yield from page[what]

    def _one(self, action: str, **given: Any) -> Json:
        fill: Json = self.do(action, **given)["fills"][0]
        return fill

    def _open(self, path: str, body: bytes | None) -> Json:
        request = urllib.request.Request(self._url + path, data=body)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                found: Json = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise ControlError(error.read().decode(errors="replace")) from None
