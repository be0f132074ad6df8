"""Who is at the other end of a connection, and what was refused to them: facts, for a log.

A Unix socket's peer is named by the kernel (SO_PEERCRED: who connected, at that time), a TCP peer by its
address alone. The command's name is what /proc says later, and what the process calls itself: a hint for
who reads the log, and nothing to decide by.
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
        """Whose connections count together: a user's, or those from one address."""
        return self.address if self.uid is None else self.uid

    def facts(self) -> dict[str, int | str]:
        """What a log line says of them."""
        if self.uid is None or self.pid is None or self.gid is None:
            return {"peer": self.address}
        known = {"pid": self.pid, "uid": self.uid, "gid": self.gid}
        name = command_of(self.pid)
        return known | ({"command": name} if name else {})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One call that was turned away: `status` is HTTP's or, from 1000 on, WebSocket's close code."""

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
    """The name of a process, made safe; "" where /proc does not tell (it ended, or is hidden from us)."""
    try:
        return plain(Path(f"/proc/{pid}/comm").read_text(errors="replace"), _NAME_CHARS)
    except OSError:
        return ""


def plain(text: str, most: int = _REASON_CHARS) -> str:
    """A peer's text as a log may hold it: short, printable ASCII."""
    text = text.rstrip("\n")
    return "".join(char if " " <= char <= "~" else "?" for char in text[:most])
