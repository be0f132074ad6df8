"""What Hyperliquid is asked: statements, every fill since a time, roles; by the simulated exchange."""

import json
import re
import time
from decimal import Decimal

import pytest

from hlposmon.config import Account
from hlposmon.domain.reports import MarginPool, StatedPosition
from hlposmon.errors import RequestNotKnown, VenueUnavailable, WireError
from hlposmon.simulator import info as info_pages
from hlposmon.transport.quota import Quota
from hlposmon.venues.hyperliquid import client as hyperliquid
from hlposmon.venues.hyperliquid.client import HyperliquidClient
from hlposmon.venues.port import Staking, Vault, VaultStake
from tests.venues.hyperliquid.payloads import (
    balance,
    position_row,
    spot_context,
    spot_meta,
    state,
    token_key,
)


@pytest.fixture
def info(venue, deadline):
    made = []

    def start(one=None, url=None):
        budget = Quota(per_minute=100_000).share()
        made.append(HyperliquidClient(url or one.url, budget=budget, deadline=deadline))
        made[-1].budget = budget
        return made[-1]

    yield start
    for one in made:
        one.close()


def main(one):
    return Account("main", one.accounts[0])


def all_fills(asked, account, start_ms=1):
    return [fill for page in asked.fills_since(account, start_ms) for fill in page.fills]


def test_a_statement_is_the_exchanges_own(venue, info):
    one = venue()
    truth = one.control.state()["accounts"][one.accounts[0]]["positions"]
    statement = info(one).statement(main(one), asked_s=1.5, now_ms=0, fills_from_ms=7)

    assert (statement.account, statement.asked_s, statement.fills_from_ms) == ("main", 1.5, 7)
    assert {stated.key: stated.size for stated in statement.positions} == {
        f"hyperliquid:Perp:{coin}": Decimal(row["szi"]) for coin, row in truth.items()
    }


def test_fills_of_many_pages_come_once_and_in_order(venue, info):
    one = venue()
    for _ in range(300):
        rows = [
            {"account": one.accounts[0], "coin": "BTC", "side": side, "size": "0.1", "price": "5000"}
            for side in "BBABABA"
        ]
        one.control.fills(*rows, same_block=True)
    asked = info(one)
    tids = [fill.trade_id for fill in all_fills(asked, main(one))]

    assert tids == [row["tid"] for row in one.control.made(one.accounts[0])]
    assert len(tids) > hyperliquid.PAGE_ROWS


def in_one_block(one, count):
    """So many fills of the first account in one millisecond; what the exchange calls them."""
    row = {"account": one.accounts[0], "coin": "BTC", "side": "B", "size": "0.001", "price": "50000"}
    return [fill["tid"] for fill in one.control.fills(*[row] * count, same_block=True)]


@pytest.mark.parametrize("count", [2000, 2001, 3999])
def test_a_page_of_one_millisecond_is_fetched_from_both_of_its_ends(venue, info, count):
    one = venue()
    tids = in_one_block(one, count)
    after = one.control.random_fills(1, account=one.accounts[0])["fills"][0]["tid"]
    pages = list(info(one).fills_since(main(one), 1))
    found = [fill.trade_id for page in pages for fill in page.fills]

    assert sorted(found[-count - 1 :]) == sorted([*tids, after])
    assert len(set(found)) == len(found)
    assert [page.hole for page in pages if page.hole] == []


def test_a_millisecond_that_fills_two_pages_is_an_alarm_and_what_follows_is_fetched(venue, info):
    one = venue()
    tids = in_one_block(one, 4100)
    after = one.control.random_fills(1, account=one.accounts[0])["fills"][0]["tid"]
    pages = list(info(one).fills_since(main(one), 1))
    found = [fill.trade_id for page in pages for fill in page.fills]
    [(since_ms, until_ms, reason)] = [page.hole for page in pages if page.hole]

    assert since_ms == until_ms
    assert "one millisecond" in reason
    assert found[-1] == after
    assert len(set(tids) - set(found)) == 100


