"""Ranges as the monitoring plugins' guidelines define them, exact to the last digit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.cli.probe.thresholds import Range, read_thresholds

EXACT = st.decimals(min_value=-1000, max_value=1000, places=3)


@pytest.mark.parametrize(
    ("text", "well", "broken"),
    [
        ("10", ["0", "10", "9.999"], ["-0.001", "10.001"]),
        ("10:", ["10", "11"], ["9.999", "-1"]),
        ("~:10", ["-1000", "10"], ["10.001"]),
        ("10:20", ["10", "15", "20"], ["9.999", "20.001"]),
        ("@10:20", ["9.999", "20.001"], ["10", "15", "20"]),
        (":10", ["0", "10"], ["-1", "11"]),
        ("-5:-1.5", ["-5", "-1.5"], ["-5.1", "-1.4", "0"]),
        ("~:", ["-1000", "0", "1000"], []),
        ("@~:0", ["0.1"], ["0", "-3"]),
        ("0", ["0"], ["0.1", "-0.1", "1"]),
        ("+.5:+1.", ["0.5", "1"], ["0.4", "1.1"]),
    ],
)
def test_a_range_says_what_is_well(text: str, well: list[str], broken: list[str]):
    wanted = Range(text)

    assert [value for value in well if wanted.is_broken_by(Decimal(value))] == []
    assert [value for value in broken if not wanted.is_broken_by(Decimal(value))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        "@:",
        "~",
        "10:20:30",
        "20:10",
        "-1",
        "1e5",
        "nan",
        "inf:",
        "5s",
        " 5",
        "5 ",
        "10:~",
        "1,5",
        "٣",
    ],
)
def test_what_is_no_range_is_refused(text: str):
    with pytest.raises(ValueError, match=r"is no range|begins above its end"):
        Range(text)


def test_a_range_without_a_sense_says_how_to_write_what_was_meant():
    with pytest.raises(ValueError, match=r"~:-500 has no lower end"):
        Range("-500")


@given(low=EXACT, more=st.decimals(min_value=0, max_value=1000, places=3), value=EXACT)
def test_inside_is_the_contrary_of_outside(low: Decimal, more: Decimal, value: Decimal):
    text = f"{low:f}:{low + more:f}"

    assert Range(text).is_broken_by(value) is not Range(f"@{text}").is_broken_by(value)
    assert Range(text).is_broken_by(value) is not (low <= value <= low + more)


def test_thresholds_are_read_by_metric_and_level_and_the_last_counts():
    found = read_thresholds(["fills_age=10", "fills_age=20", "upnl=-5:"], ["fills_age=60"])

    assert {"fills_age": {"warning": "20", "critical": "60"}, "upnl": {"warning": "-5:"}} == {
        metric: {level: wanted.text for level, wanted in levels.items()} for metric, levels in found.items()
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fills_age", "is not METRIC=RANGE, such as fills_age=30"),
        ("fils_age=3", "there is no metric 'fils_age'; there are fills_age, price_age, "),
        ("upnl=/home/me:", "is no range; ranges are 10, 10:, ~:10, 10:20 or @10:20; quote a range with ~"),
        ("fills_age=", "fills_age: '' is no range"),
        ("fills_age=3=4", "fills_age: '3=4' is no range"),
    ],
)
def test_a_mistake_is_named_with_what_there_is(text: str, message: str):
    with pytest.raises(ValueError, match=r"--critical") as caught:
        read_thresholds([], [text])

    assert message in str(caught.value)
