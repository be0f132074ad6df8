"""Account modes and roles: asked before any equity is shown, in turns, and no one's answer is waited for."""

from collections import Counter
from dataclasses import replace

import pytest

from hlposmon.domain.reports import AccountMode, AccountRole, Notice, NoticeCode, Welcome
from hlposmon.workers import identity

MASTER = "0x" + "99" * 20


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Roles are asked for at once."""
    monkeypatch.setattr(identity, "ROLE_LATER_S", 0.0)


def modes(one, name="main"):
    return [told for told in one.tracker.of(AccountMode) if told.account == name]


def roles(one, name="main"):
    return [told.role for told in one.tracker.of(AccountRole) if told.account == name]


def in_force(one, code):
    return [notice.text for notice in one.tracker.of(Notice) if notice.code is code][-1:] not in ([], [""])


def test_the_mode_of_every_account_is_asked_for_at_once(stage):
    one = stage(accounts=5)
    one.fetching()

    one.tracker.until(lambda: all(modes(one, account.name) for account in one.accounts), seconds=3)
    assert modes(one)[0] == AccountMode("main", "default", plain=True)


def test_another_mode_is_not_plain_and_says_why_and_its_notice_ends_with_it(stage, monkeypatch):
    monkeypatch.setattr(identity, "MODE_S", 0.2)
    one = stage()
    one.control.mode(one.account.address, "unifiedAccount")
    one.fetching()
    one.tracker.until(lambda: in_force(one, NoticeCode.ACCOUNT_MODE))
    told = modes(one)[-1]
    assert (told.mode, told.plain) == ("unifiedAccount", False)
    assert "spot state" in told.reason

    one.control.mode(one.account.address, "default")
    one.tracker.until(lambda: modes(one)[-1].plain)
    one.tracker.until(lambda: not in_force(one, NoticeCode.ACCOUNT_MODE))


@pytest.mark.parametrize("kind", ["refused", "null"])
def test_a_mode_that_the_exchange_does_not_say_is_not_known_and_is_told_so(stage, kind):
    one = stage()
    if kind == "refused":
        one.control.refuse_request("userAbstraction")
    else:
        one.control.mode(one.account.address, None)
    one.fetching()
    told = one.tracker.until(lambda: modes(one))[0]

    assert (told.mode, told.plain) == (None, False)
    assert "does not say how its balances are kept" in told.reason


def test_of_many_accounts_each_has_its_turn_as_often_as_the_others(stage, monkeypatch):
    monkeypatch.setattr(identity, "MODE_S", 0.01)  # all are always due
    monkeypatch.setattr(identity, "BURST", 200.0)
    monkeypatch.setattr(identity, "PER_S", 4000.0)
    one = stage(accounts=20)
    one.fetching()

    def asked():
        return Counter(told.account for told in one.tracker.of(AccountMode))

    one.tracker.until(lambda: len(asked()) == 20 and min(asked().values()) >= 3, seconds=20)
    assert max(asked().values()) - min(asked().values()) <= 1


def test_what_is_asked_keeps_within_its_weight(stage, monkeypatch):
    monkeypatch.setattr(identity, "BURST", 40.0)
    monkeypatch.setattr(identity, "PER_S", 0.0)
    one = stage(accounts=5)
    one.fetching()
    one.tracker.until(lambda: len(one.tracker.statements()) == 5)
    one.tracker.until(lambda: len(one.tracker.of(AccountMode)) == 2)
    one.tracker.for_s(0.3)

    assert len(one.tracker.of(AccountMode)) == 2


def test_what_the_tracker_knows_is_not_asked_for_again(stage):
    one = stage(accounts=2)
    one.tracker.welcome = Welcome(
        dict(one.tracker.high_water_ms),
        modes={account.name: "unifiedAccount" for account in one.accounts},
        roles={account.name: ("user", None) for account in one.accounts},
    )
    one.fetching()
    one.tracker.until(lambda: len(one.tracker.statements()) == 2)
    one.tracker.for_s(0.3)

    assert not {"userAbstraction", "userRole"} & one.control.state()["requests"].keys()


def test_a_new_tracker_is_told_modes_and_roles_without_a_request(stage):
    one = stage()
    one.fetching()
    one.tracker.until(lambda: modes(one) and roles(one), seconds=8)
    asked = one.control.state()["requests"]
    before = asked["userAbstraction"], asked["userRole"]
    one.tracker.renew()
    one.tracker.until(lambda: modes(one) and roles(one))

    asked = one.control.state()["requests"]
    assert (asked["userAbstraction"], asked["userRole"]) == before


def test_the_role_of_an_address_that_is_missing_is_asked_again_and_its_notice_ends(stage, monkeypatch):
    monkeypatch.setattr(identity, "ROLE_S", 0.3)
    one = stage()
    stranger = "0x" + "77" * 20
    one.accounts = (type(one.account)("main", stranger),)
    one.fetching()
    one.tracker.until(lambda: in_force(one, NoticeCode.UNKNOWN_ADDRESS))
    one.control.agent(stranger, MASTER)

    one.tracker.until(lambda: not in_force(one, NoticeCode.UNKNOWN_ADDRESS))
    assert in_force(one, NoticeCode.AGENT_ADDRESS)


def test_a_role_that_the_exchange_does_not_tell_counts_as_asked(stage):
    one = stage()
    one.control.refuse_request("userRole")
    one.fetching()

    one.tracker.until(lambda: roles(one) == [""])
    assert one.tracker.notices() == []


def test_the_role_of_an_account_that_holds_something_can_wait(stage, monkeypatch):
    monkeypatch.setattr(identity, "ROLE_LATER_S", 60.0)
    one = stage()
    one.buy()
    one.fetching()
    one.tracker.until(lambda: modes(one))
    one.tracker.for_s(0.3)

    assert roles(one) == []


def test_of_an_account_behind_an_agent_it_is_said_whose_key_it_is_and_when_that_expires(stage):
    one = stage()
    agent = "0x" + "a9" * 20
    one.control.agent(agent, one.account.address)
    one.accounts = (replace(one.account, agent=agent),)
    one.buy()
    one.fetching()

    said = f"{agent} is an agent's (API wallet): its account {one.account.address} is watched"

    def texts():
        return [notice.text for notice in one.tracker.of(Notice) if notice.code is NoticeCode.BEHIND_AGENT]

    one.tracker.until(lambda: said in texts())
    one.tracker.until(
        lambda: any(text.startswith(f"{said}; the agent's key expires at 2") for text in texts())
    )
