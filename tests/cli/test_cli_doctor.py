"""`hlposmon doctor`: what is wrong is named with its place and what to do; nothing hangs, no key is shown."""

import contextlib
import json
import os
import pwd
import socket
import stat
import threading
from pathlib import Path

import pytest

from hlposmon.checks import machine, permissions, setup
from hlposmon.checks.asking import unheard
from hlposmon.checks.findings import Check, Finding, Place
from hlposmon.checks.keys import keys
from hlposmon.checks.running import examine
from hlposmon.config import Flags, locate
from hlposmon.errors import NotPermitted, VenueUnavailable
from hlposmon.ipc.listeners import open_door
from tests.clock import awake_s
from tests.system.world import World

KEY = "0x" + "4c" * 32
ADDRESS = "0x" + "ab" * 20
STATES = {"ok", "warn", "fail", "skipped", "unknown"}


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.close()


def doctor(world, *args, status=None, **environ):
    """The findings as rows, and how long it took."""
    before = {name: os.environ.get(name) for name in environ}
    began = awake_s()
    os.environ.update(environ)
    try:
        extra = dict(environ)
        plain = world.environ
        world.environ = lambda: plain() | extra
        done = world.run("doctor", "--json", *args)
        world.environ = plain
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    took_s = awake_s() - began
    assert KEY[2:] not in done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert {row["state"] for row in said["findings"]} <= STATES
    assert done.returncode == (0 if said["ok"] else 1)
    if status is not None:
        assert done.returncode == status, said
    return said["findings"], took_s


def of(findings, check):
    return [(row["state"], row["text"]) for row in findings if row["check"] == check]


def place(tmp_path, **environ):
    flags = Flags(socket=tmp_path / "run" / "m.sock", state_dir=tmp_path, log_dir=tmp_path)
    environ = {"HOME": str(tmp_path / "home"), **environ}
    return Place(flags, environ, locate(flags, environ, root=tmp_path), None, (), root=tmp_path)


# ------------------------------------------------------------------ with an exchange


@pytest.mark.system
def test_on_a_sound_set_up_nothing_fails(world):
    world.open_exchange("--seed", "3")
    findings, _ = doctor(world, "--address", f"main={world.accounts[0]}", *world.urls, status=0)

    assert of(findings, "clock")[0][0] == "ok"
    assert of(findings, "stream")[0][0] == "ok"
    assert of(findings, "exchange limits")[0][0] == "ok"
    role, following, positions, *rest = of(findings, "address main")
    assert role == ("ok", f"{world.accounts[0]} is an account")
    assert following[1].endswith("account 1 of at most 10")
    assert "positions on the first dex" in positions[1]
    assert positions[1].endswith("(1 other dexes were looked at)")
    assert rest == [
        ("ok", "account mode default"),
        ("ok", "spot balances: none"),
        ("ok", "sub-accounts: none"),
        ("ok", "vault stakes: none"),
        ("ok", "staking: none"),
    ]
    assert of(findings, "monitor")[0][0] == "skipped"
    assert of(findings, "not covered")


@pytest.mark.system
@pytest.mark.parametrize("mode", ["unifiedAccount", "dexAbstraction"])
def test_an_account_whose_equity_is_elsewhere_too_is_named(world, mode):
    world.open_exchange("--seed", "3")
    world.control.mode(world.accounts[0], mode)
    findings, _ = doctor(world, "--address", f"main={world.accounts[0]}", *world.urls)

    [(state, text)] = [pair for pair in of(findings, "address main") if pair[1].startswith("account mode")]
    assert (state, text.startswith(f"account mode {mode}: ")) == ("warn", True)


@pytest.mark.system
def test_a_running_monitor_is_asked(world):
    world.open_exchange("--seed", "3")
    world.start()
    findings, _ = doctor(world, "--address", f"main={world.accounts[0]}", *world.urls)

    assert of(findings, "monitor")[0][0] in ("ok", "warn")
    assert "of 1200 request weight" in of(findings, "weight")[0][1]
    room = int(of(findings, "exchange limits")[0][1].split("may use ")[1].split()[0])
    assert room < 1200 - 400, "what the monitor may need to close gaps is left to it"
    assert of(findings, "group") == [("ok", f"this user may ask at {world.socket}")]
    shown = [text for state, text in of(findings, "permissions") if state == "ok"]
    assert any(text.startswith(f"{world.socket}: 0660") for text in shown)
    assert any(text.startswith(f"{world.socket.with_name('snapshot')}: 0640") for text in shown)


