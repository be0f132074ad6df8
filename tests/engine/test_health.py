"""Health is a rule over what is shown: frozen data never looks healthy."""

import itertools
from collections import Counter
from decimal import Decimal

import pytest

from hlposmon.domain.position import Position
from hlposmon.domain.rendering import is_listed
from hlposmon.domain.reports import SEVERE, Notice, NoticeCode
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView, View
from hlposmon.engine.freshness import FreshnessLimits
from hlposmon.engine.health import Ages, Health, Reason, ReasonCode, assess

LIMITS = FreshnessLimits(fills=(5, 15), prices=(5, 15), reconcile=(120, 300))
FRESH = Ages(1.0, 1.0, 20.0)


def _view(verdict: Verdict = Verdict.PROVEN, size: str = "1", reason: str | None = None) -> View:
    position = Position(size=Decimal(size), cost=Decimal(size) * 100, fills=1)
    return View("main", "hyperliquid:Perp:BTC", position, Decimal(100), verdict, reason, None, None, None, 1)


def _account(
    verdict: Verdict = Verdict.PROVEN, *notices: Notice, unsettled: str | None = None
) -> AccountView:
    return AccountView("main", verdict, None, None, None, None, notices, unsettled=unsettled)


def _assess(
    *, view: View | None = None, account: AccountView | None = None, ages: Ages = FRESH, **more
) -> Health:
    given = {"uptime_s": 100.0, "stopping": False, "journal_failure": None} | more
    listed = [one for one in [view or _view()] if is_listed(one)]
    doubtful = [one for one in listed if one.verdict is not Verdict.PROVEN]
    verdicts = Counter(one.verdict for one in listed)
    return assess(doubtful, verdicts, [account or _account()], ages, LIMITS, **given)


def test_all_proven_and_fresh_is_healthy_and_ready():
    health = _assess()
    assert (health.status, health.reasons, health.ready) == ("healthy", (), True)
    assert health.verdicts == {"proven": 1}


@pytest.mark.parametrize("verdict", [Verdict.UNPROVEN, Verdict.STALE])
def test_a_position_that_is_not_proven_degrades(verdict: Verdict):
    health = _assess(view=_view(verdict, reason="because"))
    assert (health.status, health.ready) == ("degraded", False)
    assert health.reasons == (Reason(ReasonCode.UNPROVEN, f"main BTC-USD is {verdict}: because", "main"),)


def test_drift_is_unhealthy_even_for_a_flat_coin():
    health = _assess(view=_view(Verdict.DRIFT, size="0", reason="both figures"))
    assert health.status == "unhealthy"
    assert health.reasons[0] == Reason(ReasonCode.DRIFT, "drift: main BTC-USD: both figures", "main")


def test_a_flat_coin_that_is_only_stale_is_not_listed():
    assert _assess(view=_view(Verdict.STALE, size="0")).status == "healthy"


@pytest.mark.parametrize(("name", "warn_s"), [("fills", 5.0), ("prices", 5.0), ("reconcile", 120.0)])
def test_one_late_feed_degrades_and_is_named(name: str, warn_s: float):
    fresh = {"fills": 1.0, "prices": 1.0, "reconcile": 20.0}
    assert _assess(ages=Ages(**(fresh | {name: warn_s}))).status == "healthy"
    late = _assess(ages=Ages(**(fresh | {name: warn_s + 1})))
    assert (late.status, late.ready) == ("degraded", False)
    assert {"fills": "fills", "prices": "prices", "reconcile": "statements"}[name] in late.texts[0]
    assert {name: late.texts[0]} == late.late


def test_only_when_nothing_at_all_is_fresh_it_is_unhealthy():
    for ages in itertools.product((1.0, 16.0, None), (1.0, 16.0, None), (20.0, 301.0, None)):
        fills, prices, reconcile = ages
        nothing = all(age is None or age > 15 for age in (fills, prices)) and (
            reconcile is None or reconcile > 300
        )
        assert (_assess(ages=Ages(*ages)).status == "unhealthy") is nothing, ages


def test_in_the_first_seconds_silence_only_degrades():
    nothing = Ages(None, None, None)
    assert _assess(ages=nothing, uptime_s=10.0).status == "degraded"
    assert _assess(ages=nothing, uptime_s=16.0).status == "unhealthy"


