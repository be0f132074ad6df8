"""Sub-accounts that are found: what is kept of them, what they are called, and when they join the watch."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.config import Account
from hlposmon.config.settings import SUB_ACCOUNTS
from hlposmon.config.sub_accounts import (
    SUB_ACCOUNTS_FILE,
    known_sub_accounts,
    sub_account_name,
    with_sub_accounts,
)
from hlposmon.domain.reports import SubAccounts
from hlposmon.engine.effects import FoundSubAccounts
from hlposmon.tracker.agents import Agents, remember_sub_accounts
from tests.engine.language import Bench

MASTER, ARB, MM = ("0x" + digit * 40 for digit in "abc")
URL = "https://api.example"
DISCOVERS = Account("main", MASTER, discover=(SUB_ACCOUNTS,))


def test_what_is_remembered_is_known_and_added_to_and_keeps_its_first_name(tmp_path):
    assert known_sub_accounts(tmp_path, URL) == {}
    remember_sub_accounts(tmp_path, URL, MASTER, ((ARB, "arb"),))
    remember_sub_accounts(tmp_path, URL, MASTER, ((ARB, "renamed"), (MM, "mm")))
    remember_sub_accounts(tmp_path, "https://api.test", MASTER, ((ARB, "other"),))

    assert known_sub_accounts(tmp_path, URL) == {MASTER: {ARB: "arb", MM: "mm"}}
    assert (tmp_path / SUB_ACCOUNTS_FILE).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '{"u": 5}', '{"u": {"0xab": {}}}', f'{{"u": {{"{MASTER}": null}}}}',
     f'{{"u": {{"{MASTER}": {{"0xab": "arb"}}}}}}', "\x00"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_counts_as_empty_and_is_written_anew(tmp_path, text):
    (tmp_path / SUB_ACCOUNTS_FILE).write_text(text)
    assert known_sub_accounts(tmp_path, URL) == {}
    remember_sub_accounts(tmp_path, URL, MASTER, ((ARB, "arb"),))
    assert known_sub_accounts(tmp_path, URL) == {MASTER: {ARB: "arb"}}


def test_known_sub_accounts_are_watched_behind_all_that_are_configured():
    known = {MASTER: {ARB: "arb", MM: "mm"}}
    other = Account("other", "0x" + "d" * 40)

    assert with_sub_accounts([DISCOVERS, other], known) == (
        DISCOVERS,
        other,
        Account("main/arb", ARB),
        Account("main/mm", MM),
    )


def test_without_discover_no_sub_account_is_watched():
    configured = (replace(DISCOVERS, discover=()),)
    assert with_sub_accounts(configured, {MASTER: {ARB: "arb"}}) == configured


def test_a_sub_account_that_is_configured_keeps_its_name_and_is_watched_once():
    configured = (DISCOVERS, Account("mine", ARB))
    assert with_sub_accounts(configured, {MASTER: {ARB: "arb"}}) == configured


@pytest.mark.parametrize(
    ("master", "given_name", "taken", "name"),
    [
        ("main", "arb", [], "main/arb"),
        ("main", "arb, the 2nd", [], "main/arb-the-2nd"),
        ("main", "../..", [], "main/sub"),
        ("main", "\x1b[31m/ü", [], "main/31m"),
        ("main", "", [], "main/sub"),
        ("main", "arb", ["main/arb"], "main/arb-bbbb"),
        ("main", "arb", ["main/arb", "main/arb-bbbb"], "main/arb-bbbbb"),
        ("main", "market making on many", [], "main/market-making-on-many"),
        ("main", "market making on many markets", [], "main/market-making-on-many-bbbb"),
        ("m" * 32, "arb", [], "m" * 23 + "/arb-bbbb"),
    ],
)
def test_the_name_of_a_sub_account_is_its_masters_and_its_own(master, given_name, taken, name):
    assert sub_account_name(master, given_name, ARB, taken) == name


@given(
    st.text("aZ0._-", min_size=1, max_size=32),
    st.lists(st.text(max_size=40), max_size=5),
)
def test_names_are_unique_of_at_most_32_bytes_and_safe_whatever_the_owner_calls_them(master, names):
    known = {MASTER: {f"0x{number:040x}": name for number, name in enumerate(names, 1)}}
    found = with_sub_accounts([replace(DISCOVERS, name=master)], known)
    shown = [account.name for account in found]

    assert len(set(shown)) == len(names) + 1
    for name in shown[1:]:
        assert len(name.encode()) <= 32 and name.count("/") == 1 and name.isprintable()
        assert name.isascii() and " " not in name and not name.endswith((".", "/"))


def test_found_sub_accounts_are_remembered_and_a_reload_asked_for_once(tmp_path):
    asked = []
    agents = Agents(tmp_path, URL, lambda: asked.append("reload"))
    for _ in range(2):
        agents.found_sub_accounts(FoundSubAccounts("main", MASTER, ((ARB, "arb"),)))
    assert (asked, known_sub_accounts(tmp_path, URL)) == (["reload"], {MASTER: {ARB: "arb"}})

    agents.found_sub_accounts(FoundSubAccounts("main", MASTER, ((ARB, "arb"), (MM, "mm"))))
    assert asked == ["reload", "reload"]
    assert known_sub_accounts(tmp_path, URL) == {MASTER: {ARB: "arb", MM: "mm"}}


def test_where_they_cannot_be_remembered_no_reload_is_asked_for_and_the_log_says_so(tmp_path, caplog):
    asked = []
    agents = Agents(tmp_path / "gone", URL, lambda: asked.append("reload"))
    agents.found_sub_accounts(FoundSubAccounts("main", MASTER, ((ARB, "arb"),)))
    assert asked == []
    assert "an account's sub-accounts are not watched" in caplog.text


@pytest.mark.parametrize("is_watched", [False, True])
def test_only_sub_accounts_that_are_not_watched_yet_are_found(is_watched):
    bench = Bench()
    address = bench.engine.watched.addresses["main"]
    subs = ((address if is_watched else ARB, "arb"),)
    effects = bench.engine.receive(SubAccounts("main", subs), bench.now)
    told = [one for one in effects if isinstance(one, FoundSubAccounts)]

    assert told == ([] if is_watched else [FoundSubAccounts("main", address, subs)])
