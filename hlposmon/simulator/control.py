"""The control endpoint: what a test may do to the exchange, and the whole truth about it.

`POST /control` takes one JSON object with `action` and what the action needs, and answers
`{"ok": true, ...}`, or 400 and `{"error": "why"}` when nothing was done. `account` is an address and
may be left out where the table says [account]: any account then. Amounts are text ("1.5").
`GET /control/state` answers the exact state without the fills; `GET /control/fills?account=&offset=&limit=`
has those in execution order, at most 1000 at once, and `/control/fundings` the funding payments. No limit or
delay applies to these, and all amounts are exact, while `/info` and `/ws` print doubles. `feed` is the k-th
open WebSocket, counted from 1 in the order of opening; without it, all of them are meant.

| action | what it takes | what it does |
|---|---|---|
| fills | fills: [{account, coin, side B or A, size, price, ...}], [same_block] | exactly these |
| | of each: [crossed], [builder]: with a builder's fee, [twap]: the number of its TWAP order, | |
| | [liquidated]: an address, of whose liquidation it is the other party | |
| fills | count, [coins], [account], [rate] | so many by chance, at once or `rate` a second |
| flow | count, [coins], [per_second], [account] | the same as a burst; answers its number |
| status | [flow] | how many of a flow (of all flows) are done |
| pace | per_second | fills a second that the accounts make by themselves |
| scale | size, [account] | orders by chance are about so large from now on; 0: as they were |
| liquidate | account, coin, [share], [backstop] | closes a share ("1") by force, with its ledger row |
| adl, settle | account, coin, [price] | closes by Auto-Deleveraging, by Settlement |
| net | account, coin, [price] | closes by Net Child Vaults |
| ghost | account, coin, size | sets the signed size with no fill at all |
| funding | | pays an hour's funding now |
| transfer | account, usdc (signed), [dex] | deposits or withdraws |
| ledger | account, type, [any field of it] | a ledger row of any type but liquidation; nothing moves |
| spot | account, coin, total | sets a spot balance: USDC, PURR, HYPE, or an outcome such as +107580 |
| set_mark | coin, price, [oracle] | puts the prices there and holds them |
| set_mark | coin, release: true | lets them walk again |
| agent | address, master, [expires_ms] or [listed] | userRole says that address is an agent of master |
| sub_account | address, master, name | address is a sub-account of master, which lists it |
| vault | address, leader, name, [children] | address is a vault; with children, their parent |
| vault_stake | address, vault, equity, [locked_until_ms] | sets what an address has in a vault |
| staking | address, delegated, [undelegated], [withdrawing] | sets what an address has staked |
| mode | account, mode | what userAbstraction says: default, unifiedAccount, portfolioMargin, ..., null |
| state_delay | seconds | statements are as of so long ago |
| clock_skew | seconds (signed) | the exchange's time is off by that |
| lose | count, [account], [coin] | the next fills are sent on no WebSocket |
| lose_feed | feed, count, [account], [coin] | only the k-th (from 1) that hears its fills loses them |
| duplicate | count, [account] | the next messages of fills are sent twice |
| reverse | count, [account] | holds so many messages and sends them backwards |
| reverse | count, [account], within: true | turns the fills inside the next messages of two or more |
| batch | count, [account] | holds fills until there are so many, then one message |
| drop | [code], [feed] | closes every WebSocket (the k-th) |
| abort | [feed] | ends them with a reset |
| stall | [seconds], [feed] | open but silent and deaf, for a time or until `resume` |
| resume | | ends every stall, refusal and outage |
| refuse | seconds, [what: all, rest, websocket] | closes new connections or requests at once |
| outage | seconds | abort and refuse together |
| refuse_subscription | type, [words: unknown, invalid] | new ones get an error: no such type, or a bad one |
| refuse_subscription | type, release: true | no more |
| refuse_request | type | requests of a type get 422; newer: all that earlier servers do not know |
| refuse_request | type, release: true | no more |
| horizon | rows | only so many of an account's newest fills are listed |
| horizon | release: true | all of them |
| garble | what, [count], [account], [coin], [field], ... | the next rows cannot be decoded, as said below |
| garble | release: true, [what] | no more |
| http_fault | kind, [type], [times], [delay_s], [bytes] | spoils the next answers to a type (default: any) |
| ws_junk | kind, [bytes], [feed] | sends what no client expects |
| weigh | | `weight_most` of the state, the most that was asked in any minute, begins anew |
| clear | | forgets all rules of what is lost, doubled, held, spoilt, odd, late, unlisted, refused by type |

Kinds of http_fault: 429, 500, html, null, cut, drip, delay, huge, close.
Kinds of ws_junk: text, cut_json, wrong_types, unknown_channel, binary, huge.

Values of `what` for garble; one field of each row, which `field` selects, is wrong (null, a number, a list):
fill, [feed]: the next `count` fills, each time that they are sent on any WebSocket (on the k-th);
fill_everywhere: the same, and in `/info` too. Both last until released; `tid` selects an earlier fill.
fill_rest, [tid]: the next `count` rows in answers of `/info`.
state, funding, price, [place: both, stream, rest]: the next `count` rows.
"""

import json
from collections.abc import Callable
from typing import Any

from hlposmon.serving.messages import Request, Response
from hlposmon.simulator import answers, damage, deeds, holdings, owning, truth
from hlposmon.simulator.facts import Row
from hlposmon.simulator.script import Script, ScriptError
from hlposmon.simulator.stage import Stage

Action = Callable[[Stage, Script], Row]
ACTIONS: dict[str, Action] = {
    **deeds.ACTIONS,
    **holdings.ACTIONS,
    **owning.ACTIONS,
    **damage.ACTIONS,
    **answers.ACTIONS,
}
PAGES = {"/control/fills": truth.fills, "/control/fundings": truth.fundings}


class Control:
    """Answers requests to /control for one stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def respond(self, request: Request) -> Response:
        """Carry out the action, or answer 400 with the reason."""
        try:
            if request.method == "GET":
                return _json(200, self._look(request))
            return _json(200, {"ok": True, **self._act(request)})
        except ScriptError as error:
            return _json(400, {"error": str(error)})

    def _look(self, request: Request) -> Row:
        if request.path == "/control/state":
            return truth.state(self._stage)
        if request.path in PAGES:
            query = request.query
            try:
                offset, limit = int(query.get("offset", "0")), int(query.get("limit", str(truth.PAGE)))
                page = PAGES[request.path]
                return page(self._stage, query.get("account", ""), max(0, offset), max(0, limit))
            except (KeyError, ValueError) as error:
                raise ScriptError(f"no such page: {error}") from None
        raise ScriptError(f"no such page: {request.path}")

    def _act(self, request: Request) -> Row:
        try:
            given: Any = json.loads(request.body)
        except ValueError as error:
            raise ScriptError(f"not JSON: {error}") from None
        if not isinstance(given, dict) or given.get("action") not in ACTIONS:
            raise ScriptError(f"action must be one of {', '.join(ACTIONS)}")
        return ACTIONS[given["action"]](self._stage, Script(given))


def _json(status: int, value: Row) -> Response:
    return Response(status, json.dumps(value, separators=(",", ":")).encode())
