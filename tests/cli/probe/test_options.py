"""The command line of `health` means the same with click and without."""

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hlposmon.cli.entry import health_arguments
from hlposmon.cli.health import command
from hlposmon.cli.probe.options import OPTIONS, checked, parse

FLAGS = [flag for option in OPTIONS for flag in option.flags]
VALUES = [
    "",
    "5",
    "2.0",
    "nan",
    "inf",
    "0.01",
    "-1",
    "x",
    "fills_age=5",
    "upnl=-5:",
    "no=5",
    "a.prom",
    "warning",
    "-q",
]
ODD = [
    "--",
    "-",
    "-qv",
    "-vvq",
    "-qw",
    "-wfills_age=5",
    "-w=5",
    "-t5",
    "-qt1",
    "--json=1",
    "--js",
    "-h",
    "-x",
    "--tim=1",
]
ARGUMENT = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(VALUES),
    st.sampled_from(ODD),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from(VALUES)),
    st.builds("{}{}".format, st.sampled_from(["-w", "-c", "-t", "-qt", "-vw"]), st.sampled_from(VALUES)),
)


def with_click(arguments: list[str]) -> dict[str, object] | None:
    """The values that click reads, or None for help and mistakes."""
    try:
        return shown(checked(command.make_context("health", list(arguments)).params))
    except (click.ClickException, click.exceptions.Exit, ValueError):
        return None


def shown(values: dict[str, object] | None) -> dict[str, object] | None:
    if values is None:
        return None
    ranges = {
        metric: {level: wanted.text for level, wanted in levels.items()}
        for metric, levels in values["thresholds"].items()
    }
    return {**values, "thresholds": ranges}


@settings(max_examples=2000, deadline=None)
@given(arguments=st.lists(ARGUMENT, max_size=6))
def test_what_is_understood_without_click_means_what_click_says(arguments: list[str]):
    mine = shown(parse(arguments))

    assert mine is None or mine == with_click(arguments)


@settings(max_examples=1000, deadline=None)
@given(arguments=st.lists(ARGUMENT, max_size=4))
def test_only_the_double_dash_needs_click_to_be_understood(arguments: list[str]):
    if "--" not in arguments:
        assert shown(parse(arguments)) == with_click(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-q"],
        ["--quiet", "--json"],
        ["-qvv", "-wfills_age=5", "-c", "upnl=-5:", "--critical=drift=0"],
        ["--socket=/x", "--timeout", "1", "--textfile", "/x/a.prom", "--ping-url-file", "f"],
        ["--ping-fail-on", "warning", "-t5"],
    ],
)
def test_the_usual_command_lines_need_no_click(arguments: list[str]):
    assert parse(arguments) is not None


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["health"], (None, [])),
        (["health", "-q", "health"], (None, ["-q", "health"])),
        (["--socket", "/x", "health", "-q"], ("/x", ["-q"])),
        (["--socket=/x", "--socket", "/y", "health"], ("/y", [])),
        (["--socket", "health"], None),
        (["status", "health"], None),
        (["-V", "health"], None),
        ([], None),
    ],
)
def test_the_command_is_found_behind_a_socket(arguments: list[str], found: object):
    assert found == health_arguments(arguments)
