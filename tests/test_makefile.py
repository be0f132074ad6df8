"""The Makefile: what `make test` sets up for which tests."""

import os
import subprocess

import pytest

from tests.docs.pages import ROOT

SETS_UP = {
    "boots a Debian": "systemd-nspawn:systemd-container",
    "unpacks programs": "promtool:prometheus",
    "fetches npm's libraries": "npm ci",
}


def set_up_by(*args: str) -> set[str]:
    """What of that make would do, as it says itself; everything that is a file counts as out of date."""
    make = ["make", "--always-make", "--dry-run", "--no-print-directory", *args]
    environ = {"PATH": os.environ["PATH"]}  # nothing of the make that runs the tests
    said = subprocess.run(
        make, cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return {what for what, word in SETS_UP.items() if word in said}


@pytest.mark.parametrize(
    ("chosen", "what"),
    [
        ("tests/domain -x", set()),
        ("tests/tracker/test_tracker.py", set()),
        ("-k reload", set()),
        ("tests/monitoring", {"unpacks programs"}),
        ("tests/docs", {"unpacks programs", "fetches npm's libraries"}),
        ("tests/booted", {"boots a Debian"}),
    ],
)
def test_a_chosen_test_is_set_up_with_what_it_needs_and_the_system_is_left_alone(chosen: str, what: set[str]):
    assert set_up_by("test", f"ARGS={chosen}") == what


def test_all_tests_are_set_up_with_everything():
    assert set_up_by("test") == set(SETS_UP)