# ------------------------------------------------------------------ answers that only a canned server gives


LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def answering(server, answer):
    """A server that answers each request with what `answer` makes of its JSON; its URL."""

    def serve(sock, _):
        buffer = b""
        while chunk := sock.recv(65536):
            buffer += chunk
            head, found, body = buffer.partition(b"\r\n\r\n")
            if not found or len(body) < (length := int(LENGTH.search(head)[1])):
                continue
            buffer = body[length:]
            raw = json.dumps(answer(json.loads(body[:length]))).encode()
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(raw), raw))

    return f"http://127.0.0.1:{server(serve).port}"


ONE = Account("main", "0x" + "ab" * 20)


def fill_row(number, **changes):
    """The fill of this number: two in each millisecond, each buying one coin on from the last."""
    row = {
        "coin": "BTC",
        "px": "50000.0",
        "sz": "1.0",
        "side": "B",
        "time": 1_790_000_000_000 + number // 2,
        "startPosition": f"{number}.0",
        "dir": "Open Long",
        "closedPnl": "0.0",
        "hash": "0x00",
        "oid": number,
        "crossed": True,
        "fee": "0.1",
        "tid": number,
        "feeToken": "USDC",
    }
    return row | changes


class Fills:
    """An exchange that lists these rows however many they are, 2000 an answer; what it was asked."""

    def __init__(self, rows):
        self.rows, self.asked = rows, []

    def __call__(self, request):
        self.asked.append(request)
        found = [row for row in self.rows if row["time"] >= request["startTime"]]
        return found[: hyperliquid.PAGE_ROWS]


@pytest.mark.parametrize("count", [9_999, 10_000, 11_978])
def test_a_count_of_rows_is_no_hole_however_many_there_are(server, info, count):
    listed = Fills([fill_row(number) for number in range(count)])
    pages = list(info(url=answering(server, listed)).fills_since(ONE, 1))

    assert [fill.trade_id for page in pages for fill in page.fills] == list(range(count))
    assert {page.hole for page in pages} == {None}
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert len(pages) == len(listed.asked) > count // hyperliquid.PAGE_ROWS


def test_each_page_says_when_it_was_asked_for(server, info):
    listed = Fills([fill_row(number) for number in range(4100)])
    asked_s = [time.monotonic()]
    for page in info(url=answering(server, listed)).fills_since(ONE, 1):
        assert asked_s[-1] <= page.asked_s <= time.monotonic()
        asked_s.append(page.asked_s)

    assert len(asked_s) == 4


def test_a_row_that_cannot_be_read_is_named_on_its_page_and_the_others_come(server, info):
    rows = [fill_row(number) for number in range(2500)]
    rows[7] |= {"px": 1.5}
    rows[2400] |= {"coin": "ETH", "side": "X"}
    pages = list(info(url=answering(server, Fills(rows))).fills_since(ONE, 1))

    first, second, last = (list(page.unread) for page in pages)
    assert [one.text for one in first] == [
        "a fill of BTC could not be read: px: an amount is text, not float: 1.5"
    ]
    assert [one.text for one in second] == ["a fill of ETH could not be read: side is neither B nor A: 'X'"]
    assert [one.time_ms for one in first + second] == [rows[7]["time"], rows[2400]["time"]]
    assert last == []
    tids = [fill.trade_id for page in pages for fill in page.fills]
    assert tids == [number for number in range(2500) if number not in (7, 2400)]


def test_pages_are_turned_though_no_row_of_one_can_be_read(server, info):
    rows = [fill_row(number, **({"px": None} if number < 2000 else {})) for number in range(2100)]
    pages = list(info(url=answering(server, Fills(rows))).fills_since(ONE, 1))

    assert len(pages[0].unread) == 2000
    assert [fill.trade_id for page in pages for fill in page.fills] == list(range(2000, 2100))


