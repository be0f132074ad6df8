"""A Debian that is booted: its own PID 1, its own network, its own disk that is gone with it."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.booted.rootfs import Unavailable

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_S = 60.0


class Failed(AssertionError):
    """A command inside ended otherwise than it should."""


class Machine:
    """What tests do to it. `pid` is its PID 1, as seen from outside."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    # ------------------------------------------------------------ commands

    def run(
        self, command: str, *, user: str = "root", timeout_s: float = 60.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """A line for bash, as typed by `user`, whatever comes of it."""
        shell = ["runuser", "-u", user, "--"] if user != "root" else []
        return subprocess.run(
            [
                "nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                "--root", "--wd", "env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", f"USER={user}",
                *shell, "bash", "-c", command,
            ],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            input=stdin,
        )  # fmt: skip

    def must(self, command: str, *, user: str = "root", timeout_s: float = 60.0, stdin: str = "") -> str:
        """The same, which must succeed; what it printed."""
        done = self.run(command, user=user, timeout_s=timeout_s, stdin=stdin)
        if done.returncode:
            raise Failed(f"$ {command}\nstatus {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def until(self, what: str, ask: Callable[[], T], *, within_s: float = 20.0) -> T:
        """The first true answer."""
        deadline, answer = time.monotonic() + within_s, None
        while time.monotonic() < deadline:
            answer = ask()
            if answer:
                return answer
            time.sleep(0.1)  # between two looks at a condition
        raise Failed(f"not within {within_s:g} s: {what}; last answer: {answer!r}\n{self.journal()[-4000:]}")

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """A file of root's."""
        self.must(f'mkdir -p "$(dirname {path})" && cat > {path} && chmod {mode} {path}', stdin=text)

    def path(self, path: str) -> Path:
        """A path of the machine as this side reaches it; nothing on the way may be a link."""
        return Path(f"/proc/{self.pid}/root{path}")

    def read(self, path: str) -> str:
        return self.must(f"cat {path}")

    # ------------------------------------------------------------ systemd

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.must(f"systemctl show {unit} -p {','.join(names)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, *words: str) -> str:
        return self.run(f"journalctl --no-pager -o short-precise {' '.join(words)}").stdout

    def records(self, unit: str) -> list[dict[str, Any]]:
        """A unit's journal, each record with all its fields."""
        said = self.must(f"journalctl --no-pager -o json -u {unit}")
        return [json.loads(line) for line in said.splitlines()]

    # ------------------------------------------------------------ its network

    def inside(self, call: Callable[[], T]) -> T:
        """What `call` returns when its sockets are made in the machine's network."""
        answers: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(fd)
                answers.append(call())
            except BaseException as error:  # noqa: BLE001  # it is raised where it was called for
                errors.append(error)

        thread = threading.Thread(target=enter)  # a namespace is entered by a thread, which ends with it
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]

    def beside(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        """A program of this side, in the machine's network alone."""
        entry = ["nsenter", f"--target={self.pid}", "--net", *command]
        return subprocess.Popen(entry, text=True, **options)


@contextlib.contextmanager
def boot(root: Path, log: Path, *, binds: dict[Path, str]) -> Iterator[Machine]:
    """Boot it on a disk in memory over `root`; `Unavailable` says why that is not possible here."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                # A test run that is killed leaves no machine behind: nspawn takes its own along.
                "setpriv", "--pdeathsig=KILL",
                "systemd-nspawn", f"--directory={root}", "--boot", "--register=no", "--keep-unit",
                "--private-network", "--volatile=overlay", "--console=pipe", "--quiet",
                "--resolv-conf=off", "--timezone=off", "--machine=vps",
                *(f"--bind-ro={there}:{here}" for there, here in binds.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield Machine(_booted(process, log))
    finally:
        _end(process)


def _booted(process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + BOOT_S
    state = "no PID 1"
    while process.poll() is None and time.monotonic() < deadline:
        for child in _children(process.pid):
            machine = Machine(child)
            with contextlib.suppress(subprocess.TimeoutExpired):
                state = machine.run("systemctl is-system-running", timeout_s=5).stdout.strip()
            if state in ("running", "degraded"):
                return child
        time.sleep(0.2)  # between two looks
    raise Unavailable(f"systemd-nspawn did not boot ({state}): {log.read_text(errors='replace')[-800:]}")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _end(process: "subprocess.Popen[bytes]") -> None:
    # SIGTERM has nspawn shut the system down; its PID 1 takes everything with it when it is killed.
    inits = _children(process.pid)
    for sign, patience_s in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        if process.poll() is None:
            process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
    for pid in inits:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