@pytest.mark.system
def test_beside_a_simulated_run_nothing_fails_that_is_not_wrong(world):
    world.start("--simulate", "--seed", "3")
    findings, _ = doctor(world, status=0)

    (state, said), (_, judged) = of(findings, "config")
    assert (state, said.startswith(f"the monitor at {world.socket} is a simulated run")) == ("ok", True)
    assert judged.endswith("valid, mode simulated")
    assert of(findings, "accounts") == [("ok", "simulated: the simulated exchange brings its own")]
    assert of(findings, "exchange") == [("skipped", "simulated: no exchange is asked")]
    assert of(findings, "monitor")[0] == ("ok", "simulated, healthy")


@pytest.mark.system
def test_what_a_flag_names_is_checked_as_live_beside_a_simulated_run_too(world):
    world.start("--simulate", "--seed", "3")
    config = world.folder / "c.toml"
    config.write_text("")
    findings, _ = doctor(world, "--offline", "--config", str(config), status=1)
    [(state, text)] = of(findings, "config")
    assert (state, text.startswith("no account to watch")) == ("fail", True)

    findings, _ = doctor(world, "--offline", "--address", ADDRESS, status=0)
    assert [text.endswith("valid, mode live") for _, text in of(findings, "config")] == [True]


@pytest.mark.system
def test_an_address_that_is_unknown_fails_and_of_an_agent_its_account_is_checked(world):
    world.open_exchange("--seed", "3")
    agent, master = "0x" + "cd" * 20, world.accounts[0]
    world.control.agent(agent, master)
    args = ["--address", f"a={agent}", "--address", f"b={ADDRESS}", *world.urls]
    findings, _ = doctor(world, *args, status=1)

    said, key, role, _, positions, mode, *_ = of(findings, "address a")
    assert said == ("ok", f"{agent} is an agent (API wallet): its account {master} is watched")
    assert (key[0], key[1].startswith("the agent's key expires at ")) == ("ok", True)
    assert role == ("ok", f"{master} is an account")
    assert "positions on the first dex" in positions[1] and mode[0] == "ok"
    [unknown] = of(findings, "address b")
    assert unknown == ("fail", f"the exchange does not know {ADDRESS}")


@pytest.mark.system
@pytest.mark.parametrize("kind", ["hangs", "refuses", "talks rubbish"])
def test_an_exchange_that_does_not_answer_is_named_within_the_limit(world, kind):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if kind == "refuses":
        listener.close()
    if kind == "talks rubbish":
        threading.Thread(target=_rubbish, args=(listener,), daemon=True).start()
    urls = ["--api-url", f"http://127.0.0.1:{port}", "--ws-url", f"ws://127.0.0.1:{port}/ws"]
    findings, took_s = doctor(world, "--address", ADDRESS, *urls, status=1)
    listener.close()

    for check in ("clock", "stream", "address main"):
        assert of(findings, check)[0][0] == "fail", findings
    assert took_s < 8, "3.6 s for two questions, the rest is the start of Python on a busy machine"


def _rubbish(listener):
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            sock.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            sock.close()


@pytest.mark.system
def test_offline_asks_nobody_and_says_so(world):
    findings, _ = doctor(world, "--offline", "--address", ADDRESS, "--api-url", "http://127.0.0.1:9")

    assert of(findings, "exchange") == [("skipped", "left out (--offline)")]
    assert of(findings, "clock") == []


@pytest.mark.system
def test_a_broken_configuration_is_one_line_a_mistake(world, tmp_path):
    config = tmp_path / "bad.toml"
    config.write_text("nonsense = 1\n[prices]\ninterval_s = 'x'\n")
    findings, _ = doctor(world, "--offline", "--config", str(config), status=1)
    failed = [text for state, text in of(findings, "config") if state == "fail"]

    assert len(failed) >= 2
    assert all(str(config) in text or "account" in text for text in failed)
    assert of(findings, "accounts") == [("skipped", "the configuration is not valid")]


