"""The request types of `/info`: a table from a type to the function that answers it, and to its weight.

Pure but for reading the world. A request that does not have the shape of its type raises BadRequest,
whatever is wrong with it: the venue does not say either. Weights: section 7 of the venue's limits.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from hlposmon.simulator import metas
from hlposmon.simulator.account import NOTHING, Account, View
from hlposmon.simulator.facts import Fact, Fill, Row
from hlposmon.simulator.ledger import ZERO
from hlposmon.simulator.numbers import money, printed
from hlposmon.simulator.owned import Owned
from hlposmon.simulator.question import FAR, BadRequest, Question, address_of
from hlposmon.simulator.statement import clearinghouse_state
from hlposmon.simulator.world import World

_F = TypeVar("_F", bound=Fact)
PAGE = 2000
AGENT_VALID_MS = 90 * 86_400_000  # how long an agent's key is valid from now on
LIGHT = ("l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus")
COUNTED = ("userFills", "userFillsByTime", "userFunding", "userTwapSliceFills", "userNonFundingLedgerUpdates")
ROWS_A_POINT = 20
MODES = ("default", "disabled", "unifiedAccount", "portfolioMargin", "dexAbstraction")


def weight(request: Row) -> int:
    """What a request costs of the 1200 a minute, before its rows are counted."""
    kind = request.get("type")
    if kind == "userRole":
        return 60
    if kind == "batchClearinghouseStates":
        return 2 * max(1, len(request.get("users") or []))
    return 2 if kind in LIGHT else 20


def row_weight(request: Row, answer: Any) -> int:
    """The weight that the rows of the answer cost beyond the request's."""
    return len(answer) // ROWS_A_POINT if request.get("type") in COUNTED else 0


