"""The places of a monitor: never taken from a living one, always from a dead one."""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from hlposmon.errors import InUse, NotPermitted
from hlposmon.ipc.listeners import Lock, open_door


class Child:
    """A forked process that does something, says so, and stays until it is killed."""

    def __init__(self, work):
        told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(20)  # whatever becomes of the test, nobody stays
            os.close(told)
            try:
                said = work() or b"y"
            except InUse as error:
                said = b"InUse " + str(error).encode()
            except BaseException as error:  # noqa: BLE001 - a forked child must not return into pytest
                said = repr(error).encode()
            os.write(tell, said)
            os.close(tell)
            signal.pause()
            os._exit(0)
        os.close(tell)
        self.said = b""
        while piece := os.read(told, 4096):
            self.said += piece
        os.close(told)

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


@pytest.fixture
def child():
    children = []

    def start(work):
        children.append(Child(work))
        return children[-1]

    yield start
    for one in children:
        one.kill()


kept = []  # a forked child's sockets and locks, which must outlive the call that made them


def keeps(make):
    def work():
        kept.append(make())

    return work


# ------------------------------------------------------------------ the socket


def test_a_door_is_a_socket_for_owner_and_group(tmp_path):
    with open_door(tmp_path / "s") as door, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
        assert stat.S_ISSOCK((tmp_path / "s").stat().st_mode)
        door.accept()[0].close()


def test_a_door_that_only_a_dead_monitors_children_hold_is_made_anew(tmp_path, child):
    path = tmp_path / "s"

    def with_an_heir():
        door = open_door(path)
        sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]  # it has not noticed yet
        heir = subprocess.Popen(sleeps, pass_fds=[door.fileno()], stdout=subprocess.DEVNULL)
        (tmp_path / "heir").write_text(str(heir.pid))
        kept.append(heir)
        return door

    child(keeps(with_an_heir)).kill()
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))  # the heir has it still

        with open_door(path), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    finally:
        os.kill(int((tmp_path / "heir").read_text()), signal.SIGKILL)


def test_the_door_of_a_living_monitor_is_refused_by_its_pid(tmp_path, child):
    path = tmp_path / "s"
    alive = child(keeps(lambda: open_door(path)))

    with pytest.raises(InUse, match=f"pid {alive.pid}"):
        open_door(path)
    assert path.is_socket()


def test_a_living_monitor_that_is_too_busy_to_accept_is_living(tmp_path):
    path = tmp_path / "s"
    clients = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        while True:
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.setblocking(False)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
        with pytest.raises(InUse):
            open_door(path)
    for client in clients:
        client.close()


def test_what_a_killed_monitor_left_is_replaced(tmp_path, child):
    path = tmp_path / "s"
    dead = child(keeps(lambda: open_door(path)))
    dead.kill()
    assert path.is_socket()

    with open_door(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "folder", "datagram"])
def test_what_is_not_a_monitors_socket_is_left_alone(tmp_path, kind):
    path = tmp_path / "s"
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        other.bind(str(path))
    with pytest.raises((InUse, NotPermitted), match=str(path)):
        open_door(path)

    assert path.exists()
    if kind == "file":
        assert path.read_text() == "precious"
    other.close()


@pytest.mark.parametrize("name", ["missing/s", "x" * 120])
def test_a_door_that_cannot_be_made_says_where(tmp_path, name):
    with pytest.raises(NotPermitted, match=name):
        open_door(tmp_path / name)


