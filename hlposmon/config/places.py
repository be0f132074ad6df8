"""Resolves the paths of the socket and the config file, as text, for all commands.

`hlposmon health` runs every minute and imports only this module of the package. It must therefore import
nothing slow: no pathlib, no dataclasses, no typing. `paths` builds on it. Nothing is created here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

ROOT = "/"
SOCKET_NAME = "hlposmon.sock"
UNREAD_CONFIG = " ({} cannot be read, so a socket that it names was not tried: see 'hlposmon config check')"


def home(environ: Mapping[str, str]) -> str:
    """The home folder: `$HOME` if it is absolute, else the one in the password database."""
    given = environ.get("HOME", "")
    if given.startswith("/"):
        return given
    import pwd

    return pwd.getpwuid(os.getuid()).pw_dir


def absolute(text: str, environ: Mapping[str, str]) -> str:
    """A path from a flag or the environment as absolute; `~/` and relative paths work as in a shell."""
    first, _, rest = text.partition("/")
    return os.path.join(home(environ), rest.lstrip("/")) if first == "~" else os.path.join(os.getcwd(), text)


def systemd(name: str, environ: Mapping[str, str]) -> str | None:
    """The first folder in a directory variable of systemd, such as STATE_DIRECTORY; None if there is none."""
    first = environ.get(name, "").split(":")[0]
    return first if first.startswith("/") else None


def xdg(name: str, default: str, environ: Mapping[str, str]) -> str:
    """An XDG base folder; a relative value is invalid and ignored (basedir-spec)."""
    value = environ.get(name, "")
    return value if value.startswith("/") else os.path.join(home(environ), default)


def user_state(environ: Mapping[str, str]) -> str:
    """The state folder of a monitor that this user runs."""
    return os.path.join(xdg("XDG_STATE_HOME", ".local/state", environ), "hlposmon")


def find_config(named: str | None, environ: Mapping[str, str], root: str = ROOT) -> str | None:
    """The config file to read: the named one, whether or not it exists; else the first readable one of
    systemd's CONFIGURATION_DIRECTORY, /etc and the user's folder; else None."""
    named = named or environ.get("HLPOSMON_CONFIG")
    if named:
        return absolute(named, environ)
    folder = systemd("CONFIGURATION_DIRECTORY", environ)
    candidates = [os.path.join(folder, "hlposmon.toml")] if folder else []
    candidates.append(os.path.join(root, "etc/hlposmon/hlposmon.toml"))
    candidates.append(os.path.join(xdg("XDG_CONFIG_HOME", ".config", environ), "hlposmon/hlposmon.toml"))
    return next((path for path in candidates if os.access(path, os.R_OK)), None)


def find_socket(chosen: str | None, environ: Mapping[str, str], root: str = ROOT) -> str:
    """The socket of the monitor, for a command that only has to find it. A broken config is ignored.

    The config is read only if neither a flag nor the environment names the socket, and parsed only if it may
    name one.
    """
    if chosen or environ.get("HLPOSMON_SOCKET"):
        return socket_path(chosen, environ, None, root)
    config = find_config(None, environ, root)
    found = socket_path(None, environ, configured_socket(config) if config else None, root)
    return for_reader(found, environ, root)


def for_reader(found: str, environ: Mapping[str, str], root: str = ROOT) -> str:
    """Replace `found` by the installed service's socket if this user has no monitor of their own.

    Otherwise, while the service is down, the user would be told that no monitor runs in their own folder.
    """
    own = _user_runtime(environ, root)
    installed = os.access(os.path.join(root, "etc/hlposmon/hlposmon.toml"), os.F_OK)
    if installed and found == os.path.join(own, SOCKET_NAME) and not os.path.isdir(own):
        return os.path.join(root, "run/hlposmon", SOCKET_NAME)
    return found


def socket_path(
    chosen: str | None, environ: Mapping[str, str], configured: str | None, root: str = ROOT
) -> str:
    """The socket path. The first one given wins: flag, HLPOSMON_SOCKET, config, systemd's RUNTIME_DIRECTORY,
    the system's folder, the user's folder."""
    chosen = chosen or environ.get("HLPOSMON_SOCKET") or configured
    if chosen:
        return absolute(chosen, environ)
    runtime = systemd("RUNTIME_DIRECTORY", environ)
    if runtime is not None:
        return os.path.join(runtime, SOCKET_NAME)
    folder = os.path.join(root, "run/hlposmon")
    # If the socket is missing, for example during a restart of the service, the folder counts only for users
    # who may write in it: tmpfiles.d also creates it on machines where people run monitors of their own.
    if _is_there(os.path.join(folder, SOCKET_NAME)) or os.access(folder, os.W_OK | os.X_OK):
        return os.path.join(folder, SOCKET_NAME)
    return os.path.join(_user_runtime(environ, root), SOCKET_NAME)


def configured_socket(config: str) -> str | None:
    """The `socket` of a config file, or None; never raises, whatever is in the file."""
    try:
        with open(config, "rb") as file:
            text = file.read()
        if not _may_name_a_socket(text):
            return None
        import tomllib

        value = tomllib.loads(text.decode()).get("socket")
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, str) and value else None


def unread_config(chosen: str | None, environ: Mapping[str, str], root: str = ROOT) -> str | None:
    """The config file if it cannot be read or parsed, and nothing of higher precedence names the socket; else
    None. For a command that found no monitor: one may be running at the socket that this file names."""
    if chosen or environ.get("HLPOSMON_SOCKET"):
        return None
    config = find_config(None, environ, root)
    if config is None:
        return None
    import tomllib

    try:
        with open(config, "rb") as file:
            tomllib.loads(file.read().decode())
    except (OSError, ValueError, RecursionError):
        return config
    return None


def _may_name_a_socket(text: bytes) -> bool:
    """False if the file certainly sets no `socket`, which saves parsing: that takes as long as the rest of
    the check. A line with a backslash counts, since it could write the key with an escape.
    """
    lines = (line.lstrip() for line in text.splitlines())
    return any((b"socket" in line or b"\\" in line) and not line.startswith(b"#") for line in lines)


def _is_there(path: str) -> bool:
    try:
        os.stat(path)
    except PermissionError:
        return True  # in a folder that this user may not enter: assume that it exists
    except OSError:
        return False
    return True


def _user_runtime(environ: Mapping[str, str], root: str) -> str:
    given = environ.get("XDG_RUNTIME_DIR", "")
    if given.startswith("/"):
        return os.path.join(given, "hlposmon")
    run = os.path.join(root, "run/user", str(os.getuid()))
    return os.path.join(run, "hlposmon") if os.path.isdir(run) else os.path.join(user_state(environ), "run")
