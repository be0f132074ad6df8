"""The verdict of every combination of evidence and freshness, by a rule of its own."""

from itertools import product

import pytest

from hlposmon.domain.verdict import Age, Evidence, Freshness, judge

AGES = {"fresh": Age(1.0, 5.0), "old": Age(6.0, 5.0), "never": Age(None, 5.0)}


def expected(stated, confirmed, feed, gap, doubt, drift, is_open, fills, prices, said, unlisted):
    """The rule, written once more: what is worst and surest comes first."""
    if drift:
        return "drift", drift
    if not stated:
        return "unproven", "no statement from the venue yet" + (f"; {feed}" if feed else "")
    asked = [("fills", fills), ("prices", prices), ("statements", said)]
    silent = [(name, age) for name, age in asked if age != "fresh" and (name != "prices" or is_open)]
    if silent:
        name, age = silent[0]
        return "stale", f"no {name} yet" if age == "never" else f"no {name} for more than 5 s"
    unproven = [reason for reason in (gap, doubt, feed) if reason]
    if unproven:
        return "unproven", unproven[0]
    return ("proven", None) if confirmed and not unlisted else ("unproven", None)


def test_every_combination_of_evidence_and_freshness():
    yes_no = (True, False)
    count = 0
    for case in product(
        yes_no,
        yes_no,
        (None, "down"),
        (None, "gap"),
        (None, "doubt"),
        (None, "drift"),
        yes_no,
        AGES,
        AGES,
        AGES,
        yes_no,
    ):
        stated, confirmed, feed, gap, doubt, drift, is_open, fills, prices, said, unlisted = case
        evidence = Evidence(stated, confirmed, feed, gap, doubt, drift, is_open, unlisted=unlisted)
        verdict, reason = judge(evidence, Freshness(AGES[fills], AGES[prices], AGES[said]))
        wanted, why = expected(*case)

        assert verdict.value == wanted, case
        assert (reason is None) is (wanted == "proven"), case
        if why is not None:
            assert reason == why, case
        count += 1
    assert count == 2**8 * 27


@pytest.mark.parametrize(("seconds", "over"), [(None, True), (5.0, False), (5.001, True), (0.0, False)])
def test_an_age_is_over_beyond_its_limit(seconds, over):
    assert Age(seconds, 5.0).over is over


def test_fills_that_are_taken_too_late_prove_nothing():
    fresh = Freshness(AGES["fresh"], AGES["fresh"], AGES["fresh"], behind="this machine is too busy")

    assert judge(Evidence(stated=True, confirmed=True), fresh) == ("unproven", "this machine is too busy")