def test_a_row_without_a_time_stops_no_page(server, info):
    rows = [fill_row(number) for number in range(2100)]
    del rows[5]["time"]
    found = info(
        url=answering(server, lambda request: rows[:2000] if request["startTime"] == 1 else rows[1998:])
    )
    pages = list(found.fills_since(ONE, 1))

    assert [one.time_ms for page in pages for one in page.unread] == [None]
    assert sorted(fill.trade_id for page in pages for fill in page.fills) == [
        number for number in range(2100) if number != 5
    ]


@pytest.mark.parametrize("second", [{}, "rows", 5])
def test_a_millisecond_of_which_the_other_end_is_no_list_is_a_wire_error(server, info, second):
    full = [fill_row(number, time=1_790_000_000_000) for number in range(hyperliquid.PAGE_ROWS)]
    asked = info(url=answering(server, lambda request: second if request.get("reversed") else full))

    with pytest.raises(WireError, match="a list is wanted"):
        list(asked.fills_since(ONE, 1))


def test_a_payment_that_cannot_be_read_is_named_and_the_others_come(server, info):
    def paid(time_ms, **changes):
        delta = {"type": "funding", "coin": "ETH", "usdc": "-1.5", "szi": "2.0", "fundingRate": "0.0001"}
        return {"time": time_ms, "hash": "0x00", "delta": delta | changes}

    newest_first = [paid(3), paid(2, usdc=-1.5), paid(1)]
    found, unread = info(url=answering(server, lambda _: newest_first)).fundings_since(ONE, 1)

    assert [one.time_ms for one in found] == [1, 3]
    assert unread == ["a funding payment could not be read: usdc: an amount is text, not float: -1.5"]


def test_a_mode_of_null_is_not_known_and_no_fault_while_null_answers_nothing_else(server, info):
    asked = info(url=answering(server, lambda _: None))

    assert asked.mode(ONE).mode is None
    for ask in (
        asked.role,
        lambda one: asked.spot(one, asked_s=0.0, time_ms=1),
        lambda _: asked.spot_pairs(),
        lambda _: asked.token_prices(),
        lambda _: asked.dexes(),
        lambda one: asked.statement(one, scope="xyz", asked_s=0.0, now_ms=0),
    ):
        with pytest.raises(WireError, match="null is no answer"):
            ask(ONE)


def test_spot_the_names_of_the_dexes_and_the_state_of_each_dex_are_asked_for(server, info):
    answers = {
        "spotClearinghouseState": {"balances": [balance("HYPE", "12.50", "0.5", "125.0")]},
        "perpDexs": [None, {"name": "xyz"}, {"name": "flx"}],
        "clearinghouseState": state(position_row(coin="xyz:TSLA", szi="3")),
    }
    requests = []

    def answer(request):
        requests.append(request)
        return answers[request["type"]]

    asked = info(url=answering(server, answer))

    spot = asked.spot(ONE, asked_s=1.5, time_ms=7)
    assert (spot.account, spot.scope, spot.asked_s, spot.time_ms, spot.pushed) == (
        "main",
        "spot",
        1.5,
        7,
        False,
    )
    assert spot.positions == (
        StatedPosition(token_key("HYPE"), Decimal("12.5"), Decimal(10), hold=Decimal("0.5")),
    )
    assert requests == [{"type": "spotClearinghouseState", "user": ONE.address}]
    assert asked.dexes() == ["xyz", "flx"]
    said = asked.statement(ONE, scope="xyz", asked_s=1.5, now_ms=0, fills_from_ms=7)
    assert (said.scope, said.asked_s, said.fills_from_ms) == ("xyz", 1.5, 7)
    assert [(stated.key, stated.size) for stated in said.positions] == [("hyperliquid:Perp:xyz:TSLA", 3)]
    assert requests[2] == {"type": "clearinghouseState", "user": ONE.address, "dex": "xyz"}