def test_an_audit_that_cannot_be_written_is_unhealthy():
    health = _assess(journal_failure="/log: No space left on device")
    assert health.status == "unhealthy"
    assert "No space left" in health.texts[0]


@pytest.mark.parametrize("code", sorted(SEVERE))
def test_what_is_not_watched_as_meant_degrades_and_is_not_ready(code: NoticeCode):
    health = _assess(account=_account(Verdict.PROVEN, Notice("main", code, "this and that")))
    assert (health.status, health.ready) == ("degraded", False)
    assert health.reasons == (Reason(code, "account main: this and that", "main"),)


@pytest.mark.parametrize("code", sorted(set(NoticeCode) - SEVERE))
def test_other_notices_are_shown_and_degrade_nothing(code: NoticeCode):
    health = _assess(account=_account(Verdict.PROVEN, Notice("main", code, "this and that")))
    assert (health.status, health.ready) == ("healthy", True)


def test_what_is_not_known_yet_of_an_account_keeps_it_from_being_ready_and_degrades_only_later():
    health = _assess(account=_account(unsettled="not looked yet"), uptime_s=59.0)
    assert (health.status, health.ready) == ("healthy", False)
    assert _assess(account=_account(unsettled="not looked yet"), uptime_s=61.0).status == "degraded"
    assert health.reasons == (Reason(ReasonCode.UNSETTLED, "account main: not looked yet", "main"),)


def test_a_position_that_the_snapshot_cannot_show_as_it_is_degrades():
    health = _assess(snapshot_complaints=[("main", "main BTC-USD: size has more digits than fit")])
    text = "in the snapshot main BTC-USD: size has more digits than fit"
    assert (health.status, health.reasons) == ("degraded", (Reason(ReasonCode.SNAPSHOT, text, "main"),))


def test_a_socket_that_cannot_be_reached_and_a_reload_that_failed_degrade_and_leave_it_ready():
    health = _assess(socket_failure="/run/s is in use", reload_failure="bad key")
    assert (health.status, health.ready) == ("degraded", True)
    assert health.reasons == (
        Reason(ReasonCode.SOCKET, "the socket cannot be reached: /run/s is in use"),
        Reason(ReasonCode.RELOAD, "not reloaded, the configuration before is in force: bad key"),
    )


def test_restarts_and_flapping_degrade():
    assert _assess(workers_down=["fill"]).reasons == (Reason(ReasonCode.NOT_UP, "fill is not up"),)
    assert _assess(flapping=["price"]).status == "degraded"


def test_stopping_is_said_above_all():
    assert _assess(stopping=True, journal_failure="x").status == "stopping"
    assert not _assess(stopping=True).ready


def test_a_drift_that_is_over_is_named_for_a_while():
    health = _assess(drifts=[("main", "a drift 12 s ago: main BTC-USD")])
    text = "a drift 12 s ago: main BTC-USD"
    assert (health.status, health.reasons) == ("degraded", (Reason(ReasonCode.PAST_DRIFT, text, "main"),))
    assert health.ready


def test_pushes_that_stop_are_said_and_make_nothing_stale():
    health = _assess(ages=Ages(1.0, 1.0, 20.0, pushes=100.0, rest=20.0))
    assert health.status == "degraded"
    assert health.texts == ["no state was pushed for 100 s: statements come by REST only"]


def test_pushes_do_not_hide_that_rest_is_gone():
    health = _assess(ages=Ages(1.0, 1.0, 0.5, pushes=0.5, rest=400.0))
    assert health.texts == ["no statement by REST for 400 s: pushed states only"]


def test_where_nothing_is_pushed_nothing_is_missed():
    assert _assess(ages=Ages(1.0, 1.0, 20.0, pushes=None, rest=20.0)).status == "healthy"


def test_pushes_do_not_hide_that_rest_never_answered():
    never = Ages(1.0, 1.0, 0.5, pushes=0.5, rest=None)
    assert _assess(ages=never).texts == ["no statement by REST yet: pushed states only"]
    assert _assess(ages=never, uptime_s=30.0).status == "healthy"
