"""Transfers and the cash ledger: what the engine journals, publishes and asks for."""

from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    AccountMode,
    BellReason,
    Heard,
    Movement,
)
from hlposmon.engine.effects import Announce, JournalEvent, Ring
from tests.engine.language import Bench


def transfer(one, amount="250", kind="deposit", **more):
    moves = (Movement("", "USDC", Decimal(amount)),) if amount else ()
    return AccountEvent(
        "main", one.now.ms, AccountEventKind.TRANSFER, f"{kind} of {amount}", (), kind, moves, "0x1", **more
    )


def journalled(one, kind, effects=None):
    return [effect.facts for effect in one.of(JournalEvent, effects) if effect.kind == kind]


def rung(one, reason, effects=None):
    return [effect.bell for effect in one.of(Ring, effects) if effect.bell.reason is reason]


def watched():
    """An account with 1000 USD and a known mode, whose opening is found."""
    one = Bench()
    one.join("reconcile")
    one.says(AccountMode("main", "default", plain=True))
    one.proven(BTC="1")
    for _ in range(2):
        one.passes(1)
        one.says(stated(one, "1000"))
    return one


def stated(one, equity):
    return replace(one.statement(BTC="1"), equity=Decimal(equity))


def test_the_ledger_of_a_dex_is_journalled_when_its_opening_is_found():
    one = watched()
    [point] = journalled(one, "ledger")

    assert (point["account"], point["scope"], point["quote"]) == ("main", "", "USDC")
    # Its statements have no mark, so that the whole cost of the position counts as lost.
    assert (point["opening"], point["equity"], point["unrealized_pnl"]) == ("1100", "1000", "-100")
    assert (point["transfers"], point["unexplained"]) == ("0", "0")


def test_a_transfer_is_journalled_and_published_once_and_spot_is_looked_at():
    one = watched()
    one.passes(1)
    effects = one.says(transfer(one))
    [line] = journalled(one, "transfer", effects)
    [announced] = one.of(Announce, effects)

    assert (line["transfer_type"], line["time_ms"], line["account"]) == ("deposit", one.now.ms, "main")
    assert line["moves"] == [{"scope": "", "token": "USDC", "amount": "250"}]
    assert (announced.kind, announced.account) == ("transfer", "main")
    assert line == {"account": "main", **announced.facts}
    assert rung(one, BellReason.SPOT, effects)
    assert not [effect for effect in one.says(transfer(one)) if isinstance(effect, JournalEvent | Announce)]


def test_a_row_of_an_unknown_type_is_journalled_whole_and_everything_is_looked_at():
    one = watched()
    one.passes(1)
    odd = replace(transfer(one, "", "somethingNew"), kind=AccountEventKind.OTHER, row='{"time":7}')
    effects = one.says(odd)

    [line] = journalled(one, "transfer", effects)
    assert (line["transfer_type"], line["moves"], line["row"]) == ("somethingNew", [], '{"time":7}')
    assert rung(one, BellReason.NOT_WATCHED, effects)


def test_money_that_is_explained_by_a_transfer_asks_for_nothing():
    one = watched()
    one.passes(12)
    one.says(transfer(one))
    effects = one.says(stated(one, "1250"))

    assert not rung(one, BellReason.CASH, effects)
    assert one.engine.book.account("main").unexplained == 0


def test_money_that_nothing_explains_has_transfers_and_fills_fetched_and_is_then_shown():
    one = watched()
    as_of_ms = one.now.ms
    one.passes(12)
    effects = one.says(stated(one, "1250"))
    [bell] = rung(one, BellReason.CASH, effects)
    assert as_of_ms - 2_000 <= bell.since_ms <= as_of_ms
    one.passes(2)
    one.says(Heard("fill", one.s))
    assert not rung(one, BellReason.CASH, one.says(stated(one, "1250")))
    assert one.engine.book.account("main").unexplained == 0
    one.passes(6)
    effects = one.says(stated(one, "1250"))

    assert one.engine.book.account("main").unexplained == 250
    assert [point["unexplained"] for point in journalled(one, "ledger", effects)] == ["250"]


def test_a_mode_that_changes_is_journalled_and_published():
    one = watched()
    assert not one.of(Announce, one.says(AccountMode("main", "default", plain=True)))
    effects = one.says(AccountMode("main", "unifiedAccount", plain=False, reason="kept in spot"))

    assert journalled(one, "mode", effects) == [
        {"account": "main", "mode": "unifiedAccount", "before": "default"}
    ]
    [announced] = one.of(Announce, effects)
    assert (announced.kind, announced.facts["mode"]) == ("mode", "unifiedAccount")