def test_the_pairs_of_tokens_and_their_prices_are_asked_for(server, info):
    answers = {
        "spotMeta": spot_meta(),
        "spotMetaAndAssetCtxs": [spot_meta(), [spot_context("@107", "33.21")]],
    }
    asked = info(url=answering(server, lambda request: answers[request["type"]]))

    assert asked.spot_pairs() == {"@107": token_key("HYPE"), "PURR/USDC": token_key("PURR")}
    assert asked.token_prices() == {token_key("USDC"): Decimal(1), token_key("HYPE"): Decimal("33.21")}


def test_balances_and_prices_of_tokens_are_the_exchanges_own(venue, info):
    one = venue()
    one.control.spot(one.accounts[0], "HYPE", "12.5")
    one.control.spot(one.accounts[0], "USDC", "-20.1")
    asked = info(one)
    spot = asked.spot(main(one), asked_s=0.0, time_ms=1)

    assert {stated.key: stated.size for stated in spot.positions} == {
        token_key("USDC"): Decimal("-20.1"),
        token_key("HYPE"): Decimal("12.5"),
    }
    assert asked.spot_pairs() == {"@107": token_key("HYPE"), "PURR/USDC": token_key("PURR")}
    assert asked.token_prices() == {
        token_key("USDC"): Decimal(1),
        token_key("PURR"): Decimal("0.073122"),
        token_key("HYPE"): Decimal("33.21"),
    }


def test_what_is_asked_of_tokens_is_spent(venue, info):
    one = venue()
    asked = info(one)
    asked.spot(main(one), asked_s=0.0, time_ms=1)
    asked.spot_pairs()
    asked.token_prices()

    assert asked.budget.quota.weight.used(time.monotonic()) == 2 + 20 + 20


def test_the_first_dex_is_asked_for_without_a_name_and_what_another_answers_is_not_taken_for_it(server, info):
    requests = []

    def answer(request):
        requests.append(request)
        return state(position_row(coin="xyz:TSLA"))

    with pytest.raises(WireError, match="xyz:TSLA is not of the dex"):
        info(url=answering(server, answer)).statement(ONE, asked_s=0.0, now_ms=0)
    assert requests == [{"type": "clearinghouseState", "user": ONE.address}]


def test_each_dex_of_the_exchange_has_its_own_statement_and_its_fills_are_read(venue, info):
    one = venue()
    tid = one.control.fill(one.accounts[0], "xyz:TSLA", "B", "3", "400")["tid"]
    asked = info(one)
    other = asked.statement(main(one), scope="xyz", asked_s=0.0, now_ms=0)
    first = asked.statement(main(one), asked_s=0.0, now_ms=0)
    bought = all_fills(asked, main(one))[-1]

    assert {stated.key: stated.size for stated in other.positions} == {"hyperliquid:Perp:xyz:TSLA": 3}
    assert not any(":xyz:" in stated.key for stated in first.positions)
    assert (bought.trade_id, bought.key, bought.size) == (tid, "hyperliquid:Perp:xyz:TSLA", 3)


def test_a_statement_with_a_position_that_cannot_be_read_has_the_others(server, info):
    position = {
        "coin": "BTC",
        "szi": "1.0",
        "leverage": {"type": "cross", "value": 20},
        "positionValue": "50000.0",
        "unrealizedPnl": "0.0",
        "marginUsed": "2500.0",
        "liquidationPx": None,
    }
    body = {
        "marginSummary": {"accountValue": "5000.0", "totalMarginUsed": "2500.0"},
        "withdrawable": "1.0",
        "time": 5,
        "assetPositions": [{"position": position}, {"position": position | {"coin": "ETH", "szi": 1.0}}],
    }
    one = info(url=answering(server, lambda _: body)).statement(ONE, asked_s=0.0, now_ms=0)

    assert [stated.key for stated in one.positions] == ["hyperliquid:Perp:BTC"]
    assert one.unread.keys() == {"hyperliquid:Perp:ETH"}


# ------------------------------------------------------------------ the rest


