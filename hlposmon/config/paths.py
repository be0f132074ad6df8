"""Resolves all paths. The first one given wins: flag, environment, config, systemd's directories, the
system's folder, the user's folder. (systemd's directories come before the config for the state and log
folders.)

Nothing is created here. `locate` is for commands that only need to find a monitor: it reads no more than it
needs, and a broken config never stops it. `root` stands for `/`, so that a test can use another folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hlposmon.config import places
from hlposmon.config.settings import Flags, Paths

ROOT = Path("/")
# sun_path holds 108 bytes including the final zero (unix(7)). The workers' queue, `.NAME.q` beside the
# socket, has a path three bytes longer than the socket's.
SOCKET_BYTES = 107 - 3
# Files of ours beside the socket; .lock is there when the state or the logs share its folder.
OUR_NAMES = ("snapshot", ".snapshot.lock", ".lock")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The inputs of path resolution: flags, environment, and the folder that stands for `/`."""

    flags: Flags
    environ: Mapping[str, str]
    root: Path = ROOT

    def home(self) -> Path:
        """The user's home folder (`places.home`)."""
        return Path(places.home(self.environ))

    def absolute(self, text: str | Path) -> Path:
        """A path from a flag or the environment as absolute; `~/` and relative paths work as in a shell."""
        return Path(places.absolute(str(text), self.environ))

    def systemd(self, name: str) -> Path | None:
        """The first folder in one of systemd's directory variables, such as STATE_DIRECTORY, if any."""
        folder = places.systemd(name, self.environ)
        return None if folder is None else Path(folder)

    def user_state(self) -> Path:
        """The state folder of a monitor that this user runs."""
        return Path(places.user_state(self.environ))

    def system_config(self) -> Path:
        """The configuration file of the system service."""
        return self.root / "etc/hlposmon/hlposmon.toml"


def named_config(around: Surroundings) -> Path | None:
    """The config file named by --config or HLPOSMON_CONFIG, whether or not it exists; None without either."""
    named = around.flags.config or around.environ.get("HLPOSMON_CONFIG")
    return around.absolute(named) if named else None


def find_config(around: Surroundings) -> Path | None:
    """The config file to read: the named one, else the first readable standard one, else None."""
    named = str(around.flags.config) if around.flags.config else None
    path = places.find_config(named, around.environ, str(around.root))
    return None if path is None else Path(path)


def unreadable_config(around: Surroundings) -> Path | None:
    """The system config if it exists but this user may not read it, which deserves a notice; else None."""
    path = around.system_config()
    there = os.access(path.parent, os.X_OK) and path.exists()
    return path if there and not os.access(path, os.R_OK) else None


def resolve(
    around: Surroundings,
    config: Path | None,
    table: Mapping[str, object],
    simulated: bool,
    *,
    reading: bool = False,
) -> Paths:
    """Resolve all paths. `table` is the top level of the config; values that are not text are ignored.

    `reading` is for commands that only read. For a user without a monitor of their own it selects the
    system's folders even if they may not enter them, so that the command reports the missing permission.
    """
    socket = _socket(around, table)
    is_systems = _is_systems(around, config, socket)
    state, state_is_chosen = _state(around, is_systems, table, reading)
    log, log_is_chosen = _log(around, is_systems, table, reading)
    if simulated:
        state = state if state_is_chosen else state / "simulated"
        log = log if log_is_chosen else _simulated_log(log)
    return Paths(config, socket, socket.parent / "snapshot", state, log)


def socket_mistakes(paths: Paths) -> list[str]:
    """The mistakes that make this socket path impossible for any monitor: too long, a name of our own files,
    or in the way of the state or log folder."""
    socket = paths.socket
    named = "with --socket, HLPOSMON_SOCKET or socket = in the config"
    found = []
    length = len(os.fsencode(socket))
    if length > SOCKET_BYTES:
        found.append(
            f"socket: found the path {socket} of {length} bytes, wanted at most {SOCKET_BYTES}"
            f" (a limit of Unix sockets): give a shorter one {named}"
        )
    if not socket.name or socket.name in OUR_NAMES:
        found.append(
            f"socket: found the path {socket}, wanted a file that is none of the monitor's own"
            f" ({', '.join(OUR_NAMES)}): give another {named}"
        )
    found += [
        f"socket: found the path {socket}, wanted one that is not {what} {folder} nor above it:"
        f" give another {named}"
        for what, folder in (("the state folder", paths.state_dir), ("the log folder", paths.log_dir))
        if socket.name and folder.is_relative_to(socket)
    ]
    return found


def _simulated_log(log: Path) -> Path:
    """The log folder of simulated runs: `.../hlposmon/log` becomes `.../hlposmon/simulated/log`, any other
    folder F becomes `F/simulated`."""
    if log.name == "log" and log.parent.name == "hlposmon":
        return log.parent / "simulated" / "log"
    return log / "simulated"


def _text(table: Mapping[str, object], key: str, around: Surroundings) -> Path | None:
    value = table.get(key)
    return around.absolute(value) if isinstance(value, str) and value else None


def _socket(around: Surroundings, table: Mapping[str, object]) -> Path:
    chosen = str(around.flags.socket) if around.flags.socket else None
    configured = table.get("socket")
    named = configured if isinstance(configured, str) and configured else None
    return Path(places.socket_path(chosen, around.environ, named, str(around.root)))


def _is_systems(around: Surroundings, config: Path | None, socket: Path) -> bool:
    """Whether the monitor is the system's, as its socket or its config shows."""
    return socket.parent == around.root / "run/hlposmon" or config == around.system_config()


def _is_ours(around: Surroundings, system: Path, reading: bool) -> bool:
    """Whether this user's monitor, or with `reading` the one they ask about, uses the system's folder."""
    if os.access(system, os.R_OK | os.X_OK):
        return True
    return reading and system.is_dir() and not around.user_state().exists()


def _state(
    around: Surroundings, is_systems: bool, table: Mapping[str, object], reading: bool
) -> tuple[Path, bool]:
    """The state folder, and whether it was chosen for this run, that is by a flag."""
    if around.flags.state_dir:
        return around.absolute(around.flags.state_dir), True
    given = around.systemd("STATE_DIRECTORY") or _text(table, "state_dir", around)
    if given is not None:
        return given, False
    system = around.root / "var/lib/hlposmon"
    if is_systems and _is_ours(around, system, reading):
        return system, False
    return around.user_state(), False


def _log(
    around: Surroundings, is_systems: bool, table: Mapping[str, object], reading: bool
) -> tuple[Path, bool]:
    chosen = around.flags.log_dir or around.environ.get("LOG_DIR")
    if chosen:
        return around.absolute(chosen), True
    given = around.systemd("LOGS_DIRECTORY") or _text(table, "log_dir", around)
    if given is not None:
        return given, False
    system = around.root / "var/log/hlposmon"
    if is_systems and _is_ours(around, system, reading):
        return system, False
    return around.user_state() / "log", False


def locate(flags: Flags, environ: Mapping[str, str], *, root: Path = ROOT) -> Paths:
    """The paths of the monitor, for a command that only has to find it. A broken config is ignored."""
    around = Surroundings(flags, environ, root)
    config = find_config(around)
    simulated = flags.simulate or environ.get("ENABLE_LIVE_TRADING", "").strip().lower() in FALSE
    paths = resolve(around, config, _top_level(config), simulated, reading=True)
    return replace(paths, socket=Path(places.for_reader(str(paths.socket), environ, str(root))))


TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")


def _top_level(config: Path | None) -> Mapping[str, object]:
    if config is None:
        return {}
    import tomllib

    try:
        with config.open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
