"""Messages to systemd: ready, status, watchdog, stopping, reloading. The only module that uses sdnotify.

Nothing here blocks or raises: a manager that does not read must not stop the service. Only the supervisor
notifies; the variables are removed from the environment so that no child can.
"""

import os
import time

import sdnotify


class Notifier:
    """Sends sd_notify(3) messages if NOTIFY_SOCKET is set, and does nothing otherwise.

    Create it before the first child starts. `watchdog_interval_s` is how often to call `watchdog`, in
    seconds: half of WATCHDOG_USEC, as sd_watchdog_enabled(3) recommends, or None if systemd does not watch
    this process.
    """

    def __init__(self) -> None:
        self.watchdog_interval_s = _watchdog_interval_s()
        self._link = _connect()
        self._owed: str | None = None
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            os.environ.pop(name, None)

    @property
    def is_heard(self) -> bool:
        """Whether there is a systemd socket to notify."""
        return self._link is not None

    def ready(self) -> None:
        """Report that everything is up; also ends a reload."""
        self._owe("READY=1")

    def reloading(self) -> None:
        """Report that a reload began; `ready` ends it."""
        self._owe(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._owe("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line in `systemctl status`; characters outside ASCII become question marks."""
        line = " ".join(text.split())
        self._send("STATUS=" + line.encode("ascii", "replace").decode("ascii"))

    def watchdog(self) -> None:
        """Feed the watchdog for another interval."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._link is not None:
            self._link.socket.close()
            self._link = None

    def _owe(self, message: str) -> None:
        # A state change that met a full socket is sent again before the next message: after a lost READY=1
        # systemd would kill a healthy service.
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