class Info:
    """Answers requests from a world. `delay_ms` makes statements as old as that.

    `horizon`: how many of an account's newest fills are listed; None lists all.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.delay_ms = 0
        self.roles: dict[str, Row] = {}
        self.expiries: dict[str, int | None] = {}  # of agents' keys; None: the key is in no list
        self.owned = Owned()
        self.modes: dict[str, str | None] = {}
        self.horizon: int | None = None
        self.balances: dict[str, dict[str, Fraction]] = {}  # spot, by account and coin
        self._answers: dict[str, Callable[[Question], Any]] = {
            "meta": lambda asked: metas.meta(asked.dex),
            "metaAndAssetCtxs": self._meta_and_contexts,
            "allMids": lambda asked: metas.mids(world, asked.dex),
            "perpDexs": lambda _: metas.perp_dexs(),
            "spotMeta": lambda _: metas.spot_meta(),
            "spotMetaAndAssetCtxs": lambda _: [metas.spot_meta(), metas.spot_contexts()],
            "clearinghouseState": self._clearinghouse_state,
            "batchClearinghouseStates": self._batch,
            "spotClearinghouseState": self._spot_state,
            "userFills": self._user_fills,
            "userFillsByTime": self._user_fills_by_time,
            "userFunding": self._user_funding,
            "userNonFundingLedgerUpdates": lambda asked: self._rows(asked, lambda a: a.updates),
            "userRole": self._user_role,
            "userAbstraction": lambda asked: self.modes.get(asked.address, MODES[0]),
            "extraAgents": self._extra_agents,
            "openOrders": lambda asked: self._open_orders(asked, frontend=False),
            "frontendOpenOrders": lambda asked: self._open_orders(asked, frontend=True),
            "exchangeStatus": lambda asked: {"time": asked.now, "specialStatuses": None},
            "userRateLimit": self._rate_limit,
            "subAccounts": self._sub_accounts,
            "subAccounts2": self._sub_accounts_of_all_dexes,
            "userVaultEquities": lambda asked: self.owned.vault_equities(asked.address),
            "vaultDetails": self._vault_details,
            "delegatorSummary": lambda asked: self.owned.delegator_summary(asked.address),
            "portfolio": self._portfolio,
            "userTwapSliceFills": lambda asked: [] if asked.address else None,
            "l2Book": self._book,
        }

    def answer(self, request: object, now: int) -> Any:
        """The JSON value of an answer at `now` (ms); BadRequest where there is none."""
        if not isinstance(request, dict):
            raise BadRequest
        kind = request.get("type")
        if not isinstance(kind, str) or kind not in self._answers:
            raise BadRequest
        return self._answers[kind](Question(request, now))

    @property
    def types(self) -> tuple[str, ...]:
        """Every type of request that there is."""
        return tuple(self._answers)

    def account(self, address: str) -> Account | None:
        """None for an address the exchange has never seen."""
        return self._world.accounts.get(address)

    def view(self, address: str, now: int) -> View:
        """The view from which statements are made, `delay_ms` old; an empty one for an unknown address."""
        account = self.account(address)
        if account is None:
            return NOTHING
        return account.view(now - self.delay_ms if self.delay_ms else None)

    def state(self, address: str, dex: str, now: int) -> Row:
        """The clearinghouse state of an address on a dex; all zero for an unknown one."""
        return clearinghouse_state(self.view(address, now), dex, self._world.quotes, now)

    def spot(self, address: str) -> Row:
        """The spot balances: a USDC row of zero for a known account, and what a script has set.

        A row stays when its balance is gone, and outcomes have no token, as on the venue.
        """
        if self.account(address) is None:
            return {"balances": []}
        rows = []
        for coin, total in ({"USDC": ZERO} | self.balances.get(address, {})).items():
            token = {} if coin not in metas.TOKENS else {"token": metas.TOKENS[coin]}
            rows.append({"coin": coin, **token, "total": printed(total), "hold": "0.0", "entryNtl": "0.0"})
        return {"balances": rows}

    def _meta_and_contexts(self, asked: Question) -> Any:
        dex = asked.dex
        return [metas.meta(dex), metas.contexts(self._world, dex)]

    def _clearinghouse_state(self, asked: Question) -> Any:
        return self.state(asked.address, asked.dex, asked.now)

    def _batch(self, asked: Question) -> Any:
        users = asked.request.get("users")
        if not isinstance(users, list):
            raise BadRequest
        return [self.state(address_of(user), asked.dex, asked.now) for user in users]

    def _spot_state(self, asked: Question) -> Any:
        return self.spot(asked.address)

    def kept_fills(self, address: str) -> list[Fill]:
        """The fills that can still be asked for, oldest first."""
        account = self.account(address)
        fills = account.fills if account else []
        return fills if self.horizon is None else fills[max(0, len(fills) - self.horizon) :]

    def _user_fills(self, asked: Question) -> Any:
        """Newest first, also inside one millisecond: read backwards they stand in execution order."""
        return [fill.row() for fill in reversed(self.kept_fills(asked.address)[-PAGE:])]

    def _user_fills_by_time(self, asked: Question) -> Any:
        fills = self.kept_fills(asked.address)
        begin = asked.time("startTime")
        end = asked.time("endTime", FAR)
        found = between(fills, begin, end)
        if asked.request.get("reversed"):
            return [fill.row() for fill in reversed(found[-PAGE:])]
        return [fill.row() for fill in found[:PAGE]]

    def _user_funding(self, asked: Question) -> Any:
        """Oldest first from a time on; without one the newest, and newest first."""
        if asked.request.get("startTime") is not None:
            return self._rows(asked, lambda account: account.fundings)
        account = self.account(asked.address)
        paid = between(account.fundings, 0, asked.time("endTime", FAR)) if account else []
        return [payment.row() for payment in reversed(paid[-PAGE:])]

    def _rows(self, asked: Question, of: Callable[[Account], Sequence[Fact]]) -> Any:
        account = self.account(asked.address)
        begin = asked.time("startTime", 0)
        end = asked.time("endTime", FAR)
        return [fact.row() for fact in between(of(account), begin, end)[:PAGE]] if account else []

    def _user_role(self, asked: Question) -> Any:
        address = asked.address
        return self.roles.get(address) or {"role": "user" if self.account(address) else "missing"}

    def _extra_agents(self, asked: Question) -> Any:
        usual_ms = asked.now + AGENT_VALID_MS
        expiries = {
            address: self.expiries.get(address, usual_ms)
            for address, role in self.roles.items()
            if role["role"] == "agent" and role["data"]["user"] == asked.address
        }
        return [
            {"name": "bot", "address": address, "validUntil": valid_ms}
            for address, valid_ms in expiries.items()
            if valid_ms is not None
        ]

    def _sub_accounts(self, asked: Question) -> Any:
        def first_dex(address: str) -> Row:
            return {"clearinghouseState": self.state(address, "", asked.now)}

        return self.owned.sub_accounts(asked.address, first_dex, self.spot)

    def _sub_accounts_of_all_dexes(self, asked: Question) -> Any:
        def all_dexes(address: str) -> Row:
            states = [[dex, self.state(address, dex, asked.now)] for dex in metas.DEXS]
            return {"dexToClearinghouseState": states}

        return self.owned.sub_accounts(asked.address, all_dexes, self.spot)

    def _vault_details(self, asked: Question) -> Any:
        return self.owned.vault_details(address_of(asked.request.get("vaultAddress")), asked.now)

    def _open_orders(self, asked: Question, *, frontend: bool) -> Any:
        address, dex = asked.address, asked.dex
        if self.account(address) is None or dex:
            return []
        coin = self._world.coins[0]
        price = printed(self._world.quotes[coin].bid)
        when = asked.now // 3_600_000 * 3_600_000
        row: Row = {"coin": coin, "side": "B", "limitPx": price, "sz": "0.01", "oid": 77738308}
        row |= {"timestamp": when, "origSz": "0.02"}
        if frontend:
            row |= {"triggerCondition": "N/A", "isTrigger": False, "triggerPx": "0.0", "children": []}
            row |= {"isPositionTpsl": False, "reduceOnly": False, "orderType": "Limit", "tif": "Gtc"}
            row["cloid"] = None
        return [row]

    def _rate_limit(self, asked: Question) -> Any:
        account = self.account(asked.address)
        used = len(account.fills) if account else 0
        volume = account.volume if account else ZERO
        cap = 10_000 + int(volume)
        row: Row = {"cumVlm": money(volume), "nRequestsUsed": used, "nRequestsCap": cap}
        return row | {"nRequestsSurplus": 0}

    def _portfolio(self, asked: Question) -> Any:
        value = self.state(asked.address, "", asked.now)["marginSummary"]["accountValue"]
        account = self.account(asked.address)
        volume = money(account.volume) if account else "0.0"
        names = ("day", "week", "month", "allTime", "perpDay", "perpWeek", "perpMonth", "perpAllTime")
        row = {"accountValueHistory": [[asked.now, value]], "pnlHistory": [[asked.now, "0.0"]], "vlm": volume}
        return [[name, row] for name in names]

    def _book(self, asked: Question) -> Any:
        quote = self._world.quotes.get(str(asked.request.get("coin")))
        if quote is None:
            raise BadRequest
        sides = [[{"px": printed(price), "sz": "10.0", "n": 1}] for price in (quote.bid, quote.ask)]
        return {"coin": quote.market.coin, "time": asked.now, "levels": sides}


def between(facts: Sequence[_F], begin: int, end: int) -> Sequence[_F]:
    """The facts of a time span (ms), both bounds included; they stand in the order of time."""
    first = bisect_left(facts, begin, key=lambda fact: fact.time)
    return facts[first : bisect_right(facts, end, key=lambda fact: fact.time)]