@pytest.mark.system
def test_for_people_each_check_is_a_line_and_what_to_do_stands_below(world, tmp_path):
    config = tmp_path / "hlposmon.toml"
    config.write_text(f'[[venues.hyperliquid.accounts]]\naddress = "0x{"0" * 40}"\n')
    done = world.run("doctor", "--offline", "--config", str(config))
    lines = done.stdout.splitlines()

    assert any(line.startswith("fail    accounts: ") for line in lines)
    assert any(line.startswith("        -> put your address there") for line in lines)
    assert lines[-1].startswith("1 failed")
    assert done.stderr == ""


# ------------------------------------------------------------------ keys


@pytest.mark.system
def test_a_key_in_the_environment_is_named_and_not_shown(world):
    findings, _ = doctor(world, "--offline", "--address", ADDRESS, HYPERLIQUID_PRIVATE_KEY=KEY, status=0)

    assert of(findings, "keys")[0] == ("warn", "HYPERLIQUID_PRIVATE_KEY is in the environment and not needed")


@pytest.mark.parametrize(
    ("where", "text", "line"),
    [
        ("home/.env", f"A=1\nHYPERLIQUID_PRIVATE_KEY={KEY}\n", 2),
        ("home/.config/hlposmon/.env", f"export HYPERLIQUID_PRIVATE_KEY='{KEY[2:]}'\n", 1),
        ("etc/hlposmon/hlposmon.toml", f'# a comment\n\nprivate_key = "{KEY}"\n', 3),
        ("etc/hlposmon/backup.txt", KEY, 1),
        ("etc/default/hlposmon", "HYPERLIQUID_PRIVATE_KEY=short\n", 1),
        ("etc/systemd/system/hlposmon.service.d/key.conf",
         f"[Service]\nEnvironment=HYPERLIQUID_PRIVATE_KEY={KEY}\n", 2),
        ("etc/systemd/system/hlposmon-health.service.d/key.conf", f"[Service]\nEnvironment=K={KEY}\n", 2),
        ("etc/systemd/system/hlposmon-alert@.service.d/key.conf", f"[Service]\nEnvironment=K={KEY}\n", 2),
        ("etc/systemd/system/hlposmon-alert@hlposmon.service.service.d/a.conf", f"Environment=K={KEY}\n", 1),
        ("etc/systemd/system/hlposmon-.service.d/a.conf", f"Environment=K={KEY}\n", 1),
        *((f"home/{name}", f"\nexport HYPERLIQUID_PRIVATE_KEY={KEY}\n", 2)
          for name in (".bashrc", ".profile", ".bash_profile", ".zshrc", ".zshenv", ".zprofile")),
        ("home/.config/environment.d/10.conf", f"HYPERLIQUID_PRIVATE_KEY={KEY}\n", 1),
        ("etc/environment", f"HYPERLIQUID_PRIVATE_KEY={KEY}\n", 1),
        ("etc/profile.d/trading.sh", f"export WALLET={KEY[2:].upper()}\n", 1),
        ("etc/hlposmon/credentials/wallet", KEY, 1),
        ("etc/hlposmon/credentials/old/2025/wallet", f"{KEY[2:]}\n", 1),
    ],
)  # fmt: skip
def test_a_key_that_lies_in_a_file_is_named_by_its_line(tmp_path, where, text, line):
    path = tmp_path / where
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o600)
    [private] = keys(place(tmp_path))
    path.chmod(0o644)
    [open_to_all] = keys(place(tmp_path))

    assert (private.state, open_to_all.state) == ("warn", "fail")
    assert f"{path}: line {line}:" in private.text
    assert KEY[2:] not in private.text + private.remedy + open_to_all.text
    assert "HYPERLIQUID_ACCOUNT_ADDRESS" in private.remedy


@pytest.mark.parametrize(
    "text", ["", "# HYPERLIQUID_PRIVATE_KEY=0x...\n", f"address = {ADDRESS}\n", "HYPERLIQUID_PRIVATE_KEY=\n"]
)
def test_what_is_no_key_is_none(tmp_path, text):
    path = tmp_path / "home/.env"
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert [finding.state for finding in keys(place(tmp_path))] == ["ok"]


