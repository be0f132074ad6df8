"""The documents name only what there is: files, headings, commands and options, targets of make."""

import re

import pytest

from hlposmon.cli.main import program
from hlposmon.history.schema import VERSION
from tests.docs.pages import PAGES, ROOT, anchors, command_lines, complaint, links, typed

API = (ROOT / "docs" / "api.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for link in links(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}: there is no such file"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}: leads out of the repository"
        if anchor:
            assert anchor in anchors(target), (
                f"{page.name}: {link}: no such heading; {sorted(anchors(target))}"
            )


def test_every_command_line_is_one_that_the_program_takes():
    lines = [(place, given) for place, line in command_lines() for given in typed(line, "hlposmon")]

    assert len(lines) > 20
    assert [
        f"{place}: hlposmon {' '.join(given)}: {why}"
        for place, given in lines
        if (why := complaint(program, given)) is not None
    ] == []


def test_the_version_of_the_historys_schema_is_the_one_that_is_written():
    [version] = re.findall(r"`PRAGMA user_version` is the schema's version, \*\*(\d+)\*\*", API)

    assert int(version) == VERSION


def test_every_target_of_make_is_in_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (place, word)
        for place, line in command_lines()
        for given in typed(line, "make")
        for word in given
        if re.fullmatch(r"[a-z-]+", word)
    }

    assert {word for _, word in named} & targets, "the documents name some"
    assert sorted(f"{place}: make {word}" for place, word in named if word not in targets) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hlposmon status --jsn", "No such option"),
        ("hlposmon stats", "No such command"),
        ("hlposmon audit", "wants a command"),
        ("sudo -u hlposmon /usr/bin/hlposmon audit verify --quick | head", "No such option"),
        ("HLPOSMON_SOCKET=/x hlposmon health please", "takes no argument"),
        ("true && hlposmon fills --since", "requires an argument"),
        ("hlposmon health $HEALTH_ARGS please", "takes no argument"),
    ],
)
def test_a_command_line_that_is_wrong_is_found(line, why):
    [given] = typed(line, "hlposmon")

    assert why in str(complaint(program, given))


@pytest.mark.parametrize(
    "line",
    [
        "hlposmon --socket /x status -w",
        "hlposmon fills --since 2d --json | jq -r .fee",
        "hlposmon run --address bot=0x… --api-url http://127.0.0.1:1 > log 2>&1   # as it goes",
        "hlposmon --version",
        "/opt/hlposmon/bin/hlposmon health $HEALTH_ARGS",
    ],
)
def test_a_command_line_that_is_right_passes(line):
    [given] = typed(line, "hlposmon")

    assert complaint(program, given) is None


def test_the_name_of_the_unit_is_no_command_line():
    assert [
        *typed("systemctl restart hlposmon", "hlposmon"),
        *typed("journalctl -u hlposmon -f", "hlposmon"),
    ] == []


def test_the_index_of_the_decisions_names_each_of_them():
    text = (ROOT / "DECISIONS.md").read_text()
    heads = re.findall(r"^## (\d+)\. (.+)$", text, re.MULTILINE)
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\(#.+\) \| (?:in force|given up: \d+) \|$", text, re.MULTILINE)

    assert rows == heads
    assert [int(number) for number, _ in heads] == list(range(1, len(heads) + 1))
