"""A monitor on the simulated exchange for the examples: over the Unix socket and over TCP."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.system.world import World, until, world

EXAMPLES = ROOT / "docs" / "examples"


class Shown(World):
    """The world, with its TCP address, and the words of the documents made into its own."""

    port: int = 0
    pace: float = 5.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self, text: str) -> str:
        """The text of a document as it would be written for this very monitor."""
        for documented, here in (
            ("/run/hlposmon/hlposmon.sock", self.socket),
            ("/run/hlposmon/snapshot", self.folder / "snapshot"),
            ("/var/lib/hlposmon", self.state_dir),
            ("/var/log/hlposmon", self.log_dir),
            ("127.0.0.1:8000", f"127.0.0.1:{self.port}"),
        ):
            text = text.replace(documented, str(here))
        return text

    @contextlib.contextmanager
    def still(self) -> Iterator[dict[str, dict[str, Any]]]:
        """The positions, all of them proven, while nobody trades."""
        self.control.pace(0)
        try:
            yield until("all is proven", self._proven)
        finally:
            self.control.pace(self.pace)

    def _proven(self) -> dict[str, dict[str, Any]] | None:
        summary = self.api.summary()
        rows = [*summary["positions"].values(), *summary["accounts"].values()]
        complete = {row["coin"] for row in summary["positions"].values()} == self.positions().keys()
        return summary["positions"] if complete and all(row["verdict"] == "proven" for row in rows) else None

    def surroundings(self) -> dict[str, str]:
        """The environment of who types what a document says."""
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"
        places = {"STATE_DIRECTORY": str(self.state_dir), "LOGS_DIRECTORY": str(self.log_dir)}
        return {**self.environ(), **places, "PATH": path, "HOME": str(self.folder)}


@contextlib.contextmanager
def shown(*, pace: float = Shown.pace) -> Iterator[Shown]:
    """A monitor that watches one account and serves on TCP as well."""
    with world() as made:
        here = Shown(made.folder)
        here.pace = pace
        try:
            with socket.create_server(("127.0.0.1", 0)) as free:
                here.port = free.getsockname()[1]
            here.open_exchange("--seed", "7", "--pace", str(pace))
            here.start(config=f'[tcp]\nlisten = "127.0.0.1:{here.port}"\n')
            yield here
        finally:
            here.close()


@pytest.fixture(scope="module")
def monitor() -> Iterator[Shown]:
    with shown() as here:
        here.control.fill(here.accounts[0], "BTC", "B", "0.01", "86000")
        until("a fill is in the history", lambda: any(row.coin == "BTC" for row in here.history()))
        yield here


@pytest.fixture(scope="session")
def node() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs node with the examples' libraries; skips where there are none."""
    found, modules = shutil.which("node"), EXAMPLES / "node_modules"
    if found is None:
        pytest.skip(
            "node is not installed: the JavaScript examples need Node 20 (apt-get install nodejs npm)"
        )
    if not (modules / ".package-lock.json").exists():
        pytest.skip("the examples' libraries are not installed: make examples")
    version = subprocess.run([found, "-p", "process.versions.node"], capture_output=True, text=True).stdout
    if int(version.split(".")[0]) < 20:
        pytest.skip(f"the JavaScript examples need Node 20 or newer, this is {version.strip()}")

    def run(*args: str | Path, timeout_s: float = 200, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [found, *map(str, args)],
            cwd=EXAMPLES,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "NODE_OPTIONS": "", **more},
        )

    return run


@pytest.fixture(scope="session")
def built(
    node: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The TypeScript examples as JavaScript, beside their libraries."""
    folder = tmp_path_factory.mktemp("examples")
    made = node(
        "node_modules/typescript/bin/tsc",
        "--noEmit",
        "false",
        "--allowJs",
        "false",
        "--checkJs",
        "false",
        "--outDir",
        folder / "build",
    )
    assert made.returncode == 0, made.stdout
    (folder / "node_modules").symlink_to(EXAMPLES / "node_modules")
    (folder / "package.json").write_text(json.dumps({"type": "module"}))
    return folder


__all__ = ["EXAMPLES", "Shown", "shown", "until"]