@pytest.mark.parametrize(
    "text",
    [
        "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",  # not all hex
        "4c" * 64,  # twice as long: a hash
        "4c" * 16,
        "0x" + "00" * 32,
        "ff" * 32,  # beyond the curve
    ],
)
def test_a_credential_of_another_venue_is_no_key(tmp_path, text):
    path = tmp_path / "etc/hlposmon/credentials/binance-api-secret"
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert [finding.state for finding in keys(place(tmp_path))] == ["ok"]


def test_what_was_not_looked_at_is_said(tmp_path, monkeypatch):
    folder = tmp_path / "etc/hlposmon/credentials"
    (folder / "below").mkdir(parents=True)
    for number in range(80):
        (folder / f"below/{number}").write_text("x")
    (folder / "loop").symlink_to(folder)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.bashrc").write_text("x" * (300 * 1024))
    found = keys(place(tmp_path))

    assert [(finding.state, finding.text.removeprefix(str(tmp_path))) for finding in found] == [
        ("skipped", "/etc/hlposmon/credentials: only 64 files of it were looked at"),
        ("skipped", "/home/.bashrc: only its first 256 KiB were looked at"),
        ("ok", "no private key found where one would lie"),
    ]


def test_what_may_not_be_read_is_said(tmp_path):
    for name in ("etc/hlposmon/credentials", "home/.bashrc"):
        (tmp_path / name).mkdir(parents=True) if "etc" in name else (tmp_path / "home").mkdir()
    (tmp_path / "home/.bashrc").write_text(KEY)
    for path in (tmp_path / "etc/hlposmon/credentials", tmp_path / "home/.bashrc"):
        path.chmod(0)
    tmp_path.chmod(0o755)
    uid = os.geteuid()
    try:
        os.seteuid(65534 if uid == 0 else uid)
        found = list(keys(place(tmp_path)))
    finally:
        os.seteuid(uid)
        (tmp_path / "etc/hlposmon/credentials").chmod(0o700)

    assert [(finding.state, finding.text.removeprefix(str(tmp_path))) for finding in found] == [
        ("skipped", "/etc/hlposmon/credentials: this user may not read it"),
        ("skipped", "/home/.bashrc: this user may not read it"),
        ("ok", "no private key found where one would lie"),
    ]


def test_a_fifo_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path):
    (tmp_path / "home").mkdir()
    os.mkfifo(tmp_path / "home/.env")

    assert [finding.state for finding in keys(place(tmp_path))] == ["ok"]


# ------------------------------------------------------------------ permissions


@pytest.mark.parametrize(
    ("mode", "state"), [(0o700, "ok"), (0o750, "ok"), (0o770, "warn"), (0o777, "fail"), (0o1777, "warn")]
)
def test_the_sockets_folder_is_judged_by_who_may_write(tmp_path, mode, state):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(mode)

    assert [finding.state for finding in permissions.runtime(place(tmp_path))] == [state]


def test_a_folder_that_is_a_link_is_named(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")

    assert [finding.state for finding in permissions.runtime(place(tmp_path))] == ["fail"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("is_services", [False, True])
def test_a_folder_that_is_another_users_fails_unless_he_is_the_services(tmp_path, monkeypatch, is_services):
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 4321, 4321)
    monkeypatch.setattr(permissions, "USER", pwd.getpwuid(0).pw_name if not is_services else "hlposmon-4321")
    known = pwd.getpwuid(0)
    service = pwd.struct_passwd((*known[:2], 4321, *known[3:]))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: service if name == "hlposmon-4321" else known)
    [finding] = permissions.runtime(place(tmp_path))

    assert finding.state == ("ok" if is_services else "fail")
    assert is_services or ("belongs to uid 4321" in finding.text and finding.remedy)


@pytest.mark.parametrize("spoil", ["link", "everybody", "sticky", "none"])
def test_the_doctor_judges_a_folder_as_run_does(tmp_path, spoil):
    folder = tmp_path / "run"
    (tmp_path / "real").mkdir()
    if spoil == "link":
        folder.symlink_to(tmp_path / "real")
    else:
        folder.mkdir()
        folder.chmod({"everybody": 0o707, "sticky": 0o1707, "none": 0o700}[spoil])
    try:
        open_door(folder / "m.sock").close()
        (folder / "m.sock").unlink()
        refused = False
    except NotPermitted:
        refused = True

    states = [finding.state for finding in permissions.runtime(place(tmp_path))]
    assert states == ["fail" if refused else "ok"]


