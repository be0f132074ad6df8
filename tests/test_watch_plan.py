"""How many accounts are watched by stream, how many by poll, and what that costs of the request weight."""

import pytest

from hlposmon.config import watch_plan
from hlposmon.config.watch_plan import BUDGET, HEADROOM, LONGEST_ROUND_S, plan_for
from hlposmon.transport.quota import WEIGHT_PER_MINUTE
from hlposmon.venues.hyperliquid.client import HyperliquidClient


def of(accounts, *, max_users=10, interval_s=60.0):
    return plan_for(accounts, max_users=max_users, interval_s=interval_s)


def test_the_first_accounts_are_followed_by_stream_and_the_others_polled():
    assert (of(3).streamed, of(3).polled, of(3).round_s) == (3, 0, None)
    assert (of(15).streamed, of(15).polled) == (10, 5)


def test_200_accounts_stay_within_1000_weight_a_minute():
    plan = of(200)

    assert (plan.streamed, plan.polled) == (10, 190)
    assert plan.weight <= 1000
    assert plan.fits
    # 26 for each of 190 rounds, and 344 weight a minute left for them.
    assert plan.round_s == 862


@pytest.mark.parametrize("accounts", [11, 20, 50, 200, 500])
def test_up_to_500_accounts_fit_within_the_budget(accounts):
    plan = of(accounts)

    assert plan.fits
    assert plan.weight <= BUDGET < WEIGHT_PER_MINUTE - HEADROOM
    assert plan.round_s >= 60


def test_a_round_grows_with_the_number_of_polled_accounts():
    rounds = [of(accounts).round_s for accounts in (50, 100, 200, 400)]

    assert rounds == sorted(set(rounds))


def test_a_round_is_not_shorter_than_the_interval_of_statements():
    assert of(11, interval_s=90.0).round_s == 90


@pytest.mark.parametrize("accounts", [1, 10, 11, 200])
def test_as_many_more_fit_as_the_plan_says_and_no_more(accounts):
    more = of(accounts).more

    assert of(accounts + more).fits
    assert of(accounts + more).round_s > 0.95 * LONGEST_ROUND_S
    assert not of(accounts + more + 5).fits
    assert of(accounts + more + 5).more == 0


def test_where_the_streams_need_all_the_weight_the_others_do_not_fit():
    plan = of(20, interval_s=1.0)

    assert not plan.fits
    assert plan.more == 0
    assert plan.round_s > LONGEST_ROUND_S


def test_a_plan_is_said_in_one_line():
    assert str(of(200)) == "10 by stream, 190 by poll, 862 s a round; 850 weight a minute, 466 more would fit"
    assert str(of(1)) == "1 by stream, none by poll; 195 weight a minute, 665 more would fit"


def test_the_weights_are_those_that_the_client_spends():
    costs = HyperliquidClient.costs

    assert watch_plan.STATEMENT == watch_plan.SPOT == costs.statement
    assert watch_plan.FILLS == costs.mode + 1  # a page of fills costs as a mode, and its rows
