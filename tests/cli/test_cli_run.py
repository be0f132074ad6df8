"""`run`, `simulate` and `config`: what is refused before anything starts, and what is handed over."""

import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest

from hlposmon.cli.modes import refuse_another_mode
from hlposmon.cli.run import _make, load_for_run, prepare
from hlposmon.config import Flags, load
from hlposmon.errors import HlposmonError
from tests.cli.canned_monitor import Commands
from tests.history.archivist import Clerk

ONE = "0x" + "1" * 40
LOCAL = 'api_url = "http://127.0.0.1:1"\nws_url = "ws://127.0.0.1:1/ws"'
KEY = "0x" + "ab" * 32


def test_a_malformed_address_is_2_as_a_flag_and_78_elsewhere(hlposmon: Commands, tmp_path: Path):
    result = hlposmon.run("run", "--address", "0x12")
    assert (2, True) == (result.exit_code, "'0x12'" in result.stderr)

    result = hlposmon.run("run", HYPERLIQUID_ACCOUNT_ADDRESS="0x12")
    assert (78, True) == (result.exit_code, "'0x12'" in result.stderr)

    config = tmp_path / "c.toml"
    config.write_text('wrong = 1\n[[venues.hyperliquid.accounts]]\naddress = "0x12"\n')
    result = hlposmon.run("run", "--config", str(config))
    assert 78 == result.exit_code
    assert 2 == result.stderr.count(f"hlposmon: {config}: ")


def test_a_private_key_as_an_address_is_not_shown(hlposmon: Commands):
    result = hlposmon.run("run", "--address", KEY)

    assert 2 == result.exit_code
    assert KEY[2:] not in result.output


def test_without_an_account_run_says_how_to_give_one(hlposmon: Commands):
    result = hlposmon.run("run")

    assert 78 == result.exit_code
    assert "--address" in result.stderr


def test_simulate_takes_no_exchange_from_outside(hlposmon: Commands):
    assert 2 == hlposmon.run("run", "--simulate", "--api-url", "http://127.0.0.1:1").exit_code


def test_folders_are_made_for_this_user_alone(tmp_path: Path):
    settings = load(Flags(simulate=True, socket=tmp_path / "r/s"), {"HOME": str(tmp_path)})
    prepare(settings)

    for folder in (settings.paths.state_dir, settings.paths.log_dir, tmp_path / "r"):
        assert 0o700 == folder.stat().st_mode & 0o777


def test_a_folder_that_cannot_be_used_is_named_with_the_way_out(tmp_path: Path):
    (tmp_path / "file").touch()
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    with pytest.raises(
        HlposmonError, match=f"the state folder {tmp_path}/file/x cannot be made.*--state-dir"
    ):
        prepare(load(Flags(simulate=True, state_dir=tmp_path / "file/x"), environ))
    with pytest.raises(HlposmonError, match=f"the log folder {tmp_path}/file cannot be made.*--log-dir"):
        prepare(load(Flags(simulate=True, log_dir=tmp_path / "file"), environ))


