"""Configuration: who is stronger than whom, what is refused and how it is said, what is never said."""

import os
from decimal import Decimal
from pathlib import Path

import pytest

from hlposmon.config import Account, Flags, Settings, forget_secrets, load, locate, render
from hlposmon.errors import ConfigError

ONE = "0x" + "1" * 40
TWO = "0x" + "2" * 40
KEY = "0x" + "ab" * 32
KEYS_ADDRESS = "0xe239cdc5fbe977a8a141b72194d3cf8c41bc5bc6"
ACCOUNT = f'[[venues.hyperliquid.accounts]]\nname = "main"\naddress = "{ONE}"\n'
OTHER_ACCOUNT = f'[[venues.hyperliquid.accounts]]\nname = "other"\naddress = "{TWO}"\n'


class Machine:
    """A file system root, a home and an environment, all under one folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.home = folder / "home"
        self.home.mkdir()
        self.environ = {"HOME": str(self.home)}

    def file(self, text: str, path: str = "hl.toml") -> str:
        place = self.home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return str(place)

    def load(self, *flag_addresses: str, **flags: object) -> Settings:
        return load(Flags(addresses=flag_addresses, **flags), self.environ, root=self.root)

    def mistakes(self, text: str | None = None, **flags: object) -> list[str]:
        if text is not None:
            flags["config"] = self.file(text)
        with pytest.raises(ConfigError) as caught:
            self.load(**flags)
        return [mistake.replace(f"{self.home}/", "") for mistake in caught.value.mistakes]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_address_alone_is_enough_to_run(machine: Machine):
    settings = machine.load("0x" + "aB" * 20)

    assert (Account("main", "0x" + "ab" * 20),) == settings.hyperliquid.accounts
    assert "live" == settings.mode
    assert "https://api.hyperliquid.xyz" == settings.hyperliquid.api_url
    assert Decimal("0.01") == settings.stream.min_pnl_change
    assert () == settings.notices


def test_without_any_account_the_three_ways_to_give_one_are_said(machine: Machine):
    [mistake] = machine.mistakes()

    assert "--address" in mistake
    assert "HYPERLIQUID_ACCOUNT_ADDRESS" in mistake
    assert "[[venues.hyperliquid.accounts]]" in mistake


def test_flags_are_stronger_than_the_environment_and_that_than_the_file(machine: Machine):
    config = machine.file(ACCOUNT)
    assert [ONE] == [a.address for a in machine.load(config=config).hyperliquid.accounts]

    machine.environ["HYPERLIQUID_ACCOUNT_ADDRESS"] = f" {TWO}, desk={ONE} "
    assert (Account("account-1", TWO), Account("desk", ONE)) == machine.load(
        config=config
    ).hyperliquid.accounts
    assert (Account("x", TWO),) == machine.load(f"x={TWO}", config=config).hyperliquid.accounts


def test_every_mistake_is_named_in_one_report(machine: Machine):
    machine.environ["HYPERLIQUID_TESTNET"] = "perhaps"
    text = """
        execution_mode = "paper"
        wrong = 1
        socket = "relative.sock"
        [venues.hyperliquid]
        fill_feeds = true
        [[venues.hyperliquid.accounts]]
        address = "0x12"
        [prices]
        intervals = 2
        source = 7
        [stream]
        min_pnl_change = 0.01
        [reconcile]
        interval_s = "60"
        [tcp]
        listen = "0.0.0.0:8000"
        [audit]
        fsync = "always"
        [supervision]
        backoff_s = 5
        backoff_max_s = 1
    """

    assert [
        "hl.toml: execution_mode: found 'paper', wanted one of live, backtest",
        "hl.toml: socket: found 'relative.sock', wanted an absolute path",
        "environment: HYPERLIQUID_TESTNET: found 'perhaps', wanted true or false",
        "hl.toml: venues.hyperliquid.fill_feeds: found true, wanted a whole number from 1 to 8",
        "hl.toml: venues.hyperliquid.accounts[1].address: found '0x12', wanted 0x and 40 hexadecimal digits",
        "hl.toml: prices.source: found 7, wanted one of auto, stream, poll",
        (
            "hl.toml: prices.intervals: found an unknown key, wanted interval_s perhaps"
            " (one of interval_s, source)"
        ),
        "hl.toml: reconcile.interval_s: found '60', wanted a number from 0.5 to 3600",
        'hl.toml: stream.min_pnl_change: found 0.01, wanted a decimal of zero or more in quotes, like "0.01"',
        (
            "hl.toml: tcp.listen: found '0.0.0.0:8000', which others can reach, wanted a loopback address"
            " like 127.0.0.1:8000, or allow_remote = true beside it"
        ),
        "hl.toml: audit.fsync: found 'always', wanted one of each, batch, off",
        "hl.toml: supervision.backoff_max_s: found 1, wanted at least backoff_s, 5",
        (
            "hl.toml: wrong: found an unknown key, wanted one of execution_mode, log_level, log_format, "
            "socket, state_dir, log_dir, venues, prices, reconcile, stream, tcp, audit, supervision"
        ),
    ] == machine.mistakes(text)


def test_what_an_account_has_discovered_is_its_own_and_is_printed(machine: Machine):
    config = machine.file(f"{ACCOUNT}discover = ['subaccounts', 'subaccounts']\n{OTHER_ACCOUNT}")
    settings = machine.load(config=config)
    main, other = settings.hyperliquid.accounts

    assert (main.discover, other.discover) == (("subaccounts",), ())
    assert 'discover = ["subaccounts"]' in render(settings)
    assert machine.load(config=machine.file(render(settings))).hyperliquid == settings.hyperliquid


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"prices = 3\n{ACCOUNT}", "hl.toml: prices: found 3, wanted a table [prices]"),
        ("a = ", "hl.toml: found "),
        (f"{ACCOUNT}[prices]\ninterval_s = nan", "found nan, wanted a number from 0.1 to 60"),
        (f"{ACCOUNT}[stream]\nmin_pnl_change = 'NaN'", "found 'NaN'"),
        (f"[[venues.hyperliquid.accounts]]\nname = 'a b'\naddress = '{ONE}'", "found 'a b', wanted 1 to 32"),
        (f"[[venues.hyperliquid.accounts]]\naddress = 'x={ONE}'", "wanted 0x and 40"),
        (f"{ACCOUNT}{ACCOUNT.replace('main', 'other')}", f"found the address {ONE} twice (main, other)"),
        (f"{ACCOUNT}{ACCOUNT.replace(ONE, TWO)}", "found the name 'main' twice"),
        (
            f"{ACCOUNT}discover = ['vaults']",
            "hl.toml: venues.hyperliquid.accounts[1].discover: found 'vaults', wanted a list of: \"subacc",
        ),
        (f"{ACCOUNT}discover = 'subaccounts'", "discover: found 'subaccounts', wanted a list of strings"),
        (f"[venues.hyperliquid]\nenabled = false\n{ACCOUNT}", "venues.hyperliquid.enabled: found false"),
        (f"[venues.hyperliquid]\napi_url = 'api'\n{ACCOUNT}", "wanted a URL that starts with http://"),
        (f"[tcp]\nlisten = '8000'\n{ACCOUNT}", "wanted host:port"),
        (f"log_level = 'loud'\n{ACCOUNT}", "log_level: found 'loud', wanted one of DEBUG"),
    ],
)
def test_a_mistake_says_what_was_found_and_what_is_wanted(machine: Machine, text: str, said: str):
    [mistake] = machine.mistakes(text)

    assert said in mistake


def test_a_named_config_that_is_not_there_is_a_mistake(machine: Machine):
    [mistake] = machine.mistakes(config="/nowhere/hl.toml")

    assert "/nowhere/hl.toml: there is no such file, wanted the TOML file that was named" == mistake


@pytest.mark.parametrize(
    "text",
    [
        f"[venues.hyperliquid]\nprivate_key = '{KEY}'\n{ACCOUNT}",
        f"[venues.hyperliquid]\nanything = '{KEY}'\n{ACCOUNT}",
        f"{ACCOUNT}\nsecret = 'hunter2'",
        f"[[venues.hyperliquid.accounts]]\naddress = '{KEY}'",
        f"{KEY[2:]} = 1\n{ACCOUNT}",
        f"log_level = '{KEY}'\n{ACCOUNT}",
        f"x = {KEY[2:]}zz",
    ],
)
def test_what_looks_like_a_credential_is_refused_and_not_shown(machine: Machine, text: str):
    report = "\n".join(machine.mistakes(text))

    assert "not shown" in report or "never the key" in report or "hl.toml: found" in report
    assert KEY[2:] not in report
    assert "hunter2" not in report


def test_a_key_given_as_an_address_is_not_shown(machine: Machine):
    with pytest.raises(ConfigError) as caught:
        machine.load(KEY)

    assert "give the address, never the key" in str(caught.value)
    assert KEY[2:] not in str(caught.value)


def test_a_private_key_becomes_an_address_and_is_forgotten(machine: Machine):
    machine.environ["HYPERLIQUID_PRIVATE_KEY"] = KEY
    settings = machine.load()
    forget_secrets(machine.environ)

    assert (Account("main", KEYS_ADDRESS),) == settings.hyperliquid.accounts
    assert f"HYPERLIQUID_ACCOUNT_ADDRESS={KEYS_ADDRESS}" in settings.notices[0]
    assert KEY[2:] not in repr(settings) + render(settings)
    assert "HYPERLIQUID_PRIVATE_KEY" not in machine.environ


def test_the_address_of_a_forgotten_key_holds_for_a_reload(machine: Machine):
    settings = machine.load(derived_addresses=(KEYS_ADDRESS,))
    assert [KEYS_ADDRESS] == [account.address for account in settings.hyperliquid.accounts]

    config = machine.file(ACCOUNT)
    settings = machine.load(derived_addresses=(KEYS_ADDRESS,), config=config)
    assert [ONE] == [account.address for account in settings.hyperliquid.accounts]


def test_a_broken_private_key_is_refused_without_being_shown(machine: Machine):
    machine.environ["HYPERLIQUID_PRIVATE_KEY"] = "not-a-key-at-all"
    [mistake] = machine.mistakes()

    assert "HYPERLIQUID_PRIVATE_KEY" in mistake
    assert "set HYPERLIQUID_ACCOUNT_ADDRESS" in mistake
    assert "not-a-key-at-all" not in mistake


def test_a_private_key_beside_an_address_is_only_noted(machine: Machine):
    machine.environ["HYPERLIQUID_PRIVATE_KEY"] = "never looked at"
    settings = machine.load(ONE)

    assert [ONE] == [account.address for account in settings.hyperliquid.accounts]
    assert "not needed" in settings.notices[0]


@pytest.mark.parametrize(("word", "mode"), [("true", "live"), ("FALSE", "simulated")])
def test_enable_live_trading_is_stronger_than_the_file(machine: Machine, word: str, mode: str):
    machine.environ["ENABLE_LIVE_TRADING"] = word

    assert mode == machine.load(config=machine.file('execution_mode = "backtest"\n' + ACCOUNT)).mode


def test_a_backtest_is_refused_with_all_that_the_live_run_in_its_place_would_lack(machine: Machine):
    wrong, no_account = machine.mistakes(config=machine.file('execution_mode = "backtest"\n'))

    assert wrong.startswith("hl.toml: execution_mode: found 'backtest', wanted live: ")
    assert "no account to watch" in no_account


def test_simulate_needs_no_account_and_ignores_the_configured_ones(machine: Machine):
    assert () == machine.load(simulate=True).hyperliquid.accounts

    machine.environ["HYPERLIQUID_ACCOUNT_ADDRESS"] = TWO
    assert () == machine.load(simulate=True, config=machine.file(ACCOUNT)).hyperliquid.accounts
    assert [ONE] == [a.address for a in machine.load(ONE, simulate=True).hyperliquid.accounts]


def test_simulated_state_and_logs_never_mix_with_real_ones(machine: Machine):
    state = machine.home / ".local/state/hlposmon"
    paths = machine.load(simulate=True).paths
    assert (state / "simulated", state / "simulated/log") == (paths.state_dir, paths.log_dir)

    machine.environ |= {"STATE_DIRECTORY": "/var/lib/hlposmon", "LOGS_DIRECTORY": "/var/log/hlposmon"}
    paths = machine.load(simulate=True).paths
    assert "/var/lib/hlposmon/simulated" == str(paths.state_dir)
    assert "/var/log/hlposmon/simulated" == str(paths.log_dir)

    paths = machine.load(simulate=True, state_dir="/s", log_dir="/l").paths
    assert ("/s", "/l") == (str(paths.state_dir), str(paths.log_dir))


def test_testnet_fills_in_the_urls_and_one_url_fills_in_the_other(machine: Machine):
    machine.environ["HYPERLIQUID_TESTNET"] = "true"
    venue = machine.load(ONE).hyperliquid
    assert "wss://api.hyperliquid-testnet.xyz/ws" == venue.ws_url

    venue = machine.load(ONE, api_url="http://127.0.0.1:99/").hyperliquid
    assert ("http://127.0.0.1:99", "ws://127.0.0.1:99/ws") == (venue.api_url, venue.ws_url)
    venue = machine.load(ONE, ws_url="wss://other.example/ws").hyperliquid
    assert "https://other.example" == venue.api_url


def test_a_url_of_the_other_network_is_a_mistake(machine: Machine):
    [mistake] = machine.mistakes(
        f"[venues.hyperliquid]\ntestnet = true\napi_url = 'https://api.hyperliquid.xyz'\n{ACCOUNT}"
    )

    assert "since testnet is true" in mistake


def test_an_env_file_is_read_only_when_named_and_is_weaker_than_the_environment(machine: Machine):
    file = machine.file(
        f"# mine\nexport HYPERLIQUID_ACCOUNT_ADDRESS='{ONE}' # main\nLOG_LEVEL=debug\n", ".env"
    )
    machine.environ["LOG_LEVEL"] = "warning"
    settings = machine.load(env_file=file)

    assert [ONE] == [account.address for account in settings.hyperliquid.accounts]
    assert "WARNING" == settings.log_level
    with pytest.raises(ConfigError):
        machine.load()


def test_a_broken_line_of_an_env_file_is_named_by_number_alone(machine: Machine):
    mistakes = machine.mistakes(env_file=machine.file(f"A=1\n{KEY}\nB='open\n", ".env"))

    assert ".env: line 2: found something else (not shown), wanted NAME=value" in mistakes
    assert ".env: line 3: found something else (not shown), wanted NAME=value" in mistakes
    assert KEY not in "".join(mistakes)


def test_a_users_paths_follow_xdg(machine: Machine):
    machine.environ |= {
        "XDG_STATE_HOME": "/x/state",
        "XDG_RUNTIME_DIR": "/x/run",
        "XDG_CONFIG_HOME": "relative",
    }
    paths = locate(Flags(), machine.environ, root=machine.root)

    assert "/x/run/hlposmon/hlposmon.sock" == str(paths.socket)
    assert "/x/run/hlposmon/snapshot" == str(paths.snapshot)
    assert "/x/state/hlposmon" == str(paths.state_dir)
    assert "/x/state/hlposmon/log" == str(paths.log_dir)
    assert paths.config is None


def test_without_a_runtime_folder_the_socket_is_under_the_state_folder(machine: Machine):
    paths = locate(Flags(), machine.environ, root=machine.root)

    assert machine.home / ".local/state/hlposmon/run/hlposmon.sock" == paths.socket


def test_the_systems_socket_is_found_when_it_is_there(machine: Machine):
    socket = machine.root / "run/hlposmon/hlposmon.sock"
    (machine.root / "var/lib/hlposmon").mkdir(parents=True)
    socket.parent.mkdir(parents=True)
    socket.touch()
    machine.environ["XDG_RUNTIME_DIR"] = "/x/run"
    paths = locate(Flags(), machine.environ, root=machine.root)

    assert socket == paths.socket
    assert machine.root / "var/lib/hlposmon" == paths.state_dir


@pytest.mark.parametrize("has_own", [False, True])
def test_who_may_not_read_the_systems_folders_is_not_told_of_his_own_empty_ones(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, has_own: bool
):
    """Unless he has a monitor of his own: that one is meant then."""
    for folder in ("run/hlposmon", "var/lib/hlposmon", "var/log/hlposmon"):
        (machine.root / folder).mkdir(parents=True)
    (machine.root / "run/hlposmon/hlposmon.sock").touch()
    if has_own:
        (machine.home / ".local/state/hlposmon").mkdir(parents=True)
    closed, access = str(machine.root / "var"), os.access
    monkeypatch.setattr(
        "os.access", lambda path, *a, **k: not str(path).startswith(closed) and access(path, *a, **k)
    )
    paths = locate(Flags(), machine.environ, root=machine.root)
    own = machine.home / ".local/state/hlposmon"

    assert paths.state_dir == (own if has_own else machine.root / "var/lib/hlposmon")
    assert paths.log_dir == (own / "log" if has_own else machine.root / "var/log/hlposmon")
    assert machine.load(ONE).paths.state_dir == own, "a run never begins where it may not write"


def test_the_socket_is_flag_then_environment_then_config_then_systemd(machine: Machine):
    config = machine.file('socket = "/c/s"\n' + ACCOUNT)
    machine.environ["RUNTIME_DIRECTORY"] = "/run/one:/run/two"
    assert "/run/one/hlposmon.sock" == str(machine.load(ONE).paths.socket)
    assert "/c/s" == str(machine.load(config=config).paths.socket)

    machine.environ["HLPOSMON_SOCKET"] = "/e/s"
    assert "/e/s" == str(machine.load(config=config).paths.socket)
    assert "/f/s" == str(machine.load(config=config, socket="/f/s").paths.socket)


def test_folders_are_flag_then_environment_then_config(machine: Machine):
    config = machine.file('state_dir = "/c/state"\nlog_dir = "~/log"\n' + ACCOUNT)
    paths = machine.load(config=config).paths
    assert ("/c/state", machine.home / "log") == (str(paths.state_dir), paths.log_dir)

    machine.environ |= {"STATE_DIRECTORY": "/sd/state", "LOGS_DIRECTORY": "/sd/log", "LOG_DIR": "/env/log"}
    paths = machine.load(config=config).paths
    assert ("/sd/state", "/env/log") == (str(paths.state_dir), str(paths.log_dir))
    assert "/f/state" == str(machine.load(config=config, state_dir="/f/state").paths.state_dir)


def test_the_config_is_flag_then_environment_then_systemd_then_system_then_user(machine: Machine):
    user = machine.file(ACCOUNT, ".config/hlposmon/hlposmon.toml")
    assert user == str(machine.load().paths.config)

    system = machine.root / "etc/hlposmon/hlposmon.toml"
    system.parent.mkdir(parents=True)
    system.write_text(ACCOUNT)
    assert system == machine.load().paths.config

    machine.environ["CONFIGURATION_DIRECTORY"] = str(Path(machine.file(ACCOUNT, "sd/hlposmon.toml")).parent)
    assert machine.home / "sd/hlposmon.toml" == machine.load().paths.config
    machine.environ["HLPOSMON_CONFIG"] = machine.file(ACCOUNT, "env.toml")
    assert machine.home / "env.toml" == machine.load().paths.config
    assert machine.file(ACCOUNT, "flag.toml") == str(
        machine.load(config=machine.home / "flag.toml").paths.config
    )


def test_a_broken_config_does_not_stop_who_only_looks_for_the_socket(machine: Machine):
    machine.file('socket = "/c/s"\nwrong = 1', ".config/hlposmon/hlposmon.toml")
    assert "/c/s" == str(locate(Flags(), machine.environ, root=machine.root).socket)

    machine.file("no toml", ".config/hlposmon/hlposmon.toml")
    assert "hlposmon.sock" == locate(Flags(), machine.environ, root=machine.root).socket.name


def test_a_socket_path_too_long_for_the_kernel_is_a_mistake(machine: Machine):
    assert machine.load(ONE, socket="/" + "x" * 103)
    with pytest.raises(ConfigError, match="of 105 bytes, wanted at most 104"):
        machine.load(ONE, socket="/" + "x" * 104)


def test_remote_listening_must_be_said_in_so_many_words(machine: Machine):
    text = f'[tcp]\nlisten = "0.0.0.0:80"\nallow_remote = true\n{ACCOUNT}'
    assert "0.0.0.0:80" == machine.load(config=machine.file(text)).tcp.listen
    assert "[::1]:80" == machine.load(config=machine.file(text.replace("0.0.0.0", "[::1]"))).tcp.listen


def test_what_is_printed_is_read_back_the_same(machine: Machine):
    settings = machine.load(ONE, f"desk={TWO}", socket="/r/s", state_dir="/st", log_dir="/lo")
    again = machine.load(config=machine.file(render(settings)))

    assert settings.hyperliquid == again.hyperliquid
    assert render(settings).splitlines()[2:] == render(again).splitlines()[2:]


def test_the_shipped_config_holds_the_defaults_and_names_no_account(machine: Machine):
    shipped = Path(__file__).parent.parent / "etc/hlposmon.toml"
    settings, plain = machine.load(ONE, config=shipped), machine.load(ONE)

    assert render(plain).splitlines()[2:] == render(settings).splitlines()[2:]
    with pytest.raises(ConfigError, match="no account to watch"):
        machine.load(config=shipped)


def test_every_option_stands_in_the_shipped_config(machine: Machine):
    shipped = (Path(__file__).parent.parent / "etc/hlposmon.toml").read_text()
    words = {line.lstrip("#").split("=")[0].strip() for line in shipped.splitlines() if "=" in line}
    options = {
        line.split(" = ")[0]
        for line in render(machine.load(ONE)).splitlines()
        if " = " in line and line[0] != "#"
    }

    assert options <= words


def test_tcp_names_its_hosts_and_pages_in_lower_case_and_prints_them(machine):
    text = (
        '[tcp]\nlisten = "127.0.0.1:8000"\nallowed_hosts = ["Monitor.lan", "[::1]:80"]\n'
        f'allowed_origins = ["http://LocalHost:3000", "https://app.example"]\n{ACCOUNT}'
    )
    settings = machine.load(config=machine.file(text))

    assert settings.tcp.allowed_hosts == ("monitor.lan", "[::1]:80")
    assert settings.tcp.allowed_origins == ("http://localhost:3000", "https://app.example")
    assert machine.load(config=machine.file(render(settings))).tcp == settings.tcp


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('allowed_origins = ["*"]', "none for all"),
        ('allowed_origins = ["null"]', "origins like"),
        ('allowed_origins = ["localhost:3000"]', "origins like"),
        ('allowed_origins = ["http://localhost:3000/"]', "without a path"),
        ('allowed_origins = "http://localhost:3000"', "a list of strings"),
        ('allowed_hosts = ["http://monitor.lan"]', "names like"),
        ('allowed_hosts = ["*"]', "none for all"),
        ("allowed_hosts = [1]", "a list of strings"),
    ],
)
def test_a_host_or_page_that_is_not_named_in_so_many_words_is_a_mistake(machine, line, said):
    with pytest.raises(ConfigError, match=said):
        machine.load(config=machine.file(f"[tcp]\n{line}\n{ACCOUNT}"))


def test_a_place_that_others_can_reach_is_said_at_the_start(machine):
    text = f'[tcp]\nlisten = "0.0.0.0:80"\nallow_remote = true\n{ACCOUNT}'
    remote, local = machine.load(config=machine.file(text)), machine.load(config=machine.file(ACCOUNT))

    assert [notice for notice in remote.notices if "has no password" in notice]
    assert not [notice for notice in local.notices if "password" in notice]
