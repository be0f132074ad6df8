"""What a log line looks like: for people, for the journal, for machines; and how repetition is kept out."""

import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hlposmon.supervision import logs
from hlposmon.supervision.logs import Repeats, fields, pair

log = logging.getLogger("hlposmon.some.where")


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


def said_as(fmt: logs.Format, level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level, name="fill", stream=stream, fmt=fmt)
    return stream


def failing() -> None:
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        log.exception("failed", extra=fields(attempt=3))


def test_a_line_is_time_level_process_message_and_facts():
    stream = said_as("text")
    log.info("connected", extra=fields(url="wss://example.org/ws", attempt=2))

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO fill connected url=wss://example\.org/ws attempt=2\n",
        stream.getvalue(),
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "k=plain"),
        ("größe", "k=größe"),
        (3, "k=3"),
        ("two words", 'k="two words"'),
        ('say "hi"', r'k="say \"hi\""'),
        ("a=b", 'k="a=b"'),
        ("line\nINFO forged", r'k="line\nINFO forged"'),
        ("\x1b[31m", r'k="\u001b[31m"'),
        ("back\\slash", r'k="back\\slash"'),
        ("", 'k=""'),
        (None, 'k=""'),
    ],
)
def test_a_value_is_quoted_when_it_has_to_be(value: object, text: str):
    assert pair("k", value) == text


def test_a_message_cannot_forge_a_second_line():
    stream = said_as("text")
    log.info("one\n2026-01-01T00:00:00.000Z INFO two")

    assert stream.getvalue().count("\n") == 1


def test_the_lines_of_a_traceback_are_indented():
    stream = said_as("text")
    failing()
    first, *rest = stream.getvalue().splitlines()

    assert first.endswith("ERROR fill failed attempt=3")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)


def test_what_is_below_the_level_is_not_said():
    stream = said_as("text", level="warning")
    log.info("no")
    log.warning("yes")

    assert stream.getvalue().endswith("WARNING fill yes\n")
    assert stream.getvalue().count("\n") == 1


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="LOUD"):
        logs.configure("loud", name="fill")


def test_json_is_one_object_a_line_with_the_facts_under_their_own_keys():
    stream = said_as("json")
    log.info("connected", extra=fields(url="wss://x", path=Path("/p"), message="no forgery"))
    failing()
    connected, failed = (json.loads(line) for line in stream.getvalue().splitlines())

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", connected.pop("time"))
    assert connected == {
        "level": "INFO", "process": "fill", "message": "connected", "url": "wss://x", "path": "/p"
    }  # fmt: skip
    assert failed["attempt"] == 3
    assert "ValueError: bad\nvalue" in failed["exception"]


def test_under_the_journal_every_line_has_a_priority_and_no_time(tmp_path: Path, monkeypatch):
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        logs.configure("DEBUG", name="fill", stream=journal)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL):
            log.log(level, "said")
        failing()
        journal.seek(0)
        said = journal.read().splitlines()

    assert said[:4] == [
        "<7>DEBUG fill said",
        "<6>INFO fill said",
        "<4>WARNING fill said",
        "<2>CRITICAL fill said",
    ]
    assert said[4] == "<3>ERROR fill failed attempt=3"
    assert len(said) > 5 and all(line.startswith("<3>  ") for line in said[5:])


def test_json_has_its_priority_under_the_journal_too(tmp_path: Path, monkeypatch):
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        logs.configure("INFO", name="fill", stream=journal, fmt="json")
        failing()
        journal.seek(0)
        [line] = journal.read().splitlines()

    assert line[:3] == "<3>"
    assert json.loads(line[3:])["level"] == "ERROR"


def test_a_child_whose_stderr_is_the_journals_says_priorities_of_itself(tmp_path: Path):
    """A socket is what systemd gives; the child inherits it and writes to it through a thread."""
    ours, its = socket.socketpair()
    status = os.fstat(its.fileno())
    program = (
        "import logging\nfrom hlposmon.supervision import logs\nlogs.configure('INFO', name='child')\n"
        "logging.getLogger().error('said')\ntry:\n  1/0\nexcept ZeroDivisionError:\n"
        "  logging.getLogger().exception('failed')\nlogging.shutdown()\n"
    )
    here = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    subprocess.run([sys.executable, "-c", program], stderr=its, env=here, check=True, timeout=120)
    its.close()
    ours.settimeout(30)
    raw = b""
    while piece := ours.recv(1 << 16):
        raw += piece
    ours.close()
    said = raw.decode().splitlines()

    assert said[:2] == ["<3>ERROR child said", "<3>ERROR child failed"]
    assert len(said) > 3 and all(line.startswith("<3>") for line in said)