def test_a_private_key_is_gone_before_anything_starts_and_a_reload_keeps_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in list(os.environ):
        if name.startswith(("HYPERLIQUID_", "HLPOSMON_", "ENABLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HYPERLIQUID_PRIVATE_KEY", KEY)
    settings, reload = load_for_run(Flags())

    assert "HYPERLIQUID_PRIVATE_KEY" not in os.environ
    assert settings.hyperliquid == reload().hyperliquid

    config = tmp_path / "hlposmon/hlposmon.toml"
    config.parent.mkdir()
    config.write_text(f'[[venues.hyperliquid.accounts]]\naddress = "{ONE}"\n')
    assert [ONE] == [account.address for account in reload().hyperliquid.accounts]


def test_simulate_prints_where_it_is_and_ends_on_a_signal(hlposmon: Commands):
    for number in (signal.SIGTERM, signal.SIGINT):
        exchange = hlposmon.start("simulate", "--seed", "7", "--accounts", "3")
        said = json.loads(exchange.stdout.readline())
        request = urllib.request.Request(
            f"{said['api_url']}/info", b'{"type": "allMids"}', {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            prices = json.load(answer)
        exchange.send_signal(number)
        _, errors = exchange.communicate(timeout=120)

        assert "BTC" in prices
        assert said["ws_url"] == said["api_url"].replace("http", "ws") + "/ws"
        assert said["api_url"] + "/control" == said["control_url"]
        assert 3 == len(said["accounts"])
        assert ("", 0) == (errors, exchange.returncode)


def test_simulate_trades_for_the_addresses_it_is_given(hlposmon: Commands):
    exchange = hlposmon.start("simulate", "--address", ONE)
    said = json.loads(exchange.stdout.readline())
    exchange.terminate()
    exchange.communicate(timeout=120)

    assert [ONE] == said["accounts"]
    assert 2 == hlposmon.run("simulate", "--address", ONE, "--accounts", "2").exit_code


def test_config_check_says_ok_or_every_mistake(hlposmon: Commands, tmp_path: Path):
    config = tmp_path / "c.toml"
    config.write_text(f'[[venues.hyperliquid.accounts]]\naddress = "{ONE}"\n')
    result = hlposmon.run("config", "check", "--config", str(config))
    plan = "accounts: 1 by stream, none by poll; 195 weight a minute, 665 more would fit\n"
    assert (0, f"{config}: ok, live on mainnet, main {ONE}\n{plan}") == (result.exit_code, result.stdout)

    for more, where in (("testnet = true", "testnet"), (LOCAL, "http://127.0.0.1:1")):
        config.write_text(
            f'[venues.hyperliquid]\n{more}\n[[venues.hyperliquid.accounts]]\naddress = "{ONE}"\n'
        )
        result = hlposmon.run("config", "check", "--config", str(config))
        assert (0, f"{config}: ok, live on {where}, main {ONE}\n{plan}") == (result.exit_code, result.stdout)

    config.write_text("a = 1\nb = 2\n")
    result = hlposmon.run("config", "check", "--config", str(config))
    assert 78 == result.exit_code
    assert 3 == result.stderr.count("hlposmon: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'execution_mode = "backtest"',
            "execution_mode: found 'backtest', wanted live: there is no backtest",
        ),
        ('socket = "/tmp/a\\u0000b"', "socket: found '/tmp/a\\x00b', wanted a path without a NUL"),
        ('state_dir = "/tmp/a\\u0000b"', "state_dir: found '/tmp/a\\x00b', wanted a path without a NUL"),
        ('log_dir = "/tmp/a\\u0000b"', "log_dir: found '/tmp/a\\x00b', wanted a path without a NUL"),
        (f'socket = "/tmp/{"s" * 100}"', "of 105 bytes, wanted at most 104"),
        ('socket = "/"', "socket: found the path /, wanted "),
        ('socket = "/tmp/x/snapshot"', "socket: found the path /tmp/x/snapshot, wanted "),
        ('socket = "/tmp/x/.snapshot.lock"', "socket: found the path /tmp/x/.snapshot.lock, wanted "),
        ('socket = "/tmp/x"\nlog_dir = "/tmp/x/log"', "wanted one that is not the log folder /tmp/x/log"),
        ('socket = "/tmp/x"\nstate_dir = "/tmp/x"', "wanted one that is not the state folder /tmp/x"),
        (
            '[tcp]\nlisten = "a\\u0000b:1"\nallow_remote = true',
            "tcp.listen: found 'a\\x00b:1', wanted host:port",
        ),
        ('[tcp]\nlisten = "a..b:1"\nallow_remote = true', "tcp.listen: found 'a..b:1', wanted host:port"),
        ('[venues.hyperliquid]\napi_url = "http://[::1"', "api_url: found 'http://[::1', wanted a URL"),
        ('[venues.hyperliquid]\nws_url = "ws://h:99999/ws"', "ws_url: found 'ws://h:99999/ws', wanted a URL"),
    ],
)
def test_what_run_refuses_of_a_configuration_config_check_refuses_alike(
    hlposmon: Commands, tmp_path: Path, text: str, said: str
):
    config = tmp_path / "c.toml"
    del hlposmon.environ["HLPOSMON_SOCKET"]  # it is stronger than the file
    config.write_text(f'{text}\n[[venues.hyperliquid.accounts]]\naddress = "{ONE}"\n')
    checked = hlposmon.run("config", "check", "--config", str(config))
    assert 78 == checked.exit_code
    assert said in checked.stderr

    tried = hlposmon.run("run", "--config", str(config))
    assert (78, checked.stderr) == (tried.exit_code, tried.stderr)


def test_config_print_is_a_config(hlposmon: Commands, tmp_path: Path):
    printed = hlposmon.run("config", "print", HYPERLIQUID_ACCOUNT_ADDRESS=ONE, HYPERLIQUID_PRIVATE_KEY=KEY)
    assert KEY[2:] not in printed.output
    (tmp_path / "c.toml").write_text(printed.stdout)

    assert 0 == hlposmon.run("config", "check", "--config", str(tmp_path / "c.toml")).exit_code


@pytest.mark.parametrize(
    ("was", "now"), [("live", "simulated"), ("simulated", "live"), ("testnet", "live"), ("live", "testnet")]
)
@pytest.mark.parametrize("which", ["log", "state"])
def test_a_run_does_not_write_among_the_files_of_another_mode(
    hlposmon: Commands, tmp_path: Path, was: str, now: str, which: str
):
    before = Clerk(tmp_path, mode=was)
    before.start()
    before.write(2)
    before.close()
    other = {"log": "state", "state": "log"}[which]
    folders = [f"--{which}-dir", str(tmp_path / which), f"--{other}-dir", str(tmp_path / "new")]
    place = ["--socket", str(tmp_path / "s"), *folders]
    how = ["--simulate"] if now == "simulated" else ["--address", "0x" + "ab" * 20]
    audit = (tmp_path / "log").rglob("audit-*")
    wrote = [path.read_bytes() for path in audit]
    if now == "testnet":
        hlposmon.environ["HYPERLIQUID_TESTNET"] = "true"
    result = hlposmon.run("run", *how, *place)

    assert result.exit_code == 78
    what = {"log": "audit", "state": "history"}[which]
    assert f"found {tmp_path / which} with the {what} of {was} runs, wanted one of its own" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.read_bytes() for path in (tmp_path / "log").rglob("audit-*")] == wrote


def test_files_of_the_same_mode_are_gone_on_with(tmp_path: Path):
    before = Clerk(tmp_path, mode="simulated")
    before.start()
    before.close()
    refuse_another_mode(
        load(Flags(simulate=True, log_dir=tmp_path / "log", state_dir=tmp_path / "state"), {"HOME": "/"})
    )


@pytest.mark.parametrize(("above", "made"), [(0o750, 0o750), (0o700, 0o700), (0o755, 0o700), (0o2750, 0o750)])
def test_a_new_folder_is_for_the_group_that_the_one_above_is_for(tmp_path: Path, above: int, made: int):
    """Members of the service's group read what a simulated service writes; a person's is a person's."""
    service = tmp_path / "hlposmon"
    service.mkdir()
    service.chmod(above)
    _make(service / "simulated" / "log")

    for folder in ("simulated", "simulated/log"):
        assert (service / folder).stat().st_mode & 0o777 == made
