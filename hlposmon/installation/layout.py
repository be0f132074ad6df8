"""Where each file of the package goes on the system. A table; nothing here touches a disk.

Units and files that the administrator may edit go to /etc, all others to /usr/local, the place for software
that an administrator installs beside the distribution's own (FHS 3.0, 4.9).
"""

from dataclasses import dataclass

PREFIX = "/opt/hlposmon"
RECORD = "/usr/local/share/hlposmon/installed.json"
CONFIG_FOLDER, CONFIG = "/etc/hlposmon", "/etc/hlposmon/hlposmon.toml"
STATE, LOGS, RUNTIME = "/var/lib/hlposmon", "/var/log/hlposmon", "/run/hlposmon"
# Not inside the state folder: root restores files from here, and the service's user could change them there.
SAVED = "/var/lib/hlposmon-saved"
NAGIOS = "/usr/lib/nagios/plugins"
UNITS = "/etc/systemd/system"
SYSUSERS, TMPFILES = "/etc/sysusers.d/hlposmon.conf", "/etc/tmpfiles.d/hlposmon.conf"
SERVICE = "hlposmon.service"
TIMER = "hlposmon-health.timer"


@dataclass(frozen=True, slots=True)
class Place:
    """One file: `source` within the package's files, `target` on the system.

    `edited`: the administrator may change it, and an upgrade then leaves it alone. `source` is None for a
    file that is not copied from the package.
    """

    source: str | None
    target: str
    mode: int = 0o644
    edited: bool = False


FILES = (
    Place("systemd/hlposmon.service", f"{UNITS}/{SERVICE}"),
    Place("systemd/hlposmon-health.service", f"{UNITS}/hlposmon-health.service"),
    Place("systemd/hlposmon-health.timer", f"{UNITS}/{TIMER}"),
    Place("systemd/hlposmon-alert@.service", f"{UNITS}/hlposmon-alert@.service"),
    Place("systemd/hlposmon-alert", "/usr/local/lib/hlposmon/alert", 0o755),
    Place("systemd/sysusers.d/hlposmon.conf", SYSUSERS),
    Place("systemd/tmpfiles.d/hlposmon.conf", TMPFILES),
    Place("etc/hlposmon.toml", CONFIG, edited=True),
    Place("etc/cron.d/hlposmon", "/etc/cron.d/hlposmon", edited=True),
    Place("etc/logrotate.d/hlposmon", "/etc/logrotate.d/hlposmon", edited=True),
    Place("man/hlposmon.1", "/usr/local/share/man/man1/hlposmon.1"),
    Place("man/hlposmon.toml.5", "/usr/local/share/man/man5/hlposmon.toml.5"),
)

# Where each shell looks for locally installed completions.
COMPLETIONS = {
    "bash": "/usr/local/share/bash-completion/completions/hlposmon",
    "zsh": "/usr/local/share/zsh/site-functions/_hlposmon",
    "fish": "/usr/local/share/fish/vendor_completions.d/hlposmon.fish",
}

# Commands on the PATH, and the programs in the environment that they link to.
LINKS = {"/usr/local/bin/hlposmon": "hlposmon", "/usr/local/bin/check_hlposmon": "check_hlposmon"}

# Files that only the administrator writes.
DEFAULTS = "/etc/default/hlposmon"
DROP_INS = tuple(
    f"{UNITS}/{unit}.d" for unit in (SERVICE, "hlposmon-health.service", TIMER, "hlposmon-alert@.service")
)

# Folders that only this package uses, innermost first; removed when they are empty.
OWN_FOLDERS = (
    "/usr/local/lib/hlposmon",
    "/usr/local/share/hlposmon",
    f"{CONFIG_FOLDER}/credentials",
    CONFIG_FOLDER,
    *DROP_INS,
)
