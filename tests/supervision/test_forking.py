"""What a fork of ours has of its parent, and what it must not have or do."""

import contextlib
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from supervision_stage import Manager, alive, descriptors, wait_until

from hlposmon.errors import InUse
from hlposmon.ipc.listeners import Lock
from hlposmon.supervision import logs
from hlposmon.supervision.forking import HELD_BACK, exit_code, fork
from hlposmon.supervision.signals import Signals, Wake
from hlposmon.supervision.systemd import Notifier


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


def ended(pid: int) -> int:
    code: list[int] = []
    wait_until(lambda: code or code.extend(c for c in [exit_code(pid)] if c is not None))
    return code[0]


def said_by(work: Callable[[], object], **options: object) -> str:
    """What a fork has to say."""
    out, inlet = os.pipe()
    with os.fdopen(out) as reader:
        pid = fork(lambda: print(work(), file=os.fdopen(inlet, "w"), flush=True), name="c", keeping=[inlet])
        os.close(inlet)
        text = reader.read().strip()
    assert ended(pid) == 0
    return text


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda: None, 0),
        (lambda: sys.exit(78), 78),
        (sys.exit, 0),
        (lambda: sys.exit("a text"), 1),
        (lambda: 1 // 0, 1),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
    ],
)
def test_it_ends_as_its_work_ends(end: Callable[[], object], code: int):
    assert ended(fork(end, name="c")) == code  # type: ignore[arg-type]


def test_nothing_of_the_parents_is_unwound_in_it(tmp_path: Path):
    kept = tmp_path / "kept"
    kept.touch()
    with contextlib.ExitStack() as stack:
        stack.callback(kept.unlink)
        for end in (lambda: None, lambda: sys.exit(3), lambda: 1 // 0):
            ended(fork(end, name="c"))  # type: ignore[arg-type]

        assert kept.exists()


def test_it_has_the_standard_streams_and_what_it_was_handed_and_nothing_else():
    with socket.socket() as listener, socket.socket() as other, contextlib.closing(Wake()) as wake:
        assert {str(sock.fileno()) for sock in (listener, other, wake)} <= descriptors()
        out, inlet = os.pipe()

        def tell() -> None:
            os.write(inlet, " ".join(descriptors()).encode())

        pid = fork(tell, name="c", keeping=[inlet, listener.fileno()])
        os.close(inlet)
        with os.fdopen(out) as reader:
            found = {int(word) for word in reader.read().split()}
        ended(pid)

        # The descriptor that lists them takes the lowest free number.
        assert {0, 1, 2, inlet, listener.fileno()} <= found
        assert len(found) == 6


def test_a_lock_of_the_parents_is_free_when_the_parent_lets_go_though_the_child_lives(tmp_path: Path):
    path = tmp_path / "lock"
    lock = Lock(path, "it")
    pid = fork(lambda: time.sleep(600), name="c")
    try:
        wait_until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) == 3)
        with pytest.raises(InUse):
            Lock(path, "it")
        lock.release()
        Lock(path, "it").release()
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        ended(pid)


def test_it_is_deaf_to_what_it_will_hear_and_minds_no_signal_of_the_parents():
    noted: list[int] = []
    with (
        contextlib.closing(Wake()) as wake,
        Signals((signal.SIGTERM, signal.SIGCHLD), noted.append, wake),
    ):
        said = said_by(
            lambda: (
                signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
                signal.set_wakeup_fd(-1),
                signal.pthread_sigmask(signal.SIG_BLOCK, []) >= set(HELD_BACK),
            )
        )
        assert said == "(True, -1, True)"
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(HELD_BACK)
        assert noted == [signal.SIGCHLD]


def test_siblings_do_not_draw_the_same_numbers():
    drawn = {said_by(random.random) for _ in range(3)} | {str(random.random())}

    assert len(drawn) == 4


def test_what_the_parent_could_not_log_yet_is_logged_by_the_parent_alone():
    out, inlet = os.pipe()
    with os.fdopen(inlet, "w") as stream:
        logs.configure("INFO", name="supervisor", stream=stream)
        for _ in range(200):
            logging.info("x" * 1000)  # more than a pipe takes
        began = time.monotonic()
        assert ended(fork(lambda: None, name="c")) == 0
        assert time.monotonic() - began < 0.4, "it waited for a reader of the parent's lines"
        raw = b""
        while raw.count(b"\n") < 200:
            logging.getLogger().handlers[0].flush()
            raw += os.read(out, 1 << 16)
    os.set_blocking(out, False)
    logging.getLogger().handlers[0].close()

    assert os.read(out, 1) == b""


def test_it_does_not_speak_to_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    notifier = Notifier()
    ended(fork(notifier.ready, name="c"))

    assert manager.heard() == []
    notifier.ready()
    assert manager.heard() == ["READY=1"]
    notifier.close()
    manager.close()


def test_it_is_named():
    assert said_by(lambda: Path("/proc/self/comm").read_text().strip()) == "c"