def test_what_befell_an_account_is_asked_for(venue, info):
    one = venue()
    one.control.transfer(one.accounts[0], "100")
    [told] = [each for each in info(one).events_since(main(one), 1) if each.kind == "transfer"][-1:]

    assert "100" in told.text
    assert info(one).mode(main(one)).mode == "default"


def test_a_page_of_rows_without_a_time_is_a_wire_error(server, info):
    with pytest.raises(WireError):
        all_fills(info(url=answering(server, lambda _: [{"coin": "@1"}] * hyperliquid.PAGE_ROWS)), ONE)


@pytest.mark.parametrize("body", [None, {}, "text", 5])
def test_an_answer_of_another_shape_is_a_wire_error(server, info, body):
    asked = info(url=answering(server, lambda _: body))
    for ask in (
        lambda: all_fills(asked, ONE),
        lambda: asked.role(ONE),
        lambda: asked.statement(ONE, asked_s=0.0, now_ms=0),
        lambda: asked.fundings_since(ONE, 1),
        lambda: asked.events_since(ONE, 1),
        lambda: asked.spot(ONE, asked_s=0.0, time_ms=1),
        asked.spot_pairs,
        asked.token_prices,
        lambda: asked.statement(ONE, scope="xyz", asked_s=0.0, now_ms=0),
        asked.dexes,
        asked.now_ms,
    ):
        with pytest.raises(WireError):
            ask()


@pytest.mark.parametrize("row", [5, {"coin": 5}, {}])
def test_a_short_answer_of_odd_rows_names_them(server, info, row):
    [page] = info(url=answering(server, lambda _: [row])).fills_since(ONE, 1)

    assert (page.fills, page.others, page.last, page.hole) == ((), (), True, None)
    assert [one.time_ms for one in page.unread] == [None]


def test_what_an_answer_weighs_is_spent(venue, info):
    one = venue()
    asked = info(one)
    asked.statement(main(one), asked_s=0.0, now_ms=0)
    rows = len(all_fills(asked, main(one)))
    assert asked.budget.quota.weight.used(time.monotonic()) == 2 + 20 + rows // 20


def test_roles_are_told_apart(venue, info):
    one = venue()
    master = "0x" + "99" * 20
    one.control.agent("0x" + "98" * 20, master)
    asked = info(one)

    assert asked.role(main(one))[0] == "user"
    assert asked.role(Account("a", "0x" + "97" * 20)) == ("missing", None)
    assert asked.role(Account("a", "0x" + "98" * 20)) == ("agent", master)


SUB, VAULT = "0x" + "95" * 20, "0x" + "96" * 20


def test_sub_accounts_vault_stakes_and_staking_are_the_exchanges_own(venue, info):
    one = venue()
    sub = one.accounts[1]
    one.control.fill(sub, "xyz:TSLA", "B", "3", "400")
    one.control.sub_account(sub, one.accounts[0], "arb, the 2nd")
    one.control.spot(sub, "HYPE", "2.5")
    one.control.vault(VAULT, one.accounts[0], "HLP", children=[SUB])
    one.control.vault_stake(one.accounts[0], VAULT, "742.5", 1734824439201)
    one.control.staking(one.accounts[0], "1.5", "0.25", "2")
    asked = info(one)
    [found], unread = asked.sub_accounts(main(one), now_ms=1)
    [stake], _ = asked.vault_stakes(main(one))
    vault = asked.vault(VAULT)

    assert (found.name, found.address, found.unread, unread) == ("arb, the 2nd", sub, (), [])
    assert sorted(said.scope for said in found.statements) == ["", "spot", "xyz"]
    truth = one.control.state()["accounts"][sub]["positions"]
    sizes = {coin: Decimal(row["szi"]) for coin, row in truth.items() if Decimal(row["szi"])}
    held = {stated.key: stated.size for said in found.statements for stated in said.positions}
    assert sizes and held == {f"hyperliquid:Perp:{coin}": size for coin, size in sizes.items()} | {
        token_key("HYPE"): Decimal("2.5")
    }
    assert stake == VaultStake(VAULT, Decimal("742.5"), 1734824439201)
    assert vault == Vault("HLP", one.accounts[0], "parent", (SUB,))
    assert asked.staking(main(one)) == Staking(Decimal("1.5"), Decimal("0.25"), Decimal(2))
    assert asked.budget.quota.weight.used(time.monotonic()) == 20 + 20 + 20 + 20 + 20
    assert one.control.state()["weight_used"] == 20 + 20 + 20 + 20 + 20


