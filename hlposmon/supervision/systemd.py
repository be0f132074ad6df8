"""Talking to systemd: ready, status, watchdog, stopping, reloading. The only door to sdnotify.

Nothing here blocks or raises: a manager that does not listen must not stop the service. Only the
supervisor speaks; the variables are taken out of the environment so that no child speaks for it.
"""

import os
import time

import sdnotify


class Notifier:
    """Speaks sd_notify when NOTIFY_SOCKET is set, and does nothing otherwise.

    Make it before the first child starts. `watchdog_interval_s` is how often to call `watchdog`: half of
    WATCHDOG_USEC, or None when no watchdog watches this process.
    """

    def __init__(self) -> None:
        self.watchdog_interval_s = _watchdog_interval_s()
        self._link = _connect()
        self._owed: str | None = None
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            os.environ.pop(name, None)

    @property
    def is_heard(self) -> bool:
        """Whether anybody is told."""
        return self._link is not None

    def ready(self) -> None:
        """Everything is up; also ends a reload."""
        self._owe("READY=1")

    def reloading(self) -> None:
        """A reload began; `ready` ends it."""
        self._owe(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service goes down."""
        self._owe("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; what is not ASCII is shown as a question mark."""
        line = " ".join(text.split())
        self._send("STATUS=" + line.encode("ascii", "replace").decode("ascii"))

    def watchdog(self) -> None:
        """All is well, for another interval."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Let go of the socket; everything afterwards does nothing."""
        if self._link is not None:
            self._link.socket.close()
            self._link = None

    def _owe(self, message: str) -> None:
        # A change of state that met a full socket is said again with the next message: a lost READY=1
        # would have systemd end a healthy service.
        self._owed = message
        self._settle()

    def _settle(self) -> None:
        if self._owed is not None and self._tell(self._owed):
            self._owed = None

    def _send(self, message: str) -> None:
        self._settle()
        self._tell(message)

    def _tell(self, message: str) -> bool:
        if self._link is None:
            return True
        try:
            self._link.notify(message)
        except OSError:
            return False
        return True


def _connect() -> sdnotify.SystemdNotifier | None:
    if not os.environ.get("NOTIFY_SOCKET"):
        return None
    try:
        link = sdnotify.SystemdNotifier(debug=True)  # debug: errors come to us instead of being lost
    except OSError:
        return None
    link.socket.setblocking(False)
    return link


def _watchdog_interval_s() -> float | None:
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(usec) / 2_000_000
