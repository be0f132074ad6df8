"""The report says what was done, and what was not."""

import json
from pathlib import Path
from typing import Any

from tests.chaos import report
from tests.chaos.faults.table import FAULTS
from tests.chaos.run import Result, as_row


def row(seed: int, *faults: str, skipped: tuple[str, ...] = ()) -> dict[str, Any]:
    result = Result(seed, f"seed {seed}", ok=True, faults=[{"name": name} for name in faults])
    result.skipped = list(skipped)
    return as_row(result) | {"commit": "abc1234"}


ALL = [fault.name for fault in FAULTS]


def test_seeds_of_several_parts_are_named_by_their_ends():
    assert report.spans([7, 1, 2, 3, 9, 8, 12]) == "1 to 3 and 7 to 9 and 12"


def test_a_long_batch_has_to_do_each_fault_once():
    rows = [row(seed, *ALL[1:]) for seed in range(500)]

    assert report.never_done(rows) == ALL[:1]
    assert report.never_done(rows[1:]) == []  # too short to ask for it


def test_a_fault_that_the_machine_cannot_do_is_not_asked_for():
    without = [fault.name for fault in FAULTS if fault.needs != "clock"]

    assert report.never_done([row(seed, *without, skipped=("clock: no cc",)) for seed in range(500)]) == []


def test_the_report_names_what_was_run_and_its_commit(tmp_path: Path):
    page = tmp_path / "page.md"
    report.write_chaos(page, [row(1, "reload"), row(2)], command="`this`", missed=["close"])

    assert "`this`; commit abc1234, " in page.read_text()
    assert "Not done once, which so long a batch has to: close." in page.read_text()


def test_what_health_did_not_say_in_time_is_a_failure_that_is_counted_and_named(tmp_path: Path):
    page = tmp_path / "page.md"
    silent = row(3, "holding on spot") | {"ok": False, "unsaid": ["not within 23 s: HYPE is held"]}
    report.write_chaos(page, [row(1), silent], command="`this`")

    assert "| holdings that are not watched, and were not said in time | 1 |" in page.read_text()
    assert "* seed 3: not within 23 s: HYPE is held" in page.read_text()


def test_of_a_seed_that_was_run_twice_the_last_result_counts(tmp_path: Path):
    results = tmp_path / "results.jsonl"
    results.write_text("\n".join(json.dumps(each) for each in (row(1), row(2), row(1, "reload"))))

    assert [(each["seed"], len(each["faults"])) for each in report.read(results)] == [(1, 1), (2, 0)]
