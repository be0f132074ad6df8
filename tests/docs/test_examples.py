"""The examples of the documents do what is said of them, typed as they stand, against a real monitor."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hlposmon.cli.table import COLUMNS
from tests.docs.conftest import EXAMPLES, Shown, shown, until
from tests.docs.pages import ROOT, all_blocks
from tests.docs.pictures import PICTURE, WIDTH, text_of
from tests.system.world import COMMAND, alive

MARKED = [block for block in all_blocks() if block.mark.startswith("run")]


def test_the_documents_have_examples_that_are_run():
    typed = [line for block in MARKED if block.language == "console" for line in block.commands()]

    assert len(typed) >= 6
    assert [block.language for block in MARKED].count("python") >= 4


@pytest.mark.parametrize(
    "block", [block for block in MARKED if block.language == "console"], ids=lambda block: block.place
)
def test_what_is_typed_in_a_document_works(monitor: Shown, block):
    for program in ("curl", "jq"):
        if program in block.text and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {program}")
    for line in block.commands():
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", monitor.said(line)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env=monitor.surroundings(),
        )
        assert done.returncode == 0, f"{block.place}: {line}: {done.stderr}{done.stdout}"
        assert done.stdout, f"{block.place}: {line} prints nothing"


@pytest.mark.parametrize(
    "block", [block for block in MARKED if block.language == "python"], ids=lambda block: block.place
)
def test_the_python_in_a_document_works(monitor: Shown, block):
    """One that goes on without end is ended once it has printed three lines."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", monitor.said(block.text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=monitor.surroundings(),
    )
    assert process.stdout is not None and process.stderr is not None
    with process:
        if block.mark == "run on":
            lines = [process.stdout.readline() for _ in range(3)]
            process.terminate()
            assert all(line.strip() for line in lines), process.stderr.read()
        else:
            out, err = process.communicate(timeout=120)
            assert (process.returncode, err) == (0, ""), block.place
            assert out.strip()


def test_a_reader_of_the_standard_library_alone_shows_what_status_shows(monitor: Shown):
    # -I and -S: neither the environment nor what is installed
    command = [sys.executable, "-I", "-S", EXAMPLES / "summary.py", monitor.socket]
    with monitor.still() as positions:
        said = subprocess.run(command, capture_output=True, text=True)
    rows = {line.split("\t")[0]: line.split("\t")[3] for line in said.stdout.splitlines() if "\t" in line}

    assert (said.returncode, said.stderr) == (0, "")
    assert rows == dict.fromkeys(positions, "proven")


def test_without_a_monitor_the_reader_says_so(tmp_path: Path):
    said = subprocess.run(
        [sys.executable, EXAMPLES / "summary.py", tmp_path / "none.sock"], capture_output=True, text=True
    )

    assert said.returncode == 3
    assert "No such file" in said.stderr


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_fills_are_followed_through_the_death_of_the_tracker(over: str):
    with shown(pace=8) as here:
        where = str(here.socket) if over == "unix" else here.url.replace("http", "ws")
        process = subprocess.Popen(
            [sys.executable, "-u", str(EXAMPLES / "follow_fills.py"), where],
            stdout=subprocess.PIPE,
            stderr=(here.folder / "errors").open("w"),
            text=True,
        )
        assert process.stdout is not None
        with process:
            try:
                assert all(re.search(r" (buy|sell) .* now ", process.stdout.readline()) for _ in range(3))
                [tracker] = here.pids("tracker")
                os.kill(tracker, signal.SIGKILL)
                until("the tracker is gone", lambda: not alive(tracker))
                until(
                    "it is connected again",
                    lambda: (here.folder / "errors").read_text().count("state at") >= 2,
                )
                assert process.stdout.readline().startswith("main ")
            finally:
                process.terminate()


def test_the_page_names_every_metric_and_no_others(monitor: Shown):
    """Those of a family may be written by what they end with: `_weight_limit`."""
    said = subprocess.run(
        ["curl", "-sf", "--unix-socket", monitor.socket, "http://localhost/metrics"],
        capture_output=True,
        text=True,
        check=True,
    )
    served = set(re.findall(r"^# TYPE (\w+)", said.stdout, re.MULTILINE))
    page = (ROOT / "docs" / "api.md").read_text()
    table = page.split("## Metrics\n", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"`(\w+)", table))
    endings = tuple(name for name in named if name.startswith("_"))

    assert len(served) > 10
    assert sorted(name for name in named if name.startswith("hlposmon_") and name not in served) == []
    assert sorted(name for name in served - named if not name.endswith(endings)) == []


def test_the_picture_of_status_shows_the_columns_that_status_has():
    """python -m tests.docs.pictures draws it anew."""
    words = (ROOT / "docs" / "pictures" / "status.svg").read_text().replace("&#160;", " ")

    assert [column.title for column in COLUMNS if column.title not in words] == []
    assert [
        title for title in ("equity", "margin", "withdrawable", "mode", "TOTAL") if title not in words
    ] == []
    assert "SIMULATED" in words
    assert "proven" in words


def test_the_picture_of_status_is_like_what_a_run_prints(monitor: Shown):
    """python -m tests.docs.pictures draws it anew."""

    def parts(lines):
        """The titles of the table, and what stands before the figures in the lines at the top and bottom."""
        ends = [line for line in lines if line.startswith(("hlposmon ", "TOTAL "))]
        titles = [line.split() for line in lines if line.startswith("POSITION")]
        return [re.findall(r"[A-Za-z]+(?= [-+]?[\d.,]+)", line) for line in ends], titles

    environ = {**monitor.surroundings(), "COLUMNS": str(WIDTH)}
    done = subprocess.run([*COMMAND, "status"], capture_output=True, text=True, env=environ, check=True)

    assert parts(text_of(PICTURE.read_text())) == parts(done.stdout.splitlines())


def test_the_schema_is_json():
    assert json.loads((ROOT / "docs" / "schema" / "messages.json").read_text())["definitions"]["Position"]
