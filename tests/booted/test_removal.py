"""Away again: what a removal leaves, what comes back, and that a purge leaves nothing."""

from tests.booted.conftest import Host, commands, files

# Made by Debian's own tools while the package was there: user databases' copies, caches, trust.
DEBIANS = (
    "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid", "/etc/subgid",
    "/root/.cache",
        "/etc/.pwd.lock", "/var/cache", "/var/lib/systemd", "/var/lib/logrotate", "/var/lib/apt", "/var/log",
    "/home", "/var/mail", "/var/spool", "/usr/lib/python3", "/etc/mtab", "/root/.local",
)  # fmt: skip


# State, what was changed in /etc, and logs.
KEPT = ("/var/lib/hlposmon", "/var/log/hlposmon")


def left(host: Host, before: set[str] | None = None) -> set[str]:
    """Files that were not there before the installation and are no leavings of Debian's own tools."""
    new = files(host.machine) - (host.before if before is None else before)
    return {path for path in new if not path.startswith(DEBIANS) or "hlposmon" in path}


def test_a_removal_leaves_state_and_logs_and_an_installation_goes_on_from_there(host: Host):
    machine = host.machine
    accounts = machine.read("/etc/hlposmon/hlposmon.toml")
    machine.must(f"set -e; {commands('remove')}")

    assert {path for path in left(host) if not path.startswith(KEPT)} == set()
    assert machine.run("pgrep -u hlposmon").stdout == ""
    assert machine.run("systemctl cat hlposmon.service").returncode != 0

    machine.must(f"set -e; cd /srv/package\n{commands('install')}", timeout_s=180)
    assert machine.read("/etc/hlposmon/hlposmon.toml") == accounts
    machine.must(f"set -e; {commands('start')}", timeout_s=180)
    host.agrees()


def test_a_purge_leaves_nothing(host: Host):
    machine = host.machine
    machine.must(f"set -e; {commands('purge')}")

    assert left(host) == set()
    assert machine.run("getent passwd hlposmon").returncode != 0
    assert machine.run("getent group hlposmon").returncode != 0


def simulated(host: Host, how: str) -> None:
    """Install by other commands, run on the simulated exchange, look, and purge."""
    machine = host.machine
    machine.must(f"set -e; cd /srv/package\n{commands(how)}", timeout_s=240)
    machine.must(f"set -e; {commands('simulated')}", timeout_s=120)
    assert machine.must("hlposmon wait --ready --timeout 60 && hlposmon health").startswith(
        "HLPOSMON OK - SIMULATED"
    )
    machine.must("hlposmon setup --purge")


def test_pipx_will_do(installed: Host):
    installed.machine.must(
        "python3 -m venv /root/tools && /root/tools/bin/pip -q install pipx uv", timeout_s=120
    )
    installed.machine.must("ln -sf /root/tools/bin/pipx /root/tools/bin/uv /usr/local/bin/")
    simulated(installed, "install-pipx")


def test_uv_will_do(installed: Host):
    installed.machine.must("rm -rf /opt/pipx /usr/local/bin/hlposmon /usr/local/bin/check_hlposmon")
    simulated(installed, "install-uv")


def test_make_will_do_from_a_checkout_that_it_leaves_alone(installed: Host):
    """It is mounted read-only; root's umask is narrow, as some administrators have it."""
    machine = installed.machine
    machine.must("rm -rf /opt/uv /usr/local/bin/hlposmon /usr/local/bin/check_hlposmon")
    before = files(machine)
    registry = "PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/pinned"
    make = f"umask 077; {registry} make -C /srv/checkout"
    machine.must(f"{make} install", timeout_s=240)
    machine.must(f"set -e; {commands('simulated')}", timeout_s=120)
    machine.must("hlposmon wait --ready --timeout 60 && hlposmon health")
    pid = machine.show("hlposmon.service", "MainPID")
    machine.must(f"{make} install", timeout_s=240)
    machine.must("hlposmon wait --ready --timeout 60 && hlposmon health")
    assert machine.show("hlposmon.service", "MainPID") != pid, "it runs on what was installed last"
    assert machine.must("ls -d /opt/hlposmon*") == "/opt/hlposmon\n"

    machine.must(f"{make} uninstall", timeout_s=60)
    assert machine.run("pgrep -u hlposmon").stdout == ""
    assert {path for path in left(installed, before) if not path.startswith(KEPT)} == set()
    machine.must(f"{make} purge", timeout_s=60)
    assert left(installed, before) == set()
