"""What Hyperliquid is asked: statements, every fill since a time, roles; by the simulated exchange."""

import json
import time
from decimal import Decimal

import pytest

from hlposmon.config import Account
from hlposmon.errors import VenueUnavailable, WireError
from hlposmon.simulator import info as info_pages
from hlposmon.venues import hyperliquid
from hlposmon.venues.hyperliquid import HyperliquidInfo
from hlposmon.venues.quota import Quota


@pytest.fixture
def info(venue, patience):
    made = []

    def start(one=None, url=None):
        budget = Quota(per_minute=100_000).share()
        made.append(HyperliquidInfo(url or one.url, budget=budget, patience=patience))
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


def test_the_horizon_of_ten_thousand_fills_is_said_when_it_is_reached(venue, info):
    one = venue()
    one.control.random_fills(10_500, account=one.accounts[0])
    pages = list(info(one).fills_since(main(one), 1))
    first = pages[0].fills[0].time_ms

    assert sum(len(page.fills) + len(page.others) for page in pages) == 10_000
    assert [page.hole for page in pages if page.hole] == [
        (1, first, "the exchange lists only the newest 10000 fills")
    ]


def test_what_befell_an_account_is_asked_for(venue, info):
    one = venue()
    one.control.transfer(one.accounts[0], "100")
    [told] = [each for each in info(one).ledger_since(main(one), 1) if each.kind == "transfer"][-1:]

    assert "100" in told.text
    assert info(one).mode(main(one)) == "default"


def test_a_page_of_rows_without_a_time_is_a_wire_error(server, info):
    with pytest.raises(WireError):
        all_fills(info(url=served(server, [{"coin": "@1"}] * hyperliquid.PAGE_ROWS)), Account("main", "0x1"))


@pytest.mark.parametrize("body", [None, {}, [5], "text", [{"coin": 5}]])
def test_an_answer_of_another_shape_is_a_wire_error(server, info, body):
    asked = info(url=served(server, body))
    for ask in (lambda: all_fills(asked, Account("main", "0x1")), lambda: asked.role(Account("main", "0x1"))):
        with pytest.raises(WireError):
            ask()


def served(server, body):
    raw = json.dumps(body).encode()

    def serve(sock, _):
        while sock.recv(65536):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(raw), raw))

    return f"http://127.0.0.1:{server(serve).port}"


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


@pytest.mark.parametrize("kind", ["429", "cut", "close"])
def test_an_exchange_that_could_not_be_asked_is_unavailable(venue, info, kind):
    one = venue()
    one.control.http_fault(kind, times=20)

    with pytest.raises(VenueUnavailable):
        info(one).statement(main(one), asked_s=0.0, now_ms=0)


def test_every_funding_payment_is_fetched_though_an_answer_has_five_hundred(venue, info, monkeypatch):
    monkeypatch.setattr(info_pages, "PAGE", 500)
    one = venue()
    before = len(info(one).fundings_since(main(one), 1))
    count = sum(one.control.funding() for _ in range(150)) // len(one.accounts)
    paid = info(one).fundings_since(main(one), 1)

    assert count > 600
    assert len({(each.time_ms, each.key) for each in paid}) == len(paid) == before + count
    assert [each.time_ms for each in paid] == sorted(each.time_ms for each in paid)
