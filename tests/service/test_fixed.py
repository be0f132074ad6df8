"""What a reload does not change: it is held as it runs, and named as long as it is wanted otherwise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hlposmon.config import Flags, Settings, load
from hlposmon.config.settings import ReconcileSettings, SupervisionSettings, TcpSettings
from hlposmon.errors import ConfigError
from hlposmon.service.fixed import as_it_runs, needing_restart


@pytest.fixture
def running(tmp_path: Path) -> Settings:
    flags = Flags(addresses=("0x" + "1" * 40,), socket=tmp_path / "m.sock", state_dir=tmp_path / "state")
    return load(replace(flags, log_dir=tmp_path / "log"), {}, root=tmp_path)


def wanting(running: Settings, **places: Path) -> Settings:
    return replace(running, paths=replace(running.paths, **places))


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("log_level", {"log_level": "DEBUG"}),
        ("log_format", {"log_format": "json"}),
        ("[tcp]", {"tcp": TcpSettings(allowed_hosts=("a.example",))}),
        ("[supervision]", {"supervision": SupervisionSettings(silent_s=3.0)}),
        ("socket", {"socket": Path("/other/m.sock"), "snapshot": Path("/other/snapshot")}),
        ("state_dir", {"state_dir": Path("/other/state")}),
        ("log_dir", {"log_dir": Path("/other/log")}),
    ],
)
def test_what_needs_a_restart_is_named_and_stays(running: Settings, name: str, changed: dict[str, Any]):
    places = {key: value for key, value in changed.items() if isinstance(value, Path)}
    wanted = wanting(running, **places) if places else replace(running, **changed)

    assert needing_restart(running, wanted) == [name]
    assert as_it_runs(running, wanted) == running


def test_what_a_reload_may_change_is_changed(running: Settings):
    wanted = replace(running, reconcile=ReconcileSettings(30.0))

    assert needing_restart(running, wanted) == []
    assert as_it_runs(running, wanted) == wanted


def test_it_is_named_again_at_each_reload_until_it_is_wanted_as_it_runs(running: Settings):
    wanted = wanting(running, log_dir=Path("/other/log"))
    kept = as_it_runs(running, wanted)

    assert needing_restart(kept, wanted) == ["log_dir"]
    assert needing_restart(kept, running) == []


@pytest.mark.parametrize("mode", [{"simulated": True}, {"execution_mode": "backtest"}])
def test_another_mode_is_refused_as_a_whole(running: Settings, mode: dict[str, Any]):
    with pytest.raises(ConfigError, match="restart instead"):
        as_it_runs(running, replace(running, **mode))


def test_the_other_network_is_another_world(running: Settings):
    """The same address has other positions there."""
    wanted = replace(running, hyperliquid=replace(running.hyperliquid, testnet=True))
    assert (running.world, wanted.world) == ("live", "testnet")
    assert replace(wanted, simulated=True).world == "simulated"

    with pytest.raises(ConfigError, match="testnet: found testnet, but live runs: restart instead"):
        as_it_runs(running, wanted)
