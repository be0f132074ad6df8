"""A small Debian, made by debootstrap once and kept for the next time, and the wheels that it installs from.

Nothing of the machine that runs the tests is changed; what is made is kept in the user's cache.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.checkout import CHECKOUT, copy_of_checkout

SUITE = os.environ.get("HLPOSMON_SUITE", "bookworm")
MIRROR = os.environ.get("HLPOSMON_MIRROR", "http://deb.debian.org/debian")
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "cron", "logrotate", "curl",
    "ca-certificates", "man-db", "sudo", "procps", "iproute2", "faketime", "socat", "make",
)  # fmt: skip
TOOLS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}
# Other ways to install it that the documents name.
INSTALLERS = ("pipx", "uv")
# What Debian would ask the network for, and what has no meaning in a container.
MASKED = ("systemd-firstboot.service", "systemd-networkd-wait-online.service", "e2scrub_reap.service")


class Unavailable(Exception):
    """No Debian can be booted here; the message says why."""


def check() -> None:
    """Raise `Unavailable` when this machine lacks what booting one needs."""
    if os.geteuid() != 0:
        raise Unavailable("only root can boot a container")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed (apt install {package})")


@contextlib.contextmanager
def debian() -> Iterator[Path]:
    """The root folder, which must not be written to."""
    folder = _cache()
    words = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    root = folder / f"{SUITE}-{words}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs make one
        if not root.is_dir():
            _bootstrap(root)
    yield root


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "hlposmon-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bootstrap(root: Path) -> None:
    new = root.with_suffix(".new")
    if new.exists():
        shutil.rmtree(new)
    print(f"making a Debian {SUITE} in {root}: about two minutes, once", file=sys.stderr, flush=True)
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(new), MIRROR],
        capture_output=True,
        text=True,
        timeout=900,
    )
    if made.returncode:
        raise Unavailable(f"debootstrap failed: {made.stdout[-300:]} {made.stderr[-300:]}")
    (new / "etc/hostname").write_text("vps\n")
    (new / "etc/hosts").write_text("127.0.0.1 localhost vps\n::1 localhost\n")
    for unit in MASKED:
        (new / "etc/systemd/system" / unit).symlink_to("/dev/null")
    new.rename(root)


def wheel(folder: Path) -> Path:
    """This checkout as `make dist` builds it."""
    return _build(copy_of_checkout(folder / "checkout"), folder)


def later_wheel(folder: Path, scratch: Path, version: str) -> Path:
    """The same under another version, as the next release."""
    copy = copy_of_checkout(scratch / "later")
    init = copy / "hlposmon/__init__.py"
    lines = init.read_text().splitlines()
    init.write_text(
        "\n".join(f'__version__ = "{version}"' if line.startswith("__version__") else line for line in lines)
        + "\n"
    )
    return _build(copy, folder)


def _build(source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("hlposmon-*.whl"))
    _must([sys.executable, "-m", "build", "--outdir", str(folder), str(source)])
    (new,) = set(folder.glob("hlposmon-*.whl")) - before
    return new


def dependencies(folder: Path, of: Path) -> None:
    """Every wheel that `of` needs, for the Python of the Debian: what the registry stands for inside."""
    _must([sys.executable, "-m", "pip", "wheel", "-q", "-w", str(folder), str(of), *INSTALLERS])


def pinned(folder: Path) -> None:
    """What the constraints name, as the registry has it: a hash knows no wheel that was built here."""
    files = [
        word for name in ("constraints.txt", "constraints-build.txt") for word in ("-r", str(CHECKOUT / name))
    ]
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
    _must([*download, "-d", str(folder), *files])


def _must(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
