"""SIGHUP at a monitor that runs: who is told, who is replaced, and what stays as it was at the start."""

import os
import signal
from pathlib import Path

import pytest

from hlposmon.client.snapshot import Snapshot
from tests.system.world import World, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

FIXED = ("socket", "state_dir", "log_dir", "log_level", "log_format", "[tcp]", "[supervision]")


def _placed(folder: Path, more: str = "") -> str:
    names = {"socket": "m.sock", "state_dir": "state", "log_dir": "log"}
    return "".join(f'{key} = "{folder / name}"\n' for key, name in names.items()) + more


def _reload(here: World, config: str) -> None:
    """Change the file and say so."""
    assert here.monitor is not None
    (here.folder / "hlposmon.toml").write_text(config)
    done = _said(here, "INFO supervisor reloaded")
    here.monitor.send_signal(signal.SIGHUP)
    until("it was reloaded", lambda: _said(here, "INFO supervisor reloaded") > done)


def _said(here: World, text: str) -> int:
    return (here.folder / "monitor.log").read_text().count(text)


def test_what_needs_a_restart_stays_as_it_was_for_every_process_that_is_started_later():
    with world() as here:
        here.placed_by_config = True
        here.open_exchange("--pace", "0", "--accounts", "1")
        here.flatten()
        here.start("--address", f"main={here.accounts[0]}", *here.urls, config=_placed(here.folder))
        begun = _made(here)
        here.control.pace(20)
        first = here.pids("tracker")
        elsewhere = here.folder / "elsewhere"
        changed = _placed(
            elsewhere,
            'log_level = "ERROR"\nlog_format = "json"\n[tcp]\nlisten = "127.0.0.1:1"\n'
            "[supervision]\nsilent_s = 7.0\n",
        )

        _reload(here, changed)
        os.kill(first[0], signal.SIGKILL)
        until("another tracker is up", lambda: here.pids("tracker") not in ([], first))
        here.ready()
        _reload(here, changed)
        here.control.pace(0)
        until("all agree", lambda: not here.disagreements(fills_from=begun))

        # The same chain at the same place, and nothing anywhere else.
        lines = here.lines()
        assert [line["type"] for line in lines].count("start") == 2
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert here.run("audit", "verify", "--log-dir", str(here.log_dir)).returncode == 0
        assert not elsewhere.exists()
        with Snapshot.open(here.folder / "snapshot") as opened:
            assert opened.state == "live"
        # Said at each reload, for as long as it is so.
        assert [_said(here, f"needs a restart, not a reload setting={name}") for name in FIXED] == [2] * 7
        _reload(here, _placed(here.folder))
        assert [_said(here, f"needs a restart, not a reload setting={name}") for name in FIXED] == [2] * 7


def _made(here: World) -> int:
    return int(here.control.state()["accounts"][here.accounts[0]]["fills"])
