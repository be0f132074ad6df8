"""What doctor says of an address: whose it is, what it holds, and what of that nobody watches."""

import json
import time

import pytest

from hlposmon.checks.words import label, moment
from hlposmon.tracker.agents import remember_sub_accounts
from tests.system.world import World

pytestmark = pytest.mark.system

AGENT, SUB, VAULT, CHILD = ("0x" + digits * 20 for digits in ("a1", "a2", "a3", "a4"))
DAY_MS = 86_400_000


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    one.open_exchange("--seed", "3", "--pace", "0")
    one.flatten()
    yield one
    one.close()


def looked(world, *addresses, options=(), status=0):
    """The findings about the first address, by what they are about."""
    given = [
        f"--address=a{number}={address}" for number, address in enumerate(addresses or world.accounts[:1])
    ]
    done = world.run("doctor", "--json", *given, *world.urls, *options)
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    found = {}
    for row in json.loads(done.stdout)["findings"]:
        if row["check"] == "address a0":
            found.setdefault(row["about"], []).append(row)
    return found


def one(found, about):
    [row] = found[about]
    return row["state"], row["text"]


def test_the_positions_and_money_of_each_dex_and_the_balances_of_tokens_are_said(world):
    control, main = world.control, world.accounts[0]
    control.fill(main, "BTC", "B", "0.5", "50000")
    control.fill(main, "xyz:TSLA", "A", "3", "400")
    control.spot(main, "HYPE", "2.5")
    control.spot(main, "USDC", "-10")
    found = looked(world)

    state, text = one(found, "positions")
    assert state == "ok"
    assert text.startswith("1 position on the first dex (account value ")
    assert ", 1 position on xyz (account value " in text
    facts = found["positions"][0]["facts"]
    assert {dex: row["positions"] for dex, row in facts.items()} == {"first dex": 1, "xyz": 1}
    assert all(isinstance(row["equity"], str) for row in facts.values())
    assert one(found, "spot balances") == ("ok", "spot balances: -10.0 USDC, 2.5 HYPE")


def test_a_sub_account_that_holds_something_and_is_not_watched_is_named(world):
    main, sub = world.accounts[:2]
    world.control.sub_account(sub, main, "arb, 2nd")
    world.control.sub_account(SUB, main, "idle")
    world.control.fill(sub, "xyz:TSLA", "B", "3", "400")
    world.control.spot(sub, "HYPE", "2.5")
    summary, named = looked(world)["sub-accounts"]

    assert summary["state"] == "warn"
    assert summary["text"] == "sub-accounts: 2, of which 2 not watched: 1 of these holds something"
    assert "[[venues.hyperliquid.accounts]]" in summary["remedy"]
    assert summary["facts"] == {"total": 2, "watched": 0, "holding": 1}
    assert named["state"] == "warn"
    assert named["text"].startswith(f"not watched: sub-account arb, 2nd {sub}: ")
    assert "1 position on xyz" in named["text"] and "2.5 HYPE on spot" in named["text"]
    assert (named["facts"]["name"], named["facts"]["address"]) == ("arb, 2nd", sub)


def test_sub_accounts_that_are_watched_or_hold_nothing_are_no_attention(world):
    main, sub = world.accounts[:2]
    world.control.sub_account(sub, main, "arb")
    world.control.sub_account(SUB, main, "idle")

    assert one(looked(world, main, sub), "sub-accounts") == (
        "ok",
        f"sub-accounts: 2, of which 1 not watched and holding nothing: idle {SUB}",
    )
    assert one(looked(world, main, sub, SUB), "sub-accounts") == ("ok", "sub-accounts: 2, all watched")


def test_a_sub_account_says_whose_it_is_and_whether_that_is_watched(world):
    main, sub = world.accounts[:2]
    world.control.sub_account(sub, main, "arb")
    alone, together = looked(world, sub), looked(world, sub, main)

    assert one(alone, "role") == ("ok", f"{sub} is a sub-account of {main}, which is not watched")
    assert one(together, "role") == ("ok", f"{sub} is a sub-account of {main}, which is watched as a1")
    assert "sub-accounts" not in alone


@pytest.mark.parametrize(
    ("days", "state", "said"),
    [
        (90, "ok", "the agent's key expires at "),
        (3, "warn", "the agent's key expires at "),
        (-3, "warn", "the agent's key expired at "),
    ],
)
def test_an_agents_key_is_an_attention_when_it_expires_soon(world, days, state, said):
    expires_ms = int(time.time() * 1000) + days * DAY_MS
    world.control.agent(AGENT, world.accounts[0], expires_ms=expires_ms)
    found = looked(world, AGENT)
    row = found["the agent's key"][0]

    assert (row["state"], row["text"].startswith(said)) == (state, True)
    assert row["facts"] == {"expires": moment(expires_ms)}
    assert bool(row["remedy"]) == (state == "warn")
    assert [row["text"] for row in found["role"]] == [
        f"{AGENT} is an agent (API wallet): its account {world.accounts[0]} is watched",
        f"{world.accounts[0]} is an account",
    ]


