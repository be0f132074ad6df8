"""What thresholds add to the monitor's own judgement, and the one thing that they take away."""

from typing import Any

import pytest

from hlposmon.cli.probe.thresholds import read_thresholds
from hlposmon.cli.probe.verdict import CRITICAL, OK, UNKNOWN, WARNING, Verdict, judge, needs_summary
from tests.cli.canned_monitor import HEALTH

LATE = {
    **HEALTH,
    "status": "degraded",
    "ages_s": {"fills": 12.0, "prices": 0.4, "reconcile": 21.0},
    "reasons": ["fills are 12 s old"],
    "late": {"fills": "fills are 12 s old"},
}


def judged(
    health: dict[str, Any], *, w: str = "", c: str = "", summary: dict[str, Any] | None = None
) -> Verdict:
    return judge(health, summary, read_thresholds(w.split(), c.split()))


@pytest.mark.parametrize(
    ("w", "c", "code", "reasons"),
    [
        ("", "", OK, []),
        ("fills_age=1", "fills_age=2", OK, []),
        ("fills_age=0.5", "fills_age=1", WARNING, ["fills_age 0.8s breaks warning 0.5"]),
        ("fills_age=0.5", "fills_age=0.7", CRITICAL, ["fills_age 0.8s breaks critical 0.7"]),
        ("positions=3:", "", WARNING, ["positions 2 breaks warning 3:"]),
        ("", "upnl=20:", CRITICAL, ["upnl 12.34 breaks critical 20:"]),
        ("", "upnl=12.34:", OK, []),
        (
            "positions=3:",
            "upnl=20:",
            CRITICAL,
            ["upnl 12.34 breaks critical 20:", "positions 2 breaks warning 3:"],
        ),
    ],
)
def test_a_broken_range_is_named_the_worst_first(w: str, c: str, code: int, reasons: list[str]):
    verdict = judged(HEALTH, w=w, c=c)

    assert (code, reasons) == (verdict.code, verdict.reasons)


def test_a_threshold_on_what_is_not_known_is_unknown():
    verdict = judged({**HEALTH, "ages_s": {"fills": None}}, w="fills_age=5")

    assert (UNKNOWN, ["fills_age is not known"]) == (verdict.code, verdict.reasons)
    assert UNKNOWN == judged(HEALTH, c="exposure=5").code
    assert UNKNOWN == judged({**HEALTH, "restarts": "many"}, c="restarts=5").code
    assert UNKNOWN == judged({**HEALTH, "verdicts": {}, "stated": False}, c="drift=0").code


def test_what_is_known_to_be_bad_outweighs_what_is_not_known():
    unknown = {**HEALTH, "ages_s": {"fills": None}}

    assert CRITICAL == judged(unknown, w="fills_age=5", c="upnl=20:").code
    assert UNKNOWN == judged({**unknown, "status": "degraded", "reasons": ["a"]}, w="fills_age=5").code
    assert CRITICAL == judged({**unknown, "status": "unhealthy"}, w="fills_age=5").code


def test_a_looser_warning_stands_in_place_of_the_monitors_own():
    assert WARNING == judged(LATE).code
    verdict = judged(LATE, w="fills_age=14")

    assert (OK, []) == (verdict.code, verdict.reasons)


def test_a_critical_alone_leaves_the_monitors_warning():
    verdict = judged(LATE, c="fills_age=14")

    assert (WARNING, ["fills are 12 s old"]) == (verdict.code, verdict.reasons)


def test_from_the_age_on_where_the_monitor_calls_it_stale_nothing_is_loosened():
    stale = {**LATE, "ages_s": {**LATE["ages_s"], "fills": 15.1}}

    assert WARNING == judged(stale, w="fills_age=3600").code


def test_other_reasons_stay_when_one_is_loosened():
    verdict = judged({**LATE, "reasons": ["fills are 12 s old", "tracker is not up"]}, w="fills_age=14")

    assert (WARNING, ["tracker is not up"]) == (verdict.code, verdict.reasons)


@pytest.mark.parametrize("status", ["unhealthy", "stopping", "odd"])
def test_what_is_worse_than_late_is_never_loosened(status: str):
    assert OK < judged({**LATE, "status": status}, w="fills_age=14").code


@pytest.mark.parametrize("metric", ["drift", "unproven", "stale"])
def test_no_threshold_talks_away_a_verdict(metric: str):
    doubted = {**HEALTH, "status": "degraded", "reasons": ["BTC is in doubt"], "verdicts": {metric: 1}}

    assert WARNING == judged(doubted, w=f"{metric}=5", c=f"{metric}=5").code


