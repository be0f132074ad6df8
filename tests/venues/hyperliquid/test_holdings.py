"""What an address holds beside its positions: sub-accounts, vault stakes, vaults, staking."""

from decimal import Decimal

import pytest

from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.port import Staking, Vault, VaultStake
from tests.venues.hyperliquid.payloads import (
    THEM,
    US,
    balance,
    key,
    position_row,
    spot_state,
    state,
    sub_row,
    token_key,
    without,
)

CHILD = "0x" + "01" * 20
XYZ = state(position_row(coin="xyz:TSLA"))


def subs(*rows):
    return payloads.sub_accounts(list(rows), asked_s=2.5, now_ms=1)


def scopes(sub):
    return [said.scope for said in sub.statements]


def test_a_sub_account_has_its_name_its_address_and_what_it_holds():
    [sub], unread = subs(sub_row(spotState=spot_state(balance("HYPE", "1.5"))))
    perp, spot = sub.statements

    assert (sub.name, sub.address, sub.unread, unread) == ("arb", THEM, (), [])
    assert [stated.key for stated in perp.positions] == [key("HYPE")]
    assert perp.equity == Decimal("76.206517")
    assert [(stated.key, stated.size) for stated in spot.positions] == [(token_key("HYPE"), Decimal("1.5"))]


def test_null_and_an_empty_list_are_no_sub_accounts():
    assert payloads.sub_accounts(None, asked_s=0.0, now_ms=0) == ([], [])
    assert payloads.sub_accounts([], asked_s=0.0, now_ms=0) == ([], [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ...}, "name: text is wanted"),
        ({"name": 5}, "name: text is wanted"),
        ({"subAccountUser": ...}, "subAccountUser: an address is wanted"),
        ({"subAccountUser": "0xab"}, "subAccountUser: an address is wanted"),
    ],
)
def test_a_sub_account_without_a_name_or_address_is_named_and_the_others_come(changes, said):
    found, unread = subs(sub_row(**changes), sub_row(name="sound"), 5)

    assert [sub.name for sub in found] == ["sound"]
    assert len(unread) == 2 and said in unread[0]


def test_a_state_that_cannot_be_read_is_named_and_not_taken_for_an_empty_one():
    [sub], unread = subs(sub_row(clearinghouseState={"time": 5}))

    assert (scopes(sub), unread) == (["spot"], [])
    assert [text.partition(":")[0] for text in sub.unread] == ["first dex"]
    [sub], _ = subs(sub_row(spotState=None))
    assert scopes(sub) == [""]
    assert [text.partition(":")[0] for text in sub.unread] == ["spot"]


def test_the_other_dexes_of_a_sub_account_come_from_the_second_answer():
    first, _ = subs(sub_row())
    more, _ = subs(sub_row(clearinghouseState=..., dexToClearinghouseState=[["", state()], ["xyz", XYZ]]))
    [sub] = payloads.joined(first, more)

    assert sorted(scopes(sub)) == ["", "spot", "xyz"]
    assert [said.positions[0].key for said in sub.statements if said.scope == ""] == [key("HYPE")]
    assert sub.unread == ()


@pytest.mark.parametrize("more", [[], [sub_row(clearinghouseState=..., dexToClearinghouseState=[])]])
def test_a_sub_account_whose_dexes_the_second_answer_leaves_out_says_so(more):
    first, _ = subs(sub_row())
    [sub] = payloads.joined(first, subs(*more)[0])

    assert (scopes(sub), sub.unread) == (["", "spot"], ("its other dexes are not stated",))


@pytest.mark.parametrize("pairs", [[["xyz"]], [5], 5, [[5, XYZ]], [["xyz", None]]])
def test_a_dex_of_a_sub_account_that_cannot_be_read_is_named(pairs):
    [sub], _ = subs(sub_row(clearinghouseState=..., dexToClearinghouseState=pairs))

    assert (scopes(sub), len(sub.unread)) == (["spot"], 1)


def test_a_sub_account_of_the_second_answer_alone_is_one_too():
    more, _ = subs(sub_row(clearinghouseState=..., dexToClearinghouseState=[["xyz", XYZ]]))

    assert payloads.joined([], more) == more


def test_a_stake_in_a_vault_has_its_equity_and_until_when_it_is_locked():
    rows = [
        {"vaultAddress": US.upper().replace("0X", "0x"), "equity": "742500.082809"},
        {"vaultAddress": THEM, "equity": "1.5", "lockedUntilTimestamp": 1734824439201},
        {"vaultAddress": CHILD, "equity": "0.0"},
    ]

    assert payloads.vault_stakes(rows) == (
        [VaultStake(US, Decimal("742500.082809")), VaultStake(THEM, Decimal("1.5"), 1734824439201)],
        [],
    )


@pytest.mark.parametrize(
    "row",
    [5, {"equity": "1"}, {"vaultAddress": US}, {"vaultAddress": US, "equity": 1.5},
     {"vaultAddress": US, "equity": "1", "lockedUntilTimestamp": "soon"}],
)  # fmt: skip
def test_a_stake_that_cannot_be_read_is_named_and_the_others_come(row):
    found, unread = payloads.vault_stakes([row, {"vaultAddress": THEM, "equity": "1"}])

    assert (found, len(unread)) == ([VaultStake(THEM, Decimal(1))], 1)


def details(relation, **changes):
    money = {"apr": 0.36, "leaderFraction": 0.0007, "maxDistributable": 94856870.164485}
    return without({"name": "HLP", "leader": THEM, "relationship": relation} | money | changes)


def test_a_parent_vault_names_its_children_and_its_numbers_are_not_read():
    relation = {"type": "parent", "data": {"childAddresses": [CHILD, "0xab"]}}
    found = payloads.vault(details(relation))

    assert (found.name, found.leader, found.relation, found.children) == ("HLP", THEM, "parent", (CHILD,))
    assert len(found.unread) == 1


@pytest.mark.parametrize("kind", ["normal", "child", "one that is new"])
def test_another_vault_has_no_children(kind):
    assert payloads.vault(details({"type": kind})) == Vault("HLP", THEM, kind)


def test_null_is_no_vault():
    assert payloads.vault(None) is None


@pytest.mark.parametrize(
    "body",
    [5, details(...), details({}), details({"type": "parent"}), details({"type": "normal"}, leader=...),
     details({"type": "normal"}, name=None)],
)  # fmt: skip
def test_a_vault_of_another_shape_is_refused(body):
    with pytest.raises(WireError):
        payloads.vault(body)


def test_what_is_staked_is_delegated_or_not_or_on_its_way_back():
    body = {"delegated": "12060.16529862", "undelegated": "0.5", "totalPendingWithdrawal": "2.0"}

    found = payloads.staking(body | {"nPendingWithdrawals": 1})
    assert found == Staking(Decimal("12060.16529862"), Decimal("0.5"), Decimal("2.0"))


@pytest.mark.parametrize("odd", [None, 1.5, ..., "much"])
@pytest.mark.parametrize("name", ["delegated", "undelegated", "totalPendingWithdrawal"])
def test_a_stake_with_an_unreadable_amount_is_refused(name, odd):
    body = {"delegated": "1", "undelegated": "0.5", "totalPendingWithdrawal": "2.0"}
    with pytest.raises(WireError, match=name):
        payloads.staking(without(body | {name: odd}))