def test_who_owns_nothing_is_told_so(venue, info):
    one = venue()
    asked = info(one)

    assert asked.sub_accounts(main(one), now_ms=1) == ([], [])
    assert asked.vault_stakes(main(one)) == ([], [])
    assert asked.vault(one.accounts[0]) is None
    assert asked.staking(main(one)) == Staking(Decimal(0), Decimal(0), Decimal(0))
    assert asked.budget.quota.weight.used(time.monotonic()) == 20 + 20 + 20 + 20


def test_the_names_of_sub_accounts_alone_cost_one_request(venue, info):
    one = venue()
    one.control.sub_account(SUB, one.accounts[0], "arb")
    asked = info(one)
    [found], _ = asked.sub_accounts(main(one), now_ms=1, whole=False)

    assert (found.name, found.address) == ("arb", SUB)
    assert asked.budget.quota.weight.used(time.monotonic()) == 20


def test_where_the_other_dexes_of_sub_accounts_are_refused_they_are_not_known_and_the_rest_is(venue, info):
    one = venue()
    one.control.sub_account(SUB, one.accounts[0], "arb")
    one.control.refuse_request("subAccounts2")
    [found], _ = info(one).sub_accounts(main(one), now_ms=1)

    assert sorted(said.scope for said in found.statements) == ["", "spot"]
    [reason] = found.unread
    assert reason.startswith("its other dexes are not known: ") and "422" in reason


def test_where_sub_accounts_themselves_are_refused_nothing_is_said_of_them(venue, info):
    one = venue()
    one.control.sub_account(SUB, one.accounts[0], "arb")
    one.control.refuse_request("subAccounts")

    with pytest.raises(RequestNotKnown):
        info(one).sub_accounts(main(one), now_ms=1)


@pytest.mark.parametrize("kind", ["429", "cut", "close"])
def test_an_exchange_that_could_not_be_asked_is_unavailable(venue, info, kind):
    one = venue()
    one.control.http_fault(kind, times=20)

    with pytest.raises(VenueUnavailable):
        info(one).statement(main(one), asked_s=0.0, now_ms=0)


def test_every_funding_payment_is_fetched_though_an_answer_has_five_hundred(venue, info, monkeypatch):
    monkeypatch.setattr(info_pages, "PAGE", 500)
    one = venue()
    before = len(info(one).fundings_since(main(one), 1)[0])
    count = sum(one.control.funding() for _ in range(150)) // len(one.accounts)
    paid, unread = info(one).fundings_since(main(one), 1)

    assert unread == []
    assert count > 600
    assert len({(each.time_ms, each.key) for each in paid}) == len(paid) == before + count
    assert [each.time_ms for each in paid] == sorted(each.time_ms for each in paid)


@pytest.mark.parametrize(
    ("name", "plain", "pool"),
    [
        ("default", True, None),
        ("disabled", True, None),
        ("unifiedAccount", False, MarginPool.TOKEN),
        ("portfolioMargin", False, MarginPool.ACCOUNT),
        ("dexAbstraction", False, None),
        (None, False, None),
    ],
)
def test_a_mode_says_what_backs_the_positions(info, name, plain, pool):
    mode = info(url="http://127.0.0.1:9").mode_of(ONE, name)

    assert (mode.mode, mode.plain, mode.pool) == (name, plain, pool)
    assert bool(mode.reason) is not plain