def test_failing_leaves_no_descriptor(tmp_path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    (tmp_path / "file").write_text("x")
    for _ in range(20):
        for path in (tmp_path / "file", tmp_path / "missing" / "s"):
            with pytest.raises((InUse, NotPermitted)):
                open_door(path)
        with pytest.raises(NotPermitted):
            Lock(tmp_path / "missing" / "lock", "it")
        with Lock(tmp_path / "lock", "it"), pytest.raises(InUse):
            Lock(tmp_path / "lock", "it")

    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


# ------------------------------------------------------------------ the folder


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_a_door_has_its_mode_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with open_door(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(NotPermitted, match="is a symbolic link"):
        open_door(tmp_path / "link" / "s")

    assert list((tmp_path / "real").iterdir()) == []


def test_a_folder_where_everybody_may_take_our_socket_away_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(NotPermitted, match="chmod o-w"):
        open_door(tmp_path / "s")
    tmp_path.chmod(0o1777)  # as /tmp is: what is ours stays ours

    open_door(tmp_path / "s").close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(tmp_path):
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(NotPermitted, match="belongs to uid 12345"):
        open_door(tmp_path / "s")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become the service's user")
def test_a_services_socket_is_of_its_user_and_group_and_refused_to_others(tmp_path, child):
    os.chown(tmp_path, 12345, 12346)
    tmp_path.chmod(0o755)

    def as_service():
        os.setgroups([])
        os.setresgid(12346, 12346, 12346)
        os.setresuid(12345, 12345, 12345)
        os.umask(0)
        kept.append(open_door(tmp_path / "s"))

    def connects(uid, gid):
        def work():
            os.setgroups([gid])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(str(tmp_path / "s"))
                except PermissionError:
                    return b"refused"
            return b"connected"

        return child(work).said

    assert child(as_service).said == b"y"
    status = (tmp_path / "s").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 12346, 0o660)
    assert (connects(20001, 12346), connects(20001, 20001)) == (b"connected", b"refused")


# ------------------------------------------------------------------ locks


def test_a_lock_follows_no_link(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(NotPermitted):
        Lock(tmp_path / "lock", "it")

    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_names_its_owner_and_goes_with_it(tmp_path):
    path = tmp_path / "lock"
    with Lock(path, "the folder"):
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(InUse, match=f"the folder is in use by a live monitor, pid {os.getpid()}"):
            Lock(path, "the folder")
    assert not path.exists()
    Lock(path, "the folder").release()


def test_a_lock_vanishes_with_a_killed_holder(tmp_path, child):
    path = tmp_path / "lock"
    holder = child(keeps(lambda: Lock(path, "it")))
    with pytest.raises(InUse, match=f"pid {holder.pid}"):
        Lock(path, "it")
    holder.kill()

    with Lock(path, "it"):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_a_longer_pid_held_names_only_its_own(tmp_path):
    path = tmp_path / "lock"
    path.write_text("123456789012\n")
    with Lock(path, "it"):
        assert path.read_text() == f"{os.getpid()}\n"


def test_of_those_who_start_at_once_exactly_one_holds_the_place(tmp_path, child):
    """All wait for a gate, then take the lock and open the door, as a monitor does."""
    for round_ in range(5):
        folder = tmp_path / str(round_)
        folder.mkdir()
        gate = os.open(folder / "gate", os.O_CREAT | os.O_RDWR)
        fcntl.flock(gate, fcntl.LOCK_EX)
        pids = []
        told, tell = os.pipe()
        for _ in range(6):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)  # whatever becomes of the test, nobody stays
                os.close(gate)
                try:
                    with (folder / "gate").open() as mine:
                        fcntl.flock(mine, fcntl.LOCK_SH)
                        kept.append(Lock(folder / ".lock", "it"))
                        kept.append(open_door(folder / "s"))
                    os.write(tell, b"y")
                except InUse:
                    os.write(tell, b"n")
                except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
                    os.write(tell, b"!")
                signal.pause()
                os._exit(0)
            pids.append(pid)
        os.close(gate)
        said = b""
        while len(said) < len(pids):
            said += os.read(told, 16)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(told)
        os.close(tell)

        assert bytes(sorted(said)) == b"nnnnny"


def test_a_lock_that_is_let_go_while_another_waits_at_it_is_never_held_twice(tmp_path):
    """Processes take and let go of one lock as fast as they can; inside, nobody else may be."""
    pids = []
    end = time.monotonic() + 0.7
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            taken = 0
            try:
                while time.monotonic() < end or taken <= 10:
                    try:
                        with Lock(tmp_path / "lock", "it"):
                            inside = os.open(tmp_path / "inside", os.O_CREAT | os.O_EXCL)
                            os.close(inside)
                            (tmp_path / "inside").unlink()
                            taken += 1
                    except InUse:
                        continue
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
                os._exit(1)
        pids.append(pid)

    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0, 0]


def test_a_lock_is_for_its_owner_alone(tmp_path):
    """Who may open it may hold it: a member of the group kept the monitor from starting again."""
    path = tmp_path / "lock"
    path.touch()
    path.chmod(0o640)
    with Lock(path, "the folder"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_that_no_monitor_holds_is_told_apart(tmp_path):
    path = tmp_path / "lock"
    path.write_text("4194399\n")  # beyond the largest pid
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InUse, match=r"a process that is no monitor \(that one, pid 4194399, is gone\)"):
            Lock(path, "the folder")


def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path):
    path = tmp_path / ".lock"
    with Lock(path, "the folder") as lock:
        assert not lock.renew()
        path.unlink()
        assert lock.renew()
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(InUse, match=f"pid {os.getpid()}"):
            Lock(path, "the folder")
    assert not path.exists()


def test_a_lock_whose_file_another_has_taken_meanwhile_is_not_taken_from_it(tmp_path):
    path = tmp_path / ".lock"
    lock = Lock(path, "the folder")
    path.unlink()
    with Lock(path, "the folder"):
        with pytest.raises(InUse):
            lock.renew()
        lock.release()
        assert path.exists(), "it is the other's"