def test_the_expiry_of_a_key_that_is_in_no_list_is_not_known(world):
    world.control.agent(AGENT, world.accounts[0], listed=False)
    row = looked(world, AGENT)["the agent's key"][0]

    assert "is not known" in row["text"]
    assert row["facts"] == {"expires": None}


def test_stakes_in_vaults_and_in_validators_are_named_as_not_watched(world):
    main = world.accounts[0]
    world.control.vault(VAULT, main, "HLP")
    world.control.vault_stake(main, VAULT, "742.5", 4102444800000)
    world.control.vault_stake(main, CHILD, "10")
    world.control.staking(main, "100", withdrawing="0.5")
    found = looked(world)
    largest, other = found["vault stakes"]

    assert (largest["state"], largest["text"]) == (
        "warn",
        f"not watched: 742.5 USDC in the vault HLP {VAULT}, locked until 2100-01-01T00:00:00Z",
    )
    assert other["text"] == f"not watched: 10.0 USDC in the vault {CHILD}"
    assert largest["remedy"] and largest["facts"]["equity"] == "742.5"
    assert one(found, "staking") == (
        "warn",
        "not watched: staking: 100.0 HYPE delegated, 0.5 HYPE withdrawing",
    )


def test_a_parent_vault_names_its_children_that_are_not_watched(world):
    main = world.accounts[0]
    world.control.vault(SUB, main, "HLP A")
    world.control.vault(VAULT, main, "HLP", children=[CHILD, SUB])
    named, children = looked(world, VAULT, SUB)["vault"]

    assert (named["state"], named["text"]) == ("ok", f"vault: HLP, led by {main}")
    assert (children["state"], children["facts"]) == ("warn", {"not_watched": [CHILD]})
    assert children["text"].endswith(f"its positions are in its children, not watched: {CHILD}")


QUESTIONS = {
    "userRole": "role",
    "perpDexs": "other dexes",
    "userAbstraction": "account mode",
    "spotClearinghouseState": "spot balances",
    "subAccounts": "sub-accounts",
    "userVaultEquities": "vault stakes",
    "delegatorSummary": "staking",
}
EVERY = {"role", "following", "positions", "account mode", "spot balances", "sub-accounts", "vault stakes"}


@pytest.mark.parametrize("request_type", QUESTIONS)
def test_a_question_that_is_refused_is_not_known_and_the_others_are_answered(world, request_type):
    world.control.refuse_request(request_type)
    found, about = looked(world), QUESTIONS[request_type]
    [row] = found.pop(about)

    assert row["state"] == "unknown"
    assert row["text"].startswith(f"{about}: not known: this server does not know the request")
    assert (bool(row["remedy"]), row["facts"]) == (True, None)
    assert set(found) >= EVERY - {about}
    assert {rest["state"] for rows in found.values() for rest in rows} == {"ok"}


@pytest.mark.parametrize("kind", ["500", "cut", "html", "null", "drip"])
def test_a_question_that_fails_is_not_known_and_the_others_are_answered(world, kind):
    world.control.http_fault(kind, type="delegatorSummary", times=20, delay_s=30.0)
    world.control.http_fault(kind, type="userVaultEquities", times=20, delay_s=30.0)
    found = looked(world)
    states = {about: {row["state"] for row in rows} for about, rows in found.items()}

    assert states.pop("staking") == states.pop("vault stakes") == {"unknown"}
    assert set(states) >= EVERY - {"vault stakes"} and set(map(frozenset, states.values())) == {
        frozenset({"ok"})
    }


def test_a_dex_that_cannot_be_asked_for_is_not_known_and_never_empty(world):
    world.control.refuse_request("clearinghouseState")
    found = looked(world)

    assert [about for about, rows in found.items() if rows[0]["state"] == "unknown"] == [
        "positions on the first dex",
        "positions on xyz",
    ]
    assert "positions" not in found


def test_sub_accounts_whose_other_dexes_are_refused_are_not_known_to_be_empty(world):
    world.control.sub_account(SUB, world.accounts[0], "arb")
    world.control.refuse_request("subAccounts2")
    summary, named = looked(world)["sub-accounts"]

    assert (summary["state"], summary["text"]) == (
        "unknown",
        "sub-accounts: 1, of which 1 not watched: of 1 it is not known",
    )
    assert named["state"] == "unknown"
    assert named["text"].startswith(f"not watched: sub-account arb {SUB}: not known (its other dexes are not")


