"""An agent's address (API wallet) in the configuration: the account behind it is watched, and stays so."""

import pytest

from hlposmon.config.identities import known_agents
from tests.system.world import until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

AGENT = "0x" + "a9" * 20


def test_the_account_behind_an_agent_is_watched_proven_and_known_after_a_restart():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "1")
        [owner] = here.accounts
        here.flatten()
        here.control.agent(AGENT, owner)
        here.control.fill(owner, "BTC", "B", "0.5", "86000")
        here.start("--address", f"bot={AGENT}", *here.urls, wait=False)

        def account():
            return here.api.summary()["accounts"]["bot"]

        until("its account is watched", lambda: account()["address"] == owner)
        until("it is ready", lambda: here.api.health()["ready"])
        until("the notice is there", lambda: account()["notices"])
        shown = account()
        assert (shown["role"], shown["master"], shown["agent"]) == ("agent", owner, AGENT)
        assert shown["positions"]["BTC-USD"]["size"] == "0.5"
        assert shown["positions"]["BTC-USD"]["verdict"] == "proven"
        assert f"{AGENT} is an agent's (API wallet): its account {owner} is watched" in " ".join(
            shown["notices"]
        )
        assert known_agents(here.folder / "state", here.urls[1]) == {AGENT: owner}

        here.stop()
        here.start("--address", f"bot={AGENT}", *here.urls)
        assert account()["address"] == owner  # it is not asked first
