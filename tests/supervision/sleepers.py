"""What the children of these tests do: sleep, hang, crash, disobey."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

from hlposmon.errors import ConfigError
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.loop import Pulse


def work(pulse: Pulse) -> None:
    """Beat until told to stop."""
    while not pulse.stopping:
        pulse.wait(0.05)


def work_and_note_the_end(pulse: Pulse, diary: Path) -> None:
    work(pulse)
    note(diary, pulse.name)


def work_and_note_reloads(pulse: Pulse, diary: Path) -> None:
    while not pulse.stopping:
        pulse.wait(0.05)
        if pulse.take_reload():
            note(diary, f"{pulse.name} reloaded")


def guard(pulse: Pulse, post: Path) -> None:
    """Serve for as long as there is a post."""
    while not pulse.stopping:
        pulse.serves(now=post.exists())
        pulse.wait(0.02)


def say(pulse: Pulse, diary: Path, word: str) -> None:
    """Note a word at the start, then work."""
    note(diary, f"{word}")
    work(pulse)


def crash(pulse: Pulse) -> None:
    pulse.beat()
    raise RuntimeError("as the test wished")


def crash_before_the_first_beat(pulse: Pulse) -> None:
    raise RuntimeError("as the test wished")


def crash_unless(pulse: Pulse, path: Path, code: int = 1) -> None:
    """Work while the file is there, else exit."""
    while not pulse.stopping:
        pulse.wait(0.02)
        if not path.exists():
            sys.exit(code)


def return_unasked(pulse: Pulse) -> None:
    pulse.beat()


def exit_with(pulse: Pulse, code: int) -> None:
    pulse.beat()
    sys.exit(code)


def refuse_the_configuration(pulse: Pulse) -> None:
    raise ConfigError(["api_url: is 7, must be a text", "ws_url: missing"])


def hang(pulse: Pulse) -> None:
    """Beat once and then never again."""
    pulse.beat()
    a_place_to_be_found_in()


def a_place_to_be_found_in() -> None:
    while True:
        time.sleep(3600)


def hang_before_the_first_beat(pulse: Pulse) -> None:
    a_place_to_be_found_in()


def hang_deaf_to_aborts(pulse: Pulse) -> None:
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
    hang(pulse)


def ignore_being_asked(pulse: Pulse) -> None:
    """Beat, and go on beating when told to stop."""
    while True:
        pulse.beat()
        time.sleep(0.02)


def read_the_board(pulse: Pulse, board: Board, diary: Path) -> None:
    pulse.beat()
    note(diary, ",".join(f"{row.name}:{row.pid}" for row in board.rows()))
    work(pulse)


def look_around(pulse: Pulse, diary: Path) -> None:
    """Note what a child has inherited."""
    variables = [name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_"))]
    note(diary, f"environ {variables}")
    note(diary, f"sigint ignored {signal.getsignal(signal.SIGINT) is signal.SIG_IGN}")
    note(diary, f"blocked {sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))}")
    note(diary, f"comm {Path('/proc/self/comm').read_text().strip()}")
    note(diary, f"core limit {resource.getrlimit(resource.RLIMIT_CORE)[0]}")
    work(pulse)


def note(diary: Path, line: str) -> None:
    with diary.open("a") as file:
        file.write(line + "\n")
