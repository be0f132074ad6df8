"""The search for sub-accounts: for the accounts that want it, again each hour, and a failure is said."""

from dataclasses import replace

import pytest

from hlposmon.config.settings import SUB_ACCOUNTS
from hlposmon.domain.reports import Notice, NoticeCode, SubAccounts
from hlposmon.workers import sub_accounts

SUB, LATER = "0x" + "95" * 20, "0x" + "96" * 20


@pytest.fixture
def searching(stage):
    """A stage whose first account has its sub-accounts discovered."""
    one = stage(accounts=2)
    one.accounts = (replace(one.account, discover=(SUB_ACCOUNTS,)), *one.accounts[1:])
    return one


def asked(one):
    return one.control.state()["requests"].get("subAccounts", 0)


def notices(one):
    return [told.text for told in one.tracker.of(Notice) if told.code is NoticeCode.SUB_ACCOUNTS]


def test_the_sub_accounts_of_an_account_that_wants_them_are_told_with_their_names(searching):
    searching.control.sub_account(SUB, searching.account.address, "arb, 2nd")
    searching.fetching()

    [told] = searching.tracker.until(lambda: searching.tracker.of(SubAccounts))
    assert told == SubAccounts("main", ((SUB, "arb, 2nd"),))
    assert searching.tracker.until(lambda: notices(searching))[-1] == (
        f"sub-accounts that are not watched yet: {SUB}"
    )
    assert asked(searching) == 1


def test_accounts_that_do_not_want_it_are_not_asked_about(stage):
    one = stage(accounts=2)
    one.control.sub_account(SUB, one.account.address, "arb")
    one.fetching()
    one.tracker.until(lambda: len(one.tracker.statements()) == 2)
    one.tracker.for_s(0.5)

    assert asked(one) == 0


def test_a_sub_account_that_comes_later_is_found_at_the_next_search(searching, monkeypatch):
    monkeypatch.setattr(sub_accounts, "SEARCH_S", 0.3)
    monkeypatch.setattr(sub_accounts, "APART_S", 0.0)
    other = searching.accounts[1].address
    searching.control.sub_account(other, searching.account.address, "watched")
    searching.fetching()
    searching.tracker.until(lambda: searching.tracker.of(SubAccounts))
    assert notices(searching)[-1:] == [""]

    searching.control.sub_account(LATER, searching.account.address, "later")
    found = ((other, "watched"), (LATER, "later"))
    searching.tracker.until(lambda: searching.tracker.of(SubAccounts)[-1].found == found)
    searching.tracker.until(lambda: LATER in notices(searching)[-1])


def test_a_server_that_does_not_list_them_is_named_until_it_does(searching, monkeypatch):
    monkeypatch.setattr(sub_accounts, "AGAIN_S", 0.3)
    monkeypatch.setattr(sub_accounts, "APART_S", 0.0)
    searching.control.refuse_request("subAccounts")
    searching.fetching()
    searching.tracker.until(lambda: "".join(notices(searching)).startswith("its sub-accounts are not known"))
    assert searching.tracker.of(SubAccounts) == []

    searching.control.refuse_request("subAccounts", release=True)
    searching.tracker.until(lambda: searching.tracker.of(SubAccounts))
    searching.tracker.until(lambda: notices(searching)[-1] == "")


def test_a_request_that_fails_is_made_again_and_says_nothing_of_sub_accounts(searching, monkeypatch):
    monkeypatch.setattr(sub_accounts, "AGAIN_S", 0.3)
    monkeypatch.setattr(sub_accounts, "APART_S", 0.0)
    searching.control.sub_account(SUB, searching.account.address, "arb")
    searching.control.http_fault("close", type="subAccounts", times=3)
    searching.fetching()

    [told] = searching.tracker.until(lambda: searching.tracker.of(SubAccounts))[:1]
    assert told.found == ((SUB, "arb"),)