def test_a_position_that_cannot_be_read_is_named(world):
    world.control.fill(world.accounts[0], "BTC", "B", "0.5", "50000")
    world.control.garble("state", 50, world.accounts[0], "BTC", place="rest")
    rows = looked(world)["positions"]

    assert [row["state"] for row in rows] == ["warn", "ok"]
    assert rows[0]["text"].startswith("hyperliquid:Perp:BTC on the first dex could not be read: ")
    assert rows[1]["text"].startswith("1 position on the first dex")


def test_an_account_beyond_those_that_the_exchange_follows_is_named(world, tmp_path):
    config = tmp_path / "c.toml"
    tables = "".join(
        f'[[venues.hyperliquid.accounts]]\nname = "a{number}"\naddress = "{address}"\n'
        for number, address in ((1, world.accounts[1]), (0, world.accounts[0]))
    )
    config.write_text(f"[venues.hyperliquid]\nmax_users = 1\n{tables}")
    done = world.run("doctor", "--json", "--config", str(config), *world.urls)
    rows = {row["check"]: row for row in json.loads(done.stdout)["findings"] if row["about"] == "following"}

    assert (rows["address a1"]["state"], rows["address a1"]["facts"]) == ("ok", {"followed": "stream"})
    assert (rows["address a0"]["state"], rows["address a0"]["facts"]) == ("warn", {"followed": "poll"})


def test_where_sub_accounts_are_discovered_it_is_said_when_they_join_and_that_they_have(world, tmp_path):
    main, sub = world.accounts[:2]
    world.control.sub_account(sub, main, "arb")
    world.control.spot(sub, "HYPE", "2.5")
    config = tmp_path / "c.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\n[[venues.hyperliquid.accounts]]\nname = "main"\naddress = "{main}"\n'
        'discover = ["subaccounts"]\n'
    )

    def said():
        done = world.run("doctor", "--json", "--config", str(config), *world.urls)
        rows = json.loads(done.stdout)["findings"]
        return next(row for row in rows if row["about"] == "sub-accounts")

    before = said()
    assert (before["state"], "within an hour (discover)" in before["remedy"]) == ("warn", True)
    remember_sub_accounts(tmp_path, world.urls[1], main, ((sub, "arb"),))
    after = said()
    assert (after["state"], after["text"]) == ("ok", "sub-accounts: 1, all watched")


def test_for_people_what_is_not_known_has_its_reason_and_what_to_do(world):
    world.control.refuse_request("delegatorSummary")
    lines = world.run("doctor", f"--address=main={world.accounts[0]}", *world.urls).stdout.splitlines()
    said = "unknown address main: staking: not known: this server does not know the request"

    assert lines[lines.index(said) + 1] == "        -> ask another server: --api-url"
    assert lines[-1].endswith(", 1 not known")


def test_a_report_costs_the_exchange_no_more_than_it_says(world):
    world.control.weigh()
    before = world.control.state()["weight_used"]
    looked(world)
    # role 60; dexes, mode, sub-accounts, vault stakes, staking 20; two dexes, spot, the clock 2
    assert world.control.state()["weight_used"] - before == 60 + 5 * 20 + 4 * 2


def test_many_accounts_share_one_quota_and_what_is_beyond_it_is_not_known(world):
    others = [f"0x{number:040x}" for number in range(0xF01, 0xF0C)]
    for address in others:
        world.control.vault(address, world.accounts[0], "one of many")
    given = [f"--address=n{number}={address}" for number, address in enumerate(others)]
    done = world.run("doctor", "--json", *given, *world.urls)
    rows = json.loads(done.stdout)["findings"]
    unknown = [row["text"] for row in rows if row["state"] == "unknown"]

    assert [row["state"] for row in rows if row["check"] == "exchange limits"] == ["warn"]
    assert unknown and all("the request weight of this minute is used up" in text for text in unknown)
    assert world.control.state()["weight_used"] <= 1200


def test_a_text_from_outside_cannot_command_a_terminal():
    assert label("arb 1") == "arb 1"
    assert label("a\x1b[31mb") == r"'a\x1b[31mb'"
    assert label("") == "''"
    assert len(label("x" * 100)) == 60


def test_a_time_that_is_no_date_is_said_as_it_came():
    assert moment(0) == "1970-01-01T00:00:00Z"
    assert moment(10**18) == f"{10**18} ms, which is no date"
