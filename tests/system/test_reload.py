"""SIGHUP at a monitor that runs: who is told, who is replaced, and what stays as it was at the start."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import unix_connect

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


class Watcher:
    """A client of the stream while the context lasts: at its end the same connection is asked once more."""

    def __init__(self, here: World) -> None:
        self._client = unix_connect(str(here.socket), "ws://localhost/api/v1/positions/stream")
        self.messages: list[dict[str, Any]] = []

    def __enter__(self) -> "Watcher":
        self._stream = self._client.__enter__()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        until("it begins", lambda: self.messages)
        return self

    def _read(self) -> None:
        for message in self._stream:
            self.messages.append(json.loads(message))

    def __exit__(self, *error: object) -> None:
        try:
            self._stream.send('{"action": "ping"}')
            until("it is answered", lambda: any(one["type"] == "pong" for one in self.messages))
        finally:
            self._client.__exit__(None, None, None)
            self._thread.join(30)

    def doubts(self, account: str) -> list[tuple[str, str]]:
        """What was said of the account's positions that was not `proven`, with the reason. Without what has
        nothing to do with a reload: a push can be ahead of the fill by milliseconds."""
        said = [
            one["position"] for one in self.messages if one.get("account") == account and "position" in one
        ]
        doubted = [(row["coin"], row["verdict_reason"]) for row in said if row["verdict"] != "proven"]
        return [(coin, why) for coin, why in doubted if not why.startswith("the venue states")]


def _processes(here: World) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in here.api.workers()}


def test_a_reload_replaces_nobody_whom_it_does_not_concern():
    with world() as here:
        here.open_exchange("--pace", "0")
        here.start(config="[reconcile]\ninterval_s = 60.0\n")
        before = _processes(here)

        _reload(here, '[stream]\nmin_pnl_change = "5"\n')
        assert _processes(here) == before

        _reload(here, '[stream]\nmin_pnl_change = "5"\n[reconcile]\ninterval_s = 30.0\n')
        after = _processes(here)
        assert {name for name in after if after[name] != before[name]} == {"reconcile"}


def test_an_account_that_is_added_makes_no_position_of_the_others_unproven():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "3")
        here.flatten()
        rows = [
            f'[[venues.hyperliquid.accounts]]\nname = "{name}"\naddress = "{address}"\n'
            for name, address in zip(("one", "two", "three"), here.accounts, strict=True)
        ]
        here.start(*here.urls, config=rows[0])
        begun = _made(here)
        here.control.pace(30)
        until("all are proven", lambda: len(here.positions()) >= 3 and here.run("health").returncode == 0)
        before = _processes(here)

        with Watcher(here) as watcher:
            for added in (rows[:2], rows):
                _reload(here, "".join(added))
                here.ready()
            here.control.pace(0)
            until("all agree", lambda: not here.disagreements(fills_from=begun, account="one"))

        after = _processes(here)
        assert {name for name in after if after[name] == before[name]} == {"tracker", "history"}
        assert watcher.doubts("one") == []
        seqs = [one["seq"] for one in watcher.messages if "seq" in one]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_a_broken_file_is_a_reason_until_a_good_reload_also_for_a_new_tracker():
    with world() as here:
        here.open_exchange("--pace", "0")
        here.start(config="[reconcile]\ninterval_s = 60.0\n")
        assert here.monitor is not None

        (here.folder / "hlposmon.toml").write_text('[prices]\ninterval_s = "often"\n')
        here.monitor.send_signal(signal.SIGHUP)
        [reason] = until("a reason", lambda: _reasons(here, "reload"))
        assert "interval_s" in reason and "the configuration before is in force" in reason
        assert "interval_s" in here.run("status").stdout
        assert here.run("health").returncode == 1
        first = here.pids("tracker")
        os.kill(first[0], signal.SIGKILL)
        until("another tracker is up", lambda: here.pids("tracker") not in ([], first))
        assert until("it knows", lambda: _reasons(here, "reload")) == [reason]

        _reload(here, "[reconcile]\ninterval_s = 60.0\n")
        until("no reason", lambda: not _reasons(here, "reload"))


def _reasons(here: World, code: str) -> list[str]:
    return [one["text"] for one in here.api.health()["details"] if one["code"] == code]


def _made(here: World) -> int:
    return int(here.control.state()["accounts"][here.accounts[0]]["fills"])