def test_a_monitor_that_does_not_say_what_is_late_is_not_loosened():
    assert WARNING == judged({**LATE, "late": {}}, w="fills_age=14").code
    assert WARNING == judged({**LATE, "reasons": [], "late": {}}, w="fills_age=14").code


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("exposure", "7650.00"),
        ("equity", "10000.00"),
        ("margin_used", "3.83"),
        ("margin_ratio", "12.34"),
        ("liquidation_distance", "4.12"),
        ("weight_used", "8.67"),
    ],
)
def test_metrics_of_the_summary_are_exact(metric: str, value: str):
    summary = {
        "total_exposure": "7650.00",
        "accounts": {
            "main": {"equity": "9000.00", "margin_used": "382.6", "margin_ratio": "0.1234"},
            "b": {"equity": "1000.00", "margin_used": "0", "margin_ratio": "0"},
        },
        "positions": {
            "main/BTC-USD": {"type": "Perp", "liquidation_distance": "0.0412"},
            "b/ETH-USD": {"type": "Perp", "liquidation_distance": "0.3"},
        },
        "quota": {"weight_used": 104, "weight_limit": 1200},
    }

    assert needs_summary(read_thresholds([f"{metric}=1"], []))
    assert value == f"{judged(HEALTH, w=f'{metric}=1', summary=summary).values[metric]:f}"


def test_one_account_without_equity_makes_the_sum_unknown():
    summary = {"accounts": {"main": {"equity": "1", "margin_used": "1"}, "b": {"equity": None}}}

    assert [UNKNOWN] * 2 == [
        judged(HEALTH, w=f"{metric}=1", summary=summary).code for metric in ("equity", "margin_used")
    ]


def test_one_account_without_a_margin_ratio_makes_the_highest_unknown():
    summary = {"accounts": {"main": {"margin_ratio": "0.1"}, "b": {"margin_ratio": None}}}

    assert judged(HEALTH, w="margin_ratio=50", summary=summary).code == UNKNOWN
    assert judged(HEALTH, w="margin_ratio=50", summary={"accounts": {}}).code == UNKNOWN


def perpetual(distance: str | None, **changes: Any) -> dict[str, Any]:
    known = {"margin_used": "5.00", "liquidation_price": None if distance is None else "90"}
    return {"type": "Perp", "is_flat": False, "liquidation_distance": distance} | known | changes


@pytest.mark.parametrize(
    ("positions", "value"),
    [
        ([perpetual("0.5"), perpetual("-0.01234")], "-1.23"),  # beyond it
        ([], "100.00"),
        ([perpetual(None)], "100.00"),  # no price liquidates it
        ([perpetual("25.1")], "100.00"),  # a short that is far from it
        ([perpetual(None, type="BaseToken", margin_used=None), perpetual("0.2")], "20.00"),
        ([perpetual(None, is_flat=True, margin_used=None)], "100.00"),
        ([perpetual(None, margin_used=None), perpetual("0.2")], None),  # of another size than was stated
        ([perpetual(None, liquidation_price="90")], None),  # without a mark
    ],
)
def test_the_distance_to_liquidation_is_the_shortest_in_percent(positions: list[Any], value: str | None):
    summary = {"stated": True, "positions": dict(enumerate(positions))}
    verdict = judged(HEALTH, c="liquidation_distance=10:", summary=summary)
    found = verdict.values["liquidation_distance"]

    assert (None if found is None else f"{found:f}") == value
    assert verdict.code == (UNKNOWN if value is None else CRITICAL if value.startswith("-") else OK)


def test_before_the_first_statement_no_distance_to_liquidation_is_known():
    summary = {"stated": False, "positions": {}}

    assert judged(HEALTH, c="liquidation_distance=10:", summary=summary).code == UNKNOWN


NOTICE = "5 HYPE are held on spot and not watched"


def detail(text: str, account: str | None, code: str = "notice") -> dict[str, Any]:
    return {"code": code, "account": account, "text": text}


def noticed(*details: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A monitor that these make degraded."""
    reasons = [one["text"] for one in details]
    return {
        **HEALTH,
        "status": "degraded",
        "ready": False,
        "reasons": reasons,
        "details": list(details),
        **changes,
    }


def test_a_notice_that_makes_it_degraded_is_said_with_its_account():
    health = noticed(detail(NOTICE, "main"), detail(NOTICE, "spo"), detail("price is not up", None, "worker"))
    verdict = judged(health)

    assert verdict.code == WARNING
    assert verdict.reasons == [f"account main: {NOTICE}", f"account spo: {NOTICE}", "price is not up"]


def test_an_account_that_a_reason_names_is_not_named_twice():
    said = f"account main: {NOTICE}"

    assert judged(noticed(detail(said, "main"))).reasons == [said]


def test_a_threshold_takes_away_a_late_feed_and_no_notice():
    late = detail("fills are 12 s old", None, "late")
    health = noticed(late, detail(NOTICE, "main"), late={"fills": late["text"]}, ages_s=LATE["ages_s"])
    verdict = judged(health, w="fills_age=30")

    assert (verdict.code, verdict.reasons) == (WARNING, [f"account main: {NOTICE}"])


@pytest.mark.parametrize("details", [None, [], [detail("another reason", "main")]])
def test_reasons_without_details_of_theirs_stand_as_they_are(details: list[dict[str, Any]] | None):
    health = {**HEALTH, "status": "degraded", "reasons": [NOTICE], "details": details}

    assert judged(health).reasons == [NOTICE]
