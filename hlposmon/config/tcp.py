"""Reads `[tcp]`: where to listen (loopback only, unless `allow_remote` is set), and whom to answer.

TCP has no password. Other machines are kept out since they cannot reach a loopback address, and web pages in
a browser on this machine by the checks of Host and Origin.
"""

import ipaddress
import re

from hlposmon.config.accounts import shown
from hlposmon.config.settings import TcpSettings
from hlposmon.config.tables import Reader

_HOST = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])"
_HOSTS = re.compile(rf"{_HOST}(?::\d{{1,5}})?")
_ORIGINS = re.compile(rf"https?://{_HOST}(?::\d{{1,5}})?")


def read_tcp(table: Reader) -> TcpSettings:
    """The settings in `[tcp]`. Notes a mistake for a malformed address, host or origin, and for one that is
    not loopback without `allow_remote = true`."""
    listen = table.text("listen", "")
    allow_remote = table.boolean("allow_remote", False)
    hosts = _listed(table, "allowed_hosts", _HOSTS, 'names like "monitor.lan" or "monitor.lan:8000"')
    origins = _listed(table, "allowed_origins", _ORIGINS, 'origins like "http://localhost:3000"')
    table.done()
    if not listen:
        return TcpSettings("", allow_remote, hosts, origins)
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not _is_host(host) or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        table.wrong("listen", shown(listen), 'host:port, like "127.0.0.1:8000"')
    elif not allow_remote and not is_loopback(host):
        table.wrong(
            "listen",
            f"{shown(listen)}, which others can reach",
            "a loopback address like 127.0.0.1:8000, or allow_remote = true beside it",
        )
    return TcpSettings(listen, allow_remote, hosts, origins)


def reachable_notice(tcp: TcpSettings) -> str | None:
    """The notice for an address that other machines can reach; None for loopback or without TCP."""
    host = tcp.listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
    if not host or is_loopback(host):
        return None
    return (
        f"[tcp] listen = {shown(tcp.listen)} can be reached by others, and has no password: whoever reaches"
        " it sees every position; SECURITY.md says how to do better"
    )


def _is_host(host: str) -> bool:
    """Whether this is an IP address or a valid host name. It is not resolved, since the answer may change."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            return bool(host) and host.isprintable() and bool(host.encode("idna"))
        except UnicodeError:
            return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host: a loopback address, or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listed(table: Reader, name: str, form: re.Pattern[str], wanted: str) -> tuple[str, ...]:
    values = table.texts(name)
    for value in values:
        if form.fullmatch(value) is None:
            table.wrong(
                name, shown(value), f"{wanted}: each by its name, without a path, and none for all (*)"
            )
    return tuple(value.lower() for value in values)
