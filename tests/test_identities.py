"""Configured addresses of agents: what is kept of them, and whom it makes the monitor watch."""

import pytest

from hlposmon.config import Account
from hlposmon.config.identities import AGENTS_FILE, behind_agents, known_agents
from hlposmon.domain.reports import AccountRole
from hlposmon.engine.effects import FoundAgent
from hlposmon.tracker.agents import Agents, remember_agent
from tests.engine.language import Bench

AGENT, OWNER, OTHER = ("0x" + digit * 40 for digit in "abc")
URL = "https://api.example"


def test_what_is_remembered_is_known_and_added_to(tmp_path):
    assert known_agents(tmp_path, URL) == {}
    remember_agent(tmp_path, URL, AGENT, OWNER)
    remember_agent(tmp_path, URL, OTHER, OWNER)
    assert known_agents(tmp_path, URL) == {AGENT: OWNER, OTHER: OWNER}
    assert (tmp_path / AGENTS_FILE).stat().st_mode & 0o777 == 0o640


def test_what_another_server_has_named_is_not_known_to_this_one(tmp_path):
    remember_agent(tmp_path, URL, AGENT, OWNER)
    remember_agent(tmp_path, "https://api.test", AGENT, OTHER)
    assert known_agents(tmp_path, URL) == {AGENT: OWNER}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '{"u": 5}', '{"u": {"0xab": "0xcd"}}', f'{{"u": {{"{AGENT}": null}}}}', "\x00"],
)
def test_a_file_that_cannot_be_read_counts_as_empty_and_is_written_anew(tmp_path, text):
    (tmp_path / AGENTS_FILE).write_text(text)
    assert known_agents(tmp_path, URL) == {}
    remember_agent(tmp_path, URL, AGENT, OWNER)
    assert known_agents(tmp_path, URL) == {AGENT: OWNER}


def test_the_account_behind_an_agent_is_watched_under_the_configured_name():
    accounts = [Account("bot", AGENT), Account("main", OTHER)]
    found = behind_agents(accounts, {AGENT: OWNER})
    assert found == (Account("bot", OWNER, agent=AGENT), Account("main", OTHER))


def test_no_address_is_watched_twice():
    known = {AGENT: OWNER, OTHER: OWNER}
    configured = [Account("bot", AGENT), Account("main", OWNER)]
    assert behind_agents(configured, known) == tuple(configured)
    two = behind_agents([Account("bot", AGENT), Account("bot-2", OTHER)], known)
    assert two == (Account("bot", OWNER, agent=AGENT), Account("bot-2", OTHER))


def test_an_agent_that_the_exchange_names_is_remembered_and_a_reload_asked_for_once(tmp_path):
    asked = []
    agents = Agents(tmp_path, URL, lambda: asked.append("reload"))
    for _ in range(2):
        agents.found(FoundAgent("bot", AGENT, OWNER))
    assert (asked, known_agents(tmp_path, URL)) == (["reload"], {AGENT: OWNER})


def test_where_it_cannot_be_remembered_no_reload_is_asked_for_and_the_log_says_so(tmp_path, caplog):
    asked = []
    Agents(tmp_path / "gone", URL, lambda: asked.append("reload")).found(FoundAgent("bot", AGENT, OWNER))
    assert asked == []
    assert "the account behind an agent is not watched" in caplog.text


@pytest.mark.parametrize(
    ("role", "owner", "found"),
    [
        ("agent", OWNER, True),
        ("agent", None, False),
        ("subAccount", OWNER, False),
        ("agent", "itself", False),
    ],
)
def test_only_an_agent_of_an_account_that_is_not_watched_yet_is_one(role, owner, found):
    bench = Bench()
    address = bench.engine.watched.addresses["main"]
    owner = address if owner == "itself" else owner
    effects = bench.engine.receive(AccountRole("main", role, owner), bench.now)
    told = [one for one in effects if isinstance(one, FoundAgent)]
    assert told == ([FoundAgent("main", address, OWNER)] if found else [])