@pytest.mark.parametrize(("name", "mode"), [("m.sock", 0o666), ("snapshot", 0o644)])
def test_a_socket_or_snapshot_for_everybody_is_named(tmp_path, name, mode):
    (tmp_path / "run").mkdir(mode=0o700)
    path = tmp_path / "run" / name
    path.touch()
    path.chmod(mode)
    found = [finding for finding in permissions.runtime(place(tmp_path)) if finding.state == "fail"]

    assert [finding.text.split(" is ")[0] for finding in found] == [str(path)]
    assert "chmod" in found[0].remedy


def test_a_configuration_that_everybody_may_write_and_an_open_credential_are_named(tmp_path):
    config, secret = tmp_path / "etc/hlposmon/hlposmon.toml", tmp_path / "secret"
    config.parent.mkdir(parents=True)
    for path, mode in ((config, 0o666), (secret, 0o640 | stat.S_IROTH)):
        path.touch()
        path.chmod(mode)
    failed = [
        finding.text
        for finding in permissions.files(place(tmp_path, BINANCE_API_SECRET_FILE=str(secret)))
        if finding.state == "fail"
    ]

    assert failed == [
        f"everybody may write {config}, and so choose what is watched",
        f"others may read the credential {secret}",
    ]


# ------------------------------------------------------------------ the machine


def test_a_cgroups_memory_limit_is_the_one_that_counts(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1 kB\nMemAvailable:    4000000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/hlposmon.service\n")
    group = tmp_path / "sys/fs/cgroup/system.slice"
    (group / "hlposmon.service").mkdir(parents=True)
    (group / "hlposmon.service/memory.max").write_text("max\n")
    (group / "memory.max").write_text(f"{100 << 20}\n")
    memory = [finding for finding in machine.limits(place(tmp_path)) if "memory" in finding.text]

    assert [(finding.state, finding.text[:10]) for finding in memory] == [("warn", "100 MiB of")]


def unit(tmp_path, text):
    (tmp_path / "run/systemd/system").mkdir(parents=True, exist_ok=True)
    path = tmp_path / "etc/systemd/system/hlposmon.service"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return [finding.state for finding in setup.unit(place(tmp_path))]


def test_a_unit_that_starts_what_is_not_there_or_is_outdated_is_named(tmp_path):
    shipped = (Path(__file__).parents[2] / "systemd/hlposmon.service").read_text()
    assert [finding.state for finding in setup.unit(place(tmp_path))] == ["skipped"]
    assert unit(tmp_path, shipped) == ["ok", "fail"]
    (tmp_path / "opt/hlposmon/bin").mkdir(parents=True)
    (tmp_path / "opt/hlposmon/bin/hlposmon").touch()

    assert unit(tmp_path, shipped) == ["ok"]
    assert unit(tmp_path, shipped.replace("WatchdogSec", "#")) == ["ok", "warn"]


# ------------------------------------------------------------------ the running of checks


def test_a_check_that_hangs_is_named_and_one_that_fails_costs_no_other(tmp_path):
    over = threading.Event()
    checks = (
        Check("stuck", lambda _: over.wait(60) and ()),
        Check("broken", lambda _: 1 / 0),
        Check("sound", lambda _: [Finding("sound", "ok", "")]),
    )
    began = awake_s()
    findings = examine(checks, place(tmp_path))
    over.set()

    assert [(finding.check, finding.state) for finding in findings] == [
        ("stuck", "fail"), ("broken", "fail"), ("sound", "ok")
    ]  # fmt: skip
    assert awake_s() - began < 5


def test_a_certificate_that_nobody_vouches_for_is_no_matter_of_the_network():
    error = VenueUnavailable("POST https://x/info: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    finding = unheard("clock", "https://x", error)

    assert finding.state == "fail"
    assert "REQUESTS_CA_BUNDLE" in finding.remedy
    assert "firewall" in unheard("clock", "https://x", VenueUnavailable("no route to host")).remedy