HOSTILE = "x\r\n<0>EMERG forged\x1b[2J\x9b1m\u2028\u202e\x00\x85"


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_nothing_from_outside_ends_a_line_or_steers_a_terminal(fmt: logs.Format):
    stream = said_as(fmt)
    log.warning(HOSTILE, extra=fields(text=HOSTILE, key=[HOSTILE]))
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("failed")
    lines = stream.getvalue().removesuffix("\n").split("\n")

    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("<0>") for line in lines)
    assert all("Z " in line[:26] or line.startswith(("  ", "{")) for line in lines)


@pytest.mark.parametrize("fmt", ["text", "json"])
@pytest.mark.parametrize("char", ["a", "ü", "\U000e0001", '"', "\x1b"])
def test_no_line_outgrows_the_journals(fmt: logs.Format, char: str):
    stream = said_as(fmt)
    log.error(char * 100_000, extra=fields(**{f"k{n}": char * 100_000 for n in range(50)}))
    try:
        raise ValueError("\n".join([char * 100_000] * 200))
    except ValueError:
        log.exception("failed")
    lines = stream.getvalue().split("\n")

    assert max(len(line.encode()) for line in lines) < 48 << 10  # journald.conf(5): LineMax
    assert len(lines) < 80
    assert sum(len(line) for line in lines) < 2 << 20


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_what_an_address_may_hold_of_a_credential_is_cut_out(fmt: logs.Format):
    stream = said_as(fmt)
    url = "wss://me:CANARY@node.example.org/ws?key=CANARY&b=CANARY#f"
    log.info("to %s", url, extra=fields(url=url, why=ValueError(f"no answer from {url}: refused")))
    try:
        raise OSError(f"cannot reach {url}")
    except OSError:
        log.exception("failed")

    assert "CANARY" not in stream.getvalue()
    assert stream.getvalue().count("node.example.org/ws") >= 4


def test_a_number_that_json_has_no_word_for_is_text():
    stream = said_as("json")
    log.info("said", extra=fields(value=float("nan"), other=1.5))

    assert json.loads(stream.getvalue(), parse_constant=pytest.fail)["value"] == "nan"


def test_a_stream_that_was_redirected_away_from_the_journal_keeps_the_time(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    with (tmp_path / "elsewhere").open("w+") as stream:
        logs.configure("INFO", name="fill", stream=stream)
        log.info("said")
        stream.seek(0)
        assert re.match(r"\d{4}-.*Z INFO fill said", stream.read())


def test_a_file_is_appended_to_and_followed_when_it_is_rotated(tmp_path: Path):
    path = tmp_path / "service.log"
    path.write_text("older\n")
    logs.configure("INFO", name="fill", file=path)
    log.info("one")
    path.rename(tmp_path / "service.log.1")
    log.info("two")

    assert (tmp_path / "service.log.1").read_text().splitlines()[0] == "older"
    assert (tmp_path / "service.log.1").read_text().endswith("INFO fill one\n")
    assert path.read_text().endswith("INFO fill two\n")


def test_configuring_again_replaces_what_was():
    first = said_as("text")
    second = said_as("text")
    log.info("once")

    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


def test_a_fault_that_repeats_is_said_at_first_and_then_once_a_minute_with_its_count():
    repeats = Repeats()

    assert [repeats.admit("timeout", now) for now in (0, 1, 59, 60, 61, 200)] == [0, None, None, 2, None, 1]


def test_faults_that_differ_do_not_silence_one_another():
    repeats = Repeats()

    assert [repeats.admit(key, 0) for key in ("a", "b", ("a", 1))] == [0, 0, 0]


def test_a_flood_of_different_faults_is_not_remembered_for_ever():
    repeats = Repeats()
    for n in range(10_000):
        repeats.admit(n, 0)

    assert repeats.admit(9_999, 0) is None
    assert repeats.admit(0, 0) == 0  # forgotten: said again


def test_the_line_counts_what_was_not_said():
    stream, repeats = said_as("text"), Repeats(every_s=10)
    for now in (0, 1, 2, 11):
        repeats.log(log, logging.WARNING, "timed out", now=now, url="u")

    assert [line.split(" ", 3)[3] for line in stream.getvalue().splitlines()] == [
        "timed out url=u",
        "timed out url=u repeated=2",
    ]
