"""The whole service before strangers: who is refused is logged, and nothing of ours is for everybody."""

import http.client
import os
import re
import socket
import stat
import subprocess
import sys

import pytest

from tests.system.world import COMMAND, World, until

pytestmark = pytest.mark.system


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.close()


def refused(world):
    """The log's lines about refused calls."""
    text = (world.folder / "monitor.log").read_text()
    return [line for line in text.splitlines() if "a call was refused" in line]


def say(path, request):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        sock.sendall(request)
        return sock.recv(4096)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def test_who_is_refused_is_logged_once_with_pid_user_and_command(world):
    world.open_exchange("--seed", "5")
    world.start()
    forged = b"DELETE /x\r\n 2026 CRITICAL forged=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(3):
        assert (
            say(world.socket, b"DELETE /metrics?secret=hunter2 HTTP/1.1\r\nHost: x\r\n\r\n")[9:12] == b"405"
        )
    assert say(world.socket, forged)[9:12] == b"400"
    lines = until("both kinds are logged", lambda: len(refused(world)) >= 2 and refused(world))

    assert len(lines) == 2, "each status once a minute"
    command = re.escape(open("/proc/self/comm").read().strip())  # noqa: SIM115, PTH123
    assert re.search(
        rf"status=405 .*pid={os.getpid()} uid={os.getuid()} gid={os.getgid()} command=\"?{command}", lines[0]
    )
    assert "status=400" in lines[1]
    assert "hunter2" not in world.log()
    assert "forged" not in world.log()


def test_over_tcp_a_page_is_let_in_by_the_configurations_word_alone(world):
    world.open_exchange("--seed", "5")
    port = free_port()
    config = f'[tcp]\nlisten = "127.0.0.1:{port}"\nallowed_origins = ["http://localhost:3000"]\n'
    world.start(config=config)

    def ask(**headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", "/api/v1/positions/summary", headers=named)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Access-Control-Allow-Origin")

    assert ask() == (200, None)
    assert ask(Origin="http://localhost:3000") == (200, "http://localhost:3000")
    assert ask(Origin="http://evil.example") == (403, None)
    assert ask(Host="evil.example") == (403, None)
    [line] = until("it is logged", lambda: refused(world))
    assert re.search(r"status=403 .*peer=127\.0\.0\.1", line)


def test_nothing_is_for_everybody_even_without_a_umask(world):
    world.open_exchange("--seed", "5", "--pace", "5")
    before = os.umask(0)
    try:
        world.start()
    finally:
        os.umask(before)
    until("there is an audit", world.lines)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in world.folder.rglob("*")}
    ours = {path: mode for path, mode in modes.items() if path != world.folder / "monitor.log"}

    assert {f"{path}: {mode:o}" for path, mode in ours.items() if mode & 0o007} == set()
    assert modes[world.socket] == 0o660
    assert modes[world.socket.with_name("snapshot")] == 0o640
    assert modes[world.socket.with_name(f".{world.socket.name}.q")] == 0o600
    assert len(ours) >= 8


def test_a_socket_folder_that_is_a_link_stops_the_start_and_says_why(world):
    world.open_exchange("--seed", "5")
    (world.folder / "real").mkdir()
    (world.folder / "link").symlink_to(world.folder / "real")
    world.socket = world.folder / "link" / "m.sock"
    done = subprocess.run(
        [*COMMAND, "run", "--plain", *world.places(), "--address", f"main={world.accounts[0]}", *world.urls],
        capture_output=True,
        text=True,
        env=world.environ(),
        timeout=120,
    )

    assert done.returncode == 4
    assert "is a symbolic link" in done.stderr
    assert "become a member" not in done.stderr  # who may ask is another matter
    assert list((world.folder / "real").iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user too")
def test_one_user_who_takes_all_connections_shuts_no_other_out(world):
    world.open_exchange("--seed", "5")
    world.folder.chmod(0o711)
    world.start()
    world.socket.chmod(0o666)  # as if both were members of the group
    greedy = subprocess.Popen(
        [sys.executable, "-c", GREEDY, str(world.socket)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert greedy.stdout is not None
        held = int(greedy.stdout.readline())
        assert world.api.health()["running"] is True
        assert held >= 900
        lines = until("it is logged", lambda: refused(world))
    finally:
        greedy.kill()
        greedy.wait()
        greedy.stdout.close()

    assert "status=503" in lines[0] and "uid=20001" in lines[0]


GREEDY = """
import os, resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.setgroups([])
os.setresgid(20001, 20001, 20001)
os.setresuid(20001, 20001, 20001)
held = []
for _ in range(1500):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    held.append(sock)
time.sleep(0.5)
alive = 0
for sock in held:
    sock.setblocking(False)
    try:
        sock.recv(100, socket.MSG_PEEK)
    except BlockingIOError:
        alive += 1
    except OSError:
        pass
print(alive, flush=True)
time.sleep(60)
"""
