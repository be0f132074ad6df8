"""Who is at the other end of a connection, and what was refused to them: facts for the log.

The kernel names a Unix socket's peer (SO_PEERCRED: as it was when it connected); a TCP peer is known by its
address only. The command's name is read from /proc later, and a process chooses it: a hint for readers of the
log, never a basis for a decision.
"""

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

UCRED = struct.Struct("iII")  # Linux: pid, uid, gid
_NAME_CHARS = 40
_REASON_CHARS = 120


@dataclass(frozen=True, slots=True)
class Caller:
    """The peer of one connection; the numbers are None where the kernel does not vouch for them."""

    pid: int | None = None
    uid: int | None = None
    gid: int | None = None
    address: str = ""

    @property
    def party(self) -> int | str:
        """The party whose connections are counted together: the uid, or on TCP the address."""
        return self.address if self.uid is None else self.uid

    def facts(self) -> dict[str, int | str]:
        """The fields of a log line about this caller."""
        if self.uid is None or self.pid is None or self.gid is None:
            return {"peer": self.address}
        known = {"pid": self.pid, "uid": self.uid, "gid": self.gid}
        name = command_of(self.pid)
        return known | ({"command": name} if name else {})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused call. `status` is an HTTP status or, from 1000 on, a WebSocket close code."""

    status: int
    reason: str
    caller: Caller


def caller_of(sock: socket.socket) -> Caller:
    """The peer of a connected socket."""
    try:
        if sock.family == socket.AF_UNIX:
            raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
            return Caller(*UCRED.unpack(raw))
        return Caller(address=str(sock.getpeername()[0]))
    except OSError:
        return Caller()


def command_of(pid: int) -> str:
    """The command name of a process, made safe; "" if /proc does not show it (it ended, or is hidden)."""
    try:
        return plain(Path(f"/proc/{pid}/comm").read_text(errors="replace"), _NAME_CHARS)
    except OSError:
        return ""


def plain(text: str, most: int = _REASON_CHARS) -> str:
    """A peer's text made safe for the log: printable ASCII, at most `most` characters."""
    text = text.rstrip("\n")
    return "".join(char if " " <= char <= "~" else "?" for char in text[:most])
